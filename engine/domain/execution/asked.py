"""What is asked of a parent order, as the numbers of one record, and the plan they make.

The same for a running engine, for paper and for research: words become `Asked`, `Asked` becomes a
plan (`work.Plan`) when it starts. Everything about it is checked here, before anything is sent.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np

from engine.domain.execution.algorithms import (
    Hiding,
    Iceberg,
    LiveVolume,
    Participation,
    Peg,
    Scheduled,
    hiding,
)
from engine.domain.execution.curve import Curve, even, shortfall
from engine.domain.execution.parent import PPM, Algorithm, Parent
from engine.domain.execution.routed import Best
from engine.domain.execution.work import CHILDREN_MAX, SPAN_NS_MAX, Bounds, Plan

NS_PER_S: Final = 1_000_000_000
PARENTS_MAX: Final = 16  # at work at once
STEPS: Final = 30  # of a shortfall schedule
GRACE_S: Final = 30.0  # after a schedule's end, for what is then taken
PAUSE_NS: Final = 250_000_000  # least time between two children
ABOVE_LEAST: Final = 1.05  # a price may move before a child of the least worth is sent
REFUSALS_MAX: Final = 40  # in a row: ten seconds of a gate that stays shut


class Method(IntEnum):
    """How a parent order is worked. Stored in journals: never renumbered."""

    TWAP = 1
    VWAP = 2
    POV = 3
    ICEBERG = 4
    SHORTFALL = 5
    PEG = 6
    BEST = 7


SCHEDULED: Final = frozenset({Method.TWAP, Method.VWAP, Method.SHORTFALL, Method.PEG, Method.BEST})


class Least(NamedTuple):
    """The smallest order a venue takes."""

    lots: int = 1
    step_lots: int = 1


def least_of(instrument: np.void, mid_ticks: float) -> Least:
    """Return the smallest order of an instrument the venue takes, by quantity and by worth.

    Args:
        instrument: a row of INSTRUMENT_DTYPE.
        mid_ticks: what a lot is worth; 0: not known.
    """
    lots = max(int(instrument["min_qty_lots"]), 1)
    lot_e8 = mid_ticks * int(instrument["unit_e8"])
    if lot_e8 > 0:
        lots = max(lots, int(-(-ABOVE_LEAST * int(instrument["min_notional_e8"]) // lot_e8)))
    return Least(lots)


class Asked(NamedTuple):
    """A parent order before it starts; lots and ticks of one instrument."""

    method: Method
    side: int
    qty_lots: int
    limit_ticks: int = 0  # worst price; 0: any
    span_s: float = 600.0
    detail: float = 0.0  # POV: part; ICEBERG, BEST: lots shown; SHORTFALL: kappa x span; PEG: ticks
    patience_s: float = 5.0  # how long what is due may rest before it is taken
    cap: float = 0.0  # most of the market's volume that may be ours; 0: any

    def parent(self, least: Least) -> Parent:
        """Return what is to be done.

        Raises:
            ValueError: it cannot be done in orders that the venue takes.
        """
        cap_ppm = round(self.cap * PPM) if 0 <= self.cap <= 1 else -1
        parent = Parent(
            self.side, self.qty_lots, self.limit_ticks, least.lots, least.step_lots, cap_ppm
        )
        return parent.checked()

    def plan(
        self, least: Least, start_ns: int, *, curve: Curve | None = None, expected_lots: int = 0
    ) -> Plan:
        """Return the plan of an order that starts now.

        Args:
            least: what the venue takes.
            start_ns: now, of the clock that will be asked.
            curve: of the volume as expected, for VWAP; None: even.
            expected_lots: by the market over the span, for VWAP: what trades corrects the curve;
                0: the curve stands as it is.

        Raises:
            ValueError: a number of it makes no sense; the message is a sentence.
        """
        if not 0 < self.span_s * NS_PER_S <= SPAN_NS_MAX or not 0 <= self.patience_s <= self.span_s:
            message = f"{self.span_s} s with {self.patience_s} s of patience: expected up to 7 days"
            raise ValueError(message)
        parent = self.parent(least)
        end_ns = start_ns + round(self.span_s * NS_PER_S)
        algorithm = self._algorithm(parent, start_ns, end_ns, curve, expected_lots)
        grace_s = GRACE_S + self.patience_s if self.method in SCHEDULED else 0.0
        bounds = Bounds(
            start_ns,
            end_ns + round(grace_s * NS_PER_S),
            CHILDREN_MAX,
            pause_ns=PAUSE_NS,
            refusals_max=REFUSALS_MAX,
        )
        # A span of seven days has its grace within them.
        last_ns = min(bounds.end_ns, start_ns + SPAN_NS_MAX)
        return Plan(parent, algorithm, bounds._replace(end_ns=last_ns).checked())

    def _algorithm(
        self, parent: Parent, start_ns: int, end_ns: int, curve: Curve | None, expected_lots: int
    ) -> Algorithm:
        patience_ns = round(self.patience_s * NS_PER_S)
        if self.method is Method.POV:
            if not 0 < self.detail <= 1:
                raise ValueError(f"part {self.detail} of the volume: expected above 0, at most 1")
            return Participation(round(self.detail * PPM))
        if self.method is Method.ICEBERG:
            return self._iceberg(parent)
        if self.method is Method.PEG:
            if not 0 <= self.detail <= 1_000:
                raise ValueError(f"{self.detail} ticks behind the touch: expected 0 to 1000")
            return Peg(behind_ticks=round(self.detail), end_ns=end_ns)
        if self.method is Method.BEST:
            return Best(self._display_lots(parent) if self.detail else 0, patience_ns, end_ns)
        if self.method is Method.SHORTFALL:
            return Scheduled(shortfall(start_ns, end_ns, self.detail, STEPS), patience_ns)
        if self.method is Method.VWAP and expected_lots > 0:
            return LiveVolume(curve or even(start_ns, end_ns), expected_lots, patience_ns)
        if self.method is Method.VWAP and curve is None:
            raise ValueError("no volume was seen yet to expect any: ask for twap or pov")
        return Scheduled(curve or even(start_ns, end_ns), patience_ns)

    def _iceberg(self, parent: Parent) -> Iceberg:
        if self.limit_ticks <= 0:
            raise ValueError("an iceberg needs a limit price to stand at")
        return Iceberg(self._display_lots(parent), self.limit_ticks)

    def _display_lots(self, parent: Parent) -> int:
        display = round(self.detail)
        found = hiding(parent, display, is_native=False)
        if found is Hiding.REFUSED or display > self.qty_lots:
            raise ValueError(f"an iceberg that shows {display} lots: {Hiding.REFUSED.value}")
        return display
