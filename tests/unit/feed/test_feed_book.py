"""A book follows the U/u/pu chain, merges its snapshot by update id, and knows what it knows."""

from __future__ import annotations

import pytest

from engine.domain.codes import (
    LEVEL_BID,
    LEVEL_LAST_OF_DIFF,
    LEVEL_SNAPSHOT_FIRST,
    Channel,
    Liveness,
    RecordType,
)
from engine.domain.firewall_reasons import FirewallReason
from engine.processes.feed_books import REPEAT_NS, BookRepeats
from native_ext import _feed
from tests.feed_decoder import LevelReader
from tests.feed_rig import FeedRig, Frame, Frames, instrument

SYNCING, LOADED, LIVE = 1, 2, 3
R = FirewallReason
BID, ASK = ("61800.00", "1.000"), ("61801.00", "1.000")
BODY = {"bids": [list(BID)], "asks": [list(ASK)]}


def body(update_id: int, **sides: list[list[str]]) -> Frame:
    return {"lastUpdateId": update_id, "E": 1, "T": 1} | BODY | sides


def live() -> tuple[FeedRig, Frames]:
    rig, frames = FeedRig(), Frames()
    assert rig.decode(frames.depth(rig.venue_ms)) == 0
    assert rig.snapshot(0, body(frames.update_id)) == 0
    rig.records()
    return rig, frames


def test_diffs_before_the_snapshot_are_held_and_replayed_over_it() -> None:
    rig, frames = FeedRig(), Frames()
    rig.decode(frames.depth(rig.venue_ms, [("61799.00", "9.000")]))
    inside = frames.update_id
    rig.decode(frames.depth(rig.venue_ms, [("61798.00", "2.000")], [("61801.00", "0.000")]))
    assert rig.core.books_wanting() == [0]
    assert len(rig.records(RecordType.LEVEL)) == 0
    assert rig.snapshot(0, body(inside, asks=[["61801.00", "1"], ["61802.00", "3"]])) == 0
    state, update_id, bids, asks = rig.core.book(0)
    assert (state, update_id) == (LIVE, frames.update_id)
    assert bids == [(618_000, 1_000), (617_980, 2_000)], "61799 is older than the snapshot"
    assert asks == [(618_020, 3_000)], "61801 was removed after it"


def test_a_fresh_book_is_published_whole_and_flagged() -> None:
    rig, frames = FeedRig(), Frames()
    rig.decode(frames.depth(rig.venue_ms))
    rig.snapshot(0, body(frames.update_id))
    records = rig.records()
    levels = records[records["record_type"] == RecordType.LEVEL]
    assert levels["price_ticks"].tolist() == [618_010, 618_000]
    assert levels["flags"].tolist() == [LEVEL_SNAPSHOT_FIRST, LEVEL_BID | LEVEL_LAST_OF_DIFF]
    assert levels["update_id"].tolist() == [frames.update_id] * 2
    assert records["record_type"][-1] == RecordType.LIVENESS, "live only behind its levels"
    assert records["liveness"][-1] == Liveness.LIVE


def test_only_changes_of_the_top_are_published() -> None:
    rig, frames = live()
    rig.decode(frames.depth(rig.venue_ms, [("61800.00", "2.000"), ("61799.50", "4.000")]))
    levels = rig.records(RecordType.LEVEL)
    assert [(int(r["price_ticks"]), int(r["qty_lots"])) for r in levels] == [
        (618_000, 2_000),
        (617_995, 4_000),
    ]
    rig.decode(frames.depth(rig.venue_ms, [("61800.00", "2.000"), ("61797.00", "0.000")]))
    assert len(rig.records(RecordType.LEVEL)) == 0, "nothing changed"


def test_a_level_that_leaves_the_top_is_removed_before_its_successor_is_added() -> None:
    rig, frames = live()
    deep = [(f"{61_800 - n}.00", "1.000") for n in range(30)]
    rig.decode(frames.depth(rig.venue_ms, deep))
    rig.records()
    rig.decode(frames.depth(rig.venue_ms, [("61795.00", "0.000"), ("61800.50", "5.000")]))
    levels = rig.records(RecordType.LEVEL)
    changes = [(int(r["price_ticks"]), int(r["qty_lots"])) for r in levels]
    assert changes == [(617_950, 0), (618_005, 5_000)]
    rig.decode(frames.depth(rig.venue_ms, [("61800.50", "0.000")]))
    levels = rig.records(RecordType.LEVEL)
    changes = [(int(r["price_ticks"]), int(r["qty_lots"])) for r in levels]
    assert changes == [(618_005, 0), (617_800, 1_000)], "the next best comes back into view"


