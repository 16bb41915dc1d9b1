"""The state of a channel is decided from its own cadence and travels on the ring."""

from __future__ import annotations

import pytest

from engine.domain.codes import Channel, Liveness, RecordType
from engine.venues.binance.market import CADENCES
from tests.feed_rig import MS, FeedRig, Frames, S


def subscribed() -> tuple[FeedRig, Frames]:
    rig = FeedRig()
    for channel in Channel:
        rig.core.subscribed(0, channel, rig.now_ns)
    rig.core.flush(rig.now_ns)
    return rig, Frames()


def test_a_channel_goes_from_connecting_to_syncing_to_live() -> None:
    rig = FeedRig()
    assert rig.liveness(0, Channel.QUOTE) is Liveness.CONNECTING
    rig.core.subscribed(0, Channel.QUOTE, rig.now_ns)
    assert rig.liveness(0, Channel.QUOTE) is Liveness.SYNCING
    rig.decode(Frames().book_ticker(rig.venue_ms))
    assert rig.liveness(0, Channel.QUOTE) is Liveness.LIVE
    changes = rig.records(RecordType.LIVENESS)
    assert changes["liveness"].tolist() == [Liveness.SYNCING, Liveness.LIVE]
    assert changes["liveness_before"].tolist() == [Liveness.CONNECTING, Liveness.SYNCING]
    assert changes["since_ns"].tolist() == [rig.now_ns, rig.now_ns]


def test_a_sporadic_channel_is_live_once_subscribed_and_never_goes_stale() -> None:
    rig, _ = subscribed()
    assert rig.liveness(0, Channel.LIQUIDATION) is Liveness.LIVE
    rig.core.check_liveness(rig.now_ns + 86_400 * S)
    assert rig.liveness(0, Channel.LIQUIDATION) is Liveness.LIVE


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        (Channel.QUOTE, Liveness.SILENT),
        (Channel.TRADE, Liveness.SILENT),
        (Channel.BOOK, Liveness.SILENT),
        (Channel.BAR, Liveness.UNSUPPORTED),
        (Channel.MARK, Liveness.UNSUPPORTED),
    ],
)
def test_a_first_record_that_never_comes_has_a_name(channel: Channel, expected: Liveness) -> None:
    rig, _ = subscribed()
    deadline = CADENCES[channel][0]
    rig.core.check_liveness(rig.now_ns + deadline)
    assert rig.liveness(0, channel) is Liveness.SYNCING
    rig.core.check_liveness(rig.now_ns + deadline + 1)
    assert rig.liveness(0, channel) is expected


def test_a_channel_that_was_given_up_is_live_again_with_its_first_record() -> None:
    rig, frames = subscribed()
    rig.now_ns += 20 * S
    rig.core.check_liveness(rig.now_ns)
    assert rig.liveness(0, Channel.MARK) is Liveness.UNSUPPORTED
    rig.decode(frames.mark_price(rig.venue_ms))
    assert rig.liveness(0, Channel.MARK) is Liveness.LIVE


@pytest.mark.parametrize("interval_ms", [1, 500, 4_000])
def test_stale_is_a_multiple_of_the_channels_own_pace(interval_ms: int) -> None:
    rig, frames = subscribed()
    for step in range(200):
        rig.now_ns += interval_ms * MS
        rig.decode(frames.book_ticker(rig.venue_ms, B=f"{1 + step % 2}.000"))
    _, floor, ceiling = CADENCES[Channel.QUOTE]
    pace = rig.core.channel(0, Channel.QUOTE)[3]
    assert pace == pytest.approx(interval_ms * MS, rel=0.15, abs=20 * MS)
    limit = min(max(32 * pace, floor), ceiling)
    rig.core.check_liveness(rig.now_ns + limit)
    assert rig.liveness(0, Channel.QUOTE) is Liveness.LIVE
    rig.core.check_liveness(rig.now_ns + limit + 1)
    assert rig.liveness(0, Channel.QUOTE) is Liveness.STALE
    rig.now_ns += limit + 2
    rig.decode(frames.book_ticker(rig.venue_ms))
    assert rig.liveness(0, Channel.QUOTE) is Liveness.LIVE


