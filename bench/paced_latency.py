"""From a frame's due time to its decision, under paced load: socket, ring, decide.

    python -m bench.paced_latency [--json FILE] [--passes N] [--seconds S] [--rates R ...]

A second process writes recorded quotes at a fixed schedule, one frame per write, and never waits:
latency counts from the time a frame was due, so neither its own lateness nor a stalled receiver
hides what would have been late (coordinated omission). The feed's listener, decoder and firewall
put each into the market ring from a process of its own; the brain's loop takes it from there,
decides and publishes. The end of the step that held a quote is the end of its decision. Every quote
is found again by its id, exactly once. Nothing is left out of the sample: the collectors run as
they do in the engine, and loops are as warm as the passes before made them; none compiles.

Two cores, three busy parties: the sender spins on the first. `pinned` is the setting for that
(`idle = "yield"`): feed and brain share the last core, which never halts. `default` is the engine's
default, feed and brain where the kernel puts them, sleeping after 30 us of spinning. The baseline
is the usual way in one process, on the last core: websockets, orjson and a strategy in Python.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Final

import msgspec
import numpy as np

from bench import harness
from bench.decode import instruments
from bench.harness import Bench, Pass
from bench.sides.paced_frames import in_us, since_due
from ringbuffer.idle import IdleKind
from ringbuffer.ring import Ring
from ringbuffer.segment import find_stale, unlink

RATES: Final = (1_000, 10_000, 100_000)
SECONDS: Final = 1.0
QUOTES_LEAST: Final = 2_000  # of a series, however slow
RING_SLOTS: Final = 262_144
DEADLINE_S: Final = 60.0
READY_S: Final = 30.0
NOTIONAL: Final = 500.0
THRESHOLD: Final = 0.9
PINNED, DEFAULT, USUAL = "pinned", "default", "usual way"
LATENCIES: Final = ("p50", "p90", "p99", "p99.9", "max")

BENCH = Bench(
    name="paced_latency",
    question="How long after a frame was due is it decided on, at a rate that does not wait?",
    load="recorded quotes of two instruments, one write each, on a fixed schedule over loopback",
    worry="a p99 at 100,000/s above that of the usual way at 1,000/s",
    units={
        **dict.fromkeys(LATENCIES, "us"),
        **dict.fromkeys(("in the ring p50", "in the ring p99"), "us"),
        **dict.fromkeys(("sent late p50", "sent late p99"), "us"),
        "count": "quotes",
        "orders": "orders",
    },
)


class Child:
    """A process that is asked by lines and answers with lines."""

    def __init__(self, module: str, *words: object) -> None:
        """Start it and keep its first line."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"bench.sides.{module}", *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.first = self.answer()

    def ask(self, line: str) -> None:
        """Write a line."""
        stream: IO[str] | None = self.process.stdin
        assert stream is not None
        stream.write(line + "\n")
        stream.flush()

    def answer(self) -> str:
        """Return the next line.

        Raises:
            RuntimeError: the process ended instead.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.communicate()
            raise RuntimeError(f"{self.process.args!r} ended with {self.process.returncode}")
        return line.strip()

    def stop(self) -> None:
        """End it by the end of its input, or at once when it does not listen."""
        try:
            self.process.communicate(timeout=READY_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


class Sent(msgspec.Struct):
    """What the sender says of a series, in ns: its schedule, and how late it wrote."""

    start_ns: int
    gap_ns: int
    p50: float
    p99: float


class Sender:
    """The schedule: every frame of a run has a number."""

    def __init__(self, held: contextlib.ExitStack, core: int) -> None:
        """Start the process that writes."""
        self._child = Child("paced_sender", core)
        held.callback(self._child.stop)
        self.port = int(self._child.first)
        self.pid = self._child.process.pid
        self._number = 0

    def start(self, rate: int, count: int) -> int:
        """Ask for a series; return the number of its first frame."""
        first = self._number
        self._number += count
        self._child.ask(f"{rate} {count} {first}")
        return first

    def finish(self) -> Sent:
        """Return the series' schedule and lateness."""
        return msgspec.json.decode(self._child.answer(), type=Sent)


