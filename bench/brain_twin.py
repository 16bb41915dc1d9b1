"""How close is the brain's kernel to the same work in C++?

`python -m bench.brain_twin [--json FILE] [--passes N]`

One market, twice: through the engine's kernels, and through a twin of them written in C++ as a C++
programmer would (`bench/native/twin`): one struct per instrument, timeframes and strategies known
when it is compiled. Firewall, book, bars, flow, features, structure, score and strategies are all
there; every order is filled at once at the quote, so that positions come and go. Before anything is
timed both must have taken the same decisions, byte for byte, and left the same state, member by
member. The twin is built by each compiler found, for this CPU, at -O3, without contracting floating
point (Numba's kernels do not either). The baseline is g++'s: clang++'s is slower here.

Figures are ns of CPU per record on one core; the first quarter of a market warms and is not timed.
The order side (risk, orders, positions) has no twin: it runs once in thousands of records.
"""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Final

import llvmlite.binding as llvm
import numpy as np
from numpy.typing import NDArray

from bench import harness
from engine.processes import kernel_cache

HOME: Final = os.environ.get("AEGIS_HOME", str(Path("~/.local/state/aegis").expanduser()))
kernel_cache.activate(HOME)

from bench.sides import brain_tapes, twin_build  # noqa: E402 - only now is the cache chosen
from engine.domain.kernel import Records  # noqa: E402
from engine.domain.market_state import MarketState, create_market_state  # noqa: E402
from engine.domain.strategy import (  # noqa: E402
    EXPOSURE_DTYPE,
    OPPORTUNITIES_PER_RECORD_MAX,
    OPPORTUNITY_DTYPE,
)
from engine.domain.strategy_table import select_rows  # noqa: E402
from tests.market_runs import LOG_DTYPE, LOG_MAX, arrays_of, run_paper  # noqa: E402

TOTAL: Final = 2_400_000
COUNTS: Final = (2, 20, 300, 3_000)
HOT_BYTES: Final = 24 * 8  # the members both sides call hot; the rest has names of its own
ROWS: Final = select_rows()

BENCH: Final = harness.Bench(
    name="brain_twin",
    question="How close is the brain's kernel to the same work in C++?",
    load="recorded BTCUSDT and ETHUSDT, interleaved over 2 to 3,000 instruments",
    worry="more than 1.1 times the twin",
    units={"ns": "ns", "records": "", "decisions": ""},
)


class Market:
    """A market, and both sides' way through it."""

    def __init__(self, recorded: Records, count: int) -> None:
        """Interleave the recorded market over `count` instruments."""
        self.instruments = brain_tapes.instruments_of(count)
        self.tape = brain_tapes.interleaved(recorded, count, TOTAL)
        self.cut = len(self.tape) // 4
        self.clock = brain_tapes.clock_of(self.tape)
        self.log = np.zeros(LOG_MAX, dtype=LOG_DTYPE)

    def state(self) -> MarketState:
        """Return a market state before its first record."""
        catalogue = twin_build.twin_catalogue()
        fresh = create_market_state(self.instruments, ROWS, catalogue=catalogue)
        return brain_tapes.with_clock(fresh, self.tape)

    def kernel(self) -> tuple[float, Records, dict[str, NDArray[np.void]]]:
        """Run the engine's kernels; return ns per record, the decisions and the state."""
        state = self.state()
        exposure = np.zeros((len(self.instruments), len(ROWS)), dtype=EXPOSURE_DTYPE)
        found = np.zeros(OPPORTUNITIES_PER_RECORD_MAX, dtype=OPPORTUNITY_DTYPE)
        warm = run_paper(state, exposure, self.tape[: self.cut], found, self.log)
        started = time.thread_time_ns()
        done = run_paper(state, exposure, self.tape[self.cut :], found, self.log[warm:])
        ns = time.thread_time_ns() - started
        arrays = arrays_of(state) | {"exposure": exposure, "structure": state.structure}
        return self.per_record(ns), self.log[: warm + done].copy(), arrays

    def twin(self, twin: twin_build.Twin) -> tuple[float, Records, twin_build.TwinState]:
        """Run the twin; return ns per record, the decisions and the state."""
        state = twin.start(self.state(), self.clock)
        warm = state.run(self.tape[: self.cut], self.log)
        started = time.thread_time_ns()
        done = state.run(self.tape[self.cut :], self.log[warm:])
        ns = time.thread_time_ns() - started
        return self.per_record(ns), self.log[: warm + done].copy(), state

    def per_record(self, ns: int) -> float:
        """Return ns per timed record."""
        return ns / (len(self.tape) - self.cut)


