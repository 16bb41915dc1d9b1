"""A slow line: when bytes given now may leave, within a bounded buffer. No socket, no clock.

Bytes wait for the line to be free (bandwidth), then travel (latency and jitter). They never
overtake each other, as on one TCP connection.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random

NS_PER_S = 1_000_000_000
SLICE_S = 0.02  # a large payload travels in slices of this much bandwidth
SLICE_BYTES_MIN = 1_024


@dataclass(slots=True)
class Shaper:
    """The bytes under way on one slow line."""

    latency_ns: int = 0
    jitter_ns: int = 0
    bytes_per_s: int = 0  # 0: no limit
    buffer_bytes: int = 4_194_304
    random: Random = field(default_factory=lambda: Random(1))
    queued_bytes: int = 0
    _queue: deque[tuple[int, bytes]] = field(default_factory=deque)
    _free_ns: int = 0  # when the line has sent what it has
    _last_due_ns: int = 0

    def put(self, payload: bytes, now_ns: int) -> bool:
        """Take bytes to send; False, and nothing taken, when the buffer has no room."""
        if self.queued_bytes + len(payload) > self.buffer_bytes:
            return False
        step = len(payload)
        if self.bytes_per_s:
            step = max(SLICE_BYTES_MIN, int(self.bytes_per_s * SLICE_S))
        for start in range(0, len(payload), max(step, 1)):
            self._put_slice(payload[start : start + step], now_ns)
        self.queued_bytes += len(payload)
        return True

    def _put_slice(self, piece: bytes, now_ns: int) -> None:
        sent_ns = max(now_ns, self._free_ns)
        if self.bytes_per_s:
            sent_ns += len(piece) * NS_PER_S // self.bytes_per_s
        self._free_ns = sent_ns
        travel_ns = self.latency_ns
        if self.jitter_ns:
            travel_ns += int(self.jitter_ns * self.random.random())
        self._last_due_ns = max(self._last_due_ns, sent_ns + travel_ns)
        self._queue.append((self._last_due_ns, piece))

    def take(self, now_ns: int) -> bytes:
        """Return, as one piece, the bytes that have arrived by now."""
        arrived: list[bytes] = []
        while self._queue and self._queue[0][0] <= now_ns:
            arrived.append(self._queue.popleft()[1])
        payload = b"".join(arrived)
        self.queued_bytes -= len(payload)
        return payload

    def take_all(self) -> bytes:
        """Return everything under way: the line is slow no more."""
        return self.take(self._last_due_ns)

    @property
    def next_due_ns(self) -> int | None:
        """Return when the next bytes arrive; None when none are under way."""
        return self._queue[0][0] if self._queue else None
