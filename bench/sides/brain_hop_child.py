"""A child of the brain's hop bench: the edge, or the brain's real loop.

    python -m bench.sides.brain_hop_child ROLE MARKET COMMANDS CORE

A line `ORDERS GAP` asks for one pass; the answer is one JSON line, empty for the brain.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import numpy as np

from bench.sides.passes import Answer, Step, serve
from engine.processes import kernel_cache
from native_ext import _native
from ringbuffer.idle import IdleKind
from ringbuffer.ring import Consumer, Producer, Ring

HOME: Final = os.environ.get("AEGIS_HOME", str(Path("~/.local/state/aegis").expanduser()))
INSTRUMENTS: Final = 300
EVERY: Final = 500  # quotes per order
SLICE_NS: Final = 10_000_000
PATIENCE_NS: Final = 20_000_000_000  # other programs may hold a core for a while


def edge(market: Ring, commands: Ring) -> Step:
    """Return a function that sends quotes and takes orders for one pass; its kernel is compiled."""
    # WHY: here and below, for kernels may be imported only after the image was chosen.
    import bench.sides.brain_tapes  # noqa: F401 - finds this checkout's `tests`
    from bench.sides import brain_hop_kernels
    from bench.sides.ring_child import latency_answer, ns_per_tick
    from engine.domain.records import EVENT_DTYPE, MARKET_DTYPE
    from tests.builders import joined, make_quote
    from tests.loop_rig import VENUE_OFFSET_NS

    clock = _native.Clock()
    clock.calibrate(200_000_000)
    words = np.frombuffer(memoryview(clock), np.int64)
    thin = brain_hop_kernels.THIN_LOTS
    templates = joined([make_quote(ask_qty=thin, instrument_index=k) for k in range(INSTRUMENTS)])

    def play(market: Ring, commands: Ring, end: int, count: int, gap: int) -> np.ndarray:
        producer, consumer = Producer(market), Consumer(commands, 0)
        latencies = np.ones((count, 2), np.int64)
        seen = brain_hop_kernels.edge(
            producer.addresses(),
            market.slots(MARKET_DTYPE),
            consumer.addresses(),
            commands.slots(EVENT_DTYPE),
            templates,
            end,
            gap,
            EVERY,
            round(PATIENCE_NS / ns_per_tick(clock)),
            words,
            VENUE_OFFSET_NS,
            latencies,
        )
        assert seen == count, f"{seen} orders instead of {count}"
        return latencies

    play(
        Ring.local("compile-market", 64, MARKET_DTYPE.itemsize, gating=(0,)),
        Ring.local("compile-commands", 64, EVENT_DTYPE.itemsize, gating=(0,)),
        0,
        0,
        1,
    )

    def step(count: int, gap: int) -> Answer:
        end = market.published() + count * EVERY
        return latency_answer(play(market, commands, end, count, gap), ns_per_tick(clock))

    return step


def brain(market: Ring, commands: Ring) -> Step:
    """Return a function that runs the brain's loop over one pass, from a fresh state.

    The loop is the engine's own image; state, rings and journal are those of its tests.
    """
    image = kernel_cache.load_loop(HOME, lambda *_: None)
    import bench.sides.brain_tapes  # noqa: F401 - finds this checkout's `tests`
    from engine.domain.records import EVENT_DTYPE, MARKET_DTYPE
    from tests.loop_rig import LoopRig

    class ImageRig(LoopRig):
        def run(self, slice_ms: float = SLICE_NS / 1e6) -> int:
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
        call = image.bind(rig.ports, rig.state, rig.out)
        end = consumer.next_sequence() + count * EVERY
        consumer.beat(end)
        while consumer.next_sequence() < end:
            call(SLICE_NS)
            rig.journal.advance(rig.rings.events.published())
        del call
        rig.close()
        return {}

    return step


def main(role: str, market: str, commands: str, core: int) -> None:
    """Answer one line per pass until standard input ends."""
    step = {"edge": edge, "brain": brain}[role](Ring.attach(market), Ring.attach(commands))
    serve(step, core)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
