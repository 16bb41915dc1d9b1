"""A child of the ring benches: one side of a ring, one pass per line of standard input.

    python -m bench.sides.ring_child SIDE ROLE NAME CORE

SIDE is numba or python, ROLE produce or consume. A line `KIND COUNT STEP` asks for one pass; the
answer is one JSON line. Kernels are compiled before the first answer.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import numpy as np

from bench.harness import percentiles
from bench.sides import ring_kernels
from bench.sides.passes import Answer, serve_words
from bench.sides.ring_kernels import BENCH_RECORD, WORDS
from native_ext import _native
from ringbuffer import kernels
from ringbuffer.ring import Consumer, Producer, Ring

SPIN_NS = 30_000
BLOCK = 64

Step = Callable[[str, int, int], Answer]


def ns_per_tick(clock: _native.Clock) -> float:
    """Return the length of a stamp's unit."""
    tsc_hz = memoryview(clock).cast("q")[5]
    return 1e9 / tsc_hz if tsc_hz > 0 else 1.0


def latency_answer(pairs: np.ndarray, scale_ns: float) -> Answer:
    """Return the percentiles since the actual send, and since it was due."""
    found = percentiles(pairs[:, 0] * scale_ns)
    due = percentiles(pairs[:, 1] * scale_ns)
    return {**found, "p50 since due": due["p50"], "p99 since due": due["p99"]}


def numba_producer(ring: Ring) -> Step:
    """Return a function that runs one pass of the producing kernels."""
    producer = Producer(ring)
    handle, slots = producer.addresses(), ring.slots(BENCH_RECORD)

    def step(kind: str, count: int, size: int) -> Answer:
        end = ring.published() + count
        if kind == "batch":
            ring_kernels.batch_produce(handle, slots, end, size)
        else:
            ring_kernels.paced_produce(handle, slots, end, size, kind == "woken")
        return {}

    return step


def numba_consumer(ring: Ring) -> Step:
    """Return a function that runs one pass of the consuming kernels."""
    consumer = Consumer(ring, 0)
    handle, slots = consumer.addresses(), ring.slots(BENCH_RECORD)
    clock = _native.Clock()
    clock.calibrate(200_000_000)
    words = np.frombuffer(memoryview(clock), np.int64)

    def step(kind: str, count: int, size: int) -> Answer:
        end = consumer.next_sequence() + count
        if kind == "batch":
            total = ring_kernels.batch_consume(handle, slots, end, size)
            elapsed_ns = time.monotonic_ns() - ring.producer().heartbeat_ns
            assert total == 21 * count, (total, count)
            return {"records per second": count / elapsed_ns * 1e9}
        pairs = np.ones((count, 2), np.int64)
        spin_ns = SPIN_NS if kind == "woken" else -1
        total = ring_kernels.paced_consume(handle, slots, end, pairs, words, spin_ns)
        assert total == 20 * count, (total, count)
        return latency_answer(pairs, ns_per_tick(clock))

    return step


def python_producer(ring: Ring) -> Step:
    """Return a function that runs one pass through the extension's calls, from Python."""
    producer = Producer(ring)
    payload = bytearray(56)
    head = memoryview(payload).cast("q")
    block = np.zeros(BLOCK, BENCH_RECORD)

    def step(kind: str, count: int, size: int) -> Answer:
        end = ring.published() + count
        while ring.reader(0).heartbeat_ns != end:
            os.sched_yield()
        producer.beat(time.monotonic_ns())
        due = _native.cycles() + size
        for sequence in range(end - count, end, size if kind == "batch" else 1):
            if kind == "batch" and size > 1:
                while producer.try_publish_many(block[: min(size, end - sequence)]) < 0:
                    pass
                continue
            while kind != "batch" and _native.cycles() < due:
                pass
            head[1] = due
            head[0] = _native.cycles()
            while producer.try_publish(payload) < 0:
                pass
            due += size
        return {}

    return step


def python_consumer(ring: Ring) -> Step:
    """Return a function that runs one pass through the extension's calls, from Python."""
    consumer = Consumer(ring, 0)
    clock = _native.Clock()
    clock.calibrate(200_000_000)
    rows = np.zeros(BLOCK, BENCH_RECORD)

    def step(kind: str, count: int, size: int) -> Answer:
        following = consumer.next_sequence()
        end = following + count
        pairs = np.ones((count, 2), np.int64)
        consumer.beat(end)
        while following < end:
            if kind == "batch" and size > 1:
                first, ready = consumer.read_into(rows)
            else:
                first, ready = consumer.poll(1)
                if ready:
                    words = memoryview(consumer.read(first)).cast("q")
                    now = _native.cycles()
                    pairs[following - end] = (now - words[0], now - words[1])
            assert first == following, (first, following)
            if ready:
                consumer.advance(first + ready)
                following += ready
        if kind == "batch":
            elapsed_ns = time.monotonic_ns() - ring.producer().heartbeat_ns
            return {"records per second": count / elapsed_ns * 1e9}
        return latency_answer(pairs, ns_per_tick(clock))

    return step


SIDES: dict[tuple[str, str], Callable[[Ring], Step]] = {
    ("numba", "produce"): numba_producer,
    ("numba", "consume"): numba_consumer,
    ("python", "produce"): python_producer,
    ("python", "consume"): python_consumer,
}


def compile_kernels() -> None:
    """Compile on a private ring, so that no pass waits for the compiler."""
    ring = Ring.local("compile", 4096, 64, gating=(0,))
    produce, consume = numba_producer(ring), numba_consumer(ring)
    for kind, size in (("batch", 4), ("paced", 0), ("woken", 0)):
        end = ring.published() + 8
        ring_kernels.announce(ring.addresses(), end)
        produce(kind, 8, size)
        consume(kind, 8, size)
    assert kernels.published(ring.addresses()) == 24


def main(side: str, role: str, name: str, core: int) -> None:
    """Answer one line per pass until standard input ends."""
    if side == "numba":
        compile_kernels()
    step = SIDES[side, role](Ring.attach(name))
    os.sched_setaffinity(0, {core})
    serve_words(lambda kind, count, size: step(kind, int(count), int(size)))


if __name__ == "__main__":
    assert WORDS == 7
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
