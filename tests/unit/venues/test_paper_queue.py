"""The place of a paper order: never better than the truth, whatever order the news comes in."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.venues.paper.queue import KEPT_MAX, LATE_NS, UNKNOWN_LOTS, QueueModel, QueuePlace

MODELS = list(QueueModel)
ARRIVAL_NS = 1_000


class News(NamedTuple):
    """What one stream says of the order's price: a display, or a trade."""

    is_trade: bool
    lots: int
    venue_ns: int
    ahead: int  # the truth when it happened
    filled: int


@dataclass
class TrueQueue:
    """A queue whose every order is known; ours is in it, and publishes nothing."""

    ours: int
    ahead: list[int]
    behind: list[int] = field(default_factory=list)
    filled: int = 0

    @property
    def shown(self) -> int:
        """Return what the venue displays: everybody but us."""
        return sum(self.ahead) + sum(self.behind)

    def join(self, lots: int) -> None:
        self.behind.append(lots)

    def cancel(self, place: int) -> None:
        everybody = len(self.ahead) + len(self.behind)
        if everybody:
            place %= everybody
            row = self.ahead if place < len(self.ahead) else self.behind
            row.pop(place if row is self.ahead else place - len(self.ahead))

    def trade(self, lots: int) -> None:
        lots = self._eat(self.ahead, lots)
        own = min(lots, self.ours - self.filled)
        self.filled += own
        self._eat(self.behind, lots - own)

    @staticmethod
    def _eat(row: list[int], lots: int) -> int:
        while row and lots:
            part = min(row[0], lots)
            row[0] -= part
            lots -= part
            if not row[0]:
                row.pop(0)
        return lots


EVENTS = st.lists(
    st.tuples(st.sampled_from(["join", "cancel", "trade"]), st.integers(1, 40)), max_size=40
)
QUEUES = st.lists(st.integers(1, 30), max_size=8)


def news_of(
    queue: TrueQueue, events: list[tuple[str, int]], step_ns: int = 1
) -> tuple[list[News], list[News]]:
    """Let events happen one after the other; return what displays and trades say."""
    displays, trades = [], []
    for step, (kind, number) in enumerate(events, start=1):
        getattr(queue, kind)(number)
        venue_ns = ARRIVAL_NS + step * step_ns
        truth = (venue_ns, sum(queue.ahead), queue.filled)
        if kind == "trade":
            trades.append(News(True, number, *truth))
        displays.append(News(False, queue.shown, *truth))
    return displays, trades


def mixed(displays: list[News], trades: list[News], chance: random.Random) -> Iterator[News]:
    """Yield both streams, each in its order, mixed by chance."""
    left = [displays[::-1], trades[::-1]]
    while left[0] or left[1]:
        which = left[chance.random() < len(left[1]) / (len(left[0]) + len(left[1]))]
        yield (which or left[0] or left[1]).pop()


def placed(model: QueueModel, shown: int) -> QueuePlace:
    place = QueuePlace(model, ARRIVAL_NS, ARRIVAL_NS)
    place.show(shown, ARRIVAL_NS)
    return place


def told(place: QueuePlace, news: News) -> int:
    """Tell a place one piece of news; return the lots that reached its order."""
    if news.is_trade:
        return place.trade(news.lots, news.venue_ns)
    place.show(news.lots, news.venue_ns)
    return 0


@given(QUEUES, EVENTS, st.randoms(use_true_random=False))
def test_by_trades_an_order_is_never_further_ahead_than_it_truly_is(
    ahead: list[int], events: list[tuple[str, int]], chance: random.Random
) -> None:
    queue = TrueQueue(10**6, list(ahead))
    place, reached, latest = placed(QueueModel.TRADES, sum(ahead)), 0, ARRIVAL_NS
    truth = (sum(ahead), 0)
    for news in mixed(*news_of(queue, events), chance):
        reached += told(place, news)
        if news.venue_ns > latest:
            latest, truth = news.venue_ns, (news.ahead, news.filled)
        assert place.front_lots >= truth[0]
        assert reached <= truth[1]


@pytest.mark.parametrize("model", MODELS)
@given(QUEUES, EVENTS, st.randoms(use_true_random=False))
def test_without_cancels_both_know_the_truth_when_everything_was_told(
    model: QueueModel, ahead: list[int], events: list[tuple[str, int]], chance: random.Random
) -> None:
    queue = TrueQueue(10**6, list(ahead))
    kept = [event for event in events if event[0] != "cancel"]
    place, reached = placed(model, sum(ahead)), 0
    for news in mixed(*news_of(queue, kept), chance):
        reached += told(place, news)
    assert place.ahead_lots == sum(queue.ahead)
    assert reached == queue.filled


