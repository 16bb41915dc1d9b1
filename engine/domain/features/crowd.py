"""The crowd's mood: what is extreme in funding, basis, forced trades and open interest.

An extreme is how many standard deviations a reading lies off its own decayed mean, both of the bars
before it. What the venue does not say is NaN, and is waited for: it counts as no bar.
"""

from __future__ import annotations

import math

import numpy as np

from engine.domain.features.momentum import place_in_range
from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.series import (
    FUNDING_RATE_BPS,
    LIQUIDATED_BUYS,
    LIQUIDATED_SELLS,
    MARK_BASIS_BPS,
    NEWS_WEIGHT,
    OPEN_INTEREST_LOTS,
    TO_BPS,
)
from engine.domain.features.volume import taker_balance
from engine.domain.kernel import Floats, kernel

FUNDING_EXTREME = kernel_number("crowd.funding_extreme")
BASIS_EXTREME = kernel_number("crowd.basis_extreme")
LIQUIDATION_EXTREME = kernel_number("crowd.liquidation_extreme")
OPEN_INTEREST = kernel_number("crowd.open_interest")
GREED = kernel_number("crowd.greed")
NEWS = kernel_number("crowd.news")
GREED_DEVIATIONS = 3.0  # of funding: as greedy, or as fearful, as it counts
SPREAD_MIN = 1e-12  # of a reading's size; what is below is rounding that equal readings left


@kernel
def fold_extreme(memory: Floats, cell: int, span: int, value: float) -> float:
    """Return a reading's distance from its decayed mean before, in its deviations; then fold it.

    NaN for the first `span` readings, and while they were equal; an unknown reading is not folded.
    Cells: readings folded, mean, variance.
    """
    if value != value:  # noqa: PLR0124  NaN
        return np.nan
    away = value - memory[cell + 1]
    variance = memory[cell + 2]
    extreme = np.nan
    floor = SPREAD_MIN * abs(value)
    if memory[cell] >= span and variance > floor * floor:
        extreme = away / math.sqrt(variance)
    weight = max(2.0 / (span + 1), 1.0 / (memory[cell] + 1.0))
    memory[cell] += 1.0
    memory[cell + 1] += weight * away
    memory[cell + 2] = (1.0 - weight) * (variance + weight * away * away)
    return extreme


@kernel
def liquidation_extreme(context: Floats, span: int, memory: Floats, cell: int) -> float:
    """Return the extreme of what was closed by force in this bar, both sides together.

    Cells: total before, whether there is one, three of `fold_extreme`.
    """
    total = context[LIQUIDATED_BUYS] + context[LIQUIDATED_SELLS]
    if not total >= 0.0:
        return np.nan
    forced = total - memory[cell]
    is_first = memory[cell + 1] == 0.0
    memory[cell] = total
    memory[cell + 1] = 1.0
    if is_first:
        return np.nan
    return fold_extreme(memory, cell + 2, span, forced)


@kernel
def write_open_interest(
    lots: float, span: int, memory: Floats, cell: int, features: Floats, column: int
) -> None:
    """Write the change of open interest since the bar before, bps, and its extreme, in place.

    Cells: open interest before (0: none), three of `fold_extreme`.
    """
    features[column] = np.nan
    features[column + 1] = np.nan
    if not lots > 0.0:
        return
    before = memory[cell]
    memory[cell] = lots
    if before > 0.0:
        change = (lots / before - 1.0) * TO_BPS
        features[column] = change
        features[column + 1] = fold_extreme(memory, cell + 1, span, change)


@kernel
def greed(
    series: Floats,
    place: int,
    number: int,
    bars: int,
    span: int,
    funding: float,
    memory: Floats,
    cell: int,
) -> float:
    """Return the crowd's mood from fear (-1) to greed (+1); NaN while a part of it is unknown.

    The mean of three parts: place of the close in the window's range, balance of takers over the
    window, and the extreme of funding over three deviations, held within -1 and 1.
    """
    extreme = fold_extreme(memory, cell, span, funding) / GREED_DEVIATIONS
    if number < bars - 1:
        return np.nan
    place_part = 2.0 * place_in_range(series, place, bars) - 1.0
    taken = taker_balance(series, place, number, bars)
    # WHY: min and max would turn an unknown extreme into a known one.
    if extreme > 1.0:
        extreme = 1.0
    elif extreme < -1.0:
        extreme = -1.0
    return (place_part + taken + extreme) / 3.0


@kernel
def update_crowd(
    plan: FeaturePlan,
    series: Floats,
    place: int,
    number: int,
    context: Floats,
    memory: Floats,
    features: Floats,
) -> None:
    """Write this family's columns, in place."""
    first, params, column, cell = plan.first, plan.params, plan.column, plan.cell
    funding, basis = context[FUNDING_RATE_BPS], context[MARK_BASIS_BPS]
    for k in range(first[FUNDING_EXTREME], first[FUNDING_EXTREME + 1]):
        features[column[k]] = fold_extreme(memory, cell[k], int(params[k, 0]), funding)
    for k in range(first[BASIS_EXTREME], first[BASIS_EXTREME + 1]):
        features[column[k]] = fold_extreme(memory, cell[k], int(params[k, 0]), basis)
    for k in range(first[LIQUIDATION_EXTREME], first[LIQUIDATION_EXTREME + 1]):
        span = int(params[k, 0])
        features[column[k]] = liquidation_extreme(context, span, memory, cell[k])
    lots = context[OPEN_INTEREST_LOTS]
    for k in range(first[OPEN_INTEREST], first[OPEN_INTEREST + 1]):
        write_open_interest(lots, int(params[k, 0]), memory, cell[k], features, column[k])
    for k in range(first[GREED], first[GREED + 1]):
        bars, span = int(params[k, 0]), int(params[k, 1])
        value = greed(series, place, number, bars, span, funding, memory, cell[k])
        features[column[k]] = value
    for k in range(first[NEWS], first[NEWS + 1]):
        features[column[k]] = context[NEWS_WEIGHT]
