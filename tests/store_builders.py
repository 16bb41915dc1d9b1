"""Records, journals and session documents for the store's tests."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.domain.instrument_row import Instrument
from engine.domain.records import EVENT_DTYPE, MARKET_DTYPE, VECTOR_DTYPE
from engine.domain.strategy_table import StrategyKind, StrategyRow
from engine.store.journal import (
    SEGMENT_BYTES,
    SOURCE_EVENTS_BRAIN,
    SOURCE_FEATURES,
    SOURCE_MARKET,
    SourceWriter,
)
from engine.store.session import SessionDocument, write_document

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
    return memoryview(records.tobytes())


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


def open_features(directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> SourceWriter:
    """Open the source of feature vectors of a session directory."""
    size = VECTOR_DTYPE.itemsize
    return SourceWriter(
        directory, directory.name, SOURCE_FEATURES, size, segment_bytes=segment_bytes
    )


def write_market(directory: Path, frame_counts: list[int], *, segment_bytes: int = 1 << 20) -> int:
    """Write frames of so many market records each and leave the source open; return the records."""
    writer = open_market(directory, segment_bytes=segment_bytes)
    for count in frame_counts:
        writer.append(writer.next_sequence, as_bytes(market_records(count, writer.next_sequence)))
    writer.close(is_end=False)
    return writer.next_sequence


def instrument(symbol: str = "BTCUSDT", **changes: object) -> Instrument:
    """Return an instrument with a tick of 0.1, a lot of 0.001 and a unit of 10,000 e8."""
    fields: dict[str, Any] = {
        "symbol": symbol,
        "base": symbol.removesuffix("USDT"),
        "quote": "USDT",
        "margin": "USDT",
        "price_exponent": 1,
        "qty_exponent": 3,
        "tick_scaled": 1,
        "lot_scaled": 1,
        "unit_e8": 10_000,
    }
    return Instrument(**(fields | changes))


def session_document(**changes: object) -> SessionDocument:
    """Return the document of a session of two instruments and two strategies."""
    fields: dict[str, Any] = {
        "session_id": SESSION,
        "instance": "main",
        "state_key": "practice-practice-paper",
        "epoch": 1,
        "engine_tag": "a",
        "started_realtime_ns": 1_700_000_000_000_000_000,
        "started_monotonic_ns": 1_000,
        "main_pid": 1,
        "main_start_ticks": 1,
        "version": "0",
        "kernel_key": "0" * 16,
        "market_journal": "all",
        "config": {},
        "instruments": (instrument(), instrument("ETHUSDT", instrument_index=1)),
        "strategies": (
            StrategyRow(name="smc_fvg_bos", kind=StrategyKind.SMC),
            StrategyRow(name="orderflow", kind=StrategyKind.ORDERFLOW),
        ),
    }
    return SessionDocument(**(fields | changes))


def write_session(
    state_directory: Path, *rows: dict[str, Any], is_end: bool = False, **changes: object
) -> Path:
    """Write a session of brain events with its document; return its journal directory."""
    document = session_document(state_key=state_directory.name, **changes)
    directory = state_directory / "journal" / document.session_id
    write_document(directory, document)
    writer = open_events(directory)
    records = event_records(*rows, first_sequence=writer.next_sequence)
    writer.append(writer.next_sequence, as_bytes(records))
    writer.close(is_end=is_end)
    return directory
