"""Candle patterns: 1 (rising), -1 (falling), 0 (not there), each judged when its last bar closes.

"Long", "short" and "small" compare with the bars before the candle in question, so that no pattern
depends on the price's level:

    long, short body     above, below the mean body of the 10 bars before
    small                below a tenth of the mean range of the 10 bars before
    near, far            within 0.2, 0.6 of the mean range of the 5 bars before

The definitions are those of TA-Lib's functions of the same names, whose answers are the oracle.
"""

from __future__ import annotations

import numpy as np

from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.series import CLOSE, HIGH, LOW, OPEN
from engine.domain.features.windows import distance_between
from engine.domain.kernel import Floats, fused, kernel

DOJI = kernel_number("candles.doji")
MARUBOZU = kernel_number("candles.marubozu")
HAMMER = kernel_number("candles.hammer")
SHOOTING_STAR = kernel_number("candles.shooting_star")
ENGULFING = kernel_number("candles.engulfing")
HARAMI = kernel_number("candles.harami")
PIERCING = kernel_number("candles.piercing")
DARK_CLOUD = kernel_number("candles.dark_cloud")
STAR = kernel_number("candles.star")
SOLDIERS = kernel_number("candles.soldiers")
CANDLE_BARS = 13  # bars before the newest that any pattern looks at
BODY_BARS = 10
NEAR_BARS = 5


@fused
def colour(series: Floats, at: int) -> float:
    """Return 1 for a bar that closed at or above its open, else -1."""
    return 1.0 if series[CLOSE, at] >= series[OPEN, at] else -1.0


@fused
def body_of(series: Floats, at: int) -> float:
    """Return the size of the body."""
    return abs(series[CLOSE, at] - series[OPEN, at])


@fused
def top_of(series: Floats, at: int) -> float:
    """Return the upper end of the body."""
    return max(series[OPEN, at], series[CLOSE, at])


@fused
def bottom_of(series: Floats, at: int) -> float:
    """Return the lower end of the body."""
    return min(series[OPEN, at], series[CLOSE, at])


@kernel
def mean_body(series: Floats, at: int) -> float:
    """Return the mean body of the 10 bars before."""
    return distance_between(series, CLOSE, at - 1, OPEN, at - 1, BODY_BARS) / BODY_BARS


@kernel
def mean_range(series: Floats, at: int, bars: int) -> float:
    """Return the mean range of the bars before."""
    return distance_between(series, HIGH, at - 1, LOW, at - 1, bars) / bars


@kernel
def is_long(series: Floats, at: int) -> bool:
    """Return whether the body is a long one."""
    return body_of(series, at) > mean_body(series, at)


@kernel
def doji(series: Floats, place: int, small: float) -> float:
    """Return 1 where the body is small."""
    return 1.0 if body_of(series, place) <= small else 0.0


@kernel
def marubozu(series: Floats, place: int, small: float) -> float:
    """Return the colour of a long body whose wicks are small."""
    if series[HIGH, place] - top_of(series, place) >= small:
        return 0.0
    if bottom_of(series, place) - series[LOW, place] >= small or not is_long(series, place):
        return 0.0
    return colour(series, place)


@kernel
def hammer(series: Floats, place: int, small: float) -> float:
    """Return 1 for a short body on a longer lower wick, without upper one, near the low before."""
    bottom = bottom_of(series, place)
    if series[HIGH, place] - top_of(series, place) >= small:
        return 0.0
    if bottom - series[LOW, place] <= body_of(series, place):
        return 0.0
    if not body_of(series, place) < mean_body(series, place):
        return 0.0
    near = 0.2 * mean_range(series, place - 1, NEAR_BARS)
    return 1.0 if bottom <= series[LOW, place - 1] + near else 0.0


@kernel
def shooting_star(series: Floats, place: int, small: float) -> float:
    """Return -1 for a short body under a longer upper wick, whole above the body before."""
    if bottom_of(series, place) <= top_of(series, place - 1):
        return 0.0
    if bottom_of(series, place) - series[LOW, place] >= small:
        return 0.0
    if series[HIGH, place] - top_of(series, place) <= body_of(series, place):
        return 0.0
    return -1.0 if body_of(series, place) < mean_body(series, place) else 0.0


@kernel
def engulfing(series: Floats, place: int) -> float:
    """Return the colour of a body that covers the body before, of the other colour."""
    side = colour(series, place)
    if side == colour(series, place - 1):
        return 0.0
    above = (series[CLOSE, place] - series[OPEN, place - 1]) * side
    below = (series[CLOSE, place - 1] - series[OPEN, place]) * side
    covers = above >= 0.0 and below >= 0.0 and above + below > 0.0
    return side if covers else 0.0


@kernel
def harami(series: Floats, place: int) -> float:
    """Return the colour against that of a long body, for a short body within it."""
    inside = top_of(series, place) <= top_of(series, place - 1)
    inside = inside and bottom_of(series, place) >= bottom_of(series, place - 1)
    if not inside or body_of(series, place) > mean_body(series, place):
        return 0.0
    return -colour(series, place - 1) if is_long(series, place - 1) else 0.0


