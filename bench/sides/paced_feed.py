"""The feed of the paced bench: its own listener, decoder and ring, without the rest of its process.

    python -m bench.sides.paced_feed PORT RING IDLE CORE

Attaches to the market ring as its producer, connects, prints `ready` and works until its standard
input ends. What a feed does every 10 ms for the decoder is done here too; its heap is frozen and
its collector left on, as in the feed. CORE is a number, or `any`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time

import uvloop

from bench.decode import instruments, packed
from engine.processes.awake import stay_awake
from engine.venues.binance.http import parse_url
from engine.venues.binance.market import LAWS, cadence_words
from engine.venues.binance.stream_connection import open_stream
from native_ext import _native
from native_ext._feed import Core
from ringbuffer import layout
from ringbuffer.segment import Segment

CYCLE_S = 0.01
CLOCK_ERROR_NS = 1_000_000_000


async def work(core: Core, port: int, *, awake: bool) -> None:
    """Listen until standard input ends."""
    loop = asyncio.get_running_loop()
    await open_stream(core, parse_url(f"ws://127.0.0.1:{port}"), "/public/stream")
    ended = loop.run_in_executor(None, sys.stdin.read)
    if awake:
        stay_awake(loop.call_soon)
    gc.collect()
    gc.freeze()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not ended.done():
        core.flush(time.monotonic_ns())
        await asyncio.sleep(CYCLE_S)


def main(port: int, ring: str, idle: str, core: str) -> None:
    """Attach, listen, detach."""
    if core != "any":
        os.sched_setaffinity(0, {int(core)})
    market = Segment.attach(ring, kind=layout.KIND_RING)
    decoder = Core(packed(instruments()), LAWS, cadence_words(may_lack_channels=True))
    decoder.attach(market.buffer, os.getpid(), _native.process_start_ticks(os.getpid()))
    decoder.set_clock(time.monotonic_ns(), time.time_ns(), 0, CLOCK_ERROR_NS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(decoder, port, awake=idle == "yield"))
    decoder.detach()
    market.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4])
