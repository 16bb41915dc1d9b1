"""The tables of the data folder, each as a tape of frames (`tests.recorded_markets`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.recorded_markets import Tape, bar_tape, quote_tape, rows_of, trade_tape

Rows = list[dict[str, Any]]
OHLC = ("open", "high", "low", "close")
OHLCV = (*OHLC, "volume")

QUOTES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "tardis_samples/*quotes*.csv.gz",
        ("timestamp", "bid_price", "ask_price", "bid_amount", "ask_amount"),
    ),
    (
        "tardis_samples/*snapshot*.csv.gz",
        ("timestamp", "bids[0].price", "asks[0].price", "bids[0].amount", "asks[0].amount"),
    ),
    (
        "cmf_market_making/sample_lob.csv.gz",
        ("local_timestamp", "bids[0].price", "asks[0].price", "bids[0].amount", "asks[0].amount"),
    ),
    (
        "crypto_microstructure/lobdeep_*.parquet",
        ("exch_ts_ms", "best_bid", "best_ask", "bid_qty", "ask_qty", "seq"),
    ),
    ("cme/*mbp1*.parquet", ("ts_event_ns", "bid_px", "ask_px", "bid_sz", "ask_sz")),
    ("fx/*_ticks_*.parquet", ("ts_utc", "bid", "ask")),
    ("fx/*bidask*.parquet", ("ts_utc", "bid_close", "ask_close")),
    (
        "klines/*_1m_quote_*.parquet",
        ("ts_utc", "bid_close", "ask_close", "bid_size", "ask_size"),
    ),
)
TRADES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("tardis_samples/*trades*.csv.gz", ("timestamp", "price", "amount", "side", "id")),
    (
        "crypto_microstructure/trades_*.parquet",
        ("exch_ts_ms", "price", "qty", "side", "trade_id"),
    ),
    ("orderflow_ltcusdt_spot/*.csv.gz", ("timestamp", "price", "quantity", "side", "tradeId")),
    ("cmf_market_making/sample_trades.csv.gz", ("local_timestamp", "price", "amount", "side")),
    ("cme/*mbp1*.parquet", ("ts_event_ns", "price", "size", "side")),
    ("cme/*mbo*.parquet", ("ts_event_ns", "price", "size", "side")),
)
BARS: tuple[tuple[str, tuple[str, ...], int], ...] = (
    ("klines/binance_usdm_*.csv.gz", ("open_time", *OHLCV, "count"), 60),
    ("klines/lean_*_1m_trade_*.parquet", ("ts_utc", *OHLCV), 60),
    ("klines/muthebug_*_1d_*.parquet", ("ts_utc", *OHLCV), 86_400),
    ("klines/muthebug_*_1h_*.parquet", ("ts_utc", *OHLCV), 3_600),
    ("klines/freqtrade_*-5m-futures.parquet", ("date", *OHLCV), 300),
    ("klines/freqtrade_*-1h-*.parquet", ("date", *OHLCV), 3_600),
    ("klines/freqtrade_*-8h-mark.parquet", ("date", *OHLCV), 28_800),
    ("klines/nautilus_*_1m_*.parquet", ("timestamp", *OHLCV), 60),
    ("cme/nautilus_*_1m_*.csv.gz", ("timestamp_utc", *OHLCV), 60),
    ("cme/ninjatrader_*.parquet", ("timestamp_et_bar_end", *OHLCV), 60),
)


def symbols_of(rows: Rows) -> Iterator[tuple[str, Rows]]:
    """Split a table by symbol, where it has several."""
    by_symbol: dict[str, Rows] = {}
    for row in rows:
        by_symbol.setdefault(str(row.get("symbol") or ""), []).append(row)
    yield from by_symbol.items()


def prepared(path: Path, rows: Rows, columns: tuple[str, ...]) -> Rows:
    """Return the rows of a table that are of the wanted kind, with their columns."""
    if "lobdeep" in path.name:
        return [
            row | {"bid_qty": row["bids_qty"][0], "ask_qty": row["asks_qty"][0]} for row in rows
        ]
    if path.match("cme/*mb[op]*") and "side" in columns:
        return [row for row in rows if row["action"] == "T"]
    return rows


def tables(data: Path) -> Iterator[Tape]:
    """Yield every table as a tape."""
    kinds: list[tuple[str, tuple[str, ...], Callable[[str, Rows, tuple[str, ...]], Tape]]] = [
        *((pattern, columns, quote_tape) for pattern, columns in QUOTES),
        *((pattern, columns, trade_tape) for pattern, columns in TRADES),
        *(
            (pattern, columns, lambda name, rows, c, s=seconds: bar_tape(name, rows, c, s))
            for pattern, columns, seconds in BARS
        ),
    ]
    for pattern, columns, tape in kinds:
        for path in sorted(data.glob(pattern)):
            for symbol, rows in symbols_of(prepared(path, rows_of(path), columns)):
                name = f"{path.parent.name}/{path.name.partition('.')[0]} {symbol}".strip()
                yield tape(name, rows, columns)
