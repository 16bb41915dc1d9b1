"""What one connection knows of its own bytes: who spoke on it, how late, and what came twice."""

from __future__ import annotations

import json
import time

import pytest

from engine.domain.codes import Channel, RecordType
from engine.domain.firewall_reasons import FirewallReason
from engine.telemetry import CORE_COUNTERS
from native_ext import _feed
from tests.feed_rig import MS, FeedRig, Frame, Frames, S
from tests.stream_server import hold_clock, server_frame

R = FirewallReason
DUPLICATES = [row.name for row in CORE_COUNTERS].index("duplicates_total")


class Wire(_feed.FrameReader):
    """A connection whose bytes a test hands over itself."""

    def __init__(self, core: _feed.Core | None) -> None:
        del core
        self.upgrade()

    def take(self, *frames: Frame) -> None:
        """Receive frames in one read."""
        raw = b"".join(server_frame(json.dumps(f, separators=(",", ":")).encode()) for f in frames)
        room = self.get_buffer(0)
        room[: len(raw)] = raw
        self.buffer_updated(len(raw))


def pair(rig: FeedRig) -> tuple[Wire, Wire]:
    """Return two connections that deliver the same."""
    wires = Wire(rig.core), Wire(rig.core)
    for wire in wires:
        wire.is_shared = 1
    return wires


def test_what_two_connections_deliver_is_published_once_and_refused_never() -> None:
    rig, frames = FeedRig(), Frames()
    hold_clock(rig)
    first, second = pair(rig)
    ms = rig.venue_ms
    sent = [
        make(ms + step)
        for step in range(12)
        for make in (
            frames.book_ticker, frames.agg_trade, frames.mark_price, frames.kline,
            frames.force_order,
        )
    ]  # fmt: skip
    for start in range(0, len(sent), 20):
        first.take(*sent[start : start + 20])
        second.take(*sent[start : start + 20])
    assert rig.rejects() == {}
    assert rig.core.counters()[DUPLICATES] == len(sent)
    records = rig.records()
    for kind in (RecordType.QUOTE, RecordType.TRADE, RecordType.MARK, RecordType.BAR,
                 RecordType.LIQUIDATION):  # fmt: skip
        assert (records["record_type"] == kind).sum() == 12, kind
    assert (records["record_type"] == RecordType.GAP).sum() == 0


def test_a_backlog_of_one_millisecond_from_the_slower_connection_moves_nothing_back() -> None:
    rig, frames = FeedRig(), Frames()
    hold_clock(rig)
    first, second = pair(rig)
    sent = [frames.book_ticker(rig.venue_ms) for _ in range(4 * _feed.RUN_TO_ACCEPT)]
    first.take(*sent)
    second.take(*sent)
    assert len(rig.records(RecordType.QUOTE)) == len(sent)
    assert rig.rejects() == {}


def test_alone_a_connection_that_repeats_itself_is_refused() -> None:
    rig, frames = FeedRig(), Frames()
    hold_clock(rig)
    wire = Wire(rig.core)
    frame = frames.book_ticker(rig.venue_ms)
    wire.take(frame, frame)
    assert rig.rejects() == {R.ID_DUPLICATE: 1}


def test_what_one_connection_passed_over_the_other_fills() -> None:
    rig, frames = FeedRig(), Frames()
    hold_clock(rig)
    rig.core.set_healing(S)
    first, second = pair(rig)
    sent = [frames.agg_trade(rig.venue_ms + step) for step in range(30)]
    first.take(*sent[:10], *sent[15:])
    assert len(rig.records(RecordType.TRADE)) == 10
    second.take(*sent)
    trades = rig.records(RecordType.TRADE, RecordType.GAP)
    assert trades["trade_id"].tolist() == [frame["data"]["a"] for frame in sent[10:]]
    assert rig.rejects() == {}


def test_a_connection_knows_who_spoke_on_it_accepted_or_not() -> None:
    rig = FeedRig()
    hold_clock(rig)
    btc, eth = Frames("BTCUSDT"), Frames("ETHUSDT", 2_600.0)
    wire, other = Wire(rig.core), Wire(rig.core)
    wire.take(btc.book_ticker(rig.venue_ms), btc.depth(rig.venue_ms), eth.mark_price(rig.venue_ms))
    other.take(eth.agg_trade(rig.venue_ms, p="NaN"))
    assert wire.delivered(0) == 1 << Channel.QUOTE | 1 << Channel.BOOK
    assert wire.delivered(1) == 1 << Channel.MARK
    assert other.delivered(0) == 0
    assert other.delivered(1) == 1 << Channel.TRADE
    with pytest.raises(IndexError):
        wire.delivered(2)
    with pytest.raises(IndexError):
        Wire(None).delivered(0)


def test_lag_is_receive_time_less_event_time_on_the_venues_clock() -> None:
    rig, frames = FeedRig(), Frames()
    venue_ms = rig.venue_ms
    rig.core.set_clock(time.monotonic_ns(), venue_ms * MS, -1_000_000_000, 0)
    wire = Wire(rig.core)
    for late_ms in (30, 20, 10):
        wire.take(frames.book_ticker(venue_ms - late_ms))
    assert wire.take_lag() == (3, 60 * MS, 30 * MS)
    assert wire.take_lag() == (0, 0, 0)
    p50, p90, p99 = wire.lag_quantiles()
    assert p50 == pytest.approx(20 * MS, rel=0.07)
    assert p90 == p99 == pytest.approx(30 * MS, rel=0.07)


def test_one_read_counts_its_latest_frame_only_and_refused_frames_not_at_all() -> None:
    rig, frames = FeedRig(), Frames()
    venue_ms = rig.venue_ms
    rig.core.set_clock(time.monotonic_ns(), venue_ms * MS, -1_000_000_000, 0)
    wire = Wire(rig.core)
    wire.take(frames.book_ticker(venue_ms - 40), frames.book_ticker(venue_ms + 3))
    wire.take(frames.book_ticker(venue_ms - 3_600_000, T=venue_ms))
    wire.take(frames.book_ticker(venue_ms + 7))
    assert wire.take_lag() == (2, 33 * MS, 40 * MS)
