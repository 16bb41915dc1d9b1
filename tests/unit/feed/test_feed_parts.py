"""The parts of the feed role: snapshots at a pace, refusals as events, counters by one table."""

from __future__ import annotations

import asyncio
import os
import re
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import VenueClock
from engine.domain.codes import EventType, Liveness, Role
from engine.domain.firewall_reasons import FirewallReason
from engine.domain.records import EVENT_DTYPE
from engine.processes import feed_books
from engine.processes.control import RolePage
from engine.processes.feed_books import BookSnapshots
from engine.processes.feed_counters import FeedCounters
from engine.processes.feed_rejects import SHOWN_NS, RejectEvents
from engine.telemetry import CORE_COUNTERS, FEED_COUNTERS, REJECT_COUNTERS
from engine.venues.venue import ClockSample, NotExecutedError, RateLimitError, VenueError
from native_ext import _feed
from ringbuffer.counters import CountersSegment, bucket_index
from ringbuffer.ring import Consumer, Producer, Ring
from tests.feed_rig import BTC, ETH, FeedRig, Frames, S

ROOT = Path(__file__).resolve().parents[3]


class Venue:
    """A depth endpoint that answers what a test says, and notes when it was asked."""

    name = "test"

    def __init__(self, answer: Callable[[str, int], bytes]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, float]] = []
        self.running = 0
        self.running_max = 0

    async def fetch_book_snapshot(self, symbol: str, limit: int) -> bytes:
        assert limit == 1000
        self.asked.append((symbol, asyncio.get_running_loop().time()))
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        await asyncio.sleep(0.002)
        self.running -= 1
        return self.answer(symbol, len(self.asked))

    async def fetch_instruments(self) -> list:
        return []

    async def fetch_clock(self) -> ClockSample:
        return ClockSample(0, 0, 0)

    async def close(self) -> None:
        return


class Sources:
    """What the counters show of the connections."""

    def counts(self) -> dict[str, int]:
        return {"connects_total": 4, "channels_live": 7}


class Choice:
    """What the counters show of how the instruments were chosen."""

    fallback_count = 20
    failure_count = 4


class Listing:
    """What the counters show of the instruments' standing."""

    def __init__(self) -> None:
        self.held = {1: "status SETTLING"}
        self.failure_count = 3


def fetching(
    rig: FeedRig, venue: Venue, body: Callable[[BookSnapshots, list[str]], Awaitable[None]]
) -> None:
    async def run() -> None:
        failures: list[str] = []
        books = BookSnapshots(
            rig.core,
            venue,
            [BTC.symbol, ETH.symbol],
            2,
            lambda symbol, text: failures.append(f"{symbol} {text}"),
        )
        task = asyncio.create_task(books.run())
        try:
            await asyncio.wait_for(body(books, failures), 20)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110  the state is in C
            await asyncio.sleep(0.001)


def snapshot(update_id: int) -> bytes:
    return b'{"lastUpdateId":%d,"bids":[["1.00","1"]],"asks":[["2.00","1"]]}' % update_id


def test_a_refused_snapshot_is_fetched_again_after_a_growing_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed_books, "RETRY_FIRST_S", 0.01)
    rig, frames = FeedRig(), Frames()
    rig.decode(frames.depth(rig.venue_ms))

    def answer(symbol: str, count: int) -> bytes:
        assert symbol == "BTCUSDT", "ETH has no diff yet"
        if count <= 4:
            raise NotExecutedError("Service Unavailable.", http_status=503)
        return snapshot(frames.update_id)

    async def body(books: BookSnapshots, failures: list[str]) -> None:
        await until(lambda: books.fetched_count == 1)
        assert (len(failures), books.failed_count) == (4, 4)
        times = [at for _, at in venue.asked]
        waits = np.diff(times)
        assert waits[-1] > waits[0]
        await until(lambda: books.waiting_count == 0)
        assert Liveness(rig.core.channel(0, 2)[0]) is Liveness.LIVE

    venue = Venue(answer)
    fetching(rig, venue, body)