def test_a_refused_record_keeps_nothing_alive() -> None:
    rig, frames = subscribed()
    rig.decode(frames.book_ticker(rig.venue_ms))
    for _ in range(100):
        rig.now_ns += 100 * MS
        rig.decode(frames.book_ticker(rig.venue_ms, b="NaN"))
    rig.core.check_liveness(rig.now_ns)
    assert rig.liveness(0, Channel.QUOTE) is Liveness.STALE


def test_a_lost_connection_is_connecting_and_takes_the_book_with_it() -> None:
    rig, frames = subscribed()
    rig.decode(frames.depth(rig.venue_ms, [("61800.00", "1.000")], [("61801.00", "1.000")]))
    rig.snapshot(0, {"lastUpdateId": frames.update_id, "bids": [], "asks": []})
    assert rig.liveness(0, Channel.BOOK) is Liveness.LIVE
    rig.core.disconnected(0, Channel.BOOK, rig.now_ns)
    assert rig.liveness(0, Channel.BOOK) is Liveness.CONNECTING
    assert rig.core.book(0)[0] == 1, "syncing again"


def test_a_change_is_said_once() -> None:
    rig, frames = subscribed()
    rig.decode(frames.book_ticker(rig.venue_ms))
    rig.records()
    for _ in range(10):
        rig.decode(frames.book_ticker(rig.venue_ms))
        rig.core.check_liveness(rig.now_ns)
    assert len(rig.records(RecordType.LIVENESS)) == 0


def test_a_channel_that_is_not_enabled_says_nothing() -> None:
    rig = FeedRig(channels=False)
    rig.decode(Frames().book_ticker(rig.venue_ms))
    rig.core.set_liveness(0, Channel.TRADE, rig.now_ns, Liveness.LIVE)
    assert rig.records()["record_type"].tolist() == [RecordType.QUOTE]


def test_a_held_channel_is_invalid_whatever_arrives_and_its_records_go_on() -> None:
    rig, frames = subscribed()
    rig.decode(frames.book_ticker(rig.venue_ms))
    rig.records()
    rig.core.hold(0, Channel.QUOTE, rig.now_ns, 1)
    rig.core.hold(0, Channel.QUOTE, rig.now_ns, 1)
    for _ in range(3):
        rig.now_ns += 100 * MS
        rig.decode(frames.book_ticker(rig.venue_ms))
        rig.core.check_liveness(rig.now_ns)
    rig.core.check_liveness(rig.now_ns + 3_600 * S)
    rig.core.disconnected(0, Channel.QUOTE, rig.now_ns)
    rig.core.subscribed(0, Channel.QUOTE, rig.now_ns)
    assert rig.liveness(0, Channel.QUOTE) is Liveness.INVALID
    records = rig.records()
    assert (records["record_type"] == RecordType.QUOTE).sum() == 3
    changes = records[(records["record_type"] == RecordType.LIVENESS) & (records["aux"] == 0)]
    assert changes["liveness"].tolist() == [Liveness.INVALID], "said once"
    assert rig.liveness(1, Channel.QUOTE) is Liveness.CONNECTING, "the neighbour is as it was"


def test_a_channel_let_go_is_live_with_its_next_record_or_misses_its_deadline() -> None:
    rig, frames = subscribed()
    rig.core.hold(0, Channel.QUOTE, rig.now_ns, 1)
    rig.now_ns += 3_600 * S
    rig.core.set_clock(rig.now_ns, rig.venue_ms * MS, 0, 0)
    rig.core.hold(0, Channel.QUOTE, rig.now_ns, 0)
    rig.core.check_liveness(rig.now_ns + 1)
    assert rig.liveness(0, Channel.QUOTE) is Liveness.SYNCING
    rig.core.check_liveness(rig.now_ns + CADENCES[Channel.QUOTE][0] + 1)
    assert rig.liveness(0, Channel.QUOTE) is Liveness.SILENT
    assert rig.decode(frames.book_ticker(rig.venue_ms)) == 0
    assert rig.liveness(0, Channel.QUOTE) is Liveness.LIVE


def test_a_channel_may_be_held_before_it_is_enabled() -> None:
    rig = FeedRig(channels=False)
    rig.core.hold(0, Channel.QUOTE, rig.now_ns, 1)
    rig.core.enable(0, Channel.QUOTE, rig.now_ns)
    assert rig.liveness(0, Channel.QUOTE) is Liveness.INVALID
    with pytest.raises((IndexError, ValueError)):
        rig.core.hold(7, Channel.QUOTE, rig.now_ns, 1)
