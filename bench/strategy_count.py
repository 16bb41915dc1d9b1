"""What does it cost a quote, and the end of a bar, that hundreds of strategies run?

`python -m bench.strategy_count [--json FILE] [--passes N]`

Rows of rules from the shipped grid, every family among them, all on bars of one second, so that a
short recorded market warms their features. `quote` is what asking about one quote takes, `bar end`
what asking all of them takes when their bar ended; instruments are asked in turn, so that no
strategy's rows are hot for being the last. A rule reads features of bars: at a quote it can only
leave a position, by its stop, target or time. In `... hold` one strategy in ten has one.

Figures are ns of CPU on one core, for one quote or one end of bars of one instrument.
"""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from bench import harness
from engine.processes import kernel_cache

HOME: Final = os.environ.get("AEGIS_HOME", str(Path("~/.local/state/aegis").expanduser()))
kernel_cache.activate(HOME)

from bench.sides import brain_tapes  # noqa: E402 - only now is the cache chosen
from engine.domain.kernel import Records, entry  # noqa: E402
from engine.domain.market_state import MarketState, create_market_state  # noqa: E402
from engine.domain.row_bits import mark_row  # noqa: E402
from engine.domain.strategy import (  # noqa: E402
    EXPOSURE_DTYPE,
    OPPORTUNITIES_PER_RECORD_MAX,
    OPPORTUNITY_DTYPE,
    apply_market,
    run_on_bars,
    run_on_quote,
)
from engine.domain.strategy_grid import expanded_rows  # noqa: E402

INSTRUMENTS: Final = 20
RECORDS: Final = 400_000
TURNS: Final = 20_000
COUNTS: Final = (1, 10, 100, 500)
ONE_IN: Final = 10  # strategies that hold a position, where some do
HELD_LOTS: Final = 1

BENCH: Final = harness.Bench(
    name="strategy_count",
    question="what does it cost a quote, and the end of a bar, that hundreds of strategies run?",
    load=f"{INSTRUMENTS} instruments in turn, rules of every family of the shipped grid",
    worry="a quote of 500 strategies that hold nothing above 50 ns more than of one",
    units={"quote": "ns", "bar end": "ns", "opportunities": ""},
    baselines={
        f"{count} strategies{held}": "1 strategies" for count in COUNTS for held in ("", ", hold")
    },
)


@entry
def warm(market: MarketState, exposure: Records, slots: Records, opportunities: Records) -> int:
    """Play a market; whatever strategies want is forgotten."""
    found = 0
    for k in range(slots.shape[0]):
        now_ns = slots["receive_time_ns"][k]
        found += max(apply_market(market, exposure, slots, k, now_ns, opportunities), 0)
    return found


@entry
def hold(market: MarketState, exposure: Records, now_ns: int) -> None:
    """Give one strategy in ten of every instrument a position that nothing ends."""
    for i in range(exposure.shape[0]):
        for s in range(0, exposure.shape[1], ONE_IN):
            exposure["position_lots"][i, s] = HELD_LOTS
            exposure["entry_price_ticks"][i, s] = market.hot["bid_price_ticks"][i]
            exposure["entry_time_ns"][i, s] = now_ns
            mark_row(market.held_rows[i], s, True)


@entry
def ask_at_quotes(
    market: MarketState, exposure: Records, now_ns: int, opportunities: Records, turns: int
) -> int:
    """Ask every strategy about a quote, instrument after instrument; return what they want."""
    found = 0
    for turn in range(turns):
        i = turn % exposure.shape[0]
        found += run_on_quote(market, exposure, i, now_ns, opportunities, 0)
    return found


@entry
def ask_at_bars(
    market: MarketState, exposure: Records, now_ns: int, opportunities: Records, turns: int
) -> int:
    """Ask every strategy at the end of a bar of every length; return what they want."""
    found = 0
    every = (1 << market.timeframes_ns.shape[0]) - 1
    for turn in range(turns):
        i = turn % exposure.shape[0]
        found += run_on_bars(market, exposure, i, every, now_ns, opportunities)
    return found


class Subject:
    """Instruments with so many strategies, warmed by a recorded market."""

    def __init__(self, tape: Records, count: int, *, holds: bool) -> None:
        """Take `count` rows of the grid, evenly spaced, and play the market."""
        grid = expanded_rows()
        chosen = [grid[k * len(grid) // count] for k in range(count)]
        rows = [msgspec.structs.replace(row, timeframe_s=1) for row in chosen]
        instruments = brain_tapes.instruments_of(INSTRUMENTS)
        self.market = brain_tapes.with_clock(create_market_state(instruments, rows), tape)
        self.exposure = np.zeros((INSTRUMENTS, count), dtype=EXPOSURE_DTYPE)
        self.found = np.zeros(OPPORTUNITIES_PER_RECORD_MAX, dtype=OPPORTUNITY_DTYPE)
        warm(self.market, self.exposure, tape, self.found)
        self.now_ns = int(tape["receive_time_ns"][-1])
        if holds:
            hold(self.market, self.exposure, self.now_ns)

    def measure(self) -> harness.Pass:
        """Return ns per quote and per end of bars."""
        arguments = (self.market, self.exposure, self.now_ns, self.found, TURNS)
        found: harness.Pass = {}
        wanted = 0
        for name, ask in (("quote", ask_at_quotes), ("bar end", ask_at_bars)):
            started = time.thread_time_ns()
            wanted += ask(*arguments)
            found[name] = (time.thread_time_ns() - started) / TURNS
        return {**found, "opportunities": float(wanted)}


def main() -> None:
    """Measure, print the table, write the JSON."""
    asked, about = harness.arguments(__doc__ or ""), harness.machine()
    os.sched_setaffinity(0, {harness.two_cores()[0]})
    recorded, is_recorded = brain_tapes.recorded_market()
    if not is_recorded:
        sys.stderr.write("figures are of a synthetic market\n")
    tape = brain_tapes.interleaved(recorded, INSTRUMENTS, RECORDS)
    cases: dict[str, harness.Case] = {}
    for count in COUNTS:
        for name, holds in (("", False), (", hold", True)):
            subject = Subject(tape, count, holds=holds)
            cases[f"{count} strategies{name}"] = partial(Subject.measure, subject)
    harness.finish(BENCH, harness.measure(cases, asked), about, asked.json)


if __name__ == "__main__":
    main()
