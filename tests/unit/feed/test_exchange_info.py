"""The venue's list becomes exact rows; what cannot is left out with its reason."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from engine.domain.instrument_row import NO_BOUND, ContractType, InstrumentError, InstrumentFlag
from engine.venues.binance.exchange_info import (
    ExchangeInfo,
    instrument_of,
    parse_exchange_info,
    select_instruments,
)
from engine.venues.binance.market import CADENCES, cadence_words, snapshot_limit
from engine.venues.venue import ProtocolError

BTC: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "contractType": "PERPETUAL",
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "marginAsset": "USDT",
    "pricePrecision": 7,
    "onboardDate": 1569398400000,
    "filters": [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": "556.80",
            "maxPrice": "4529764",
            "tickSize": "0.10",
        },
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120", "stepSize": "0.001"},
        {"filterType": "MIN_NOTIONAL", "notional": "100"},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500"},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "SOMETHING_NEW", "whatever": [1]},
    ],
}


def listed(*rows: dict[str, Any]) -> ExchangeInfo:
    return parse_exchange_info(json.dumps({"symbols": list(rows), "timezone": "UTC"}).encode())


def other(symbol: str, tick: str = "0.01", lot: str = "1", **fields: object) -> dict[str, Any]:
    filters = [
        {"filterType": "PRICE_FILTER", "tickSize": tick},
        {"filterType": "LOT_SIZE", "stepSize": lot},
    ]
    return {"symbol": symbol, "filters": filters} | fields


def test_filters_become_ticks_lots_and_money() -> None:
    (row,) = listed(BTC).symbols
    instrument = instrument_of(row)
    assert (instrument.tick_scaled, instrument.price_exponent) == (1, 1)
    assert (instrument.min_price_ticks, instrument.max_price_ticks) == (5568, 45_297_640)
    assert (instrument.min_qty_lots, instrument.max_qty_lots) == (1, 1_000_000)
    assert (instrument.market_max_qty_lots, instrument.market_step_lots) == (120_000, 1)
    assert instrument.min_notional_e8 == 100 * 10**8
    assert (instrument.multiplier_up_e8, instrument.multiplier_down_e8) == (105_000_000, 95_000_000)
    assert (instrument.unit_e8, instrument.max_open_orders) == (10_000, 200)
    assert instrument.flags == InstrumentFlag.TRADING | InstrumentFlag.PERPETUAL
    assert instrument.onboard_time_ns == 1569398400000 * 1_000_000


def test_what_the_venue_does_not_bound_has_no_bound() -> None:
    (row,) = listed(other("XUSDT", contractType="CURRENT_QUARTER", status="SETTLING")).symbols
    instrument = instrument_of(row)
    assert (instrument.min_price_ticks, instrument.max_price_ticks) == (1, NO_BOUND)
    assert (instrument.min_qty_lots, instrument.max_qty_lots) == (1, NO_BOUND)
    assert (instrument.contract_type, instrument.flags) == (ContractType.DATED, 0)


@pytest.mark.parametrize(
    "row",
    [
        {"symbol": "XUSDT", "filters": []},
        other("XUSDT", tick="0"),
        other("XUSDT", tick="abc"),
        other("XUSDT", tick="0.00000001", lot="0.1"),
        other("X" * 30),
    ],
)
def test_an_instrument_that_is_no_exact_integer_is_left_out(row: dict[str, Any]) -> None:
    info = listed(row, BTC)
    with pytest.raises(InstrumentError):
        instrument_of(info.symbols[0])
    chosen, left_out = select_instruments(info, (), 10, 10)
    assert [instrument.symbol for instrument in chosen] == ["BTCUSDT"]
    assert list(left_out) == [row["symbol"]]


def test_a_selection_keeps_the_wanted_order_and_says_what_it_left_out() -> None:
    info = listed(BTC, other("AUSDT"), other("BUSDT"), other("CUSDT"))
    chosen, left_out = select_instruments(
        info, ["CUSDT", "BTCUSDT", "CUSDT", "NOPE", "AUSDT"], 2, 1
    )
    assert [(i.symbol, i.instrument_index) for i in chosen] == [("CUSDT", 0), ("BTCUSDT", 1)]
    assert [bool(i.flags & InstrumentFlag.BOOK) for i in chosen] == [True, False]
    assert set(left_out) == {"NOPE", "AUSDT"}
    assert "instruments_max" in left_out["AUSDT"]


def test_without_a_wish_what_trades_perpetually_is_taken() -> None:
    info = listed(
        other("AUSDT", status="SETTLING"), other("B_240101", contractType="NEXT_QUARTER"), BTC
    )
    chosen, left_out = select_instruments(info, (), 300, 50)
    assert [instrument.symbol for instrument in chosen] == ["BTCUSDT"]
    assert left_out == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"symbols":1}',
        b'{"symbols":[{"filters":[]}]}',
        b'{"symbols":[{"symbol":"\xff"}]}',
    ],
)
def test_an_answer_that_is_no_list_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="exchangeInfo"):
        parse_exchange_info(body)


def test_a_recorded_list_of_the_venue_is_read_whole(shared_data: Path) -> None:
    path = shared_data / "cryptofeed" / "BINANCE_FUTURES.0.gz"
    if not path.exists():
        pytest.skip("no recorded list: ../shared/data/cryptofeed is absent")
    text = gzip.decompress(path.read_bytes()).decode()
    line = next(row for row in text.splitlines() if "/fapi/v1/exchangeInfo" in row)
    body = line[line.index("{") :].encode()
    chosen, left_out = select_instruments(parse_exchange_info(body), (), 500, 50)
    assert len(chosen) > 100
    assert left_out == {}
    by_symbol = {instrument.symbol: instrument for instrument in chosen}
    assert by_symbol["BTCUSDT"].tick_size == 0.01


def test_snapshot_weight_of_a_full_round_fits_the_minute() -> None:
    for count in (1, 50, 51, 100, 200, 300, 500):
        limit, weight = snapshot_limit(count)
        assert limit >= 20, "the published levels at least"
        assert weight * count <= 1_000


def test_every_channel_has_its_cadence() -> None:
    words = cadence_words(may_lack_channels=True)
    assert len(words) == 4 * len(CADENCES)
    for first, _, floor, ceiling in zip(*[iter(words)] * 4, strict=True):
        assert floor <= ceiling
        assert first == 0 or first > floor
