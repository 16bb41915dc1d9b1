"""A full ring: nothing waits, nothing is lost silently, the latest survives."""

from __future__ import annotations

import numpy as np
import pytest

from engine.domain.codes import (
    BAR_FINAL,
    CONFLATED,
    LEVEL_LAST_OF_DIFF,
    LEVEL_SNAPSHOT_FIRST,
    TRADE_BUYER_AGGRESSOR,
    Channel,
    Liveness,
    RecordType,
)
from engine.domain.firewall_reasons import FirewallReason
from engine.domain.records import MARKET_DTYPE
from engine.store.reader import join_records
from tests.feed_decoder import LevelReader
from tests.feed_rig import FeedRig, Frames

CONFLATED_COUNT = 6  # position in the core's counters


def filled(capacity: int = 64) -> tuple[FeedRig, Frames]:
    """Return a rig whose ring is full of quotes, with every channel of BTC live."""
    rig, frames = FeedRig(capacity=capacity), Frames()
    for frame in (
        frames.trade(rig.venue_ms),
        frames.kline(rig.venue_ms),
        frames.mark_price(rig.venue_ms),
        frames.force_order(rig.venue_ms),
    ):
        assert rig.decode(frame) == 0
    rig.records()
    while rig.ring.producer().refused_count == 0:
        assert rig.decode(frames.book_ticker(rig.venue_ms)) == 0
    return rig, frames


def drained(rig: FeedRig) -> np.ndarray:
    """Read everything there is, letting the core flush what waited until nothing does."""
    parts = [rig.records()]
    while rig.core.flush(rig.now_ns) or len(parts[-1]):
        parts.append(rig.records())
    return join_records(parts, MARKET_DTYPE)


def test_the_latest_quote_survives_and_the_others_are_counted() -> None:
    rig, frames = filled()
    before = rig.core.counters()[CONFLATED_COUNT]
    for step in range(100):
        frames.mid = 61_800.0 + step
        assert rig.decode(frames.book_ticker(rig.venue_ms)) == 0
    records = drained(rig)
    assert len(records) == rig.ring.capacity + 1
    last = records[-1]
    assert last["bid_price_ticks"] == 618_990
    assert last["flags"] & CONFLATED
    assert rig.core.counters()[CONFLATED_COUNT] - before == 100
    assert rig.ring.producer().conflated_count == rig.core.counters()[CONFLATED_COUNT]


def test_trades_are_summed_per_side() -> None:
    rig, frames = filled()
    for step in range(10):
        frame = frames.trade(rig.venue_ms, m=bool(step % 2), q=f"0.{step + 1:03d}")
        assert rig.decode(frame) == 0
    trades = drained(rig)
    trades = trades[trades["record_type"] == RecordType.TRADE]
    by_side = {int(t["flags"]) & TRADE_BUYER_AGGRESSOR: t for t in trades}
    assert by_side[TRADE_BUYER_AGGRESSOR]["qty_lots"] == 1 + 3 + 5 + 7 + 9
    assert by_side[0]["qty_lots"] == 2 + 4 + 6 + 8 + 10
    assert [int(t["trade_count"]) for t in by_side.values()] == [5, 5]
    assert {int(t["trade_id"]) for t in trades} == {frames.trade_id, frames.trade_id - 1}
    assert all(t["flags"] & CONFLATED for t in trades)


def test_a_final_bar_is_not_replaced_by_the_next_open_one() -> None:
    rig, frames = filled()
    minute = rig.venue_ms // 60_000 * 60_000
    rig.decode(frames.kline(rig.venue_ms, x=True, t=minute - 60_000, T=minute - 1))
    for step in range(5):
        rig.decode(frames.kline(rig.venue_ms, v=f"{step + 101}.000"))
    records = drained(rig)
    bars = records[records["record_type"] == RecordType.BAR]
    assert [int(b["flags"]) & BAR_FINAL for b in bars] == [BAR_FINAL, 0]
    assert bars["volume_lots"].tolist() == [100_000, 105_000]


def test_gaps_add_up() -> None:
    rig, frames = filled()
    first = frames.trade_id + 1
    for _ in range(3):
        frames.trade_id += 10
        assert rig.decode(frames.trade(rig.venue_ms)) == 0
    records = drained(rig)
    (gap,) = records[records["record_type"] == RecordType.GAP]
    assert (gap["lost_count"], gap["first_id"]) == (30, first)


