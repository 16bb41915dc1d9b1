"""A parent is never over-filled: random venues, lost words, doubt and late fills against truth."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from engine.domain.execution.algorithms import Iceberg, LiveVolume, Participation, Peg, Scheduled
from engine.domain.execution.curve import even, shortfall
from engine.domain.execution.parent import PPM, Algorithm
from engine.domain.execution.routed import EITHER, Best
from engine.domain.execution.router import Health, Route, Table
from engine.domain.execution.work import WorkState
from engine.domain.orders import Stimulus
from tests.parent_rig import END, START, ParentRig, S, VenueChild, plan_of

ALGORITHMS: list[Algorithm] = [
    Scheduled(even(START, END)),
    Scheduled(even(START, END), patience_ns=2 * S),
    Scheduled(shortfall(START, END, 4.0, 8)),
    LiveVolume(even(START, END), expected_lots=300, patience_ns=S),
    Participation(250_000),
    Participation(400_000, patience_lots=10),
    Iceberg(7, 1_000),
    Peg(chase_ticks=2, end_ns=END),
    Best(patience_ns=2 * S, end_ns=END),
    Best(display_lots=7, patience_ns=S, end_ns=END),
]
ROW = Route("a", Health.READY, EITHER, 0, 0, 9, 9, 0, 0, 200, 500, traded_lots=500)


class ParentMachine(RuleBasedStateMachine):
    """One parent, a venue that does what it likes, and words about it in any order."""

    @initialize(
        algorithm=st.sampled_from(ALGORITHMS),
        side=st.sampled_from([-1, 1]),
        steps=st.integers(1, 40),
        least=st.integers(1, 3),
        step_lots=st.integers(1, 2),
        cap_ppm=st.sampled_from([0, 0, 100_000, PPM]),
        children_max=st.integers(1, 25),
        doubts_max=st.integers(1, 3),
        pause_ns=st.sampled_from([0, S // 2]),
    )
    def place(
        self,
        algorithm: Algorithm,
        side: int,
        steps: int,
        least: int,
        step_lots: int,
        cap_ppm: int,
        children_max: int,
        doubts_max: int,
        pause_ns: int,
    ) -> None:
        plan = plan_of(
            algorithm,
            side=side,
            qty_lots=(steps + least) * step_lots,
            limit_ticks=1_000 + 5 * side,
            least_lots=least * step_lots,
            step_lots=step_lots,
            cap_ppm=cap_ppm,
            children_max=children_max,
            doubts_max=doubts_max,
            pause_ns=pause_ns,
        )
        self.rig = ParentRig(plan)
        self.rows = [ROW, ROW._replace(venue="b", health=Health.DEGRADED)]
        self.doubted = False
        self.placed_ns: list[int] = []

    def advance(self, after_ns: int = 0) -> None:
        rig, before = self.rig, len(self.rig.children)
        in_doubt = rig.known.doubt_count
        bid_e8, ask_e8 = rig.market.bid_ticks * 10_000, rig.market.ask_ticks * 10_000
        rows = tuple(row._replace(bid_e8=bid_e8, ask_e8=ask_e8) for row in self.rows)
        rig.market = rig.market._replace(table=Table(rows, 10_000))
        rig.step(after_ns=after_ns)
        if len(rig.children) > before:
            self.placed_ns.append(rig.now_ns)
            assert in_doubt < rig.plan.bounds.doubts_max
            cap_ppm = rig.plan.parent.cap_ppm
            assert not cap_ppm or rig.committed_lots * PPM <= cap_ppm * rig.market.traded_lots

    # -- market and clock ------------------------------------------------------------------------

    @rule(bid=st.integers(990, 1_010), spread=st.integers(1, 3), after_ms=st.integers(0, 2_000))
    def market_moves(self, bid: int, spread: int, after_ms: int) -> None:
        market = self.rig.market
        self.rig.market = market._replace(bid_ticks=bid, ask_ticks=bid + spread)
        self.advance(after_ms * 1_000_000)

    @rule(lots=st.integers(1, 80))
    def market_trades(self, lots: int) -> None:
        market = self.rig.market
        self.rig.market = market._replace(traded_lots=market.traded_lots + lots)
        self.advance()

    @rule(refusing=st.booleans())
    def gates_change(self, refusing: bool) -> None:
        self.rig.refusing = refusing

    @rule(
        venue=st.integers(0, 1),
        health=st.sampled_from(Health),
        traded_lots=st.sampled_from([0, 10, 10_000]),
        drift_ppm=st.sampled_from([0, 5_000]),
        age_ns=st.sampled_from([0, 2 * S]),
    )
    def the_router_changes_its_mind(
        self, venue: int, health: Health, traded_lots: int, drift_ppm: int, age_ns: int
    ) -> None:
        self.rows[venue] = self.rows[venue]._replace(
            health=health, traded_lots=traded_lots, drift_ppm=drift_ppm, touch_age_ns=age_ns
        )
        self.advance()

    # -- the venue -------------------------------------------------------------------------------

    def some(self, data: st.DataObject, is_ready: Callable[[VenueChild], bool]) -> int:
        ready = [number for number, child in enumerate(self.rig.children) if is_ready(child)]
        return data.draw(st.sampled_from(ready))

    def any_open(self) -> bool:
        return any(child.is_open for child in self.rig.children)

    @precondition(lambda self: self.any_open())
    @rule(data=st.data())
    def venue_acks(self, data: st.DataObject) -> None:
        self.rig.ack(self.some(data, lambda child: child.is_open))

    @precondition(lambda self: self.any_open())
    @rule(data=st.data(), told=st.booleans())
    def venue_fills(self, data: st.DataObject, told: bool) -> None:
        number = self.some(data, lambda child: child.is_open)
        child = self.rig.children[number]
        lots = data.draw(st.integers(1, child.wanted.qty_lots - child.filled_lots))
        self.rig.trade_at_venue(number, lots)
        if told:
            self.rig.tell_fill(number, len(child.untold_fills) - 1)

    @precondition(lambda self: any(child.untold_fills for child in self.rig.children))
    @rule(data=st.data())
    def a_late_fill_arrives(self, data: st.DataObject) -> None:
        number = self.some(data, lambda child: bool(child.untold_fills))
        places = len(self.rig.children[number].untold_fills)
        self.rig.tell_fill(number, data.draw(st.integers(0, places - 1)))

    @precondition(lambda self: self.any_open())
    @rule(data=st.data(), told=st.booleans())
    def venue_closes(self, data: st.DataObject, told: bool) -> None:
        number = self.some(data, lambda child: child.is_open)
        child = self.rig.children[number]
        ends = [Stimulus.VENUE_CANCELED, Stimulus.VENUE_EXPIRED]
        if not child.is_known:
            ends.append(Stimulus.VENUE_REJECTED)
        end = data.draw(st.sampled_from(ends))
        child.is_open = False
        if told:
            self.rig.say(number, end, child.filled_lots)

    @precondition(lambda self: self.rig.children)
    @rule(data=st.data(), after_ms=st.integers(0, 2_000))
    def an_answer_is_lost(self, data: st.DataObject, after_ms: int) -> None:
        last = self.rig.children[-1]
        self.rig.say(self.some(data, lambda child: child is last or child.is_known), Stimulus.LOST)
        self.doubted |= self.rig.known.doubt_count > 0
        self.advance(after_ms * 1_000_000)

    @precondition(lambda self: self.rig.children)
    @rule(data=st.data())
    def a_lookup_settles_doubt(self, data: st.DataObject) -> None:
        number = self.some(data, lambda _: True)
        child = self.rig.children[number]
        if child.is_open:
            self.rig.say(number, Stimulus.PROVEN_OPEN, child.filled_lots)
        elif child.filled_lots == child.wanted.qty_lots:
            self.rig.say(number, Stimulus.VENUE_FILLED, child.filled_lots)
        else:
            self.rig.say(number, Stimulus.VENUE_CANCELED, child.filled_lots)

    # -- laws ------------------------------------------------------------------------------------

    @invariant()
    def the_venue_can_never_fill_more_than_was_asked(self) -> None:
        assert self.rig.worst_lots <= self.rig.plan.parent.qty_lots

    @invariant()
    def what_we_count_is_at_least_what_may_be_true(self) -> None:
        rig = self.rig
        assert rig.worst_lots <= rig.committed_lots <= rig.plan.parent.qty_lots
        told = sum(child.filled_lots - sum(child.untold_fills) for child in rig.children)
        assert rig.known.filled_lots == told

    @invariant()
    def every_child_keeps_every_bound(self) -> None:
        rig, parent, bounds = self.rig, self.rig.plan.parent, self.rig.plan.bounds
        assert len(rig.children) <= rig.work.child_count <= bounds.children_max
        for child in rig.children:
            assert parent.least_lots <= child.wanted.qty_lots
            assert child.wanted.qty_lots % parent.step_lots == 0
            assert (parent.limit_ticks - child.wanted.price_ticks) * parent.side >= 0
        for before, after in zip(self.placed_ns, self.placed_ns[1:], strict=False):
            assert after - before >= bounds.pause_ns
        assert all(time_ns < bounds.end_ns for time_ns in self.placed_ns)

    @invariant()
    def one_child_at_most_is_at_work_unless_doubt_was_settled(self) -> None:
        assert len(self.rig.known.working) <= 1 or self.doubted

    @invariant()
    def what_took_at_once_is_never_withdrawn(self) -> None:
        rig = self.rig
        assert not any(rig.children[number].wanted.is_immediate for number in rig.withdrawn)

    def teardown(self) -> None:
        """Let the venue finish everything: then the parent ends, with the truth in its books."""
        if not hasattr(self, "rig"):
            return
        rig = self.rig
        for number, child in enumerate(rig.children):
            child.is_open = False
            while child.untold_fills:
                rig.tell_fill(number)
            is_full = child.filled_lots == child.wanted.qty_lots
            end = Stimulus.VENUE_FILLED if is_full else Stimulus.VENUE_CANCELED
            rig.say(number, end, child.filled_lots)
        rig.step(after_ns=60 * S)
        filled = sum(child.filled_lots for child in rig.children)
        assert rig.known.filled_lots == filled
        is_done = filled == rig.plan.parent.qty_lots
        assert rig.work.state is (WorkState.DONE if is_done else WorkState.ENDED)
        assert not rig.step(after_ns=S), "what has ended asks for nothing"


TestParent = ParentMachine.TestCase
TestParent.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
