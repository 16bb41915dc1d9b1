"""What several levels of the book say when a bar ends: balance, slope, nearness, and what moved.

Levels stand in the context (`series.py`), NaN where there is none: all of them where the book is
not known or the venue sends none. Only the book's own prices are compared with each other.
"""

from __future__ import annotations

import numpy as np

from engine.domain.book import BOOK_LEVELS, FLOW_LEVELS
from engine.domain.features.cross import fold_mean
from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.series import (
    DEPTH_FIRST,
    DEPTH_FLOW,
    DEPTH_RUN,
    TO_BPS,
    ratio,
    window_volume,
)
from engine.domain.kernel import Floats, fused, kernel

IMBALANCE = kernel_number("depth.imbalance")
SLOPE = kernel_number("depth.slope")
WITHIN = kernel_number("depth.within")
COVER = kernel_number("depth.cover")
FLOW = kernel_number("depth.flow")
RUN, BEFORE, FOLDED, MEAN = 0, 1, 2, 3  # cells of a flow


@fused
def price_word(side: int) -> int:
    """Return the word of a side's best price, 0 bid, 1 ask; the next ones follow it."""
    return DEPTH_FIRST + 2 * BOOK_LEVELS * side


@fused
def lots_word(side: int) -> int:
    """Return the word of the quantity at a side's best price; the next ones follow it."""
    return price_word(side) + BOOK_LEVELS


@kernel
def lots_of(context: Floats, side: int, levels: int) -> float:
    """Return the quantity of a side's best `levels`, as many as there are; NaN of an empty side."""
    total = 0.0
    for k in range(lots_word(side), lots_word(side) + levels):
        if context[k] != context[k]:
            break
        total += context[k]
    return total if total > 0.0 else np.nan


@kernel
def lots_within(context: Floats, side: int, reach_bps: float) -> float:
    """Return a side's quantity at most `reach_bps` off the middle.

    NaN where the levels that are sent end before it: there may be more.
    """
    middle = (context[price_word(0)] + context[price_word(1)]) / 2.0
    total = 0.0
    for k in range(BOOK_LEVELS):
        away_bps = abs(context[price_word(side) + k] - middle) / middle * TO_BPS
        if away_bps > reach_bps:
            return total
        if away_bps != away_bps:  # noqa: PLR0124  NaN
            return np.nan
        total += context[lots_word(side) + k]
    return np.nan


@kernel
def balance(bid: float, ask: float) -> float:
    """Return bid minus ask over both; NaN when both are zero, or one is not known."""
    return ratio(bid - ask, bid + ask)


@kernel
def slope(context: Floats, side: int, levels: int) -> float:
    """Return which share of a side's best `levels` stands within a spread more of distance.

    The line through the origin that fits shares up to each level on its distance from the middle,
    both sides' spread being one.
    """
    spread = context[price_word(1)] - context[price_word(0)]
    middle = (context[price_word(0)] + context[price_word(1)]) / 2.0
    whole = lots_of(context, side, levels)
    shared, squares, found = 0.0, 0.0, 0.0
    for k in range(levels):
        away = abs(context[price_word(side) + k] - middle) / spread
        if away != away:  # noqa: PLR0124  NaN
            break
        found += context[lots_word(side) + k]
        shared += away * found / whole
        squares += away * away
    return ratio(shared, squares)


@kernel
def write_flow(
    context: Floats, span: int, memory: Floats, cell: int, features: Floats, column: int
) -> None:
    """Write what this bar added to the best bids less the best asks and its decayed mean, in place.

    Added less taken, over the quantity that stands there at the bar's end. NaN of a bar in which
    the book was lost, and of the first one. Cells: run (0: none), total before, bars folded, mean.
    """
    features[column] = np.nan
    features[column + 1] = np.nan
    run = context[DEPTH_RUN]
    is_next = memory[cell + RUN] == run
    memory[cell + RUN] = 0.0 if np.isnan(run) else run
    moved = context[DEPTH_FLOW] - memory[cell + BEFORE]
    memory[cell + BEFORE] = context[DEPTH_FLOW]
    both = lots_of(context, 0, FLOW_LEVELS) + lots_of(context, 1, FLOW_LEVELS)
    if not is_next or not both > 0.0:
        return
    newest = moved / both
    weight = max(2.0 / (span + 1), 1.0 / (memory[cell + FOLDED] + 1.0))
    fold_mean(memory, cell + MEAN, weight, newest)
    memory[cell + FOLDED] += 1.0
    features[column] = newest
    if memory[cell + FOLDED] >= span:
        features[column + 1] = memory[cell + MEAN]


@kernel
def update_depth(
    plan: FeaturePlan,
    series: Floats,
    place: int,
    number: int,
    context: Floats,
    memory: Floats,
    features: Floats,
) -> None:
    """Write this family's columns for bar `number`, in place."""
    first, params, column, cell = plan.first, plan.params, plan.column, plan.cell
    for k in range(first[IMBALANCE], first[IMBALANCE + 1]):
        levels = int(params[k, 0])
        features[column[k]] = balance(lots_of(context, 0, levels), lots_of(context, 1, levels))
    for k in range(first[SLOPE], first[SLOPE + 1]):
        features[column[k]] = slope(context, 0, int(params[k, 0]))
        features[column[k] + 1] = slope(context, 1, int(params[k, 0]))
    for k in range(first[WITHIN], first[WITHIN + 1]):
        reach = params[k, 0]
        features[column[k]] = balance(
            lots_within(context, 0, reach), lots_within(context, 1, reach)
        )
    for k in range(first[COVER], first[COVER + 1]):
        reach, bars = params[k, 0], int(params[k, 1])
        features[column[k]] = np.nan
        if number >= bars - 1:
            near = lots_within(context, 0, reach) + lots_within(context, 1, reach)
            features[column[k]] = ratio(near, window_volume(series, place, bars) / bars)
    for k in range(first[FLOW], first[FLOW + 1]):
        write_flow(context, int(params[k, 0]), memory, cell[k], features, column[k])
