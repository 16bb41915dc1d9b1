"""Records, journals and session documents for the store's tests."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.domain.records import EVENT_DTYPE, MARKET_DTYPE
from engine.store.journal import SOURCE_EVENTS_BRAIN, SOURCE_MARKET, SourceWriter

Records = NDArray[np.void]
SESSION = "20260102T030405-0001"


def market_records(count: int, first_sequence: int = 0) -> Records:
    """Return quotes whose every field tells which record it is."""
    records = np.zeros(count, dtype=MARKET_DTYPE)
    numbers = np.arange(first_sequence, first_sequence + count)
    records["sequence"] = numbers + 1  # the ring's slot word
    records["receive_time_ns"] = 1_000_000 + numbers
    records["record_type"] = 1
    records["bid_price_ticks"] = 100 + numbers
    records["ask_price_ticks"] = 101 + numbers
    return records


def event_records(*rows: dict[str, Any], first_sequence: int = 0) -> Records:
    """Return events with the fields given, numbered as a ring numbers them."""
    records = np.zeros(len(rows), dtype=EVENT_DTYPE)
    for i, row in enumerate(rows):
        for name, entry in row.items():
            records[name][i] = entry
    records["sequence"] = np.arange(first_sequence, first_sequence + len(rows)) + 1
    return records


def as_bytes(records: Records) -> memoryview:
    """Return the records as the bytes a ring would hand out."""
    return memoryview(np.ascontiguousarray(records).view(np.uint8).reshape(-1)).cast("B")


def open_market(directory: Path, *, segment_bytes: int = 1 << 20) -> SourceWriter:
    """Open the market source of a session directory."""
    return SourceWriter(
        directory, directory.name, SOURCE_MARKET, MARKET_DTYPE.itemsize, segment_bytes=segment_bytes
    )


def open_events(
    directory: Path, source: str = SOURCE_EVENTS_BRAIN, *, segment_bytes: int = 1 << 20
) -> SourceWriter:
    """Open an event source of a session directory."""
    return SourceWriter(
        directory, directory.name, source, EVENT_DTYPE.itemsize, segment_bytes=segment_bytes
    )


def write_market(directory: Path, frame_counts: list[int], *, segment_bytes: int = 1 << 20) -> int:
    """Write frames of so many market records each and leave the source open; return the records."""
    writer = open_market(directory, segment_bytes=segment_bytes)
    for count in frame_counts:
        writer.append(writer.next_sequence, as_bytes(market_records(count, writer.next_sequence)))
    writer.close(is_end=False)
    return writer.next_sequence
