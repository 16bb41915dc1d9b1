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
from engine.domain.features.plan import KERNELS, FeaturePlan, kernels_of
from engine.domain.features.profile import update_profile
from engine.domain.features.regime import update_regime
from engine.domain.features.returns import update_returns
from engine.domain.features.series import per_atr_of, place_of
from engine.domain.features.sessions import update_sessions
from engine.domain.features.smart_money import update_smart_money
from engine.domain.features.statistics import update_statistics
from engine.domain.features.trend import update_trend
from engine.domain.features.volatility import update_volatility
from engine.domain.features.volume import update_volume
from engine.domain.kernel import Floats, Record, fused, kernel

# First kernel of each family, and the one behind its last; a bar's first six are LAYER_FAMILIES.
RETURNS = kernels_of("returns")
AVERAGES = kernels_of("averages")
TREND = kernels_of("trend")
MOMENTUM = kernels_of("momentum")
VOLATILITY = kernels_of("volatility")
VOLUME = kernels_of("volume")
STATISTICS = kernels_of("statistics")
PROFILE = kernels_of("profile")
CYCLE = kernels_of("cycle")
IMPACT = kernels_of("impact")
CANDLES = kernels_of("candles")
CALENDAR = kernels_of("calendar")
SESSIONS = kernels_of("sessions")
SMART_MONEY = kernels_of("smart_money")
PATTERNS = kernels_of("patterns")
CARRY = kernels_of("carry")
CROWD = kernels_of("crowd")
CROSS = kernels_of("cross")
DEPTH = kernels_of("depth")
REGIME = kernels_of("regime")
OTHERS = (VOLUME[1], len(KERNELS))  # behind those that bars of several have too
_FIRST_SIX = (RETURNS, AVERAGES, TREND, MOMENTUM, VOLATILITY, VOLUME)
assert sum(last - first for first, last in _FIRST_SIX) == OTHERS[0], "the six stand before the rest"


@fused
def has_rows(plan: FeaturePlan, kernels: tuple[int, int]) -> bool:
    """Return whether a plan has rows of a family: what has none costs one comparison."""
    return plan.first[kernels[0]] < plan.first[kernels[1]]


@kernel
def forget_features(features: Floats) -> None:
    """Write NaN into every column: nothing is known of a bar that was not taken."""
    for column in range(features.shape[0]):
        features[column] = np.nan


@kernel
def update_price_families(
    plan: FeaturePlan,
    series: Floats,
    number: int,
    atr: float,
    memory: Floats,
    features: Floats,
) -> None:
    """Compute the columns of families that read bars alone and serve bars of several too, in place.

    Args:
        plan: which kernel computes which column.
        series: float64[SHARED_COLUMNS or more, 2 * a lap] with the bar in it.
        number: how many bars were taken before it.
        atr: average true range with this bar in it, ticks; NaN before it is known.
        memory: float64[cells], state of the rows.
        features: float64[columns].
    """
    place, per_atr = place_of(series, number), per_atr_of(atr)
    if has_rows(plan, RETURNS):
        update_returns(plan, series, place, number, per_atr, memory, features)
    if has_rows(plan, AVERAGES):
        update_averages(plan, series, place, number, per_atr, memory, features)
    if has_rows(plan, TREND):
        update_trend(plan, series, place, number, atr, memory, features)
    if has_rows(plan, MOMENTUM):
        update_momentum(plan, series, place, number, per_atr, memory, features)
    if has_rows(plan, VOLATILITY):
        update_volatility(plan, series, place, number, atr, memory, features)
    if has_rows(plan, VOLUME):
        update_volume(plan, series, place, number, per_atr, memory, features)


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
    update_price_families(plan, series, number, atr, memory, features)
    if has_rows(plan, OTHERS):
        update_other_families(plan, series, structure, number, atr, context, memory, features)


@kernel
def update_other_families(
    plan: FeaturePlan,
    series: Floats,
    structure: Record,
    number: int,
    atr: float,
    context: Floats,
    memory: Floats,
    features: Floats,
) -> None:
    """Compute the columns of families that bars of several do not have, in place."""
    place, per_atr = place_of(series, number), per_atr_of(atr)
    if has_rows(plan, STATISTICS):
        update_statistics(plan, series, place, number, per_atr, features)
    if has_rows(plan, PROFILE):
        update_profile(plan, series, place, number, per_atr, memory, features)
    if has_rows(plan, CYCLE):
        update_cycle(plan, series, place, number, per_atr, memory, features)
    if has_rows(plan, IMPACT):
        update_impact(plan, series, place, number, features)
    if has_rows(plan, CANDLES):
        update_candles(plan, series, place, number, features)
    if has_rows(plan, CALENDAR):
        update_calendar(plan, structure, series, place, per_atr, features)
    if has_rows(plan, SESSIONS):
        update_sessions(plan, structure, series, place, per_atr, features)
    if has_rows(plan, SMART_MONEY):
        update_smart_money(plan, structure, series, place, number, per_atr, features)
    if has_rows(plan, PATTERNS):
        update_patterns(plan, structure, series, place, number, atr, memory, features)
    if has_rows(plan, CARRY):
        update_carry(plan, series, place, context, memory, features)
    if has_rows(plan, CROWD):
        update_crowd(plan, series, place, number, context, memory, features)
    if has_rows(plan, CROSS):
        update_cross(plan, series, place, context, memory, features)
    if has_rows(plan, DEPTH):
        update_depth(plan, series, place, number, context, memory, features)
    if has_rows(plan, REGIME):
        update_regime(plan, series, place, number, memory, features)
