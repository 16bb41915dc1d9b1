"""What stands in a window of a column: sums, extremes and spreads, each in four lanes.

An addition takes four cycles, and one that waits for the one before it takes them for each number.
So there are four sums, of every fourth number each, which are put together at the end:

    one   0   4   8  ...  and what is left over
    two   1   5   9  ...
    three 2   6  10  ...
    four  3   7  11  ...

The order is written down rather than left to the compiler, so that every CPU finds the same bits.
"""

from __future__ import annotations

import math

import numpy as np

from engine.domain.kernel import Floats, kernel

LANES_SHIFT = 2


@kernel
def window_sum(series: Floats, column: int, place: int, bars: int) -> float:
    """Return the sum of a column over the window."""
    numbers = series[column, place - bars + 1 : place + 1]
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    whole = numbers.shape[0] >> LANES_SHIFT
    for k in range(whole):
        one += numbers[4 * k]
        two += numbers[4 * k + 1]
        three += numbers[4 * k + 2]
        four += numbers[4 * k + 3]
    for k in range(4 * whole, numbers.shape[0]):
        one += numbers[k]
    return (one + two) + (three + four)


@kernel
def window_high(series: Floats, column: int, place: int, bars: int) -> float:
    """Return the highest of a column over the window."""
    numbers = series[column, place - bars + 1 : place + 1]
    one = numbers[0]
    two, three, four = one, one, one
    whole = numbers.shape[0] >> LANES_SHIFT
    for k in range(whole):
        one = max(one, numbers[4 * k])
        two = max(two, numbers[4 * k + 1])
        three = max(three, numbers[4 * k + 2])
        four = max(four, numbers[4 * k + 3])
    for k in range(4 * whole, numbers.shape[0]):
        one = max(one, numbers[k])
    return float(max(one, two, three, four))


@kernel
def window_low(series: Floats, column: int, place: int, bars: int) -> float:
    """Return the lowest of a column over the window."""
    numbers = series[column, place - bars + 1 : place + 1]
    one = numbers[0]
    two, three, four = one, one, one
    whole = numbers.shape[0] >> LANES_SHIFT
    for k in range(whole):
        one = min(one, numbers[4 * k])
        two = min(two, numbers[4 * k + 1])
        three = min(three, numbers[4 * k + 2])
        four = min(four, numbers[4 * k + 3])
    for k in range(4 * whole, numbers.shape[0]):
        one = min(one, numbers[k])
    return float(min(one, two, three, four))


@kernel
def newest_at(numbers: Floats, level: float) -> int:
    """Return the place in the window, from 0, of the newest number that equals `level`."""
    found = 0
    for k in range(numbers.shape[0]):
        if numbers[k] == level:
            found = k
    return found


@kernel
def distance_between(numbers: Floats, others: Floats) -> float:
    """Return the sum of the absolute differences of pairs."""
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    whole = numbers.shape[0] >> LANES_SHIFT
    for k in range(whole):
        one += abs(numbers[4 * k] - others[4 * k])
        two += abs(numbers[4 * k + 1] - others[4 * k + 1])
        three += abs(numbers[4 * k + 2] - others[4 * k + 2])
        four += abs(numbers[4 * k + 3] - others[4 * k + 3])
    for k in range(4 * whole, numbers.shape[0]):
        one += abs(numbers[k] - others[k])
    return (one + two) + (three + four)


@kernel
def window_way(series: Floats, column: int, place: int, bars: int) -> float:
    """Return the sum of a column's absolute moves from bar to bar of the window."""
    before = series[column, place - bars : place]
    return distance_between(series[column, place - bars + 1 : place + 1], before)


@kernel
def distance_from(numbers: Floats, mean: float) -> float:
    """Return the sum of the absolute differences from one number."""
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    whole = numbers.shape[0] >> LANES_SHIFT
    for k in range(whole):
        one += abs(numbers[4 * k] - mean)
        two += abs(numbers[4 * k + 1] - mean)
        three += abs(numbers[4 * k + 2] - mean)
        four += abs(numbers[4 * k + 3] - mean)
    for k in range(4 * whole, numbers.shape[0]):
        one += abs(numbers[k] - mean)
    return (one + two) + (three + four)


