"""One closed bar through every family: the same call live, in replay, in batch and in a peek."""

from __future__ import annotations

import numpy as np

from engine.domain.features.averages import update_averages
from engine.domain.features.calendar import update_calendar
from engine.domain.features.candles import update_candles
from engine.domain.features.carry import update_carry
from engine.domain.features.impact import update_impact
from engine.domain.features.momentum import update_momentum
from engine.domain.features.plan import FeaturePlan
from engine.domain.features.regime import update_regime
from engine.domain.features.returns import update_returns
from engine.domain.features.series import place_of, push_bar
from engine.domain.features.sessions import update_sessions
from engine.domain.features.smart_money import update_smart_money
from engine.domain.features.statistics import update_statistics
from engine.domain.features.trend import update_trend
from engine.domain.features.volatility import update_atr, update_volatility
from engine.domain.features.volume import update_volume
from engine.domain.kernel import Floats, Integers, Record, kernel
from engine.domain.structure import update_structure


@kernel
def forget_features(features: Floats) -> None:
    """Write NaN into every column: nothing is known of a bar that was not taken."""
    for column in range(features.shape[0]):
        features[column] = np.nan


@kernel
def update_families(
    plan: FeaturePlan,
    series: Floats,
    structure: Record,
    number: int,
    atr: float,
    context: Floats,
    memory: Floats,
    features: Floats,
) -> None:
    """Compute every column for bar `number`, in place, family by family.

    Args:
        plan: which kernel computes which column.
        series: float64[SERIES_COLUMNS, 2 * SERIES_BARS] with the bar in it.
        structure: row of STRUCTURE_DTYPE that has seen it.
        number: how many bars were taken before it.
        atr: average true range with this bar in it, ticks; NaN before it is known.
        context: float64[CONTEXT_WORDS].
        memory: float64[cells], state of the rows.
        features: float64[columns].
    """
    place = place_of(number)
    update_returns(plan, series, place, number, atr, memory, features)
    update_averages(plan, series, place, number, atr, memory, features)
    update_trend(plan, series, place, number, atr, memory, features)
    update_momentum(plan, series, place, number, atr, memory, features)
    update_volatility(plan, series, place, number, atr, memory, features)
    update_volume(plan, series, place, number, atr, memory, features)
    update_statistics(plan, series, place, number, atr, features)
    update_impact(plan, series, place, number, features)
    update_candles(plan, series, place, number, features)
    update_calendar(plan, structure, series, place, atr, features)
    update_sessions(plan, structure, series, place, atr, features)
    update_smart_money(plan, structure, series, place, number, atr, features)
    update_carry(plan, series, place, context, memory, features)
    update_regime(plan, series, place, number, memory, features)


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
    place = place_of(number)
    atr_ticks = update_atr(series, number, place, atr, seed, t)
    update_structure(plan, structure, series, place, number, atr_ticks)
    return True


@kernel
def fold_bar(
    plan: FeaturePlan,
    series: Floats,
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
    counts[t] = number + 1
    return True
