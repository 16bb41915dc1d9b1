"""Downloaded history as Parquet: which parts are there, and how a part is written.

    history/klines_1m/day=2024-01-31/instrument=BTCUSDT/klines.parquet
    history/agg_trades/day=2024-01-31/instrument=BTCUSDT/13.parquet      one hour

A part that has its name is whole: it is written under another name and renamed. So a download that
was interrupted goes on with the parts that are missing. Columns are named as the venue's own files
of history name them, and `aegis tape import` reads both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.tapes.errors import TapeError
from engine.tapes.parquet import pyarrow

DAY_MS: Final = 86_400_000
KLINE_COLUMNS: Final = (
    ("open_time", int),
    ("open", float),
    ("high", float),
    ("low", float),
    ("close", float),
    ("volume", float),
    ("close_time", int),
    ("quote_volume", float),
    ("count", int),
    ("taker_buy_volume", float),
    ("taker_buy_quote_volume", float),
)
TRADE_COLUMNS: Final = (
    ("agg_trade_id", "a", int),
    ("price", "p", float),
    ("quantity", "q", float),
    ("first_trade_id", "f", int),
    ("last_trade_id", "l", int),
    ("transact_time", "T", int),
    ("is_buyer_maker", "m", bool),
)


def day_text(start_ms: int) -> str:
    """Return the UTC day of a time as 2024-01-31."""
    return str(np.datetime64(start_ms // DAY_MS, "D"))


def kline_part(root: Path, interval: str, symbol: str, day_ms: int) -> Path:
    """Return where a day of bars stands."""
    folder = f"klines_{interval}/day={day_text(day_ms)}/instrument={symbol}"
    return root / folder / "klines.parquet"


def trade_part(root: Path, symbol: str, hour_ms: int) -> Path:
    """Return where an hour of aggregated trades stands."""
    folder = f"agg_trades/day={day_text(hour_ms)}/instrument={symbol}"
    return root / folder / f"{hour_ms % DAY_MS // 3_600_000:02d}.parquet"


def write_klines(path: Path, symbol: str, rows: Sequence[Sequence[Any]]) -> None:
    """Write a day of bars, as the venue answered them.

    Raises:
        TapeError: the disk refuses.
    """
    columns = {
        name: [kind(row[place]) for row in rows] for place, (name, kind) in enumerate(KLINE_COLUMNS)
    }
    kinds = dict(KLINE_COLUMNS)
    _write(path, {**columns, "symbol": [symbol] * len(rows)}, {**kinds, "symbol": str})


def write_trades(path: Path, symbol: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write an hour of aggregated trades, as the venue answered them.

    Raises:
        TapeError: the disk refuses.
    """
    columns = {name: [kind(row[key]) for row in rows] for name, key, kind in TRADE_COLUMNS}
    kinds = {name: kind for name, _, kind in TRADE_COLUMNS}
    _write(path, {**columns, "symbol": [symbol] * len(rows)}, {**kinds, "symbol": str})


def _write(path: Path, columns: dict[str, list[Any]], kinds: dict[str, type]) -> None:
    arrow = pyarrow()
    types = {
        int: arrow.int64(),
        float: arrow.float64(),
        bool: arrow.bool_(),
        str: arrow.string(),
    }
    table = arrow.table(
        {name: arrow.array(cells, types[kinds[name]]) for name, cells in columns.items()}
    )
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        arrow.parquet.write_table(table, partial, compression="zstd")
        partial.replace(path)
    except OSError as error:
        raise TapeError(f"{path}: {error.strerror or error}") from error
