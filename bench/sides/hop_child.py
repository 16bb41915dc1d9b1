"""A child of the hop bench: the edge or the relay, one pass per line of standard input.

    python -m bench.sides.hop_child ROLE MARKET ORDERS CORE

A line `COUNT GAP` asks for one pass; the answer is one JSON line, empty for the relay.
"""

from __future__ import annotations

import sys
import threading

import numpy as np
from numpy.typing import NDArray

from bench.harness import percentiles
from bench.sides import hop_kernels
from bench.sides.passes import Answer, Step, serve
from bench.sides.ring_child import ns_per_tick
from bench.sides.ring_kernels import BENCH_RECORD
from native_ext import _native
from ringbuffer.ring import Consumer, Producer, Ring

METRICS = {hop_kernels.DUE: "since due", hop_kernels.WRITTEN: "order written"}


def hop_answer(latencies: NDArray[np.int64], scale_ns: float) -> Answer:
    """Return the percentiles until the order was seen, since its tick was sent and since due."""
    found = percentiles(latencies[:, hop_kernels.SENT].astype(np.float64) * scale_ns)
    for column, name in METRICS.items():
        column_ns = latencies[:, column] * scale_ns
        found[f"p50 {name}"] = float(np.percentile(column_ns, 50))
        found[f"p99 {name}"] = float(np.percentile(column_ns, 99))
    return found


def edge(market: Ring, orders: Ring) -> Step:
    """Return a function that sends ticks and takes orders for one pass."""
    producer, consumer = Producer(market), Consumer(orders, 0)
    ticks, answers = market.slots(BENCH_RECORD), orders.slots(BENCH_RECORD)
    clock = _native.Clock()
    clock.calibrate(200_000_000)

    def step(count: int, gap: int) -> Answer:
        latencies = np.ones((count, 3), np.int64)
        end = market.published() + count
        handles = (producer.addresses(), ticks, consumer.addresses(), answers)
        wrong = hop_kernels.edge(*handles, end, gap, latencies)
        assert wrong == 0, f"{wrong} orders are not what their ticks ask for"
        return hop_answer(latencies, ns_per_tick(clock))

    return step


def relay(market: Ring, orders: Ring) -> Step:
    """Return a function that answers every tick of one pass with an order."""
    consumer, producer = Consumer(market, 0), Producer(orders)
    ticks, answers = market.slots(BENCH_RECORD), orders.slots(BENCH_RECORD)

    def step(count: int, _gap: int) -> Answer:
        end = consumer.next_sequence() + count
        handles = (consumer.addresses(), ticks, producer.addresses(), answers)
        hop_kernels.relay(*handles, end)
        return {}

    return step


def compile_kernels() -> None:
    """Compile on private rings, so that no pass waits for the compiler."""
    market = Ring.local("compile-market", 4096, 64, gating=(0,))
    orders = Ring.local("compile-orders", 4096, 64, gating=(0,))
    sends, answers = edge(market, orders), relay(market, orders)
    other = threading.Thread(target=answers, args=(8, 0))
    other.start()
    sends(8, 0)
    other.join()


def main(role: str, market: str, orders: str, core: int) -> None:
    """Answer one line per pass until standard input ends."""
    compile_kernels()
    step = {"edge": edge, "relay": relay}[role](Ring.attach(market), Ring.attach(orders))
    serve(step, core)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
