"""The closed bars of one instrument and timeframe as columns of numbers, for windows.

Bars are written in laps of 128, and a lap that ended is moved in front of the next, so that every
window up to a lap's length lies in one piece and needs no mask:

    series[column, 0 .. 127 | 128 .. 255]    the lap before, and the one bar n is written to
    place = 128 + (n & 127)                  where bar n is found
    a window of `bars`:  place - bars + 1 .. place

Bars made of several (`coarse.py`) are kept alike, in laps of 16.

So a bar touches one line of each column, and one bar in 128 moves 15 kB.

`context` holds what is known of the instrument beside its bars at this bar's end.

A bar that cannot be one (a number missing, a price not above zero, high below low, open or close
outside, or not after the bar before) is not taken: its features are NaN, and the next bar goes on
as if it had not been.
"""

from __future__ import annotations

import math

import numpy as np

from engine.domain.book import BOOK_LEVELS
from engine.domain.kernel import Floats, Record, fused, kernel

SERIES_BARS = 128
WINDOW_MAX = 120  # what is behind it is free for the bar before a window and a bar peeked at

# What a bar brings.
OPEN, HIGH, LOW, CLOSE, VOLUME, BOUGHT, TRADES, START_S = 0, 1, 2, 3, 4, 5, 6, 7
BAR_INPUTS = 8
BALANCE = BOUGHT  # in the columns: what was bought less what was sold
# What is computed from it once, for all windows; the volume since the lap began, below zero before.
RETURN, TRUE_RANGE, TYPICAL, VOLUME_SUM = 8, 9, 10, 11
SHARED_COLUMNS = 12  # bars made of several have no others
LOG_RANGE_SQUARE, LOG_BODY_SQUARE, LOG_DRIFT = 12, 13, 14  # where a row reads one
SERIES_COLUMNS = 15

# Words of the context; NaN where the venue does not say.
FUNDING_RATE_BPS, MARK_BASIS_BPS, NEXT_FUNDING_S, LIQUIDATED_BUYS, LIQUIDATED_SELLS = 0, 1, 2, 3, 4
OPEN_INTEREST_LOTS, NEWS_WEIGHT, LEADER_PRICE, BREADTH, TIMEFRAME_S = 5, 6, 7, 8, 9
# The book: what was added to its best levels' bids less asks since it is known without a break, and
# which such run this is; then prices and lots of each side's levels, best first, bids before asks.
DEPTH_FLOW, DEPTH_RUN, DEPTH_FIRST = 10, 11, 12
CONTEXT_WORDS = DEPTH_FIRST + 4 * BOOK_LEVELS
S_TO_NS = 1_000_000_000
DAY_S = 86_400.0
TO_BPS = 10_000.0
LOG_SERIES_MAX = 6e-4  # prices 5 % apart: the tenth power of what they differ by is a rounding
RETURN_VARIANCE_MIN = 1e-24  # what is below is rounding that equal returns left, not spread


@fused
def place_of(series: Floats, number: int) -> int:
    """Return where bar `number` is found in its columns, whose lap is half of their length."""
    lap = series.shape[1] >> 1
    return lap + (number & (lap - 1))


@fused
def per_atr_of(atr: float) -> float:
    """Return 1 / an average true range, which makes ATRs of ticks; NaN while there is no range."""
    return 1.0 / atr if atr > 0.0 else np.nan


@fused
def ratio(part: float, whole: float) -> float:
    """Return part over whole; NaN when the whole is zero."""
    if whole == 0.0:
        return np.nan
    return part / whole


@kernel
def read_bar(bar: Record, inputs: Floats) -> None:
    """Write what a closed bar brings, in place.

    Args:
        bar: a row of BAR_DTYPE.
        inputs: float64[BAR_INPUTS].
    """
    inputs[OPEN] = bar["open_ticks"]
    inputs[HIGH] = bar["high_ticks"]
    inputs[LOW] = bar["low_ticks"]
    inputs[CLOSE] = bar["close_ticks"]
    inputs[VOLUME] = bar["volume_lots"]
    inputs[BOUGHT] = bar["buy_lots"]
    inputs[TRADES] = bar["trade_count"]
    inputs[START_S] = bar["start_ns"] / S_TO_NS