class Engine:
    """Feed and brain over a ring of the engine's size; the brain in this process."""

    def __init__(self, sender: Sender, idle: IdleKind, core: int | None, quotes_max: int) -> None:
        """Start both; `core`: for both, None for wherever the kernel puts them."""
        from bench.sides.brain_side import BrainSide, load_image
        from bench.sides.replay_aegis import imbalance_row
        from engine.domain.instrument import instrument_rows

        os.sched_setaffinity(0, os.sched_getaffinity(0) if core is None else {core})
        self._sender = sender
        image = load_image()
        with contextlib.ExitStack() as held:
            market = Ring.create(f"aegis-bench-{os.getpid()}-paced", RING_SLOTS, 64, gating=(0,))
            held.callback(unlink, market.name)
            rows = imbalance_row(NOTIONAL, THRESHOLD)
            known = instrument_rows(instruments())
            self._brain = BrainSide(market, known, rows, idle=idle, noted_count=quotes_max)
            held.callback(self._brain.close)
            self._brain.sync(image, time.time_ns() - time.monotonic_ns())
            where = "any" if core is None else core
            feed = Child("paced_feed", sender.port, market.name, idle.name.lower(), where)
            held.callback(feed.stop)
            self.pids = [feed.process.pid]
            self._held = held.pop_all()

    def measure(self, rate: int, count: int) -> Pass:
        """Run one series and return its latencies."""
        orders = self._brain.order_count
        first = self._sender.start(rate, count)
        rows = self._brain.note(count, DEADLINE_S)
        sent = self._sender.finish()
        numbers = rows[:, 1] - first
        decided = since_due(rows[:, 0], numbers, sent.start_ns, sent.gap_ns)
        assert self._brain.refused_count == 0, f"{self._brain.refused_count} records were refused"
        return {
            **in_us(decided),
            **in_us(rows[:, 0] - rows[:, 2], "in the ring "),
            **late(sent),
            "orders": float(self._brain.order_count - orders),
        }

    def close(self) -> None:
        """End both."""
        self._held.close()


class Usual:
    """The usual way, in a process of its own."""

    def __init__(self, sender: Sender, core: int, folder: Path) -> None:
        """Start it."""
        self._sender = sender
        self._file = folder / "usual.npy"
        self._child = Child("paced_usual", sender.port, core)
        self.pids = [self._child.process.pid]

    def measure(self, rate: int, count: int) -> Pass:
        """Run one series and return its latencies."""
        self._child.ask(f"{count} {self._file}")
        first = self._sender.start(rate, count)
        sent = self._sender.finish()
        orders = float(self._child.answer())
        rows = np.load(self._file)
        decided = since_due(rows[:, 0], rows[:, 1] - first, sent.start_ns, sent.gap_ns)
        return {**in_us(decided), **late(sent), "orders": orders}

    def close(self) -> None:
        """End it."""
        self._child.stop()


Side = Engine | Usual


def late(sent: Sent) -> Pass:
    """Return how late the sender wrote: its share of the latencies."""
    return {"sent late p50": sent.p50 / 1_000, "sent late p99": sent.p99 / 1_000}


def run(
    sides: Mapping[str, Callable[[], Side]],
    asked: argparse.Namespace,
    pids: Sequence[int],
) -> dict[str, list[Pass]]:
    """Run every rate through each side, side by side started afresh for every pass."""
    patience = harness.Patience(asked.patience)
    chance = random.Random(harness.SEED)
    order = list(sides)
    results: dict[str, list[Pass]] = {
        case_of(name, rate): [] for rate in asked.rates for name in sides
    }
    for number in range(harness.WARM_UP_PASSES + asked.passes):
        chance.shuffle(order)
        for name in order:
            with contextlib.closing(sides[name]()) as side:
                for rate in asked.rates:
                    series = partial(side.measure, rate, quote_count(rate, asked.seconds))
                    found, foreign = harness.quiet_pass(series, patience, [*pids, *side.pids])
                    if number >= harness.WARM_UP_PASSES:
                        results[case_of(name, rate)].append({**found, "foreign cores": foreign})
            sys.stderr.write(f"\rpass {number + 1} {name:<40}")
    sys.stderr.write("\n")
    return results


def quote_count(rate: int, seconds: float) -> int:
    """Return how many quotes a series of a rate has."""
    return max(round(rate * seconds), QUOTES_LEAST)


def case_of(name: str, rate: int) -> str:
    """Return what a side at a rate is called."""
    return f"{rate:,}/s, {name}"


def arguments() -> argparse.Namespace:
    """Parse what every bench takes, for how long, and which rates."""
    parser = harness.parser(__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"a rate; default {SECONDS}")
    parser.add_argument("--rates", type=int, nargs="+", default=RATES, metavar="R")
    return parser.parse_args()


def main() -> None:
    """Run the bench."""
    asked = arguments()
    about = harness.machine()
    first, last = harness.two_cores()
    quotes_max = max(quote_count(rate, asked.seconds) for rate in asked.rates)
    everywhere = os.sched_getaffinity(0)
    for stale in find_stale("aegis-bench-"):
        unlink(stale.name)  # what a killed bench left
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as held:
        sender = Sender(held, first)

        def engine(idle: IdleKind, core: int | None) -> Engine:
            os.sched_setaffinity(0, everywhere)
            return Engine(sender, idle, core, quotes_max)

        sides: dict[str, Callable[[], Side]] = {
            PINNED: partial(engine, IdleKind.YIELD, last),
            DEFAULT: partial(engine, IdleKind.HYBRID, None),
            USUAL: partial(Usual, sender, last, Path(folder)),
        }
        results = run(sides, asked, [sender.pid])
    baselines = {case_of(n, r): case_of(USUAL, r) for n in sides for r in asked.rates}
    bench = dataclasses.replace(BENCH, baselines=baselines)
    harness.finish(bench, results, {**about, "seconds": asked.seconds}, asked.json)


if __name__ == "__main__":
    main()
