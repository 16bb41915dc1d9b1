"""A market to record: an engine's ring and instruments without the engine, and a tape of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import LEVEL_BID, LEVEL_LAST_OF_DIFF, LEVEL_SNAPSHOT_FIRST, RecordType
from engine.domain.instrument_row import (
    SEGMENT_COUNT_OFFSET,
    Instrument,
    InstrumentFlag,
    pack_row,
    segment_bytes,
)
from engine.domain.records import MARKET_DTYPE
from engine.processes.control import segment_name
from engine.processes.segments import MARKET_SLOTS
from engine.store.instrument_segment import KIND_INSTRUMENTS
from engine.tapes.writer import TapeWriter
from ringbuffer.ring import Producer, Ring
from ringbuffer.segment import Segment, unlink

INSTRUMENTS: Final = 300
SEED: Final = 20_240_808

Records = NDArray[np.void]


def instruments(count: int = INSTRUMENTS) -> list[Instrument]:
    """Return so many instruments of a tenth of a dollar and a thousandth of a coin."""
    return [
        Instrument(
            symbol=f"SYM{index:03d}USDT",
            instrument_index=index,
            flags=int(InstrumentFlag.TRADING | InstrumentFlag.PERPETUAL),
            price_exponent=1,
            qty_exponent=3,
            tick_scaled=1,
            lot_scaled=1,
            unit_e8=10_000,
        )
        for index in range(count)
    ]


def market(count: int) -> Records:
    """Return quotes (half), levels of twenty a side (three tenths) and trades, in random turns."""
    chance = np.random.default_rng(SEED)
    made = np.zeros(count, dtype=MARKET_DTYPE)
    kinds = (RecordType.QUOTE, RecordType.LEVEL, RecordType.TRADE)
    made["record_type"] = chance.choice(kinds, count, p=(0.5, 0.3, 0.2))
    made["instrument_index"] = chance.integers(0, INSTRUMENTS, count)
    is_level = made["record_type"] == RecordType.LEVEL
    is_bid = chance.integers(0, 2, count)
    distance = chance.integers(1, 21, count)
    price = 618_000 + np.where(is_bid == 1, -distance, distance)
    made["price_ticks"] = price
    made["qty_lots"] = np.where(is_level, chance.integers(0, 9_000, count), price + 1)
    made["update_id"] = np.arange(1, count + 1)
    made["trade_count"] = 1
    flags = is_bid * LEVEL_BID + LEVEL_LAST_OF_DIFF
    flags += (chance.random(count) < 0.001) * LEVEL_SNAPSHOT_FIRST
    made["flags"] = np.where(is_level, flags, 0)
    return made


class RecordedRing:
    """What a recorder looks for: the market ring and the instruments of an engine."""

    def __init__(self) -> None:
        """Create both under a name no engine has; nobody gates the ring."""
        self.name = f"bench{os.getpid()}"
        self._ring = Ring.create(
            segment_name(self.name, "market"), MARKET_SLOTS, MARKET_DTYPE.itemsize
        )
        self._rows = Segment.create(
            segment_name(self.name, "instruments"),
            segment_bytes(INSTRUMENTS),
            kind=KIND_INSTRUMENTS,
            generation=1,
        )
        self._rows.seal()
        for row, instrument in enumerate(instruments()):
            pack_row(instrument, self._rows.buffer, row)
        count = INSTRUMENTS.to_bytes(8, "little")
        self._rows.buffer[SEGMENT_COUNT_OFFSET : SEGMENT_COUNT_OFFSET + 8] = count
        self._producer = Producer(self._ring)

    def publish(self, records: Records) -> None:
        """Publish a batch, as a feed does after a read from its socket."""
        assert self._producer.try_publish_many(records) >= 0
        self._producer.wake()

    def __enter__(self) -> Self:
        """Return the ring itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove both segments."""
        self._producer.close()
        self._ring.close()
        self._rows.close()
        for kind in ("market", "instruments"):
            unlink(segment_name(self.name, kind))


def write_tape(path: Path, records: Records, rows: list[Instrument]) -> Path:
    """Write records as an ended tape and return its path."""
    with TapeWriter(path, source="bench") as writer:
        writer.put_instruments(rows)
        writer.append(records)
        writer.end()
    return path
