"""What an instrument trades in each quarter of an hour of a day: the shape a VWAP expects.

        closed bars of a minute --> sum of a quarter --> mean of its last DAYS_MAX days
        an order's span         --> one weight a quarter --> curve
        pace of the last minutes x (mean over the span : mean of now) --> lots expected

A day is of the venue's clock, UTC. A quarter counts that was heard whole: the one before it was
heard too. One of fewer than DAYS_MIN days is not known, and then nothing of a span is: the curve
is even, as without a profile. Quarters and not minutes, because few days of minutes are noise.
"""

from __future__ import annotations

from enum import IntEnum
from itertools import accumulate, pairwise
from typing import Final

from engine.domain.execution.curve import Curve, curve_of

QUARTER_NS: Final = 900_000_000_000
QUARTERS: Final = 96
DAYS_MIN: Final = 3
DAYS_MAX: Final = 20  # after so many the mean forgets: a day weighs one in DAYS_MAX
WEIGHT_PARTS: Final = 1_000  # of a lot: weights of a curve are whole


class Shape(IntEnum):
    """What the curve of a parent order came from. Stored in journals: never renumbered."""

    NOT_ASKED = 0  # no method that expects volume
    LEARNED = 1
    EVEN_UNKNOWN = 2  # a quarter of the span was heard on fewer than DAYS_MIN days
    EVEN_SILENT = 3  # nothing was ever traded in the span


class DayProfile:
    """The day of one instrument; lots of any size, the same throughout."""

    def __init__(self, means: list[float] | None = None, days: list[int] | None = None) -> None:
        """Begin with what was learned before, QUARTERS of each, or with nothing."""
        self.means = means or [0.0] * QUARTERS
        self.days = days or [0] * QUARTERS
        assert len(self.means) == len(self.days) == QUARTERS, "a whole day"
        self._open_ns = -1  # start of the quarter that is heard
        self._is_whole = False
        self._lots = 0

    def add(self, start_ns: int, lots: int) -> bool:
        """Take a closed bar of a minute, in their order; return whether a quarter was learned."""
        quarter_ns = start_ns - start_ns % QUARTER_NS
        if quarter_ns < self._open_ns:
            return False
        is_learned = False
        if quarter_ns > self._open_ns:
            follows = quarter_ns - self._open_ns == QUARTER_NS
            is_learned = follows and self._is_whole
            if is_learned:
                self._learn()
            self._open_ns, self._is_whole, self._lots = quarter_ns, follows, 0
        self._lots += lots
        return is_learned

    def _learn(self) -> None:
        place = self._open_ns // QUARTER_NS % QUARTERS
        self.days[place] = min(self.days[place] + 1, DAYS_MAX)
        self.means[place] += (self._lots - self.means[place]) / self.days[place]

    def shape(self, start_ns: int, end_ns: int) -> Shape:
        """Say whether the day is known from one venue time to another."""
        spans = quarters(start_ns, end_ns)
        if any(self.days[place] < DAYS_MIN for place, _ in spans):
            return Shape.EVEN_UNKNOWN
        return Shape.LEARNED if any(self._weights(spans)) else Shape.EVEN_SILENT

    def curve(self, start_ns: int, end_ns: int, clock_ns: int) -> Curve:
        """Return the curve of a span whose shape is LEARNED.

        Args:
            start_ns: venue time.
            end_ns: venue time.
            clock_ns: the time of the curve's own clock at `start_ns`.
        """
        spans = quarters(start_ns, end_ns)
        times = list(accumulate((length for _, length in spans), initial=clock_ns))
        return curve_of(times, self._weights(spans))

    def expected_lots(self, start_ns: int, end_ns: int, paced_lots: int) -> int:
        """Return what the market may trade in a span whose shape is LEARNED; 1 at least.

        Args:
            start_ns: venue time.
            end_ns: venue time.
            paced_lots: what it would trade at the pace of the last minutes; 0: not known.
        """
        spans = quarters(start_ns, end_ns)
        lots = sum(self.means[place] * length / QUARTER_NS for place, length in spans)
        at_this_pace = self.means[spans[0][0]] * (end_ns - start_ns) / QUARTER_NS
        if paced_lots > 0 and at_this_pace > 0.0:
            lots = paced_lots * lots / at_this_pace
        return max(round(lots), 1)

    def _weights(self, spans: list[tuple[int, int]]) -> list[int]:
        scale = WEIGHT_PARTS / QUARTER_NS
        return [round(self.means[place] * length * scale) for place, length in spans]


def quarters(start_ns: int, end_ns: int) -> list[tuple[int, int]]:
    """Return (quarter of the day, ns within it) of each that a span touches, in their order."""
    edges = range(start_ns - start_ns % QUARTER_NS + QUARTER_NS, end_ns, QUARTER_NS)
    return [
        (before // QUARTER_NS % QUARTERS, after - before)
        for before, after in pairwise((start_ns, *edges, end_ns))
    ]
