"""Requests for the past: aggregated trades by id or time, and bars."""

from __future__ import annotations

from exchange.candles import merged
from exchange.errors import ApiError
from exchange.filters import required
from exchange.history import AggTrade
from exchange.rest import OPEN, Api, Call, Route, RouteTable, integer
from exchange.streams import INTERVAL_MS
from exchange.symbols import SymbolSpec, is_whole

MAX_ID = 2**53
AGG_TRADES_WEIGHT = 20
AGG_SPAN_MS = 3_600_000  # between startTime and endTime at most


def agg_trades(api: Api, call: Call) -> object:
    """Answer aggregated trades: from an id, of a span of time, or the latest."""
    market = api.venue.market(required(call.params, "symbol"))
    limit = integer(call.params, "limit", 500, 1, 1000)
    history, params = api.derived.history, call.params
    timed = bool(params.get("startTime") or params.get("endTime"))
    if params.get("fromId"):
        if timed:
            raise ApiError(-1128)
        from_id = integer(params, "fromId", 0, 0, MAX_ID)
        found = history.since_id(market.index, from_id, limit)
    elif timed:
        start_ms = integer(params, "startTime", 0, 0, MAX_ID)
        end_ms = integer(params, "endTime", MAX_ID, 0, MAX_ID)
        if start_ms and end_ms < MAX_ID and end_ms - start_ms > AGG_SPAN_MS:
            raise ApiError(-1128, "startTime and endTime are an hour apart at most.")
        found = history.between(market.index, start_ms, end_ms, limit)
    else:
        found = history.latest(market.index, limit)
    return [_row(trade, market.spec) for trade in found]


def _row(trade: AggTrade, spec: SymbolSpec) -> dict[str, object]:
    qty = spec.qty_text(trade.qty)
    return {
        "a": trade.agg_id,
        "p": spec.price_text(trade.price),
        "q": qty,
        "nq": qty,
        "f": trade.first_id,
        "l": trade.last_id,
        "T": trade.trade_ms,
        "m": bool(trade.buyer_is_maker),
    }


def klines(api: Api, call: Call) -> object:
    """Answer bars derived from the trades played so far: from a time on, or the latest."""
    market = api.venue.market(required(call.params, "symbol"))
    interval = required(call.params, "interval")
    if interval not in INTERVAL_MS:
        raise ApiError(-1102, "Invalid interval.")
    limit = integer(call.params, "limit", 500, 1, 1500)
    series = api.derived.series[market.index]
    if market.mark_price():
        api.derived.roll(market.index, api.venue.clock.now_ms())
    start_ms = integer(call.params, "startTime", 0, 0, MAX_ID)
    end_ms = integer(call.params, "endTime", MAX_ID, 0, MAX_ID)
    bars = merged(series.recent_minutes(), INTERVAL_MS[interval])
    chosen = [bar for bar in bars if start_ms <= bar.open_ms <= end_ms]
    wanted = chosen[:limit] if start_ms else chosen[-limit:]
    return [bar.row(market.spec) for bar in wanted]


def klines_weight(params: dict[str, str]) -> int:
    """Return what a bar request costs by its limit."""
    text = params.get("limit", "500")
    limit = int(text) if is_whole(text) else 500
    for bound, weight in ((100, 1), (500, 2), (1000, 5)):
        if limit < bound:
            return weight
    return 10


def history_routes() -> RouteTable:
    """Return the table of requests for the past."""
    return {
        ("GET", "/fapi/v1/aggTrades"): Route(OPEN, AGG_TRADES_WEIGHT, agg_trades),
        ("GET", "/fapi/v1/klines"): Route(OPEN, klines_weight, klines),
    }
