"""A market for the brain's kernels and for their twin, and the comparison of both.

Whoever measures chooses the kernels' cache before this is imported.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.sides import brain_tapes, twin_build
from engine.domain import market_state
from engine.domain.kernel import Records
from engine.domain.market_state import MarketState, create_market_state
from engine.domain.strategy import (
    EXPOSURE_DTYPE,
    OPPORTUNITIES_PER_RECORD_MAX,
    OPPORTUNITY_DTYPE,
)
from engine.domain.strategy_table import StrategyRow, select_rows
from tests.market_runs import LOG_DTYPE, LOG_MAX, arrays_of, run_paper

ROWS: Final = select_rows()
FEE_PPM: Final = 400  # what a fill costs a taker
HOT_BYTES: Final = 24 * 8  # the members both sides call hot; the rest has names of its own


class Market:
    """A market, and both sides' way through it."""

    def __init__(
        self, instruments: Records, tape: Records, rows: Sequence[StrategyRow] = ROWS
    ) -> None:
        """Keep a tape of these instruments; the first quarter of it warms and is not timed."""
        assert [row.kind for row in rows] == [row.kind for row in ROWS], "the twin knows those"
        self.instruments, self.tape, self.rows = instruments, tape, rows
        self.cut = len(tape) // 4
        self.log = np.zeros(LOG_MAX, dtype=LOG_DTYPE)

    def state(self) -> MarketState:
        """Return a market state before its first record."""
        catalogue = twin_build.twin_catalogue()
        fresh = create_market_state(self.instruments, self.rows, catalogue=catalogue)
        fresh.progress[market_state.TAKER_FEE_PPM] = FEE_PPM
        return brain_tapes.with_clock(fresh, self.tape)

    def kernel(self) -> tuple[float, Records, dict[str, NDArray[np.void]]]:
        """Run the engine's kernels; return ns per record, the decisions and the state."""
        state = self.state()
        exposure = np.zeros((len(self.instruments), len(self.rows)), dtype=EXPOSURE_DTYPE)
        found = np.zeros(OPPORTUNITIES_PER_RECORD_MAX, dtype=OPPORTUNITY_DTYPE)
        warm = run_paper(state, exposure, self.tape[: self.cut], found, self.log)
        started = time.thread_time_ns()
        done = run_paper(state, exposure, self.tape[self.cut :], found, self.log[warm:])
        ns = time.thread_time_ns() - started
        arrays = arrays_of(state) | {"exposure": exposure, "structure": state.structure}
        return self.per_record(ns), self.log[: warm + done].copy(), arrays

    def twin(self, twin: twin_build.Twin) -> tuple[float, Records, twin_build.TwinState]:
        """Run the twin; return ns per record, the decisions and the state."""
        state = twin.start(self.state())
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
    if name.isupper():  # a word of `progress`
        return arrays["progress"][getattr(market_state, name)].reshape(1)
    if name in {"breadth", "reject_counts"}:  # of all instruments
        return arrays[name].reshape(1, -1)
    if name.startswith("books."):
        return arrays[name].astype(np.int64)
    return np.ascontiguousarray(arrays.get(f"hot.{name}", arrays.get(name)))
