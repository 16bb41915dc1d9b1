"""Cycles: how long the dominant one is, where price stands in it, and price without its trend.

Ehlers' Hilbert transform, step by step as TA-Lib computes it. A bar is split into a part in phase
with price and one a quarter of a cycle behind; how fast the angle between them turns is the period:

    smoothed --hilbert--> detrended --hilbert--> quadrature
                              +---- 3 bars ----> in phase       angle's turn -> period, 6 to 50

Cells of a row: rings of the last smoothed, detrended and quadrature values, then the words below.
"""

from __future__ import annotations

import math

import numpy as np

from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.series import CLOSE, HIGH, LOW
from engine.domain.features.windows import window_sum
from engine.domain.kernel import Floats, fused, kernel

HILBERT = kernel_number("cycle.hilbert")
CYBER = kernel_number("cycle.cyber")
ROOFING = kernel_number("cycle.roofing")

DETRENDED, QUADRATURE = 64, 80  # behind the ring of smoothed values
SMOOTHED_MASK, DETRENDED_MASK, QUADRATURE_MASK = 63, 15, 7
IN_PHASE_2, QUADRATURE_2, REAL, IMAGINARY, PERIOD, SMOOTH_PERIOD = 88, 89, 90, 91, 92, 93
PHASE, SINE, LEAD, MEAN_1, MEAN_2, MEAN_3, TREND_BARS = 94, 95, 96, 97, 98, 99, 100
PERIOD_MIN, PERIOD_MAX = 6.0, 50.0
HILBERT_FIRST = 37  # the bar at which TA-Lib begins
HILBERT_KNOWN = 86  # by then a cycle of any period was smoothed whole
TREND_RATIO = 0.015  # this far from its mean price is in a trend, whatever the cycle says
# Of a bar's share of a whole turn, by the bars of a cycle.
COSINES = np.cos(2.0 * np.pi / np.maximum(np.arange(PERIOD_MAX + 1.0), 1.0))
SINES = np.sin(2.0 * np.pi / np.maximum(np.arange(PERIOD_MAX + 1.0), 1.0))
BEFORE_CYBER = 6  # bars until Ehlers' smoothing has its window


@fused
def hilbert(memory: Floats, ring: int, mask: int, at: int, weight: float) -> float:
    """Return the Hilbert transform of a ring's values at bar `at`: of four, two bars apart."""
    outer = memory[ring + (at & mask)] - memory[ring + ((at - 6) & mask)]
    inner = memory[ring + ((at - 2) & mask)] - memory[ring + ((at - 4) & mask)]
    return weight * (0.0962 * outer + 0.5769 * inner)


@kernel
def bounded_period(real: float, imaginary: float, before: float) -> float:
    """Return the period of the angle's turn, close to the one before and 6 to 50 bars."""
    period = before
    if imaginary != 0.0 and real != 0.0:
        period = 2.0 * math.pi / math.atan(imaginary / real)
    period = max(min(period, 1.5 * before), 0.67 * before)
    return min(max(period, PERIOD_MIN), PERIOD_MAX)


@kernel
def fold_period(memory: Floats, cell: int, at: int) -> None:
    """Fold the smoothed value of bar `at` into the dominant period, in place."""
    weight = 0.075 * memory[cell + PERIOD] + 0.54
    detrended, quadrature = cell + DETRENDED, cell + QUADRATURE
    memory[detrended + (at & DETRENDED_MASK)] = hilbert(memory, cell, SMOOTHED_MASK, at, weight)
    turned = hilbert(memory, detrended, DETRENDED_MASK, at, weight)
    memory[quadrature + (at & QUADRATURE_MASK)] = turned
    ahead = hilbert(memory, detrended, DETRENDED_MASK, at - 3, weight)
    in_phase = memory[detrended + ((at - 3) & DETRENDED_MASK)]
    in_phase -= hilbert(memory, quadrature, QUADRATURE_MASK, at, weight)
    before_i, before_q = memory[cell + IN_PHASE_2], memory[cell + QUADRATURE_2]
    now_i = 0.2 * in_phase + 0.8 * before_i
    now_q = 0.2 * (turned + ahead) + 0.8 * before_q
    real = 0.2 * (now_i * before_i + now_q * before_q) + 0.8 * memory[cell + REAL]
    imaginary = 0.2 * (now_i * before_q - now_q * before_i) + 0.8 * memory[cell + IMAGINARY]
    before = memory[cell + PERIOD]
    period = 0.2 * bounded_period(real, imaginary, before) + 0.8 * before
    memory[cell + IN_PHASE_2] = now_i
    memory[cell + QUADRATURE_2] = now_q
    memory[cell + REAL] = real
    memory[cell + IMAGINARY] = imaginary
    memory[cell + PERIOD] = period
    memory[cell + SMOOTH_PERIOD] = 0.33 * period + 0.67 * memory[cell + SMOOTH_PERIOD]


