"""Every family of features for one bar, in one place: for bars and for bars made of several."""

from __future__ import annotations

import numpy as np

from engine.domain.features.averages import update_averages
from engine.domain.features.calendar import update_calendar
from engine.domain.features.candles import update_candles
from engine.domain.features.carry import update_carry
from engine.domain.features.cross import update_cross
from engine.domain.features.crowd import update_crowd
from engine.domain.features.cycle import update_cycle
from engine.domain.features.depth import update_depth
from engine.domain.features.impact import update_impact
from engine.domain.features.momentum import update_momentum
from engine.domain.features.patterns import update_patterns
from engine.domain.features.plan import FeaturePlan
from engine.domain.features.profile import update_profile
from engine.domain.features.regime import update_regime
from engine.domain.features.returns import update_returns
from engine.domain.features.series import place_of
from engine.domain.features.sessions import update_sessions
from engine.domain.features.smart_money import update_smart_money
from engine.domain.features.statistics import update_statistics
from engine.domain.features.trend import update_trend
from engine.domain.features.volatility import update_volatility
from engine.domain.features.volume import update_volume
from engine.domain.kernel import Floats, Record, kernel


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
        series: float64[SERIES_COLUMNS or more, 2 * a lap] with the bar in it.
        structure: row of STRUCTURE_DTYPE that has seen it.
        number: how many bars were taken before it.
        atr: average true range with this bar in it, ticks; NaN before it is known.
        context: float64[CONTEXT_WORDS].
        memory: float64[cells], state of the rows.
        features: float64[columns].
    """
    place = place_of(series, number)
    update_returns(plan, series, place, number, atr, memory, features)
    update_averages(plan, series, place, number, atr, memory, features)
    update_trend(plan, series, place, number, atr, memory, features)
    update_momentum(plan, series, place, number, atr, memory, features)
    update_volatility(plan, series, place, number, atr, memory, features)
    update_volume(plan, series, place, number, atr, memory, features)
    update_statistics(plan, series, place, number, atr, features)
    update_profile(plan, series, place, number, atr, memory, features)
    update_cycle(plan, series, place, number, atr, memory, features)
    update_impact(plan, series, place, number, features)
    update_candles(plan, series, place, number, features)
    update_calendar(plan, structure, series, place, atr, features)
    update_sessions(plan, structure, series, place, atr, features)
    update_smart_money(plan, structure, series, place, number, atr, features)
    update_patterns(plan, structure, series, place, number, atr, memory, features)
    update_carry(plan, series, place, context, memory, features)
    update_crowd(plan, series, place, number, context, memory, features)
    update_cross(plan, series, place, context, memory, features)
    update_depth(plan, series, place, number, context, memory, features)
    update_regime(plan, series, place, number, memory, features)