def test_a_snapshot_that_is_too_old_is_fetched_again() -> None:
    rig, frames = FeedRig(), Frames()
    first = frames.update_id
    rig.decode(frames.depth(rig.venue_ms))
    venue = Venue(lambda _, count: snapshot(first - 5 if count < 3 else first))

    async def body(books: BookSnapshots, failures: list[str]) -> None:
        await until(lambda: books.fetched_count == 1)
        assert (books.failed_count, failures) == (2, [])

    fetching(rig, venue, body)


def test_a_snapshot_the_firewall_refuses_is_said_and_fetched_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed_books, "RETRY_FIRST_S", 0.001)
    rig, frames = FeedRig(), Frames()
    rig.decode(frames.depth(rig.venue_ms))
    venue = Venue(lambda _, count: b"<html>" if count == 1 else snapshot(frames.update_id))

    async def body(books: BookSnapshots, failures: list[str]) -> None:
        await until(lambda: books.fetched_count == 1)
        assert failures == [f"BTCUSDT refused by the firewall, reason {FirewallReason.MALFORMED}"]

    fetching(rig, venue, body)


def test_a_rate_limit_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_books, "RETRY_FIRST_S", 0.001)
    rig, frames = FeedRig(), Frames()
    rig.decode(frames.depth(rig.venue_ms))

    def answer(_: str, count: int) -> bytes:
        if count == 1:
            raise RateLimitError("429", retry_after_s=0.2)
        return snapshot(frames.update_id)

    async def body(books: BookSnapshots, failures: list[str]) -> None:
        await until(lambda: books.fetched_count == 1)
        assert venue.asked[1][1] - venue.asked[0][1] >= 0.1
        assert failures == ["BTCUSDT 429"]

    venue = Venue(answer)
    fetching(rig, venue, body)


def test_weight_runs_out_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_books, "BURST_WEIGHT", 20.0)
    monkeypatch.setattr(feed_books, "WEIGHT_PER_S", 100.0)
    rig = FeedRig()
    btc, eth = Frames(), Frames("ETHUSDT")
    rig.decode(btc.depth(rig.venue_ms))
    rig.decode(eth.depth(rig.venue_ms))
    venue = Venue(lambda s, _: snapshot((btc if s == "BTCUSDT" else eth).update_id))

    async def body(books: BookSnapshots, failures: list[str]) -> None:
        await until(lambda: books.fetched_count == 2)
        assert venue.asked[1][1] - venue.asked[0][1] >= 0.15, "20 of weight at 100 a second"
        assert failures == []

    fetching(rig, venue, body)


def test_refusals_become_one_event_per_reason_and_minute() -> None:
    rig, frames = FeedRig(), Frames()
    ring = Ring.local("reject-events", 64, 256, gating=(0,))
    producer, reader = Producer(ring), Consumer(ring, 0)
    events = RejectEvents(rig.core, producer)

    def heard() -> np.ndarray:
        slots = np.zeros(64, EVENT_DTYPE)
        first, count = reader.read_into(slots)
        if count:
            reader.advance(first + count)
        return slots[:count]

    assert events.publish(1) == 0
    for _ in range(7):
        rig.decode(frames.trade(rig.venue_ms, p="NaN"))
    rig.decode(b"{")
    assert events.publish(rig.now_ns) == 2
    malformed, not_finite = heard()
    assert (malformed["reason"], malformed["instrument_index"]) == (FirewallReason.MALFORMED, -1)
    assert malformed["event_type"] == EventType.RECORD_REJECTED
    assert malformed["role"] == Role.FEED
    assert not_finite["reason"] == FirewallReason.NOT_FINITE
    assert (not_finite["instrument_index"], not_finite["strategy_index"]) == (0, -1)
    assert not_finite["time_ns"] == rig.now_ns
    assert not_finite["text"] == b"7 refused by the feed"
    assert not_finite["request_id"] == 6, "refused without an event of their own"
    for _ in range(100):
        rig.decode(frames.trade(rig.venue_ms, p="NaN"))
    assert events.publish(rig.now_ns + SHOWN_NS - 1) == 0
    assert events.publish(rig.now_ns + SHOWN_NS) == 1
    (later,) = heard()
    assert (later["text"], later["request_id"]) == (b"107 refused by the feed", 99)


