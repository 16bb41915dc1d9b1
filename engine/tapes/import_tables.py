"""Tables of market data to drafts: one row per format, chosen by the columns a file has.

A bar is received when it has ended; a row without a receive time is received at its own time. A
price index (one price, nothing traded) becomes MARK records. Quantities that a file lacks are 0.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import (
    TRADE_AGGREGATED,
    TRADE_BUYER_AGGRESSOR,
    RecordType,
)
from engine.tapes.drafts import Draft
from engine.tapes.errors import ImportFormatError
from engine.tapes.import_bars import (
    Floats,
    Read,
    bars,
    by_symbol,
    closed_quotes,
    daily_bars,
    daily_closes,
    funding_rows,
    quote_draft,
    volumetric,
)
from engine.tapes.import_books import order_book, snapshot_columns, snapshot_lists
from engine.tapes.tables import Table

Times = NDArray[np.int64]
_SYMBOL: Final = re.compile(
    r"(?:^|[_\-./])([A-Z0-9]{2,12}USDT?|EURUSD|NZDUSD|XAUUSD|GBPUSD|AUDUSD|[0-9]?[A-Z]{1,3}"
    r"[FGHJKMNQUVXZ][0-9])(?=[_\-.]|$)",
    re.IGNORECASE,
)


class Format(NamedTuple):
    """A way of writing market data, known by columns no other has."""

    name: str
    columns: frozenset[str]
    read: Read


def symbol_in(path: Path) -> str:
    """Return the symbol a file's name seems to say, or the name itself."""
    found = _SYMBOL.search(path.name)
    return (found.group(1) if found else path.name.partition(".")[0][:24]).upper()


def read_rows(table: Table, symbol: str) -> tuple[str, list[Draft]]:
    """Return the name of a table's format and its drafts.

    Args:
        table: the file's columns.
        symbol: of its rows where no column says it; empty: what its name says.

    Raises:
        ImportFormatError: no format has these columns.
    """
    for known in FORMATS:
        if known.columns <= table.names:
            return known.name, known.read(table, symbol or symbol_in(table.path))
    columns = ", ".join(sorted(table.names)[:12])
    raise ImportFormatError(f"{table.path}: no known format has the columns {columns}")


def _trades(price: str, quantity: str, received: str, venue: str, number: str, unit: str) -> Read:
    def read(table: Table, symbol: str) -> list[Draft]:
        """Return one draft of trades per symbol."""
        received_ns, venue_ns = table.times(received, unit), table.times(venue, unit)
        prices, quantities = table.floats(price), table.floats(quantity)
        sides = np.char.lower(table.texts("side")) == "buy"
        ids = table.whole(number) if number else np.arange(1, len(prices) + 1)
        return [
            Draft(
                name,
                RecordType.TRADE,
                received_ns[at],
                venue_ns[at],
                {"price_ticks": prices[at]},
                {"qty_lots": quantities[at]},
                {
                    "trade_id": ids[at],
                    "trade_count": np.ones(len(at), dtype=np.int64),
                    "flags": np.where(sides[at], TRADE_BUYER_AGGRESSOR, 0),
                },
            )
            for name, at in by_symbol(table, symbol)
        ]

    return read


def _quotes(names: tuple[str, str, str, str], received: str, venue: str, unit: str) -> Read:
    def read(table: Table, symbol: str) -> list[Draft]:
        """Return one draft of quotes per symbol."""
        received_ns, venue_ns = table.times(received, unit), table.times(venue, unit)
        cells = [
            table.floats(name) if name in table.names else np.zeros(len(venue_ns)) for name in names
        ]
        return [
            quote_draft(
                name,
                received_ns[at],
                venue_ns[at],
                (cells[0][at], cells[1][at], cells[2][at], cells[3][at]),
            )
            for name, at in by_symbol(table, symbol)
        ]

    return read


def _top_of_book(table: Table, symbol: str) -> list[Draft]:
    """Return quotes, and trades where a row is one."""
    received_ns, venue_ns = table.times("ts_recv_ns"), table.times("ts_event_ns")
    quotes = _quotes(("bid_px", "ask_px", "bid_sz", "ask_sz"), "ts_recv_ns", "ts_event_ns", "ns")
    traded = table.texts("action") == "T"
    trades = Draft(
        str(table.texts("symbol")[0]),
        RecordType.TRADE,
        received_ns[traded],
        venue_ns[traded],
        {"price_ticks": table.floats("price")[traded]},
        {"qty_lots": table.floats("size")[traded]},
        {
            "trade_id": table.whole("sequence")[traded],
            "trade_count": np.ones(int(traded.sum()), dtype=np.int64),
            "flags": np.where(table.texts("side")[traded] == "B", TRADE_BUYER_AGGRESSOR, 0),
        },
    )
    return [*quotes(table, symbol), trades]


def _history(table: Table, symbol: str) -> list[Draft]:
    """Return aggregated trades as the venue's files of history name their columns."""
    times, ids = table.times("transact_time", "ms"), table.whole("agg_trade_id")
    prices, quantities = table.floats("price"), table.floats("quantity")
    counts = table.whole("last_trade_id") - table.whole("first_trade_id") + 1
    makers = np.char.lower(table.texts("is_buyer_maker")) == "true"
    flags = np.where(makers, 0, TRADE_BUYER_AGGRESSOR) + TRADE_AGGREGATED
    return [
        Draft(
            name,
            RecordType.TRADE,
            times[at],
            times[at],
            {"price_ticks": prices[at]},
            {"qty_lots": quantities[at]},
            {"trade_id": ids[at], "trade_count": counts[at], "flags": flags[at]},
        )
        for name, at in by_symbol(table, symbol)
    ]