@kernel
def cycle_phase(memory: Floats, cell: int, at: int, bars: int) -> float:
    """Return where in the cycle bar `at` stands, degrees from -45 to 315; NaN of a flat cycle.

    One coefficient of the Fourier transform of the last `bars` smoothed values, which are taken
    from the newest one: what all share adds up to nothing over a whole turn.
    """
    cosine, sine = COSINES[bars], SINES[bars]
    # Every other value turns twice as far, so that two turns go on at once.
    cosine_2, sine_2 = cosine * cosine - sine * sine, 2.0 * sine * cosine
    newest = memory[cell + (at & SMOOTHED_MASK)]
    x, y, real, imaginary = 1.0, 0.0, 0.0, 0.0
    x_odd, y_odd, real_odd, imaginary_odd = cosine, sine, 0.0, 0.0
    for back in range(0, bars - 1, 2):
        value = memory[cell + ((at - back) & SMOOTHED_MASK)] - newest
        value_odd = memory[cell + ((at - back - 1) & SMOOTHED_MASK)] - newest
        real += y * value
        imaginary += x * value
        real_odd += y_odd * value_odd
        imaginary_odd += x_odd * value_odd
        x, y = x * cosine_2 - y * sine_2, x * sine_2 + y * cosine_2
        x_odd, y_odd = x_odd * cosine_2 - y_odd * sine_2, x_odd * sine_2 + y_odd * cosine_2
    if bars & 1:
        value = memory[cell + ((at - bars + 1) & SMOOTHED_MASK)] - newest
        real += y * value
        imaginary += x * value
    real += real_odd
    imaginary += imaginary_odd
    if real == 0.0 and imaginary == 0.0:
        return np.nan
    angle = math.copysign(90.0, real)
    if imaginary != 0.0:
        angle = math.degrees(math.atan(real / imaginary))
    phase = angle + 90.0
    if imaginary < 0.0:
        phase += 180.0
    phase += 360.0 / memory[cell + SMOOTH_PERIOD]  # smoothing is a bar late
    return phase - 360.0 if phase > 315.0 else phase


@kernel
def fold_line(series: Floats, place: int, memory: Floats, cell: int, bars: int) -> float:
    """Return the mean close of the last cycle, smoothed over four bars; keeps three, in place."""
    mean = window_sum(series, CLOSE, place, bars) / bars
    line = 4.0 * mean + 3.0 * memory[cell + MEAN_1] + 2.0 * memory[cell + MEAN_2]
    line += memory[cell + MEAN_3]
    memory[cell + MEAN_3] = memory[cell + MEAN_2]
    memory[cell + MEAN_2] = memory[cell + MEAN_1]
    memory[cell + MEAN_1] = mean
    return line / 10.0


@kernel
def is_trending(memory: Floats, cell: int, phase: float, off_line: float) -> bool:
    """Return whether price goes rather than swings; remembers the bar's phase, in place.

    It swings while less than half a cycle has passed since sine and lead sine crossed, and while
    the phase turns as fast as the period says; far from its mean it goes all the same.

    Args:
        memory: state of the rows.
        cell: where this row keeps its own.
        phase: of the bar, degrees.
        off_line: distance of the smoothed price from the mean line, as a ratio of it.
    """
    period = memory[cell + SMOOTH_PERIOD]
    sine, lead = math.sin(math.radians(phase)), math.sin(math.radians(phase + 45.0))
    before = memory[cell + SINE] - memory[cell + LEAD]
    is_crossed = (sine > lead and before <= 0.0) or (sine < lead and before >= 0.0)
    memory[cell + TREND_BARS] = 1.0 if is_crossed else memory[cell + TREND_BARS] + 1.0
    is_old = not is_crossed and memory[cell + TREND_BARS] >= 0.5 * period
    turn = (phase - memory[cell + PHASE]) * period / 360.0
    memory[cell + PHASE] = phase
    memory[cell + SINE] = sine
    memory[cell + LEAD] = lead
    return (is_old and not 0.67 < turn < 1.5) or off_line >= TREND_RATIO