@kernel
def piercing(series: Floats, place: int) -> float:
    """Return 1 for a long rise from below a long fall's low into its upper half."""
    if colour(series, place) < 0.0 or colour(series, place - 1) > 0.0:
        return 0.0
    middle = series[CLOSE, place - 1] + 0.5 * body_of(series, place - 1)
    is_half = middle < series[CLOSE, place] < series[OPEN, place - 1]
    if not is_half or series[OPEN, place] >= series[LOW, place - 1]:
        return 0.0
    return 1.0 if is_long(series, place - 1) and is_long(series, place) else 0.0


@kernel
def dark_cloud(series: Floats, place: int) -> float:
    """Return -1 for a fall from above a long rise's high into its lower half."""
    if colour(series, place) > 0.0 or colour(series, place - 1) < 0.0:
        return 0.0
    middle = series[CLOSE, place - 1] - 0.5 * body_of(series, place - 1)
    is_half = series[OPEN, place - 1] < series[CLOSE, place] < middle
    if not is_half or series[OPEN, place] <= series[HIGH, place - 1]:
        return 0.0
    return -1.0 if is_long(series, place - 1) else 0.0


@kernel
def star(series: Floats, place: int) -> float:
    """Return the colour of the third of three: long, short beyond it, and 0.3 of the way back."""
    side = colour(series, place)
    if side == colour(series, place - 2):
        return 0.0
    beyond = bottom_of(series, place - 2) - top_of(series, place - 1)
    if side < 0.0:
        beyond = bottom_of(series, place - 1) - top_of(series, place - 2)
    back = (series[CLOSE, place] - series[CLOSE, place - 2]) * side
    if not beyond > 0.0 or not back > 0.3 * body_of(series, place - 2):
        return 0.0
    if not is_long(series, place - 2) or not is_long(series, place):
        return 0.0
    return side if body_of(series, place - 1) <= mean_body(series, place - 1) else 0.0


@kernel
def white_soldiers(series: Floats, place: int) -> bool:
    """Return whether three bars rise, each opening in or near the body before, without wicks."""
    for at in range(place - 2, place + 1):
        small = 0.1 * mean_range(series, at, BODY_BARS)
        if colour(series, at) < 0.0 or series[HIGH, at] - series[CLOSE, at] >= small:
            return False
    for at in range(place - 1, place + 1):
        mean = mean_range(series, at - 1, NEAR_BARS)
        if not series[CLOSE, at] > series[CLOSE, at - 1]:
            return False
        if not series[OPEN, at - 1] < series[OPEN, at] <= series[CLOSE, at - 1] + 0.2 * mean:
            return False
        if not body_of(series, at) > body_of(series, at - 1) - 0.6 * mean:
            return False
    return is_long(series, place)


@kernel
def black_crows(series: Floats, place: int) -> bool:
    """Return whether three bars fall after a rise, each opening in the body before, no wicks."""
    for at in range(place - 2, place + 1):
        small = 0.1 * mean_range(series, at, BODY_BARS)
        if colour(series, at) > 0.0 or series[CLOSE, at] - series[LOW, at] >= small:
            return False
    for at in range(place - 1, place + 1):
        if not series[CLOSE, at] < series[CLOSE, at - 1]:
            return False
        if not series[CLOSE, at - 1] < series[OPEN, at] < series[OPEN, at - 1]:
            return False
    return colour(series, place - 3) > 0.0 and series[HIGH, place - 3] > series[CLOSE, place - 2]


@kernel
def update_candles(
    plan: FeaturePlan, series: Floats, place: int, number: int, features: Floats
) -> None:
    """Write this family's columns for bar `number`, in place."""
    first, column = plan.first, plan.column
    if number < CANDLE_BARS:
        for k in range(first[DOJI], first[SOLDIERS + 1]):
            features[column[k]] = np.nan
        return
    small = 0.1 * mean_range(series, place, BODY_BARS)
    for k in range(first[DOJI], first[DOJI + 1]):
        features[column[k]] = doji(series, place, small)
    for k in range(first[MARUBOZU], first[MARUBOZU + 1]):
        features[column[k]] = marubozu(series, place, small)
    for k in range(first[HAMMER], first[HAMMER + 1]):
        features[column[k]] = hammer(series, place, small)
    for k in range(first[SHOOTING_STAR], first[SHOOTING_STAR + 1]):
        features[column[k]] = shooting_star(series, place, small)
    for k in range(first[ENGULFING], first[ENGULFING + 1]):
        features[column[k]] = engulfing(series, place)
    for k in range(first[HARAMI], first[HARAMI + 1]):
        features[column[k]] = harami(series, place)
    for k in range(first[PIERCING], first[PIERCING + 1]):
        features[column[k]] = piercing(series, place)
    for k in range(first[DARK_CLOUD], first[DARK_CLOUD + 1]):
        features[column[k]] = dark_cloud(series, place)
    for k in range(first[STAR], first[STAR + 1]):
        features[column[k]] = star(series, place)
    for k in range(first[SOLDIERS], first[SOLDIERS + 1]):
        rising = 1.0 if white_soldiers(series, place) else 0.0
        features[column[k]] = -1.0 if black_crows(series, place) else rising
