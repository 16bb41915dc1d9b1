"""What each instrument trades over a day, learned from closed minutes and kept in a file.

        bars that the kernel thread closed --once a second--> a day of each instrument
        a quarter of an hour was learned   --> <state directory>/volume_profile.json, all or nothing

Called by the brain's main thread. Volumes are kept in contracts, by symbol: lots and numbers are of
one session. A file that is missing or cannot be read is a day that is not known yet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from engine.domain import typed
from engine.domain.execution.curve import Curve
from engine.domain.execution.profile import QUARTERS, DayProfile, Shape
from engine.domain.execution.work import SPAN_NS_MAX
from engine.domain.market_state import CLOCK_OFFSET_NS
from engine.domain.state import State

PROFILE_FILE: Final = "volume_profile.json"  # in the state directory
LOOK_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60_000_000_000
SAVE_NS: Final = 60_000_000_000  # between two writes, at least


class Expected(NamedTuple):
    """What a VWAP may expect of the market."""

    shape: Shape
    curve: Curve | None  # None: even
    lots: int


class Day(msgspec.Struct, frozen=True):
    """One instrument as the file has it."""

    contracts: list[float]
    days: list[int]


class VolumeProfiles:
    """Every instrument's day; one thread only."""

    def __init__(self, state: State, path: Path | None) -> None:
        """Begin with what the file says; None: learn for this session alone."""
        self._state = state
        self._path = path
        self._days = _read(path)
        self._minute = state.market.timeframes_ns.tolist().index(MINUTE_NS)
        self._profiles: dict[int, DayProfile] = {}
        self._seen = np.zeros_like(state.market.closed_count[:, self._minute])
        self._looked_ns = self._saved_ns = 0
        self._is_changed = False

    def look(self, now_ns: int) -> None:
        """Take the minutes that closed since; at most once a second."""
        if now_ns - self._looked_ns < LOOK_NS:
            return
        self._looked_ns = now_ns
        counts = self._state.market.closed_count[:, self._minute].copy()
        for index in np.flatnonzero(counts != self._seen).tolist():
            self._take(index, int(counts[index]))
        self._seen = counts
        if self._is_changed and now_ns - self._saved_ns >= SAVE_NS:
            self._saved_ns = now_ns
            self.save()

    def _take(self, index: int, count: int) -> None:
        bars = self._state.market.closed
        ring = bars.shape[2]
        for number in range(max(int(self._seen[index]), count - ring + 1), count):
            place = index, self._minute, number % ring
            start_ns, lots = int(bars["start_ns"][place]), int(bars["volume_lots"][place])
            self._is_changed |= self.profile(index).add(start_ns, lots)

    def expected(self, index: int, now_ns: int, span_ns: int, paced_lots: int) -> Expected:
        """Return what a span from now on may bring, and `paced_lots` at the last minutes' pace."""
        if not 0 < span_ns <= SPAN_NS_MAX:
            return Expected(Shape.EVEN_UNKNOWN, None, paced_lots)
        first_ns = now_ns + int(self._state.market.progress[CLOCK_OFFSET_NS])
        profile, last_ns = self.profile(index), first_ns + span_ns
        shape = profile.shape(first_ns, last_ns)
        if shape is not Shape.LEARNED:
            return Expected(shape, None, paced_lots)
        lots = profile.expected_lots(first_ns, last_ns, paced_lots)
        return Expected(shape, profile.curve(first_ns, last_ns, now_ns), lots)

    def profile(self, index: int) -> DayProfile:
        """Return the day of an instrument as it is known so far."""
        if index not in self._profiles:
            symbol, lot_size = self._named(index)
            day = self._days.get(symbol)
            known = None if day is None else [size / lot_size for size in day.contracts]
            self._profiles[index] = DayProfile(known, None if day is None else list(day.days))
        return self._profiles[index]

    def _named(self, index: int) -> tuple[str, float]:
        row = self._state.market.instruments[index]
        return bytes(row["symbol"]).rstrip(b"\0").decode(), float(row["lot_size"])

    def save(self) -> None:
        """Write what was learned; where the disk refuses, it is tried again SAVE_NS later."""
        if self._path is None:
            return
        for index, profile in self._profiles.items():
            symbol, lot_size = self._named(index)
            self._days[symbol] = Day([mean * lot_size for mean in profile.means], profile.days)
        staged = self._path.with_suffix(".part")
        try:
            staged.write_bytes(msgspec.json.encode(self._days))
            staged.replace(self._path)
        except OSError:
            return
        self._is_changed = False


def _read(path: Path | None) -> dict[str, Day]:
    try:
        body = b"{}" if path is None else path.read_bytes()
        found = typed.decode(body, dict[str, Day])
    except (OSError, msgspec.DecodeError):
        return {}
    whole = {QUARTERS}
    return {
        symbol: day
        for symbol, day in found.items()
        if {len(day.contracts), len(day.days)} == whole and min(day.contracts) >= 0.0
    }
