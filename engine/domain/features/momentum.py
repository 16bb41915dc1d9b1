"""Momentum: how strongly and how directly closes move."""

from __future__ import annotations

import math

import numpy as np

from engine.domain.features.averages import fold_wilder_mean, update_ema
from engine.domain.features.plan import SMOOTHING_MAX, FeaturePlan, kernel_number
from engine.domain.features.series import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    TO_BPS,
    TRUE_RANGE,
    TYPICAL,
    ratio,
)
from engine.domain.features.windows import (
    LANES_MASK,
    LANES_SHIFT,
    distance_from,
    window_range,
    window_sum,
    window_way,
)
from engine.domain.kernel import Floats, fused, kernel

RSI = kernel_number("momentum.rsi")
STOCHASTIC = kernel_number("momentum.stochastic")
CCI = kernel_number("momentum.cci")
WEIGHTED_PRESSURE = kernel_number("momentum.weighted_pressure")
TSI = kernel_number("momentum.tsi")
TRIX = kernel_number("momentum.trix")
FISHER = kernel_number("momentum.fisher")
BODY_MEAN = kernel_number("momentum.body_mean")
EFFICIENCY = kernel_number("momentum.efficiency")
VHF = kernel_number("momentum.vhf")
AWESOME = kernel_number("momentum.awesome")
SMOOTHING_MASK = SMOOTHING_MAX - 1


@kernel
def update_rsi(memory: Floats, cell: int, number: int, span: int, move: float) -> float:
    """Fold a close-to-close move into Wilder's averages; return strength in [-1, 1].

    Seeded with the means of the first `span` moves; NaN before, and while nothing moved.
    """
    if number < 1:
        return np.nan
    weight = 1.0 / span
    fold_wilder_mean(memory, cell, number, span, weight, max(move, 0.0))
    fold_wilder_mean(memory, cell + 1, number, span, weight, max(-move, 0.0))
    if number < span:
        return np.nan
    total = memory[cell] + memory[cell + 1]
    if total == 0.0:
        return np.nan
    return float((memory[cell] - memory[cell + 1]) / total)


@kernel
def place_in_range(series: Floats, place: int, bars: int) -> float:
    """Return where the close lies between the window's low (0) and high (1); NaN when flat."""
    low, high = window_range(series, HIGH, LOW, place, bars)
    return ratio(series[CLOSE, place] - low, high - low)


@fused
def ring_mean(memory: Floats, cell: int, number: int, bars: int) -> float:
    """Return the mean of the newest `bars` numbers of a ring of SMOOTHING_MAX."""
    total = 0.0
    for back in range(bars):
        total += memory[cell + ((number - back) & SMOOTHING_MASK)]
    return total / bars


@kernel
def stochastic(
    series: Floats,
    place: int,
    number: int,
    lengths: Floats,
    memory: Floats,
    cell: int,
    features: Floats,
    column: int,
) -> None:
    """Write the smoothed place in the range and its mean over the signal's bars, in place.

    Cells: rings of the newest places as they are, and smoothed.

    Args:
        lengths: bars of the range, of the smoothing and of the signal.
    """
    bars, smooth, signal = int(lengths[0]), int(lengths[1]), int(lengths[2])
    features[column] = np.nan
    features[column + 1] = np.nan
    if number < bars - 1:
        return
    memory[cell + (number & SMOOTHING_MASK)] = place_in_range(series, place, bars)
    if number < bars + smooth - 2:
        return
    smoothed = ring_mean(memory, cell, number, smooth)
    memory[cell + SMOOTHING_MAX + (number & SMOOTHING_MASK)] = smoothed
    if number < bars + smooth + signal - 3:
        return
    features[column] = smoothed
    features[column + 1] = ring_mean(memory, cell + SMOOTHING_MAX, number, signal)


