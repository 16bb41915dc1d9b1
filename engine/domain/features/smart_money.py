"""What smart-money structure says about the newest bar; the events are in `structure_state`."""

from __future__ import annotations

import numpy as np

from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.series import CLOSE, ratio
from engine.domain.kernel import Floats, Record, kernel
from engine.domain.leg import retracement
from engine.domain.structure_state import SWING_MASK, BlockState

TREND = kernel_number("smart_money.trend")
SWINGS = kernel_number("smart_money.swings")
LIVE_LEVELS = kernel_number("smart_money.live_levels")
LEG = kernel_number("smart_money.leg")
GAPS = kernel_number("smart_money.gaps")
GAP_RETURN = kernel_number("smart_money.gap_return")
BLOCKS = kernel_number("smart_money.blocks")
BREAKERS = kernel_number("smart_money.breakers")
POOLS = kernel_number("smart_money.pools")
SWEEP = kernel_number("smart_money.sweep")
CONFLUENCE = kernel_number("smart_money.confluence")
_BREAKER = int(BlockState.BREAKER)


@kernel
def write_side(side: int, known_at: int, number: int, features: Floats, column: int) -> None:
    """Write the side of what happened last and how many bars ago, in place; NaN before any."""
    features[column] = float(side) if side != 0 else np.nan
    features[column + 1] = float(number - known_at) if side != 0 else np.nan


@kernel
def level_distance(level: float, close: float, side: int, per_atr: float) -> float:
    """Return how far a level lies on a side of the close, in ATRs; NaN where it is 0: none."""
    return (level - close) * side * per_atr if level > 0.0 else np.nan


@kernel
def newest_swing(row: Record, side: int) -> float:
    """Return the level of the newest confirmed swing of a side, ticks; 0: none yet."""
    for back in range(1, min(row["swing_count"], 2) + 1):
        k = (row["swing_count"] - back) & SWING_MASK
        if row["swing_side"][k] == side:
            return float(row["swing_level_ticks"][k])
    return 0.0


@kernel
def write_leg(row: Record, close: float, features: Floats, column: int) -> None:
    """Write place in the leg (-1 to 1), retracement, deepest one and OTE, in place."""
    for output in range(4):
        features[column + output] = np.nan
    side = row["leg_side"]
    if side == 0:
        return
    back = retracement(row, close)
    features[column] = side * (1.0 - 2.0 * back)
    features[column + 1] = back
    features[column + 2] = row["leg_depth"]
    features[column + 3] = side if row["leg_ote_at"] >= 0 else 0.0


@kernel
def write_gaps(row: Record, close: float, per_atr: float, features: Floats, column: int) -> None:
    """Write the distance to the nearest open gap of each side and their balance, in place."""
    bullish, bearish = row["gap_count"][0], row["gap_count"][1]
    features[column] = np.nan
    features[column + 1] = np.nan
    if bullish > 0:
        features[column] = (close - row["gap_near_ticks"][0, bullish - 1]) * per_atr
    if bearish > 0:
        features[column + 1] = (row["gap_near_ticks"][1, bearish - 1] - close) * per_atr
    features[column + 2] = ratio(float(bullish - bearish), float(bullish + bearish))


@kernel
def nearest_block(row: Record, r: int, close: float, is_breaker: bool) -> float:
    """Return the near edge of the block of a row that lies nearest to a price; 0: none."""
    found = 0.0
    for k in range(row["block_count"][r]):
        if (row["block_state"][r, k] == _BREAKER) == is_breaker:
            near = row["block_near_ticks"][r, k]
            if found == 0.0 or abs(near - close) < abs(found - close):
                found = near
    return found


@kernel
def nearest_pool(row: Record, r: int, close: float) -> float:
    """Return the level of the pool of a row that lies nearest to a price; 0: none."""
    found = 0.0
    for k in range(row["pool_count"][r]):
        level = row["pool_level_ticks"][r, k]
        if row["pool_touches"][r, k] > 1:
            if found == 0.0 or abs(level - close) < abs(found - close):
                found = level
    return found


