"""What stands in a window of a column: sums, extremes and spreads, each in four lanes.

An addition takes four cycles, and one that waits for the one before it takes them for each number.
So there are four sums, of every fourth number each, which are put together at the end:

    one   0   4   8  ...  and what is left over
    two   1   5   9  ...
    three 2   6  10  ...
    four  3   7  11  ...

The order is written down rather than left to the compiler, so that every CPU finds the same bits.
How it is written decides what the compiler makes of it: what is left over into the first lane,
lanes added up one after the other, and it takes four lanes at a time; in pairs, and it takes two,
or looks numbers up one by one (bench.features, 2026-11-22: an eighth of a bar's). Sums of the same
numbers alone may share a loop; one that needs others too has its own, or neither is quick.

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
    return one + two + three + four


@kernel
def window_range(
    series: Floats, highs: int, lows: int, place: int, bars: int
) -> tuple[float, float]:
    """Return the lowest of one column over the window, and the highest of another."""
    low, high = series[lows, place], series[highs, place]
    low_2, low_3, low_4 = low, low, low
    high_2, high_3, high_4 = high, high, high
    for k in range(bars >> LANES_SHIFT):
        at = place - bars + 1 + 4 * k
        high = max(high, series[highs, at])
        high_2 = max(high_2, series[highs, at + 1])
        high_3 = max(high_3, series[highs, at + 2])
        high_4 = max(high_4, series[highs, at + 3])
        low = min(low, series[lows, at])
        low_2 = min(low_2, series[lows, at + 1])
        low_3 = min(low_3, series[lows, at + 2])
        low_4 = min(low_4, series[lows, at + 3])
    for at in range(place + 1 - (bars & LANES_MASK), place):
        high = max(high, series[highs, at])
        low = min(low, series[lows, at])
    return min(low, low_2, low_3, low_4), max(high, high_2, high_3, high_4)


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
        there = at + away
        one += abs(series[column, at] - series[other, there])
        two += abs(series[column, at + 1] - series[other, there + 1])
        three += abs(series[column, at + 2] - series[other, there + 2])
        four += abs(series[column, at + 3] - series[other, there + 3])
    for at in range(place + 1 - (bars & LANES_MASK), place + 1):
        one += abs(series[column, at] - series[other, at + away])
    return one + two + three + four


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
    return one + two + three + four


@kernel
def squares_between(series: Floats, column: int, place: int, bars: int, lag: int) -> float:
    """Return the sum of a column's squared differences from its numbers `lag` bars before."""
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    for k in range(bars >> LANES_SHIFT):
        at = place - bars + 1 + 4 * k
        # WHY: of at + 1 - lag the compiler does not see that it follows at - lag, and gathers.
        before = at - lag
        first = series[column, at] - series[column, before]
        second = series[column, at + 1] - series[column, before + 1]
        third = series[column, at + 2] - series[column, before + 2]
        fourth = series[column, at + 3] - series[column, before + 3]
        one += first * first
        two += second * second
        three += third * third
        four += fourth * fourth
    for at in range(place + 1 - (bars & LANES_MASK), place + 1):
        first = series[column, at] - series[column, at - lag]
        one += first * first
    return one + two + three + four


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
        there = at + away
        one += (series[column, at] - mean) * (series[other, there] - other_mean)
        two += (series[column, at + 1] - mean) * (series[other, there + 1] - other_mean)
        three += (series[column, at + 2] - mean) * (series[other, there + 2] - other_mean)
        four += (series[column, at + 3] - mean) * (series[other, there + 3] - other_mean)
    for at in range(place + 1 - (bars & LANES_MASK), place + 1):
        one += (series[column, at] - mean) * (series[other, at + away] - other_mean)
    return one + two + three + four