@kernel
def cci(series: Floats, place: int, number: int, bars: int) -> float:
    """Return typical price minus its mean, over 1.5 mean absolute deviations."""
    if number < bars - 1:
        return np.nan
    mean = window_sum(series, TYPICAL, place, bars) / bars
    spread = distance_from(series, TYPICAL, place, bars, mean)
    # WHY: the mean of equal prices may differ from them in the last digit, which is no spread.
    if not spread > 1e-9 * mean:
        return np.nan
    return (series[TYPICAL, place] - mean) * bars / (1.5 * spread)


@fused
def pressure_of(series: Floats, at: int) -> float:
    """Return how far a bar's close rose above its true low."""
    return series[CLOSE, at] - min(series[LOW, at], series[CLOSE, at - 1])


@kernel
def window_pressure(series: Floats, place: int, bars: int) -> float:
    """Return the sum of the window's pressures."""
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    for k in range(bars >> LANES_SHIFT):
        at = place - bars + 1 + 4 * k
        one += pressure_of(series, at)
        two += pressure_of(series, at + 1)
        three += pressure_of(series, at + 2)
        four += pressure_of(series, at + 3)
    for at in range(place + 1 - (bars & LANES_MASK), place + 1):
        one += pressure_of(series, at)
    return one + two + three + four


@kernel
def weighted_pressure(series: Floats, place: int, number: int, lengths: Floats) -> float:
    """Return pressure over three windows, the short one weighing 4, the middle 2, the long 1.

    Pressure is how far closes rose above the true lows, over the true ranges of the window.

    Args:
        lengths: bars of the windows, each longer than the one before.
    """
    if number < int(lengths[2]):
        return np.nan
    bought, ranges, total, bars = 0.0, 0.0, 0.0, 0
    for k in range(3):
        # Each window holds the one before it, which is added up already.
        older = int(lengths[k]) - bars
        bought += window_pressure(series, place - bars, older)
        ranges += window_sum(series, TRUE_RANGE, place - bars, older)
        bars += older
        total += ratio(bought, ranges) * (4 >> k)
    return total / 7.0


@kernel
def tsi(
    memory: Floats, cell: int, number: int, first_span: int, second_span: int, move: float
) -> float:
    """Return the twice averaged move over the twice averaged size of moves."""
    if number < 1:
        return np.nan
    later = number - first_span
    signed = update_ema(memory, cell, number - 1, first_span, move)
    signed = update_ema(memory, cell + 1, later, second_span, signed)
    size = update_ema(memory, cell + 2, number - 1, first_span, abs(move))
    size = update_ema(memory, cell + 3, later, second_span, size)
    return ratio(signed, size)


@kernel
def trix(memory: Floats, cell: int, number: int, span: int, close: float) -> float:
    """Return the change of the triple exponential average of closes, bps. Last cell: before."""
    one = update_ema(memory, cell, number, span, close)
    two = update_ema(memory, cell + 1, number - span + 1, span, one)
    three = update_ema(memory, cell + 2, number - 2 * span + 2, span, two)
    before = memory[cell + 3]
    if number < 3 * span - 3:
        return np.nan
    memory[cell + 3] = three
    if number < 3 * span - 2:
        return np.nan
    return (three - before) / before * TO_BPS


@kernel
def fisher(series: Floats, place: int, number: int, bars: int, memory: Floats, cell: int) -> float:
    """Return Ehlers' Fisher transform of the middle price's place in the range of middles.

    Cells: the smoothed place and the value before. A flat window counts as the middle place.
    """
    if number < bars - 1:
        return np.nan
    middle = series[HIGH, place] + series[LOW, place]
    highest = middle
    lowest = middle
    for at in range(place - bars + 1, place):
        highest = max(highest, series[HIGH, at] + series[LOW, at])
        lowest = min(lowest, series[HIGH, at] + series[LOW, at])
    raw = 0.0
    if highest > lowest:
        raw = (middle - lowest) / (highest - lowest) - 0.5
    smoothed = min(max(0.66 * raw + 0.67 * memory[cell], -0.999), 0.999)
    memory[cell] = smoothed
    memory[cell + 1] = 0.5 * math.log((1.0 + smoothed) / (1.0 - smoothed)) + 0.5 * memory[cell + 1]
    return float(memory[cell + 1])


