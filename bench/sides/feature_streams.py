"""What `bench.features` times: a crowd of instruments, and TA-Lib's streams beside our own rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
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
from engine.domain.features.catalogue import (
    Catalogue,
    FeatureRow,
    catalogue_text,
    compile_plan,
)
from engine.domain.features.plan import FeaturePlan
from engine.domain.features.series import CONTEXT_WORDS, TIMEFRAME_S
from engine.domain.features.update import fold_bar
from engine.domain.kernel import Floats, Integers, Records, entry

talib: Final[Any] = import_module("talib") if find_spec("talib") else None

HISTORY: Final = 300  # bars a stream is opened with
# Eight that everybody uses; beside them all that both sides have.
COMMON: Final = (
    "averages.ema_distance_21",
    "momentum.rsi_14",
    "volatility.natr_bps_28",
    "trend.macd_12_26_9",
    "trend.adx_14",
    "volatility.band_width_20",
    "momentum.stochastic_14_3_3",
    "momentum.cci_20",
)
# TA-Lib's functions with a stream: inputs, and which of a row's numbers they take under which name.
SPAN: Final = ("timeperiod",)
FUNCTIONS: Final = {
    **dict.fromkeys(("ATR", "NATR", "CCI", "PLUS_DI", "MINUS_DI", "ADX"), ("hlc", SPAN)),
    **dict.fromkeys(("MOM", "EMA", "SMA", "WMA", "DEMA", "TEMA", "KAMA", "RSI"), ("c", SPAN)),
    **dict.fromkeys(("TRIX", "STDDEV", "BBANDS", "LINEARREG", "LINEARREG_SLOPE"), ("c", SPAN)),
    **dict.fromkeys(("AROON", "MIDPRICE"), ("hl", SPAN)),
    "MAX": ("h", SPAN),
    "MIN": ("l", SPAN),
    "MACD": ("c", ("fastperiod", "slowperiod", "signalperiod")),
    "STOCH": ("hlc", ("fastk_period", "slowk_period", "slowd_period")),
    "ULTOSC": ("hlc", ("timeperiod1", "timeperiod2", "timeperiod3")),
    "MFI": ("hlcv", SPAN),
    "OBV": ("cv", ()),
    "AD": ("hlcv", ()),
    "BOP": ("ohlc", ()),
}
ATR_SPAN: Final = 14  # what scales a row is one stream for all of them
PLACES: Final = {"o": 0, "h": 1, "l": 2, "c": 3, "v": 4}


def walk(count: int) -> Floats:
    """Return float64[count, BAR_INPUTS]: minutes of a random walk."""
    random = np.random.default_rng(harness.SEED)
    path = 600_000 + np.cumsum(random.integers(-40, 41, (count, 6)).ravel()).reshape(count, 6)
    volume = random.integers(1, 500, count)
    columns = [path[:, 0], path.max(axis=1), path.min(axis=1), path[:, -1], volume]
    columns += [random.integers(0, volume + 1), random.integers(1, 60, count)]
    return np.stack([*columns, 1_700_000_000 + 60 * np.arange(count)], axis=1).astype(np.float64)


def room_for(catalogue: Catalogue, bars: Floats) -> Floats:
    """Return float64[bars, columns], written once: the first touch of a page is no feature's."""
    return np.full((len(bars), len(catalogue.bar_columns)), np.nan)


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


def rows_of(names: Sequence[str] = ()) -> Catalogue:
    """Return the catalogue of the indicators that both sides compute: those named, or all."""

    def is_wanted(row: FeatureRow) -> bool:
        return row.name in names if names else row.oracle.startswith("TA-Lib") and row.every == 1

    return compile_plan(catalogue_text(), is_wanted, has_structure=False)


def calls_of(catalogue: Catalogue) -> dict[tuple[str, tuple[int, ...]], str]:
    """Return which streams compute the same as rows do, each once: name and numbers, inputs."""
    found = {}
    for row in catalogue.bar_rows:
        for name in row.oracle.removeprefix("TA-Lib ").split(", "):
            inputs, taken = FUNCTIONS.get(name, ("c" if name.startswith("HT_") else "ohlc", ()))
            numbers = [int(number) for number in row.params[: len(taken)]] or [ATR_SPAN] * len(
                taken
            )
            found[name, tuple([ATR_SPAN] if name == "ATR" else numbers)] = inputs
    return found


class Streams:
    """TA-Lib's streams over the bars so far."""

    def __init__(self, catalogue: Catalogue, bars: Floats) -> None:
        """Open those that compute what a catalogue's rows do."""
        columns = np.ascontiguousarray(bars.T)
        self.streams: dict[str, tuple[Any, list[int]]] = {}
        for (name, numbers), inputs in calls_of(catalogue).items():
            places = [PLACES[letter] for letter in inputs]
            names = FUNCTIONS[name][1] if name in FUNCTIONS else ()
            given = dict(zip(names, numbers, strict=True))
            stream = getattr(talib.stream, name)(*(columns[place] for place in places), **given)
            self.streams[f"{name}{numbers}"] = (stream, places)

    def calls(self, bars: Floats) -> list[list[tuple[Any, list[float]]]]:
        """Return for each bar which streams are to be called, and with what."""
        every = list(self.streams.values())
        return [
            [(it, [float(bar[place]) for place in places]) for it, places in every] for bar in bars
        ]


def assert_equal(bars: Floats) -> None:
    """Assert that both sides compute the same: strength, directional index and channel index.

    Every row is compared with its oracle in tests/unit/domain/test_features.py.
    """
    catalogue = rows_of(COMMON)
    last = batch_features(catalogue, bars[: HISTORY + 100])[-1]
    streams = Streams(catalogue, bars[:HISTORY])
    said: dict[str, Any] = {}
    for calls in streams.calls(bars[HISTORY : HISTORY + 100]):
        answers = [stream.update(*numbers) for stream, numbers in calls]
        said = dict(zip(streams.streams, answers, strict=True))
    mine = dict(zip(catalogue.bar_columns, last, strict=True))
    np.testing.assert_allclose(mine["momentum.rsi_14"], said["RSI(14,)"] / 50 - 1, rtol=1e-9)
    np.testing.assert_allclose(mine["trend.adx_14.adx"], said["ADX(14,)"] / 100, rtol=1e-9)
    np.testing.assert_allclose(mine["momentum.cci_20"], said["CCI(20,)"] / 100, rtol=1e-6)


def talib_pass(bars: Floats, names: Sequence[str] = ()) -> harness.Pass:
    """Time TA-Lib's streams, called from Python as their documentation shows."""
    streams = Streams(rows_of(names), bars[:HISTORY])
    rest = streams.calls(bars[HISTORY : HISTORY + 2_000])
    started = time.thread_time_ns()
    for calls in rest:
        for stream, numbers in calls:
            stream.update(*numbers)
    ns = time.thread_time_ns() - started
    return {"ns": ns / len(rest), "streams": float(len(streams.streams))}


def rows_pass(bars: Floats, names: Sequence[str] = ()) -> harness.Pass:
    """Time the same indicators as rows of the catalogue."""
    catalogue = rows_of(names)
    context = np.full((len(bars), CONTEXT_WORDS), np.nan)
    features = room_for(catalogue, bars)
    started = time.thread_time_ns()
    taken = fold_bars(catalogue.plan, create_features(catalogue), bars, context, features)
    ns = time.thread_time_ns() - started
    assert taken == len(bars), "every bar was taken"
    return {"ns": ns / len(bars), "columns": float(len(catalogue.bar_columns))}
