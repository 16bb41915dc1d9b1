"""Tapes as Parquet: a table per kind of record, partitioned by day and instrument.

    parquet/quote/day=2026-11-21/instrument=BTCUSDT/20261121T103205Z-main-000000.0.parquet

Every field of the record is a column under the name it has in `engine/domain/records.py`, so the
tape can be made again from it, byte for byte; beside them stand the times as timestamps and the
prices and quantities as numbers people read. A day is one of the receive time, UTC. A tape is
taken in windows, so memory does not grow with its length; each window and partition is one file,
written under another name and renamed when whole, so doing it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import RecordType
from engine.domain.instrument import Instrument
from engine.domain.records import MARKET_DTYPE
from engine.tapes.errors import TapeError, missing_extra
from engine.tapes.reader import TapeReader, joined

if TYPE_CHECKING:
    from types import ModuleType

Records = NDArray[np.void]
WINDOW_BLOCKS: Final = 256  # 4 million records: about 0.6 GB while they are sorted
DAY_NS: Final = 86_400_000_000_000
COMMON: Final = ("sequence", "receive_time_ns", "venue_time_ns", "instrument_index", "flags", "aux")
_TRADED: Final = ("price_ticks", "qty_lots", "trade_id", "trade_count")
FIELDS: Final[dict[int, tuple[str, ...]]] = {
    RecordType.QUOTE: ("bid_price_ticks", "ask_price_ticks", "bid_qty_lots", "ask_qty_lots"),
    RecordType.TRADE: _TRADED,
    RecordType.LEVEL: ("price_ticks", "qty_lots", "update_id", "trade_count"),
    RecordType.BAR: (
        "open_ticks",
        "high_offset_ticks",
        "low_offset_ticks",
        "close_offset_ticks",
        "bar_trade_count",
        "volume_lots",
    ),
    RecordType.MARK: (
        "mark_price_e8",
        "index_price_e8",
        "funding_rate_e8",
        "next_funding_time_ns",
    ),
    RecordType.LIQUIDATION: ("price_ticks", "qty_lots", "average_price_ticks", "trade_count"),
    RecordType.LIVENESS: ("liveness", "liveness_before", "since_ns", "trade_count"),
    RecordType.GAP: ("lost_count", "first_id", "last_id", "gap_reason"),
    RecordType.FILTER: ("filter_number", "filter_before"),
}


def pyarrow() -> ModuleType:
    """Return pyarrow with its Parquet part loaded.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import_module("pyarrow.parquet")
        return import_module("pyarrow")
    except ImportError as error:
        raise missing_extra("pyarrow", "history") from error


def export_parquet(tape_path: Path, root: Path) -> list[Path]:
    """Write a tape as Parquet below a folder; return the files.

    Raises:
        MissingExtraError: pyarrow is not installed.
        TapeError: the tape is damaged or the disk refuses.
    """
    arrow = pyarrow()
    written: list[Path] = []
    try:
        with TapeReader(tape_path) as tape:
            symbols = [instrument.symbol for instrument in tape.instruments]
            for window, (records, walls) in enumerate(_windows(tape)):
                for kind, instrument, day, chosen in _partitions(records, walls):
                    symbol = symbols[instrument] if instrument < len(symbols) else str(instrument)
                    folder = root / kind.name.lower() / f"day={day}" / f"instrument={symbol}"
                    about = tape.instruments[instrument] if instrument < len(symbols) else None
                    table = table_of(arrow, kind, records[chosen], walls[chosen], about)
                    path = folder / f"{tape_path.stem}.{window}.parquet"
                    write_table(arrow, table, path)
                    written.append(path)
    except OSError as error:
        raise TapeError(f"{root}: {error.strerror or error}") from error
    return written