@given(QUEUES, EVENTS, st.randoms(use_true_random=False), st.sampled_from([1, LATE_NS]))
def test_a_share_is_between_nothing_and_the_queue_by_trades(
    ahead: list[int], events: list[tuple[str, int]], chance: random.Random, step_ns: int
) -> None:
    queue = TrueQueue(10**6, list(ahead))
    share, trades = placed(QueueModel.SHARE, sum(ahead)), placed(QueueModel.TRADES, sum(ahead))
    for news in mixed(*news_of(queue, events, step_ns), chance):
        told(share, news)
        told(trades, news)
        assert 0 <= share.front_lots <= trades.front_lots


def test_where_cancels_are_even_a_share_is_nearer_to_the_truth() -> None:
    errors = dict.fromkeys(MODELS, 0)
    for seed in range(300):
        chance = random.Random(seed)
        ahead = [chance.randint(1, 30) for _ in range(10)]
        queue = TrueQueue(10**6, list(ahead))
        kinds = ["join", "cancel", "cancel", "trade"]
        events = [(chance.choice(kinds), chance.randint(0, 29)) for _ in range(12)]
        displays, trades = news_of(queue, events, LATE_NS)
        places = {model: placed(model, sum(ahead)) for model in MODELS}
        for news in sorted((*displays, *trades), key=lambda one: (one.venue_ns, not one.is_trade)):
            for place in places.values():
                told(place, news)
        for model, place in places.items():
            place.show(queue.shown, ARRIVAL_NS + 20 * LATE_NS)
            errors[model] += abs(place.front_lots - sum(queue.ahead))
    assert errors[QueueModel.SHARE] < 0.7 * errors[QueueModel.TRADES]


@pytest.mark.parametrize("model", MODELS)
def test_a_trade_from_before_the_arrival_is_not_ours(model: QueueModel) -> None:
    place = placed(model, 5)
    assert place.trade(100, ARRIVAL_NS) == 0
    assert place.front_lots == 5
    assert place.trade(7, ARRIVAL_NS + 1) == 2


@pytest.mark.parametrize("model", MODELS)
def test_a_level_nobody_displayed_fills_nothing_until_it_is_displayed(model: QueueModel) -> None:
    place = QueuePlace(model, ARRIVAL_NS, ARRIVAL_NS)
    assert place.trade(10**9, ARRIVAL_NS + 1) == 0
    assert place.front_lots == UNKNOWN_LOTS
    place.show(8, ARRIVAL_NS + 2)
    assert place.front_lots == 8
    assert place.trade(9, ARRIVAL_NS + 3) == 1


@pytest.mark.parametrize("model", MODELS)
def test_a_late_display_changes_nothing(model: QueueModel) -> None:
    place = placed(model, 5)
    place.show(9, ARRIVAL_NS + 9)
    place.show(1, ARRIVAL_NS + 8)
    assert place.front_lots == 5


def test_what_a_late_trade_explains_was_no_cancel() -> None:
    place = placed(QueueModel.SHARE, 100)
    place.show(120, ARRIVAL_NS + 1)
    place.show(60, ARRIVAL_NS + 9)
    assert place.trade(45, ARRIVAL_NS + 5) == 0
    assert place.ahead_lots == 55
    place.show(60, ARRIVAL_NS + 9 + LATE_NS)
    assert place.ahead_lots == 55 - 55 * 15 // 120, "fifteen of the sixty were cancelled"


def test_decreases_are_bounded_and_the_oldest_is_settled_first() -> None:
    place = placed(QueueModel.SHARE, 10**6)
    for step in range(3 * KEPT_MAX):
        place.show(10**6 - step, ARRIVAL_NS + step + 1)
        place.trade(0, ARRIVAL_NS + step + 2)
    assert len(place.decreases) <= KEPT_MAX
    assert len(place.younger) <= KEPT_MAX
    assert place.ahead_lots < 10**6


def test_in_front_every_trade_arrives() -> None:
    place = placed(QueueModel.TRADES, 1_000)
    place.clear()
    assert place.trade(3, ARRIVAL_NS + 1) == 3