def compare(market: Market, twin: twin_build.Twin) -> int:
    """Assert that both sides decide the same and end in the same state; return the decisions."""
    _, decisions, arrays = market.kernel()
    _, other, state = market.twin(twin)
    assert decisions.tobytes() == other.tobytes(), "the decisions differ"
    for name, found in state.members():
        mine = member(arrays, name)
        if mine.dtype == np.float64:
            theirs = found.view(np.float64).reshape(mine.shape)
            assert np.array_equal(mine, theirs, equal_nan=True), f"{name} differs"
        else:
            rows = np.ascontiguousarray(mine).view(np.uint8).reshape(len(mine), -1)
            assert np.array_equal(rows, found), f"{name} differs"
    return len(decisions)


def member(arrays: dict[str, NDArray[np.void]], name: str) -> NDArray[np.void]:
    """Return what the kernels keep under the twin's name of a member."""
    if name == "hot":
        names = [key for key in arrays if key.startswith("hot.")][: HOT_BYTES // 8]
        return np.stack([arrays[key] for key in names], axis=1)
    if name == "anchors":  # the twin's lane holds its moves too
        return np.concatenate([arrays["hot.anchors"], arrays["hot.moves"]], axis=2)
    if name.startswith("books."):
        return arrays[name].astype(np.int64)
    return np.ascontiguousarray(arrays.get(f"hot.{name}", arrays.get(name)))


def kernel_pass(market: Market) -> harness.Pass:
    """Time the engine's kernels once."""
    ns, decisions, _ = market.kernel()
    return {"ns": ns, "records": float(len(market.tape)), "decisions": float(len(decisions))}


def twin_pass(market: Market, twin: twin_build.Twin) -> harness.Pass:
    """Time the twin once."""
    ns, decisions, _ = market.twin(twin)
    return {"ns": ns, "records": float(len(market.tape)), "decisions": float(len(decisions))}


def main() -> None:
    """Compare, measure, print the table, write the JSON."""
    asked = harness.arguments(__doc__ or "")
    about = harness.machine()
    twins = twin_build.built_twins()
    about |= {f"twin {name}": twin_build.flags_text(name) for name in twins}
    about["kernels"] = f"numba for {llvm.get_host_cpu_name()}, its features, opt 3"
    os.sched_setaffinity(0, {harness.two_cores()[0]})
    recorded, is_recorded = brain_tapes.recorded_market()
    if not is_recorded:
        sys.stderr.write("figures are of a synthetic market\n")
    cases: dict[str, harness.Case] = {}
    baselines = {}
    for count in COUNTS:
        market = Market(recorded, count)
        for twin in twins.values():
            compare(market, twin)
        for name, twin in twins.items():
            cases[f"{count} instruments, {name}"] = partial(twin_pass, market, twin)
        cases[f"{count} instruments, kernel"] = partial(kernel_pass, market)
        baselines[f"{count} instruments, kernel"] = f"{count} instruments, {next(iter(twins))}"
    bench = harness.Bench(**{**vars(BENCH), "baselines": baselines})
    harness.finish(bench, harness.measure(cases, asked), about, asked.json)


if __name__ == "__main__":
    main()
