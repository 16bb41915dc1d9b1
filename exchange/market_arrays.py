"""Payloads that tell of a market's price or day, alone and in the arrays of all markets.

The arrays carry both product families since their merge: with variants listed, contracts of the
other family stand among the rows, told apart by `st` alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from exchange.candles import Candle
from exchange.events import Mark
from exchange.listing import Listing
from exchange.marks import (
    FUNDING_RATE_E8,
    USD_M,
    Row,
    is_silent,
    mark_of,
    mark_row,
    next_funding_ms,
)
from exchange.matching import Market
from exchange.symbols import MONEY_DECIMALS, SymbolSpec, money_text


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
        mark_row(market.spec.symbol, mark_of(market, now_ms), now_ms)
        for market in markets
        if not is_silent(market)
    ]
    for one in variants:
        if one.family != USD_M:
            scale = 10 ** (MONEY_DECIMALS - one.spec.price_decimals)
            price_e8 = one.yesterday.price * scale
            mark = Mark(price_e8, price_e8, FUNDING_RATE_E8, next_funding_ms(now_ms))
            rows.append(mark_row(one.spec.symbol, mark, now_ms, one.family))
    return rows