def test_a_snapshot_older_than_the_first_diff_is_fetched_again() -> None:
    rig, frames = FeedRig(), Frames()
    first = frames.update_id
    rig.decode(frames.depth(rig.venue_ms))
    assert rig.snapshot(0, body(first - 1)) == _feed.STALE
    assert rig.core.books_wanting() == [0]
    assert rig.snapshot(0, body(first)) == 0, "pu <= lastUpdateId: nothing lies between"
    assert rig.core.book(0)[0] == LIVE


def test_a_snapshot_newer_than_every_diff_waits_for_the_one_that_covers_it() -> None:
    rig, frames = FeedRig(), Frames()
    rig.decode(frames.depth(rig.venue_ms))
    ahead = frames.update_id + 150
    assert rig.snapshot(0, body(ahead)) == 0
    assert rig.core.book(0)[0] == LOADED
    assert rig.liveness(0, Channel.BOOK) is not Liveness.LIVE
    assert rig.decode(frames.depth(rig.venue_ms, [("61800.00", "7.000")])) == 0
    assert rig.core.book(0)[0] == LOADED
    assert rig.core.book(0)[2] == [(618_000, 1_000)], "older than the snapshot: not applied"
    assert rig.decode(frames.depth(rig.venue_ms, [("61800.00", "8.000")])) == 0
    assert rig.core.book(0)[0] == LIVE
    assert rig.core.book(0)[2] == [(618_000, 8_000)]


def test_a_snapshot_before_any_diff_needs_a_diff_that_reaches_back_to_it() -> None:
    rig, frames = FeedRig(), Frames()
    assert rig.core.books_wanting() == [], "no diff yet: a snapshot could not be placed"
    assert rig.snapshot(0, body(frames.update_id - 50)) == 0
    assert rig.core.book(0)[0] == LOADED
    assert rig.decode(frames.depth(rig.venue_ms)) == R.DEPTH_GAP
    assert rig.core.books_wanting() == [0]
    assert rig.snapshot(0, body(frames.update_id)) == 0
    assert rig.core.book(0)[0] == LIVE


def test_a_break_in_the_chain_starts_a_new_one_with_the_diff_that_showed_it() -> None:
    rig, frames = live()
    frames.update_id += 7
    broken_from = frames.update_id
    assert rig.decode(frames.depth(rig.venue_ms, [("61799.00", "3.000")])) == R.DEPTH_GAP
    assert rig.liveness(0, Channel.BOOK) is Liveness.SYNCING
    assert rig.decode(frames.depth(rig.venue_ms, [("61798.00", "4.000")])) == 0
    assert rig.snapshot(0, body(broken_from)) == 0
    assert rig.core.book(0)[2] == [(618_000, 1_000), (617_990, 3_000), (617_980, 4_000)]
    first = rig.records(RecordType.LEVEL)[0]
    assert first["flags"] & LEVEL_SNAPSHOT_FIRST


def test_a_poisoned_chain_recovers_by_itself() -> None:
    rig, frames = live()
    good = frames.update_id
    poison = frames.depth(rig.venue_ms, U=good + 10**9, u=good + 10**9 + 1, pu=good + 10**9 - 1)
    assert rig.decode(poison) == R.DEPTH_GAP
    frames.update_id = good
    results = [rig.decode(frames.depth(rig.venue_ms)) for _ in range(_feed.RUN_TO_ACCEPT + 1)]
    assert results[:-2] == [R.ID_OUT_OF_ORDER] * (_feed.RUN_TO_ACCEPT - 1)
    assert results[-2:] == [R.DEPTH_GAP, 0]
    assert rig.snapshot(0, body(frames.update_id)) == 0
    assert rig.core.book(0)[0] == LIVE


def test_a_refused_diff_leaves_the_chain_as_it_was() -> None:
    rig, frames = live()
    last = frames.update_id
    assert rig.decode(frames.depth(rig.venue_ms, [("61799.05", "1.000")])) == R.OFF_TICK
    frames.update_id = last
    assert rig.decode(frames.depth(rig.venue_ms, [("61799.00", "1.000")])) == 0
    assert rig.core.book(0)[0] == LIVE