@kernel
def body_mean(series: Floats, place: int, number: int, bars: int) -> float:
    """Return the mean of close minus open of the window, ticks."""
    if number < bars - 1:
        return np.nan
    bodies = window_sum(series, CLOSE, place, bars) - window_sum(series, OPEN, place, bars)
    return bodies / bars


@kernel
def efficiency(series: Floats, place: int, number: int, bars: int) -> float:
    """Return net move over the way there, signed; NaN while nothing moved."""
    if number < bars:
        return np.nan
    move = series[CLOSE, place] - series[CLOSE, place - bars]
    return ratio(move, window_way(series, CLOSE, place, bars))


@kernel
def vhf(series: Floats, place: int, number: int, bars: int) -> float:
    """Return the range of closes over the way; NaN while nothing moved."""
    if number < bars:
        return np.nan
    low, high = window_range(series, CLOSE, CLOSE, place, bars)
    return ratio(high - low, window_way(series, CLOSE, place, bars))


@kernel
def awesome(
    series: Floats, place: int, number: int, short: int, long: int, per_atr: float
) -> float:
    """Return the short minus the long mean of middle prices, in ATRs."""
    if number < long - 1:
        return np.nan
    above = window_sum(series, HIGH, place, short) + window_sum(series, LOW, place, short)
    below = window_sum(series, HIGH, place, long) + window_sum(series, LOW, place, long)
    return (above / (2 * short) - below / (2 * long)) * per_atr


@kernel
def update_momentum(
    plan: FeaturePlan,
    series: Floats,
    place: int,
    number: int,
    per_atr: float,
    memory: Floats,
    features: Floats,
) -> None:
    """Write this family's recursive columns for bar `number`, in place."""
    first, params, column, cell = plan.first, plan.params, plan.column, plan.cell
    close = series[CLOSE, place]
    move = 0.0
    if number > 0:
        move = close - series[CLOSE, place - 1]
    for k in range(first[RSI], first[RSI + 1]):
        features[column[k]] = update_rsi(memory, cell[k], number, int(params[k, 0]), move)
    for k in range(first[TSI], first[TSI + 1]):
        one, two = int(params[k, 0]), int(params[k, 1])
        features[column[k]] = tsi(memory, cell[k], number, one, two, move)
    for k in range(first[TRIX], first[TRIX + 1]):
        features[column[k]] = trix(memory, cell[k], number, int(params[k, 0]), close)
    for k in range(first[FISHER], first[FISHER + 1]):
        bars = int(params[k, 0])
        features[column[k]] = fisher(series, place, number, bars, memory, cell[k])
    for k in range(first[STOCHASTIC], first[STOCHASTIC + 1]):
        stochastic(series, place, number, params[k], memory, cell[k], features, column[k])
    update_oscillators(plan, series, place, number, per_atr, features)


@kernel
def update_oscillators(
    plan: FeaturePlan, series: Floats, place: int, number: int, per_atr: float, features: Floats
) -> None:
    """Write the columns over windows, in place."""
    first, params, column = plan.first, plan.params, plan.column
    for k in range(first[CCI], first[CCI + 1]):
        features[column[k]] = cci(series, place, number, int(params[k, 0]))
    for k in range(first[WEIGHTED_PRESSURE], first[WEIGHTED_PRESSURE + 1]):
        features[column[k]] = weighted_pressure(series, place, number, params[k])
    for k in range(first[BODY_MEAN], first[BODY_MEAN + 1]):
        mean = body_mean(series, place, number, int(params[k, 0]))
        features[column[k]] = mean * per_atr
    for k in range(first[EFFICIENCY], first[EFFICIENCY + 1]):
        features[column[k]] = efficiency(series, place, number, int(params[k, 0]))
    for k in range(first[VHF], first[VHF + 1]):
        features[column[k]] = vhf(series, place, number, int(params[k, 0]))
    for k in range(first[AWESOME], first[AWESOME + 1]):
        short, long = int(params[k, 0]), int(params[k, 1])
        features[column[k]] = awesome(series, place, number, short, long, per_atr)