@kernel
def write_hilbert(
    series: Floats,
    place: int,
    number: int,
    memory: Floats,
    cell: int,
    features: Floats,
    column: int,
) -> None:
    """Write period, phase, sine, lead sine, trend mode and angle of bar `number`, in place.

    Period over 50 bars; phase in half turns; the angle of the two parts in half turns.
    """
    for output in range(6):
        features[column + output] = np.nan
    if number < HILBERT_FIRST:
        return
    smoothed = 4.0 * series[CLOSE, place] + 3.0 * series[CLOSE, place - 1]
    smoothed = (smoothed + 2.0 * series[CLOSE, place - 2] + series[CLOSE, place - 3]) / 10.0
    memory[cell + (number & SMOOTHED_MASK)] = smoothed
    fold_period(memory, cell, number)
    bars = max(int(memory[cell + SMOOTH_PERIOD] + 0.5), 1)
    phase = cycle_phase(memory, cell, number, bars)
    line = fold_line(series, place, memory, cell, bars)
    if phase != phase:  # noqa: PLR0124  NaN
        return
    is_trend = is_trending(memory, cell, phase, abs(smoothed - line) / line)
    if number < HILBERT_KNOWN:
        return
    in_phase = memory[cell + DETRENDED + ((number - 3) & DETRENDED_MASK)]
    behind = memory[cell + QUADRATURE + (number & QUADRATURE_MASK)]
    features[column] = memory[cell + SMOOTH_PERIOD] / PERIOD_MAX
    features[column + 1] = phase / 180.0
    features[column + 2] = memory[cell + SINE]
    features[column + 3] = memory[cell + LEAD]
    features[column + 4] = 1.0 if is_trend else 0.0
    features[column + 5] = math.atan2(behind, in_phase) / math.pi


@kernel
def fold_high_pass(memory: Floats, cell: int, weight: float, curve: float) -> float:
    """Return what a second-order high-pass lets through of a series' second difference.

    Cells: the value before, and the one before that; in place.
    """
    keep = 1.0 - weight
    half = 1.0 - weight / 2.0
    value = half * half * curve + 2.0 * keep * memory[cell] - keep * keep * memory[cell + 1]
    memory[cell + 1] = memory[cell]
    memory[cell] = value
    return float(value)


@fused
def smoothed_middle(series: Floats, at: int) -> float:
    """Return twice the middle price smoothed over four bars with weights 1, 2, 2, 1, over 6."""
    outer = series[HIGH, at] + series[LOW, at] + series[HIGH, at - 3] + series[LOW, at - 3]
    inner = series[HIGH, at - 1] + series[LOW, at - 1] + series[HIGH, at - 2] + series[LOW, at - 2]
    return (outer + 2.0 * inner) / 6.0


@kernel
def cyber(
    series: Floats, place: int, number: int, weight: float, memory: Floats, cell: int
) -> float:
    """Return Ehlers' cyber cycle of middle prices, ticks; cells as the high-pass has them."""
    if number < BEFORE_CYBER:
        return np.nan
    curve = smoothed_middle(series, place) - 2.0 * smoothed_middle(series, place - 1)
    curve = (curve + smoothed_middle(series, place - 2)) / 2.0
    return fold_high_pass(memory, cell, weight, curve)


@kernel
def begin_roofing(spans: Floats, memory: Floats, cell: int) -> None:
    """Write what the filters weigh with, in place: they are the same at every bar."""
    angle = math.sqrt(0.5) * 2.0 * math.pi / spans[1]
    memory[cell] = (math.cos(angle) + math.sin(angle) - 1.0) / math.cos(angle)
    decay = math.exp(-math.sqrt(2.0) * math.pi / spans[0])
    memory[cell + 1] = 2.0 * decay * math.cos(math.sqrt(2.0) * math.pi / spans[0])
    memory[cell + 2] = -decay * decay


@kernel
def roofing(
    series: Floats, place: int, number: int, spans: Floats, memory: Floats, cell: int
) -> float:
    """Return closes between two periods, ticks: a high-pass, then Ehlers' super smoother.

    Cells: two of the high-pass, the smoothed value before and the one before that, three weights.

    Args:
        spans: shortest and longest period that passes, bars.
    """
    if number < 2:
        return np.nan
    if number == 2:
        begin_roofing(spans, memory, cell + 4)
    weight, first, second = memory[cell + 4], memory[cell + 5], memory[cell + 6]
    curve = series[CLOSE, place] - 2.0 * series[CLOSE, place - 1] + series[CLOSE, place - 2]
    before = memory[cell]
    passed = fold_high_pass(memory, cell, weight, curve)
    value = (1.0 - first - second) * (passed + before) / 2.0
    value += first * memory[cell + 2] + second * memory[cell + 3]
    memory[cell + 3] = memory[cell + 2]
    memory[cell + 2] = value
    return value if number >= int(spans[1]) else np.nan


@kernel
def update_cycle(
    plan: FeaturePlan,
    series: Floats,
    place: int,
    number: int,
    per_atr: float,
    memory: Floats,
    features: Floats,
) -> None:
    """Write this family's columns for bar `number`, in place."""
    first, params, column, cell = plan.first, plan.params, plan.column, plan.cell
    for k in range(first[HILBERT], first[HILBERT + 1]):
        write_hilbert(series, place, number, memory, cell[k], features, column[k])
    for k in range(first[CYBER], first[CYBER + 1]):
        value = cyber(series, place, number, params[k, 0], memory, cell[k])
        features[column[k]] = value * per_atr
    for k in range(first[ROOFING], first[ROOFING + 1]):
        value = roofing(series, place, number, params[k], memory, cell[k])
        features[column[k]] = value * per_atr
