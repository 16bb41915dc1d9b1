"""Which instruments a run takes when it was given none by name: the most traded ones.

        exchangeInfo -> active perpetual USDT pairs of this product family, not about to end
        24 h ticker  -> ranked by quote volume, the most traded first

The ticker of all symbols costs DAY_TICKER_WEIGHT and is asked for only where the minute has room
for it. Steps and filters always come from exchangeInfo: the fallback list names pairs, it does not
replace the venue's answer, because without filters no order can be formed.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

import msgspec

from engine.venues.binance.exchange_info import USD_M, ExchangeInfo, SymbolRow, ends_soon
from engine.venues.venue import ProtocolError

DAY_TICKER_PATH: Final = "/fapi/v1/ticker/24hr"
DAY_TICKER_WEIGHT: Final = 40  # of all symbols at once
WEIGHT_LIMIT: Final = 2_400  # a minute, where the venue states none
WEIGHT_SHARE: Final = 0.5  # of the minute; books need the rest
QUOTE: Final = "USDT"

# When the ranking cannot be had: pairs that have stood among the most traded for years.
FALLBACK: Final = (
    "BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "BNBUSDT", "DOGEUSDT", "ADAUSDT", "AVAXUSDT",
    "LINKUSDT", "DOTUSDT", "LTCUSDT", "BCHUSDT", "TRXUSDT", "UNIUSDT", "NEARUSDT", "SUIUSDT",
    "FILUSDT", "ETCUSDT", "ATOMUSDT", "APTUSDT",
)  # fmt: skip


class _DayRow(msgspec.Struct):
    symbol: str
    quoteVolume: str | float | None = None  # noqa: N815  the venue's spelling


_DAY_ROWS = msgspec.json.Decoder(list[_DayRow])


def parse_day_volumes(body: bytes) -> dict[str, Decimal]:
    """Return quote volume by symbol; a volume that is no amount is left out.

    Raises:
        ProtocolError: not the answer for all symbols.
    """
    try:
        rows = _DAY_ROWS.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolError(f"24 h ticker: {error}") from error
    volumes: dict[str, Decimal] = {}
    for row in rows:
        try:
            volume = Decimal(str(row.quoteVolume))
        except InvalidOperation:
            continue
        if volume.is_finite() and volume >= 0:
            volumes[row.symbol] = volume
    return volumes


def is_active_pair(row: SymbolRow, now_ns: int) -> bool:
    """Return whether a row is a perpetual USDT pair that trades and is not about to end."""
    return (
        row.status == "TRADING"
        and row.contractType == "PERPETUAL"
        and row.quoteAsset == row.marginAsset == QUOTE
        and row.st in USD_M
        and not ends_soon(row, now_ns)
    )


def rank_by_volume(info: ExchangeInfo, volumes: Mapping[str, Decimal], now_ns: int) -> list[str]:
    """Return every active pair that has a volume, the most traded first; ties by name."""
    active = [row.symbol for row in info.symbols if is_active_pair(row, now_ns)]
    ranked = sorted((-volumes[symbol], symbol) for symbol in active if symbol in volumes)
    return [symbol for _, symbol in ranked]


def weight_limit(info: ExchangeInfo) -> int:
    """Return the request weight the venue allows a minute."""
    for limit in info.rateLimits:
        is_minute = (limit.interval, limit.intervalNum) == ("MINUTE", 1)
        if limit.rateLimitType == "REQUEST_WEIGHT" and is_minute:
            return limit.limit
    return WEIGHT_LIMIT
