"""Streams a tape does not hold, made from its trades and quotes: aggTrade, kline, markPrice.

Partial depth and mini tickers come from the same state. Cadences run on venue time.
"""

from __future__ import annotations

import orjson

from exchange.book import BUY, SELL
from exchange.candles import DAY_MS, Candle, CandleSeries, opened
from exchange.events import Fields
from exchange.history import HISTORY_CAPACITY, AggText, TradeHistory
from exchange.listing import Listing
from exchange.market_arrays import day_row, mark_array
from exchange.marks import is_silent, mark_of, mark_row
from exchange.matching import Market
from exchange.streams import (
    AGG_TRADE,
    CONTINUOUS_KLINE,
    INTERVAL_MS,
    KLINE,
    MARK_ARRAY,
    MARK_PRICE,
    MINI_ARRAY,
    MINI_TICKER,
    PARTIAL_DEPTH,
    TOLD_PERIOD,
    Hub,
    StreamKey,
)
from exchange.symbols import money_text

AGG_TRADE_WINDOW_MS = 100
KLINE_PERIOD_MS = 250
MINI_TICKER_PERIOD_MS = 2_000
MINI_ARRAY_PERIOD_MS = 1_000

_NAME_OF_INTERVAL = {ms: name for name, ms in INTERVAL_MS.items()}


