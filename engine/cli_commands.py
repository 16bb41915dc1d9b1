"""What the commands other than `run` do. Each returns a documented exit code."""

from __future__ import annotations

import argparse
import fcntl
import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine import cli_views, exit_codes
from engine.config import shown
from engine.config_load import ConfigError, load_config
from engine.domain.codes import TradingState
from engine.processes.control import ControlSegment, OperatorWord, segment_name
from engine.processes.runfile import RunningEngine, find_engine
from engine.version import describe
from ringbuffer import layout
from ringbuffer.errors import SegmentError
from ringbuffer.segment import Segment

API_TIMEOUT_S = 3.0
WIDE = 400  # characters and lines where no terminal sets a bound
RESUME_WAIT_S = 2.0  # the brain looks at each step; longer means that something holds
RESUME_POLL_S = 0.1


def perform(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run the command that was parsed."""
    try:
        return _COMMANDS[options.command](options, environment)
    except ConfigError as error:
        return exit_codes.fail(str(error), exit_codes.USAGE)


def chart(words: list[str], environment: Mapping[str, str]) -> int:
    """Become `research.chart`: offline work imports the engine, never the other way round."""
    try:
        home = load_config(environment).home
    except ConfigError as error:
        return exit_codes.fail(str(error), exit_codes.USAGE)
    command = [sys.executable, "-m", "research.chart", "--home", str(home), *words]
    os.execv(sys.executable, command)  # noqa: S606  no shell
    raise AssertionError("execv does not return")


def _status(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Show a running engine, or the part of its status that the command names."""
    engine = _find(options, environment)
    if engine is None:
        return exit_codes.ENVIRONMENT
    status = _call(engine, "GET", "/status")
    if status is None:
        return _api_silent(engine)
    part, text = {
        "status": (None, _status_text),
        "orders": ("orders_open", cli_views.orders_text),
        "positions": ("positions", cli_views.positions_text),
    }[options.command]
    _show(status[part] if part else status, as_json=options.json, text=text(status))
    return exit_codes.DONE


def _top(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Show a running engine until somebody has seen enough; once where nobody can press a key."""
    engine = _find(options, environment)
    if engine is None:
        return exit_codes.ENVIRONMENT

    def lines(width: int, height: int) -> list[str] | None:
        status = _call(engine, "GET", "/status")
        return None if status is None else cli_views.top_lines(status, width, height)

    if options.once or not (sys.stdin.isatty() and sys.stdout.isatty()):
        found = lines(WIDE, WIDE)
        if found is None:
            return _api_silent(engine)
        print("\n".join(found).rstrip())  # noqa: T201  the command's own output
        return exit_codes.DONE
    from engine.cli_screen import show

    return exit_codes.DONE if show(lines, options.every) else _api_silent(engine)


def _api_silent(engine: RunningEngine) -> int:
    return exit_codes.fail(
        f"the API of {engine.name!r} (process {engine.pid}) does not answer", exit_codes.ROLE_DIED
    )


def _halt(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    engine = _find(options, environment)
    if engine is None:
        return exit_codes.ENVIRONMENT
    answer = _call(engine, "POST", "/v1/halt", {"who": "cli", "reason": options.reason})
    if answer is None:
        answer = _write_operator_word(engine, TradingState.HALTED)
    return _conclude(answer, as_json=options.json)


def _resume(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    engine = _find(options, environment)
    if engine is None:
        return exit_codes.ENVIRONMENT
    answer = _call(engine, "POST", "/v1/resume", {"who": "cli", "reason": options.reason})
    if answer is None:
        answer = _write_operator_word(engine, TradingState.ENABLED)
    elif "error" not in answer:
        answer["trading_state"] = _settled_state(engine, answer["trading_state"])
    return _conclude(answer, as_json=options.json)


def _stop(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    engine = _find(options, environment)
    if engine is None:
        return exit_codes.ENVIRONMENT
    os.kill(engine.pid, signal.SIGTERM)
    document = {"effect": f"asked process {engine.pid} to stop", "pid": engine.pid}
    _show(document, as_json=options.json, text=str(document["effect"]))
    return exit_codes.DONE


def _replay(options: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    from engine.processes.replay import replay_command

    return replay_command(Path(options.journal), as_json=options.json)


def _why(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from engine.processes.why import why_command

    home = Path(load_config(environment).home)
    return why_command(home, options.order, options.state, as_json=options.json)


def _journal(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    place = Path(options.place or Path(load_config(environment).home) / "state")
    if options.action == "export":
        from engine.processes.journal_export import export_command

        return export_command(place, options.output, form=options.format)
    from engine.processes.journal_verify import verify_command

    return verify_command(place, as_json=options.json)


def _record(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from engine.processes.record_command import record_command

    return record_command(options, load_config(environment))


def _tape(options: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    from engine.processes.tape_commands import tape_command

    return tape_command(options)


def _download(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from engine.processes.download import download_command

    return download_command(options, load_config(environment))


def _doctor(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from engine.processes.doctor import examine

    config = load_config(environment)
    return examine(config, warm=options.warm, as_json=options.json)


def _config(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from engine.config_docs import example_file

    if options.action == "show":
        document = shown(load_config(environment, options.config))
        print(json.dumps(document, indent=None if options.json else 2))  # noqa: T201
        return exit_codes.DONE
    path = Path(options.config or "aegis.toml")
    if path.exists():
        return exit_codes.fail(
            f"{path} exists already; remove it or name another with --config", exit_codes.USAGE
        )
    path.write_text(example_file(), encoding="utf-8")
    _show({"written": str(path)}, as_json=options.json, text=f"wrote {path}")
    return exit_codes.DONE


def _version(options: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    document = describe()
    text = "  ".join(f"{key} {entry}" for key, entry in document.items())
    _show(document, as_json=options.json, text=text)
    return exit_codes.DONE


_COMMANDS: dict[str, Callable[[argparse.Namespace, Mapping[str, str]], int]] = {
    "status": _status,
    "top": _top,
    "orders": _status,
    "positions": _status,
    "halt": _halt,
    "resume": _resume,
    "stop": _stop,
    "replay": _replay,
    "why": _why,
    "journal": _journal,
    "record": _record,
    "tape": _tape,
    "download": _download,
    "doctor": _doctor,
    "config": _config,
    "version": _version,
}


def _find(options: argparse.Namespace, environment: Mapping[str, str]) -> RunningEngine | None:
    config = load_config(environment)
    engine = find_engine(config.home, options.name)
    if engine is None:
        text = f"no engine named {options.name!r} runs (looked in {config.home}/run)"
        exit_codes.fail(text, exit_codes.ENVIRONMENT)
    return engine


def _call(
    engine: RunningEngine, method: str, path: str, body: dict[str, str] | None = None
) -> dict[str, Any] | None:
    connection = http.client.HTTPConnection(engine.host, engine.port, timeout=API_TIMEOUT_S)
    try:
        headers = {"x-aegis-token": engine.token, "content-type": "application/json"}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        document = json.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    if not isinstance(document, dict):
        return None
    if answer.status >= http.client.BAD_REQUEST:
        document.setdefault("error", document.get("effect", f"the API answered {answer.status}"))
    return document


def _write_operator_word(engine: RunningEngine, state: TradingState) -> dict[str, Any]:
    """Halt or resume through shared memory, for when the API is dead; the kernel reads the word."""
    try:
        segment = Segment.attach(segment_name(engine.name, "control"), kind=layout.KIND_CONTROL)
    except SegmentError as error:
        return {"error": str(error)}
    control = ControlSegment(segment)
    lock = os.open("/dev/shm/" + segment.name, os.O_RDONLY | os.O_CLOEXEC)  # noqa: S108
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        control.set_main(OperatorWord.TRADING_STATE, state)
        effective = TradingState(control.trading_state())
    finally:
        os.close(lock)
        control.close()
    effect = f"operator word {state.name} (the API did not answer)"
    return {"effect": effect, "trading_state": effective.name}


def _settled_state(engine: RunningEngine, state: str) -> str:
    """Return the trading state once the brain has taken a resume up, or the one that stands."""
    deadline = time.monotonic() + RESUME_WAIT_S
    while state != TradingState.ENABLED.name and time.monotonic() < deadline:
        time.sleep(RESUME_POLL_S)
        status = _call(engine, "GET", "/status") or {}
        state = str(status.get("trading_state", state))
    return state


def _conclude(answer: dict[str, Any], *, as_json: bool) -> int:
    if "error" in answer:
        return exit_codes.fail(str(answer["error"]), exit_codes.USAGE)
    _show(answer, as_json=as_json, text=f"{answer['effect']}; now {answer['trading_state']}")
    return exit_codes.DONE


def _status_text(status: dict[str, Any]) -> str:
    roles = ", ".join(f"{role['name']} {role['state'].lower()}" for role in status["roles"])
    counts = status["counts"]
    pnl = status["pnl"]
    return (
        f"{status['name']}: {status['trading_state']}, {status['mode']['source']}\n"
        f"roles     {roles}\n"
        f"records   {counts['records']:,} ({status['rates']['records_per_s']:,.0f}/s)\n"
        f"orders    {counts['orders']:,}   fills {counts['fills']:,}   "
        f"decisions {counts['decisions']:,}   refusals {sum(status['refusals'].values()):,}\n"
        f"PnL       realised {pnl['realised']:+.2f}   open {pnl['unrealised']:+.2f} "
        f"{pnl['currency']}"
    )


def _show(document: object, *, as_json: bool, text: str) -> None:
    print(json.dumps(document) if as_json else text)  # noqa: T201  the command's own output
