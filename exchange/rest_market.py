"""Public market requests: time, symbols, book, trades of the past, prices."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from exchange.book import BUY, SELL
from exchange.candles import merged
from exchange.derived import FUNDING_RATE, mark_text, next_funding_ms
from exchange.errors import ApiError
from exchange.filters import required
from exchange.matching import Market
from exchange.rest import OPEN, Api, Call, Route, RouteTable, integer
from exchange.streams import INTERVAL_MS
from exchange.symbols import MAX_OPEN_ORDERS, SymbolSpec, format_units, is_whole, money_text

DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
ONBOARD_MS = 1_569_398_400_000
DELIVERY_MS = 4_133_404_800_000  # perpetual: the year 2100
PERCENT_SCALE = 100


def ping(_api: Api, _call: Call) -> object:
    """Answer that we are here."""
    return {}


def server_time(api: Api, _call: Call) -> object:
    """Answer the venue time."""
    return {"serverTime": api.venue.clock.now_ms()}


def symbol_view(spec: SymbolSpec) -> dict[str, object]:
    """Return a symbol as exchangeInfo describes it."""
    base = spec.symbol.removesuffix("USDT").removesuffix("USDC")
    quote = spec.symbol[len(base) :]
    price, qty = spec.price_text, spec.qty_text
    lot = {"minQty": qty(spec.min_qty), "stepSize": qty(spec.step)}
    return {
        "symbol": spec.symbol,
        "pair": spec.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": DELIVERY_MS,
        "onboardDate": ONBOARD_MS,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": quote,
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
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": price(spec.min_price),
                "maxPrice": price(spec.max_price),
                "tickSize": price(spec.tick),
            },
            {"filterType": "LOT_SIZE", "maxQty": qty(spec.max_qty), **lot},
            {"filterType": "MARKET_LOT_SIZE", "maxQty": qty(spec.market_max_qty), **lot},
            {"filterType": "MAX_NUM_ORDERS", "limit": MAX_OPEN_ORDERS},
            {"filterType": "MIN_NOTIONAL", "notional": str(spec.min_notional // 10**8)},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.0500",
                "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def exchange_info(api: Api, _call: Call) -> object:
    """Answer symbols, filters and limits."""
    return {
        "timezone": "UTC",
        "serverTime": api.venue.clock.now_ms(),
        "futuresType": "U_MARGINED",
        "rateLimits": api.budgets.limits.view(),
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [symbol_view(market.spec) for market in api.venue.markets.values()],
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
    book, spec = market.book, market.spec
    if not book.synced:
        raise ApiError(-1001, "Service Unavailable.", status=503)
    bids = heapq.nlargest(limit, book.bids.items())
    asks = heapq.nsmallest(limit, book.asks.items())
    now_ms = api.venue.clock.now_ms()
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


def klines(api: Api, call: Call) -> object:
    """Answer bars derived from the trades played so far."""
    market = api.venue.market(required(call.params, "symbol"))
    interval = required(call.params, "interval")
    if interval not in INTERVAL_MS:
        raise ApiError(-1102, "Invalid interval.")
    limit = integer(call.params, "limit", 500, 1, 1500)
    series = api.derived.series[market.index]
    if market.mark_price():
        series.roll(api.venue.clock.now_ms())
    start_ms = integer(call.params, "startTime", 0, 0, 2**53)
    end_ms = integer(call.params, "endTime", 2**53, 0, 2**53)
    bars = merged(series.recent_minutes(), INTERVAL_MS[interval])
    chosen = [bar for bar in bars if start_ms <= bar.open_ms <= end_ms]
    return [bar.row(market.spec) for bar in chosen[-limit:]]


def klines_weight(params: dict[str, str]) -> int:
    """Return what a bar request costs by its limit."""
    text = params.get("limit", "500")
    limit = int(text) if is_whole(text) else 500
    for bound, weight in ((100, 1), (500, 2), (1000, 5)):
        if limit < bound:
            return weight
    return 10


def _per_symbol(api: Api, call: Call, view: Callable[[Api, Market], dict[str, object]]) -> object:
    symbol = call.params.get("symbol")
    if symbol:
        return view(api, api.venue.market(symbol))
    return [view(api, market) for market in api.venue.markets.values()]


def premium_index(api: Api, call: Call) -> object:
    """Answer mark prices; the index equals the mark here."""
    return _per_symbol(api, call, _premium_view)


def _premium_view(api: Api, market: Market) -> dict[str, object]:
    now_ms, mark = api.venue.clock.now_ms(), mark_text(market)
    return {
        "symbol": market.spec.symbol,
        "markPrice": mark,
        "indexPrice": mark,
        "estimatedSettlePrice": mark,
        "lastFundingRate": FUNDING_RATE,
        "interestRate": FUNDING_RATE,
        "nextFundingTime": next_funding_ms(now_ms),
        "time": now_ms,
    }


def ticker_day(api: Api, call: Call) -> object:
    """Answer what is known of the last 24 hours."""
    return _per_symbol(api, call, _day_view)


def _day_view(api: Api, market: Market) -> dict[str, object]:
    spec, now_ms = market.spec, api.venue.clock.now_ms()
    day = api.derived.day_summary(market.index)
    mark = market.mark_price()
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
        ("/fapi/v1/klines", klines_weight, klines),
        ("/fapi/v1/premiumIndex", 1, premium_index),
        ("/fapi/v1/ticker/24hr", _weight_unless_symbol(1, 40), ticker_day),
        ("/fapi/v1/ticker/price", _weight_unless_symbol(1, 2), ticker_price),
        ("/fapi/v2/ticker/price", _weight_unless_symbol(1, 2), ticker_price),
        ("/fapi/v1/ticker/bookTicker", _weight_unless_symbol(2, 5), ticker_book),
        ("/api/v3/ping", 1, ping),
        ("/api/v3/time", 1, server_time),
        ("/api/v3/exchangeInfo", 1, spot_exchange_info),
    )
    return {("GET", path): Route(OPEN, weight, answer) for path, weight, answer in rows}
