"""Marks and liquidations of a tape are told as recorded; without them marks are derived."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import RecordType
from exchange.book import SELL
from exchange.events import LIQUIDATION, MARK, Event, EventSource, Mark
from exchange.marks import is_silent, mark_of
from exchange.matching import Market
from exchange.recorded import RecordedMarket
from exchange.server import Options
from exchange.symbols import nearest_units
from tests.exchange_rig import (
    EVENT_LEAD_MS,
    KEY,
    START_MS,
    TapeWriter,
    btc,
    fill_book,
    quiet_venue,
    run,
    running,
    short_tape,
    tape_of,
)
from tests.feed_rig import BTC, ETH
from tests.tape_builders import WALL_NS, liquidation, market, write_tape

BASE_NS = 1_800_000_000_000_000_000
BASE_MS = BASE_NS // 1_000_000
NEXT_MS = START_MS + EVENT_LEAD_MS + 60_000
FUNDING = Mark(6_123_456_789_000, 6_123_400_000_000, -12_345, NEXT_MS)


def events_of(source: EventSource, *kinds: int) -> list[Event]:
    source.begin(BASE_NS)
    found: list[Event] = []
    while batch := source.next_batch():
        found += [event for event in batch if event[2] in kinds]
    return found


def told(source: EventSource, event: Event) -> dict[str, Any]:
    body = event[4] if event[4] is not None else source.body_of(event)
    return dict(json.loads(body))


# Recorded tapes -----------------------------------------------------------------------------


def test_marks_of_a_tape_are_told_to_the_last_digit(tmp_path: Path) -> None:
    records = market(2_000)
    marks = records[records["record_type"] == RecordType.MARK]
    source = RecordedMarket([write_tape(tmp_path / "x.tape", records)])
    assert source.marked == {0, 1}
    events = events_of(source, MARK)
    assert len(events) == len(marks) > 50
    shift_ms = BASE_MS - WALL_NS // 1_000_000
    for event, record in zip(events, marks, strict=True):
        body = told(source, event)
        assert body["s"] == (BTC, ETH)[int(record["instrument_index"])].symbol
        assert body["E"] == int(record["venue_time_ns"]) // 1_000_000 + shift_ms
        assert Fraction(body["p"]) == Fraction(int(record["mark_price_e8"]), 10**8)
        assert Fraction(body["i"]) == Fraction(int(record["index_price_e8"]), 10**8)
        assert Fraction(body["r"]) == Fraction(int(record["funding_rate_e8"]), 10**8)


def test_the_next_funding_moves_with_every_other_time(tmp_path: Path) -> None:
    records = market(400)
    records["next_funding_time_ns"][records["record_type"] == RecordType.MARK] = (
        WALL_NS + 3_600_000_000_000
    )
    source = RecordedMarket([write_tape(tmp_path / "x.tape", records)])
    for event in events_of(source, MARK):
        assert told(source, event)["T"] == BASE_MS + 3_600_000


@pytest.mark.parametrize("is_buy", [True, False])
def test_liquidations_of_a_tape_are_told(is_buy: bool, tmp_path: Path) -> None:
    order = liquidation(300, is_buy=is_buy, price=618_100, qty=250, average=618_050)
    source = RecordedMarket([write_tape(tmp_path / "x.tape", market(300), order)])
    (event,) = events_of(source, LIQUIDATION)
    body = told(source, event)
    row = body["o"]
    assert (body["e"], row["s"], row["S"]) == ("forceOrder", "BTCUSDT", ("SELL", "BUY")[is_buy])
    assert (row["p"], row["ap"], row["q"], row["z"]) == ("61810.00", "61805.00", "0.250", "0.250")
    assert row["T"] == body["E"] == BASE_MS + 300


def test_a_tape_without_marks_leaves_them_to_be_derived(tmp_path: Path) -> None:
    records = market(400)
    kept = records[records["record_type"] != RecordType.MARK]
    assert RecordedMarket([write_tape(tmp_path / "x.tape", kept)]).marked == frozenset()


# Raw captures -------------------------------------------------------------------------------


def capture(path: Path, *, tail_ms: float = 3_000) -> Path:
    """Write a short capture with two marks and a liquidation."""
    short_tape(path)
    tape = TapeWriter()
    tape.lines = path.read_text("utf-8").splitlines()
    tape.mark(170, "61234.56789000", "61234.00000000", "-0.00012345", NEXT_MS)
    tape.liquidation(180, "SELL", "0.014", "60000.1234", "59999.95")
    tape.mark(190, "61234.00000000", "61233.00000000", "0.00010000", NEXT_MS)
    tape.quote(tail_ms, 1050, ("60000.00", "0.600"), ("60000.10", "0.700"))
    return tape.write(path)


def test_marks_and_liquidations_of_a_capture_are_told_as_they_came(tmp_path: Path) -> None:
    path = capture(tmp_path / "a")
    source = tape_of(path)
    assert source.marked == {0}
    recorded = [json.loads(line.split(" ", 1)[1])["data"] for line in path.read_text().splitlines()
                if "markPriceUpdate" in line or "forceOrder" in line]  # fmt: skip
    events = events_of(source, MARK, LIQUIDATION)
    assert [event[2] for event in events] == [MARK, LIQUIDATION, MARK]
    shift_ms = BASE_MS - START_MS - EVENT_LEAD_MS
    for event, original in zip(events, recorded, strict=True):
        original["E"] += shift_ms
        original.get("o", original)["T"] += shift_ms
        assert told(source, event) == original
    assert source.bad_lines == 0


def test_numbers_of_a_capture_are_in_units(tmp_path: Path) -> None:
    first, forced, _ = events_of(tape_of(capture(tmp_path / "a")), MARK, LIQUIDATION)
    mark, event_ms = first[3]
    shift_ms = BASE_MS - START_MS - EVENT_LEAD_MS
    assert mark == FUNDING._replace(next_funding_ms=NEXT_MS + shift_ms)
    assert event_ms == BASE_MS + 170
    assert forced[3][:4] == (SELL, 60_000_12, 14, 59_999_95)
    assert forced[3][4:] == (BASE_MS + 180, BASE_MS + 180)


def test_other_streams_of_a_capture_are_passed_over_and_are_no_bad_lines(tmp_path: Path) -> None:
    path = short_tape(tmp_path / "a")
    line = path.read_text("utf-8").splitlines()[0]
    stamp = int(line.split(" ", 1)[0]) + 10**9
    kline = {"stream": "btcusdt@kline_1m", "data": {"e": "kline", "E": 5, "s": "BTCUSDT", "k": {}}}
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{stamp} {json.dumps(kline, separators=(',', ':'))}\n")
    source = tape_of(path)
    assert events_of(source, MARK, LIQUIDATION) == []
    assert source.bad_lines == 0


def test_a_mark_that_is_no_number_is_a_bad_line(tmp_path: Path) -> None:
    path = capture(tmp_path / "a")
    path.write_text(path.read_text("utf-8").replace("61234.56789000", "high"), "utf-8")
    source = tape_of(path)
    assert len(events_of(source, MARK)) == 1
    assert source.bad_lines == 1


# A market with a mark that was told ---------------------------------------------------------


@given(st.integers(0, 10**16), st.integers(0, 8))
def test_a_price_in_units_is_the_nearest(value_e8: int, decimals: int) -> None:
    units = nearest_units(value_e8, decimals)
    exact = Fraction(value_e8, 10 ** (8 - decimals))
    assert abs(units - exact) <= Fraction(1, 2)
    assert units == exact or exact.denominator > 1


def test_what_was_told_is_the_mark_and_what_was_not_is_derived() -> None:
    market = Market(btc(), 0)
    assert is_silent(market)
    fill_book(market, bid=60_000_00, ask=60_000_10)
    assert not is_silent(market)
    assert mark_of(market, 0).price_e8 == mark_of(market, 0).index_e8 == 60_000_05 * 10**6
    market.tells_marks = True
    assert is_silent(market), "its tape will tell it"
    market.told_mark = FUNDING
    assert not is_silent(market)
    assert mark_of(market, 0) == FUNDING
    assert market.mark_price() == 61_234_57


def test_subscribers_hear_the_marks_told_and_nothing_between(tmp_path: Path) -> None:
    async def test() -> None:
        options = Options(hold=True, speed=2.0)
        async with running(tape_of(capture(tmp_path / "a", tail_ms=4_500)), options) as exchange:
            told_stream = await exchange.stream("/market/ws/btcusdt@markPrice@1s")
            slow = await exchange.stream("/market/ws/btcusdt@markPrice")
            forced = await exchange.stream("/market/ws/btcusdt@forceOrder")
            exchange.exchange.player.start()
            first, second = await told_stream.take(2)
            assert (first["p"], second["p"]) == ("61234.56789000", "61234.00000000")
            (order,) = await forced.take(1)
            assert order["o"]["q"] == "0.014"
            (row,) = await slow.take(1)
            assert row["i"] in {"61234.00000000", "61233.00000000"}
            answer = (await exchange.rest().open("/fapi/v1/premiumIndex", symbol="BTCUSDT")).json
            assert answer["markPrice"] == "61234.00000000"
            assert answer["indexPrice"] == "61233.00000000"
            assert answer["nextFundingTime"] - answer["time"] < 60_000
            for stream in (told_stream, slow, forced):
                await stream.close()

    run(test())


def test_the_next_pass_begins_without_the_mark_of_the_last(tmp_path: Path) -> None:
    async def test() -> None:
        options = Options(autostart=True, loop_tape=True)
        async with running(tape_of(capture(tmp_path / "a", tail_ms=200)), options) as exchange:
            market = exchange.exchange.venue.markets["BTCUSDT"]
            await exchange.until(lambda: market.told_mark is not None)
            await exchange.until(lambda: not exchange.exchange.player.started)
            assert market.told_mark is None
            assert market.tells_marks

    run(test())


def test_a_conditional_order_on_the_mark_watches_the_mark_told() -> None:
    venue, market = quiet_venue()
    fill_book(market, bid=60_000_00, ask=60_000_10)
    words = {"symbol": "BTCUSDT", "side": "BUY", "algoType": "CONDITIONAL", "type": "STOP_MARKET"}
    words |= {"quantity": "0.010", "triggerPrice": "60500.00", "workingType": "MARK_PRICE"}
    order = venue.algo_desk.place(venue.accounts[KEY], words)
    venue.algo_desk.watch(market)
    assert order.status == "NEW", "the book is far from it"
    market.told_mark = FUNDING
    venue.algo_desk.watch(market)
    assert order.status == "FINISHED"


def test_the_whole_of_a_made_up_market_is_the_same_on_each_pass(tmp_path: Path) -> None:
    records = market(600)
    source = RecordedMarket([write_tape(tmp_path / "x.tape", records)])
    first = events_of(source, MARK)
    start_ns = source.begin_again(0)
    again: list[Event] = []
    while batch := source.next_batch():
        again += [event for event in batch if event[2] == MARK]
    assert [event[3][0].price_e8 for event in again] == [event[3][0].price_e8 for event in first]
    moved_ms = np.unique([b[3][1] - a[3][1] for a, b in zip(first, again, strict=True)])
    assert moved_ms.tolist() == [(start_ns - BASE_NS) // 1_000_000]
