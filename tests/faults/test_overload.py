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

from engine.domain.codes import CONFLATED, Channel, Liveness, RecordType
from engine.domain.records import MARKET_DTYPE
from engine.processes import segments
from engine.processes.control import RolePage, RoleState
from engine.store.reader import join_records
from tests.exchange_process import PracticeExchange
from tests.feed_role import FeedRole
from tests.market_comparison import compare_markets, delivered, end_market

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

    def delivered(self) -> int:
        return delivered(self.exchange)

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

    def turn(self) -> None:
        """Wait for the feed's next heartbeat while both readers are behind."""
        deadline, control = time.monotonic() + DEADLINE_S, self.feed.segments.control
        beat_ns = control.heartbeat_ns(RolePage.FEED, 0)
        while control.heartbeat_ns(RolePage.FEED, 0) == beat_ns:
            assert time.monotonic() < deadline, "the feed stands still"
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
    overload.turn()
    end_market(feed, exchange)
    assert feed.counter("frames_total") == overload.delivered(), "no frame was left behind"
    assert (np.diff(feed.seen["sequence"]) == 1).all()
    assert feed.counter("rejected_total") == 0
    assert (feed.seen["flags"] & CONFLATED).any()
    compare_markets(feed, exchange)
