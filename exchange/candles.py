"""Bars of trades per instrument, for kline streams and REST."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from exchange.events import Fields
from exchange.symbols import SymbolSpec, money_text

HISTORY_BARS = 1_500  # one-minute bars kept per instrument: 25 hours
MINUTE_MS = 60_000
DAY_MS = 86_400_000


@dataclass(slots=True)
class Candle:
    """One bar; prices and quantities in the symbol's units, quote volumes in 1e-8 USDT."""

    open_ms: int
    interval_ms: int
    open: int
    high: int
    low: int
    close: int
    qty: int = 0
    quote: int = 0
    count: int = 0
    taker_buy_qty: int = 0
    taker_buy_quote: int = 0
    first_id: int = -1
    last_id: int = -1
    changed: bool = True

    def add(self, price: int, qty: int, quote: int, trade_id: int, *, taker_buy: bool) -> None:
        """Take one trade."""
        if self.count == 0:
            self.first_id = trade_id
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.qty += qty
        self.quote += quote
        self.count += 1
        self.last_id = trade_id
        if taker_buy:
            self.taker_buy_qty += qty
            self.taker_buy_quote += quote
        self.changed = True

    @property
    def close_ms(self) -> int:
        """Return the last millisecond of the bar."""
        return self.open_ms + self.interval_ms - 1

    def row(self, spec: SymbolSpec) -> list[object]:
        """Return the bar as a row of the klines request."""
        return [
            self.open_ms,
            spec.price_text(self.open),
            spec.price_text(self.high),
            spec.price_text(self.low),
            spec.price_text(self.close),
            spec.qty_text(self.qty),
            self.close_ms,
            money_text(self.quote),
            self.count,
            spec.qty_text(self.taker_buy_qty),
            money_text(self.taker_buy_quote),
            "0",
        ]


def opened(open_ms: int, interval_ms: int, price: int) -> Candle:
    """Return a bar without trades at a price."""
    return Candle(open_ms, interval_ms, price, price, price, price)


def merged(bars: list[Candle], interval_ms: int) -> list[Candle]:
    """Return longer bars made of one-minute bars in order of time."""
    result: list[Candle] = []
    for bar in bars:
        open_ms = bar.open_ms - bar.open_ms % interval_ms
        if not result or result[-1].open_ms != open_ms:
            target = opened(open_ms, interval_ms, bar.open)
            target.first_id = bar.first_id
            result.append(target)
        target = result[-1]
        target.high = max(target.high, bar.high)
        target.low = min(target.low, bar.low)
        target.close = bar.close
        target.qty += bar.qty
        target.quote += bar.quote
        target.count += bar.count
        target.taker_buy_qty += bar.taker_buy_qty
        target.taker_buy_quote += bar.taker_buy_quote
        target.last_id = bar.last_id
    return result


def summed(bars: list[Candle]) -> Candle | None:
    """Return bars in order of time as one, or None without any."""
    if not bars:
        return None
    total = opened(bars[0].open_ms, DAY_MS, bars[0].open)
    total.high = max(bar.high for bar in bars)
    total.low = min(bar.low for bar in bars)
    total.close = bars[-1].close
    for bar in bars:
        total.qty += bar.qty
        total.quote += bar.quote
        total.count += bar.count
    traded = [bar for bar in bars if bar.count]
    if traded:
        total.first_id, total.last_id = traded[0].first_id, traded[-1].last_id
    return total


class CandleSeries:
    """All running bars of one instrument and its closed one-minute bars."""

    def __init__(self, spec: SymbolSpec) -> None:
        """Start without any trade."""
        self.spec = spec
        self.minutes: deque[Candle] = deque(maxlen=HISTORY_BARS)
        self.running: dict[int, Candle] = {}
        self.intervals: set[int] = {MINUTE_MS}
        self._closed_day: Candle | None = None  # the closed minutes as one bar, once asked for
        self._closed_until_ms = -1  # its last minute
        self._next_close_ms = 0

    def add_trade(self, fields: Fields) -> list[Candle]:
        """Take a trade; return the bars it closed."""
        price, qty, buyer_is_maker, trade_id, trade_ms, _event_ms = fields
        closed: list[Candle] = []
        if trade_ms >= self._next_close_ms:
            closed = self.roll(trade_ms, price)
        quote = price * qty * self.spec.money_factor
        for candle in self.running.values():
            candle.add(price, qty, quote, trade_id, taker_buy=not buyer_is_maker)
        return closed

    def roll(self, now_ms: int, price: int = 0) -> list[Candle]:
        """Close bars that ended before `now_ms` and open their successors.

        Successors open at `price` when a trade brings it, else at the previous close.
        """
        closed: list[Candle] = []
        for interval_ms in self.intervals:
            candle = self.running.get(interval_ms)
            open_ms = now_ms - now_ms % interval_ms
            if candle is None:
                if price:
                    self.running[interval_ms] = opened(open_ms, interval_ms, price)
                continue
            if candle.open_ms >= open_ms:
                continue
            closed.append(candle)
            if interval_ms == MINUTE_MS:
                self.minutes.append(candle)
            self.running[interval_ms] = opened(open_ms, interval_ms, price or candle.close)
        if self.running:
            self._next_close_ms = min(candle.close_ms for candle in self.running.values()) + 1
        return closed

    def want(self, interval_ms: int) -> None:
        """Keep bars of another interval from now on, begun from the minutes known."""
        if interval_ms in self.intervals:
            return
        self.intervals.add(interval_ms)
        known = merged(self.recent_minutes(), interval_ms)
        if known:
            self.running[interval_ms] = known[-1]
            self._next_close_ms = min(self._next_close_ms, known[-1].close_ms + 1)
        else:
            self._next_close_ms = 0

    def day(self) -> Candle | None:
        """Return all known minutes as one bar, a copy, or None before the first trade."""
        until_ms = self.minutes[-1].open_ms if self.minutes else -1
        if until_ms != self._closed_until_ms:
            self._closed_until_ms = until_ms
            self._closed_day = summed(list(self.minutes))
        parts = [self._closed_day, self.running.get(MINUTE_MS)]
        return summed([part for part in parts if part is not None])

    def recent_minutes(self) -> list[Candle]:
        """Return closed one-minute bars and the running one."""
        running = self.running.get(MINUTE_MS)
        return [*self.minutes, running] if running else list(self.minutes)
