"""An engine as a recorder sees it: a market ring and an instruments segment; and what it wrote."""

from __future__ import annotations

from pathlib import Path

from engine.domain.instrument_row import SEGMENT_COUNT_OFFSET, Instrument, pack_row, segment_bytes
from engine.domain.records import MARKET_DTYPE
from engine.processes.control import segment_name
from engine.store.instrument_segment import KIND_INSTRUMENTS
from engine.tapes.blocks import FILE_HEADER_BYTES
from engine.tapes.folder import TapeFolder
from engine.tapes.reader import Records, TapeReader, joined
from ringbuffer.ring import Producer, Ring
from ringbuffer.segment import Segment, unlink
from tests.tape_builders import market

SLOTS = 1_024


class FakeEngine:
    """The segments a recorder looks for, and the producer of one of them."""

    def __init__(self, name: str, slots: int = SLOTS) -> None:
        self.name = name
        self.ring = Ring.create(segment_name(name, "market"), slots, MARKET_DTYPE.itemsize)
        self.segment = Segment.create(
            segment_name(name, "instruments"), segment_bytes(4), kind=KIND_INSTRUMENTS, generation=1
        )
        self.segment.seal()
        self.producer = Producer(self.ring)
        self.published = 0

    def know(self, *instruments: Instrument) -> None:
        for row, instrument in enumerate(instruments):
            pack_row(instrument, self.segment.buffer, row)
        count = len(instruments).to_bytes(8, "little")
        self.segment.buffer[SEGMENT_COUNT_OFFSET : SEGMENT_COUNT_OFFSET + 8] = count

    def publish(self, count: int) -> Records:
        records = market(count, first=self.published)
        for first in range(0, count, 256):
            assert self.producer.try_publish_many(records[first : first + 256]) >= 0
        self.published += count
        return records

    def close(self) -> None:
        self.producer.close()
        self.ring.close()
        self.segment.close()
        unlink(segment_name(self.name, "market"))
        unlink(segment_name(self.name, "instruments"))


def recorded(folder: Path) -> Records:
    parts = []
    for path in TapeFolder(folder).tapes():
        if path.stat().st_size < FILE_HEADER_BYTES:
            continue  # its writer was killed before it said whose tape it is
        with TapeReader(path) as tape:
            parts += [batch.copy() for batch in tape.batches()]
    return joined(parts)
