"""Volume by price over a window: where most of it traded, and between which prices 70 percent."""

from __future__ import annotations

import numpy as np

from engine.domain.features.plan import PROFILE_BINS, FeaturePlan, kernel_number
from engine.domain.features.series import (
    CLOSE,
    HIGH,
    LOW,
    SERIES_BARS,
    TYPICAL,
    VOLUME,
    window_volume,
)
from engine.domain.features.windows import window_range
from engine.domain.kernel import Floats, fused, kernel

VALUE_AREA = kernel_number("profile.value_area")
VALUE_SHARE = 0.7
BINS_LOW, BINS_WIDTH = PROFILE_BINS, PROFILE_BINS + 1  # cells behind the bins


@fused
def bin_of(series: Floats, at: int, low: float, width: float) -> int:
    """Return the bin of a bar's typical price."""
    return min(int((series[TYPICAL, at] - low) / width), PROFILE_BINS - 1)


@kernel
def fill_bins(
    series: Floats, place: int, bars: int, low: float, width: float, memory: Floats, cell: int
) -> None:
    """Add each bar's volume to the bin of its typical price, in place.

    Args:
        series: the columns.
        place: where the newest bar is found.
        bars: of the window.
        low: lowest price of the window.
        width: of a bin, in the unit of prices, above 0.
        memory: state of the rows.
        cell: where PROFILE_BINS bins stand, which are overwritten, then the two numbers above.
    """
    for b in range(PROFILE_BINS):
        memory[cell + b] = 0.0
    for at in range(place - bars + 1, place + 1):
        memory[cell + bin_of(series, at, low, width)] += series[VOLUME, at]
    memory[cell + BINS_LOW] = low
    memory[cell + BINS_WIDTH] = width


@kernel
def move_bins(series: Floats, place: int, bars: int, memory: Floats, cell: int) -> None:
    """Add the newest bar to bins that stay where they are, and take out the one that left.

    Whole lots put in and taken out leave nothing; of others rounding is left, for a lap at most.
    """
    low, width = memory[cell + BINS_LOW], memory[cell + BINS_WIDTH]
    gone = cell + bin_of(series, place - bars, low, width)
    memory[gone] = max(memory[gone] - series[VOLUME, place - bars], 0.0)
    memory[cell + bin_of(series, place, low, width)] += series[VOLUME, place]


@kernel
def fullest_bin(memory: Floats, cell: int) -> int:
    """Return the bin with most volume, the lowest of equal ones: the point of control."""
    found, most = 0, memory[cell]
    for b in range(1, PROFILE_BINS):
        is_more = memory[cell + b] > most
        found = b if is_more else found
        most = memory[cell + b] if is_more else most
    return found


@kernel
def value_area(memory: Floats, cell: int, control: int, total: float) -> tuple[int, int]:
    """Return the first bin of the value area and the one behind its last.

    It grows from the point of control by the fuller of its two neighbours, upwards where they are
    equal, until it holds 70 percent of the volume.
    """
    begin, end = control, control + 1
    held = memory[cell + control]
    while held < VALUE_SHARE * total:
        above = memory[cell + end] if end < PROFILE_BINS else -1.0
        below = memory[cell + begin - 1] if begin > 0 else -1.0
        if above < 0.0 and below < 0.0:
            break
        held += max(above, below)
        if above >= below:
            end += 1
        else:
            begin -= 1
    return begin, end


@kernel
def write_profile(
    series: Floats,
    place: int,
    number: int,
    bars: int,
    per_atr: float,
    memory: Floats,
    cell: int,
    features: Floats,
    column: int,
) -> None:
    """Write what the profile of the last `bars` bars says of the close, in place.

    Close minus point of control, upper edge minus close and close minus lower edge of the value
    area, in ATRs; then the place in it, -1 to 1 from edge to edge and further outside of it.
    """
    for output in range(4):
        features[column + output] = np.nan
    if number < bars - 1:
        return
    low, high = window_range(series, HIGH, LOW, place, bars)
    width = (high - low) / PROFILE_BINS
    if not width > 0.0:
        memory[cell + BINS_WIDTH] = 0.0
        return
    is_same = low == memory[cell + BINS_LOW] and width == memory[cell + BINS_WIDTH]
    if is_same and number & (SERIES_BARS - 1) != 0:
        move_bins(series, place, bars, memory, cell)
    else:
        fill_bins(series, place, bars, low, width, memory, cell)
    total = window_volume(series, place, bars)
    if not total > 0.0:
        return
    control = fullest_bin(memory, cell)
    begin, end = value_area(memory, cell, control, total)
    close, lower, upper = series[CLOSE, place], low + begin * width, low + end * width
    features[column] = (close - low - (control + 0.5) * width) * per_atr
    features[column + 1] = (upper - close) * per_atr
    features[column + 2] = (close - lower) * per_atr
    features[column + 3] = (2.0 * close - lower - upper) / (upper - lower)


@kernel
def update_profile(
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
    for k in range(first[VALUE_AREA], first[VALUE_AREA + 1]):
        bars = int(params[k, 0])
        write_profile(series, place, number, bars, per_atr, memory, cell[k], features, column[k])