@kernel
def squares_between(numbers: Floats, others: Floats) -> float:
    """Return the sum of the squared differences of pairs."""
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    whole = numbers.shape[0] >> LANES_SHIFT
    for k in range(whole):
        one += (numbers[4 * k] - others[4 * k]) ** 2
        two += (numbers[4 * k + 1] - others[4 * k + 1]) ** 2
        three += (numbers[4 * k + 2] - others[4 * k + 2]) ** 2
        four += (numbers[4 * k + 3] - others[4 * k + 3]) ** 2
    for k in range(4 * whole, numbers.shape[0]):
        one += (numbers[k] - others[k]) ** 2
    return (one + two) + (three + four)


@kernel
def products_of(numbers: Floats, mean: float, others: Floats, others_mean: float) -> float:
    """Return the sum of the products of pairs, each number taken from its mean."""
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    whole = numbers.shape[0] >> LANES_SHIFT
    for k in range(whole):
        one += (numbers[4 * k] - mean) * (others[4 * k] - others_mean)
        two += (numbers[4 * k + 1] - mean) * (others[4 * k + 1] - others_mean)
        three += (numbers[4 * k + 2] - mean) * (others[4 * k + 2] - others_mean)
        four += (numbers[4 * k + 3] - mean) * (others[4 * k + 3] - others_mean)
    for k in range(4 * whole, numbers.shape[0]):
        one += (numbers[k] - mean) * (others[k] - others_mean)
    return (one + two) + (three + four)


@kernel
def along_of(numbers: Floats, mean: float, middle: float) -> float:
    """Return the sum of numbers, taken from their mean, times places, taken from the middle one."""
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    whole = numbers.shape[0] >> LANES_SHIFT
    for k in range(whole):
        one += (4 * k - middle) * (numbers[4 * k] - mean)
        two += (4 * k + 1 - middle) * (numbers[4 * k + 1] - mean)
        three += (4 * k + 2 - middle) * (numbers[4 * k + 2] - mean)
        four += (4 * k + 3 - middle) * (numbers[4 * k + 3] - mean)
    for k in range(4 * whole, numbers.shape[0]):
        one += (k - middle) * (numbers[k] - mean)
    return (one + two) + (three + four)


@kernel
def powers_of(numbers: Floats, mean: float) -> tuple[float, float, float]:
    """Return the sums of the second, third and fourth powers of differences from the mean."""
    two, three, four = 0.0, 0.0, 0.0
    two_odd, three_odd, four_odd = 0.0, 0.0, 0.0
    for k in range(numbers.shape[0] >> 1):
        even, odd = numbers[2 * k] - mean, numbers[2 * k + 1] - mean
        square, square_odd = even * even, odd * odd
        two += square
        two_odd += square_odd
        three += square * even
        three_odd += square_odd * odd
        four += square * square
        four_odd += square_odd * square_odd
    if numbers.shape[0] & 1:
        last = numbers[numbers.shape[0] - 1] - mean
        two += last * last
        three += last * last * last
        four += last * last * (last * last)
    return two + two_odd, three + three_odd, four + four_odd


@kernel
def window_spread(series: Floats, column: int, place: int, bars: int) -> tuple[float, float]:
    """Return the mean of the window's differences from its newest number, and their variance.

    Of differences, so that large prices lose no digits. Rounding may leave a variance below zero.
    """
    numbers, newest = series[column, place - bars + 1 : place + 1], series[column, place]
    total, total_odd, squares, squares_odd = 0.0, 0.0, 0.0, 0.0
    # The last of an odd number of bars is the newest itself, which differs by nothing.
    for k in range(bars >> 1):
        even, odd = numbers[2 * k] - newest, numbers[2 * k + 1] - newest
        total += even
        total_odd += odd
        squares += even * even
        squares_odd += odd * odd
    share = 1.0 / bars
    mean = (total + total_odd) * share
    return mean, (squares + squares_odd) * share - mean * mean


@kernel
def weighted_spread_of(numbers: Floats, weights: Floats, centre: float) -> tuple[float, float]:
    """Return the weighted sums of the differences from a number, and of their squares."""
    total, total_odd, squares, squares_odd = 0.0, 0.0, 0.0, 0.0
    for k in range(numbers.shape[0] >> 1):
        even, odd = numbers[2 * k] - centre, numbers[2 * k + 1] - centre
        total += even * weights[2 * k]
        total_odd += odd * weights[2 * k + 1]
        squares += even * even * weights[2 * k]
        squares_odd += odd * odd * weights[2 * k + 1]
    if numbers.shape[0] & 1:
        last = numbers.shape[0] - 1
        difference = numbers[last] - centre
        total += difference * weights[last]
        squares += difference * difference * weights[last]
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
