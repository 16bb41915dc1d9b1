"""The instruments as a person sees them: channels, and the newest quote that the ring still holds.

Quotes are looked up when somebody asks, at most ten times a second and only among the newest
records, and kept: an instrument that has been quiet for longer shows what it showed last. Nothing
decides by them. Standard library and ringbuffer only, as `engine.processes.status`.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from engine.domain.codes import Channel, Liveness, RecordType
from engine.domain.instrument_row import (
    INSTRUMENT_BYTES,
    LIVENESS_OFFSET,
    SEGMENT_COUNT_OFFSET,
    SEGMENT_ROWS_OFFSET,
    SYMBOL_BYTES,
    Instrument,
    unpack_row,
)
from ringbuffer.ring import Observer, Ring
from ringbuffer.segment import Segment

LOOK_RECORDS: Final = 1_024  # the newest of the ring; those before them are not looked at
LOOK_GAP_S: Final = 0.1
_QUOTE: Final = struct.Struct("<24xHB5xqq16x")  # of a market record: instrument, type, bid, ask
_CHANNELS: Final = tuple(channel.name for channel in Channel)
_LIVENESS: Final = {int(state): state.name for state in Liveness}
_Prices = tuple[int, int]  # bid and ask, ticks


class InstrumentView:
    """Rows of one engine's instruments."""

    def __init__(
        self, instruments: Segment, market: Ring, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Read both as long as somebody asks; they stay the caller's."""
        self._now_s = now_s
        self._buffer = instruments.buffer
        self._market = market
        self._records = bytearray(LOOK_RECORDS * _QUOTE.size)
        self._next = 0
        self._looked_s = 0.0
        self._prices: dict[int, _Prices] = {}  # at most one of each instrument
        self._grids: dict[int, Instrument] = {}  # as many; a grid changes with a restart only
        self._lock = threading.Lock()  # the terminal and every reader of the API ask

    def rows(self) -> list[dict[str, Any]]:
        """Return symbol, liveness of each channel, bid and ask as text; None: no quote was seen."""
        count = int.from_bytes(
            self._buffer[SEGMENT_COUNT_OFFSET : SEGMENT_COUNT_OFFSET + 8], "little"
        )
        with self._lock:
            if self._now_s() - self._looked_s >= LOOK_GAP_S:
                self._look()
            return [self._row(index) for index in range(count)]

    def _row(self, index: int) -> dict[str, Any]:
        first = SEGMENT_ROWS_OFFSET + index * INSTRUMENT_BYTES
        symbol = bytes(self._buffer[first : first + SYMBOL_BYTES]).rstrip(b"\0").decode()
        place = first + LIVENESS_OFFSET
        states = bytes(self._buffer[place : place + len(_CHANNELS)])
        liveness = {
            channel: _LIVENESS[state] for channel, state in zip(_CHANNELS, states, strict=True)
        }
        bid, ask = self._shown(index)
        return {"symbol": symbol, "liveness": liveness, "bid": bid, "ask": ask}

    def _shown(self, index: int) -> tuple[str | None, str | None]:
        prices = self._prices.get(index)
        if prices is None:
            return None, None
        if index not in self._grids:
            self._grids[index] = unpack_row(self._buffer, index)
        bid, ask = (self._grids[index].price_text(ticks) for ticks in prices)
        return bid, ask

    def _look(self) -> None:
        published = self._market.published()
        observer = Observer(self._market, start=max(self._next, published - LOOK_RECORDS))
        try:
            first, count, _ = observer.poll_into(self._records)
        finally:
            observer.close()
        self._next, self._looked_s = first + count, self._now_s()
        seen = memoryview(self._records)[: count * _QUOTE.size]
        for index, kind, bid, ask in _QUOTE.iter_unpack(seen):
            if kind == RecordType.QUOTE:
                self._prices[index] = bid, ask
