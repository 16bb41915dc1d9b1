"""Smart-money structure by brute force: from all bars at once, as its definitions read.

Nothing here keeps state from bar to bar; what is known after bar k is computed from bars 0..k.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from engine.domain.features.batch import create_features, fold_structure
from engine.domain.structure import StructureKind
from engine.domain.structure_state import EVENT_MASK, EVENT_RING, SWING_BARS
from tests.feature_bars import CATALOGUE, Bar


class Event(NamedTuple):
    """One event as it became known."""

    kind: StructureKind
    side: int
    bar: int
    known_at: int
    level: float
    far: float
    broken_at: int = -1
    part: int = 0


class Stream:
    """The streaming structure of one series, with every event it ever emitted."""

    def __init__(self) -> None:
        """Start before the first bar."""
        self.state = create_features(CATALOGUE)
        self.row = self.state.structure[0]
        self.count = 0
        self.events: list[Event] = []
        self.cancelled: set[int] = set()

    @property
    def atr(self) -> float:
        """The average true range of the newest bar."""
        return float(self.state.atr[0])

    def push(self, bar: Bar) -> list[Event]:
        """Feed one bar, a second after the last where it has no time; return what it made known."""
        start_s = bar.start_s or self.count + 1
        before = int(self.row["event_count"])
        inputs = np.array(bar._replace(start_s=start_s), dtype=np.float64)
        assert fold_structure(CATALOGUE.plan, self.state, inputs)
        self.count += 1
        count = int(self.row["event_count"])
        assert count - before <= EVENT_RING, "no event was overwritten before it was read"
        fresh = [self.event(k) for k in range(before, count)]
        self.events += fresh
        for k in range(max(0, count - EVENT_RING), count):
            if self.row["event_is_cancelled"][k & EVENT_MASK]:
                self.cancelled.add(k)
        return fresh

    def event(self, number: int) -> Event:
        """Return event `number` from the ring."""
        k = number & EVENT_MASK
        return Event(
            StructureKind(int(self.row["event_kind"][k])),
            int(self.row["event_side"][k]),
            int(self.row["event_bar"][k]),
            int(self.row["event_known_at"][k]),
            float(self.row["event_level_ticks"][k]),
            float(self.row["event_far_ticks"][k]),
            int(self.row["event_broken_at"][k]),
            int(self.row["event_part"][k]),
        )

    def of_kinds(self, *kinds: StructureKind) -> list[Event]:
        """Return the events of some kinds, in order."""
        return [event for event in self.events if event.kind in kinds]


def streamed_structure(bars: Sequence[Bar]) -> Stream:
    """Return a stream after these bars."""
    stream = Stream()
    for bar in bars:
        stream.push(bar)
    return stream


def candidates(bars: Sequence[Bar]) -> list[tuple[int, int, float]]:
    """Return (bar, side, level) of every swing candidate that both its sides confirm."""
    found = []
    for i in range(2 * SWING_BARS - 1, len(bars) - SWING_BARS):
        around = bars[i - SWING_BARS + 1 : i + SWING_BARS + 1]
        if bars[i].high == max(bar.high for bar in around):
            found.append((i, 1, bars[i].high))
        elif bars[i].low == min(bar.low for bar in around):
            found.append((i, -1, bars[i].low))
    return found


def swings(bars: Sequence[Bar]) -> list[tuple[int, int, float]]:
    """Return the alternating swings: of a run of one side the furthest, the earliest on ties."""
    kept: list[tuple[int, int, float]] = []
    for candidate in candidates(bars):
        if kept and kept[-1][1] == candidate[1]:
            if (candidate[2] - kept[-1][2]) * candidate[1] > 0:
                kept[-1] = candidate
        else:
            kept.append(candidate)
    return kept


def breaks(bars: Sequence[Bar]) -> list[tuple[StructureKind, int, int, float, int]]:
    """Return (kind, side, bar, level, broken at) of every BOS and CHoCH that stands.

    A pattern of four swings marks the second of them; it counts once a close lies beyond that
    level. It falls when one marked later was broken no later.
    """
    found: list[tuple[StructureKind, int, int, float, int]] = []
    series = swings(bars)
    for (_, _, a), (bar, _, b), (_, _, c), (_, side, d) in zip(
        series, series[1:], series[2:], series[3:], strict=False
    ):
        low, high, low_after, high_after = (side * level for level in (a, b, c, d))
        if low < low_after < high < high_after:
            kind = StructureKind.BOS
        elif high_after > high > low > low_after:
            kind = StructureKind.CHOCH
        else:
            continue
        beyond = [k for k in range(bar + 2, len(bars)) if (bars[k].close - b) * side > 0]
        if not beyond:
            continue
        found = [row for row in found if row[4] < beyond[0]]
        found.append((kind, side, bar, b, beyond[0]))
    return found


def gaps(bars: Sequence[Bar]) -> list[tuple[int, int, float, float, int]]:
    """Return (side, known at, near, far, mitigated at or -1) of every fair value gap."""
    found = []
    for t in range(2, len(bars)):
        first, middle, last = bars[t - 2], bars[t - 1], bars[t]
        if first.high < last.low and middle.close > middle.open:
            side, near, far = 1, last.low, first.high
        elif first.low > last.high and middle.close < middle.open:
            side, near, far = -1, last.high, first.low
        else:
            continue
        mitigated = -1
        for k in range(t + 1, len(bars)):
            if bars[k].low <= near if side > 0 else bars[k].high >= near:
                mitigated = k
                break
        found.append((side, t, near, far, mitigated))
    return found


def coarse_walk(count: int, seed: int, step: int = 3) -> list[Bar]:
    """Return a walk on few ticks, so that equal highs, lows and closes are common."""
    random = np.random.default_rng(seed)
    bars = []
    last = 10_000
    for _ in range(count):
        drift = int(random.integers(-1, 2))
        path = last + np.cumsum(random.integers(-step, step + 1, 4) + drift)
        bars.append(Bar(int(path[0]), int(path.max()), int(path.min()), int(path[-1]), 10, 5))
        last = int(path[-1])
    return bars
