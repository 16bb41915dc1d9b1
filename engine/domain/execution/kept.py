"""Parent orders as a journal keeps them: what one session leaves, the next takes up (ADR 0039).

        CONTROL_EXECUTE, PARENT_STATE, CONTROL_CANCEL -> KeptParents -> PARENT_STATE, handed on

A PARENT_STATE says a parent whole, so that the newest is enough. Its fields, beside those of its
plain names:

    order_type, order_status   Method, WorkState    input_0      mid when it began, ticks
    reason, liquidity          StopReason, Shape    input_1..4   span, detail, patience, cap
    venue_time_ns              when it began, by the wall clock: no other lasts over a boot
    cause_sequence             children so far
    last_qty_lots              filled by children that were not handed on with it
    trade_id, request_id       lots that the market traded since it began, as far as they were
                               heard; lots expected of the whole span (VWAP)
    time_in_force              how often it was taken up

One that comes before a session's RESTORE_END was handed on by an earlier session. One that cannot
be, because the session does not trade its instrument, is ENDED there: without an index, the symbol
as its text, lots as that instrument had them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import EVENT_APPLIED, EVENT_DUPLICATE, EventType
from engine.domain.execution.asked import Asked, Method
from engine.domain.execution.profile import Shape
from engine.domain.execution.work import OVER, StopReason, WorkState
from engine.domain.order_store import EPOCH_PLACES
from engine.domain.records import EVENT_DTYPE

# A parent that ends its process each time is given up, and its epoch is known by one byte.
TAKEN_UP_MAX: Final = 100
Events = NDArray[np.void]
Row = np.void | NDArray[np.void]

_READ: Final = np.array(
    [
        EventType.CONTROL_EXECUTE,
        EventType.CONTROL_CANCEL,
        EventType.PARENT_STATE,
        EventType.RESTORE_LIMITS,
        EventType.RESTORE_END,
    ]
)


class Identity(NamedTuple):
    """Whose parent it is."""

    number: int  # of the orders' own sequence, which no session begins anew
    epoch_low: int  # of the session that gave the number
    instrument_index: int
    column: int  # strategy_index of its children


class Kept(NamedTuple):
    """A parent order as its records tell it."""

    identity: Identity
    asked: Asked
    start_ns: int  # wall clock
    mid_ticks: float = 0.0  # when it began; 0: not known yet
    shape: Shape = Shape.NOT_ASKED
    state: WorkState = WorkState.WORKING
    reason: StopReason = StopReason.NONE
    filled_lots: int = 0
    settled_lots: int = 0  # of these by children that were not handed on with it
    child_count: int = 0
    traded_lots: int = 0
    expected_lots: int = 0
    taken_up: int = 0

    def words(self) -> dict[str, float]:
        """Return the fields of its PARENT_STATE by name."""
        identity, asked = self.identity, self.asked
        return {
            "venue_time_ns": self.start_ns,
            "instrument_index": identity.instrument_index,
            "strategy_index": identity.column,
            "side": asked.side,
            "order_type": asked.method,
            "time_in_force": self.taken_up,
            "order_status": self.state,
            "order_sequence": identity.number,
            "cause_sequence": self.child_count,
            "price_ticks": asked.limit_ticks,
            "qty_lots": asked.qty_lots,
            "cum_qty_lots": self.filled_lots,
            "last_qty_lots": self.settled_lots,
            "trade_id": self.traded_lots,
            "reason": self.reason,
            "liquidity": self.shape,
            "epoch_low": identity.epoch_low,
            "input_0": self.mid_ticks,
            "input_1": asked.span_s,
            "input_2": asked.detail,
            "input_3": asked.patience_s,
            "input_4": asked.cap,
            "request_id": self.expected_lots,
        }

    def stopped(self, reason: StopReason) -> Kept:
        """Return it as one that places nothing more; the first reason stays."""
        if self.state is not WorkState.WORKING:
            return self
        return self._replace(state=WorkState.STOPPING, reason=reason)

    def ended(self, reason: StopReason) -> Kept:
        """Return it as one of which nothing can happen any more; the first reason stays."""
        return self._replace(state=WorkState.ENDED, reason=self.reason or reason)


def begun(event: Row, start_ns: int) -> Kept:
    """Return the parent that an applied CONTROL_EXECUTE begins, at a time of the wall clock."""
    return Kept(_identity(event), _asked(event, first_input=0), start_ns)


def told(event: Row) -> Kept:
    """Return the parent that a PARENT_STATE tells."""
    return Kept(
        identity=_identity(event),
        asked=_asked(event, first_input=1),
        start_ns=int(event["venue_time_ns"]),
        mid_ticks=float(event["input_0"]),
        shape=Shape(int(event["liquidity"])),
        state=WorkState(int(event["order_status"])),
        reason=StopReason(int(event["reason"])),
        filled_lots=int(event["cum_qty_lots"]),
        settled_lots=int(event["last_qty_lots"]),
        child_count=int(event["cause_sequence"]),
        traded_lots=int(event["trade_id"]),
        expected_lots=int(event["request_id"]),
        taken_up=int(event["time_in_force"]),
    )


def is_child(order: Row, identity: Identity) -> bool:
    """Return whether an order, or an event about one, is of a child of this parent."""
    is_ours = order["strategy_index"] == identity.column
    return bool(is_ours and order["cause_sequence"] == identity.number)


class KeptParents:
    """What parents the events so far leave at work. `add` them in order, then take `records`."""

    def __init__(self) -> None:
        """Start without any."""
        self._known: dict[int, Kept] = {}
        self._staged: dict[int, Kept] | None = None  # of a restore that has not ended

    def add(self, events: Events, to_wall_ns: int) -> None:
        """Take EVENT_DTYPE[n], the next events of the journal.

        Args:
            events: in the numbers of the session that takes over.
            to_wall_ns: the wall clock less the clock of the session that wrote them.
        """
        for k in np.flatnonzero(np.isin(events["event_type"], _READ)):
            event = events[k]
            kind, is_applied = int(event["event_type"]), bool(event["flags"] & EVENT_APPLIED)
            if kind == EventType.CONTROL_CANCEL:
                self._cancel(event)
            elif kind == EventType.PARENT_STATE:
                self._tell(event)
            elif kind == EventType.CONTROL_EXECUTE:
                if is_applied and not event["flags"] & EVENT_DUPLICATE:
                    kept = begun(event, int(event["time_ns"]) + to_wall_ns)
                    self._known[kept.identity.number] = kept
            elif is_applied and kind == EventType.RESTORE_LIMITS:  # of a restore the first
                self._staged = {}
            elif is_applied:
                self._known, self._staged = self._staged or {}, None

    def records(
        self, orders: Mapping[int, Row], handed_on: Events, lost: AbstractSet[int]
    ) -> Events:
        """Return EVENT_DTYPE[n], a PARENT_STATE of each: as it is handed on.

        Args:
            orders: every order of the sessions that were read, by key, as `fold.Known` has them.
            handed_on: the RESTORE_* records that go with it.
            lost: instruments in whose numbers a parent cannot be said any more; it is stopped.
        """
        is_order = handed_on["event_type"] == EventType.RESTORE_ORDER
        named = handed_on[is_order & (handed_on["trade_id"] == 0)]
        keys = named["order_sequence"] * EPOCH_PLACES + named["epoch_low"]
        listed = set(keys.tolist())
        records = np.zeros(len(self._known), dtype=EVENT_DTYPE)
        for place, kept in enumerate(self._known.values()):
            whole = _counted(kept, orders, listed)._replace(taken_up=kept.taken_up + 1)
            if whole.taken_up > TAKEN_UP_MAX or kept.identity.instrument_index in lost:
                whole = whole.stopped(StopReason.SESSION)
            records["event_type"][place] = EventType.PARENT_STATE
            for name, word in whole.words().items():
                records[name][place] = word
        return records

    def _cancel(self, event: Row) -> None:
        number = int(event["order_sequence"])
        for parents in (self._known, self._staged or {}):
            kept = parents.get(number)
            if kept is not None and kept.identity.epoch_low == event["epoch_low"]:
                parents[number] = kept.stopped(StopReason.OPERATOR)

    def _tell(self, event: Row) -> None:
        parents = self._known if self._staged is None else self._staged
        number = int(event["order_sequence"])
        # Without a start: of a version whose parents ended with their process.
        if int(event["order_status"]) in OVER or event["venue_time_ns"] == 0:
            parents.pop(number, None)
            return
        before, now = parents.get(number), told(event)
        is_stopped = before is not None and before.state is not WorkState.WORKING
        # A word from before the stop may come after it: what was cancelled stays so.
        parents[number] = now.stopped(before.reason) if before and is_stopped else now


def _counted(kept: Kept, orders: Mapping[int, Row], listed: AbstractSet[int]) -> Kept:
    """Return a parent with what its children came to, those that are not listed summed up."""
    settled = filled = count = 0
    for key, order in _children(kept.identity, orders):
        lots = int(order["last_qty_lots"])
        filled += lots
        settled += 0 if key in listed else lots
        count += 1
    return kept._replace(
        filled_lots=kept.settled_lots + filled,
        settled_lots=kept.settled_lots + settled,
        child_count=max(kept.child_count, count),
    )


def _children(identity: Identity, orders: Mapping[int, Row]) -> Iterator[tuple[int, Row]]:
    return ((key, order) for key, order in orders.items() if is_child(order, identity))


def _identity(event: Row) -> Identity:
    return Identity(
        number=int(event["order_sequence"]),
        epoch_low=int(event["epoch_low"]),
        instrument_index=int(event["instrument_index"]),
        column=int(event["strategy_index"]),
    )


def _asked(event: Row, *, first_input: int) -> Asked:
    span_s, detail, patience_s, cap = (float(event[f"input_{first_input + k}"]) for k in range(4))
    return Asked(
        method=Method(int(event["order_type"])),
        side=int(event["side"]),
        qty_lots=int(event["qty_lots"]),
        limit_ticks=int(event["price_ticks"]),
        span_s=span_s,
        detail=detail,
        patience_s=patience_s,
        cap=cap,
    )