class DerivedStreams:
    """Aggregates per instrument and when each is due."""

    def __init__(
        self, markets: list[Market], hub: Hub, history_capacity: int = HISTORY_CAPACITY
    ) -> None:
        """Start without any trade seen."""
        self._markets = markets
        self._hub = hub
        self.series = [CandleSeries(market.spec) for market in markets]
        self.variants: list[Listing] = []
        self.history = TradeHistory(len(markets), history_capacity)
        self._agg_texts = [AggText(market.spec) for market in markets]
        self._pending_agg: dict[int, list[int]] = {}
        self._last_agg_id = [0] * len(markets)
        self._due_ms: dict[StreamKey, int] = {}
        self._next_agg_ms = 0
        self._next_check_ms = 0

    def on_trade(self, index: int, fields: Fields) -> None:
        """Take one public trade."""
        closed = self.series[index].add_trade(fields)
        if closed and self._hub.cold:
            for candle in closed:
                self._emit_kline(index, candle, fields[5], closed=True)
        # Whoever listens: ids must tell what was missed.
        self._aggregate(index, fields)

    def roll(self, index: int, now_ms: int) -> None:
        """Close bars whose time is over, and tell who listens."""
        for candle in self.series[index].roll(now_ms):
            self._emit_kline(index, candle, now_ms, closed=True)

    def _aggregate(self, index: int, fields: Fields) -> None:
        price, qty, buyer_is_maker, trade_id, trade_ms, event_ms = fields
        pending = self._pending_agg.get(index)
        if pending is not None:
            same = pending[0] == price and bool(pending[2]) == buyer_is_maker
            if same and trade_ms - pending[5] < AGG_TRADE_WINDOW_MS:
                pending[1] += qty
                pending[4] = trade_id
                pending[6] = event_ms
                return
            self._emit_agg(index, pending)
        self._pending_agg[index] = [
            price, qty, int(buyer_is_maker), trade_id, trade_id, trade_ms, event_ms
        ]  # fmt: skip

    def _emit_agg(self, index: int, pending: list[int]) -> None:
        price, qty, buyer_is_maker, first_id, last_id, trade_ms, event_ms = pending
        agg_id = self._last_agg_id[index] = self._last_agg_id[index] + 1
        row = (agg_id, price, qty, buyer_is_maker, first_id, last_id, trade_ms)
        self.history.add(index, row)
        if not self._hub.cold.get((AGG_TRADE, index, "")):
            return
        self._hub.emit((AGG_TRADE, index, ""), self._agg_texts[index].body(row, event_ms))

    def advance(self, now_ms: int) -> None:
        """Send what is due at this venue time."""
        if now_ms >= self._next_agg_ms and self._pending_agg:
            self._next_agg_ms = now_ms + AGG_TRADE_WINDOW_MS // 4
            for index, pending in list(self._pending_agg.items()):
                if now_ms - pending[5] >= AGG_TRADE_WINDOW_MS:
                    del self._pending_agg[index]
                    self._emit_agg(index, pending)
            self.history.trim()
        if now_ms < self._next_check_ms:
            return
        self._next_check_ms = now_ms + AGG_TRADE_WINDOW_MS
        for key, outlets in self._hub.cold.items():
            if outlets and now_ms >= self._due_ms.get(key, 0):
                period_ms = self._emit_due(key, now_ms)
                self._due_ms[key] = now_ms + period_ms

    def _emit_due(self, key: StreamKey, now_ms: int) -> int:
        """Send a periodic stream; return its period (0: not periodic)."""
        kind, index, argument = key
        if kind in {KLINE, CONTINUOUS_KLINE}:
            self._advance_kline(index, INTERVAL_MS[argument], now_ms)
            return KLINE_PERIOD_MS
        if kind == MARK_PRICE:
            self._emit_mark(key, now_ms)
            return int(argument)
        if kind == PARTIAL_DEPTH:
            depth, _, period = argument.partition("@")
            self._emit_partial(key, int(depth), now_ms)
            return int(period)
        if kind == MINI_TICKER:
            self._emit_mini(key, now_ms)
            return MINI_TICKER_PERIOD_MS
        if kind == MARK_ARRAY:
            self._emit_mark_array(key, now_ms)
            return int(argument)
        if kind == MINI_ARRAY:
            self._emit_mini_array(key, now_ms)
            return MINI_ARRAY_PERIOD_MS
        return 0

    def _advance_kline(self, index: int, interval_ms: int, now_ms: int) -> None:
        series = self.series[index]
        series.want(interval_ms)
        self.roll(index, now_ms)
        running = series.running.get(interval_ms)
        if running is not None and running.changed:
            running.changed = False
            self._emit_kline(index, running, now_ms, closed=False)

    def _emit_kline(self, index: int, candle: Candle, now_ms: int, *, closed: bool) -> None:
        spec = self._markets[index].spec
        interval = _NAME_OF_INTERVAL[candle.interval_ms]
        bar: dict[str, object] = {
            "t": candle.open_ms,
            "T": candle.close_ms,
            "s": spec.symbol,
            "i": interval,
            "f": candle.first_id,
            "L": candle.last_id,
            "o": spec.price_text(candle.open),
            "c": spec.price_text(candle.close),
            "h": spec.price_text(candle.high),
            "l": spec.price_text(candle.low),
            "v": spec.qty_text(candle.qty),
            "n": candle.count,
            "x": closed,
            "q": money_text(candle.quote),
            "V": spec.qty_text(candle.taker_buy_qty),
            "Q": money_text(candle.taker_buy_quote),
            "B": "0",
        }
        body = {"e": "kline", "E": now_ms, "s": spec.symbol, "k": bar}
        if self._hub.cold.get((KLINE, index, interval)):
            self._hub.emit((KLINE, index, interval), orjson.dumps(body))
        if self._hub.cold.get((CONTINUOUS_KLINE, index, interval)):
            del bar["s"]
            other = {"e": "continuous_kline", "E": now_ms, "ps": spec.symbol, "ct": "PERPETUAL"}
            self._hub.emit((CONTINUOUS_KLINE, index, interval), orjson.dumps({**other, "k": bar}))

    def _emit_mark(self, key: StreamKey, now_ms: int) -> None:
        market = self._markets[key[1]]
        if is_silent(market) or (market.tells_marks and key[2] == TOLD_PERIOD):
            return
        row = mark_row(market.spec.symbol, mark_of(market, now_ms), now_ms)
        self._hub.emit(key, orjson.dumps(row))

    def _emit_mark_array(self, key: StreamKey, now_ms: int) -> None:
        self._hub.emit(key, orjson.dumps(mark_array(self._markets, self.variants, now_ms)))

    def _emit_partial(self, key: StreamKey, depth: int, now_ms: int) -> None:
        market = self._markets[key[1]]
        book, spec = market.book, market.spec
        if not book.synced:
            return
        sides = [
            [[spec.price_text(p), spec.qty_text(q)] for p, q in book.levels(side)[:depth]]
            for side in (BUY, SELL)
        ]
        update_id = max(book.update_id, book.quote[0])
        body = {
            "e": "depthUpdate",
            "E": now_ms,
            "T": now_ms,
            "s": spec.symbol,
            "U": update_id,
            "u": update_id,
            "pu": update_id - 1,
            "b": sides[0],
            "a": sides[1],
        }
        self._hub.emit(key, orjson.dumps(body))

    def _emit_mini(self, key: StreamKey, now_ms: int) -> None:
        day = self.day_summary(key[1])
        if day is not None:
            body = day_row(self._markets[key[1]].spec, day, now_ms)
            self._hub.emit(key, orjson.dumps(body))

    def _emit_mini_array(self, key: StreamKey, now_ms: int) -> None:
        days = [self.day_summary(market.index) for market in self._markets]
        rows = [
            day_row(market.spec, day, now_ms)
            for market, day in zip(self._markets, days, strict=True)
            if day is not None
        ]
        self._hub.emit(key, orjson.dumps(rows))

    def day_summary(self, index: int) -> Candle | None:
        """Return yesterday and all known minutes as one bar, or None when nothing is known."""
        day = self.series[index].day()
        yesterday = self._markets[index].listing.yesterday
        if not yesterday.price:
            return day
        if day is None:
            day = opened(0, DAY_MS, yesterday.price)
        day.open = yesterday.price
        day.high, day.low = max(day.high, yesterday.price), min(day.low, yesterday.price)
        day.qty += yesterday.qty
        day.quote += yesterday.quote
        day.count += yesterday.count
        return day
