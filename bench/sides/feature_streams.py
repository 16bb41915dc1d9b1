"""What `bench.features` times: a crowd of instruments, and TA-Lib's streams beside our own rows."""

from __future__ import annotations

import time
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from bench import harness
from engine.domain.features.batch import (
    FeatureState,
    batch_features,
    create_features,
    fold_bars,
    fold_structure,
)
from engine.domain.features.catalogue import Catalogue, catalogue_text, compile_plan
from engine.domain.features.plan import FeaturePlan
from engine.domain.features.series import CONTEXT_WORDS, TIMEFRAME_S
from engine.domain.features.update import fold_bar
from engine.domain.kernel import Floats, Integers, Records, entry

talib: Final[Any] = import_module("talib") if find_spec("talib") else None

HISTORY: Final = 300  # bars a stream is opened with
# By row of the catalogue: the name of TA-Lib, its inputs and numbers.
SHARED: Final = {
    "averages.ema_distance_21": ("EMA", "c", {"timeperiod": 21}),
    "momentum.rsi_14": ("RSI", "c", {"timeperiod": 14}),
    "volatility.atr_bps": ("NATR", "hlc", {"timeperiod": 14}),
    "trend.macd_12_26_9": ("MACD", "c", {}),
    "trend.adx_14": ("ADX", "hlc", {"timeperiod": 14}),
    "volatility.band_width_20": ("BBANDS", "c", {"timeperiod": 20}),
    "momentum.stochastic_14_3_3": ("STOCH", "hlc", {"fastk_period": 14}),
    "momentum.cci_20": ("CCI", "hlc", {"timeperiod": 20}),
}
PLACES: Final = {"h": 1, "l": 2, "c": 3}


def walk(count: int) -> Floats:
    """Return float64[count, BAR_INPUTS]: minutes of a random walk."""
    random = np.random.default_rng(harness.SEED)
    path = 600_000 + np.cumsum(random.integers(-40, 41, (count, 6)).ravel()).reshape(count, 6)
    volume = random.integers(1, 500, count)
    columns = [path[:, 0], path.max(axis=1), path.min(axis=1), path[:, -1], volume]
    columns += [random.integers(0, volume + 1), random.integers(1, 60, count)]
    return np.stack([*columns, 1_700_000_000 + 60 * np.arange(count)], axis=1).astype(np.float64)


@entry
def fold_structures(plan: FeaturePlan, state: FeatureState, bars: Floats) -> int:
    """Take every bar into the structure alone; return how many were taken."""
    taken = 0
    for k in range(bars.shape[0]):
        if fold_structure(plan, state, bars[k]):
            taken += 1
    return taken


@entry
def fold_crowd(
    plan: FeaturePlan,
    series: Floats,
    coarse: Floats,
    structure: Records,
    counts: Integers,
    atr: Floats,
    seed: Floats,
    memory: Floats,
    features: Floats,
    bars: Floats,
    context: Floats,
) -> int:
    """Give every instrument each bar in turn; return how many were taken."""
    taken = 0
    for k in range(bars.shape[0]):
        for i in range(counts.shape[0]):
            if fold_bar(
                plan,
                series[i],
                coarse[i],
                structure[i],
                counts[i],
                atr[i],
                seed[i],
                0,
                bars[k],
                context,
                memory[i],
                features[i],
            ):
                taken += 1
    return taken


class Crowd:
    """So many instruments that see the same bars."""

    def __init__(self, catalogue: Catalogue, count: int) -> None:
        """Allocate what all of them remember, side by side as the brain does."""
        one = create_features(catalogue)
        self._plan = catalogue.plan
        self._structure = np.concatenate([one.structure] * count)
        self._counts = np.stack([one.counts] * count)
        self._floats = [
            np.stack([it] * count) for it in (one.series, one.coarse, one.atr, one.seed, one.memory)
        ]
        self._features = np.full((count, len(catalogue.bar_columns)), np.nan)
        self._context = np.full(CONTEXT_WORDS, np.nan)
        self._context[TIMEFRAME_S] = 60.0

    def run(self, bars: Floats) -> int:
        """Give every instrument these bars; return how many were taken."""
        series, coarse, atr, seed, memory = self._floats
        return fold_crowd(
            self._plan,
            series,
            coarse,
            self._structure,
            self._counts,
            atr,
            seed,
            memory,
            self._features,
            bars,
            self._context,
        )


def shared_rows() -> Catalogue:
    """Return the catalogue of the indicators that both sides compute."""
    return compile_plan(catalogue_text(), lambda row: row.name in SHARED)


def open_streams(bars: Floats) -> list[tuple[Any, list[int]]]:
    """Return TA-Lib's streams over the bars so far, and which inputs each takes."""
    columns = np.ascontiguousarray(bars.T)
    found = []
    for name, inputs, numbers in SHARED.values():
        places = [PLACES[letter] for letter in inputs]
        stream = getattr(talib.stream, name)
        found.append((stream(*(columns[place] for place in places), **numbers), places))
    return found


def assert_equal(bars: Floats) -> None:
    """Assert that both sides compute the same: strength, directional index and channel index."""
    catalogue = shared_rows()
    last = batch_features(catalogue, bars[: HISTORY + 100])[-1]
    streams = open_streams(bars[:HISTORY])
    answers: list[Any] = []
    for bar in bars[HISTORY : HISTORY + 100]:
        answers = [stream.update(*(bar[place] for place in places)) for stream, places in streams]
    said = dict(zip(SHARED, answers, strict=True))
    mine = dict(zip(catalogue.bar_columns, last, strict=True))
    np.testing.assert_allclose(mine["momentum.rsi_14"], said["momentum.rsi_14"] / 50 - 1, rtol=1e-9)
    np.testing.assert_allclose(mine["trend.adx_14.adx"], said["trend.adx_14"] / 100, rtol=1e-9)
    np.testing.assert_allclose(mine["momentum.cci_20"], said["momentum.cci_20"] / 100, rtol=1e-6)


def talib_pass(bars: Floats) -> harness.Pass:
    """Time TA-Lib's streams, called from Python as their documentation shows."""
    streams = open_streams(bars[:HISTORY])
    rest = [
        [(stream, [float(bar[place]) for place in places]) for stream, places in streams]
        for bar in bars[HISTORY : HISTORY + 2_000]
    ]
    started = time.thread_time_ns()
    for calls in rest:
        for stream, numbers in calls:
            stream.update(*numbers)
    return {"ns": (time.thread_time_ns() - started) / len(rest), "columns": float(len(SHARED))}


def rows_pass(bars: Floats) -> harness.Pass:
    """Time the same indicators as rows of the catalogue."""
    catalogue = shared_rows()
    context = np.full((len(bars), CONTEXT_WORDS), np.nan)
    features = np.empty((len(bars), len(catalogue.bar_columns)))
    started = time.thread_time_ns()
    taken = fold_bars(catalogue.plan, create_features(catalogue), bars, context, features)
    ns = time.thread_time_ns() - started
    assert taken == len(bars), "every bar was taken"
    return {"ns": ns / len(bars), "columns": float(len(SHARED))}