@kernel
def is_bar(series: Floats, number: int, inputs: Floats) -> bool:
    """Return whether these numbers can be the next bar. Any NaN makes a comparison false."""
    low = inputs[LOW]
    high = inputs[HIGH]
    is_whole = low > 0.0 and low <= inputs[OPEN] <= high and low <= inputs[CLOSE] <= high
    is_whole = is_whole and inputs[BOUGHT] >= 0.0 and inputs[VOLUME] >= inputs[BOUGHT]
    is_whole = is_whole and inputs[TRADES] >= 0.0 and high < math.inf
    if number == 0:
        return is_whole and inputs[START_S] > -math.inf
    return is_whole and inputs[START_S] > series[START_S, place_of(series, number - 1)]


@kernel
def begin_lap(series: Floats) -> None:
    """Move the lap that ended in front of the one that begins, in place."""
    lap = series.shape[1] >> 1
    for column in range(series.shape[0]):
        for at in range(lap):
            series[column, at] = series[column, lap + at]
    for at in range(lap):
        series[VOLUME_SUM, at] -= series[VOLUME_SUM, 2 * lap - 1]


@kernel
def log_ratio(price: float, base: float) -> float:
    """Return log(price / base), both above 0; of prices near each other without a logarithm."""
    z = (price - base) / (price + base)
    square = z * z
    if square > LOG_SERIES_MAX:
        return math.log(price / base)
    # log(price / base) = 2 artanh(z); what is left out of it, z ** 10 / 11, is no digit of it.
    end = 1 / 7 + square * (1 / 9)
    return 2.0 * z * (1.0 + square * (1 / 3 + square * (1 / 5 + square * end)))


@kernel
def push_bar(series: Floats, number: int, inputs: Floats) -> bool:
    """Write bar `number` into the columns, in place; False, and nothing, when it cannot be one.

    Args:
        series: float64[SHARED_COLUMNS or SERIES_COLUMNS, 2 * a lap].
        number: how many bars were taken before.
        inputs: float64[BAR_INPUTS or more].
    """
    if not is_bar(series, number, inputs):
        return False
    place = place_of(series, number)
    if number > 0 and place == series.shape[1] >> 1:
        begin_lap(series)
    high, low, close = inputs[HIGH], inputs[LOW], inputs[CLOSE]
    before = close
    if number > 0:
        before = series[CLOSE, place - 1]
    for column in range(BAR_INPUTS):
        series[column, place] = inputs[column]
    series[BALANCE, place] = 2.0 * inputs[BOUGHT] - inputs[VOLUME]
    series[RETURN, place] = (close - before) / before
    series[TRUE_RANGE, place] = max(high, before) - min(low, before)
    series[TYPICAL, place] = (high + low + close) / 3.0
    series[VOLUME_SUM, place] = series[VOLUME_SUM, place - 1] + inputs[VOLUME]
    return True


@fused
def window_volume(series: Floats, place: int, bars: int) -> float:
    """Return the volume of a window: exact of whole lots, of none traded zero, never below it."""
    return series[VOLUME_SUM, place] - series[VOLUME_SUM, place - bars]


@fused
def stretch_of(time_s: float, length_s: float) -> float:
    """Return in which stretch of a length a time lies, counted from 1970: time_s // length_s.

    Of whole lengths, and without the remainder, which a library finds bit by bit.
    """
    number = np.floor(time_s / length_s)
    # WHY: a time just before a stretch's end may be divided up to it.
    return number - 1.0 if number * length_s > time_s else number


@kernel
def begin_day(series: Floats, place: int, memory: Floats, cell: int) -> bool:
    """Return whether the bar is the first seen of its UTC day; counts the days, in place.

    Cells: days seen (0: no bar yet), the day.
    """
    day = stretch_of(series[START_S, place], DAY_S)
    if memory[cell] > 0.0 and day == memory[cell + 1]:
        return False
    memory[cell] += 1.0
    memory[cell + 1] = day
    return True
