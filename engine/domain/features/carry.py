"""What a perpetual's terms and its forced trades say: NaN where the venue does not say it."""

from __future__ import annotations

import numpy as np

from engine.domain.features.plan import FeaturePlan, kernel_number
from engine.domain.features.series import (
    FUNDING_RATE_BPS,
    LIQUIDATED_BUYS,
    LIQUIDATED_SELLS,
    MARK_BASIS_BPS,
    NEXT_FUNDING_S,
    START_S,
    VOLUME,
    ratio,
)
from engine.domain.kernel import Floats, kernel

FUNDING_BPS = kernel_number("carry.funding_bps")
BASIS_BPS = kernel_number("carry.basis_bps")
FUNDING_WAIT = kernel_number("carry.funding_wait")
LIQUIDATIONS = kernel_number("carry.liquidations")
INTERVAL_S = 28_800.0  # the usual eight hours between two fundings


@kernel
def liquidations(
    context: Floats,
    volume: float,
    span: int,
    memory: Floats,
    cell: int,
    features: Floats,
    column: int,
) -> None:
    """Write whose positions were closed by force, and how much of the volume that was, in place.

    Buys minus sells over both, and both over all volume, decayed alike. Cells: bars folded, totals
    of buys and sells before, decayed buys, sells and volume.
    """
    features[column] = np.nan
    features[column + 1] = np.nan
    bought = context[LIQUIDATED_BUYS]
    sold = context[LIQUIDATED_SELLS]
    if not bought + sold >= 0.0:
        return
    memory[cell] += 1.0
    if memory[cell] > 1.0:
        weight = 2.0 / (span + 1)
        memory[cell + 3] += (bought - memory[cell + 1] - memory[cell + 3]) * weight
        memory[cell + 4] += (sold - memory[cell + 2] - memory[cell + 4]) * weight
        memory[cell + 5] += (volume - memory[cell + 5]) * weight
    memory[cell + 1] = bought
    memory[cell + 2] = sold
    if memory[cell] > span:
        both = memory[cell + 3] + memory[cell + 4]
        features[column] = ratio(memory[cell + 3] - memory[cell + 4], both)
        features[column + 1] = ratio(both, memory[cell + 5])


@kernel
def update_carry(
    plan: FeaturePlan,
    series: Floats,
    place: int,
    context: Floats,
    memory: Floats,
    features: Floats,
) -> None:
    """Write this family's columns, in place."""
    first, params, column, cell = plan.first, plan.params, plan.column, plan.cell
    for k in range(first[FUNDING_BPS], first[FUNDING_BPS + 1]):
        features[column[k]] = context[FUNDING_RATE_BPS]
    for k in range(first[BASIS_BPS], first[BASIS_BPS + 1]):
        features[column[k]] = context[MARK_BASIS_BPS]
    for k in range(first[FUNDING_WAIT], first[FUNDING_WAIT + 1]):
        features[column[k]] = (context[NEXT_FUNDING_S] - series[START_S, place]) / INTERVAL_S
    for k in range(first[LIQUIDATIONS], first[LIQUIDATIONS + 1]):
        span, volume = int(params[k, 0]), series[VOLUME, place]
        liquidations(context, volume, span, memory, cell[k], features, column[k])
