"""One closed bar through every family: the same call live, in replay, in batch and in a peek."""

from __future__ import annotations

from engine.domain.features.coarse import fold_layers
from engine.domain.features.families import forget_features, update_families
from engine.domain.features.plan import FeaturePlan
from engine.domain.features.series import TIMEFRAME_S, place_of, push_bar
from engine.domain.features.volatility import update_atr
from engine.domain.kernel import Floats, Integers, Record, kernel
from engine.domain.structure import update_structure


@kernel
def take_bar(
    plan: FeaturePlan,
    series: Floats,
    structure: Record,
    number: int,
    atr: Floats,
    seed: Floats,
    t: int,
    inputs: Floats,
) -> bool:
    """Take bar `number` into series, average true range and structure, in place; False: it is none.

    Args:
        plan: knows when clocks change.
        series: float64[SERIES_COLUMNS, 2 * SERIES_BARS].
        structure: row of STRUCTURE_DTYPE.
        number: how many bars were taken before.
        atr: float64[timeframes], average true range, ticks.
        seed: float64[timeframes], what seeds it.
        t: which of the timeframes.
        inputs: float64[BAR_INPUTS], the bar.
    """
    if not push_bar(series, number, inputs):
        return False
    place = place_of(series, number)
    atr_ticks = update_atr(series, number, place, atr, seed, t)
    if plan.has_structure[0] != 0:
        update_structure(plan, structure, series, place, number, atr_ticks)
    return True


@kernel
def fold_bar(
    plan: FeaturePlan,
    series: Floats,
    coarse: Floats,
    structure: Record,
    counts: Integers,
    atr: Floats,
    seed: Floats,
    t: int,
    inputs: Floats,
    context: Floats,
    memory: Floats,
    features: Floats,
) -> bool:
    """Take the next bar and compute every column, in place; False, all NaN, when it is none.

    Args:
        plan: which kernel computes which column.
        series: float64[SERIES_COLUMNS, 2 * SERIES_BARS].
        coarse: float64[layers, COARSE_ROWS, 2 * COARSE_BARS], bars made of several.
        structure: row of STRUCTURE_DTYPE.
        counts: int64[timeframes], bars taken so far.
        atr: float64[timeframes], average true range, ticks.
        seed: float64[timeframes], what seeds it.
        t: which of the timeframes.
        inputs: float64[BAR_INPUTS], the bar.
        context: float64[CONTEXT_WORDS].
        memory: float64[cells], state of the rows.
        features: float64[columns].
    """
    number = counts[t]
    if not take_bar(plan, series, structure, number, atr, seed, t, inputs):
        forget_features(features)
        return False
    update_families(plan, series, structure, number, atr[t], context, memory, features)
    if coarse.shape[0] > 0:
        fold_layers(plan, coarse, inputs, context[TIMEFRAME_S], memory, features)
    counts[t] = number + 1
    return True
