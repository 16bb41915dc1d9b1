"""A poisoned id, time or price cannot blind the feed: jumps are bounded, runs resynchronise."""

from __future__ import annotations

import pytest

from engine.domain.codes import GapReason, RecordType
from engine.domain.firewall_reasons import FirewallReason
from native_ext import _feed
from tests.feed_rig import MS, FeedRig, Frames, S

R = FirewallReason
RUN = _feed.RUN_TO_ACCEPT
RESYNCS = 7  # position in the core's counters


def started() -> tuple[FeedRig, Frames]:
    rig, frames = FeedRig(), Frames()
    assert rig.decode(frames.trade(rig.venue_ms)) == 0
    assert rig.decode(frames.book_ticker(rig.venue_ms)) == 0
    rig.records()
    return rig, frames


def test_a_poisoned_id_inside_the_bound_blinds_for_one_run_only() -> None:
    rig, frames = started()
    good = frames.trade_id
    assert rig.decode(frames.trade(rig.venue_ms, t=good + 900_000)) == 0
    results = []
    for step in range(1, RUN + 2):
        rig.now_ns += MS
        results.append(rig.decode(frames.trade(rig.venue_ms, t=good + step)))
    assert results == [R.ID_OUT_OF_ORDER] * (RUN - 1) + [0, 0]
    assert rig.core.counters()[RESYNCS] == 1


def test_a_poisoned_time_inside_the_bound_blinds_no_longer_than_the_bound() -> None:
    rig, frames = started()
    good = frames.trade_id
    assert rig.decode(frames.trade(rig.venue_ms + 4_000, t=good + 900_000)) == 0
    accepted_after_ms = None
    for step in range(1, 200):
        rig.now_ns += 50 * MS
        if rig.decode(frames.trade(rig.venue_ms, t=good + step)) == 0:
            accepted_after_ms = step * 50
            break
    assert accepted_after_ms is not None
    assert accepted_after_ms <= 4_000 + RUN * 50


def test_a_flood_of_one_duplicate_never_becomes_the_reference() -> None:
    rig, frames = started()
    old = frames.trade(rig.venue_ms, t=frames.trade_id - 100)
    for _ in range(10 * RUN):
        assert rig.decode(old) == R.ID_OUT_OF_ORDER
    frames.trade_id = 5_266_583_936
    assert rig.decode(frames.trade(rig.venue_ms)) == 0


def test_the_backlog_of_a_lagging_connection_is_not_accepted() -> None:
    rig, frames = started()
    last = frames.trade_id
    for step in range(4 * RUN):
        frame = frames.trade(rig.venue_ms - 5_000 + step, t=last - 1_000 + step)
        assert rig.decode(frame) == R.ID_OUT_OF_ORDER
    assert rig.core.counters()[RESYNCS] == 0


def test_a_real_move_is_accepted_after_a_run_that_agrees() -> None:
    rig, frames = started()
    rig.now_ns += 6 * S  # no other stream said anything lately
    frames.mid = 50_000.0
    results = [rig.decode(frames.trade(rig.venue_ms)) for _ in range(RUN + 2)]
    assert results == [R.PRICE_JUMP] * (RUN - 1) + [0, 0, 0]


def test_a_price_that_another_stream_contradicts_is_not_believed_however_often() -> None:
    rig, frames = started()
    believed = frames.mid
    for _ in range(20 * RUN):
        rig.now_ns += 100 * MS
        frames.mid = 50_000.0
        assert rig.decode(frames.trade(rig.venue_ms)) == R.PRICE_JUMP
        frames.mid = believed
        assert rig.decode(frames.book_ticker(rig.venue_ms, B=f"{rig.now_ns % 977 + 1}.000")) == 0


def test_a_market_that_moves_as_a_whole_is_believed_within_the_age_of_a_witness() -> None:
    rig, frames = started()
    frames.mid = 50_000.0
    start_ns = rig.now_ns
    while True:
        rig.now_ns += 100 * MS
        results = [
            rig.decode(frames.trade(rig.venue_ms)),
            rig.decode(frames.book_ticker(rig.venue_ms, B=f"{rig.now_ns % 977 + 1}.000")),
        ]
        if results == [0, 0]:
            break
        assert set(results) <= {0, R.PRICE_JUMP}
        assert rig.now_ns - start_ns < 7 * S