def test_liveness_and_everything_else_leaves_in_an_order_that_readers_can_trust() -> None:
    rig, frames = filled()
    frames.trade_id += 10
    rig.decode(frames.trade(rig.venue_ms))
    rig.core.set_liveness(0, Channel.MARK, rig.now_ns, Liveness.STALE)
    rig.decode(frames.mark_price(rig.venue_ms + 1_000))
    rig.core.set_liveness(0, Channel.BAR, rig.now_ns, Liveness.STALE)
    tail = drained(rig)[rig.ring.capacity :]
    types = tail["record_type"].tolist()
    assert types[0] == RecordType.GAP
    assert types.index(RecordType.TRADE) > 0
    assert types[-1] == RecordType.LIVENESS
    assert tail[-1]["liveness"] == Liveness.STALE
    assert tail[-1]["aux"] == Channel.BAR, "the mark is live again: nobody need know it was not"


@pytest.mark.parametrize("diff_count", [1, 30])
def test_a_book_that_fell_behind_catches_up_in_one_go(diff_count: int) -> None:
    rig, frames = FeedRig(capacity=128), Frames()
    levels = [(f"{61_800 - n}.00", "1.000") for n in range(25)]
    asks = [(f"{61_801 + n}.00", "1.000") for n in range(25)]
    rig.decode(frames.depth(rig.venue_ms, levels, asks))
    assert rig.snapshot(0, {"lastUpdateId": frames.update_id - 1, "bids": [], "asks": []}) == 0
    reader = LevelReader()
    for record in rig.records(RecordType.LEVEL):
        reader.apply(record, LEVEL_SNAPSHOT_FIRST)
    while rig.ring.producer().refused_count == 0:
        rig.decode(frames.trade(rig.venue_ms))
    rig.decode(frames.trade(rig.venue_ms))
    for step in range(diff_count):
        change = [(f"{61_800 - step}.00", "0.000"), (f"{61_700 - step}.00", "2.000")]
        assert (
            rig.decode(frames.depth(rig.venue_ms, change, [("61801.00", f"{step + 2}.000")])) == 0
        )
    tail = drained(rig)
    behind = tail[tail["record_type"] == RecordType.LEVEL]
    assert behind["flags"][-1] & LEVEL_LAST_OF_DIFF
    assert not (behind["flags"][:-1] & LEVEL_LAST_OF_DIFF).any()
    assert (behind["flags"] & CONFLATED).all()
    for record in behind:
        reader.apply(record, LEVEL_SNAPSHOT_FIRST)
    _, _, bids, asks_kept = rig.core.book(0)
    assert reader.top() == (bids[:20], asks_kept[:20])


def test_instruments_that_wait_leave_in_the_order_in_which_they_began_to() -> None:
    rig, frames = filled()
    other = Frames("ETHUSDT", 2_681.62)
    rig.core.check_liveness(rig.now_ns)
    assert rig.decode(frames.book_ticker(rig.venue_ms)) == 0
    assert rig.decode(other.book_ticker(rig.venue_ms, a="2681.63")) == 0
    assert rig.core.flush(rig.now_ns) == 2
    tail = drained(rig)[rig.ring.capacity :]
    quotes = tail[tail["record_type"] == RecordType.QUOTE]
    assert quotes["instrument_index"].tolist() == [0, 1]


def test_a_record_that_waited_alone_is_not_called_merged() -> None:
    rig, frames = filled()
    assert rig.decode(frames.trade(rig.venue_ms)) == 0
    trades = drained(rig)
    trades = trades[trades["record_type"] == RecordType.TRADE]
    assert [int(t["flags"]) & CONFLATED for t in trades] == [0]


def test_a_book_that_crossed_while_it_waited_is_not_shown_until_it_uncrosses() -> None:
    rig, frames = FeedRig(capacity=64), Frames()
    rig.decode(frames.depth(rig.venue_ms, [("61800.00", "1.000")], [("61801.00", "1.000")]))
    assert rig.snapshot(0, {"lastUpdateId": frames.update_id - 1, "bids": [], "asks": []}) == 0
    reader = LevelReader()
    for record in rig.records(RecordType.LEVEL):
        reader.apply(record, LEVEL_SNAPSHOT_FIRST)
    while rig.ring.producer().refused_count == 0:
        rig.decode(frames.trade(rig.venue_ms))
    assert rig.decode(frames.depth(rig.venue_ms, [("61799.00", "2.000")])) == 0, "it waits"
    crossing = frames.depth(rig.venue_ms, [("61802.00", "3.000")])
    assert rig.decode(crossing) == FirewallReason.BOOK_CROSSED
    tail = drained(rig)
    assert len(tail[tail["record_type"] == RecordType.LEVEL]) == 0
    uncrossing = frames.depth(rig.venue_ms, [("61802.00", "0.000")])
    assert rig.decode(uncrossing) == 0
    for record in rig.records(RecordType.LEVEL):
        reader.apply(record, LEVEL_SNAPSHOT_FIRST)
    _, _, bids, asks = rig.core.book(0)
    assert reader.top() == (bids, asks)
    assert (617_990, 2_000) in bids
