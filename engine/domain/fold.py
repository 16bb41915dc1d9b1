"""From a journal to the records that give a new session what an earlier one knew.

Feed every event the brain journaled, session after session, in order; `restore_records` then
returns RESTORE_LIMITS, RESTORE_BOUNDS, RESTORE_POSITION and RESTORE_ORDER records that end with
RESTORE_END. A session begins with the RESTORE_* records it was given itself, so the last session
alone is enough when it got as far as RESTORE_END; what a session restored replaces what was folded
before it.

Pure Python over numpy rows: it runs once, at start, over one account's orders.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import (
    EVENT_APPLIED,
    EVENT_DUPLICATE,
    EVENT_ENTRY,
    EVENT_FOREIGN,
    EventType,
    OrderStatus,
)
from engine.domain.desk import STRATEGY_NET
from engine.domain.limits import LOTS_MAX
from engine.domain.order_store import EPOCH_PLACES
from engine.domain.orders import TERMINAL
from engine.domain.outside import KIND_REQUEST
from engine.domain.promises import DECISIONS, PROMISE, TRAIL, Promises, promise_nothing
from engine.domain.records import EVENT_DTYPE
from engine.domain.reports import ORDER_FLAGS
from engine.domain.stamps import NO_BOUND, ClockLooks
from engine.domain.state import REQUESTS_MAX
from engine.domain.trade_ids import KIND_FILL, KIND_FUNDING, PAYMENTS_MAX

# One event as an array without dimensions; a numpy scalar of overlapping fields loses writes.
Row = NDArray[np.void]

SETTLED_KEPT_MAX = 1024  # settled orders handed on, so that late reports find them
TRADES_KEPT_MAX = 8192
STRATEGY_EXTERNAL = -1
ORDER_FIELDS = (
    "instrument_index", "strategy_index", "side", "order_type", "time_in_force", "order_sequence",
    "epoch_low", "cause_sequence", "price_ticks", "qty_lots", "good_till_ms",
)  # fmt: skip
ORDER_REPORTS = frozenset(
    {
        EventType.ORDER_SENT,
        EventType.ORDER_UPDATE,
        EventType.FILL,
        EventType.ORDER_UNKNOWN,
        EventType.CANCEL_REJECTED,
        EventType.VENUE_ORDER,
    }
)
REQUESTS = frozenset({EventType.CONTROL_ORDER, EventType.CONTROL_EXECUTE})
RESTORES = frozenset(
    {
        EventType.RESTORE_ORDER,
        EventType.RESTORE_POSITION,
        EventType.RESTORE_LIMITS,
        EventType.RESTORE_BOUNDS,
        EventType.RESTORE_END,
    }
)
FOLDED = np.array(
    [
        *ORDER_REPORTS,
        EventType.ORDER_REQUEST,
        EventType.COMMAND_FETCH,
        EventType.COMMAND_REPLACE,
        EventType.POSITION_CHANGED,
        EventType.ADJUSTMENT,
        EventType.LIMITS_CHANGED,
        EventType.FUNDING,
        EventType.BOUNDS_CHANGED,
        EventType.STOP_TRAILED,
        EventType.VENUE_CLOCK,
        *DECISIONS,
        *RESTORES,
        *REQUESTS,
    ]
)


class Known:
    """What is known of an account at one place of the journal."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self.orders: dict[int, Row] = {}
        self.by_venue_id: dict[tuple[int, int], int] = {}
        self.positions: dict[tuple[int, int], Row] = {}
        self.limits: Row = _record(EventType.RESTORE_LIMITS)
        self.bounds: dict[int, Row] = {}
        self.fills: deque[tuple[int, int]] = deque()
        self.payments: deque[tuple[int, int]] = deque(maxlen=PAYMENTS_MAX)
        self.floors: dict[int, int] = {}
        self.adjusted_ns: dict[int, int] = {}
        self.requests: deque[tuple[int, int, int]] = deque(maxlen=REQUESTS_MAX)
        self.promises = Promises()

    def keep(self, order: Row) -> None:
        """Remember an order as it is now."""
        key = int(order["order_sequence"]) * EPOCH_PLACES + int(order["epoch_low"])
        self.orders[key] = order
        if order["venue_order_id"] > 0:
            self.by_venue_id[int(order["instrument_index"]), int(order["venue_order_id"])] = key

    def order_of(self, event: Row) -> Row | None:
        """Return the order an event is about, by our number or the venue's."""
        key = int(event["order_sequence"]) * EPOCH_PLACES + int(event["epoch_low"])
        if event["order_sequence"] == 0:
            venue_id = (int(event["instrument_index"]), int(event["venue_order_id"]))
            key = self.by_venue_id.get(venue_id, 0)
        return self.orders.get(key)

    def position(self, i: int, strategy: int) -> Row:
        """Return one column's position, flat when it was never changed."""
        if (i, strategy) not in self.positions:
            record = _record(EventType.RESTORE_POSITION)
            record["instrument_index"] = i
            record["strategy_index"] = strategy
            self.positions[i, strategy] = record
        return self.positions[i, strategy]

    def add_decision(self, event: Row) -> None:
        """Keep what an entry is to bring with its position, once the entry is sent."""
        decision = self.promises.sent(event)
        if decision is not None:
            self.keep_figures(decision, PROMISE)

    def keep_figures(self, event: Row, names: tuple[str, ...]) -> None:
        """Keep what an event says with the position it is about."""
        position = self.position(int(event["instrument_index"]), int(event["strategy_index"]))
        for name in names:
            position[name] = event[name]

    def count_order(self, event: Row) -> None:
        """Count an order, or an amendment, of a bounded day until BOUNDS_CHANGED says the same."""
        for strategy in (int(event["strategy_index"]), STRATEGY_NET):
            if strategy in self.bounds:
                self.bounds[strategy]["day_entry_count"] += 1

    def lower_bounds(self, bound_ns: int) -> None:
        """Let no stamp of the venue reach beyond a bound, as `engine.domain.stamps` does."""
        self.limits["venue_time_ns"] = min(self.limits["venue_time_ns"], bound_ns)
        for i, adjusted_ns in self.adjusted_ns.items():
            self.adjusted_ns[i] = min(adjusted_ns, bound_ns)
        for order in self.orders.values():
            order["venue_time_ns"] = min(order["venue_time_ns"], bound_ns)

    def remember(self, event: Row, kind: int) -> None:
        """Remember that a trade id was applied; a fill forgotten raises its instrument's floor."""
        kept = self.payments if kind == KIND_FUNDING else self.fills
        kept.append((int(event["instrument_index"]), int(event["trade_id"])))
        if len(self.fills) > TRADES_KEPT_MAX:
            i, trade_id = self.fills.popleft()
            self.floors[i] = max(self.floors.get(i, 0), trade_id)


