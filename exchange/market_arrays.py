"""Payloads that tell of a market's price or day, alone and in the arrays of all markets.

The arrays carry both product families since their merge: with variants listed, contracts of the
other family stand among the rows, told apart by `st` alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from exchange.book import BUY, SELL
from exchange.candles import Candle
from exchange.listing import Listing
from exchange.matching import Market
from exchange.symbols import MONEY_DECIMALS, SymbolSpec, format_units, money_text

FUNDING_PERIOD_MS = 28_800_000
FUNDING_RATE = "0.00010000"
USD_M = 1

Row = dict[str, object]


def mark_text(market: Market) -> str:
    """Return the mark price with eight decimals, exactly."""
    scale = 10 ** (MONEY_DECIMALS - market.spec.price_decimals)
    bid, ask = market.book.best(BUY), market.book.best(SELL)
    if bid and ask:
        return format_units((bid + ask) * scale // 2, MONEY_DECIMALS)
    return format_units(market.mark_price() * scale, MONEY_DECIMALS)


def next_funding_ms(now_ms: int) -> int:
    """Return when the next funding would be due; this venue charges none."""
    return now_ms - now_ms % FUNDING_PERIOD_MS + FUNDING_PERIOD_MS


def mark_row(symbol: str, mark: str, now_ms: int, family: int = USD_M) -> Row:
    """Return a mark price update; the index equals the mark here."""
    return {
        "e": "markPriceUpdate",
        "E": now_ms,
        "s": symbol,
        "p": mark,
        "ap": mark,
        "i": mark,
        "P": mark,
        "r": FUNDING_RATE,
        "T": next_funding_ms(now_ms),
        "st": family,
    }


def day_row(spec: SymbolSpec, day: Candle, now_ms: int, family: int = USD_M) -> Row:
    """Return a mini ticker."""
    return {
        "e": "24hrMiniTicker",
        "E": now_ms,
        "s": spec.symbol,
        "c": spec.price_text(day.close),
        "o": spec.price_text(day.open),
        "h": spec.price_text(day.high),
        "l": spec.price_text(day.low),
        "v": spec.qty_text(day.qty),
        "q": money_text(day.quote),
        "st": family,
    }


def mark_array(markets: Iterable[Market], variants: Iterable[Listing], now_ms: int) -> list[Row]:
    """Return the mark prices of all markets, and of contracts of the other family."""
    rows = [
        mark_row(market.spec.symbol, mark_text(market), now_ms)
        for market in markets
        if market.mark_price()
    ]
    for one in variants:
        if one.family != USD_M:
            scale = 10 ** (MONEY_DECIMALS - one.spec.price_decimals)
            mark = format_units(one.yesterday.price * scale, MONEY_DECIMALS)
            rows.append(mark_row(one.spec.symbol, mark, now_ms, one.family))
    return rows
