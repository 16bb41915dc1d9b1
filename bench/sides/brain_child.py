"""A child of the brain's hop bench: the edge, or the real loop; one pass per line of input.

    python -m bench.sides.brain_child ROLE MARKET COMMANDS CORE

A line `ORDERS GAP` asks for one pass; the answer is one JSON line, empty for the brain.
"""

from __future__ import annotations

import json
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench import harness
from engine.processes import kernel_cache
from native_ext import _native
from ringbuffer.idle import IdleKind
from ringbuffer.ring import Consumer, Producer, Ring

# WHY: an installed distribution also calls itself `tests`; ours is the folder of this checkout.
_ours = types.ModuleType("tests")
_ours.__path__ = [str(harness.ROOT / "tests")]
sys.modules["tests"] = _ours

HOME = os.environ.get("AEGIS_HOME", str(Path("~/.local/state/aegis").expanduser()))
Answer = dict[str, float]
Step = Callable[[int, int], Answer]
INSTRUMENTS = 300
EVERY = 500  # quotes per order
SLICE_MS = 10.0


def hop_answer(latencies: np.ndarray, scale_ns: float) -> Answer:
    """Return the percentiles until an order was seen, since its quote was sent and since due."""
    found = harness.percentiles(latencies[:, 0].astype(np.float64) * scale_ns)
    due = harness.percentiles(latencies[:, 1].astype(np.float64) * scale_ns)
    return {**found, "p50 since due": due["p50"], "p99 since due": due["p99"]}


def edge(market: Ring, commands: Ring) -> Step:
    """Return a function that sends quotes and takes orders for one pass."""
    from bench.sides import brain_edge
    from bench.sides.ring_child import ns_per_tick
    from engine.domain.records import EVENT_DTYPE, MARKET_DTYPE
    from tests.builders import joined, make_quote
    from tests.loop_rig import VENUE_OFFSET_NS

    producer, consumer = Producer(market), Consumer(commands, 0)
    quotes, orders = market.slots(MARKET_DTYPE), commands.slots(EVENT_DTYPE)
    clock = _native.Clock()
    clock.calibrate(200_000_000)
    words = np.frombuffer(memoryview(clock), np.int64)
    rows = [
        make_quote(ask_qty=brain_edge.THIN_LOTS, instrument_index=k) for k in range(INSTRUMENTS)
    ]
    templates = joined(rows)

    def step(count: int, gap: int) -> Answer:
        latencies = np.ones((count, 2), np.int64)
        end = market.published() + count * EVERY
        seen = brain_edge.edge(
            producer.addresses(),
            quotes,
            consumer.addresses(),
            orders,
            templates,
            end,
            gap,
            EVERY,
            words,
            VENUE_OFFSET_NS,
            latencies,
        )
        assert seen == count, f"{seen} orders instead of {count}"
        return hop_answer(latencies, ns_per_tick(clock))

    return step


def brain(market: Ring, commands: Ring) -> Step:
    """Return a function that runs the brain's loop over one pass, from a fresh state."""
    image = kernel_cache.load_loop(HOME, lambda *_: None)  # as the engine's brain does
    from engine.domain.records import EVENT_DTYPE, MARKET_DTYPE
    from tests.loop_rig import LoopRig

    class ImageRig(LoopRig):
        def run(self, slice_ms: float = SLICE_MS) -> int:
            return image.bind(self.ports, self.state, self.out)(round(slice_ms * 1e6))

    consumer, producer = Consumer(market, 0), Producer(commands)
    quotes, orders = market.slots(MARKET_DTYPE), commands.slots(EVENT_DTYPE)

    def step(count: int, _gap: int) -> Answer:
        rig = ImageRig(idle=IdleKind.SPIN, instruments=INSTRUMENTS)
        rig.sync()
        rig.drain_events()
        rig.ports = rig.ports._replace(
            market_ring=consumer.addresses(),
            market_slots=quotes,
            command_ring=producer.addresses(),
            command_slots=orders,
        )
        end = consumer.next_sequence() + count * EVERY
        consumer.beat(end)
        while consumer.next_sequence() < end:
            rig.run()
            rig.journal.advance(rig.rings.events.published())
        rig.close()
        return {}

    return step


def main(role: str, market: str, commands: str, core: int) -> None:
    """Answer one line per pass until standard input ends."""
    step = {"edge": edge, "brain": brain}[role](Ring.attach(market), Ring.attach(commands))
    os.sched_setaffinity(0, {core})
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        count, gap = line.split()
        sys.stdout.write(json.dumps(step(int(count), int(gap))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
