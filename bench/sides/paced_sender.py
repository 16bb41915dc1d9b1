"""Writes frames to whoever is connected, each at its due time, whatever became of those before.

    python -m bench.sides.paced_sender CORE

Prints its port. A line `RATE COUNT NUMBER` sends COUNT frames from number NUMBER on to the newest
connection, RATE a second, one write each; the answer is one JSON line: when the first was due, and
how late the writes were. A frame that is late is written at once: nothing is left out and nothing
waits for an answer, so a slow receiver does not slow the schedule until the socket is full.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import queue
import socket
import sys
import threading
import time

import numpy as np

from bench.decode import Recording
from bench.harness import percentiles
from bench.sides.frame_server import shake_hands
from bench.sides.paced_frames import NS_PER_MS, Template, filled, template

LEAD_NS = 50_000_000  # from the request to the first due time


def send(
    connection: socket.socket, parts: list[Template], rate: int, count: int, number: int
) -> dict[str, float]:
    """Send a series; return its schedule and how late it was written, in ns."""
    gap_ns = 1_000_000_000 // rate
    clock = time.monotonic_ns
    venue_offset_ns = time.time_ns() - clock()
    late_ns = np.zeros(count, dtype=np.int64)
    start_ns = due_ns = clock() + LEAD_NS
    chosen = itertools.islice(itertools.cycle(parts), number % len(parts), None)
    for k in range(count):
        frame = filled(next(chosen), number + k, (due_ns + venue_offset_ns) // NS_PER_MS)
        now_ns = clock()
        while now_ns < due_ns:
            now_ns = clock()
        connection.sendall(frame)
        late_ns[k] = now_ns - due_ns
        due_ns += gap_ns
    late = percentiles(late_ns.astype(np.float64))
    return {"start_ns": start_ns, "gap_ns": gap_ns, "p50": late["p50"], "p99": late["p99"]}


def main() -> None:
    """Serve until standard input ends."""
    parts = [made for made in map(template, Recording().frames) if made is not None]
    os.sched_setaffinity(0, {int(sys.argv[1])})
    listener = socket.create_server(("127.0.0.1", 0))
    connections: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()

    def accept() -> None:
        while True:
            connection = listener.accept()[0]
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            shake_hands(connection)
            connections.put(connection)

    threading.Thread(target=accept, daemon=True).start()
    gc.disable()  # it is the load, not what is measured
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    connection: socket.socket | None = None
    for line in sys.stdin:
        while connection is None or not connections.empty():
            connection = connections.get()
        rate, count, number = map(int, line.split())
        sys.stdout.write(json.dumps(send(connection, parts, rate, count, number)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