def _index(table: Table, symbol: str) -> list[Draft]:
    """Return an index that nobody trades: its price as MARK records."""
    times = table.times("epoch", "s")
    prices = table.floats("price")
    return [
        Draft(
            name,
            RecordType.MARK,
            times[at],
            times[at],
            {"mark_price_e8": prices[at], "index_price_e8": prices[at]},
        )
        for name, at in by_symbol(table, symbol)
    ]


def _delayed_ticks(table: Table, symbol: str) -> list[Draft]:
    """Return quotes from ticks that change one side, and trades; both named by tickType."""
    times, kinds = table.times("time"), table.whole("tickType")
    prices, sizes = table.floats("price"), table.floats("size")

    def standing(kinds_of_side: tuple[int, int], values: Floats) -> Floats:
        """Return the last value of a side at each row, NaN before the first."""
        mine = np.isin(kinds, kinds_of_side)
        last = np.maximum.accumulate(np.where(mine, np.arange(len(kinds)), -1))
        return np.where(last >= 0, values[np.maximum(last, 0)], np.nan)

    bid, ask = (0, 1), (2, 3)
    is_quote = kinds <= 3
    cells = tuple(standing(side, values)[is_quote] for values in (prices, sizes)
                  for side in (bid, ask))  # fmt: skip
    quotes = quote_draft(symbol, times[is_quote], times[is_quote], cells)  # type: ignore[arg-type]
    traded = (kinds == 4) | (kinds == 5)
    return [quotes, _plain_trades(symbol, times[traded], prices[traded], sizes[traded])]


def _ticks_without_side(table: Table, symbol: str) -> list[Draft]:
    times = table.times("time")
    return [_plain_trades(symbol, times, table.floats("price"), table.floats("size"))]


def _plain_trades(symbol: str, times: Times, prices: Floats, sizes: Floats) -> Draft:
    """Return trades whose aggressor is not known: they count as sellers'."""
    ids = np.arange(1, len(times) + 1)
    one = np.ones(len(times), dtype=np.int64)
    return Draft(
        symbol,
        RecordType.TRADE,
        times,
        times,
        {"price_ticks": prices},
        {"qty_lots": sizes},
        {"trade_id": ids, "trade_count": one},
    )


_OHLCV: Final = "open high low close volume"


def _format(name: str, columns: str, read: Read) -> Format:
    return Format(name, frozenset(columns.split()), read)


# More particular formats first: the first whose columns are all there is taken.
FORMATS: Final = (
    _format("orders, each with its id", "ts_recv_ns action order_id price size", order_book),
    _format("top of the book", "ts_recv_ns bid_px ask_px bid_sz ask_sz", _top_of_book),
    _format("books as lists", "ts_ms exch_ts_ms bids_px asks_px", snapshot_lists),
    _format("books as columns", "local_timestamp asks[0].price bids[0].price", snapshot_columns),
    _format(
        "trades, ms",
        "ts_ms exch_ts_ms trade_id price qty side",
        _trades("price", "qty", "ts_ms", "exch_ts_ms", "trade_id", "ms"),
    ),
    _format(
        "trades, us",
        "timestamp local_timestamp id side price amount",
        _trades("price", "amount", "local_timestamp", "timestamp", "id", "us"),
    ),
    _format(
        "quotes, us",
        "timestamp local_timestamp ask_amount ask_price bid_price bid_amount",
        _quotes(
            ("bid_price", "ask_price", "bid_amount", "ask_amount"),
            "local_timestamp",
            "timestamp",
            "us",
        ),
    ),
    _format(
        "trades without ids, us",
        "local_timestamp side price amount",
        _trades("price", "amount", "local_timestamp", "local_timestamp", "", "us"),
    ),
    _format(
        "trades of a spot market, ms",
        "timestamp price quantity side tradeId",
        _trades("price", "quantity", "timestamp", "timestamp", "tradeId", "ms"),
    ),
    _format(
        "the venue's klines",
        "open_time open close_time count",
        bars("open_time", _OHLCV, unit="ms"),
    ),
    _format("the venue's aggregated trades", "agg_trade_id transact_time is_buyer_maker", _history),
    _format("volumetric bars", "timestamp_et_bar_end instrument open", volumetric),
    _format("bars of quotes", "ts_utc bid_open ask_open", closed_quotes),
    _format("quotes", "ts_utc bid ask", _quotes(("bid", "ask", "", ""), "ts_utc", "ts_utc", "ns")),
    _format("bars", f"ts_utc {_OHLCV}", bars("ts_utc", _OHLCV)),
    _format("bars by date", f"date {_OHLCV}", bars("date", _OHLCV)),
    _format("bars by timestamp", f"timestamp {_OHLCV}", bars("timestamp", _OHLCV)),
    _format("bars by UTC timestamp", f"timestamp_utc {_OHLCV}", bars("timestamp_utc", _OHLCV)),
    _format("an index", "epoch symbol price", _index),
    _format("ticks of one side", "time price size tickType", _delayed_ticks),
    _format(
        "quotes of a broker",
        "time priceBid priceAsk sizeBid sizeAsk",
        _quotes(("priceBid", "priceAsk", "sizeBid", "sizeAsk"), "time", "time", "ns"),
    ),
    _format("trades of a broker", "time price size exchange", _ticks_without_side),
    _format("daily bars", "Date Open High Low Close", daily_bars),
    _format("daily closes", "Date", daily_closes),
    _format("funding rates", "column_0 column_1", funding_rows),
)
