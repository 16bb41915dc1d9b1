"""The feed as main starts it, against the practice exchange, through real sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.domain.codes import (
    LEVEL_SNAPSHOT_FIRST,
    Channel,
    EventType,
    Liveness,
    RecordType,
    Role,
)
from engine.domain.firewall_reasons import FirewallReason
from engine.domain.instrument import read_instruments
from engine.processes.control import RolePage, RoleState, RoleWord
from tests.exchange_process import PracticeExchange
from tests.feed_role import FeedRole

R = FirewallReason
# What the exchange injects, and by which name the feed must refuse it.
POISON = {
    "malformed": R.MALFORMED,
    "nan_price": R.NOT_FINITE,
    "infinite_price": R.NOT_FINITE,
    "negative_price": R.PRICE_NOT_POSITIVE,
    "zero_price": R.PRICE_NOT_POSITIVE,
    "negative_quantity": R.QTY_NEGATIVE,
    "crossed_quote": R.QUOTE_CROSSED,
    "unknown_symbol": R.SYMBOL_UNKNOWN,
    "tomorrow": R.TIME_FUTURE,
    "yesterday": R.TIME_PAST,
    "off_tick": R.OFF_TICK,
    "price_jump": R.PRICE_JUMP,
    "huge_update_id": R.ID_JUMP,
    "stale_update_id": R.ID_OUT_OF_ORDER,
}


@pytest.fixture(scope="module")
def exchange() -> Iterator[PracticeExchange]:
    running = PracticeExchange("--generate", "3", "--seed", "7")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def role(
    exchange: PracticeExchange, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FeedRole]:
    feed = FeedRole("feed-role-test", tmp_path_factory.mktemp("home"), exchange.port)
    feed.wait("ready", lambda: feed.state is RoleState.READY)
    feed.wait("three books", lambda: books_live(feed) == 3)
    yield feed
    feed.close()


def books_live(feed: FeedRole) -> int:
    records = feed.seen
    changes = records[
        (records["record_type"] == RecordType.LIVENESS) & (records["aux"] == Channel.BOOK)
    ]
    last = {int(r["instrument_index"]): int(r["liveness"]) for r in changes}
    return sum(1 for state in last.values() if state == Liveness.LIVE)


def symbol(feed: FeedRole) -> str:
    rows = read_instruments(feed.segments.instruments.buffer)
    name: bytes = rows["symbol"][0]
    return name.decode()


def test_instruments_are_published_before_any_record(role: FeedRole) -> None:
    rows = read_instruments(role.segments.instruments.buffer)
    assert len(rows) == 3
    assert rows["instrument_index"].tolist() == [0, 1, 2]
    assert (rows["unit_e8"] > 0).all()
    del rows


def test_the_role_reports_its_life_in_order(role: FeedRole) -> None:
    stamps = [
        role.word(word)
        for word in (
            RoleWord.SPAWNED_NS,
            RoleWord.ATTACHED_NS,
            RoleWord.WARM_NS,
            RoleWord.SYNCED_NS,
            RoleWord.FIRST_RECORD_NS,
            RoleWord.READY_NS,
        )
    ]
    assert stamps == sorted(stamps)
    assert stamps[0] > 0
    beat = role.segments.control.heartbeat_ns(RolePage.FEED, 0)
    role.wait("a beat", lambda: role.segments.control.heartbeat_ns(RolePage.FEED, 0) > beat)


def test_records_of_every_subscribed_kind_arrive_in_sequence(role: FeedRole) -> None:
    rare = {RecordType.GAP, RecordType.LIQUIDATION, RecordType.FILTER}
    role.wait_types(*(int(t) for t in RecordType if t not in rare))
    records = role.drain()
    assert (np.diff(records["sequence"]) == 1).all()
    assert (np.diff(records["receive_time_ns"]) >= 0).all()
    assert set(records["instrument_index"].tolist()) == {0, 1, 2}


def test_each_book_begins_with_a_snapshot(role: FeedRole) -> None:
    records = role.drain()
    levels = records[records["record_type"] == RecordType.LEVEL]
    for index in range(3):
        mine = levels[levels["instrument_index"] == index]
        assert mine["flags"][0] & LEVEL_SNAPSHOT_FIRST


@pytest.mark.parametrize("kind", POISON)
def test_poison_on_the_wire_is_counted_by_reason_and_the_market_goes_on(
    role: FeedRole, exchange: PracticeExchange, kind: str
) -> None:
    reason = POISON[kind]
    name = f"rejected_{reason.name.lower()}_total"
    before = role.counter(name)
    assert exchange.fault(kind, symbol=symbol(role))["sent"] == 1
    role.wait(name, lambda: role.counter(name) == before + 1)
    quotes = count_quotes(role)
    role.wait("the next quotes", lambda: count_quotes(role) > quotes)


def count_quotes(feed: FeedRole) -> int:
    records = feed.drain()
    of_first = records[records["instrument_index"] == 0]
    return int((of_first["record_type"] == RecordType.QUOTE).sum())


def test_a_flood_of_one_poison_makes_one_event(role: FeedRole, exchange: PracticeExchange) -> None:
    role.wait("events of the kinds before", lambda: len(role.events()) == 0)
    name = "rejected_side_unknown_total"
    text = json.dumps({"e": "forceOrder", "E": 1, "o": {"s": symbol(role), "S": "HOLD"}})
    stream = f"{symbol(role).lower()}@forceOrder"
    found: list[np.void] = []

    def heard() -> bool:
        exchange.fault("frame", stream=stream, text=text)
        found.extend(e for e in role.events() if e["reason"] == R.SIDE_UNKNOWN)
        return bool(found) and role.counter(name) > 100

    role.wait("a hundred refusals and an event", heard)
    (event,) = found
    assert event["event_type"] == EventType.RECORD_REJECTED
    assert event["role"] == Role.FEED
    assert event["instrument_index"] == 0
    assert b"refused by the feed" in event["text"]


def test_a_gap_in_the_diffs_brings_a_fresh_book(role: FeedRole, exchange: PracticeExchange) -> None:
    before = role.counter("book_resyncs_total")
    snapshots = role.counter("snapshots_total")
    exchange.fault("gap", stream=f"{symbol(role).lower()}@depth@100ms", count=1)
    role.wait("the gap", lambda: role.counter("book_resyncs_total") == before + 1)
    role.wait("a snapshot", lambda: role.counter("snapshots_total") > snapshots)
    role.wait("three live books", lambda: books_live(role) == 3)
    mine = role.seen[role.seen["instrument_index"] == 0]
    gaps = mine[(mine["record_type"] == RecordType.GAP) & (mine["aux"] == Channel.BOOK)]
    levels = mine[mine["record_type"] == RecordType.LEVEL]
    assert levels[levels["sequence"] > gaps["sequence"][-1]]["flags"][0] & LEVEL_SNAPSHOT_FIRST
    assert (role.seen["record_type"] == RecordType.GAP).any()


def test_a_role_that_was_killed_is_continued_by_the_next(
    role: FeedRole, exchange: PracticeExchange
) -> None:
    assert exchange.process.poll() is None
    role.process.kill()
    role.process.wait()
    rows_before = read_instruments(role.segments.instruments.buffer).tobytes()
    last = int(role.drain()["sequence"][-1])
    role.start()
    role.wait("records after it", lambda: int(role.drain()["sequence"][-1]) > last + 100)
    assert (np.diff(role.seen["sequence"]) == 1).all()
    assert read_instruments(role.segments.instruments.buffer).tobytes() == rows_before


def test_a_stop_is_orderly(role: FeedRole) -> None:
    assert role.stop() == 0
    assert role.state is RoleState.STOPPED


def test_without_a_venue_it_waits_says_so_and_stops_when_asked(tmp_path: Path) -> None:
    feed = FeedRole("feed-alone-test", tmp_path, 1)
    try:
        progress = feed.segments.control.progress
        feed.wait("a word", lambda: "connecting to the venue" in progress(RolePage.FEED))
        beat = feed.segments.control.heartbeat_ns(RolePage.FEED, 0)
        feed.wait("a beat", lambda: feed.segments.control.heartbeat_ns(RolePage.FEED, 0) > beat)
        assert feed.stop() == 0
    finally:
        feed.close()


def test_a_venue_that_goes_away_leaves_every_channel_connecting_and_comes_back(
    tmp_path: Path,
) -> None:
    exchange = PracticeExchange("--generate", "2", "--seed", "1")
    feed = FeedRole("feed-outage-test", tmp_path, exchange.port)
    try:
        feed.wait("two live books", lambda: books_live(feed) == 2)
        exchange.stop()
        feed.wait("the outage", lambda: not live_channels(feed))
        again = PracticeExchange("--generate", "2", "--seed", "1", "--port", str(exchange.port))
        try:
            feed.wait("two live books again", lambda: books_live(feed) == 2)
            feed.wait("its count", lambda: feed.counter("connects_total") >= 3)
        finally:
            again.stop()
    finally:
        feed.close()


def live_channels(feed: FeedRole) -> list[tuple[int, int]]:
    records = feed.drain()
    changes = records[records["record_type"] == RecordType.LIVENESS]
    last = {(int(r["instrument_index"]), int(r["aux"])): int(r["liveness"]) for r in changes}
    return [place for place, state in last.items() if state == Liveness.LIVE]
