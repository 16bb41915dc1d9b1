"""Execution algorithms: never more than the order, the cap, the limit; and each does its own."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.execution.algorithms import (
    Hiding,
    Iceberg,
    Participation,
    Peg,
    Scheduled,
    hiding,
)
from engine.domain.execution.curve import even, shortfall
from engine.domain.execution.parent import (
    PPM,
    Algorithm,
    Cancel,
    Child,
    Intent,
    Look,
    Parent,
    Place,
    is_over,
    sized,
    step,
)

SPAN_NS = 1_000
BID, ASK = 1_000, 1_002
ALGORITHMS: list[Algorithm] = [
    Scheduled(even(0, SPAN_NS)),
    Scheduled(even(0, SPAN_NS), patience_ns=300),
    Scheduled(shortfall(0, SPAN_NS, 3.0, 10), patience_ns=50),
    Participation(200_000),
    Participation(100_000, patience_lots=40),
    Iceberg(25, BID + 1),
    Peg(),
    Peg(behind_ticks=1, chase_ticks=3, hold_ns=40, end_ns=SPAN_NS),
]


@dataclass
class Market:
    """A market by chance, and a venue that fills, delays what it tells, and races with cancels."""

    chance: random.Random
    parent: Parent
    now_ns: int = 0
    bid: int = BID
    ask: int = ASK
    traded: int = 0
    filled: int = 0  # the truth
    told: int = 0  # what the algorithm knows
    working: Child | None = None
    known_leaves: int = 0
    placed: list[Child] = field(default_factory=list)

    def look(self) -> Look:
        working = self.working and self.working._replace(qty_lots=self.known_leaves)
        filled = self.told if working else self.filled
        return Look(self.now_ns, self.bid, self.ask, filled, self.traded, working)

    def move(self) -> None:
        """Let time pass: prices, volume, fills of what works."""
        self.now_ns += self.chance.randint(1, 20)
        self.bid += self.chance.choice((-1, 0, 0, 1))
        self.ask = self.bid + self.chance.randint(1, 3)
        self.traded += self.chance.randint(0, 30)
        if self.working is not None and self.chance.random() < 0.3:
            self.fill(self.chance.randint(1, 60))
        if self.working is not None and self.chance.random() < 0.5:
            self.tell()

    def fill(self, lots: int) -> None:
        assert self.working is not None
        lots = min(lots, self.working.qty_lots)
        self.filled += lots
        self.traded += lots
        self.working = self.working._replace(qty_lots=self.working.qty_lots - lots)
        if self.working.qty_lots == 0:
            self.close()

    def tell(self) -> None:
        assert self.working is not None
        self.told, self.known_leaves = self.filled, self.working.qty_lots

    def close(self) -> None:
        self.working, self.told = None, self.filled

    def obey(self, intent: Place | Cancel | None) -> None:
        if isinstance(intent, Cancel):
            assert self.working is not None
            if self.chance.random() < 0.3:
                self.fill(self.chance.randint(1, 60))  # the cancel came too late for these
            if self.working is not None:
                self.close()
        elif isinstance(intent, Place):
            assert self.working is None, "one child at a time"
            child = intent.child._replace(placed_ns=self.now_ns)
            self.placed.append(child)
            self.working, self.known_leaves, self.told = child, child.qty_lots, self.filled
            if child.is_immediate:
                if self.chance.random() < 0.8:
                    self.fill(self.chance.randint(1, 80))
                if self.working is not None:
                    self.close()


def placed(intent: Intent | None) -> Child:
    assert isinstance(intent, Place)
    return intent.child


PARENTS = st.builds(
    lambda side, steps, least, step, cap, limit: Parent(
        side, (steps + least) * step, limit, least * step, step, cap
    ),
    st.sampled_from([1, -1]),
    st.integers(0, 400),
    st.integers(1, 5),
    st.integers(1, 3),
    st.sampled_from([0, 0, 50_000, 300_000]),
    st.sampled_from([0, 0, BID, ASK]),
)


def played(algorithm: Algorithm, parent: Parent, seed: int, *, turns: int = 200) -> Market:
    market = Market(random.Random(seed), parent.checked())
    for _ in range(turns):
        before = market.look()
        intent = step(parent, algorithm, before)
        if isinstance(intent, Place):
            judge(parent, before, intent.child)
        market.obey(intent)
        market.move()
        assert 0 <= market.filled <= parent.qty_lots
    return market


def judge(parent: Parent, look: Look, child: Child) -> None:
    """Hold every law about one placed child."""
    left = parent.qty_lots - look.filled_lots
    assert 0 < child.qty_lots <= left
    assert child.qty_lots % parent.step_lots == 0
    assert child.qty_lots >= parent.least_lots
    rest = left - child.qty_lots
    assert rest == 0 or rest >= parent.least_lots, "no rest that nobody takes"
    if parent.limit_ticks:
        assert (parent.limit_ticks - child.price_ticks) * parent.side >= 0
    if parent.cap_ppm:
        assert (look.filled_lots + child.qty_lots) * PPM <= parent.cap_ppm * look.traded_lots
    other = look.ask_ticks if parent.side > 0 else look.bid_ticks
    if child.is_post_only:
        assert (other - child.price_ticks) * parent.side > 0, "it would take"
    if child.is_immediate:
        assert child.price_ticks == other


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
@given(parent=PARENTS, seed=st.integers(0, 10**6))
def test_no_market_makes_it_break_order_cap_limit_or_step(
    algorithm: Algorithm, parent: Parent, seed: int
) -> None:
    played(algorithm, parent, seed)


@given(PARENTS, st.integers(0, 10**6), st.integers(10_000, 500_000))
def test_participation_never_exceeds_its_part_of_the_volume(
    parent: Parent, seed: int, rate_ppm: int
) -> None:
    market = Market(random.Random(seed), parent)
    for _ in range(150):
        market.obey(step(parent, Participation(rate_ppm), market.look()))
        assert market.filled * PPM <= rate_ppm * market.traded
        market.move()


@given(st.integers(10, 10**6), st.integers(0, 10**6))
def test_with_fills_at_once_twap_is_on_its_line_at_every_look(qty: int, seed: int) -> None:
    chance, parent, algorithm = random.Random(seed), Parent(1, qty), Scheduled(even(0, SPAN_NS))
    filled = now_ns = 0
    while now_ns < SPAN_NS:
        now_ns += chance.randint(1, 60)
        intent = step(parent, algorithm, Look(now_ns, BID, ASK, filled))
        if isinstance(intent, Place):
            filled += intent.child.qty_lots
        assert filled == algorithm.curve.due_lots(qty, now_ns)
    assert filled == qty
    assert is_over(parent, Look(now_ns, BID, ASK, filled))


def test_what_is_due_rests_until_its_patience_is_over_and_is_taken_then() -> None:
    parent, algorithm = Parent(1, 100), Scheduled(even(0, 100), patience_ns=20)
    child = placed(step(parent, algorithm, Look(10, BID, ASK, 0)))
    assert (child.qty_lots, child.price_ticks, child.is_post_only) == (10, BID, True)
    look = Look(20, BID, ASK, 0, working=child)
    assert step(parent, algorithm, look) is None, "its place in the queue is worth keeping"
    assert step(parent, algorithm, look._replace(now_ns=31)) == Cancel()
    child = placed(step(parent, algorithm, Look(31, BID, ASK, 0)))
    assert (child.qty_lots, child.price_ticks, child.is_immediate) == (11, ASK, True)


def test_after_its_end_everything_that_is_left_is_taken() -> None:
    algorithm = Scheduled(even(0, 100), patience_ns=10**9)
    child = placed(step(Parent(-1, 100), algorithm, Look(100, BID, ASK, 60)))
    assert (child.qty_lots, child.price_ticks, child.is_immediate) == (40, BID, True)


def test_a_partial_child_smaller_than_the_least_order_goes_on_working() -> None:
    parent, algorithm = Parent(1, 100, least_lots=10), Scheduled(even(0, 100), patience_ns=50)
    working = Child(3, BID, is_post_only=True)
    assert step(parent, algorithm, Look(20, BID, ASK, 17, working=working)) is None


def test_an_iceberg_shows_one_display_after_the_other() -> None:
    parent, algorithm = Parent(1, 100), Iceberg(30, BID)
    shown = []
    filled = 0
    while not is_over(parent, Look(0, BID, ASK, filled)):
        intent = step(parent, algorithm, Look(0, BID, ASK, filled))
        assert isinstance(intent, Place)
        half = Child(intent.child.qty_lots // 2, BID)
        assert step(parent, algorithm, Look(0, BID, ASK, filled, working=half)) is None
        shown.append(intent.child.qty_lots)
        filled += intent.child.qty_lots
    assert shown == [30, 30, 30, 10]


def test_a_peg_chases_only_a_move_that_is_worth_it_and_not_too_often() -> None:
    parent, algorithm = Parent(1, 50), Peg(chase_ticks=2, hold_ns=100)
    working = Child(50, BID, is_post_only=True, placed_ns=1_000)
    for now_ns, bid, moved in ((1_050, BID + 5, False), (1_100, BID + 1, False),
                               (1_100, BID + 2, True), (1_100, BID - 2, True)):  # fmt: skip
        look = Look(now_ns, bid, bid + 2, 0, working=working)
        assert (step(parent, algorithm, look) == Cancel()) is moved


def test_a_peg_that_ends_takes_what_is_left() -> None:
    intent = step(Parent(1, 50), Peg(end_ns=10), Look(10, BID, ASK, 20))
    assert intent == Place(Child(30, ASK, is_immediate=True))


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_without_a_touch_nothing_is_placed_and_what_works_is_withdrawn(
    algorithm: Algorithm,
) -> None:
    parent = Parent(1, 100)
    assert step(parent, algorithm, Look(500, 0, ASK, 0, 10**6)) is None
    working = Child(10, BID)
    assert step(parent, algorithm, Look(500, BID, 0, 0, 10**6, working)) == Cancel()


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 9), st.integers(1, 4))
def test_a_size_is_the_largest_that_may_be_sent(
    lots: int, left_steps: int, least_steps: int, step_lots: int
) -> None:
    parent = Parent(1, 10**6, least_lots=least_steps * step_lots, step_lots=step_lots)
    left = left_steps * step_lots
    may = [
        size
        for size in range(parent.least_lots, min(lots, left) + 1, 1)
        if size % step_lots == 0 and (left == size or left - size >= parent.least_lots)
    ]
    assert sized(parent, lots, left) == max(may, default=0)


@pytest.mark.parametrize(
    "parent",
    [
        Parent(0, 10),
        Parent(1, 0),
        Parent(1, 9, least_lots=10),
        Parent(1, 10, step_lots=3),
        Parent(1, 12, least_lots=4, step_lots=3),
        Parent(1, 10, step_lots=0),
        Parent(1, 10, cap_ppm=PPM + 1),
    ],
)
def test_an_order_that_cannot_be_done_in_whole_children_is_refused(parent: Parent) -> None:
    with pytest.raises(ValueError, match=r"lots|side"):
        parent.checked()


@pytest.mark.parametrize(
    ("is_native", "display", "found"),
    [(True, 1, Hiding.NATIVE), (False, 20, Hiding.ICEBERG), (False, 5, Hiding.REFUSED),
     (False, 11, Hiding.REFUSED)],
)  # fmt: skip
def test_hidden_natively_else_as_an_iceberg_else_refused(
    is_native: bool, display: int, found: Hiding
) -> None:
    parent = Parent(1, 100, least_lots=10, step_lots=2)
    assert hiding(parent, display, is_native=is_native) is found