def _windows(tape: TapeReader) -> Iterator[tuple[Records, NDArray[np.int64]]]:
    blocks = tape.record_blocks
    for first in range(0, len(blocks), WINDOW_BLOCKS):
        chosen = blocks[first : first + WINDOW_BLOCKS]
        records = joined([tape.records(block) for block in chosen])
        offsets = np.repeat(
            np.array([block.wall_offset_ns for block in chosen], dtype=np.int64),
            [block.row_count for block in chosen],
        )
        yield records, records["receive_time_ns"] + offsets


def _partitions(
    records: Records, walls: NDArray[np.int64]
) -> Iterator[tuple[RecordType, int, str, NDArray[np.int64]]]:
    """Yield (kind, instrument, day, places of its records in order)."""
    days = walls // DAY_NS
    keys = (
        (records["record_type"].astype(np.int64) << 48)
        | (records["instrument_index"].astype(np.int64) << 32)
        | days
    )
    order = np.argsort(keys, kind="stable")
    bounds = np.flatnonzero(np.diff(keys[order], prepend=-1))
    for first, last in zip(bounds, [*bounds[1:], len(order)], strict=True):
        chosen = order[first:last]
        key = int(keys[chosen[0]])
        day = str(np.datetime64(key & 0xFFFF_FFFF, "D"))
        yield RecordType(key >> 48), key >> 32 & 0xFFFF, day, chosen


def table_of(
    arrow: Any,  # noqa: ANN401  an untyped module
    kind: RecordType,
    records: Records,
    walls: NDArray[np.int64],
    instrument: Instrument | None,
) -> Any:  # noqa: ANN401  a pyarrow.Table
    """Return records of one kind and instrument as a table."""
    columns = {name: np.ascontiguousarray(records[name]) for name in (*COMMON, *FIELDS[kind])}
    made = {name: arrow.array(column) for name, column in columns.items()}
    stamp = arrow.timestamp("ns", tz="UTC")
    made["received_at"] = arrow.array(walls).cast(stamp)
    made["venue_at"] = arrow.array(columns["venue_time_ns"]).cast(stamp)
    if instrument is not None:
        tick = instrument.tick_size, instrument.price_exponent
        lot = instrument.lot_size, instrument.qty_exponent
        for name, column in columns.items():
            if name.endswith("_offset_ticks"):
                plain = columns["open_ticks"] + column
                made[name.removesuffix("_offset_ticks")] = arrow.array(_plain(plain, *tick))
            elif name.endswith("_ticks"):
                made[name.removesuffix("_ticks")] = arrow.array(_plain(column, *tick))
            elif name.endswith("_lots"):
                made[name.removesuffix("_lots")] = arrow.array(_plain(column, *lot))
            elif name.endswith("_e8"):
                made[name.removesuffix("_e8")] = arrow.array(column / 1e8)
    about = {"aegis.kind": kind.name, "aegis.steps": steps_text(instrument)}
    return arrow.table(made).replace_schema_metadata(about)


def _plain(counts: NDArray[np.int64], step: float, digits: int) -> NDArray[np.float64]:
    """Return counts of a step as the nearest number of so many decimal digits."""
    return np.round(counts * step, digits)


def steps_text(instrument: Instrument | None) -> str:
    """Return tick and lot of an instrument as exact decimals; empty: it is not known."""
    if instrument is None:
        return ""
    return (
        f"{instrument.tick_scaled}e-{instrument.price_exponent} "
        f"{instrument.lot_scaled}e-{instrument.qty_exponent}"
    )


def records_of(table: Any, kind: RecordType) -> Records:  # noqa: ANN401  a pyarrow.Table
    """Return the records a table of `export_parquet` was made of, without their padding bytes."""
    made = np.zeros(table.num_rows, dtype=MARKET_DTYPE)
    made["record_type"] = kind
    for name in (*COMMON, *FIELDS[kind]):
        made[name] = table.column(name).to_numpy()
    return made


def write_table(arrow: Any, table: Any, path: Path) -> None:  # noqa: ANN401  pyarrow has no types
    """Write a table under another name, then rename it: a file that is there is whole.

    Raises:
        OSError: the disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    arrow.parquet.write_table(table, partial, compression="zstd")
    partial.replace(path)
