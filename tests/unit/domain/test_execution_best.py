"""A routed parent: each child as the router says, and what was sent stays where it is."""

from __future__ import annotations

from typing import Any

import pytest

from engine.domain.codes import OrderStatus
from engine.domain.execution.asked import Asked, Least, Method
from engine.domain.execution.parent import Child
from engine.domain.execution.routed import EITHER, Best, reasoned, said
from engine.domain.execution.router import Choice, Health, Refusal, Route, RuledOut, Table
from engine.domain.execution.work import StopReason, WorkState, account, seen
from engine.domain.orders import Stimulus
from tests.parent_rig import END, START, ParentRig, S, plan_of

TICK_E8 = 10_000_000
REST, TAKE = {"traded_lots": 10**6}, {"traded_lots": 0}
ROW = Route(
    venue="a",
    health=Health.READY,
    ways=EITHER,
    bid_e8=0,
    ask_e8=0,
    bid_lots=50,
    ask_lots=50,
    touch_age_ns=3_000_000,
    latency_ns=2_000_000,
    maker_ppm=200,
    taker_ppm=500,
    traded_lots=10**6,
)


class BestRig(ParentRig):
    """A parent of 100 lots at a touch of 999 and 1001, and the rows that the router sees."""

    def __init__(self, display_lots: int = 0, **changes: Any) -> None:  # noqa: ANN401
        self.best = Best(display_lots, 2 * S, END)
        super().__init__(plan_of(self.best, **changes))
        self.rows: tuple[Route, ...] = (ROW,)

    def know(self, **changes: Any) -> None:  # noqa: ANN401
        """Change the first row."""
        self.rows = (self.rows[0]._replace(**changes), *self.rows[1:])

    def step(self, bid: int | None = None, ask: int | None = None, *, after_ns: int = 0) -> bool:
        """Step with a table of the touch that is."""
        bid, ask = bid or self.market.bid_ticks, ask or self.market.ask_ticks
        rows = tuple(row._replace(bid_e8=bid * TICK_E8, ask_e8=ask * TICK_E8) for row in self.rows)
        self.market = self.market._replace(table=Table(rows, TICK_E8))
        return super().step(bid, ask, after_ns=after_ns)

    @property
    def answer(self) -> Choice | Refusal:
        look = seen(self.known, self.market, self.now_ns)
        return self.best.answer(self.plan.parent, look)


@pytest.mark.parametrize(
    ("known", "child"),
    [
        (REST, Child(100, 999, is_post_only=True)),
        (TAKE, Child(100, 1_001, is_immediate=True)),
        ({"drift_ppm": 5_000}, Child(100, 1_001, is_immediate=True)),
        ({"maker_ppm": 5_000}, Child(100, 1_001, is_immediate=True)),
        ({"health": Health.DEGRADED}, Child(100, 999, is_post_only=True)),
    ],
)
def test_all_that_is_left_goes_as_the_router_says(known: dict[str, Any], child: Child) -> None:
    rig = BestRig()
    rig.know(**known)
    assert rig.step()
    assert [sent.wanted for sent in rig.children] == [child]


def test_a_sell_is_its_mirror() -> None:
    rig = BestRig(side=-1)
    assert rig.step()
    assert rig.children[0].wanted == Child(100, 1_001, is_post_only=True)
    rig = BestRig(side=-1)
    rig.know(**TAKE)
    assert rig.step()
    assert rig.children[0].wanted == Child(100, 999, is_immediate=True)


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({"health": Health.DOWN}, RuledOut.DOWN),
        ({"touch_age_ns": 2 * S}, RuledOut.STALE),
        ({"latency_ns": S}, RuledOut.SLOW),
        ({"bid_lots": 0}, RuledOut.NO_TOUCH),
    ],
)
def test_a_refusal_places_nothing_withdraws_nothing_and_says_why(
    known: dict[str, Any], why: RuledOut
) -> None:
    rig = BestRig()
    rig.know(**known)
    assert not rig.step()
    assert rig.answer == Refusal((("a", why),))
    assert said(rig.answer) == f"a: {why.name}"
    rig.rows = (ROW,)
    assert rig.step(after_ns=S), "a new intent goes out when it may"
    rig.ack()
    rig.know(**known)
    assert not rig.step(after_ns=5 * S), "what was sent stays"


def test_what_rests_follows_the_touch_and_keeps_its_place_at_it() -> None:
    rig = BestRig()
    rig.step()
    rig.ack()
    assert not rig.step(after_ns=6 * S)
    assert rig.step(bid=1_000, ask=1_002), "withdrawn"
    rig.close()
    assert rig.step(after_ns=S)
    assert rig.prices == [999, 1_000]