def test_a_full_event_ring_keeps_the_event_due() -> None:
    rig, frames = FeedRig(), Frames()
    ring = Ring.local("reject-events-full", 2, 256, gating=(0,))
    producer, reader = Producer(ring), Consumer(ring, 0)
    while producer.try_publish(bytes(248)) >= 0:
        pass
    events = RejectEvents(rig.core, producer)
    rig.decode(frames.trade(rig.venue_ms, p="NaN"))
    assert events.publish(rig.now_ns) == 0
    first, count = reader.poll(8)
    reader.advance(first + count)
    assert events.publish(rig.now_ns) == 1


def test_the_packed_event_has_the_tables_offsets() -> None:
    rig = FeedRig()
    rig.core.reject(FirewallReason.FRAME_KIND, b"\x00")
    events = RejectEvents(rig.core, None)  # type: ignore[arg-type]
    payload = events._event(FirewallReason.FRAME_KIND, 3, 2, 5 * S)
    (record,) = np.frombuffer(struct.pack("<q", 9) + payload, EVENT_DTYPE)
    for field, wanted in {
        "sequence": 9,
        "reason": FirewallReason.FRAME_KIND,
        "request_id": 1,
        "instrument_index": -1,
        "order_sequence": 0,
        "price_ticks": 0,
        "position_lots": 0,
        "input_0": 0.0,
    }.items():
        assert record[field] == wanted, field


def test_the_counters_page_holds_the_cores_own_numbers_and_the_histogram() -> None:
    name = f"feed-counters-test-{os.getpid()}"
    counters = CountersSegment.create(name, 4)
    try:
        rig, frames = FeedRig(), Frames()
        books = BookSnapshots(
            rig.core, Venue(lambda *_: b""), [BTC.symbol, ETH.symbol], 2, lambda *_: None
        )
        page = FeedCounters(counters, rig.core, books, VenueClock(), Choice(), Listing(), Sources())
        rig.decode(frames.trade(rig.venue_ms))
        rig.decode(b"{")
        page.store(rig.now_ns)
        shown = counters.page(RolePage.FEED)
        numbers = {row.name: shown.counter(word) for word, row in enumerate(FEED_COUNTERS)}
        assert numbers["frames_total"] == 2
        assert numbers["rejected_total"] == numbers["rejected_malformed_total"] == 1
        assert (numbers["connects_total"], numbers["channels_live"]) == (4, 7)
        assert (numbers["instruments_fallback"], numbers["discovery_failures_total"]) == (20, 4)
        assert (numbers["instruments_winding_down"], numbers["listing_failures_total"]) == (1, 3)
        reader = _feed.FrameReader(rig.core)
        reader.upgrade()
        reader.get_buffer(-1)
        reader.buffer_updated(0)
        assert shown.percentiles(0).sample_count == 1
        shown.release()
        rig.core.detach()
        page.release()
    finally:
        counters.close()
        counters.unlink()


def test_counters_are_declared_in_the_order_in_which_c_counts() -> None:
    header = (ROOT / "native_ext" / "feed.h").read_text()
    block = header[header.index("enum aegis_feed_counter") :]
    block = block[: block.index("AEGIS_FEED_COUNTER_COUNT")]
    in_c = [name.lower() for name in re.findall(r"AEGIS_FEED_([A-Z_]+)", block)]
    assert [row.name for row in CORE_COUNTERS] == [f"{name}_total" for name in in_c]
    assert len(REJECT_COUNTERS) == len(FirewallReason)
    assert len(FeedRig().core.counters()) == len(CORE_COUNTERS)
    assert len(FeedRig().core.rejects()) == len(REJECT_COUNTERS)


@given(number=st.one_of(st.integers(-5, 5_000), st.integers(0, 2**62)))
def test_the_decoders_histogram_has_the_rings_buckets(number: int) -> None:
    assert _feed.histogram_bucket(number) == bucket_index(number)


def test_errors_of_a_venue_name_their_numbers() -> None:
    error = VenueError("no", code=-1121, http_status=400)
    assert (error.code, error.http_status, str(error)) == (-1121, 400, "no")
