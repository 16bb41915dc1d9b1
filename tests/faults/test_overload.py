"""Ten times what the readers of the market ring can take, for as long as they are behind.

A feed as main starts it, an exchange that sends, and readers that take a tenth of it. The feed
never waits and loses nothing silently: it merges. When the market ends and the readers catch up,
what they know is what the exchange's own REST answers say.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.domain.codes import CONFLATED, LEVEL_SNAPSHOT_FIRST, Channel, Liveness, RecordType
from engine.domain.instrument import read_instruments
from engine.domain.instrument_row import unpack_row
from engine.domain.records import MARKET_DTYPE
from engine.processes import segments
from engine.processes.control import RolePage, RoleState
from engine.processes.depth_view import DepthView
from engine.store.reader import join_records
from tests.exchange_process import Json, PracticeExchange
from tests.feed_decoder import LevelReader
from tests.feed_role import FeedRole

INSTRUMENTS = 20
RATE = 10_000  # frames a second
SHARE = 10  # of what is published, readers take one in so many
SLOTS = 8_192
MERGED_MIN = 20_000
TURN_S = 0.02
DEADLINE_S = 90.0


class Overload:
    """A feed under load, and its two readers kept at a tenth of the rate."""

    def __init__(self, home: Path) -> None:
        words = ("--generate", str(INSTRUMENTS), "--seed", "7", "--rate", str(RATE), "--hold")
        self.exchange = PracticeExchange(*words)
        self.feed = FeedRole("feed-overload-test", home, self.exchange.port)
        self.read_count = self.offered = self.taken = 0

    def close(self) -> None:
        self.feed.close()
        self.exchange.stop()

    def state(self) -> Json:
        return self.exchange.call("GET", "/practice/state")

    def delivered(self) -> int:
        return int(self.state()["frames_delivered"])

    def read(self, count_max: int) -> None:
        """Take so many records with both readers."""
        for reader in self.feed.readers:
            slots = np.zeros(count_max, MARKET_DTYPE)
            first, count = reader.read_into(slots)
            if count <= 0:
                continue
            reader.advance(first + count)
            if reader is self.feed.readers[0]:
                self.read_count += count
                self.feed.seen = join_records([self.feed.seen, slots[:count]], MARKET_DTYPE)

    def hold_back(self) -> None:
        """Read a tenth of what the exchange sends until enough was merged."""
        deadline = time.monotonic() + DEADLINE_S
        start = self.delivered()
        before = self.read_count
        while self.feed.counter("conflated_total") < MERGED_MIN:
            assert time.monotonic() < deadline, self.feed.counter("conflated_total")
            assert self.feed.process.poll() is None
            self.offered = self.delivered() - start
            self.taken = self.read_count - before
            allowed = self.offered // SHARE - self.taken
            if allowed > 0:
                self.read(min(allowed, SLOTS))
            time.sleep(TURN_S)


@pytest.fixture(scope="module")
def overload(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Overload]:
    patch = pytest.MonkeyPatch()
    rows = tuple(
        (kind, SLOTS if kind == "market" else slots, size, readers)
        for kind, slots, size, readers in segments.RING_ROWS
    )
    patch.setattr(segments, "RING_ROWS", rows)
    running = Overload(tmp_path_factory.mktemp("home"))
    patch.undo()
    try:
        running.feed.wait("every stream", lambda: running.feed.state >= RoleState.SYNCED)
        running.exchange.call("POST", "/practice/play")
        running.feed.wait("ready", lambda: running.feed.state is RoleState.READY)
        running.feed.wait("books", lambda: books_live(running.feed) == INSTRUMENTS)
        yield running
    finally:
        running.close()


def books_live(feed: FeedRole) -> int:
    records = feed.seen
    changes = records[
        (records["record_type"] == RecordType.LIVENESS) & (records["aux"] == Channel.BOOK)
    ]
    last = {int(r["instrument_index"]): int(r["liveness"]) for r in changes}
    return sum(1 for state in last.values() if state == Liveness.LIVE)


def test_ten_times_the_readers_rate_ends_with_the_exchanges_own_books(overload: Overload) -> None:
    feed, exchange = overload.feed, overload.exchange
    overload.hold_back()
    assert overload.offered >= 9 * overload.taken, "the load was ten times what was taken"
    beat_ns = feed.segments.control.heartbeat_ns(RolePage.FEED, 0)
    assert time.monotonic_ns() - beat_ns < 1_000_000_000, "the feed turns while readers are behind"

    exchange.call("POST", "/practice/end")
    delivered = overload.delivered()
    feed.wait("every frame", lambda: feed.counter("frames_total") >= overload.delivered())
    assert overload.delivered() == delivered
    feed.wait("everything that waited", lambda: is_all_read(feed))
    records = feed.drain()
    assert (np.diff(records["sequence"]) == 1).all()
    assert feed.counter("rejected_total") == 0
    assert (records["flags"] & CONFLATED).any()
    compare(feed, exchange, records)


def is_all_read(feed: FeedRole) -> bool:
    """Return whether the core's counters, stored a few times a second, show nothing unread."""
    return len(feed.drain()) == feed.counter("records_total")


def compare(feed: FeedRole, exchange: PracticeExchange, records: np.ndarray) -> None:
    """Compare quote and book of every instrument with the exchange's own."""
    buffer = feed.segments.instruments.buffer
    view = DepthView(feed.segments.instruments, feed.segments.depth)
    for index in range(len(read_instruments(buffer))):
        row = unpack_row(buffer, index)
        mine = records[records["instrument_index"] == index]
        reader = LevelReader()
        for record in mine[mine["record_type"] == RecordType.LEVEL]:
            reader.apply(record, LEVEL_SNAPSHOT_FIRST)
        depth = exchange.call("GET", f"/fapi/v1/depth?symbol={row.symbol}&limit=20")
        wanted = [
            [(row.price_ticks(price), row.qty_lots(qty)) for price, qty in depth[side]]
            for side in ("bids", "asks")
        ]
        assert list(reader.top()) == wanted, row.symbol
        status, whole = view.answer(row.symbol, 1_000)
        depth = exchange.call("GET", f"/fapi/v1/depth?symbol={row.symbol}&limit=1000")
        assert (status, whole["valid"]) == (200, True), row.symbol
        for side in ("bids", "asks"):
            known = [(row.price_ticks(p), row.qty_lots(q)) for p, q in whole[side]]
            assert known == [(row.price_ticks(p), row.qty_lots(q)) for p, q in depth[side]]
        quote = mine[mine["record_type"] == RecordType.QUOTE][-1]
        shown = exchange.call("GET", f"/fapi/v1/ticker/bookTicker?symbol={row.symbol}")
        best = [
            (row.price_ticks(shown[f"{side}Price"]), row.qty_lots(shown[f"{side}Qty"]))
            for side in ("bid", "ask")
        ]
        assert [
            (int(quote["bid_price_ticks"]), int(quote["bid_qty_lots"])),
            (int(quote["ask_price_ticks"]), int(quote["ask_qty_lots"])),
        ] == best, row.symbol
