"""The options panel and the queue of waiting entries, for page, CLI and API alike.

A mode is published on the control ring, which the journal records, and kept in a file with which
the next brain begins. Making one milder needs a reason. Standard library and ringbuffer only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from engine.domain.codes import EventType, Mode, OrderType, Side
from engine.processes.commands import RESUME_REASON_LENGTH_MIN, Commands, Outcome
from engine.processes.held_page import read_held
from engine.processes.mode_file import (
    ALL,
    MODES_FILE,
    ROWS_MAX,
    ModeRow,
    ModesUnreadableError,
    parts_of,
    place_of,
    read_modes,
    write_modes,
)

E8: Final = 100_000_000
NS_PER_S: Final = 1_000_000_000
EXTERNAL: Final = "(external)"
SETTLE_S: Final = 1.0  # for the brain to take a word on an entry up


class Panel:
    """Modes and approvals of one engine; any thread."""

    def __init__(
        self,
        commands: Commands,
        symbols: Callable[[], Sequence[str]],
        strategies: Sequence[str],
        state_dir: Path,
    ) -> None:
        """Read the modes that were given before.

        Args:
            commands: publish what is decided.
            symbols: return the instruments, in the order of instrument_index.
            strategies: of this run, in the order of strategy_index.
            state_dir: where the file is.
        """
        self._commands = commands
        self._symbols = symbols
        self._strategies = strategies
        self._numbers = {name: s for s, name in enumerate(strategies)}
        self._path = state_dir / MODES_FILE
        self._lock = threading.Lock()
        self._shed: set[str] = set()  # at least SHADOW for want of memory, whatever was asked
        self._unreadable = ""
        try:
            self._rows = read_modes(self._path)
        except ModesUnreadableError as error:
            self._rows, self._unreadable = {}, str(error)

    def modes(self) -> list[dict[str, Any]]:
        """Return every part that is not live, and who made it so; first what could not be read."""
        found: list[dict[str, Any]] = []
        if self._unreadable:
            words = {"part": ALL, "mode": "shadow", "who": "start", "reason": self._unreadable}
            found.append({**words, "realtime_ns": 0})
        with self._lock:
            for part in sorted(self._shed):
                words = {"part": part, "mode": "shadow", "who": "engine", "reason": "memory"}
                found.append({**words, "realtime_ns": 0})
            return found + [row.document() for row in self._rows.values()]

    def parts(self) -> list[dict[str, Any]]:
        """Return every part there is, live ones too; of two rows of one the more severe."""
        names = parts_of(self._numbers, self._indexes())
        found: dict[str, dict[str, Any]] = {part: _live(part) for part in names}
        for row in self.modes():
            known = found.get(row["part"]) or _live(row["part"])
            if Mode[row["mode"].upper()] >= Mode[known["mode"].upper()]:
                found[row["part"]] = row
        return list(found.values())

    def _indexes(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self._symbols())}

    def mode(self, part: str) -> Mode:
        """Return the mode a part was given itself."""
        row = self._rows.get(part)
        if row is not None:
            return row.mode
        return Mode.SHADOW if self._unreadable and part == ALL else Mode.LIVE

    def set_mode(
        self, part: str, word: str, who: str, reason: str, *, may_come: bool = False
    ) -> Outcome:
        """Give a part a mode by its word: off, shadow, simulate or live.

        Args:
            part: of the engine.
            word: of the mode.
            who: asks.
            reason: is journaled; a milder mode needs one.
            may_come: keep it for a strategy or an instrument that this session does not have.
        """
        state = self._commands.state()
        place = place_of(part, self._numbers, self._indexes())
        if place is None and not may_come:
            return Outcome(f"no part of this engine is {part!r}", False, state)
        if word.upper() not in Mode.__members__:
            modes = ", ".join(mode.name.lower() for mode in Mode)
            return Outcome(f"no mode {word!r}; there are {modes}", False, state)
        with self._lock:
            mode, before = Mode[word.upper()], self.mode(part)
            if mode < before and len(reason.strip()) < RESUME_REASON_LENGTH_MIN:
                return Outcome("a milder mode needs a reason (3 characters)", False, state)
            if part not in self._rows and len(self._rows) >= ROWS_MAX:
                return Outcome(f"more than {ROWS_MAX} parts have modes", False, state)
            told = max(mode, Mode.SHADOW) if part in self._shed else mode
            if place and not self._commands.give_mode(*place, told, who, reason):
                return Outcome("control ring is full", False, state)
            kept = self._keep(ModeRow(part, mode, who, reason, time.time_ns()))
        words = f"{part} is {mode.name.lower()}, was {before.name.lower()}"
        return Outcome(words + kept, True, state)

    def shed(self, part: str, why: str, *, on: bool) -> bool:
        """Make a part at least SHADOW, or as the operator left it; False: the ring is full.

        It is kept in no file: memory is another after a restart.
        """
        place = place_of(part, self._numbers, {})
        assert place is not None, part
        with self._lock:
            mode = self.mode(part)
            told = max(mode, Mode.SHADOW) if on else mode
            if not self._commands.give_mode(*place, told, "engine", why):
                return False
            self._shed = self._shed | {part} if on else self._shed - {part}
        return True

    def shut_entries(self, why: str, *, on: bool) -> bool:
        """Shut the gate MEMORY_STATE to entries, or open it; False: the ring is full."""
        return self._commands.tell_memory(why, is_short=on)

    def _keep(self, row: ModeRow) -> str:
        """Remember a row; return what to add where a restart would not know of it."""
        if row.part == ALL:
            self._unreadable = ""
        self._rows.pop(row.part, None)
        if row.mode != Mode.LIVE:
            self._rows[row.part] = row
        try:
            write_modes(self._path, self._rows)
        except OSError as error:
            return f"; {self._path}: not written ({error.strerror})"
        return ""

    # -- entries that wait -------------------------------------------------------------------------

    def held(self) -> list[dict[str, Any]]:
        """Return the entries that wait for a word, the oldest first."""
        now_ns = time.monotonic_ns()
        symbols = self._symbols()
        return [
            {
                "number": row.number,
                "instrument": _named(symbols, row.instrument_index, "?"),
                "strategy": _named(self._strategies, row.strategy_index, EXTERNAL),
                "side": Side(row.side).name,
                "order_type": OrderType(row.order_type).name,
                "price": row.price_e8 / E8,
                "quantity": row.qty_e8 / E8,
                "notional": row.notional_e8 / E8,
                "expires_s": round((row.expires_ns - now_ns) / NS_PER_S, 1),
            }
            for row in read_held(self._commands.control)
        ]

    def decide_held(self, number: int, who: str, reason: str, *, approve: bool) -> Outcome:
        """Say a word on an entry that waits; whether it was sent, the journal and `why` say."""
        state = self._commands.state()
        if not self._waits(number):
            return Outcome(f"nothing waits under number {number}", False, state)
        event = EventType.CONTROL_APPROVE if approve else EventType.CONTROL_REJECT
        if not self._commands.decide_held(event, number, who, reason):
            return Outcome("control ring is full", False, state)
        deadline = time.monotonic() + SETTLE_S
        while self._waits(number) and time.monotonic() < deadline:
            time.sleep(0.005)
        word = "approved: it passes the gates again" if approve else "rejected"
        if self._waits(number):
            word += ", and the brain did not take it up yet"
        return Outcome(f"number {number} {word}", True, self._commands.state())

    def _waits(self, number: int) -> bool:
        return any(row.number == number for row in read_held(self._commands.control))


def _live(part: str) -> dict[str, Any]:
    return ModeRow(part, Mode.LIVE, "", "", 0).document()


def _named(names: Sequence[str], index: int, otherwise: str) -> str:
    return names[index] if 0 <= index < len(names) else otherwise
