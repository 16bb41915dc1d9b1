"""A whole book as the API shows it: decimals of the venue, best first, and whether to trust it."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

from engine.domain.codes import Channel, Liveness
from engine.domain.instrument_row import (
    INSTRUMENT_BYTES,
    LIVENESS_OFFSET,
    SEGMENT_COUNT_OFFSET,
    SEGMENT_ROWS_OFFSET,
    Instrument,
    unpack_row,
)
from engine.processes.depth_page import LEVELS_MAX, DepthRequests, Levels
from ringbuffer.segment import Segment

NS_PER_MS: Final = 1_000_000


class BookState(IntEnum):
    """How far a book of the feed is."""

    NONE = 0  # this instrument keeps none
    SYNCING = 1
    LOADED = 2
    LIVE = 3


class DepthView:
    """Answers for one engine."""

    def __init__(self, instruments: Segment, depth: Segment) -> None:
        """Read rows and ask over the depth page; both stay the caller's."""
        self._buffer = instruments.buffer
        self._requests = DepthRequests(depth)

    def answer(self, symbol: str, level_count: int) -> tuple[int, dict[str, Any]]:
        """Return an HTTP status and the book of a symbol, or what is wrong."""
        row = self._find(symbol.upper())
        if row is None:
            return 404, {"error": f"no instrument {symbol!r}"}
        book = self._requests.fetch(row.instrument_index)
        if book is None:
            return 503, {"error": "the feed did not answer"}
        liveness = Liveness(self._liveness(row.instrument_index))
        count = min(max(level_count, 0), LEVELS_MAX)
        return 200, {
            "symbol": row.symbol,
            "state": BookState(book.state).name,
            "liveness": liveness.name,
            "valid": book.state == BookState.LIVE and liveness is Liveness.LIVE,
            "update_id": book.update_id,
            "venue_time_ms": book.venue_time_ns // NS_PER_MS,
            "levels": {"bids": len(book.bids), "asks": len(book.asks)},
            "bids": _texts(row, book.bids[:count]),
            "asks": _texts(row, book.asks[:count]),
        }

    def _find(self, symbol: str) -> Instrument | None:
        last = SEGMENT_COUNT_OFFSET + 8
        count = int.from_bytes(self._buffer[SEGMENT_COUNT_OFFSET:last], "little")
        rows = (unpack_row(self._buffer, index) for index in range(count))
        return next((row for row in rows if row.symbol == symbol), None)

    def _liveness(self, index: int) -> int:
        first = SEGMENT_ROWS_OFFSET + index * INSTRUMENT_BYTES + LIVENESS_OFFSET
        return self._buffer[first + Channel.BOOK]


def _texts(row: Instrument, levels: Levels) -> list[tuple[str, str]]:
    return [(row.price_text(price), row.qty_text(lots)) for price, lots in levels]
