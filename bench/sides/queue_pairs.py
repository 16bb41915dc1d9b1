"""The usual ways of handing a record from one Python process to another, as the ring benches ask.

Each is used as its documentation shows it: blocking calls, default settings, one object per record.
The one process that produces is started per pass (`spawn`) and pinned; the consumer is the bench
itself. A record is 64 bytes: its sequence, when it was sent, when it was due, and five words more.
"""

from __future__ import annotations

import multiprocessing
import os
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnContext
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench.harness import Pass, percentiles

RECORD: Final = struct.Struct("<8q")
CONTEXT: Final[SpawnContext] = multiprocessing.get_context("spawn")
BLOCK: Final = 64
JOIN_S: Final = 60

Take = Callable[[], bytes]
Put = Callable[[bytes], object]


class PipeChannel:
    """`multiprocessing.Pipe`, bytes."""

    def __init__(self) -> None:
        """Open it."""
        self._receiver, self._sender = CONTEXT.Pipe(duplex=False)

    def taker(self) -> Take:
        """Return what takes a record."""
        return self._receiver.recv_bytes

    def putter(self) -> Put:
        """Return what gives a record."""
        return self._sender.send_bytes

    def close(self) -> None:
        """Close both ends."""
        self._receiver.close()
        self._sender.close()


class QueueChannel:
    """`multiprocessing.Queue`."""

    def __init__(self) -> None:
        """Open it."""
        self._queue = CONTEXT.Queue()

    def taker(self) -> Take:
        """Return what takes a record."""
        return self._queue.get

    def putter(self) -> Put:
        """Return what gives a record."""
        return self._queue.put

    def close(self) -> None:
        """Close it."""
        self._queue.close()


class ZmqChannel:
    """pyzmq, PUSH to PULL over a Unix socket, no limit on what waits."""

    def __init__(self) -> None:
        """Choose an address; the socket is opened by who uses it."""
        self._folder = tempfile.mkdtemp(prefix="aegis-bench-")
        self.address = f"ipc://{self._folder}/ring"
        self._socket: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the socket behind: it belongs to one process."""
        return self.__dict__ | {"_socket": None}

    def taker(self) -> Take:
        """Return what takes a record."""
        import zmq

        self._socket = zmq.Context.instance().socket(zmq.PULL)
        self._socket.set_hwm(0)
        self._socket.bind(self.address)
        take: Take = self._socket.recv
        return take

    def putter(self) -> Put:
        """Return what gives a record."""
        import zmq

        self._socket = zmq.Context.instance().socket(zmq.PUSH)
        self._socket.set_hwm(0)
        self._socket.connect(self.address)
        put: Put = self._socket.send
        return put

    def close(self) -> None:
        """Close the socket and remove its address."""
        if self._socket is not None:
            self._socket.close(linger=0)
        for path in Path(self._folder).glob("*"):
            path.unlink()
        Path(self._folder).rmdir()


class FifoChannel:
    """faster-fifo, a queue over shared memory; `many`: its calls for several records at once."""

    def __init__(self, *, many: bool = False) -> None:
        """Open it."""
        import faster_fifo

        self._queue = faster_fifo.Queue(max_size_bytes=1_000_000)
        self._many = many
        self._taken: list[bytes] = []
        self._given: list[bytes] = []

    def taker(self) -> Take:
        """Return what takes a record."""
        return self._take_many if self._many else self._queue.get

    def putter(self) -> Put:
        """Return what gives a record."""
        return self._put_many if self._many else self._queue.put

    def close(self) -> None:
        """Close it."""
        self._queue.close()

    def _take_many(self) -> bytes:
        if not self._taken:
            self._taken = self._queue.get_many(max_messages_to_get=BLOCK)[::-1]
        return self._taken.pop()

    def _put_many(self, record: bytes) -> None:
        self._given.append(record)
        if len(self._given) == BLOCK:
            self._queue.put_many(self._given)
            self._given = []


Channel = PipeChannel | QueueChannel | ZmqChannel | FifoChannel


def produce(channel: Channel, go: Event, core: int, count: int, gap_ns: int) -> None:
    """Give `count` records, one per `gap_ns` (0: as fast as they are taken)."""
    os.sched_setaffinity(0, {core})
    put = channel.putter()
    go.wait()
    due_ns = time.monotonic_ns() + gap_ns
    for sequence in range(count):
        while gap_ns and time.monotonic_ns() < due_ns:
            time.sleep(0)  # lets go of the interpreter: multiprocessing.Queue writes from a thread
        put(RECORD.pack(sequence, time.monotonic_ns(), due_ns, *range(sequence, sequence + 5)))
        due_ns += gap_ns


def consume(take: Take, count: int) -> tuple[NDArray[np.int64], int]:
    """Take `count` records; return their ns since sent and since due, and the first one's sending.

    Asserts that none is lost, doubled, reordered or torn.
    """
    pairs = np.ones((count, 2), dtype=np.int64)
    first_ns = 0
    for expected in range(count):
        sequence, sent_ns, due_ns, *words = RECORD.unpack(take())
        now_ns = time.monotonic_ns()
        assert sequence == expected, f"record {sequence} where {expected} was due"
        assert sum(words) == 5 * sequence + 10, words
        first_ns = first_ns or sent_ns
        pairs[expected] = (now_ns - sent_ns, now_ns - due_ns)
    return pairs, first_ns


@contextmanager
def producing(
    channel: Channel, cores: tuple[int, int], count: int, gap_ns: int
) -> Iterator[tuple[Take, Event]]:
    """Start the producer on its core and move to ours; yield what takes records, and the start."""
    go = CONTEXT.Event()
    take = channel.taker()
    child = CONTEXT.Process(target=produce, args=(channel, go, cores[0], count, gap_ns))
    before = os.sched_getaffinity(0)
    child.start()
    os.sched_setaffinity(0, {cores[1]})
    try:
        yield take, go
        child.join(JOIN_S)
        assert child.exitcode == 0, child.exitcode
    finally:
        os.sched_setaffinity(0, before)
        if child.is_alive():
            child.kill()
            child.join()
        channel.close()


def queue_pass(
    make: Callable[[], Channel], cores: tuple[int, int], kind: str, count: int, gap_ns: int
) -> Pass:
    """Run one pass over a fresh channel: `paced` gives latencies, `batch` a rate."""
    gap_ns = 0 if kind == "batch" else gap_ns
    with producing(make(), cores, count, gap_ns) as (take, go):
        go.set()
        pairs, first_ns = consume(take, count)
        elapsed_ns = time.monotonic_ns() - first_ns
    if kind == "batch":
        return {"records per second": count / elapsed_ns * 1e9}
    since_due = percentiles(pairs[:, 1].astype(np.float64))
    return {
        **percentiles(pairs[:, 0].astype(np.float64)),
        "p50 since due": since_due["p50"],
        "p99 since due": since_due["p99"],
    }
