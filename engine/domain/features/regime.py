"""Which market it is: labels with hysteresis, so that they do not flicker at a threshold.

    taken    ----------------------- enter
                  ^           |
                  |           v
    given up ----------------------- leave

The label is a feature, and how sure it is another.
"""

from __future__ import annotations

import math

import numpy as np

from engine.domain.features.momentum import efficiency
from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.volatility import deviation_ratio
from engine.domain.kernel import Floats, kernel

TREND = kernel_number("regime.trend")
VOLATILITY = kernel_number("regime.volatility")


@kernel
def next_label(label: float, strength: float, enter: float, leave: float) -> float:
    """Return -1, 0 or 1: taken where |strength| reaches `enter`, given up below `leave`."""
    side = 1.0 if strength > 0.0 else -1.0
    if abs(strength) >= enter:
        return side
    if side == label and abs(strength) >= leave:
        return label
    return 0.0


@kernel
def write_label(
    strength: float,
    enter: float,
    leave: float,
    memory: Floats,
    cell: int,
    features: Floats,
    column: int,
) -> None:
    """Write label and confidence, in place; NaN, and the label stays, where strength is unknown.

    Confidence is the distance from the threshold at which the label would change, 0 to 1: of a
    label, strength above `leave` over `enter` minus `leave`; of none, strength below `enter`.
    """
    features[column] = np.nan
    features[column + 1] = np.nan
    if strength != strength:  # noqa: PLR0124  NaN
        return
    label = next_label(memory[cell], strength, enter, leave)
    memory[cell] = label
    sure = 1.0 - abs(strength) / enter
    if label != 0.0:
        sure = (abs(strength) - leave) / (enter - leave)
    features[column] = label
    features[column + 1] = min(max(sure, 0.0), 1.0)


@kernel
def volatility_strength(series: Floats, place: int, number: int, short: int, long: int) -> float:
    """Return the logarithm of the short window's deviation over the long one's."""
    found = deviation_ratio(series, place, number, short, long)
    return math.log(found) if found > 0.0 else np.nan


@kernel
def update_regime(
    plan: FeaturePlan, series: Floats, place: int, number: int, memory: Floats, features: Floats
) -> None:
    """Write this family's columns for bar `number`, in place."""
    first, params, column, cell = plan.first, plan.params, plan.column, plan.cell
    for k in range(first[TREND], first[TREND + 1]):
        strength = efficiency(series, place, number, int(params[k, 0]))
        enter, leave = params[k, 1], params[k, 2]
        write_label(strength, enter, leave, memory, cell[k], features, column[k])
    for k in range(first[VOLATILITY], first[VOLATILITY + 1]):
        short, long = int(params[k, 0]), int(params[k, 1])
        strength = volatility_strength(series, place, number, short, long)
        enter, leave = params[k, 2], params[k, 3]
        write_label(strength, enter, leave, memory, cell[k], features, column[k])
