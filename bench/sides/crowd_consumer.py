"""A child of the crowd bench: takes records as the brain's thread does, by every way to be idle.

    python -m bench.sides.crowd_consumer NAME

A line `KIND COUNT` asks for one pass; the answer is one JSON line. Between slices of compiled code
Python looks up how long to spin, as `engine/processes/brain_thread.py` does.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from numpy.typing import NDArray

from bench.sides.passes import Answer, serve_words
from bench.sides.ring_child import latency_answer, ns_per_tick
from bench.sides.ring_kernels import BENCH_RECORD, announce, stamp
from native_ext import _native
from ringbuffer import kernels
from ringbuffer.atomics import kernel, yield_core
from ringbuffer.idle import IdleKind, choose
from ringbuffer.layout import HANDLE_MASK
from ringbuffer.load import RunQueueDelay, SpinBudget
from ringbuffer.ring import Consumer, Ring

SLICE_NS = 10_000_000
BATCH = 256
YIELDS_PER_LOOK = 16


@kernel
def take_for(
    ring: NDArray[np.int64],
    slots: NDArray[np.void],
    pairs: NDArray[np.int64],
    taken: int,
    clock: NDArray[np.int64],
    spin_ns: int,
    yields: bool,
    turns: NDArray[np.int64],
) -> int:
    """Take records for a slice; return how many there are then. Counts what found work."""
    now_ns = kernels.now_ns(clock)
    end_ns = now_ns + SLICE_NS
    while taken < pairs.shape[0] and now_ns < end_ns:
        count = kernels.poll(ring, 0, BATCH)
        following = kernels.next_sequence(ring, 0)
        if count == 0 and yields:
            for _ in range(YIELDS_PER_LOOK):
                if kernels.ready(ring, following):
                    break
                yield_core()
        elif count == 0:
            kernels.wait(ring, 0, spin_ns, end_ns - now_ns, clock)
        else:
            turns[0] += 1
        for sequence in range(following, following + count):
            i = sequence & ring[HANDLE_MASK]
            now = stamp()
            pairs[taken, 0] = now - slots["sent"][i]
            pairs[taken, 1] = now - slots["due"][i]
            taken += 1
        if count > 0:
            kernels.advance(ring, 0, following + count)
        now_ns = kernels.now_ns(clock)
    return taken


def main(name: str) -> None:
    """Answer one line per pass until standard input ends."""
    ring = Ring.attach(name)
    consumer = Consumer(ring, 0)
    handle, slots = consumer.addresses(), ring.slots(BENCH_RECORD)
    clock = _native.Clock()
    clock.calibrate(200_000_000)
    words = np.frombuffer(memoryview(clock), np.int64)
    delay_ns = RunQueueDelay()
    turns = np.zeros(1, np.int64)

    def one_pass(kind: IdleKind, count: int) -> Answer:
        idle = choose(kind, spinner_count=1)
        pairs = np.ones((count, 2), np.int64)
        announce(handle, consumer.next_sequence() + count)
        started, used, taken = time.monotonic_ns(), time.process_time_ns(), 0
        budget = SpinBudget(idle.spin_ns, delay_ns, started)
        turns[0] = 0
        yields = kind is IdleKind.YIELD
        while taken < count:
            taken = take_for(handle, slots, pairs, taken, words, budget.spin_ns, yields, turns)
            if kind is IdleKind.AUTO:
                budget.decide(time.monotonic_ns(), int(turns[0]))
        busy_ns = time.process_time_ns() - used
        elapsed_ns = time.monotonic_ns() - started
        found = latency_answer(pairs, ns_per_tick(clock))
        return {**found, "core used": busy_ns / elapsed_ns}

    announce(handle, 0)  # compiled, like the next, before the first pass
    take_for(handle, slots, np.ones((1, 2), np.int64), 0, words, 0, False, turns)
    serve_words(lambda kind, count: one_pass(IdleKind(kind), int(count)))


if __name__ == "__main__":
    main(sys.argv[1])
