"""How much of a parent order is due by when: one curve for TWAP, VWAP and shortfall schedules.

        share 1 |            ____      TWAP        two points
                |        ___/          VWAP        a point a bar of the day's volume
                |   ____/              shortfall   Almgren and Chriss: fast first, if risk is dear
              0 |__/
                start          end

A curve is points of (time, share) that rise from 0 to 1; between them it is straight. Shares are
whole parts of `WHOLE`, so the due lots of a time are exact and the last point is the whole order.

Source: Almgren, Chriss: Optimal execution of portfolio transactions (2000), discrete trajectory.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

WHOLE: Final = 1_000_000_000  # parts of an order
POINTS_MAX: Final = 1_441  # a minute each, over a day
ARGUMENT_MAX: Final = 700.0  # of sinh; beyond it overflows


class Curve(NamedTuple):
    """Cumulative shares by time; both rise, times strictly."""

    times_ns: tuple[int, ...]
    shares: tuple[int, ...]  # parts of WHOLE; 0 first, WHOLE last

    def share(self, now_ns: int) -> int:
        """Return the share that is due by a time, in parts of WHOLE."""
        place = bisect_right(self.times_ns, now_ns)
        if place == 0:
            return 0
        if place == len(self.times_ns):
            return WHOLE
        before_ns, after_ns = self.times_ns[place - 1 : place + 1]
        low, high = self.shares[place - 1 : place + 1]
        return low + (high - low) * (now_ns - before_ns) // (after_ns - before_ns)

    def due_lots(self, qty_lots: int, now_ns: int) -> int:
        """Return how many of so many lots are due by a time, rounded down."""
        return qty_lots * self.share(now_ns) // WHOLE


def curve_of(times_ns: Sequence[int], weights: Sequence[int]) -> Curve:
    """Return the curve whose steps are in proportion to weights.

    Args:
        times_ns: edges, one more than weights.
        weights: not negative, whole; of the span between two edges.

    Raises:
        ValueError: times do not rise, weights are negative or all nothing, or counts do not fit.
    """
    if not 2 <= len(times_ns) <= POINTS_MAX or len(weights) != len(times_ns) - 1:
        message = f"{len(times_ns)} times and {len(weights)} weights: expected one weight a span"
        raise ValueError(message)
    if any(after <= before for before, after in pairwise(times_ns)):
        message = "times of a curve must rise"
        raise ValueError(message)
    total = sum(weights)
    if total <= 0 or min(weights) < 0:
        message = "weights of a curve must not be negative, nor all of them nothing"
        raise ValueError(message)
    shares, seen = [0], 0
    for weight in weights:
        seen += weight
        shares.append(WHOLE * seen // total)
    return Curve(tuple(times_ns), tuple(shares))


def even(start_ns: int, end_ns: int) -> Curve:
    """Return the TWAP curve: the same in every second.

    Raises:
        ValueError: the end is not after the start.
    """
    return curve_of((start_ns, end_ns), (1,))


def by_volume(start_ns: int, end_ns: int, bars: Sequence[tuple[int, int]]) -> Curve:
    """Return the VWAP curve of a volume profile.

    Args:
        start_ns: of the order.
        end_ns: of the order.
        bars: (open time, expected lots), rising; the last lasts until the end. Bars that opened
            before the start count by the part of them that is left.

    Raises:
        ValueError: no volume is expected within the order's time, or times do not rise.
    """
    times, weights = [start_ns], []
    closes = [*(open_ns for open_ns, _ in bars[1:]), end_ns]
    for (open_ns, lots), close_ns in zip(bars, closes, strict=False):
        first, last = max(open_ns, start_ns), min(close_ns, end_ns)
        if first < last:
            weights.append(lots * WHOLE * (last - first) // (close_ns - open_ns))
            times.append(last)
    return curve_of(times, weights)


class Risk(NamedTuple):
    """What Almgren and Chriss need, in one unit of time and money each."""

    volatility: float  # of the price, money per square root of time
    temporary: float  # impact: money per lot traded in a unit of time
    permanent: float  # impact: money per lot
    aversion: float  # lambda: of cost in money and its variance


def urgency(risk: Risk, step: float) -> float:
    """Return kappa, per unit of time, for steps of a length; 0: nothing is lost by waiting.

    Raises:
        ValueError: impact or risk make no sense.
    """
    temporary = risk.temporary - risk.permanent * step / 2
    if temporary <= 0 or min(risk.volatility, risk.permanent, risk.aversion) < 0 or step <= 0:
        message = "temporary impact must exceed half the permanent impact of a step"
        raise ValueError(message)
    squared = risk.aversion * risk.volatility**2 / temporary
    return math.acosh(squared * step**2 / 2 + 1) / step


def shortfall(start_ns: int, end_ns: int, kappa_span: float, steps: int) -> Curve:
    """Return the curve that weighs impact against the risk of waiting.

    Args:
        start_ns: of the order.
        end_ns: of the order.
        kappa_span: kappa times the order's whole time; 0 is TWAP, more is faster at first.
        steps: points of the curve.

    Raises:
        ValueError: no step, or a negative urgency.
    """
    if not 1 <= steps < POINTS_MAX or not 0 <= kappa_span <= ARGUMENT_MAX:
        message = f"{steps} steps, urgency {kappa_span}: expected 1 to {POINTS_MAX - 1}, 0 to 700"
        raise ValueError(message)
    times = [start_ns + (end_ns - start_ns) * k // steps for k in range(steps + 1)]
    held = [WHOLE - _gone(kappa_span, k / steps) for k in range(steps + 1)]
    return curve_of(times, [before - after for before, after in pairwise(held)])


def _gone(kappa_span: float, time: float) -> int:
    """Return the share that is traded by a part of the time."""
    if kappa_span < 1e-9:
        return round(WHOLE * time)
    held = math.sinh(kappa_span * (1 - time)) / math.sinh(kappa_span)
    return round(WHOLE * (1 - held))
