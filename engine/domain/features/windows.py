"""What stands in a window of a column: sums, extremes and spreads, each in four lanes.

An addition takes four cycles, and one that waits for the one before it takes them for each number.
So there are four sums, of every fourth number each, which are put together at the end:

    one   0   4   8  ...  and what is left over
    two   1   5   9  ...
    three 2   6  10  ...
    four  3   7  11  ...

The order is written down rather than left to the compiler, so that every CPU finds the same bits.

A window is told by its column, the place of its newest number and how many there are; a slice of
the column would be held against the column's ends at each call.
"""

from __future__ import annotations

import math

import numpy as np

from engine.domain.kernel import Floats, kernel

LANES_SHIFT, LANES_MASK = 2, 3


@kernel
def window_sum(series: Floats, column: int, place: int, bars: int) -> float:
    """Return the sum of a column over the window."""
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    for k in range(bars >> LANES_SHIFT):
        at = place - bars + 1 + 4 * k
        one += series[column, at]
        two += series[column, at + 1]
        three += series[column, at + 2]
        four += series[column, at + 3]
    for at in range(place + 1 - (bars & LANES_MASK), place + 1):
        one += series[column, at]
    return (one + two) + (three + four)


@kernel
def window_high(series: Floats, column: int, place: int, bars: int) -> float:
    """Return the highest of a column over the window."""
    one = series[column, place]
    two, three, four = one, one, one
    for k in range(bars >> LANES_SHIFT):
        at = place - bars + 1 + 4 * k
        one = max(one, series[column, at])
        two = max(two, series[column, at + 1])
        three = max(three, series[column, at + 2])
        four = max(four, series[column, at + 3])
    for at in range(place + 1 - (bars & LANES_MASK), place):
        one = max(one, series[column, at])
    return float(max(one, two, three, four))


@kernel
def window_low(series: Floats, column: int, place: int, bars: int) -> float:
    """Return the lowest of a column over the window."""
    one = series[column, place]
    two, three, four = one, one, one
    for k in range(bars >> LANES_SHIFT):
        at = place - bars + 1 + 4 * k
        one = min(one, series[column, at])
        two = min(two, series[column, at + 1])
        three = min(three, series[column, at + 2])
        four = min(four, series[column, at + 3])
    for at in range(place + 1 - (bars & LANES_MASK), place):
        one = min(one, series[column, at])
    return float(min(one, two, three, four))


@kernel
def newest_at(series: Floats, column: int, place: int, bars: int, level: float) -> int:
    """Return the place in the window, from 0, of its newest number that equals `level`."""
    for back in range(bars):
        if series[column, place - back] == level:
            return bars - 1 - back
    return 0


@kernel
def distance_between(
    series: Floats, column: int, place: int, other: int, other_place: int, bars: int
) -> float:
    """Return the sum of the absolute differences of pairs, one of each of two windows."""
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    away = other_place - place
    for k in range(bars >> LANES_SHIFT):
        at = place - bars + 1 + 4 * k
        one += abs(series[column, at] - series[other, at + away])
        two += abs(series[column, at + 1] - series[other, at + 1 + away])
        three += abs(series[column, at + 2] - series[other, at + 2 + away])
        four += abs(series[column, at + 3] - series[other, at + 3 + away])
    for at in range(place + 1 - (bars & LANES_MASK), place + 1):
        one += abs(series[column, at] - series[other, at + away])
    return (one + two) + (three + four)


@kernel
def window_way(series: Floats, column: int, place: int, bars: int) -> float:
    """Return the sum of a column's absolute moves from bar to bar of the window."""
    return distance_between(series, column, place, column, place - 1, bars)


@kernel
def distance_from(series: Floats, column: int, place: int, bars: int, mean: float) -> float:
    """Return the sum of the absolute differences from one number."""
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    for k in range(bars >> LANES_SHIFT):
        at = place - bars + 1 + 4 * k
        one += abs(series[column, at] - mean)
        two += abs(series[column, at + 1] - mean)
        three += abs(series[column, at + 2] - mean)
        four += abs(series[column, at + 3] - mean)
    for at in range(place + 1 - (bars & LANES_MASK), place + 1):
        one += abs(series[column, at] - mean)
    return (one + two) + (three + four)


@kernel
def squares_between(series: Floats, column: int, place: int, bars: int, lag: int) -> float:
    """Return the sum of a column's squared differences from its numbers `lag` bars before."""
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    for k in range(bars >> LANES_SHIFT):
        at = place - bars + 1 + 4 * k
        first = series[column, at] - series[column, at - lag]
        second = series[column, at + 1] - series[column, at + 1 - lag]
        third = series[column, at + 2] - series[column, at + 2 - lag]
        fourth = series[column, at + 3] - series[column, at + 3 - lag]
        one += first * first
        two += second * second
        three += third * third
        four += fourth * fourth
    for at in range(place + 1 - (bars & LANES_MASK), place + 1):
        first = series[column, at] - series[column, at - lag]
        one += first * first
    return (one + two) + (three + four)


