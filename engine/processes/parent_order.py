"""One parent order of a running engine: its plan, its children by what the brain says of them.

        events about its children -> fold -> ChildOrder -> work.advance -> place | withdraw

A child is a child from its ORDER_REQUEST on; until then it is a draft, which counts as filled. The
fold is the one that restores a session, so a child is here what it would be after a restart.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import EventType, OrderStatus, TimeInForce, TradingState
from engine.domain.execution.asked import Asked
from engine.domain.execution.parent import Place
from engine.domain.execution.profile import Shape
from engine.domain.execution.routed import Best, said
from engine.domain.execution.router import Choice, Refusal
from engine.domain.execution.work import (
    OVER,
    ChildOrder,
    Market,
    Plan,
    StopReason,
    Withdraw,
    Work,
    WorkState,
    account,
    advance,
    forget,
    placed,
    refused,
    seen,
    stopped,
)
from engine.domain.fold import Fold
from engine.domain.order_store import EPOCH_PLACES

SETTLED_LISTED_MAX: Final = 32  # children that are settled and still listened for
Events = NDArray[np.void]


class Identity(NamedTuple):
    """Whose parent it is."""

    number: int  # of the orders' own sequence
    epoch_low: int
    instrument_index: int
    column: int  # strategy_index of its children


class Progress(NamedTuple):
    """How far it is; what is told of it."""

    state: WorkState
    reason: StopReason
    filled_lots: int
    child_count: int
    is_doubted: bool
    route: str = ""  # what the router said last; empty: it is not asked


class ParentOrder:
    """One parent order; one thread only."""

    def __init__(
        self, identity: Identity, asked: Asked, plan: Plan | None, mid_ticks: float, shape: Shape
    ) -> None:
        """Begin it.

        Args:
            identity: its number and whose it is.
            asked: what it is.
            plan: how it is worked; None: it cannot be, and is over.
            mid_ticks: the market's mid now, which is what one wanted to pay.
            shape: what the curve of its plan came from.
        """
        self.identity = identity
        self.asked = asked
        self.mid_ticks = mid_ticks
        self.shape = shape
        self.work = Work()
        self._plan = plan
        self._fold = Fold()
        self._placed_ns: dict[int, int] = {}  # of its children by key, oldest first
        self._withdrawing: set[int] = set()
        self._draft_count = 0
        self.routed: Choice | Refusal | None = None  # what the router said last
        if plan is None:
            self.end(StopReason.REFUSED)

    @property
    def is_over(self) -> bool:
        """Return whether nothing of it can happen any more."""
        return self.work.state in OVER

    @property
    def best(self) -> Best | None:
        """Return its algorithm where that asks the router."""
        algorithm = None if self._plan is None else self._plan.algorithm
        return algorithm if isinstance(algorithm, Best) else None

    @property
    def draft_id(self) -> int:
        """Return the id of the newest draft, under which its answer comes back."""
        return self.identity.number << 20 | self._draft_count

    def progress(self) -> Progress:
        """Return how far it is."""
        known = account(self.work, self._listed())
        work = self.work
        return Progress(
            work.state,
            work.reason,
            known.filled_lots,
            work.child_count,
            known.doubt_lots > 0,
            said(self.routed),
        )

    def hear(self, events: Events) -> None:
        """Take what the brain said, in order; what is about others changes nothing."""
        for place in range(len(events)):
            event = events[place : place + 1]
            kind = int(event["event_type"][0])
            if kind == EventType.ORDER_REQUEST:
                self._hear_request(event)
            elif kind == EventType.CHILD_ORDER:
                self._hear_refusal(event)
            elif self._key(event) in self._placed_ns:
                if kind == EventType.CANCEL_REJECTED:
                    self._withdrawing.discard(self._key(event))
                self._fold.add(event)
                self._forget_settled()

    def stop(self, reason: StopReason) -> None:
        """Place nothing more; what rests is withdrawn by the next looks."""
        self.work = stopped(self.work, reason)

    def end(self, reason: StopReason) -> None:
        """End it at once: nobody will look again."""
        if not self.is_over:
            first = self.work.reason or reason
            self.work = self.work._replace(state=WorkState.ENDED, reason=first)

    def look(self, market: Market, state: TradingState, now_ns: int) -> Place | Withdraw | None:
        """Return what to do now; a `Place` is a draft until its answer was heard.

        A HALT stops it; while trading is paused or reducing nothing is placed.
        """
        if state is TradingState.HALTED:
            self.stop(StopReason.OPERATOR)
        assert self._plan is not None, "it is over"
        children = self._listed()
        known = account(self.work, children)
        is_left = known.filled_lots < self._plan.parent.qty_lots
        if self.best is not None and is_left and self.work.drafted_lots == 0:
            look = seen(known, market, now_ns)
            self.routed = self.best.answer(self._plan.parent, look)
        after, intent = advance(self._plan, self.work, children, market, now_ns)
        if isinstance(intent, Place):
            if state is not TradingState.ENABLED:
                return None
            self._draft_count += 1
        elif isinstance(intent, Withdraw):
            self._withdrawing.add(intent.number * EPOCH_PLACES + self.identity.epoch_low)
        self.work = after
        return intent

    def open_numbers(self) -> list[int]:
        """Return the numbers of its children that may still fill."""
        return [child.number for child in self._listed() if not child.is_settled]

    # -- children ----------------------------------------------------------------------------------

    def _hear_request(self, event: Events) -> None:
        ours = self.identity
        is_child = (
            event["strategy_index"][0] == ours.column
            and event["cause_sequence"][0] == ours.number
            and event["epoch_low"][0] == ours.epoch_low
        )
        if is_child:
            self._placed_ns[self._key(event)] = int(event["time_ns"][0])
            self._fold.add(event)
            self.work = placed(self.work)

    def _hear_refusal(self, event: Events) -> None:
        is_ours = event["cause_sequence"][0] == self.identity.number
        is_newest = event["request_id"][0] == self.draft_id
        is_refused = event["order_sequence"][0] == 0 and self.work.drafted_lots > 0
        if is_ours and is_newest and is_refused and self._plan is not None:
            self.work = refused(self._plan, self.work)

    @staticmethod
    def _key(event: Events) -> int:
        return int(event["order_sequence"][0]) * EPOCH_PLACES + int(event["epoch_low"][0])

    def _listed(self) -> list[ChildOrder]:
        return [self._child(key, placed_ns) for key, placed_ns in self._placed_ns.items()]

    def _child(self, key: int, placed_ns: int) -> ChildOrder:
        order = self._fold.known.orders[key]
        return ChildOrder(
            number=int(order["order_sequence"]),
            status=OrderStatus(int(order["order_status"])),
            qty_lots=int(order["qty_lots"]),
            cum_qty_lots=int(order["cum_qty_lots"]),
            filled_lots=int(order["last_qty_lots"]),
            price_ticks=int(order["price_ticks"]),
            placed_ns=placed_ns,
            is_immediate=bool(order["time_in_force"] == TimeInForce.IOC),
            is_cancel_asked=key in self._withdrawing,
        )

    def _forget_settled(self) -> None:
        settled = [
            (key, child)
            for key, child in zip(self._placed_ns, self._listed(), strict=True)
            if child.is_settled
        ]
        for key, child in settled[: max(len(settled) - SETTLED_LISTED_MAX, 0)]:
            self.work = forget(self.work, child)
            del self._placed_ns[key], self._fold.known.orders[key]
            self._withdrawing.discard(key)
