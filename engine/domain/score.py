"""Forward passes over packed weights. Loads nothing; the caller owns the weights.

A linear score packs one row per input: column, scale, weight. Each input is divided by its scale
and clipped to [-1, 1], so that no single input can reach further than its weight; the weights'
absolute values sum to 1, so that the score lies in [-1, 1]. An unknown input makes the score
unknown.

    score = sum of weight[k] * clip(input[column[k]] / scale[k], -1, 1)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.domain.features.micro import (
    IMBALANCE,
    QUOTE_FLOW_LONG,
    TRADE_FLOW_LONG,
    TRADE_FLOW_SHORT,
)
from engine.domain.kernel import Floats, fused, kernel

COLUMN, SCALE, WEIGHT = 0, 1, 2
SCORE_INPUTS_MAX = 8
SCORE_MOST = 1.0 + 1e-9  # what weights that sum to 1 reach, rounding included


def pack_linear(rows: tuple[tuple[int, float, float], ...]) -> NDArray[np.float64]:
    """Return float64[inputs, 3] of (column, scale, weight); asserts that weights sum to 1."""
    assert 0 < len(rows) <= SCORE_INPUTS_MAX, f"inputs of a score: {len(rows)}"
    packed = np.array(rows, dtype=np.float64)
    assert (packed[:, SCALE] > 0).all(), f"scales are positive: {packed[:, SCALE]}"
    total = float(np.abs(packed[:, WEIGHT]).sum())
    assert abs(total - 1.0) < 1e-12, f"absolute weights sum to 1, not {total}"
    return packed


@fused
def linear_score(weights: Floats, inputs: Floats) -> float:
    """Return the score of `inputs` (float64[columns]); NaN if an input is NaN."""
    score = 0.0
    for k in range(weights.shape[0]):
        part = inputs[int(weights[k, COLUMN])] / weights[k, SCALE]
        # WHY: these compile to two instructions, a chain of if and elif to branches that no CPU can
        # predict; and in this order NaN stays NaN.
        part = min(max(part, -1.0), 1.0)
        score += weights[k, WEIGHT] * part
    return score


@kernel
def inputs_known(weights: Floats, inputs: Floats) -> bool:
    """Return whether every input of a score is a number, its weights aside.

    A column that is none of `inputs` is a fault of the weights, not an input that is missing.
    """
    for k in range(weights.shape[0]):
        column = weights[k, COLUMN]
        if 0.0 <= column < inputs.shape[0] and np.isnan(inputs[int(column)]):
            return False
    return True


# Flow of takers first, the change of the quote second, what rests third. Scales: six standard
# deviations of random signs saturate a flow; an imbalance saturates where three lots stand to one.
ORDERFLOW_WEIGHTS = pack_linear(
    (
        (TRADE_FLOW_LONG, 6.0, 0.35),
        (TRADE_FLOW_SHORT, 6.0, 0.25),
        (QUOTE_FLOW_LONG, 6.0, 0.25),
        (IMBALANCE, 0.5, 0.15),
    )
)