@pytest.mark.parametrize("stays", [True, False])
def test_a_live_book_says_whether_the_quotes_jumped(stays: bool) -> None:
    rig, frames = started()
    depth = Frames()
    rig.decode(depth.depth(rig.venue_ms))
    price = 61_800 if stays else 50_000
    body = {"bids": [[f"{price - 1}.00", "1"]], "asks": [[f"{price + 1}.00", "1"]]}
    assert rig.snapshot(0, {"lastUpdateId": depth.update_id} | body) == 0
    frames.update_id += 5  # no id that a diff has
    frames.mid = 50_000.0
    results = [rig.decode(frames.book_ticker(rig.venue_ms)) for _ in range(RUN + 2)]
    assert results[: RUN - 1] == [R.PRICE_JUMP] * (RUN - 1)
    assert results[RUN - 1 :] == ([R.PRICE_JUMP] if stays else [0]) * 3


def test_prices_that_disagree_with_each_other_never_add_up_to_a_run() -> None:
    rig, frames = started()
    for step in range(6 * RUN):
        frames.mid = 20_000.0 if step % 2 else 40_000.0
        assert rig.decode(frames.trade(rig.venue_ms)) == R.PRICE_JUMP
    frames.mid = 61_800.0
    assert rig.decode(frames.trade(rig.venue_ms)) == 0


def test_a_price_older_than_its_age_refuses_no_other() -> None:
    rig, frames = started()
    rig.now_ns += 61_000 * MS
    frames.mid = 50_000.0
    assert rig.decode(frames.trade(rig.venue_ms)) == 0


def test_a_coarse_tick_makes_no_jump() -> None:
    rig, frames = FeedRig(), Frames(mid=0.5)
    assert rig.decode(frames.book_ticker(rig.venue_ms)) == 0
    frames.mid = 0.7  # two ticks, forty percent
    assert rig.decode(frames.book_ticker(rig.venue_ms)) == 0


def test_streams_of_one_instrument_keep_their_own_ids() -> None:
    rig, frames = started()
    assert rig.decode(frames.agg_trade(rig.venue_ms, a=7)) == 0
    assert rig.decode(frames.trade(rig.venue_ms)) == 0
    assert rig.decode(frames.agg_trade(rig.venue_ms, a=8)) == 0


def test_trades_passed_over_leave_a_gap_record_that_counts_them() -> None:
    rig, frames = started()
    last = frames.trade_id
    frames.trade_id += 41
    assert rig.decode(frames.trade(rig.venue_ms)) == 0
    gap, trade = rig.records()
    assert gap["record_type"] == RecordType.GAP
    assert gap["gap_reason"] == GapReason.SEQUENCE
    assert (gap["lost_count"], gap["first_id"], gap["last_id"]) == (41, last + 1, last + 41)
    assert trade["record_type"] == RecordType.TRADE


def test_quotes_passed_over_are_no_gap_because_their_ids_are_not_dense() -> None:
    rig, frames = started()
    frames.update_id += 10_000
    assert rig.decode(frames.book_ticker(rig.venue_ms)) == 0
    assert len(rig.records(RecordType.GAP)) == 0


@pytest.mark.parametrize("lost", [0, 5])
def test_after_a_reconnect_what_was_lost_is_said_and_any_jump_forward_is_taken(lost: int) -> None:
    rig, frames = started()
    rig.core.disconnected(0, 1, rig.now_ns)
    rig.core.subscribed(0, 1, rig.now_ns)
    rig.records()
    frames.trade_id += lost
    frames.mid = 30_000.0
    assert rig.decode(frames.trade(rig.venue_ms)) == 0
    gaps = rig.records(RecordType.GAP)
    assert [int(gap["lost_count"]) for gap in gaps] == ([lost] if lost else [])
    assert all(gap["gap_reason"] == GapReason.RECONNECT for gap in gaps)


def test_a_mark_price_older_than_the_last_is_refused() -> None:
    rig, frames = started()
    assert rig.decode(frames.mark_price(rig.venue_ms)) == 0
    assert rig.decode(frames.mark_price(rig.venue_ms)) == R.ID_DUPLICATE
    assert rig.decode(frames.mark_price(rig.venue_ms - 1_000)) == R.ID_OUT_OF_ORDER
    assert rig.decode(frames.mark_price(rig.venue_ms + 1_000)) == 0
