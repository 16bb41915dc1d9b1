"""One parent order of a running engine: its plan, its children by what the brain says of them.

        events about its children -> fold -> ChildOrder -> work.advance -> place | withdraw

A child is a child from its ORDER_REQUEST on; until then it is a draft, which counts as filled. The
fold is the one that restores a session, so a child is here what it would be after a restart. One
that an earlier session left at work hears its children restored, or found at the venue, and gets a
plan again when books and venue agree (ADR 0039).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.adjust import AdjustmentKind
from engine.domain.codes import (
    EVENT_APPLIED,
    EVENT_FOREIGN,
    EventType,
    OrderStatus,
    TimeInForce,
    TradingState,
)
from engine.domain.execution.kept import Identity, Kept, is_child
from engine.domain.execution.parent import Place
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
    held_back,
    placed,
    refused,
    seen,
    stopped,
)
from engine.domain.fold import Fold
from engine.domain.order_store import EPOCH_PLACES
from engine.domain.risk_reasons import RiskReason

# What a parent that waits hears beside words about children it knows.
FOUND: Final = frozenset(
    {EventType.RESTORE_ORDER, EventType.VENUE_ORDER, EventType.FILL, EventType.ADJUSTMENT}
)
_DOUBT: Final = 1 << RiskReason.ORDER_UNKNOWN
STRANGE: Final = EVENT_APPLIED | EVENT_FOREIGN  # a fill of no order of ours, booked
SETTLED_LISTED_MAX: Final = 32  # children that are settled and still listened for
Events = NDArray[np.void]


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

    def __init__(self, kept: Kept) -> None:
        """Begin it, or take it up as it was left; it works from `set_to_work` on."""
        self.kept = kept
        self.work = Work(
            kept.state,
            kept.reason,
            settled_lots=kept.settled_lots,
            child_count=kept.child_count,
        )
        self._plan: Plan | None = None
        self._fold = Fold()
        self._placed_ns: dict[int, int] = {}  # of its children by key, oldest first
        self._withdrawing: set[int] = set()
        self._draft_count = kept.child_count
        self.routed: Choice | Refusal | None = None  # what the router said last

    def set_to_work(self, kept: Kept, plan: Plan | None, now_ns: int) -> None:
        """Work it by a plan from now on.

        Args:
            kept: with what was not known before.
            plan: how it is worked; None: it cannot be, and is over.
            now_ns: of its plan's clock.
        """
        self.kept, self._plan = kept, plan
        # How long a child of before has rested nobody remembers: its patience begins anew.
        self._placed_ns = {key: then or now_ns for key, then in self._placed_ns.items()}
        self._forget_settled()
        if plan is None:
            self.end(StopReason.SESSION if kept.taken_up else StopReason.REFUSED)

    @property
    def identity(self) -> Identity:
        """Return whose it is."""
        return self.kept.identity

    @property
    def is_waiting(self) -> bool:
        """Return whether it has no plan yet: books and venue are not known to agree."""
        return self._plan is None and not self.is_over

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

    def journaled(self, progress: Progress, traded_lots: int) -> Kept:
        """Return it as the journal keeps it."""
        return self.kept._replace(
            state=progress.state,
            reason=progress.reason,
            filled_lots=progress.filled_lots,
            child_count=progress.child_count,
            traded_lots=traded_lots,
        )

    def hear(self, events: Events) -> None:
        """Take what the brain said, in order; what is about others changes nothing."""
        for place in range(len(events)):
            event = events[place : place + 1]
            kind = int(event["event_type"][0])
            if self.is_waiting and kind in FOUND:
                self._hear_found(kind, event)
            if kind == EventType.ORDER_REQUEST:
                self._hear_request(event)
            elif kind == EventType.CHILD_ORDER:
                self._hear_refusal(event)
            elif self._key(event) in self._placed_ns and kind != EventType.RESTORE_ORDER:
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
            self._withdrawing.add(intent.number)
        self.work = after
        return intent

    def open_keys(self) -> list[int]:
        """Return the keys of its children that may still fill."""
        return [child.number for child in self._listed() if not child.is_settled]

    # -- children ----------------------------------------------------------------------------------

    def _hear_request(self, event: Events) -> None:
        if is_child(event[0], self.identity):
            self._placed_ns[self._key(event)] = int(event["time_ns"][0])
            self._fold.add(event)
            self.work = placed(self.work)

    def _hear_found(self, kind: int, event: Events) -> None:
        """Take a child of before, or what says that something happened nobody knows of."""
        first, key = event[0], self._key(event)
        if is_child(first, self.identity):
            if kind == EventType.RESTORE_ORDER:
                self._restore(key, event)
            elif kind == EventType.VENUE_ORDER and not first["flags"] & EVENT_FOREIGN:
                self._placed_ns.setdefault(key, int(first["time_ns"]))
            return
        is_booked = first["flags"] & STRANGE == STRANGE
        is_unknown = kind == EventType.FILL and is_booked
        is_unknown |= kind == EventType.ADJUSTMENT and first["reason"] == AdjustmentKind.POSITION
        if is_unknown and first["instrument_index"] == self.identity.instrument_index:
            self.stop(StopReason.BLIND)

    def _restore(self, key: int, event: Events) -> None:
        """List a child as the brain restored it; one that it did not is in doubt."""
        order = event.copy().reshape(())
        order["order_status"] = order["order_status_after"] or OrderStatus.UNKNOWN
        self._placed_ns[key] = int(order["time_ns"])
        self._fold.known.keep(order)

    def _hear_refusal(self, event: Events) -> None:
        is_ours = event["cause_sequence"][0] == self.identity.number
        is_newest = event["request_id"][0] == self.draft_id
        is_refused = event["order_sequence"][0] == 0 and self.work.drafted_lots > 0
        if is_ours and is_newest and is_refused and self._plan is not None:
            # What is in doubt the venue settles, however long that takes: its span is the bound.
            is_held = int(event["refusal_mask"][0]) == _DOUBT
            self.work = held_back(self.work) if is_held else refused(self._plan, self.work)

    @staticmethod
    def _key(event: Events) -> int:
        return int(event["order_sequence"][0]) * EPOCH_PLACES + int(event["epoch_low"][0])

    def _listed(self) -> list[ChildOrder]:
        return [self._child(key, placed_ns) for key, placed_ns in self._placed_ns.items()]

    def _child(self, key: int, placed_ns: int) -> ChildOrder:
        order = self._fold.known.orders[key]
        return ChildOrder(
            number=key,
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
