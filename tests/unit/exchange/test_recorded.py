"""The exchange plays recorded tapes: what is told is what was recorded, shifted in time alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.domain.codes import (
    LEVEL_BID,
    LEVEL_LAST_OF_DIFF,
    LEVEL_SNAPSHOT_FIRST,
    TRADE_BUYER_AGGRESSOR,
    RecordType,
)
from engine.domain.records import MARKET_DTYPE
from engine.tapes.reader import Records, joined
from exchange.book import BUY, SELL, Book
from exchange.errors import TapeError
from exchange.events import DIFF, QUOTE, SNAPSHOT, TRADE, Event
from exchange.recorded import RecordedMarket, open_source
from exchange.server import Options
from exchange.tape import Tape
from tests.exchange_rig import run, running, short_tape
from tests.feed_rig import BTC, ETH, instrument
from tests.tape_builders import START_NS, STEP_NS, WALL_NS, gap, market, write_tape

BASE_NS = 1_800_000_000_000_000_000


def events_of(source: RecordedMarket, start_ns: int = BASE_NS) -> list[Event]:
    source.begin(start_ns)
    found: list[Event] = []
    while batch := source.next_batch():
        found += batch
    return found


def level(
    place: int, flags: int, price: int, qty: int, update_id: int, instrument_index: int = 0
) -> Records:
    record = np.zeros(1, dtype=MARKET_DTYPE)
    record["sequence"] = place + 1
    record["receive_time_ns"] = START_NS + place * STEP_NS
    record["venue_time_ns"] = WALL_NS + place * STEP_NS
    record["record_type"] = RecordType.LEVEL
    record["instrument_index"] = instrument_index
    record["flags"], record["price_ticks"], record["qty_lots"] = flags, price, qty
    record["update_id"] = update_id
    return record


def test_quotes_and_trades_are_told_as_they_were(tmp_path: Path) -> None:
    records = market(2_000)
    source = RecordedMarket([write_tape(tmp_path / "x.tape", records)])
    events = events_of(source)
    shift_ms = (BASE_NS - WALL_NS) // 1_000_000
    for kind, record_type in ((QUOTE, RecordType.QUOTE), (TRADE, RecordType.TRADE)):
        told = [event for event in events if event[2] == kind]
        wanted = records[records["record_type"] == record_type]
        assert len(told) == len(wanted) > 100
        for event, record in zip(told, wanted, strict=True):
            body = json.loads(source.body_of(event))
            assert event[0] == BASE_NS + int(record["receive_time_ns"]) - START_NS
            assert body["T"] == int(record["venue_time_ns"]) // 1_000_000 + shift_ms
            assert_same(body, record)


def assert_same(body: dict[str, Any], record: np.void) -> None:
    ours = (BTC, ETH)[int(record["instrument_index"])]
    assert body["s"] == ours.symbol
    if body["e"] == "bookTicker":
        for name, field in (("b", "bid_price_ticks"), ("a", "ask_price_ticks")):
            assert ours.price_ticks(body[name]) == record[field]
        for name, field in (("B", "bid_qty_lots"), ("A", "ask_qty_lots")):
            assert ours.qty_lots(body[name]) == record[field]
        assert body["u"] % 2**32 == record["aux"]
    else:
        assert ours.price_ticks(body["p"]) == record["price_ticks"]
        assert ours.qty_lots(body["q"]) == record["qty_lots"]
        assert body["m"] == (not record["flags"] & TRADE_BUYER_AGGRESSOR)


def test_books_are_those_of_the_records(tmp_path: Path) -> None:
    records = market(3_000)
    source = RecordedMarket([write_tape(tmp_path / "x.tape", records)])
    books = (Book(), Book())
    for _, index, kind, fields, _ in events_of(source):
        if kind == SNAPSHOT:
            books[index].apply_snapshot(fields[0], fields[1], fields[2])
        elif kind == DIFF:
            assert fields[0] == fields[2] + 1 <= fields[1]
            books[index].apply_diff(fields[:5])
    for index, (book, ours) in enumerate(zip(books, (BTC, ETH), strict=True)):
        mine = records[(records["record_type"] == 3) & (records["instrument_index"] == index)]
        wanted: dict[tuple[int, int], int] = {}
        for record in mine:
            side = BUY if record["flags"] & LEVEL_BID else SELL
            wanted[side, int(record["price_ticks"])] = int(record["qty_lots"])
        tick = source.specs[index].tick
        told = {(BUY, price // tick): qty for price, qty in book.bids.items()}
        told |= {(SELL, price // tick): qty for price, qty in book.asks.items()}
        assert told == wanted, ours.symbol
        assert book.gap_count == 0


def test_a_fresh_book_in_the_middle_is_told_as_what_changed(tmp_path: Path) -> None:
    first, last = LEVEL_SNAPSHOT_FIRST, LEVEL_LAST_OF_DIFF
    tape = write_tape(
        tmp_path / "x.tape",
        joined(
            [
                level(0, first | LEVEL_BID, 100, 5, 10),
                level(1, last, 103, 6, 10),
                level(2, last | LEVEL_BID, 99, 4, 11),
                level(3, first | LEVEL_BID, 101, 7, 20),
                level(4, last, 103, 6, 20),
            ]
        ),
    )
    events = events_of(RecordedMarket([tape]))
    assert [event[2] for event in events] == [SNAPSHOT, DIFF, DIFF]
    before, after, previous, bids, asks = events[2][3][:5]
    assert (before, after, previous) == (12, 20, 11)
    assert bids == [(990, 0), (1000, 0), (1010, 7)]
    assert asks == [(1030, 6)]


def test_changes_of_a_book_nobody_knows_are_not_told(tmp_path: Path) -> None:
    records = [level(n, LEVEL_LAST_OF_DIFF, 100 + n, 5, 10 + n) for n in range(4)]
    quotes = market(50, first=4)
    quotes = quotes[quotes["record_type"] == RecordType.QUOTE]
    source = RecordedMarket([write_tape(tmp_path / "x.tape", joined([*records, quotes]))])
    assert {event[2] for event in events_of(source)} == {QUOTE}


def test_full_update_ids_come_from_the_book_beside(tmp_path: Path) -> None:
    records = market(200)
    high = 1_231_234 << 32
    records["update_id"][records["record_type"] == RecordType.LEVEL] += high
    source = RecordedMarket([write_tape(tmp_path / "x.tape", records)])
    ids = [event[3][0] for event in events_of(source) if event[2] == QUOTE]
    assert all(high < number < high + 10_000 for number in ids)


def test_several_tapes_are_one_market_in_order_of_time(tmp_path: Path) -> None:
    records = market(900)
    whole = RecordedMarket([write_tape(tmp_path / "whole.tape", records)])
    paths = [write_tape(tmp_path / f"{n}.tape", records[n::3], tape_index=n) for n in range(3)]
    plain = [event[:3] for event in events_of(whole) if event[2] != DIFF]
    split = [event[:3] for event in events_of(RecordedMarket(paths)) if event[2] != DIFF]
    assert split == plain


def test_every_pass_goes_on_in_time_and_ids(tmp_path: Path) -> None:
    source = RecordedMarket([write_tape(tmp_path / "x.tape", market(400))])
    before = events_of(source)
    for _ in range(3):
        again_ns = source.begin_again(0)
        after: list[Event] = []
        while batch := source.next_batch():
            after += batch
        assert [event[1:3] for event in after] == [event[1:3] for event in before]
        assert after[0][0] == again_ns > before[-1][0]
        for kind, place in ((QUOTE, 0), (TRADE, 3), (DIFF, 1)):
            ids = [event[3][place] for event in before if event[2] == kind]
            later = [event[3][place] for event in after if event[2] == kind]
            assert min(later) > max(ids)
        before = after


def test_no_record_is_stamped_much_later_than_it_is_due(tmp_path: Path) -> None:
    records = market(300)
    records["venue_time_ns"][0] -= 800_000_000  # the first one was slow to come
    source = RecordedMarket([write_tape(tmp_path / "x.tape", records)])
    leads_ms = [event[3][-1] - event[0] // 1_000_000 for event in events_of(source)]
    assert max(leads_ms) == 0
    assert min(leads_ms) == -800


def test_due_times_never_step_back(tmp_path: Path) -> None:
    records = market(300)
    records["receive_time_ns"][100:] -= 20 * STEP_NS
    events = events_of(RecordedMarket([write_tape(tmp_path / "x.tape", records)]))
    due = [event[0] for event in events]
    assert due == sorted(due)


def test_a_torn_tail_is_left_out(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "x.tape", market(100), market(100, first=100), is_ended=False)
    path.write_bytes(path.read_bytes()[:-7])
    whole = write_tape(tmp_path / "y.tape", market(100))
    assert events_of(RecordedMarket([path])) == events_of(RecordedMarket([whole]))


def test_damage_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "x.tape", market(100), market(100, first=100))
    raw = bytearray(path.read_bytes())
    raw[192 + 64 + 512 + 64 + 5] ^= 1
    path.write_bytes(raw)
    with pytest.raises(TapeError, match="damaged"):
        events_of(RecordedMarket([path]))


@pytest.mark.parametrize(
    ("symbol", "told"), [("EURUSD", "no quote, trade or book"), ("BTCUSDT", "")]
)
def test_only_usd_m_instruments_are_played(symbol: str, told: str, tmp_path: Path) -> None:
    rows = (instrument(symbol, "0.10", "0.001"),)
    records = market(50)
    records["instrument_index"] = 0
    path = write_tape(tmp_path / "x.tape", records, instruments=rows)
    if told:
        with pytest.raises(TapeError, match=told):
            RecordedMarket([path])
    else:
        assert RecordedMarket([path]).specs[0].symbol == symbol


def test_a_tape_of_gaps_alone_cannot_be_played(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="no quote, trade or book"):
        RecordedMarket([write_tape(tmp_path / "x.tape", gap())])


def test_other_steps_of_one_symbol_are_refused(tmp_path: Path) -> None:
    first = write_tape(tmp_path / "a.tape", market(50))
    other = (instrument("BTCUSDT", "0.01", "0.001"), ETH)
    second = write_tape(tmp_path / "b.tape", market(50), instruments=other)
    with pytest.raises(TapeError, match="other steps"):
        RecordedMarket([first, second])


def test_the_files_say_what_plays_them(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "x.tape", market(50))
    capture = short_tape(tmp_path / "capture")
    assert isinstance(open_source([str(tape)]), RecordedMarket)
    assert isinstance(open_source([str(capture)]), Tape)
    with pytest.raises(TapeError, match="together"):
        open_source([str(tape), str(capture)])


def test_a_running_exchange_serves_a_recorded_market(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "x.tape", market(600))

    async def test() -> None:
        async with running(open_source([str(path)]), Options(autostart=True)) as exchange:
            await exchange.until(lambda: exchange.exchange.player.event_count > 500)
            answer = await exchange.rest().open("/fapi/v1/depth", symbol="BTCUSDT", limit=5)
            book = answer.json
            assert len(book["bids"]) == len(book["asks"]) == 5

    run(test())
