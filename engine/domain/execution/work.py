"""A parent order at work: its children as the order store knows them, its bounds, its end.

        children, market -> account -> bounds -> the algorithm's step -> place | withdraw | nothing

    WORKING --time, a bound, operator--> STOPPING --children settled--> ENDED
       `--all filled, children settled--> DONE

Nothing here has an order life cycle of its own. A child that rests or is about to is the one that
works; a child in UNKNOWN, or closed with fills that have not arrived, is doubt and counts as filled
until it is known, so that whatever the venue turns out to have done, parent and cap hold. Plan and
state are values and every step returns the next state: live, paper and backtest take the same
steps, and only who answers an intent differs (ADR 0025).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from engine.domain.codes import OrderStatus
from engine.domain.execution.parent import (
    Algorithm,
    Child,
    Look,
    Parent,
    Place,
    step,
)

if TYPE_CHECKING:
    from engine.domain.execution.router import Table

SPAN_NS_MAX: Final = 7 * 86_400 * 1_000_000_000
CHILDREN_MAX: Final = 10_000
DOUBTS_MAX: Final = 8
CLOSED: Final = frozenset(
    {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED}
)
CANCELLABLE: Final = frozenset({OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED})


class WorkState(IntEnum):
    """Where a parent stands."""

    WORKING = 1
    STOPPING = 2  # nothing is placed, what rests is withdrawn, what is in doubt is awaited
    DONE = 3
    ENDED = 4  # stopped with a rest; `StopReason` says why


OVER: Final = frozenset({WorkState.DONE, WorkState.ENDED})


class StopReason(IntEnum):
    """Why a parent was stopped."""

    NONE = 0
    TIME = 1
    OPERATOR = 2
    CHILDREN = 3
    RESIDUE = 4  # what is left is less than the venue takes
    REFUSED = 5  # too many children in a row did not pass the gates
    OVERFILLED = 6  # the venue took back what it had closed, or filled more than it was asked
    SESSION = 7  # the engine stopped
    BLIND = 8  # what was said about its children was lost
    CROWDED = 9  # as many parents as may work at once do
    UNTRADED = 10  # the session that would go on with it has no such instrument, or nobody for it


class Bounds(NamedTuple):
    """What a parent may do at most, beside quantity, price and part of the volume."""

    start_ns: int
    end_ns: int  # from here on nothing is placed; later than the end of a curve to be finished
    children_max: int
    pause_ns: int = 0  # least time between two children
    refusals_max: int = 10  # in a row
    doubts_max: int = DOUBTS_MAX  # children in doubt at a time before no more are placed

    def checked(self) -> Bounds:
        """Return them.

        Raises:
            ValueError: one of them bounds nothing.
        """
        if not 0 < self.end_ns - self.start_ns <= SPAN_NS_MAX or self.pause_ns < 0:
            raise ValueError(
                f"{self}: expected a span of at most seven days and a pause of 0 ns up"
            )
        if not 1 <= self.children_max <= CHILDREN_MAX or not 1 <= self.doubts_max <= DOUBTS_MAX:
            raise ValueError(
                f"{self}: 1..{CHILDREN_MAX} children, 1..{DOUBTS_MAX} of them in doubt"
            )
        if self.refusals_max < 1:
            raise ValueError(f"{self}: expected at least one refusal")
        return self


class Plan(NamedTuple):
    """A parent order whole: what, how, and within which bounds."""

    parent: Parent
    algorithm: Algorithm
    bounds: Bounds


class ChildOrder(NamedTuple):
    """A child as the order store knows it (`engine.domain.orders`)."""

    number: int  # ours, of the order
    status: OrderStatus
    qty_lots: int
    cum_qty_lots: int  # what the venue says was filled
    filled_lots: int  # fills that have arrived
    price_ticks: int
    placed_ns: int
    is_immediate: bool = False
    is_cancel_asked: bool = False

    @property
    def is_settled(self) -> bool:
        """Return whether it is closed and all its fills have arrived."""
        return self.status in CLOSED and self.filled_lots == self.cum_qty_lots

    @property
    def reserved_lots(self) -> int:
        """Return what it may still add to what is filled."""
        end_lots = self.cum_qty_lots if self.status in CLOSED else self.qty_lots
        return end_lots - self.filled_lots

    @property
    def is_working(self) -> bool:
        """Return whether it rests or is about to, and nobody doubts it."""
        return self.status not in CLOSED and self.status is not OrderStatus.UNKNOWN

    def as_child(self) -> Child:
        """Return it as an algorithm sees it: with what is left of it."""
        left = self.reserved_lots
        return Child(left, self.price_ticks, self.is_immediate, placed_ns=self.placed_ns)


class Market(NamedTuple):
    """What is known of the market; the volume is all public trades, our own fills among them."""

    bid_ticks: int  # 0: nobody bids
    ask_ticks: int
    traded_lots: int  # since the parent's start
    table: Table | None = None  # for an algorithm that asks the router


class Work(NamedTuple):
    """How far a parent is."""

    state: WorkState = WorkState.WORKING
    reason: StopReason = StopReason.NONE
    settled_lots: int = 0  # filled by children that are no longer listed
    drafted_lots: int = 0  # of a child that was asked for; nobody said yet what became of it
    child_count: int = 0
    refusal_count: int = 0  # in a row
    next_child_ns: int = 0


class Withdraw(NamedTuple):
    """Cancel this child."""

    number: int


class Account(NamedTuple):
    """What the children come to."""

    filled_lots: int
    doubt_lots: int
    doubt_count: int
    working: tuple[ChildOrder, ...]

    @property
    def is_quiet(self) -> bool:
        """Return whether no child can fill any more."""
        return not self.working and self.doubt_lots == 0 and self.doubt_count == 0


def account(work: Work, children: Sequence[ChildOrder]) -> Account:
    """Return what the children come to; a draft nobody answered is doubt."""
    aside = [child for child in children if not child.is_working]
    return Account(
        filled_lots=work.settled_lots + sum(child.filled_lots for child in children),
        doubt_lots=work.drafted_lots + sum(child.reserved_lots for child in aside),
        doubt_count=sum(not child.is_settled for child in aside),
        working=tuple(child for child in children if child.is_working),
    )


def seen(known: Account, market: Market, now_ns: int) -> Look:
    """Return what an algorithm sees."""
    return Look(
        now_ns=now_ns,
        bid_ticks=market.bid_ticks,
        ask_ticks=market.ask_ticks,
        filled_lots=known.filled_lots,
        traded_lots=market.traded_lots,
        working=known.working[0].as_child() if known.working else None,
        doubt_lots=known.doubt_lots,
        table=market.table,
    )


def advance(
    plan: Plan, work: Work, children: Sequence[ChildOrder], market: Market, now_ns: int
) -> tuple[Work, Place | Withdraw | None]:
    """Return the next state and what to do now.

    A `Place` is a draft until the caller says `placed` or `refused`, at the latest before the
    process may end; a `Withdraw` is asked for again until `is_cancel_asked` says that it was.

    Args:
        plan: does not change while the parent works.
        work: of the step before.
        children: every child that was not given to `forget`.
        market: as of this step.
        now_ns: of any clock that does not go back.
    """
    if work.state in OVER or now_ns < plan.bounds.start_ns:
        return work, None
    known = account(work, children)
    work = _bounded(plan, work, known, now_ns)
    if work.state is WorkState.STOPPING or len(known.working) > 1:
        return work, _withdrawn(known.working)
    if work.state is not WorkState.WORKING:
        return work, None
    intent = step(plan.parent, plan.algorithm, seen(known, market, now_ns))
    if isinstance(intent, Place):
        return _drafted(plan, work, known, intent, now_ns)
    return work, None if intent is None else _withdrawn(known.working)


def placed(work: Work) -> Work:
    """Return the state after the drafted child became an order, which is listed from now on."""
    return work._replace(drafted_lots=0, refusal_count=0)


def refused(plan: Plan, work: Work) -> Work:
    """Return the state after the gates refused the drafted child: nothing was sent."""
    work = work._replace(drafted_lots=0, refusal_count=work.refusal_count + 1)
    is_spent = work.refusal_count >= plan.bounds.refusals_max
    return stopped(work, StopReason.REFUSED) if is_spent else work


def held_back(work: Work) -> Work:
    """Return the state after the drafted child was not sent for now: no refusal of the parent."""
    return work._replace(drafted_lots=0)


def forget(work: Work, child: ChildOrder) -> Work:
    """Return the state that carries a settled child's fills itself; it is listed no more."""
    assert child.is_settled, child
    return work._replace(settled_lots=work.settled_lots + child.filled_lots)