def test_removing_an_unknown_level_is_normal() -> None:
    rig, frames = live()
    assert rig.decode(frames.depth(rig.venue_ms, [("61700.00", "0.000")])) == 0
    assert rig.core.book(0)[2] == [(618_000, 1_000)]


def test_a_full_side_drops_its_worst_quarter_and_keeps_the_top() -> None:
    rig, frames = live()
    count = _feed.LEVELS_MAX
    for first in range(0, count + 600, 600):
        deep = [(f"{(618_000 - n) / 10:.2f}", "1.000") for n in range(first, first + 600)]
        assert rig.decode(frames.depth(rig.venue_ms, deep)) == 0
    bids = rig.core.book(0)[2]
    assert len(bids) <= count
    assert [price for price, _ in bids[:20]] == list(range(618_000, 617_980, -1))
    assert rig.core.counters()[9] == count // 4


def test_a_book_asks_for_more_when_its_top_nears_the_end_of_what_it_knows() -> None:
    rig, frames = FeedRig(), Frames()
    rig.decode(frames.depth(rig.venue_ms))
    bids = [[f"{61_800 - n}.00", "1.000"] for n in range(30)]
    asks = [[f"{61_801 + n}.00", "1.000"] for n in range(30)]
    assert rig.snapshot(0, body(frames.update_id, bids=bids, asks=asks), limit=30) == 0
    assert rig.core.books_wanting() == []
    gone = [(f"{61_800 - n}.00", "0.000") for n in range(11)]
    assert rig.decode(frames.depth(rig.venue_ms, gone)) == 0
    assert rig.core.books_wanting() == [0], "nineteen known levels are left"
    assert rig.liveness(0, Channel.BOOK) is Liveness.LIVE
    rig.records()
    assert rig.decode(frames.depth(rig.venue_ms, [("61780.00", "0.000")])) == 0
    more = [[f"{61_789 - n}.00", "1.000"] for n in range(60)]
    assert rig.snapshot(0, body(frames.update_id - 100, bids=more, asks=asks), limit=60) == 0
    state, _, now_bids, _ = rig.core.book(0)
    assert state == LIVE
    assert 617_800 not in [price for price, _ in now_bids], "removed after that snapshot"
    levels = rig.records(RecordType.LEVEL)
    assert not (levels["flags"] & LEVEL_SNAPSHOT_FIRST).any(), "readers go on where they were"
    assert rig.core.books_wanting() == []


def test_a_snapshot_nobody_asked_for_changes_nothing() -> None:
    rig, frames = live()
    assert rig.snapshot(0, body(frames.update_id + 5, bids=[["1.00", "1"]])) == 0
    assert rig.core.book(0)[2] == [(618_000, 1_000)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", R.MALFORMED),
        (b'{"lastUpdateId":1,"bids":[]}', R.FIELD_MISSING),
        (b'{"lastUpdateId":"1","bids":[],"asks":[]}', R.MALFORMED),
        (b'{"lastUpdateId":1,"bids":[["1.00"]],"asks":[]}', R.MALFORMED),
        (b'{"lastUpdateId":1,"bids":[["1.05","1"]],"asks":[]}', R.OFF_TICK),
        (b'{"code":-1121,"msg":"Invalid symbol."}', R.FIELD_MISSING),
    ],
)
def test_a_snapshot_that_is_none_is_refused_and_counted(text: bytes, reason: R) -> None:
    rig, frames = FeedRig(), Frames()
    rig.decode(frames.depth(rig.venue_ms))
    assert rig.snapshot(0, text) == reason
    assert rig.core.instrument_rejects(0)[reason] == 1
    assert rig.core.books_wanting() == [0]


def test_an_instrument_without_a_book_takes_no_diffs() -> None:
    rig = FeedRig([instrument("BTCUSDT", "0.10", "0.001", 0, book=False)])
    assert rig.decode(Frames().depth(rig.venue_ms)) == R.EVENT_UNKNOWN
    assert rig.snapshot(0, body(1)) == 0
    assert rig.core.book(0)[0] == 0


def test_readers_that_apply_every_record_have_the_feeds_own_top() -> None:
    rig, frames = live()
    reader = LevelReader()
    reader.sides = ({618_010: 1_000}, {618_000: 1_000})
    for step in range(50):
        bids = [(f"{61_790 + step % 11}.00", f"0.{step:03d}"), (f"{61_780 - step}.00", "1.000")]
        rig.decode(frames.depth(rig.venue_ms, bids, [(f"{61_802 + step % 7}.00", "0.500")]))
        for record in rig.records(RecordType.LEVEL):
            reader.apply(record, LEVEL_SNAPSHOT_FIRST)
        _, _, own_bids, own_asks = rig.core.book(0)
        assert reader.top() == (own_bids[:20], own_asks[:20])


