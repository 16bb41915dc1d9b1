"""Random markets: the book in C, its readers and two dictionaries agree after every step."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import LEVEL_SNAPSHOT_FIRST, RecordType
from tests.feed_decoder import LevelReader, ReferenceBook
from tests.feed_rig import BTC, FeedRig, Frame, Frames

MID = 618_000


class Market:
    """A venue's book: random diffs, snapshots at any of its update ids."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        # Levels that never change: an empty book has no record that says it is fresh.
        self.bids: dict[int, int] = {MID - 100: 1}
        self.asks: dict[int, int] = {MID + 100: 1}
        self.frames = Frames()
        self.snapshots: list[tuple[int, dict[int, int], dict[int, int]]] = []
        self.keep()

    def keep(self) -> None:
        self.snapshots.append((self.frames.update_id, dict(self.bids), dict(self.asks)))

    def change(self, side: dict[int, int], direction: int) -> list[tuple[str, str]]:
        levels = {}
        for _ in range(self.rng.randrange(6)):
            price = MID + direction * self.rng.randint(1, 60)
            quantity = self.rng.choice([0, 0, self.rng.randint(1, 9)])
            levels[price] = quantity
            if quantity:
                side[price] = quantity
            else:
                side.pop(price, None)
        return [(BTC.price_text(p), BTC.qty_text(q)) for p, q in sorted(levels.items())]

    def diff(self, venue_ms: int) -> Frame:
        bids, asks = self.change(self.bids, -1), self.change(self.asks, 1)
        frame = self.frames.depth(venue_ms, bids, asks)
        self.keep()
        return frame

    def snapshot(self, place: int) -> Frame:
        update_id, bids, asks = self.snapshots[place]
        return {
            "lastUpdateId": update_id,
            "bids": [[BTC.price_text(p), BTC.qty_text(q)] for p, q in sorted(bids.items())[::-1]],
            "asks": [[BTC.price_text(p), BTC.qty_text(q)] for p, q in sorted(asks.items())],
        }


def compare(rig: FeedRig, model: ReferenceBook, reader: LevelReader) -> None:
    for record in rig.records(RecordType.LEVEL):
        reader.apply(record, LEVEL_SNAPSHOT_FIRST)
    state, update_id, bids, asks = rig.core.book(0)
    if state != 3:
        return
    assert update_id == model.update_id
    assert dict(bids) == model.bids
    assert dict(asks) == model.asks
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert reader.top() == model.top(20)


@given(
    seed=st.integers(0, 2**32),
    before=st.integers(1, 12),
    behind=st.integers(0, 12),
    lost_at=st.integers(0, 60),
)
def test_book_readers_and_model_agree(seed: int, before: int, behind: int, lost_at: int) -> None:
    rig, market = FeedRig([BTC], capacity=1024), Market(seed)
    model, reader = ReferenceBook(BTC), LevelReader()

    def play(frame: Frame) -> None:
        assert rig.decode(frame) == 0
        model.diff(frame["data"])

    def fetch(place: int) -> None:
        assert rig.snapshot(0, market.snapshot(place)) == 0
        model.snapshot(market.snapshot(place))

    for _ in range(before):
        play(market.diff(rig.venue_ms))
    fetch(len(market.snapshots) - 1 - min(behind, before))
    compare(rig, model, reader)
    for step in range(60):
        if step == lost_at:
            market.diff(rig.venue_ms)  # never arrives
            frame = market.diff(rig.venue_ms)
            assert rig.decode(frame) != 0
            model = ReferenceBook(BTC)
            model.diff(frame["data"])
            play(market.diff(rig.venue_ms))
            fetch(len(market.snapshots) - 2)
        else:
            play(market.diff(rig.venue_ms))
        compare(rig, model, reader)
    assert rig.core.book(0)[0] == 3
    assert reader.snapshots == 1 + (lost_at < 60)
    rig.close()
