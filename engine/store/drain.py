"""One ring into one journal source, each record exactly once. No numpy: main uses it at start.

A record is given back to its producer only after the file system took it. Whoever dies between
the two leaves it in both places, and the next drain skips what the journal has.
"""

from __future__ import annotations

from typing import Final

from engine.store.journal import SourceWriter
from ringbuffer.ring import EVICTED, Consumer

BATCH_BYTES: Final = 1 << 20  # most that one pass takes from one ring


class RingDrain:
    """Moves one ring's records to its journal source, exactly once each."""

    def __init__(self, consumer: Consumer, writer: SourceWriter) -> None:
        """Join a registered gating reader with the writer of its source."""
        self.writer = writer
        self.is_evicted = False
        self.capacity = consumer.ring.capacity
        self.lag_max = 0
        self._consumer = consumer
        self._slot_bytes = consumer.ring.slot_size
        self._buffer = memoryview(bytearray(BATCH_BYTES - BATCH_BYTES % self._slot_bytes))

    @property
    def source(self) -> str:
        """The journal source this drain fills."""
        return self.writer.source

    def drain(self) -> int:
        """Move one batch; return how many records the ring had, 0 when none or evicted.

        Raises:
            JournalWriteError: nothing was lost; the same records come again next time.
        """
        if self.is_evicted:
            return 0
        self.lag_max = max(self.lag_max, self._consumer.lag())
        first, count = self._consumer.read_into(self._buffer)
        # The second look at the ring is the one that says whether the copy may be torn.
        if count == EVICTED or self._consumer.advance(first) == EVICTED:
            self.is_evicted = True
            return 0
        if count == 0:
            return 0
        known = min(max(self.writer.next_sequence - first, 0), count)
        if known < count:
            span = self._buffer[known * self._slot_bytes : count * self._slot_bytes]
            self.writer.append(first + known, span)
        self.is_evicted = self._consumer.advance(first + count) == EVICTED
        return count

    def lose_rest(self) -> int:
        """Write down as lost what an evicted source went on without; return how many records."""
        missing = self._consumer.ring.published() - self.writer.next_sequence
        if not self.is_evicted or missing <= 0:
            return 0
        self.writer.append_lost(missing)
        return missing

    def take_lag_max(self) -> int:
        """Return the largest lag since the last call, in records, and forget it."""
        lag, self.lag_max = self.lag_max, 0
        return lag