def stopped(work: Work, reason: StopReason) -> Work:
    """Return the state in which nothing more is placed; the first reason stays."""
    if work.state is not WorkState.WORKING:
        return work
    return work._replace(state=WorkState.STOPPING, reason=reason)


def _bounded(plan: Plan, work: Work, known: Account, now_ns: int) -> Work:
    parent, bounds = plan.parent, plan.bounds
    resting = sum(child.reserved_lots for child in known.working)
    rest = parent.qty_lots - known.filled_lots - known.doubt_lots - resting
    if rest < 0:
        work = stopped(work, StopReason.OVERFILLED)
    elif now_ns >= bounds.end_ns and known.filled_lots < parent.qty_lots:
        work = stopped(work, StopReason.TIME)
    elif known.is_quiet and 0 < rest < max(parent.least_lots, 1):
        work = stopped(work, StopReason.RESIDUE)
    elif known.is_quiet and rest > 0 and work.child_count >= bounds.children_max:
        work = stopped(work, StopReason.CHILDREN)
    if not known.is_quiet:
        return work
    if known.filled_lots == parent.qty_lots:
        return work._replace(state=WorkState.DONE)
    return work._replace(state=WorkState.ENDED) if work.state is WorkState.STOPPING else work


def _withdrawn(working: Sequence[ChildOrder]) -> Withdraw | None:
    for child in working:
        may = child.status in CANCELLABLE and not child.is_immediate
        if may and not child.is_cancel_asked:
            return Withdraw(child.number)
    return None


def _drafted(
    plan: Plan, work: Work, known: Account, intent: Place, now_ns: int
) -> tuple[Work, Place | None]:
    bounds = plan.bounds
    if now_ns < work.next_child_ns or work.child_count >= bounds.children_max:
        return work, None
    if work.drafted_lots > 0 or known.doubt_count >= bounds.doubts_max:
        return work, None
    lots = intent.child.qty_lots
    rest = plan.parent.qty_lots - known.filled_lots - known.doubt_lots
    assert lots <= rest, f"{intent} while {rest} lots are left"
    after = work._replace(
        drafted_lots=lots,
        child_count=work.child_count + 1,
        next_child_ns=now_ns + bounds.pause_ns,
    )
    return after, intent