@kernel
def vote(side: int, known_at: int, number: int, bars: int) -> int:
    """Return a side that became known at most `bars` bars ago, else 0."""
    return side if side != 0 and number - known_at <= bars else 0


@kernel
def write_confluence(
    row: Record, close: float, number: int, bars: int, features: Floats, column: int
) -> None:
    """Write how many of five readings are bullish, and how many bearish, in place.

    Trend; a return into a gap, a touch of a block and a reclaimed sweep at most `bars` bars ago;
    discount or premium.
    """
    swept = -row["sweep_side"] if row["sweep_is_reclaimed"] != 0 else 0
    cheap = 0
    if row["leg_side"] != 0:
        middle = (row["leg_start_ticks"] + row["leg_end_ticks"]) / 2.0
        cheap = int(close < middle) - int(close > middle)
    bullish, bearish = 0.0, 0.0
    for side in (
        row["trend_side"],
        vote(row["return_side"], row["return_at"], number, bars),
        vote(row["touch_side"], row["touch_at"], number, bars),
        vote(swept, row["sweep_at"], number, bars),
        cheap,
    ):
        if side > 0:
            bullish += 1.0
        elif side < 0:
            bearish += 1.0
    features[column] = bullish
    features[column + 1] = bearish


@kernel
def update_zones(
    plan: FeaturePlan, row: Record, close: float, per_atr: float, features: Floats
) -> None:
    """Write the rows about gaps, blocks and pools, in place."""
    first, column = plan.first, plan.column
    for k in range(first[GAPS], first[GAPS + 1]):
        write_gaps(row, close, per_atr, features, column[k])
    for k in range(first[BLOCKS], first[BLOCKS + 1]):
        c = column[k]
        features[c] = level_distance(nearest_block(row, 0, close, False), close, -1, per_atr)
        features[c + 1] = level_distance(nearest_block(row, 1, close, False), close, 1, per_atr)
    for k in range(first[BREAKERS], first[BREAKERS + 1]):
        c = column[k]
        features[c] = level_distance(nearest_block(row, 0, close, True), close, 1, per_atr)
        features[c + 1] = level_distance(nearest_block(row, 1, close, True), close, -1, per_atr)
    for k in range(first[POOLS], first[POOLS + 1]):
        features[column[k]] = level_distance(nearest_pool(row, 0, close), close, 1, per_atr)
        features[column[k] + 1] = level_distance(nearest_pool(row, 1, close), close, -1, per_atr)


@kernel
def update_smart_money(
    plan: FeaturePlan,
    row: Record,
    series: Floats,
    place: int,
    number: int,
    per_atr: float,
    features: Floats,
) -> None:
    """Write this family's columns for bar `number`, in place; the structure has seen it."""
    first, params, column = plan.first, plan.params, plan.column
    close = series[CLOSE, place]
    for k in range(first[TREND], first[TREND + 1]):
        write_side(row["trend_side"], row["trend_known_at"], number, features, column[k])
    for k in range(first[SWINGS], first[SWINGS + 1]):
        features[column[k]] = level_distance(newest_swing(row, 1), close, 1, per_atr)
        features[column[k] + 1] = level_distance(newest_swing(row, -1), close, -1, per_atr)
    for k in range(first[LIVE_LEVELS], first[LIVE_LEVELS + 1]):
        features[column[k]] = level_distance(row["high_level_ticks"], close, 1, per_atr)
        features[column[k] + 1] = level_distance(row["low_level_ticks"], close, -1, per_atr)
    for k in range(first[LEG], first[LEG + 1]):
        write_leg(row, close, features, column[k])
    for k in range(first[GAP_RETURN], first[GAP_RETURN + 1]):
        write_side(row["return_side"], row["return_at"], number, features, column[k])
    for k in range(first[SWEEP], first[SWEEP + 1]):
        write_side(row["sweep_side"], row["sweep_at"], number, features, column[k])
    for k in range(first[CONFLUENCE], first[CONFLUENCE + 1]):
        write_confluence(row, close, number, int(params[k, 0]), features, column[k])
    update_zones(plan, row, close, per_atr, features)
