"""Time bars from recorded trades against the klines the venue published of the same trades.

What may differ is listed in docs/bars.md: klines count single trades, our bars the aggregated ones
they are made of, and a kline may already hold a trade whose aggregate is not published yet.
"""

import gzip
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from engine.domain.bar_close import close_due_bars
from engine.domain.bars import apply_trade_to_bar, next_close
from engine.domain.market_state import NEVER_NS, create_market_state
from engine.domain.strategy_table import select_rows
from tests.builders import make_instruments

MS = 1_000_000
HOUR_MS = 3_600_000
PRICE_SCALE, QTY_SCALE = 10**8, 10**8
NAMES = ("open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots", "buy_lots")
KLINE_FIELDS = ("o", "h", "l", "c", "v", "V")
MIDNIGHT_MS = 1_723_161_600_000  # 2024-08-09 UTC


class Trade(NamedTuple):
    """A recorded trade, or several at one price as the venue publishes them together."""

    time_ms: int
    price: int
    qty: int
    is_buy: bool
    first_id: int
    last_id: int


def scaled(text: str, scale: int) -> int:
    return int(Decimal(text) * scale)


def trade_of(frame: dict[str, Any]) -> Trade:
    first, last = (frame["t"],) * 2 if frame["e"] == "trade" else (frame["f"], frame["l"])
    price, qty = scaled(frame["p"], PRICE_SCALE), scaled(frame["q"], QTY_SCALE)
    return Trade(frame["T"], price, qty, not frame["m"], first, last)


class OneBar:
    """The brain's bars of one timeframe, fed with trades alone."""

    def __init__(self, timeframe_s: int) -> None:
        """Start without a bar."""
        rows = select_rows(["quote_imbalance"])
        self.market = create_market_state(make_instruments(1), rows, (1, timeframe_s))
        self.timeframe_ns = timeframe_s * 1_000 * MS

    def add(self, trades: Iterable[Trade]) -> None:
        """Take trades in their order."""
        market = self.market
        for trade in trades:
            at_ns = trade.time_ms * MS
            if at_ns >= market.hot["next_close_ns"][0]:
                close_due_bars(market, 0, at_ns)
            bar = market.forming[0, 1]
            apply_trade_to_bar(bar, self.timeframe_ns, at_ns, trade.price, trade.qty, trade.is_buy)
            due_ns = next_close(market.forming, market.timeframes_ns, 0, NEVER_NS)
            market.hot["next_close_ns"][0] = due_ns

    @property
    def forming(self) -> dict[str, int]:
        """What the open bar holds."""
        return {name: int(self.market.forming[name][0, 1]) for name in NAMES}


def frames_of(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        starts = ((line, line.find('{"stream"')) for line in lines)
        return [json.loads(line[at:])["data"] for line, at in starts if at >= 0]


def kline_words(kline: dict[str, Any]) -> dict[str, int]:
    scales = (*[PRICE_SCALE] * 4, *[QTY_SCALE] * 2)
    pairs = zip(NAMES, KLINE_FIELDS, scales, strict=True)
    return {name: scaled(kline[field], scale) for name, field, scale in pairs}


@pytest.fixture(scope="module")
def recorded(shared_data: Path) -> tuple[dict[str, list[Trade]], list[tuple[str, dict[str, Any]]]]:
    """Return the trades by symbol, and every reading of a minute's kline, in order."""
    trades: dict[str, list[Trade]] = defaultdict(list)
    readings = []
    for frame in frames_of(shared_data / "cryptofeed" / "BINANCE_FUTURES.ws.1.0.gz"):
        if frame["e"] == "aggTrade":
            trades[frame["s"]].append(trade_of(frame))
        elif frame["e"] == "kline":
            readings.append((frame["s"], frame["k"]))
    return trades, readings


def test_open_bars_equal_every_reading_of_the_venues_kline(
    recorded: tuple[dict[str, list[Trade]], list[tuple[str, dict[str, Any]]]],
) -> None:
    """Of the minute that the recording saw from its beginning."""
    trades, readings = recorded
    compared = unpublished = 0
    for symbol, kline in readings:
        mine = [t for t in trades[symbol] if t.time_ms >= kline["t"] and t.last_id <= kline["L"]]
        if kline["t"] < trades[symbol][0].time_ms:
            continue
        if not mine or (mine[0].first_id, mine[-1].last_id) != (kline["f"], kline["L"]):
            unpublished += 1
            continue
        bar = OneBar(60)
        bar.add(mine)
        assert bar.forming == kline_words(kline)
        assert bar.market.forming["start_ns"][0, 1] == kline["t"] * MS
        assert sum(t.last_id - t.first_id + 1 for t in mine) == kline["n"]
        compared += 1
    assert (compared, unpublished) == (15, 6)


def test_what_is_added_between_two_readings_of_a_kline_is_what_our_bar_added(
    recorded: tuple[dict[str, list[Trade]], list[tuple[str, dict[str, Any]]]],
) -> None:
    """Of the minute before, of which the recording saw the end, up to its final reading."""
    trades, readings = recorded
    final = 0
    for symbol, seen in trades.items():
        ends = {trade.last_id for trade in seen}
        klines = [k for s, k in readings if s == symbol and k["L"] in ends]
        minute = [k for k in klines if k["t"] == klines[0]["t"]]
        for before, after in itertools.pairwise(minute):
            bar = OneBar(60)
            bar.add(t for t in seen if before["L"] < t.last_id <= after["L"])
            for name in ("volume_lots", "buy_lots"):
                added = kline_words(after)[name] - kline_words(before)[name]
                assert bar.forming[name] == added, (symbol, name)
            if after["L"] > before["L"]:
                assert bar.forming["close_ticks"] == kline_words(after)["close_ticks"]
            final += after["x"]
    assert final >= 3


@pytest.mark.parametrize("symbol", ["btcusdt", "ethusdt"])
def test_an_hour_ends_and_begins_at_the_trades_the_venues_klines_say(
    symbol: str, shared_data: Path
) -> None:
    """The five minutes before and after midnight were recorded trade by trade."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    name = "muthebug_binance_spot_1h_btc_eth_2024-06_2026-05.parquet"
    rows = parquet.read_table(shared_data / "klines" / name).to_pylist()
    hours = {
        int(row["ts_utc"].timestamp() * 1_000): row
        for row in rows
        if row["symbol"] == symbol.upper()
    }
    bar = OneBar(HOUR_MS // 1_000)
    for day in ("20240808", "20240809"):
        frames = frames_of(shared_data / "hftbacktest" / f"spot_{symbol}_{day}.gz")
        bar.add(trade_of(frame) for frame in frames if frame.get("e") == "trade")
    assert bar.market.closed_count[0, 1] == 1
    closed = bar.market.closed[0, 1, 0]
    assert closed["start_ns"] == (MIDNIGHT_MS - HOUR_MS) * MS
    assert closed["close_ticks"] == round(hours[MIDNIGHT_MS - HOUR_MS]["close"] * PRICE_SCALE)
    assert bar.forming["open_ticks"] == round(hours[MIDNIGHT_MS]["open"] * PRICE_SCALE)
    assert closed["high_ticks"] <= round(hours[MIDNIGHT_MS - HOUR_MS]["high"] * PRICE_SCALE)