def test_a_changed_mind_takes_only_when_patience_is_over_and_the_child_is_settled() -> None:
    rig = BestRig()
    rig.step()
    rig.ack()
    rig.know(**TAKE)
    assert not rig.step(after_ns=S)
    assert rig.step(after_ns=S), "withdrawn"
    assert rig.withdrawn == [0]
    assert not rig.step(after_ns=S), "it is not settled"
    rig.trade_at_venue(0, 30)
    rig.close()
    assert rig.step(), "30 lots whose fill nobody was told count as filled"
    assert rig.children[1].wanted == Child(70, 1_001, is_immediate=True)


def test_what_is_in_doubt_is_bound_whatever_another_venue_offers() -> None:
    rig = BestRig()
    rig.rows = (ROW, ROW._replace(venue="b"))
    rig.step()
    rig.say(0, Stimulus.LOST)
    assert rig.listed()[0].status is OrderStatus.UNKNOWN
    rig.know(health=Health.DOWN)
    for _ in range(5):
        assert not rig.step(after_ns=S)
    assert rig.answer == Refusal((("a", RuledOut.BOUND), ("b", RuledOut.BOUND)))
    rig.close()
    assert rig.step(after_ns=S), "proven absent: an intent again, and now the other venue's"
    assert rig.sizes == [100, 100]
    rows = tuple(row._replace(bid_e8=999, ask_e8=1_001) for row in rig.rows)
    look = seen(account(rig.work, ()), rig.market._replace(table=Table(rows, 1)), rig.now_ns)
    answer = rig.best.answer(rig.plan.parent, look._replace(doubt_lots=0))
    assert isinstance(answer, Choice)
    assert answer.venue == "b"


def test_the_end_takes_what_is_left_and_the_limit_holds_to_the_end() -> None:
    rig = BestRig()
    rig.step()
    rig.ack()
    assert rig.step(after_ns=END - START), "withdrawn"
    rig.close()
    assert rig.step()
    assert rig.children[1].wanted == Child(100, 1_001, is_immediate=True)
    rig = BestRig(limit_ticks=1_000)
    rig.step()
    rig.ack()
    assert not rig.step(after_ns=END - START), "the limit forbids to take"
    assert rig.answer == Refusal((("a", RuledOut.BEYOND_LIMIT),))
    assert rig.step(after_ns=S), "its time is over"
    rig.close()
    rig.step()
    assert (rig.work.state, rig.work.reason) == (WorkState.ENDED, StopReason.TIME)


def test_what_must_not_be_seen_whole_rests_in_displays_until_the_end() -> None:
    rig = BestRig(display_lots=10)
    rig.know(**TAKE)
    for _ in range(3):
        assert rig.step()
        rig.ack()
        rig.fill()
        rig.say(-1, Stimulus.VENUE_FILLED, 10)
    assert rig.sizes == [10, 10, 10]
    assert all(sent.wanted.is_post_only for sent in rig.children)
    rig.now_ns = END
    rig.step()
    assert rig.children[3].wanted == Child(70, 1_001, is_immediate=True)


def test_without_patience_nothing_rests_and_without_a_table_nothing_is_sent() -> None:
    rig = BestRig()
    rig.best = Best(end_ns=END)
    rig.plan = rig.plan._replace(algorithm=rig.best)
    assert rig.step()
    assert rig.children[0].wanted.is_immediate
    rig = BestRig()
    assert not ParentRig.step(rig)
    assert rig.answer == Refusal(())
    assert said(rig.answer) == ""


def test_a_choice_is_told_with_what_it_rested_on() -> None:
    rig = BestRig()
    rig.step()
    fresh = seen(account(rig.work, ()), rig.market, rig.now_ns)._replace(doubt_lots=0)
    choice = rig.best.answer(rig.plan.parent, fresh)
    text, words = reasoned(choice, rig.market.table, 1)
    assert text == "REST at a"
    assert words["input_0"] == pytest.approx(-10 + 1.998, abs=0.02), "below the mid, with its fee"
    assert words["input_1"] == pytest.approx(10 + 5.005 + 0.02, abs=0.03), "to take"
    assert (words["input_2"], words["input_3"], words["input_4"]) == (2.0, 3.0, Health.READY)
    assert reasoned(Refusal(()), rig.market.table, 1) == reasoned(choice, None, 1) == ("", {})


def test_asked_for_it_is_a_plan_whose_display_the_venue_must_take() -> None:
    asked = Asked(Method.BEST, 1, 100, span_s=10, patience_s=2)
    assert asked.plan(Least(), START).algorithm == Best(0, 2 * S, END)
    hidden = asked._replace(detail=20).plan(Least(10), START)
    assert hidden.algorithm == Best(20, 2 * S, END)
    for detail in (5, 200):
        with pytest.raises(ValueError, match="smaller than the least"):
            asked._replace(detail=detail).plan(Least(10), START)
