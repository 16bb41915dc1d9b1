"""One instrument beside others: a named leader, and how many rose.

The leader's price is its last trade's at the end of this instrument's bar, so its returns are over
this instrument's bars and nothing is waited for. Everything is decayed over `span` bars.
"""

from __future__ import annotations

import math

import numpy as np

from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.series import (
    BREADTH,
    LEADER_PRICE,
    RETURN,
    RETURN_VARIANCE_MIN,
    TO_BPS,
)
from engine.domain.kernel import Floats, kernel

LEADER = kernel_number("cross.leader")
BREADTH_ROWS = kernel_number("cross.breadth")
COUNT, PRICE, OWN_BEFORE, LEADER_BEFORE, OWN, LED, TOGETHER, LEADS, FOLLOWS = range(9)


@kernel
def fold_mean(memory: Floats, cell: int, weight: float, value: float) -> None:
    """Fold a value into a decayed mean, in place."""
    memory[cell] += weight * (value - memory[cell])


@kernel
def over_root(shared: float, one: float, other: float) -> float:
    """Return a mean product over the root of both mean squares; NaN where one of them is none."""
    if one > RETURN_VARIANCE_MIN and other > RETURN_VARIANCE_MIN:
        return shared / math.sqrt(one * other)
    return np.nan


@kernel
def write_leader(
    own: float, price: float, span: int, memory: Floats, cell: int, features: Floats, column: int
) -> None:
    """Write beta, correlation, residual, lead and follow of a bar's return, in place.

    Moments are about zero, as a bar's mean return is nothing beside its spread. The residual is
    what the beta before the bar does not explain of it, bps. Lead is the correlation with the
    leader's return a bar before, follow that of the leader's return with ours a bar before.

    Args:
        own: return of this bar.
        price: the leader's; NaN: none.
        span: of the decay, bars.
        memory: state of the rows.
        cell: where this row keeps its own, by the names above.
        features: the columns.
        column: the first of five.
    """
    for output in range(5):
        features[column + output] = np.nan
    before = memory[cell + PRICE]
    is_priced = price > 0.0
    memory[cell + PRICE] = price if is_priced else 0.0
    if not before > 0.0 or not is_priced:
        return
    led = price / before - 1.0
    weight = max(2.0 / (span + 1), 1.0 / (memory[cell + COUNT] + 1.0))
    is_known = memory[cell + COUNT] >= span
    memory[cell + COUNT] += 1.0
    if is_known and memory[cell + LED] > RETURN_VARIANCE_MIN:
        explained = memory[cell + TOGETHER] / memory[cell + LED] * led
        features[column + 2] = (own - explained) * TO_BPS
    fold_mean(memory, cell + OWN, weight, own * own)
    fold_mean(memory, cell + LED, weight, led * led)
    fold_mean(memory, cell + TOGETHER, weight, own * led)
    fold_mean(memory, cell + LEADS, weight, own * memory[cell + LEADER_BEFORE])
    fold_mean(memory, cell + FOLLOWS, weight, led * memory[cell + OWN_BEFORE])
    memory[cell + OWN_BEFORE] = own
    memory[cell + LEADER_BEFORE] = led
    if is_known:
        ours, theirs = memory[cell + OWN], memory[cell + LED]
        if theirs > RETURN_VARIANCE_MIN:
            features[column] = memory[cell + TOGETHER] / theirs
        features[column + 1] = over_root(memory[cell + TOGETHER], ours, theirs)
        features[column + 3] = over_root(memory[cell + LEADS], ours, theirs)
        features[column + 4] = over_root(memory[cell + FOLLOWS], ours, theirs)


@kernel
def write_breadth(
    balance: float, span: int, memory: Floats, cell: int, features: Floats, column: int
) -> None:
    """Write the balance of rising and falling instruments, and its decayed mean, in place.

    Cells: readings folded, mean.
    """
    features[column] = np.nan
    features[column + 1] = np.nan
    if balance != balance:  # noqa: PLR0124  NaN
        return
    weight = max(2.0 / (span + 1), 1.0 / (memory[cell] + 1.0))
    memory[cell] += 1.0
    fold_mean(memory, cell + 1, weight, balance)
    if memory[cell] > span:
        features[column] = balance
        features[column + 1] = memory[cell + 1]


@kernel
def update_cross(
    plan: FeaturePlan,
    series: Floats,
    place: int,
    context: Floats,
    memory: Floats,
    features: Floats,
) -> None:
    """Write this family's columns, in place."""
    first, params, column, cell = plan.first, plan.params, plan.column, plan.cell
    own, price = series[RETURN, place], context[LEADER_PRICE]
    for k in range(first[LEADER], first[LEADER + 1]):
        write_leader(own, price, int(params[k, 0]), memory, cell[k], features, column[k])
    for k in range(first[BREADTH_ROWS], first[BREADTH_ROWS + 1]):
        span = int(params[k, 0])
        write_breadth(context[BREADTH], span, memory, cell[k], features, column[k])
