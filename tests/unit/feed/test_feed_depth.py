"""A whole book on request: main asks over a page of shared memory, the feed answers once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from engine.domain.codes import Channel, Liveness
from engine.domain.instrument_row import (
    INSTRUMENT_BYTES,
    LIVENESS_OFFSET,
    SEGMENT_COUNT_OFFSET,
    SEGMENT_ROWS_OFFSET,
    pack_row,
    segment_bytes,
)
from engine.processes import depth_page
from engine.processes.depth_page import DEPTH_BYTES, LEVELS_MAX, DepthRequests
from engine.processes.depth_view import DepthView
from engine.processes.feed_depth import DepthAnswers
from engine.processes.segments import KIND_DEPTH
from engine.store.instrument_segment import KIND_INSTRUMENTS
from native_ext import _feed
from ringbuffer.segment import Segment
from tests.feed_rig import FeedRig, Frames

DEADLINE_S = 20.0


class Pair:
    """Main's side and the feed's side of one page, over two books."""

    def __init__(self) -> None:
        self.rig, self.frames = FeedRig(), Frames()
        self.page = Segment.anonymous("depth", DEPTH_BYTES, kind=KIND_DEPTH)
        self.rows = Segment.anonymous("rows", segment_bytes(2), kind=KIND_INSTRUMENTS)
        for index, row in enumerate(self.rig.instruments):
            pack_row(row, self.rows.buffer, index)
            first = SEGMENT_ROWS_OFFSET + index * INSTRUMENT_BYTES + LIVENESS_OFFSET
            self.rows.buffer[first + Channel.BOOK] = Liveness.LIVE
        self.rows.buffer[SEGMENT_COUNT_OFFSET : SEGMENT_COUNT_OFFSET + 8] = (2).to_bytes(
            8, "little"
        )
        self.requests = DepthRequests(self.page)
        self.view = DepthView(self.rows, self.page)
        self.answers = DepthAnswers(self.rig.core, self.page, range(2))
        self.answered = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._turn)

    def load(self, level_count: int) -> None:
        self.rig.decode(self.frames.depth(self.rig.venue_ms))
        bids = [[f"{(618_000 - k) / 10:.1f}", f"{1 + k % 7}"] for k in range(level_count)]
        asks = [[f"{(618_001 + k) / 10:.1f}", f"{1 + k % 5}"] for k in range(level_count)]
        body = {"lastUpdateId": self.frames.update_id, "bids": bids, "asks": asks}
        assert self.rig.snapshot(0, body, 10**6) == 0

    def answer_behind(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(DEADLINE_S)
        self.rig.close()
        self.page.close()
        self.rows.close()

    def _turn(self) -> None:
        while not self._stop.is_set():
            self.answered += self.answers.look()
            time.sleep(0.001)


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def test_the_levels_of_the_page_are_those_of_the_core() -> None:
    assert LEVELS_MAX == _feed.LEVELS_MAX


@pytest.mark.parametrize("level_count", [1, 20, 3_000])
def test_every_level_comes_best_first(pair: Pair, level_count: int) -> None:
    pair.load(level_count)
    pair.answer_behind()
    found = pair.requests.fetch(0)
    assert found is not None
    state, update_id, bids, asks = pair.rig.core.book(0)
    assert (found.state, found.update_id, found.bids, found.asks) == (state, update_id, bids, asks)
    assert len(found.bids) == level_count


def test_removed_levels_that_wait_for_a_merge_are_not_shown(pair: Pair) -> None:
    pair.rig.decode(pair.frames.depth(pair.rig.venue_ms, [("61800.00", "1"), ("61799.00", "0")]))
    pair.answer_behind()
    found = pair.requests.fetch(0)
    assert found is not None
    assert (found.state, found.bids, found.asks) == (1, [(618_000, 1_000)], [])


def test_each_request_is_answered_once_and_the_next_sees_the_next_book(pair: Pair) -> None:
    pair.load(5)
    pair.answer_behind()
    for quantity in ("7.000", "8.000", "9.000"):
        change = [("61800.00", quantity)]
        assert pair.rig.decode(pair.frames.depth(pair.rig.venue_ms, change)) == 0
        found = pair.requests.fetch(0)
        assert found is not None
        assert found.bids[0] == (618_000, int(float(quantity) * 1_000))
    assert pair.answered == 3


def test_many_who_ask_at_once_get_their_own_instrument(pair: Pair) -> None:
    pair.load(50)
    pair.answer_behind()
    wrong: list[object] = []

    def ask(index: int) -> None:
        found = pair.requests.fetch(index)
        if found is None or (len(found.bids) == 50) != (index == 0):
            wrong.append((index, found))

    threads = [threading.Thread(target=ask, args=(k % 2,)) for k in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert wrong == []


def test_a_feed_that_does_not_answer_is_given_up_and_may_come_back(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depth_page, "ANSWER_S", 0.02)
    pair.load(5)
    assert pair.requests.fetch(0) is None
    assert pair.view.answer("BTCUSDT", 5)[0] == 503
    monkeypatch.undo()
    pair.answer_behind()
    found = pair.requests.fetch(1)
    assert found is not None
    assert found.bids == [], "what was given up is nobody's answer"


def test_an_index_that_is_none_is_never_answered(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depth_page, "ANSWER_S", 0.02)
    pair.answer_behind()
    assert pair.requests.fetch(2) is None
    with pytest.raises(ValueError, match="no room"):
        pair.rig.core.copy_book(0, bytearray(1_000))
    with pytest.raises(IndexError):
        pair.rig.core.copy_book(2, bytearray(DEPTH_BYTES))


def test_the_view_shows_decimals_and_whether_to_trust_them(pair: Pair) -> None:
    pair.load(30)
    pair.answer_behind()
    status, book = pair.view.answer("btcusdt", 2)
    assert status == 200
    assert book["bids"] == [("61800.0", "1.000"), ("61799.9", "2.000")]
    assert book["asks"] == [("61800.1", "1.000"), ("61800.2", "2.000")]
    assert (book["state"], book["liveness"], book["valid"]) == ("LIVE", "LIVE", True)
    assert book["levels"] == {"bids": 30, "asks": 30}
    first = SEGMENT_ROWS_OFFSET + LIVENESS_OFFSET
    pair.rows.buffer[first + Channel.BOOK] = Liveness.STALE
    assert pair.view.answer("BTCUSDT", 1)[1]["valid"] is False
    assert pair.view.answer("ETHUSDT", 1)[1]["state"] == "SYNCING"
    assert pair.view.answer("NOSUCH", 1)[0] == 404
