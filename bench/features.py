"""What do all features of one instrument and bar cost, and what do TA-Lib's streams?

`python -m bench.features [--json FILE] [--passes N]`

The brain's own kernel (`fold_bar`) over a random walk of bars: one instrument, hot; three hundred
instruments one after another, as when they close together, so that each finds its memory cold; and
a peek. Beside it, where TA-Lib is installed, eight common indicators, and then all that both have,
through its streaming handles, each called once a bar, and as rows of the catalogue: a plan of those
rows alone, which keeps windows and average true range all the same. Answers are compared before
anything is timed.
"""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from bench import harness
from engine.processes import kernel_cache

HOME: Final = os.environ.get("AEGIS_HOME", str(Path("~/.local/state/aegis").expanduser()))
kernel_cache.activate(HOME)

from bench.sides import feature_streams as streams  # noqa: E402 - only now is the cache chosen
from engine.domain.features.batch import create_features, fold_bars  # noqa: E402
from engine.domain.features.catalogue import catalogue_text, compile_plan  # noqa: E402
from engine.domain.features.series import CONTEXT_WORDS, TIMEFRAME_S  # noqa: E402

BARS: Final = 20_000
CROWD: Final = 300
ROUNDS: Final = 60
EIGHT, EVERY = "eight indicators", "all indicators that both have"
CATALOGUE: Final = compile_plan(catalogue_text())

BENCH: Final = harness.Bench(
    name="features",
    question="What do all bar features of one instrument and bar cost?",
    load=f"{len(CATALOGUE.bar_columns)} columns over a random walk of bars",
    worry="more than 6,000 ns a bar hot, 1,000 for structure, 3 ms for 300 closing together",
    units={"ns": "ns", "columns": "", "streams": "", "events": "", "together": "ms"},
    baselines={f"{which}, catalogue rows": f"{which}, TA-Lib streams" for which in (EIGHT, EVERY)},
)


def whole(bars: np.ndarray) -> harness.Pass:
    """Time every feature of one instrument, hot."""
    context = np.full((len(bars), CONTEXT_WORDS), np.nan)
    context[:, TIMEFRAME_S] = 60.0
    features = streams.room_for(CATALOGUE, bars)
    started = time.thread_time_ns()
    taken = fold_bars(CATALOGUE.plan, create_features(CATALOGUE), bars, context, features)
    ns = time.thread_time_ns() - started
    assert taken == len(bars), "every bar was taken"
    assert np.isfinite(features[-1]).sum() > 160, "and features are known"
    return {"ns": ns / len(bars), "columns": float(len(CATALOGUE.bar_columns))}


def structure(bars: np.ndarray) -> harness.Pass:
    """Time windows, average true range and all smart-money events of one instrument, hot."""
    state = create_features(CATALOGUE)
    started = time.thread_time_ns()
    taken = streams.fold_structures(CATALOGUE.plan, state, bars)
    ns = time.thread_time_ns() - started
    assert taken == len(bars), "every bar was taken"
    events = int(state.structure["event_count"][0])
    assert events > len(bars) // 4, "and much became known"
    return {"ns": ns / len(bars), "events": events / len(bars)}


def together(bars: np.ndarray) -> harness.Pass:
    """Time a bar of each of three hundred instruments in turn, warm after 128 bars."""
    crowd = streams.Crowd(CATALOGUE, CROWD)
    crowd.run(bars[:128])
    started = time.thread_time_ns()
    taken = crowd.run(bars[128 : 128 + ROUNDS])
    ns = time.thread_time_ns() - started
    assert taken == CROWD * ROUNDS, "every bar was taken"
    return {"ns": ns / taken, "together": ns / ROUNDS / 1e6}


def main() -> None:
    """Measure, print the table, write the JSON."""
    asked = harness.arguments(__doc__ or "")
    about = harness.machine()
    os.sched_setaffinity(0, {harness.two_cores()[0]})
    bars = streams.walk(BARS)
    cases: dict[str, harness.Case] = {
        "all features": lambda: whole(bars),
        "smart-money structure alone": lambda: structure(bars),
        f"all features, {CROWD} instruments in turn": lambda: together(bars),
    }
    if streams.talib is None:
        sys.stderr.write("TA-Lib is not installed: its streams are left out\n")
    else:
        streams.assert_equal(bars)
        for which, names in ((EIGHT, streams.COMMON), (EVERY, ())):
            cases[f"{which}, TA-Lib streams"] = partial(streams.talib_pass, bars, names)
            cases[f"{which}, catalogue rows"] = partial(streams.rows_pass, bars, names)
    harness.finish(BENCH, harness.measure(cases, asked), about, asked.json)


if __name__ == "__main__":
    main()
