"""Features of many bars at once, and of a bar not yet closed: the brain's kernels in a loop.

Training data come from here alone, so that what a model learns from is what the brain sees.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.domain.features.catalogue import Catalogue
from engine.domain.features.coarse import create_coarse
from engine.domain.features.plan import FeaturePlan
from engine.domain.features.series import (
    BAR_INPUTS,
    CONTEXT_WORDS,
    SERIES_BARS,
    SERIES_COLUMNS,
    TIMEFRAME_S,
)
from engine.domain.features.update import fold_bar, take_bar
from engine.domain.kernel import Floats, Integers, Records, entry
from engine.domain.structure import create_structure


class FeatureState(NamedTuple):
    """What the features of one instrument and timeframe remember."""

    series: Floats  # float64[SERIES_COLUMNS, 2 * SERIES_BARS]
    coarse: Floats  # float64[layers, COARSE_ROWS, 2 * COARSE_BARS]
    counts: Integers  # int64[1]
    atr: Floats  # float64[1]
    seed: Floats  # float64[1]
    memory: Floats  # float64[cells]
    structure: Records  # STRUCTURE_DTYPE[1]


def create_features(catalogue: Catalogue) -> FeatureState:
    """Return the state before the first bar."""
    return FeatureState(
        series=np.zeros((SERIES_COLUMNS, 2 * SERIES_BARS)),
        coarse=create_coarse(catalogue.plan),
        counts=np.zeros(1, dtype=np.int64),
        atr=np.full(1, np.nan),
        seed=np.zeros(1),
        memory=np.zeros(catalogue.cell_count),
        structure=create_structure(1),
    )


@entry
def fold_bars(
    plan: FeaturePlan, state: FeatureState, bars: Floats, context: Floats, features: Floats
) -> int:
    """Take every bar in turn and write its features, in place; return how many were bars.

    Args:
        plan: which kernel computes which column.
        state: changed in place.
        bars: float64[n, BAR_INPUTS].
        context: float64[n, CONTEXT_WORDS].
        features: float64[n, columns].
    """
    taken = 0
    for k in range(bars.shape[0]):
        if fold_bar(
            plan,
            state.series,
            state.coarse,
            state.structure[0],
            state.counts,
            state.atr,
            state.seed,
            0,
            bars[k],
            context[k],
            state.memory,
            features[k],
        ):
            taken += 1
    return taken


@entry
def fold_structure(plan: FeaturePlan, state: FeatureState, bar: Floats) -> bool:
    """Take a bar into the structure alone, in place; False when it is none.

    Args:
        plan: knows when clocks change.
        state: changed in place; no feature may be computed of it any more.
        bar: float64[BAR_INPUTS].
    """
    number = state.counts[0]
    row = state.structure[0]
    if not take_bar(plan, state.series, row, number, state.atr, state.seed, 0, bar):
        return False
    state.counts[0] = number + 1
    return True


@entry
def peek_bar(
    plan: FeaturePlan,
    state: FeatureState,
    scratch: FeatureState,
    bar: Floats,
    context: Floats,
    features: Floats,
) -> bool:
    """Write the features as they would be if this bar closed now; no later answer changes.

    The bar stands in `state.series` where the next one will, which no window reaches until then.

    Args:
        plan: which kernel computes which column.
        state: what is remembered, kept as it is but for that place.
        scratch: another state of the same plan, overwritten.
        bar: float64[BAR_INPUTS].
        context: float64[CONTEXT_WORDS].
        features: float64[columns].
    """
    for cell in range(state.memory.shape[0]):
        scratch.memory[cell] = state.memory[cell]
    scratch.counts[0] = state.counts[0]
    scratch.atr[0] = state.atr[0]
    scratch.seed[0] = state.seed[0]
    scratch.structure[0] = state.structure[0]
    for layer in range(state.coarse.shape[0]):
        for row in range(state.coarse.shape[1]):
            for at in range(state.coarse.shape[2]):
                scratch.coarse[layer, row, at] = state.coarse[layer, row, at]
    return fold_bar(
        plan,
        state.series,
        scratch.coarse,
        scratch.structure[0],
        scratch.counts,
        scratch.atr,
        scratch.seed,
        0,
        bar,
        context,
        scratch.memory,
        features,
    )


def batch_features(
    catalogue: Catalogue,
    bars: Floats,
    context: Floats | None = None,
    state: FeatureState | None = None,
    timeframe_s: float | None = None,
) -> Floats:
    """Return float64[n, columns]: every feature after every bar; NaN rows where there was no bar.

    Args:
        catalogue: which features.
        bars: float64[n, BAR_INPUTS], prices in ticks or any unit, oldest first.
        context: float64[n, CONTEXT_WORDS]; None: nothing is known beside the bars.
        state: goes on from there, and is changed in place; None: starts afresh.
        timeframe_s: length of a bar, s; None: as the context says.
    """
    assert bars.ndim == 2, f"bars of {bars.ndim} dimensions"
    assert bars.shape[1] == BAR_INPUTS, f"bars of {bars.shape[1]} numbers"
    known = np.full((len(bars), CONTEXT_WORDS), np.nan) if context is None else context.copy()
    if timeframe_s is not None:
        known[:, TIMEFRAME_S] = timeframe_s
    features = np.full((len(bars), len(catalogue.bar_columns)), np.nan)
    fold_bars(
        catalogue.plan,
        create_features(catalogue) if state is None else state,
        np.ascontiguousarray(bars, dtype=np.float64),
        np.ascontiguousarray(known, dtype=np.float64),
        features,
    )
    return features