class Fold:
    """What the events so far amount to. `add` them in order, then take `restore_records`."""

    def __init__(self) -> None:
        """Start with an account nobody traded yet."""
        self.known = Known()
        self._staged: Known | None = None
        self._clock = ClockLooks()  # of the session

    def add(self, events: NDArray[np.void]) -> None:
        """Fold EVENT_DTYPE[n], the next events of the journal; other roles' are ignored."""
        assert events.dtype == EVENT_DTYPE, "numpy repacks overlapping fields when it concatenates"
        folded = np.isin(events["event_type"], FOLDED) & ~promise_nothing(events)
        for k in np.flatnonzero(folded):
            event = events[k : k + 1].reshape(())
            kind = int(event["event_type"])
            if kind in RESTORES:
                self._add_restore(kind, event)
            elif kind in ORDER_REPORTS:
                self._add_report(kind, event)
            elif kind in REQUESTS:
                self._add_request(event)
            elif kind in DECISIONS:
                self.known.add_decision(event)
            else:
                self._add_result(kind, event)

    def restore_records(self) -> NDArray[np.void]:
        """Return EVENT_DTYPE[n] to hand to a new session; the last one is RESTORE_END."""
        known = self.known
        for i, floor in known.floors.items():
            known.position(i, STRATEGY_NET)["trade_id"] = floor
        for i, adjusted_ns in known.adjusted_ns.items():
            known.position(i, STRATEGY_NET)["venue_time_ns"] = adjusted_ns
        records = [known.limits, *known.bounds.values(), *known.positions.values()]
        records += [_applied(i, trade_id, KIND_FILL) for i, trade_id in known.fills]
        records += [_applied(i, number, KIND_FUNDING) for i, number in known.payments]
        for i, request_id, order_key in known.requests:
            record = _applied(i, request_id, KIND_REQUEST)
            record["cum_qty_lots"] = order_key
            records.append(record)
        settled = [order for order in known.orders.values() if _is_settled(order)]
        unsettled = [order for order in known.orders.values() if not _is_settled(order)]
        records += [*settled[-SETTLED_KEPT_MAX:], *unsettled, _record(EventType.RESTORE_END)]
        return np.frombuffer(b"".join(r.tobytes() for r in records), dtype=EVENT_DTYPE).copy()

    def _add_restore(self, kind: int, event: Row) -> None:
        if not event["flags"] & EVENT_APPLIED:
            return
        staged = self._staged = self._staged or Known()
        if kind == EventType.RESTORE_END:
            self.known, self._staged, self._clock = staged, None, ClockLooks()
        elif kind == EventType.RESTORE_LIMITS:
            staged.limits = _given(event)
        elif kind == EventType.RESTORE_BOUNDS:
            staged.bounds[int(event["strategy_index"])] = _given(event)
        elif kind == EventType.RESTORE_POSITION:
            i, strategy = int(event["instrument_index"]), int(event["strategy_index"])
            staged.positions[i, strategy] = _given(event)
            staged.floors[i] = max(staged.floors.get(i, 0), int(event["trade_id"]))
            staged.adjusted_ns[i] = max(staged.adjusted_ns.get(i, 0), int(event["venue_time_ns"]))
        elif event["trade_id"] > 0 and event["reason"] == KIND_REQUEST:
            i, request_id = int(event["instrument_index"]), int(event["trade_id"])
            staged.requests.append((i, request_id, int(event["cum_qty_lots"])))
        elif event["trade_id"] > 0:
            staged.remember(event, int(event["reason"]))
        else:
            order = _given(event)
            order["order_status"] = event["order_status_after"]
            staged.keep(order)

    def _add_request(self, event: Row) -> None:
        """Remember what a request came to, the first time it was made."""
        if event["flags"] & (EVENT_APPLIED | EVENT_DUPLICATE) != EVENT_APPLIED:
            return
        key = int(event["order_sequence"]) * EPOCH_PLACES + int(event["epoch_low"])
        request_id = int(event["request_id"])
        self.known.requests.append((int(event["instrument_index"]), request_id, key))
        following = max(int(self.known.limits["order_sequence"]), int(event["order_sequence"]) + 1)
        self.known.limits["order_sequence"] = following

    def _add_report(self, kind: int, event: Row) -> None:
        # A repeated fill may still tell something of its order: both flags, and no fill.
        applied = event["flags"] & (EVENT_APPLIED | EVENT_DUPLICATE) == EVENT_APPLIED
        foreign = bool(event["flags"] & EVENT_FOREIGN)
        limits = self.known.limits
        if kind == EventType.FILL and applied and event["last_qty_lots"] > 0:
            self.known.remember(event, KIND_FILL)
            limits["venue_time_ns"] = max(limits["venue_time_ns"], event["venue_time_ns"])
        after = int(event["order_status_after"])
        if foreign or after == OrderStatus.NONE:
            return
        order = self.known.order_of(event)
        if order is None:
            order = _order_record(event)
        if event["venue_order_id"] > 0:
            order["venue_order_id"] = event["venue_order_id"]
        if 0 < order["venue_time_ns"] <= event["venue_time_ns"] and event["price_ticks"] > 0:
            order["price_ticks"] = event["price_ticks"]  # may have been amended
        order["venue_time_ns"] = max(order["venue_time_ns"], event["venue_time_ns"])
        if kind == EventType.FILL and applied:
            self._add_fill(order, event)
        _raise_quantity(order, event, after)
        order["order_status"] = after
        order["qty_lots"] = max(order["qty_lots"], order["last_qty_lots"])
        said = min(event["cum_qty_lots"], order["qty_lots"])
        total = max(order["cum_qty_lots"], order["last_qty_lots"], said)
        if event["order_status"] == OrderStatus.FILLED and event["cum_qty_lots"] > 0:
            order["qty_lots"] = max(total, event["cum_qty_lots"])
        order["cum_qty_lots"] = order["qty_lots"] if after == OrderStatus.FILLED else total
        self.known.keep(order)

    def _add_fill(self, order: Row, event: Row) -> None:
        adjusted_ns = self.known.adjusted_ns.get(int(event["instrument_index"]), 0)
        counted = event["last_qty_lots"]
        if 0 < event["venue_time_ns"] <= adjusted_ns:  # written off before: in the total already
            counted = min(counted, order["cum_qty_lots"] - order["last_qty_lots"])
        order["last_qty_lots"] += counted

    def _add_result(self, kind: int, event: Row) -> None:
        known = self.known
        if kind == EventType.ORDER_REQUEST:
            order = _order_record(event)
            order["order_status"] = OrderStatus.PENDING_NEW
            order["reason"] = event["reason"]  # a later session's audit trail says it of its fills
            known.keep(order)
            known.limits["order_sequence"] = event["order_sequence"] + 1
            known.limits["day_entry_count"] += bool(event["flags"] & EVENT_ENTRY)
            known.count_order(event)
        elif kind == EventType.COMMAND_REPLACE:
            known.count_order(event)
        elif kind == EventType.POSITION_CHANGED:
            self._add_position(event)
        elif kind == EventType.LIMITS_CHANGED:
            known.limits = _given(event, EventType.RESTORE_LIMITS)
        elif kind == EventType.BOUNDS_CHANGED:
            known.bounds[int(event["strategy_index"])] = _given(event, EventType.RESTORE_BOUNDS)
        elif kind == EventType.STOP_TRAILED:
            known.keep_figures(event, TRAIL)
        elif kind == EventType.VENUE_CLOCK:
            self._add_clock(event)
        elif kind == EventType.FUNDING and event["flags"] & EVENT_APPLIED:
            known.remember(event, KIND_FUNDING)
            external = known.position(int(event["instrument_index"]), STRATEGY_EXTERNAL)
            external["funding_e8"] += event["funding_e8"]
        else:
            if kind == EventType.ADJUSTMENT and event["instrument_index"] >= 0:
                known.adjusted_ns[int(event["instrument_index"])] = int(event["venue_time_ns"])
            if event["order_sequence"] > 0:
                self._add_order_result(kind, event)

    def _add_clock(self, event: Row) -> None:
        bound_ns = self._clock.bound_ns(event)
        if bound_ns < NO_BOUND:
            self.known.lower_bounds(bound_ns)

    def _add_order_result(self, kind: int, event: Row) -> None:
        order = self.known.order_of(event)
        if order is None:
            return
        order["order_status"] = event["order_status_after"]
        if kind == EventType.ADJUSTMENT:  # fills written off
            order["last_qty_lots"] = order["cum_qty_lots"] = event["cum_qty_lots"]

    def _add_position(self, event: Row) -> None:
        strategy = int(event["strategy_index"])
        position = self.known.position(int(event["instrument_index"]), strategy)
        if position["position_lots"] * event["position_lots"] <= 0:
            position["price_ticks"] = position["last_price_ticks"] = 0  # no stop trails it yet
        position["position_lots"] = event["position_lots"]
        position["position_cost_e8"] = event["position_cost_e8"]
        for name in ("realised_pnl_e8", "fee_e8", "funding_e8"):
            position[name] += event[name]
        if strategy != STRATEGY_NET:
            if strategy in self.known.bounds:
                result = event["realised_pnl_e8"] - event["fee_e8"]
                self.known.bounds[strategy]["day_realised_pnl_e8"] += result
            return
        # Until the LIMITS_CHANGED of the same step says the same.
        limits = self.known.limits
        result = event["realised_pnl_e8"] - event["fee_e8"] + event["funding_e8"]
        for name in ("realised_pnl_e8", "fee_e8", "funding_e8"):
            limits[name] += event[name]
        limits["cash_e8"] += result
        limits["day_realised_pnl_e8"] += result


