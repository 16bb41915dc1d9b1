"""Mark prices, told by a source or derived from the book, and liquidations: their payloads.

A tape that holds marks tells them: price, index, funding rate and next funding as recorded. For
every other market the mark is the middle of its book, the index equals it, and nobody pays funding.
How much is open follows the clock alone: tapes do not hold it.
"""

from __future__ import annotations

import math

import orjson

from exchange.book import BUY, SELL
from exchange.events import Event, Liquidation, Mark
from exchange.matching import Market
from exchange.symbols import MONEY_DECIMALS, SymbolSpec, money_text

FUNDING_PERIOD_MS = 28_800_000
FUNDING_RATE_E8 = 10_000
OPEN_LOTS = 80_000_000
OPEN_PERIOD_MS = 7_200_000
USD_M = 1

Row = dict[str, object]


def next_funding_ms(now_ms: int) -> int:
    """Return when the next funding would be due; this venue charges none."""
    return now_ms - now_ms % FUNDING_PERIOD_MS + FUNDING_PERIOD_MS


def open_lots(now_ms: int) -> int:
    """Return how much of a symbol its crowd holds open: a fiftieth more and less over two hours."""
    return round(OPEN_LOTS * (1.0 + math.sin(now_ms / OPEN_PERIOD_MS * math.tau) / 50.0))


def mark_of(market: Market, now_ms: int) -> Mark:
    """Return the mark that a market's source told last, else the one derived from its book."""
    if market.told_mark is not None:
        return market.told_mark
    scale = 10 ** (MONEY_DECIMALS - market.spec.price_decimals)
    bid, ask = market.book.best(BUY), market.book.best(SELL)
    price_e8 = (bid + ask) * scale // 2 if bid and ask else market.mark_price() * scale
    return Mark(price_e8, price_e8, FUNDING_RATE_E8, next_funding_ms(now_ms))


def is_silent(market: Market) -> bool:
    """Tell whether nothing can be said of a mark: no price, or the tape's own is to come."""
    return market.told_mark is None and (market.tells_marks or not market.mark_price())


def mark_row(symbol: str, mark: Mark, now_ms: int, family: int = USD_M) -> Row:
    """Return a mark price update."""
    price = money_text(mark.price_e8)
    return {
        "e": "markPriceUpdate",
        "E": now_ms,
        "s": symbol,
        "p": price,
        "ap": price,
        "i": money_text(mark.index_e8),
        "P": price,
        "r": money_text(mark.rate_e8),
        "T": mark.next_funding_ms,
        "st": family,
    }


def mark_body(spec: SymbolSpec, event: Event) -> bytes:
    """Return the payload of a MARK event."""
    mark, event_ms = event[3]
    return orjson.dumps(mark_row(spec.symbol, mark, event_ms))


def liquidation_body(spec: SymbolSpec, event: Event) -> bytes:
    """Return the payload of a LIQUIDATION event: an order that is filled whole."""
    told = Liquidation(*event[3])
    qty = spec.qty_text(told.qty)
    order = {
        "s": spec.symbol,
        "S": "BUY" if told.side == BUY else "SELL",
        "o": "LIMIT",
        "f": "IOC",
        "q": qty,
        "p": spec.price_text(told.price),
        "ap": spec.price_text(told.average_price),
        "X": "FILLED",
        "l": qty,
        "z": qty,
        "T": told.trade_ms,
    }
    return orjson.dumps({"e": "forceOrder", "E": told.event_ms, "o": order})