@kernel
def along_of(
    series: Floats, column: int, place: int, bars: int, mean: float, middle: float
) -> float:
    """Return the sum of numbers, taken from their mean, times places, taken from the middle one."""
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    first = place - bars + 1
    away, away_2, away_3, away_4 = -middle, 1.0 - middle, 2.0 - middle, 3.0 - middle
    for k in range(bars >> LANES_SHIFT):
        at = first + 4 * k
        one += away * (series[column, at] - mean)
        two += away_2 * (series[column, at + 1] - mean)
        three += away_3 * (series[column, at + 2] - mean)
        four += away_4 * (series[column, at + 3] - mean)
        away += 4.0
        away_2 += 4.0
        away_3 += 4.0
        away_4 += 4.0
    for at in range(place + 1 - (bars & LANES_MASK), place + 1):
        one += away * (series[column, at] - mean)
        away += 1.0
    return one + two + three + four


@kernel
def powers_of(
    series: Floats, column: int, place: int, bars: int, mean: float
) -> tuple[float, float, float]:
    """Return the sums of the second, third and fourth powers of differences from the mean."""
    two, two_2, two_3, two_4 = 0.0, 0.0, 0.0, 0.0
    three, three_2, three_3, three_4 = 0.0, 0.0, 0.0, 0.0
    four, four_2, four_3, four_4 = 0.0, 0.0, 0.0, 0.0
    for k in range(bars >> LANES_SHIFT):
        at = place - bars + 1 + 4 * k
        first, second = series[column, at] - mean, series[column, at + 1] - mean
        third, fourth = series[column, at + 2] - mean, series[column, at + 3] - mean
        two += first * first
        two_2 += second * second
        two_3 += third * third
        two_4 += fourth * fourth
        three += first * first * first
        three_2 += second * second * second
        three_3 += third * third * third
        three_4 += fourth * fourth * fourth
        four += first * first * (first * first)
        four_2 += second * second * (second * second)
        four_3 += third * third * (third * third)
        four_4 += fourth * fourth * (fourth * fourth)
    for at in range(place + 1 - (bars & LANES_MASK), place + 1):
        first = series[column, at] - mean
        two += first * first
        three += first * first * first
        four += first * first * (first * first)
    squares, cubes = two + two_2 + two_3 + two_4, three + three_2 + three_3 + three_4
    return squares, cubes, four + four_2 + four_3 + four_4


@kernel
def window_spread(series: Floats, column: int, place: int, bars: int) -> tuple[float, float]:
    """Return the mean of the window's differences from its newest number, and their variance.

    Of differences, so that large prices lose no digits. Rounding may leave a variance below zero.
    """
    newest, share = series[column, place], 1.0 / bars
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    square, square_2, square_3, square_4 = 0.0, 0.0, 0.0, 0.0
    for k in range(bars >> LANES_SHIFT):
        at = place - bars + 1 + 4 * k
        first, second = series[column, at] - newest, series[column, at + 1] - newest
        third, fourth = series[column, at + 2] - newest, series[column, at + 3] - newest
        one += first
        two += second
        three += third
        four += fourth
        square += first * first
        square_2 += second * second
        square_3 += third * third
        square_4 += fourth * fourth
    for at in range(place + 1 - (bars & LANES_MASK), place + 1):
        first = series[column, at] - newest
        one += first
        square += first * first
    mean = (one + two + three + four) * share
    return mean, (square + square_2 + square_3 + square_4) * share - mean * mean


@kernel
def weighted_squares_of(
    series: Floats, column: int, weights: int, place: int, bars: int, centre: float
) -> float:
    """Return the weighted sum of the squared differences from a number.

    Args:
        series: the columns.
        column: of the numbers.
        weights: column of what each weighs.
        place: where the newest is found.
        bars: of the window.
        centre: the number.
    """
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    for k in range(bars >> LANES_SHIFT):
        at = place - bars + 1 + 4 * k
        first, second = series[column, at] - centre, series[column, at + 1] - centre
        third, fourth = series[column, at + 2] - centre, series[column, at + 3] - centre
        one += first * first * series[weights, at]
        two += second * second * series[weights, at + 1]
        three += third * third * series[weights, at + 2]
        four += fourth * fourth * series[weights, at + 3]
    for at in range(place + 1 - (bars & LANES_MASK), place + 1):
        first = series[column, at] - centre
        one += first * first * series[weights, at]
    return one + two + three + four


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
