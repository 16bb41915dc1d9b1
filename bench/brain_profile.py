"""What does one market record cost the brain, stage by stage?

`python -m bench.brain_profile [--json FILE] [--passes N]`

Every stage is the difference of two loops over one market: the loop that stops after the stage,
and the one that stops before it. Each loop starts from a fresh state; its first quarter warms it
and is not timed. Stages up to `score` are production kernels put together again
(`bench/sides/brain_stages.py`); before anything is timed, the state they leave is compared with the
one production leaves, byte for byte. `strategies` is `apply_market`, `risk` is `decide.step` in
batches of 256 (every opportunity is judged by all gates and refused: nobody reconciled), `write` is
the whole loop as the brain runs it: its image, its rings, marks, counters and histograms. So the
stages add up to the whole by construction; what shows whether they mean something is in the rows
`put together` and `production`: the same work as timed in the bench's loop and in the engine's.
A difference of two loops may be slightly below zero where a stage hides behind another's waiting.

Figures are ns of CPU per record on one core.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench import harness
from engine.processes import kernel_cache

HOME: Final = os.environ.get("AEGIS_HOME", str(Path("~/.local/state/aegis").expanduser()))
DIRECTORY: Final = kernel_cache.activate(HOME)

from bench.sides import brain_stages as stages  # noqa: E402 - only now is the cache chosen
from bench.sides import brain_tapes  # noqa: E402
from engine.domain.decide import create_out, create_state  # noqa: E402
from engine.domain.kernel import Records  # noqa: E402
from engine.domain.limits import RiskLimits  # noqa: E402
from engine.domain.market_state import MarketState, create_market_state  # noqa: E402
from engine.domain.records import EVENT_DTYPE, MARKET_DTYPE  # noqa: E402
from engine.domain.state import State  # noqa: E402
from engine.domain.strategy import (  # noqa: E402
    EXPOSURE_DTYPE,
    OPPORTUNITIES_PER_RECORD_MAX,
    OPPORTUNITY_DTYPE,
)
from engine.domain.strategy_table import select_rows  # noqa: E402
from engine.processes import brain_ports, kernel_image  # noqa: E402
from engine.processes.brain_rings import Rings  # noqa: E402
from engine.processes.brain_words import LoopWord  # noqa: E402
from native_ext import _native  # noqa: E402
from ringbuffer.counters import PAGE_WORDS, CounterPage  # noqa: E402
from ringbuffer.idle import IdleKind, choose  # noqa: E402
from ringbuffer.ring import Consumer, Producer, Ring  # noqa: E402
from tests.market_runs import arrays_of  # noqa: E402

RING_SLOTS: Final = 65_536
TOTAL: Final = 1_200_000
COUNTS: Final = (2, 300)
SLICE_NS: Final = 2_000_000  # the brain's own are 10 ms; a call costs some microseconds
ROWS: Final = select_rows()

BENCH: Final = harness.Bench(
    name="brain_profile",
    question="What does one market record cost the brain, stage by stage?",
    load="recorded BTCUSDT and ETHUSDT, interleaved: 46 % quotes, 50 % levels, 4 to 5 % trades",
    worry="more than 60 ns per record for all stages together over 300 instruments",
    units={**dict.fromkeys(stages.NAMES, "ns"), "whole": "ns", "put together": "ns"}
    | {"production": "ns", "records": ""},
)


def timed(kernel: Callable[..., float], *arguments: object) -> float:
    """Return the CPU ns of one call."""
    started = time.thread_time_ns()
    kernel(*arguments)
    return float(time.thread_time_ns() - started)


class Market:
    """One market with its instruments, split into what warms and what is timed."""

    def __init__(self, recorded: Records, count: int) -> None:
        """Interleave the recorded market over `count` instruments."""
        self.instruments = brain_tapes.instruments_of(count)
        tape = brain_tapes.interleaved(recorded, count, TOTAL)
        # The step looks records up by a mask, so their number is a power of two.
        size = 1 << (len(tape).bit_length() - 1)
        self.tape = tape[:size]
        self.cut = size // 4
        self.timed = size - self.cut

    def state(self) -> MarketState:
        """Return a market state before its first record, its venue clock known."""
        return brain_tapes.with_clock(create_market_state(self.instruments, ROWS), self.tape)

    def up_to(self, depth: int) -> tuple[float, MarketState]:
        """Return ns per record of the loop that stops at a stage, and what it left behind."""
        state = self.state()
        if depth == stages.READ:
            return timed(stages.read_only, self.tape[self.cut :]) / self.timed, state
        if depth == stages.FIREWALL:
            loop: Callable[..., float] = stages.firewall_only
        elif depth == stages.STRATEGIES:
            exposure = np.zeros((len(self.instruments), len(ROWS)), dtype=EXPOSURE_DTYPE)
            found = np.zeros(OPPORTUNITIES_PER_RECORD_MAX, dtype=OPPORTUNITY_DTYPE)

            def loop(market: MarketState, slots: Records) -> float:
                return stages.strategies(market, exposure, slots, found)

        else:
            loop = partial(_up_to, depth)
        loop(state, self.tape[: self.cut])
        return timed(loop, state, self.tape[self.cut :]) / self.timed, state

    def production(self) -> tuple[float, MarketState]:
        """Return ns per record of firewall and `apply_record` as the engine has them."""
        state = self.state()
        stages.production(state, self.tape[: self.cut])
        return timed(stages.production, state, self.tape[self.cut :]) / self.timed, state

    def risk(self) -> float:
        """Return ns per record of the step, from firewall to refusal."""
        state, out, nothing = self.whole_state(), create_out(), np.zeros(1, dtype=EVENT_DTYPE)
        stages.steps(state, nothing, self.tape, 0, self.cut, out)
        return (
            timed(stages.steps, state, nothing, self.tape, self.cut, self.timed, out) / self.timed
        )

    def whole_state(self) -> State:
        """Return both sides of a state before the first record."""
        state = create_state(self.instruments, ROWS, RiskLimits(), epoch=1)
        brain_tapes.with_clock(state.market, self.tape)
        return state

    def whole(self, image: kernel_image.LoopImage) -> float:
        """Return ns per record of the loop as the brain runs it, records waiting in its ring."""
        run = WholeRun(self, image)
        run.play(self.tape[: self.cut])
        ns = run.play(self.tape[self.cut :])
        run.close()
        return ns / self.timed


def _up_to(depth: int, state: MarketState, slots: Records) -> float:
    return float(stages.up_to(state, slots, depth))


class WholeRun:
    """The brain's loop between rings of this process; the bench plays feed and journal."""

    def __init__(self, market: Market, image: kernel_image.LoopImage) -> None:
        """Create the rings and bind the loop to them."""
        self.rings = Rings(
            Ring.local("market", RING_SLOTS, MARKET_DTYPE.itemsize, gating=(0,)),
            Ring.local("control", 64, EVENT_DTYPE.itemsize, gating=(0,)),
            Ring.local("events", 32_768, EVENT_DTYPE.itemsize, gating=(0,)),
        )
        self.feed = Producer(self.rings.market_ring)
        self.journal = Consumer(self.rings.events.ring, 0)
        self.state, self.out = market.whole_state(), create_out()
        self.words: NDArray[np.int64] = np.zeros(8, dtype=np.int64)
        base = self.words.ctypes.data
        page = CounterPage(memoryview(bytearray(8 * PAGE_WORDS)).cast("q"))
        self.ports = brain_ports.create_ports(
            self.rings,
            self.state,
            page,
            brain_ports.LoopAddresses(base, base + 8, base + 16, 0, (base + 24,)),
            _native.Clock(),
            choose(IdleKind.SLEEP, spinner_count=0),
        )
        self.call = image.bind(self.ports, self.state, self.out)
        self.call(1_000_000)  # the first step takes no record

    def play(self, records: Records) -> float:
        """Run the loop over records that wait in its ring; return the CPU ns of its calls."""
        total = 0.0
        for first in range(0, len(records), RING_SLOTS // 2):
            part = records[first : first + RING_SLOTS // 2]
            for row in part.view(np.uint8).reshape(len(part), MARKET_DTYPE.itemsize):
                assert self.feed.try_publish(row[8:].tobytes()) >= 0
            goal = int(self.ports.words[LoopWord.RECORD_COUNT]) + len(part)
            while self.ports.words[LoopWord.RECORD_COUNT] < goal:
                started = time.thread_time_ns()
                self.call(SLICE_NS)
                total += time.thread_time_ns() - started
            taken, count = self.journal.poll(32_768)
            self.journal.advance(taken + max(count, 0))
        return total

    def close(self) -> None:
        """Drop every view, then the rings."""
        del self.ports, self.call
        for user in (self.journal, self.feed, self.rings):
            user.close()


def check(market: Market) -> None:
    """Assert that the stages, put together, leave the state that production leaves."""
    _, put_together = market.up_to(stages.FEATURES)
    _, production = market.production()
    assert stages.same_state(arrays_of(put_together), arrays_of(production)), "states differ"
    assert production.reject_counts.sum() < len(market.tape) // 100, "the market was taken"
    assert production.closed_count.sum() > 0, "bars were closed"


def profile_pass(market: Market, image: kernel_image.LoopImage) -> harness.Pass:
    """Run every loop once, shortest first; return what each stage adds."""
    found: harness.Pass = {}
    before = 0.0
    for depth in range(stages.STRATEGIES + 1):
        ns, _ = market.up_to(depth)
        found[stages.NAMES[depth]] = ns - before
        before = ns
        if depth == stages.FEATURES:
            found["put together"] = ns
    for name, ns in (("risk", market.risk()), ("write", market.whole(image))):
        found[name] = ns - before
        before = ns
    found["whole"] = before
    found["production"], _ = market.production()
    return {**found, "records": float(market.timed)}


def main() -> None:
    """Measure, print the table, write the JSON."""
    asked = harness.arguments(__doc__ or "")
    about = harness.machine()
    os.sched_setaffinity(0, {harness.two_cores()[0]})
    image = kernel_image.read(DIRECTORY)
    if image is None:
        image = brain_ports.compile_loop()
        image.save(DIRECTORY)
    recorded, is_recorded = brain_tapes.recorded_market()
    if not is_recorded:
        sys.stderr.write("figures are of a synthetic market\n")
    cases: dict[str, harness.Case] = {}
    for count in COUNTS:
        market = Market(recorded, count)
        check(market)
        cases[f"{count} instruments"] = partial(profile_pass, market, image)
    harness.finish(BENCH, harness.measure(cases, asked), about, asked.json)


if __name__ == "__main__":
    main()
