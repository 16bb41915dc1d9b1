"""Bars made of several, by the clock, and their features: the same kernels, other bars.

A layer puts the bars of `every` timeframes together: those that start in one stretch of venue time
of that length, counted from 1970. It is closed by the bar that reaches the stretch's end or, where
that one never came, by the first bar behind it; the first may have begun before it was seen, as a
bar may. Until the next one closes, its features stay what they are. Where the length of a bar is
not known (bars that do not end by the clock) there are no such features.

    coarse[layer, column, 0 .. 15 | 16 .. 31]   windows, as series.py has them, in laps of 16
    coarse[layer, WORDS]     the stretch being put together: a bar's inputs, then the words below
    coarse[layer, HELD]      the newest features, in the order of their columns
"""

from __future__ import annotations

import numpy as np

from engine.domain.arrays import aligned_zeros
from engine.domain.features.families import update_price_families
from engine.domain.features.plan import FeaturePlan
from engine.domain.features.series import (
    BAR_INPUTS,
    BOUGHT,
    CLOSE,
    HIGH,
    LOW,
    SHARED_COLUMNS,
    START_S,
    TRADES,
    VOLUME,
    place_of,
    push_bar,
    stretch_of,
)
from engine.domain.features.volatility import ATR_BARS, update_atr
from engine.domain.kernel import Floats, kernel

COARSE_BARS = 16
WORDS, HELD, COARSE_ROWS = SHARED_COLUMNS, SHARED_COLUMNS + 1, SHARED_COLUMNS + 2
PART, IS_OPEN, COUNT, ATR, SEED = 8, 9, 10, 11, 12  # words behind the bar's inputs


def create_coarse(plan: FeaturePlan, *shape: int) -> Floats:
    """Return float64[shape, layers, COARSE_ROWS, 2 * COARSE_BARS], before the first bar."""
    layers = len(plan.coarse_bars)
    return aligned_zeros((*shape, layers, COARSE_ROWS, 2 * COARSE_BARS), np.float64)


@kernel
def merge_bar(words: Floats, inputs: Floats, part: float, span_s: float) -> None:
    """Put a bar to the others of its stretch, in place."""
    if words[IS_OPEN] == 0.0:
        for word in range(BAR_INPUTS):
            words[word] = inputs[word]
        words[START_S] = part * span_s
        words[PART] = part
        words[IS_OPEN] = 1.0
        return
    words[HIGH] = max(words[HIGH], inputs[HIGH])
    words[LOW] = min(words[LOW], inputs[LOW])
    words[CLOSE] = inputs[CLOSE]
    words[VOLUME] += inputs[VOLUME]
    words[BOUGHT] += inputs[BOUGHT]
    words[TRADES] += inputs[TRADES]


@kernel
def layer_plan(plan: FeaturePlan, layer: int) -> FeaturePlan:
    """Return the plan of a layer's rows alone."""
    return FeaturePlan(
        plan.coarse_first[layer],
        plan.params,
        plan.column,
        plan.cell,
        plan.zone_from_s,
        plan.zone_offset_s,
        plan.coarse_first,
        plan.coarse_bars,
        plan.coarse_column,
        plan.coarse_width,
        plan.has_structure,
    )


@kernel
def close_stretch(plan: FeaturePlan, series: Floats, memory: Floats) -> None:
    """Take the bar that was put together and compute its features into HELD, in place.

    Args:
        plan: of the layer.
        series: float64[COARSE_ROWS, 2 * COARSE_BARS], the layer.
        memory: state of the rows.
    """
    words = series[WORDS]
    words[IS_OPEN] = 0.0
    number = int(words[COUNT])
    if not push_bar(series[:SHARED_COLUMNS], number, words):
        return
    words[COUNT] += 1.0
    place = place_of(series, number)
    atr = update_atr(series, number, place, words[ATR:], words[SEED:], 0)
    if number < ATR_BARS:
        atr = np.nan
    update_price_families(plan, series, number, atr, memory, series[HELD])


@kernel
def fold_layer(
    plan: FeaturePlan,
    series: Floats,
    inputs: Floats,
    span_s: float,
    timeframe_s: float,
    memory: Floats,
) -> None:
    """Put a bar into one layer, in place; close its stretch when that ends here or ended before.

    Args:
        plan: of the layer.
        series: the layer.
        inputs: float64[BAR_INPUTS], the bar.
        span_s: length of a stretch, s.
        timeframe_s: length of the bar, s.
        memory: state of the rows.
    """
    words = series[WORDS]
    part = stretch_of(inputs[START_S], span_s)
    if words[IS_OPEN] != 0.0 and words[PART] != part:
        close_stretch(plan, series, memory)
    merge_bar(words, inputs, part, span_s)
    if stretch_of(inputs[START_S] + timeframe_s, span_s) != part:
        close_stretch(plan, series, memory)


@kernel
def fold_layers(
    plan: FeaturePlan,
    coarse: Floats,
    inputs: Floats,
    timeframe_s: float,
    memory: Floats,
    features: Floats,
) -> None:
    """Put a bar into every layer and write the layers' columns, in place.

    Args:
        plan: which kernel computes which column.
        coarse: float64[layers, COARSE_ROWS, 2 * COARSE_BARS].
        inputs: float64[BAR_INPUTS], a bar that was taken.
        timeframe_s: length of the bar, s; NaN: it does not end by the clock.
        memory: state of the rows.
        features: float64[columns].
    """
    for layer in range(coarse.shape[0]):
        series = coarse[layer]
        span_s = timeframe_s * plan.coarse_bars[layer]
        if span_s > 0.0:
            own = layer_plan(plan, layer)
            fold_layer(own, series, inputs, span_s, timeframe_s, memory)
        first = plan.coarse_column[layer]
        is_known = series[WORDS, COUNT] > 0.0
        for k in range(plan.coarse_width[layer]):
            features[first + k] = series[HELD, k] if is_known else np.nan