@kernel
def products_of(
    series: Floats,
    column: int,
    place: int,
    mean: float,
    other: int,
    other_place: int,
    other_mean: float,
    bars: int,
) -> float:
    """Return the sum of the products of pairs, one of each of two windows.

    Args:
        series: the columns.
        column: of the one window.
        place: of its newest number.
        mean: what its numbers are taken from.
        other: column of the other window.
        other_place: of its newest number.
        other_mean: what its numbers are taken from.
        bars: of either window.
    """
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    away = other_place - place
    for k in range(bars >> LANES_SHIFT):
        at = place - bars + 1 + 4 * k
        one += (series[column, at] - mean) * (series[other, at + away] - other_mean)
        two += (series[column, at + 1] - mean) * (series[other, at + 1 + away] - other_mean)
        three += (series[column, at + 2] - mean) * (series[other, at + 2 + away] - other_mean)
        four += (series[column, at + 3] - mean) * (series[other, at + 3 + away] - other_mean)
    for at in range(place + 1 - (bars & LANES_MASK), place + 1):
        one += (series[column, at] - mean) * (series[other, at + away] - other_mean)
    return (one + two) + (three + four)


@kernel
def along_of(
    series: Floats, column: int, place: int, bars: int, mean: float, middle: float
) -> float:
    """Return the sum of numbers, taken from their mean, times places, taken from the middle one."""
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    first = place - bars + 1
    for k in range(bars >> LANES_SHIFT):
        at = first + 4 * k
        one += (4 * k - middle) * (series[column, at] - mean)
        two += (4 * k + 1 - middle) * (series[column, at + 1] - mean)
        three += (4 * k + 2 - middle) * (series[column, at + 2] - mean)
        four += (4 * k + 3 - middle) * (series[column, at + 3] - mean)
    for k in range(bars - (bars & LANES_MASK), bars):
        one += (k - middle) * (series[column, first + k] - mean)
    return (one + two) + (three + four)


@kernel
def powers_of(
    series: Floats, column: int, place: int, bars: int, mean: float
) -> tuple[float, float, float]:
    """Return the sums of the second, third and fourth powers of differences from the mean."""
    two, three, four = 0.0, 0.0, 0.0
    two_odd, three_odd, four_odd = 0.0, 0.0, 0.0
    for k in range(bars >> 1):
        at = place - bars + 1 + 2 * k
        even, odd = series[column, at] - mean, series[column, at + 1] - mean
        square, square_odd = even * even, odd * odd
        two += square
        two_odd += square_odd
        three += square * even
        three_odd += square_odd * odd
        four += square * square
        four_odd += square_odd * square_odd
    if bars & 1:
        last = series[column, place] - mean
        two += last * last
        three += last * last * last
        four += last * last * (last * last)
    return two + two_odd, three + three_odd, four + four_odd


@kernel
def window_spread(series: Floats, column: int, place: int, bars: int) -> tuple[float, float]:
    """Return the mean of the window's differences from its newest number, and their variance.

    Of differences, so that large prices lose no digits. Rounding may leave a variance below zero.
    """
    newest = series[column, place]
    total, total_odd, squares, squares_odd = 0.0, 0.0, 0.0, 0.0
    # The last of an odd number of bars is the newest itself, which differs by nothing.
    for k in range(bars >> 1):
        at = place - bars + 1 + 2 * k
        even, odd = series[column, at] - newest, series[column, at + 1] - newest
        total += even
        total_odd += odd
        squares += even * even
        squares_odd += odd * odd
    share = 1.0 / bars
    mean = (total + total_odd) * share
    return mean, (squares + squares_odd) * share - mean * mean


@kernel
def weighted_spread_of(
    series: Floats, column: int, weights: int, place: int, bars: int, centre: float
) -> tuple[float, float]:
    """Return the weighted sums of the differences from a number, and of their squares.

    Args:
        series: the columns.
        column: of the numbers.
        weights: column of what each weighs.
        place: where the newest is found.
        bars: of the window.
        centre: the number.
    """
    total, total_odd, squares, squares_odd = 0.0, 0.0, 0.0, 0.0
    for k in range(bars >> 1):
        at = place - bars + 1 + 2 * k
        even, odd = series[column, at] - centre, series[column, at + 1] - centre
        total += even * series[weights, at]
        total_odd += odd * series[weights, at + 1]
        squares += even * even * series[weights, at]
        squares_odd += odd * odd * series[weights, at + 1]
    if bars & 1:
        difference = series[column, place] - centre
        total += difference * series[weights, place]
        squares += difference * difference * series[weights, place]
    return total + total_odd, squares + squares_odd


@kernel
def newest_deviation(
    series: Floats, column: int, place: int, bars: int, variance_min: float
) -> float:
    """Return the newest number minus the window's mean, in the window's standard deviations.

    Args:
        series: the columns.
        column: which of them.
        place: where the newest number is found.
        bars: of the window.
        variance_min: NaN unless the variance is above it.
    """
    mean, variance = window_spread(series, column, place, bars)
    if not variance > variance_min:
        return np.nan
    return -mean / math.sqrt(variance)
