"""Bars and what is told by the bar, to drafts: trades, quotes, marks and funding.

A bar is received when it has ended; its venue time is that of its start, as on the ring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import BAR_FINAL, RecordType
from engine.tapes.drafts import Draft
from engine.tapes.tables import Table

Times = NDArray[np.int64]
Floats = NDArray[np.float64]
Read = Callable[[Table, str], list[Draft]]
S: Final = 1_000_000_000
DAY_S: Final = 86_400


def by_symbol(
    table: Table, symbol: str, column: str = "symbol"
) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Yield each symbol of a table with the places of its rows."""
    if column not in table.names:
        length = len(next(iter(table.columns.values())))
        yield symbol, np.arange(length)
        return
    texts = table.texts(column)
    for name in dict.fromkeys(texts.tolist()):
        yield name, np.flatnonzero(texts == name)


def quote_draft(
    symbol: str, received_ns: Times, venue_ns: Times, cells: tuple[Floats, Floats, Floats, Floats]
) -> Draft:
    """Return quotes; rows that lack a price are left out."""
    bid, ask, bid_quantity, ask_quantity = cells
    whole = np.isfinite(bid) & np.isfinite(ask)
    return Draft(
        symbol,
        RecordType.QUOTE,
        received_ns[whole],
        venue_ns[whole],
        {"bid_price_ticks": bid[whole], "ask_price_ticks": ask[whole]},
        {"bid_qty_lots": bid_quantity[whole], "ask_qty_lots": ask_quantity[whole]},
        {"aux": np.arange(1, int(whole.sum()) + 1)},
    )


def bars(opened: str, names: str, *, unit: str = "ns", column: str = "symbol") -> Read:
    """Return the reader of bars whose columns have these names, open to volume."""

    def read(table: Table, symbol: str) -> list[Draft]:
        """Return one draft of bars per symbol, or of marks where the bars are of the mark price."""
        times = table.times(opened, unit)
        stem = table.path.name.lower()
        drafts = []
        for name, at in by_symbol(table, symbol, column):
            if "-mark" in stem or "funding" in stem:
                drafts.append(_marks(name, times[at], table.floats("close")[at], stem))
            else:
                drafts.append(_bar_draft(table, name, times, at, names.split()))
        return drafts

    return read


def _bar_draft(
    table: Table, symbol: str, times: Times, at: NDArray[np.intp], names: list[str]
) -> Draft:
    fields = ("open_ticks", "high_offset_ticks", "low_offset_ticks", "close_offset_ticks")
    prices = {field: table.floats(name)[at] for field, name in zip(fields, names[:4], strict=True)}
    prices = dict(sorted(prices.items(), key=lambda entry: fields.index(entry[0])))
    volume = table.floats(names[4])[at] if names[4] in table.names else np.zeros(len(at))
    count = [name for name in ("count", "barCount") if name in table.names]
    counts = table.whole(count[0])[at] if count else np.zeros(len(at), dtype=np.int64)
    seconds = _interval_s(times[at])
    return Draft(
        symbol,
        RecordType.BAR,
        times[at] + seconds * S,
        times[at],
        prices,
        {"volume_lots": volume},
        {
            "aux": np.full(len(at), seconds),
            "flags": np.full(len(at), BAR_FINAL),
            "bar_trade_count": counts,
        },
    )


def _interval_s(times: Times) -> int:
    """Return the usual distance of bars: the smallest that is seen more than once."""
    if len(times) < 2:
        return 60
    steps, counts = np.unique(np.diff(np.sort(times)), return_counts=True)
    usual = steps[(steps > 0) & (counts >= min(2, counts.max()))]
    return int(usual[0]) // S if len(usual) else 60


def _marks(symbol: str, times: Times, prices: Floats, stem: str) -> Draft:
    is_funding = "funding" in stem
    field = "funding_rate_e8" if is_funding else "mark_price_e8"
    return Draft(symbol, RecordType.MARK, times, times, {field: prices})


def closed_quotes(table: Table, symbol: str) -> list[Draft]:
    """Return the quotes that stood at the end of each bar of quotes."""
    times = table.times("ts_utc")
    ended = times + _interval_s(times) * S
    sizes = [
        table.floats(name) if name in table.names else np.zeros(len(times))
        for name in ("bid_size", "ask_size")
    ]
    cells = (table.floats("bid_close"), table.floats("ask_close"), sizes[0], sizes[1])
    return [quote_draft(symbol, ended, ended, cells)]


def volumetric(table: Table, symbol: str) -> list[Draft]:
    """Return bars whose times are ends, in the exchange's zone."""
    zone = ZoneInfo("America/New_York")
    local = np.array(table.columns["timestamp_et_bar_end"], dtype="datetime64[s]")
    hours = np.unique(local.astype("datetime64[h]"))
    shifts = {
        hour: int(hour.item().replace(tzinfo=zone).utcoffset().total_seconds()) for hour in hours
    }
    offset_s = np.array([shifts[hour] for hour in local.astype("datetime64[h]")], dtype=np.int64)
    ended = (local.astype(np.int64) - offset_s) * S
    opened = {**table.columns, "opened": (ended - _interval_s(ended) * S).astype("datetime64[ns]")}
    read = bars("opened", "open high low close volume", column="instrument")
    return read(Table(table.path, opened), symbol)


def daily_closes(table: Table, _symbol: str) -> list[Draft]:
    """Return a bar per day and column, open, high and low at the close."""
    times = table.times("Date")
    drafts = []
    for name in (name for name in table.columns if name != "Date"):
        prices = table.floats(name)
        at = np.flatnonzero(np.isfinite(prices))
        cells = dict.fromkeys(("open", "high", "low", "close"), prices)
        shown = Table(table.path, {**cells, "opened": times.astype("datetime64[ns]")})
        drafts.append(
            _bar_draft(shown, name.upper(), times, at, ["open", "high", "low", "close", "volume"])
        )
    return [_daily(draft) for draft in drafts]


def daily_bars(table: Table, symbol: str) -> list[Draft]:
    """Return bars of a day, received when it has ended."""
    drafts = bars("Date", "Open High Low Close Volume")(table, symbol)
    return [_daily(draft) for draft in drafts]


def _daily(draft: Draft) -> Draft:
    seconds = np.full(len(draft.venue_ns), DAY_S)
    ended = draft.venue_ns + DAY_S * S
    return draft._replace(receive_ns=ended, plain={**draft.plain, "aux": seconds})


def funding_rows(table: Table, symbol: str) -> list[Draft]:
    """Return funding rates: a time and a rate, without a head."""
    times = table.times("column_0")
    return [_marks(symbol, times, table.floats("column_1"), "funding")]
