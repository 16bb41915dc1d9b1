"""`aegis halt`, `pause`, `reduce`, `flatten`, `cancel-all`, `reconcile`, `resume` and `stop`.

All but the last are the API's own commands. Halt and resume work when the API is dead too: through
the operator's word in shared memory, which the kernel reads before each step.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine import exit_codes
from engine.api_client import API_TIMEOUT_S, LOOK_TIMEOUT_S, call, find, refused, silent
from engine.domain.codes import TradingState
from engine.processes.commands import STATE_FILE, store_state
from engine.processes.control import ControlSegment, OperatorWord, segment_name
from engine.processes.runfile import RunningEngine
from engine.store.control_audit import ControlAudit, Row, by_command_line
from ringbuffer import layout
from ringbuffer.errors import SegmentError
from ringbuffer.segment import Segment

RESUME_WAIT_S = 2.0  # the brain looks at each step; longer means that something holds
RESUME_POLL_S = 0.1
COMMANDS = {
    "halt": "halt",
    "pause": "pause",
    "reduce": "reduce",
    "flatten": "flatten",
    "cancel-all": "cancel_all",
    "reconcile": "reconcile",
    "resume": "resume",
}


def control(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Tell a running engine what the command says; return a documented exit code.

    A halt that holds, but that the venue has not confirmed, ends with 1: orders may rest still.
    """
    engine = find(options, environment)
    if engine is None:
        return exit_codes.ENVIRONMENT
    name = COMMANDS[options.command]
    body = {"who": "cli", "reason": options.reason}
    timeout_s = LOOK_TIMEOUT_S if name == "resume" else API_TIMEOUT_S
    answer = call(engine, "POST", f"/v1/{name}", body, timeout_s)
    if answer is None and name == "halt":
        answer = halt_by_word(engine, options.reason)
    elif answer is None:
        return silent(engine)
    elif name == "halt" and "error" not in answer:
        answer |= _confirmed(engine)
    elif name == "resume" and "error" not in answer:
        answer["trading_state"] = _settled_state(engine, answer["trading_state"])
    return _conclude(answer, as_json=options.json)


def stop(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Ask a running engine to stop in order, and write down who did; return the exit code."""
    engine = find(options, environment)
    if engine is None:
        return exit_codes.ENVIRONMENT
    effect, done = f"asked process {engine.pid} to stop", True
    try:
        os.kill(engine.pid, signal.SIGTERM)
    except OSError as error:
        effect, done = f"process {engine.pid} was not asked to stop: {error.strerror}", False
    # The signal does not wait for the disk.
    row = by_command_line("stop", options.reason, effect=effect, done=done)
    effect += _write_down(engine, row)
    if not done:
        return exit_codes.fail(effect, exit_codes.ENVIRONMENT)
    document = {"effect": effect, "pid": engine.pid}
    print(json.dumps(document) if options.json else effect)  # noqa: T201  the command's own output
    return exit_codes.DONE


def _confirmed(engine: RunningEngine) -> dict[str, Any]:
    """Wait for the venue's word on a halt."""
    body = {"who": "cli", "reason": "after halt"}
    answer = call(engine, "POST", "/v1/confirm_halt", body, LOOK_TIMEOUT_S)
    if answer is None:
        return {"confirmed": False, "effect": "halted, not confirmed: the API fell silent"}
    if "error" in answer:
        return {"confirmed": False, "effect": f"halted, not confirmed: {answer['error']}"}
    return {"confirmed": True, "effect": answer["effect"]}


def halt_by_word(engine: RunningEngine, reason: str) -> dict[str, Any]:
    """Halt through shared memory, for when the API is dead; the kernel reads the word.

    What holds is kept for the next start too, and written into the same trail, as the API does.
    There is no such way to resume: what a resume looks at first, only main can look at.
    """
    try:
        segment = Segment.attach(segment_name(engine.name, "control"), kind=layout.KIND_CONTROL)
    except SegmentError as error:
        refused = by_command_line("halt", reason, effect=str(error), done=False)
        return {"error": f"{error}{_write_down(engine, refused)}"}
    words = ControlSegment(segment)
    lock = os.open("/dev/shm/" + segment.name, os.O_RDONLY | os.O_CLOEXEC)  # noqa: S108
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = TradingState(words.trading_state())
        words.set_main(OperatorWord.TRADING_STATE, TradingState.HALTED)
        effective = TradingState(words.trading_state())
        unstored = store_state(Path(engine.state_dir) / STATE_FILE, effective, "cli", reason)
    finally:
        os.close(lock)
        words.close()
    effect = f"operator word HALTED, not confirmed: the API did not answer{unstored}"
    # The word counts already: it did not wait for the disk.
    row = by_command_line("halt", reason, before=before.name, after=effective.name, effect=effect)
    told = {"confirmed": False, "effect": effect + _write_down(engine, row)}
    return told | {"trading_state": effective.name}


def _write_down(engine: RunningEngine, row: Row) -> str:
    """Write what was said without the API into the account's trail; return why that failed."""
    try:
        ControlAudit(Path(engine.state_dir)).record(row)
    except OSError as error:
        return f"; not in the audit trail ({error.strerror})"
    return ""


def _settled_state(engine: RunningEngine, state: str) -> str:
    """Return the trading state once the brain has taken a resume up, or the one that stands."""
    deadline = time.monotonic() + RESUME_WAIT_S
    while state != TradingState.ENABLED.name and time.monotonic() < deadline:
        time.sleep(RESUME_POLL_S)
        status = call(engine, "GET", "/status") or {}
        state = str(status.get("trading_state", state))
    return state


def _conclude(answer: dict[str, Any], *, as_json: bool) -> int:
    if "error" in answer:
        return refused(answer)
    text = f"{answer['effect']}; now {answer['trading_state']}"
    print(json.dumps(answer) if as_json else text)  # noqa: T201  the command's own output
    return exit_codes.DONE if answer.get("confirmed", True) else exit_codes.CHECK_FAILED
