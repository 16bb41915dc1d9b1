"""Public market requests: time, symbols, book, trades of the past, prices."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from exchange.book import BUY, SELL
from exchange.candles import Candle, opened
from exchange.errors import ApiError
from exchange.filters import required
from exchange.listing import Listing
from exchange.marks import FUNDING_RATE_E8, mark_of, open_lots
from exchange.matching import Market
from exchange.rest import OPEN, Api, Call, Route, RouteTable, integer
from exchange.symbols import MAX_OPEN_ORDERS, SymbolSpec, format_units, is_whole, money_text

DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
ONBOARD_MS = 1_569_398_400_000
DAY_MS = 86_400_000
PERCENT_SCALE = 100


def ping(_api: Api, _call: Call) -> object:
    """Answer that we are here."""
    return {}


def server_time(api: Api, _call: Call) -> object:
    """Answer the venue time, as requests are judged by it."""
    skew_ms = 0 if api.skew_hidden else api.skew_ms
    return {"serverTime": api.venue.clock.now_ms() + skew_ms}


def symbol_view(spec: SymbolSpec, listing: Listing) -> dict[str, object]:
    """Return a symbol as exchangeInfo describes it."""
    family = {"st": listing.family} if listing.family else {}
    return {
        "symbol": spec.symbol,
        "pair": listing.pair,
        **family,
        "contractType": listing.contract_type,
        "deliveryDate": listing.delivery_ms,
        "onboardDate": ONBOARD_MS,
        "status": listing.status,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": listing.base,
        "quoteAsset": listing.quote,
        "marginAsset": listing.margin,
        "pricePrecision": spec.price_decimals,
        "quantityPrecision": spec.qty_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": _filters_view(spec),
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def _filters_view(spec: SymbolSpec) -> list[dict[str, object]]:
    price, qty = spec.price_text, spec.qty_text
    lot = {"minQty": qty(spec.min_qty), "stepSize": qty(spec.step)}
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": price(spec.min_price),
            "maxPrice": price(spec.max_price),
            "tickSize": price(spec.tick),
        },
        {"filterType": "LOT_SIZE", "maxQty": qty(spec.max_qty), **lot},
        {"filterType": "MARKET_LOT_SIZE", "maxQty": qty(spec.market_max_qty), **lot},
        {"filterType": "MAX_NUM_ORDERS", "limit": MAX_OPEN_ORDERS},
        {"filterType": "MIN_NOTIONAL", "notional": _notional_text(spec)},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": "1.0500",
            "multiplierDown": "0.9500",
            "multiplierDecimal": "4",
        },
    ]


def _notional_text(spec: SymbolSpec) -> str:
    return money_text(spec.min_notional).rstrip("0").rstrip(".")


def _listings(api: Api) -> list[tuple[SymbolSpec, Listing]]:
    """Return what exchangeInfo names: markets that are listed, then the variants."""
    markets = [(market.spec, market.listing) for market in api.venue.markets.values()]
    every = [*markets, *((listing.spec, listing) for listing in api.venue.variants)]
    return [(spec, listing) for spec, listing in every if listing.listed]


def exchange_info(api: Api, _call: Call) -> object:
    """Answer symbols, filters and limits."""
    return {
        "timezone": "UTC",
        "serverTime": api.venue.clock.now_ms(),
        "futuresType": "U_MARGINED",
        "rateLimits": api.budgets.limits.view(),
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [symbol_view(spec, listing) for spec, listing in _listings(api)],
    }


def spot_exchange_info(api: Api, _call: Call) -> object:
    """Answer the little a futures client asks the spot host for."""
    return {
        "timezone": "UTC",
        "serverTime": api.venue.clock.now_ms(),
        "rateLimits": api.budgets.limits.view(),
        "exchangeFilters": [],
        "symbols": [],
    }


def depth(api: Api, call: Call) -> object:
    """Answer a book snapshot; 503 before the market has one."""
    market = api.venue.market(required(call.params, "symbol"))
    limit = integer(call.params, "limit", 500, 1, 1000)
    if limit not in DEPTH_LIMITS:
        raise ApiError(-1102, f"Parameter 'limit' must be one of {DEPTH_LIMITS}.")
    if not market.book.synced:
        raise ApiError(-1001, "Service Unavailable.", status=503)
    return depth_view(market, limit, api.venue.clock.now_ms())


def depth_view(market: Market, limit: int, now_ms: int) -> dict[str, Any]:
    """Return the snapshot of a synced book, cut to `limit` levels a side."""
    book, spec = market.book, market.spec
    bids = heapq.nlargest(limit, book.bids.items())
    asks = heapq.nsmallest(limit, book.asks.items())
    return {
        "lastUpdateId": book.update_id,
        "E": now_ms,
        "T": now_ms,
        "bids": [[spec.price_text(p), spec.qty_text(q)] for p, q in bids],
        "asks": [[spec.price_text(p), spec.qty_text(q)] for p, q in asks],
    }


def depth_weight(params: dict[str, str]) -> int:
    """Return what a snapshot costs by its limit."""
    text = params.get("limit", "500")
    limit = int(text) if is_whole(text) else 500
    if limit <= 50:
        return 2
    return {100: 5, 500: 10}.get(limit, 20)


def _per_symbol(api: Api, call: Call, view: Callable[[Api, Market], dict[str, object]]) -> object:
    symbol = call.params.get("symbol")
    if symbol:
        return view(api, api.venue.market(symbol))
    return [view(api, market) for market in api.venue.markets.values()]


def premium_index(api: Api, call: Call) -> object:
    """Answer mark prices: those a tape tells, else derived ones with the index equal."""
    return _per_symbol(api, call, _premium_view)


def _premium_view(api: Api, market: Market) -> dict[str, object]:
    now_ms = api.venue.clock.now_ms()
    mark = mark_of(market, now_ms)
    return {
        "symbol": market.spec.symbol,
        "markPrice": money_text(mark.price_e8),
        "indexPrice": money_text(mark.index_e8),
        "estimatedSettlePrice": money_text(mark.price_e8),
        "lastFundingRate": money_text(mark.rate_e8),
        "interestRate": money_text(FUNDING_RATE_E8),
        "nextFundingTime": mark.next_funding_ms,
        "time": now_ms,
    }


def ticker_day(api: Api, call: Call) -> object:
    """Answer what is known of the last 24 hours, of symbols that trade nothing here too."""
    now_ms = api.venue.clock.now_ms()
    variants = [variant_day(one, now_ms) for one in api.venue.variants]
    symbol = call.params.get("symbol")
    for row in variants:
        if row["symbol"] == symbol:
            return row
    found = _per_symbol(api, call, _day_view)
    return [*found, *variants] if isinstance(found, list) else found


def variant_day(listing: Listing, now_ms: int) -> dict[str, object]:
    """Return the day of a symbol that only stands in exchangeInfo."""
    yesterday = listing.yesterday
    day = opened(now_ms - DAY_MS, DAY_MS, yesterday.price)
    day.qty, day.quote, day.count = yesterday.qty, yesterday.quote, yesterday.count
    return _day_row(listing.spec, day, yesterday.price, now_ms)


def _day_view(api: Api, market: Market) -> dict[str, object]:
    day = api.derived.day_summary(market.index)
    return _day_row(market.spec, day, market.mark_price(), api.venue.clock.now_ms())


def _day_row(spec: SymbolSpec, day: Candle | None, mark: int, now_ms: int) -> dict[str, object]:
    prices = (day.open, day.high, day.low, day.close) if day else (mark,) * 4
    qty, quote = (day.qty, day.quote) if day else (0, 0)
    change = prices[3] - prices[0]
    hundredths = change * PERCENT_SCALE * 1000 // prices[0] if prices[0] else 0
    average = quote * 10**spec.qty_decimals // qty if qty else 0
    return {
        "symbol": spec.symbol,
        "priceChange": spec.price_text(change),
        "priceChangePercent": format_units(hundredths, 3),
        "weightedAvgPrice": money_text(average),
        "lastPrice": spec.price_text(prices[3]),
        "lastQty": spec.qty_text(0),
        "openPrice": spec.price_text(prices[0]),
        "highPrice": spec.price_text(prices[1]),
        "lowPrice": spec.price_text(prices[2]),
        "volume": spec.qty_text(qty),
        "quoteVolume": money_text(quote),
        "openTime": day.open_ms if day else now_ms,
        "closeTime": now_ms,
        "firstId": day.first_id if day else -1,
        "lastId": day.last_id if day else -1,
        "count": day.count if day else 0,
    }


def open_interest(api: Api, call: Call) -> object:
    """Answer how much is open: a crowd's that swells and shrinks by the hour."""
    market = api.venue.market(required(call.params, "symbol"))
    now_ms = api.venue.clock.now_ms()
    return {
        "openInterest": market.spec.qty_text(open_lots(now_ms)),
        "symbol": market.spec.symbol,
        "time": now_ms,
    }


