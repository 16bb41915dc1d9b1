"""What of a list winds an instrument down, and what of it is taken over."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest

from engine.domain.instrument_row import FILTER_FIELDS, NO_BOUND, Instrument
from engine.venues.binance.exchange_info import ExchangeInfo, instrument_of, parse_exchange_info
from engine.venues.binance.listing import (
    BOUNDS,
    changed_bounds,
    forbidding_changes,
    why_no_entries,
)

NOW_MS = 1_800_000_000_000
NOW_NS = NOW_MS * 1_000_000
DAY_MS = 86_400_000
HOUR_MS = 3_600_000

LISTED: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "contractType": "PERPETUAL",
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "marginAsset": "USDT",
    "deliveryDate": 4_133_404_800_000,
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "1", "maxPrice": "900000", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "minQty": "0.002", "maxQty": "1000", "stepSize": "0.001"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.002", "maxQty": "120", "stepSize": "0.002"},
        {"filterType": "MIN_NOTIONAL", "notional": "100"},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.05", "multiplierDown": "0.95"},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
    ],
}
PRICE, LOT, MARKET, NOTIONAL, PERCENT, ORDERS = range(6)


def listed(*rows: dict[str, Any]) -> ExchangeInfo:
    return parse_exchange_info(json.dumps({"symbols": rows}).encode())


def with_filter(place: int, **fields: object) -> dict[str, Any]:
    row = copy.deepcopy(LISTED)
    row["filters"][place].update(fields)
    return row


KNOWN: Instrument = instrument_of(listed(LISTED).symbols[0])


def reason(row: dict[str, Any]) -> str:
    return why_no_entries(KNOWN, listed(row).symbols[0], NOW_NS)


def test_what_is_listed_as_before_goes_on() -> None:
    assert reason(LISTED) == ""
    assert reason(LISTED | {"deliveryDate": 0}) == ""
    assert reason(LISTED | {"deliveryDate": NOW_MS + DAY_MS}) == ""


@pytest.mark.parametrize(
    "status",
    ["PENDING_TRADING", "PRE_DELIVERING", "DELIVERING", "DELIVERED", "PRE_SETTLE", "SETTLING",
     "CLOSE", "BREAK", ""],
)  # fmt: skip
def test_every_status_but_trading_winds_down(status: str) -> None:
    assert reason(LISTED | {"status": status}) == f"status {status}"


def test_an_end_that_is_near_or_over_winds_down() -> None:
    assert reason(LISTED | {"deliveryDate": NOW_MS + DAY_MS - 1}).startswith("ends at ")
    assert reason(LISTED | {"deliveryDate": NOW_MS - DAY_MS}).startswith("ends at ")


def test_what_is_listed_no_longer_winds_down() -> None:
    assert why_no_entries(KNOWN, None, NOW_NS) == "no longer listed"


@pytest.mark.parametrize(
    ("place", "fields", "named"),
    [
        (PRICE, {"tickSize": "0.01"}, "tickSize"),
        (PRICE, {"tickSize": "0.50"}, "tickSize"),
        (LOT, {"stepSize": "0.01"}, "stepSize"),
    ],
)
def test_another_grid_winds_down_is_named_and_has_no_bounds_to_take(
    place: int, fields: dict[str, Any], named: str
) -> None:
    row = with_filter(place, **fields)
    row["filters"][NOTIONAL]["notional"] = "500"
    assert reason(row) == f"filters: {named}"
    assert changed_bounds(KNOWN, listed(row).symbols[0]) == {}


@pytest.mark.parametrize(
    ("place", "fields", "bounds"),
    [
        (PRICE, {"minPrice": "2"}, {"min_price_ticks": 20}),
        (PRICE, {"maxPrice": "800000"}, {"max_price_ticks": 8_000_000}),
        (PRICE, {"maxPrice": "0"}, {"max_price_ticks": NO_BOUND}),
        (PRICE, {"tickSize": "0.100"}, {}),
        (LOT, {"minQty": "0.003"}, {"min_qty_lots": 3}),
        (LOT, {"maxQty": "999"}, {"max_qty_lots": 999_000}),
        (MARKET, {"minQty": "0.004"}, {"market_min_qty_lots": 4}),
        (MARKET, {"maxQty": "119"}, {"market_max_qty_lots": 119_000}),
        (MARKET, {"stepSize": "0.004"}, {"market_step_lots": 4}),
        (NOTIONAL, {"notional": "101"}, {"min_notional_e8": 101 * 10**8}),
        (PERCENT, {"multiplierUp": "1.04"}, {"multiplier_up_e8": 104_000_000}),
        (PERCENT, {"multiplierUp": "0"}, {"multiplier_up_e8": 0}),
        (PERCENT, {"multiplierDown": "0.96"}, {"multiplier_down_e8": 96_000_000}),
        (ORDERS, {"limit": 100}, {"max_open_orders": 100}),
    ],
)
def test_another_bound_is_taken_over_and_winds_nothing_down(
    place: int, fields: dict[str, Any], bounds: dict[str, int]
) -> None:
    row = with_filter(place, **fields)
    assert reason(row) == ""
    assert changed_bounds(KNOWN, listed(row).symbols[0]) == bounds


def test_every_bound_that_is_taken_over_is_one_a_record_may_carry() -> None:
    assert set(BOUNDS) | {"flags", "open_interest_lots", "news"} == set(FILTER_FIELDS)


def test_filters_that_cannot_be_read_wind_down() -> None:
    assert reason(with_filter(PRICE, tickSize="abc")).startswith("filters: ")
    assert reason(LISTED | {"filters": []}).startswith("filters: ")


def test_another_quote_asset_is_another_instrument() -> None:
    other = msgspec.structs.replace(KNOWN, quote="USDC", margin="USDC")
    assert forbidding_changes(KNOWN, other) == ["quote", "margin"]
