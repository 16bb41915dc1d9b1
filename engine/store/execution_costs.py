"""What an execution cost: against arrival, the interval's VWAP and the mid; and markouts after it.

        slippage    side x (price - benchmark) / benchmark, in bps; more is worse
        arrival     the mid when the order was decided, which is what one wanted to pay
        vwap        of the market's trades between arrival and the last fill
        spread      each fill against the mid at its time: what crossing cost, or resting earned
        markout     side x (mid later - price) / price, in bps, less than 0: the market went away
        shortfall   arrival slippage of what was filled, and what the rest went away by (`missed`)

Everything is averaged over quantity and exact until the last division. A figure without its data,
such as a markout beyond the end of the recording, is None and never 0.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final, NamedTuple

BPS: Final = 10_000
MARKOUTS_S: Final = (1, 5, 30, 60)
NS_PER_S: Final = 1_000_000_000


class Execution(NamedTuple):
    """One fill."""

    time_ns: int
    price_ticks: int
    qty_lots: int
    is_maker: bool = False
    fee_e8: int = 0


class Mids:
    """The mid by time, in half ticks; a quote holds until the next."""

    def __init__(self, times_ns: Sequence[int], half_ticks: Sequence[int], end_ns: int) -> None:
        """Take quotes in order of time.

        Args:
            times_ns: of the quotes.
            half_ticks: bid plus ask.
            end_ns: until when the last one is known to hold.
        """
        self._times_ns = times_ns
        self._half_ticks = half_ticks
        self._end_ns = end_ns

    def at(self, time_ns: int) -> Fraction | None:
        """Return the mid in ticks at a time; None before the first quote and after the end."""
        place = bisect_right(self._times_ns, time_ns) - 1
        if place < 0 or time_ns > self._end_ns:
            return None
        return Fraction(int(self._half_ticks[place]), 2)


class Costs(NamedTuple):
    """What one order's execution cost; bps of the benchmark, None where it is not known."""

    wanted_lots: int
    filled_lots: int
    maker_lots: int
    average_ticks: float | None
    fee_e8: int
    arrival_bps: float | None
    vwap_bps: float | None
    spread_bps: float | None
    missed_bps: float | None  # of what was not filled, by the mid at the end
    markouts_bps: dict[int, float | None]  # by seconds after each fill


def average_price(executions: Sequence[Execution]) -> Fraction | None:
    """Return the price per lot in ticks; None without a fill."""
    lots = sum(one.qty_lots for one in executions)
    return Fraction(sum(one.price_ticks * one.qty_lots for one in executions), lots or 1) or None


def slippage_bps(side: int, price: Fraction | None, benchmark: Fraction | None) -> float | None:
    """Return how much worse a price is than a benchmark; None where one is missing."""
    if price is None or not benchmark:
        return None
    return float(side * (price - benchmark) / benchmark * BPS)


def _mean(
    executions: Sequence[Execution], of: Callable[[Execution], Fraction | None]
) -> float | None:
    """Return the mean over quantity; None when it is missing of any fill."""
    found = [(of(one), one.qty_lots) for one in executions]
    if not found or any(value is None for value, _ in found):
        return None
    total = sum((value * lots for value, lots in found if value is not None), Fraction(0))
    return float(total / sum(lots for _, lots in found))


def costs_of(
    side: int,
    wanted_lots: int,
    arrived_ns: int,
    executions: Sequence[Execution],
    trades: Sequence[tuple[int, int, int]],
    mids: Mids,
) -> Costs:
    """Return what an order's execution cost.

    Args:
        side: +1 bought, -1 sold.
        wanted_lots: of the whole order.
        arrived_ns: when it was decided.
        executions: its fills, in order of time.
        trades: the market's (time, price in ticks, lots), in order of time.
        mids: of the same instrument, on the same clock.
    """
    average, arrival = average_price(executions), mids.at(arrived_ns)
    end_ns = executions[-1].time_ns if executions else arrived_ns
    within = [Execution(*trade) for trade in trades if arrived_ns <= trade[0] <= end_ns]

    def spread(one: Execution) -> Fraction | None:
        mid = mids.at(one.time_ns)
        return side * (one.price_ticks - mid) / mid * BPS if mid else None

    def markout(one: Execution, after_s: int) -> Fraction | None:
        mid = mids.at(one.time_ns + after_s * NS_PER_S)
        return side * (mid - one.price_ticks) / Fraction(one.price_ticks) * BPS if mid else None

    filled = sum(one.qty_lots for one in executions)
    return Costs(
        wanted_lots=wanted_lots,
        filled_lots=filled,
        maker_lots=sum(one.qty_lots for one in executions if one.is_maker),
        average_ticks=None if average is None else float(average),
        fee_e8=sum(one.fee_e8 for one in executions),
        arrival_bps=slippage_bps(side, average, arrival),
        vwap_bps=slippage_bps(side, average, average_price(within)),
        spread_bps=_mean(executions, spread),
        missed_bps=slippage_bps(side, mids.at(end_ns), arrival) if filled < wanted_lots else None,
        markouts_bps={
            after_s: _mean(executions, lambda one, s=after_s: markout(one, s))  # type: ignore[misc]
            for after_s in MARKOUTS_S
        },
    )


def lines_of(name: str, costs: Costs) -> list[str]:
    """Return the costs for people, a line a figure."""

    def bps(value: float | None) -> str:
        return "not known" if value is None else f"{value:+.2f} bps"

    filled = f"{costs.filled_lots} of {costs.wanted_lots} lots, {costs.maker_lots} of them rested"
    found = [
        f"{name}: {filled}",
        f"  against arrival {bps(costs.arrival_bps)}",
        f"  against the interval's VWAP {bps(costs.vwap_bps)}, the mid {bps(costs.spread_bps)}",
        "  markouts " + ", ".join(f"{s} s {bps(v)}" for s, v in costs.markouts_bps.items()),
    ]
    if costs.missed_bps is not None:
        found.append(f"  what was missed went away by {bps(costs.missed_bps)}")
    return found
