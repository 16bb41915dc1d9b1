"""What an operator can do to a running engine: one implementation for page, CLI and API.

A command first writes main's trading-state word, which the kernel reads before every step, then
publishes a record on the control ring so that brain, feed and journal know who asked and why. The
state is kept in a file beside the ledger: a halt survives a restart. Standard library only.
"""

from __future__ import annotations

import json
import os
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from engine.domain.codes import EventType, Mode, ModeScope, Role, TradingState
from engine.domain.risk_reasons import RiskReason
from engine.processes.control import ControlSegment, MainWord, OperatorWord

# Offsets inside an event slot, less the 8 bytes of its sequence; a test compares them with
# records.EVENT_FIELDS.
PAYLOAD_BYTES = 248
TIME = (struct.Struct("<q"), 0)
TYPE_ROLE_FLAGS_INSTRUMENT_STRATEGY = (struct.Struct("<HBBii"), 16)
SCOPE_MODE = (struct.Struct("<BB"), 29)  # order_type, time_in_force
WHICH = (struct.Struct("<q"), 40)  # cause_sequence
NUMBER = (struct.Struct("<q"), 96)  # trade_id
TRADING_STATE = (struct.Struct("<B"), 126)
REASON = (struct.Struct("<i"), 120)
TEXT = (struct.Struct("<40s"), 200)
REQUEST_ID = (struct.Struct("<q"), 240)

RESUME_REASON_LENGTH_MIN = 3
HELD: Final = "cancelling all orders; no position is closed while HALTED: resume, then flatten"
STATE_FILE = "trading_state.json"  # in the state directory; a halt survives a restart


class ControlRing(Protocol):
    """The one method of a producer that commands need."""

    def try_publish(self, payload: bytes) -> int:
        """Publish a payload; return its sequence or a negative code when the ring is full."""


class Sleeper(Protocol):
    """The ring that the brain sleeps on."""

    def wake(self) -> None:
        """Wake a reader that sleeps on the ring."""


class Check(NamedTuple):
    """One thing that must hold before trading goes on, in the order it is looked at."""

    name: str
    good: bool
    found: str


class Outcome(NamedTuple):
    """What a command did, or why it did nothing."""

    effect: str
    accepted: bool
    trading_state: TradingState
    checks: tuple[Check, ...] = ()


class Choice(NamedTuple):
    """What CONTROL_MODE, CONTROL_APPROVE and CONTROL_REJECT say beside who and why."""

    scope: int = 0  # ModeScope
    which: int = 0  # of the scope, in the session's numbers
    mode: int = 0
    number: int = 0  # of an entry that waits


NO_CHOICE: Final = Choice()