def ticker_price(api: Api, call: Call) -> object:
    """Answer last prices."""
    return _per_symbol(api, call, _price_view)


def _price_view(api: Api, market: Market) -> dict[str, object]:
    price = market.last_price or market.mark_price()
    return {
        "symbol": market.spec.symbol,
        "price": market.spec.price_text(price),
        "time": api.venue.clock.now_ms(),
    }


def ticker_book(api: Api, call: Call) -> object:
    """Answer best quotes."""
    return _per_symbol(api, call, _book_view)


def _book_view(api: Api, market: Market) -> dict[str, object]:
    spec, book = market.spec, market.book
    bid, ask = book.best(BUY), book.best(SELL)
    return {
        "symbol": spec.symbol,
        "bidPrice": spec.price_text(bid),
        "bidQty": spec.qty_text(book.displayed(BUY, bid)),
        "askPrice": spec.price_text(ask),
        "askQty": spec.qty_text(book.displayed(SELL, ask)),
        "time": api.venue.clock.now_ms(),
        "lastUpdateId": max(book.update_id, book.quote[0]),
    }


def _weight_unless_symbol(one: int, everything: int) -> Callable[[dict[str, str]], int]:
    return lambda params: one if params.get("symbol") else everything


def market_routes() -> RouteTable:
    """Return the table of public requests."""
    rows = (
        ("/fapi/v1/ping", 1, ping),
        ("/fapi/v1/time", 1, server_time),
        ("/fapi/v1/exchangeInfo", 1, exchange_info),
        ("/fapi/v1/depth", depth_weight, depth),
        ("/fapi/v1/premiumIndex", 1, premium_index),
        ("/fapi/v1/openInterest", 1, open_interest),
        ("/fapi/v1/ticker/24hr", _weight_unless_symbol(1, 40), ticker_day),
        ("/fapi/v1/ticker/price", _weight_unless_symbol(1, 2), ticker_price),
        ("/fapi/v2/ticker/price", _weight_unless_symbol(1, 2), ticker_price),
        ("/fapi/v1/ticker/bookTicker", _weight_unless_symbol(2, 5), ticker_book),
        ("/api/v3/ping", 1, ping),
        ("/api/v3/time", 1, server_time),
        ("/api/v3/exchangeInfo", 1, spot_exchange_info),
    )
    return {("GET", path): Route(OPEN, weight, answer) for path, weight, answer in rows}