def _record(kind: int) -> Row:
    record = np.zeros((), dtype=EVENT_DTYPE)
    record["event_type"] = kind
    record["instrument_index"] = -1
    return record


def _applied(i: int, trade_id: int, kind: int) -> Row:
    record = _record(EventType.RESTORE_ORDER)
    record["instrument_index"] = i
    record["trade_id"] = trade_id
    record["reason"] = kind
    return record


def _given(event: Row, kind: int = 0) -> Row:
    record = event.copy()
    record["sequence"] = 0
    record["flags"] &= ORDER_FLAGS
    record["order_status_after"] = 0
    if kind:
        record["event_type"] = kind
    return record


def _order_record(event: Row) -> Row:
    record = _record(EventType.RESTORE_ORDER)
    for name in ORDER_FIELDS:
        record[name] = event[name]
    record["flags"] = event["flags"] & ORDER_FLAGS
    return record


def _raise_quantity(order: Row, event: Row, after: int) -> None:
    # As `engine.domain.reports.raise_quantity`: of an order that was open, or is again.
    is_open = not (TERMINAL[int(order["order_status"])] and TERMINAL[after])
    if is_open and event["venue_time_ns"] > 0 and event["qty_lots"] <= LOTS_MAX:
        order["qty_lots"] = max(order["qty_lots"], event["qty_lots"])


def _is_settled(order: Row) -> bool:
    closed = bool(TERMINAL[int(order["order_status"])])
    return closed and bool(order["last_qty_lots"] == order["cum_qty_lots"])