def test_a_gap_in_the_diffs_is_refused_and_the_book_is_fetched_again() -> None:
    rig, frames = FeedRig(), Frames()
    rig.decode(frames.depth(rig.venue_ms, [("61800.00", "1.000")], [("61801.00", "1.000")]))
    assert rig.snapshot(0, body(frames.update_id)) == 0
    assert rig.core.books_wanting() == []
    rig.records()
    frames.update_id += 5
    assert rig.decode(frames.depth(rig.venue_ms)) == R.DEPTH_GAP
    assert rig.core.books_wanting() == [0]
    gap = rig.records(RecordType.GAP)
    assert [int(g["aux"]) for g in gap] == [Channel.BOOK]
    assert rig.decode(frames.book_ticker(rig.venue_ms)) == 0


def test_a_crossed_book_is_held_back_and_then_fetched_again() -> None:
    rig, frames = FeedRig(), Frames()
    rig.decode(frames.depth(rig.venue_ms))
    assert rig.snapshot(0, body(frames.update_id, asks=[["61800.10", "1"]])) == 0
    rig.records()
    crossing = [("61800.50", "1.000")]
    for _ in range(3):
        assert rig.decode(frames.depth(rig.venue_ms, crossing)) == R.BOOK_CROSSED
        assert len(rig.records(RecordType.LEVEL)) == 0
        assert rig.core.books_wanting() == []
    assert rig.decode(frames.depth(rig.venue_ms, crossing)) == R.BOOK_CROSSED
    assert rig.core.books_wanting() == []  # until the next diff starts its chain
    rig.decode(frames.depth(rig.venue_ms))
    assert rig.core.books_wanting() == [0]


def test_a_live_book_is_repeated_whole_for_readers_that_came_late() -> None:
    rig, frames = live()
    rig.decode(frames.depth(rig.venue_ms, [("61799.00", "2.000")]))
    rig.records()
    assert rig.core.repeat_book(0, rig.now_ns)
    rig.core.flush(rig.now_ns)
    levels = rig.records(RecordType.LEVEL)
    assert levels["flags"][0] & LEVEL_SNAPSHOT_FIRST
    assert levels["flags"][-1] & LEVEL_LAST_OF_DIFF
    _, update_id, bids, asks = rig.core.book(0)
    assert set(levels["update_id"].tolist()) == {update_id}
    assert sorted(levels["price_ticks"].tolist()) == sorted(price for price, _ in [*bids, *asks])
    rig.decode(frames.depth(rig.venue_ms, [("61799.00", "0.000")]))
    (gone,) = rig.records(RecordType.LEVEL)
    assert (gone["price_ticks"], gone["qty_lots"]) == (617_990, 0), "changes go on behind it"


def test_what_is_no_whole_book_is_not_repeated() -> None:
    rig, frames = FeedRig(), Frames()
    assert not rig.core.repeat_book(0, rig.now_ns), "none yet"
    rig.decode(frames.depth(rig.venue_ms))
    assert not rig.core.repeat_book(0, rig.now_ns), "no snapshot"
    with pytest.raises(IndexError):
        rig.core.repeat_book(9, rig.now_ns)


class Repeats:
    """A core of books some of which are live."""

    def __init__(self, *live: int) -> None:
        self.live = live
        self.repeated: list[int] = []

    def repeat_book(self, index: int, _now_ns: int) -> bool:
        if index in self.live:
            self.repeated.append(index)
        return index in self.live


def test_every_live_book_has_its_turn_once_in_a_round_and_newcomers_join() -> None:
    core, symbols = Repeats(0, 2, 3, 4), ["A", "B", "C", "D"]
    repeats = BookRepeats(core, symbols)
    now_ns = repeats._due_ns
    for step in range(3_000):
        repeats.step(now_ns + step * REPEAT_NS // 3_000)
    assert core.repeated[:3] == [0, 2, 3]
    assert 3 <= len(core.repeated) <= 5, "evenly spread, never more than one at a time"
    symbols.append("E")
    for step in range(3_000):
        repeats.step(now_ns + REPEAT_NS + step * REPEAT_NS // 3_000)
    assert 4 in core.repeated