class Commands:
    """The operator's side of a running engine; every method may be called from any thread."""

    def __init__(
        self,
        control: ControlSegment,
        ring: ControlRing,
        wake: Sleeper,
        state_file: Path,
    ) -> None:
        """Take main's control segment and control-ring producer.

        Args:
            control: the segment whose main words this object alone writes.
            ring: producer of the control ring.
            wake: the ring the brain sleeps on.
            state_file: where the trading state survives a restart.
        """
        self.control = control
        self._ring = ring
        self._wake = wake
        self._state_file = state_file
        self._lock = threading.Lock()
        self._request_id = 0
        self.halt_count = 0  # since the start

    def restore(self) -> TradingState:
        """Take over the trading state of the last run; return it."""
        try:
            stored = json.loads(self._state_file.read_text(encoding="utf-8"))
            state = TradingState(stored["trading_state"])
        except FileNotFoundError:
            state = TradingState.ENABLED
        except (OSError, ValueError, KeyError, TypeError):
            state = TradingState.HALTED  # unreadable is unknown, and unknown does not trade
        self.control.set_main(MainWord.TRADING_STATE, state)
        return state

    def halt(self, who: str, reason: str) -> Outcome:
        """Stop NEW and REPLACE at once, then cancel what rests."""
        self.halt_count += 1
        events = (EventType.CONTROL_HALT, EventType.CONTROL_CANCEL_ALL)
        return self._set_state(TradingState.HALTED, events, who, reason)

    def pause(self, who: str, reason: str) -> Outcome:
        """Stop entries; exits and cancels go on."""
        return self._set_state(TradingState.PAUSED, (EventType.CONTROL_PAUSE,), who, reason)

    def reduce(self, who: str, reason: str) -> Outcome:
        """Allow only orders that close positions."""
        return self._set_state(TradingState.REDUCING, (EventType.CONTROL_REDUCE,), who, reason)

    def resume(self, who: str, reason: str) -> Outcome:
        """Re-arm after a halt or a tripped limit; needs a reason, which is journaled."""
        if len(reason.strip()) < RESUME_REASON_LENGTH_MIN:
            state = self.state()
            return Outcome("resume needs a reason (at least 3 characters)", False, state)
        self.control.set_main(OperatorWord.TRADING_STATE, TradingState.ENABLED)
        return self._set_state(TradingState.ENABLED, (EventType.CONTROL_RESUME,), who, reason)

    def flatten(self, who: str, reason: str) -> Outcome:
        """Cancel all orders and close all positions; trading is REDUCING from here on.

        While it is HALTED orders are cancelled, but it is refused: nothing is closed.
        """
        events = (EventType.CONTROL_REDUCE, EventType.CONTROL_FLATTEN)
        outcome = self._set_state(TradingState.REDUCING, events, who, reason)
        if outcome.trading_state is TradingState.HALTED:
            return outcome._replace(effect=HELD, accepted=False)
        return outcome._replace(effect="cancelling all orders and closing all positions")

    def cancel_all(self, who: str, reason: str) -> Outcome:
        """Cancel every resting order; the trading state stays."""
        return self._note(EventType.CONTROL_CANCEL_ALL, who, reason, "cancelling all orders")

    def reconcile(self, who: str, reason: str) -> Outcome:
        """Compare with the venue now."""
        return self._note(EventType.CONTROL_RECONCILE, who, reason, "reconciliation requested")

    def state(self) -> TradingState:
        """Return the trading state in force: the most severe of all writers."""
        return TradingState(self.control.trading_state())

    def give_mode(self, scope: ModeScope, which: int, mode: Mode, who: str, reason: str) -> bool:
        """Give a part a mode, in the session's numbers; False: the ring is full."""
        choice = Choice(which=which, scope=scope, mode=mode)
        return self._choose(EventType.CONTROL_MODE, choice, f"{who}: {reason}")

    def decide_held(self, event: EventType, number: int, who: str, reason: str) -> bool:
        """Say CONTROL_APPROVE or CONTROL_REJECT on what waits; False: the ring is full."""
        return self._choose(event, Choice(number=number), f"{who}: {reason}")

    def tell_memory(self, why: str, *, is_short: bool) -> bool:
        """Shut the gate of entries for want of memory, or open it; False: the ring is full."""
        code = RiskReason.MEMORY_STATE if is_short else 0
        return self._note(EventType.CONTROL_MEMORY, "engine", why, "", code).accepted

    def _choose(self, event: EventType, choice: Choice, text: str) -> bool:
        with self._lock:
            return self._publish(event, self.state(), text, 0, choice)

    def stop_intents(self, *, keep_resting: bool) -> Outcome:
        """Begin an orderly stop: no new intents, what is in flight settles, what rests may stay."""
        code = 0 if keep_resting else RiskReason.STOPPING
        event = EventType.CONTROL_STOP_INTENTS
        return self._note(event, "main", "stop", "no new intents", code)

    def _note(self, event: EventType, who: str, reason: str, effect: str, code: int = 0) -> Outcome:
        state = self.state()
        with self._lock:
            accepted = self._publish(event, state, f"{who}: {reason}", code)
        return Outcome(effect if accepted else "control ring is full", accepted, state)

    def _set_state(
        self, state: TradingState, events: Sequence[EventType], who: str, reason: str
    ) -> Outcome:
        with self._lock:
            held = TradingState(self.control.main(MainWord.TRADING_STATE))
            # Only a resume makes a word milder, as in the kernel.
            kept = state if state is TradingState.ENABLED else max(state, held)
            self.control.set_main(MainWord.TRADING_STATE, kept)
            # A halt holds by the word even when the ring is full; the records are for the cancels
            # and the journal, and go before the disk is waited for.
            for event in events:
                self._publish(event, state, f"{who}: {reason}")
            # What was halted by shared memory alone stays so over a restart too.
            kept = max(kept, TradingState(self.control.main(OperatorWord.TRADING_STATE)))
            unstored = store_state(self._state_file, kept, who, reason)
        effective = self.state()
        return Outcome(f"operator says {state.name}{unstored}", True, effective)

    def send(self, payload: bytes) -> bool:
        """Publish a record that was packed elsewhere; False: the control ring is full."""
        with self._lock:
            return self._put_on_ring(payload)

    def _publish(
        self,
        event: EventType,
        state: TradingState,
        text: str,
        code: int = 0,
        choice: Choice = NO_CHOICE,
    ) -> bool:
        """Publish a record and wake the brain; the lock is held."""
        self._request_id += 1
        payload = pack_control(event, state, text, self._request_id, code, choice)
        return self._put_on_ring(payload)

    def _put_on_ring(self, payload: bytes) -> bool:
        accepted = self._ring.try_publish(payload) >= 0
        self._wake.wake()
        return accepted


def store_state(path: Path, state: TradingState, who: str, reason: str) -> str:
    """Keep a trading state for the next start; return what the operator is told where it fails."""
    entry = {
        "trading_state": int(state),
        "name": state.name,
        "who": who,
        "reason": reason,
        "realtime_ns": time.time_ns(),
    }
    staged = path.with_suffix(f".{os.getpid()}.part")  # the command line writes too
    try:
        staged.write_text(json.dumps(entry), encoding="utf-8")
        staged.replace(path)
    except OSError as error:
        return f"; {path}: not written ({error.strerror})"
    return ""


def pack_control(
    event: EventType,
    state: TradingState,
    text: str,
    request_id: int,
    code: int = 0,
    choice: Choice = NO_CHOICE,
) -> bytes:
    """Return the payload of one control record: 248 bytes, the slot less its sequence.

    Args:
        event: CONTROL_*.
        state: the trading state that is asked for.
        text: who and why, cut to 40 bytes.
        request_id: of this run of main.
        code: what the record's field `reason` says; 0: nothing.
        choice: what was chosen.
    """
    payload = bytearray(PAYLOAD_BYTES)
    _put(payload, TIME, time.monotonic_ns())
    _put(payload, TYPE_ROLE_FLAGS_INSTRUMENT_STRATEGY, int(event), int(Role.MAIN), 0, -1, -1)
    _put(payload, SCOPE_MODE, choice.scope, choice.mode)
    _put(payload, WHICH, choice.which)
    _put(payload, NUMBER, choice.number)
    _put(payload, REASON, int(code))
    _put(payload, TRADING_STATE, int(state))
    _put(payload, TEXT, text.encode("utf-8", "replace")[:40])
    _put(payload, REQUEST_ID, request_id)
    return bytes(payload)


def _put(payload: bytearray, field: tuple[struct.Struct, int], *entries: int | bytes) -> None:
    form, offset = field
    form.pack_into(payload, offset, *entries)
