"""Orders that no strategy decided: a person's, and the children of parent orders (ADR 0028).

    CONTROL_ORDER, CHILD_ORDER   -> asked before? -> draft -> gates -> ORDER_REQUEST, COMMAND_NEW
                                                                   `-> RISK_REFUSAL
    CONTROL_CANCEL, CHILD_CANCEL -> the order is wanted cancelled; `order_watch` does it
    CONTROL_EXECUTE              -> a number for the parent order; its worker reads the echo
    PARENT_STATE                 -> the journal

The echo of the record is the answer: `order_sequence` and `epoch_low` are the order's number,
`refusal_mask` the gates that failed, DUPLICATE says that the request was answered before, and a
record without APPLIED changed nothing. An order is an exit where it takes back no more than its own
column holds, else an entry; a person's order is never made smaller.
"""

from __future__ import annotations

from engine.domain.codes import (
    EVENT_APPLIED,
    EVENT_DUPLICATE,
    EVENT_ENTRY,
    EVENT_POST_ONLY,
    EVENT_QUESTION,
    EVENT_REDUCE_ONLY,
    EventType,
    OrderStatus,
    OrderType,
    TimeInForce,
)
from engine.domain.desk import REGIME_UNKNOWN, Desk, Out, is_outside, knows_instrument
from engine.domain.equity import DIRTY_AT_ONCE
from engine.domain.firewall_reasons import PRICE_TICKS_MAX
from engine.domain.intent import (
    book_order,
    closable_lots,
    count_refusal,
    emit_refusal,
    flag_exit,
    price_draft,
    request_order,
)
from engine.domain.kernel import Records, kernel
from engine.domain.limits import LOTS_MAX
from engine.domain.order_store import EPOCH_PLACES, NO_ROW, find_order
from engine.domain.orders import TERMINAL
from engine.domain.risk import evaluate
from engine.domain.words import Tally, Word

KIND_REQUEST = 2  # `reason` of a RESTORE_ORDER beside those of `trade_ids`: a request
REASON_OUTSIDE = 101  # beside StrategyReason and REASON_FLATTEN: somebody else decided

_REJECTED = int(OrderStatus.REJECTED)
_PENDING_NEW = int(OrderStatus.PENDING_NEW)
_CONTROL_ORDER = int(EventType.CONTROL_ORDER)
_CONTROL_CANCEL = int(EventType.CONTROL_CANCEL)
_CONTROL_EXECUTE = int(EventType.CONTROL_EXECUTE)
_CHILD_ORDER = int(EventType.CHILD_ORDER)
_CHILD_CANCEL = int(EventType.CHILD_CANCEL)


@kernel
def remember_request(desk: Desk, request_id: int, order_key: int, mask: int) -> None:
    """Remember what a request came to, in place; the oldest one is forgotten for it."""
    requests = desk.requests
    count = desk.words[Word.REQUEST_COUNT]
    place = count % requests.shape[0]
    requests[place, 0] = request_id
    requests[place, 1] = order_key
    requests[place, 2] = mask
    desk.words[Word.REQUEST_COUNT] = count + 1


@kernel
def answer_again(desk: Desk, events: Records, n: int) -> bool:
    """Answer the echo at place `n` as the first time, in place; False: it was never asked."""
    requests = desk.requests
    request_id = events["request_id"][n]
    for place in range(min(desk.words[Word.REQUEST_COUNT], requests.shape[0])):
        if requests[place, 0] != request_id:
            continue
        sequence = requests[place, 1] // EPOCH_PLACES
        epoch_low = requests[place, 1] % EPOCH_PLACES
        row = find_order(desk, sequence, epoch_low)
        status = desk.orders["status"][row] if row != NO_ROW else 0
        events["flags"][n] |= EVENT_DUPLICATE
        events["order_sequence"][n] = sequence
        events["epoch_low"][n] = epoch_low
        events["refusal_mask"][n] = requests[place, 2]
        events["order_status_after"][n] = status if sequence > 0 else _REJECTED
        return True
    return False


@kernel
def is_sensible(desk: Desk, events: Records, n: int) -> bool:
    """Return whether the record at place `n` says an order whole, for a column from outside."""
    side, qty_lots = events["side"][n], events["qty_lots"][n]
    if not knows_instrument(desk, events["instrument_index"][n]):
        return False
    if not is_outside(desk, events["strategy_index"][n]):
        return False
    if (side != 1 and side != -1) or not 0 < qty_lots <= LOTS_MAX:
        return False
    if events["order_type"][n] == OrderType.MARKET:
        return events["flags"][n] & EVENT_POST_ONLY == 0
    if events["order_type"][n] != OrderType.LIMIT:
        return False
    if events["time_in_force"][n] == TimeInForce.GTD:
        is_timed = events["good_till_ms"][n] > 0 and events["flags"][n] & EVENT_POST_ONLY == 0
    else:
        is_timed = TimeInForce.GTC <= events["time_in_force"][n] <= TimeInForce.FOK
    return is_timed and 0 < events["price_ticks"][n] <= PRICE_TICKS_MAX


@kernel
def write_outside_draft(desk: Desk, events: Records, n: int) -> None:
    """Turn the order at place `n` into the draft, in place; its age is that of its record."""
    draft = desk.draft
    i, column = events["instrument_index"][n], events["strategy_index"][n]
    side, qty_lots = events["side"][n], events["qty_lots"][n]
    is_asked = events["flags"][n] & EVENT_REDUCE_ONLY != 0
    is_exit = is_asked or qty_lots <= closable_lots(desk, i, column, side)
    draft["cause_sequence"][0] = events["cause_sequence"][n]
    draft["cause_receive_time_ns"][0] = events["time_ns"][n]
    draft["venue_time_ns"][0] = 0
    draft["instrument_index"][0] = i
    draft["column"][0] = column
    draft["side"][0] = side
    draft["is_entry"][0] = 0 if is_exit else 1
    draft["order_type"][0] = events["order_type"][n]
    draft["time_in_force"][0] = events["time_in_force"][n]
    draft["good_till_ms"][0] = events["good_till_ms"][n]  # read where it is GTD
    draft["price_ticks"][0] = events["price_ticks"][n]
    draft["qty_lots"][0] = qty_lots
    draft["reason"][0] = REASON_OUTSIDE
    draft["regime"][0] = REGIME_UNKNOWN
    flags = events["flags"][n] & EVENT_POST_ONLY
    draft["flags"][0] = flags if is_exit else flags | EVENT_ENTRY
    if is_exit:
        flag_exit(desk)
    price_draft(desk)


@kernel
def show_number(desk: Desk, events: Records, n: int, order_sequence: int) -> int:
    """Write an order's number into the echo at place `n`, in place; return its key."""
    epoch_low = desk.words[Word.EPOCH] % EPOCH_PLACES
    events["order_sequence"][n] = order_sequence
    events["epoch_low"][n] = epoch_low
    return order_sequence * EPOCH_PLACES + epoch_low


@kernel
def judge_order(desk: Desk, events: Records, n: int) -> None:
    """Write into the echo at place `n` what the gates say of its order, in place; nothing else."""
    events["order_status_after"][n] = _REJECTED
    if not is_sensible(desk, events, n):
        return
    write_outside_draft(desk, events, n)
    mask = evaluate(desk)
    events["refusal_mask"][n] = mask
    if mask == 0:
        events["order_status_after"][n] = _PENDING_NEW


@kernel
def take_order(desk: Desk, out: Out, n: int) -> None:
    """Take the order at place `n` through the gates; writes at most one event and one command.

    A refusal before the restore has ended is not remembered: what is known is still on its way.
    """
    events = out.events
    is_request = events["event_type"][n] == _CONTROL_ORDER
    if is_request and answer_again(desk, events, n):
        return
    if events["flags"][n] & EVENT_QUESTION != 0:
        judge_order(desk, events, n)
        return
    events["order_status_after"][n] = _REJECTED
    if not is_sensible(desk, events, n):
        desk.counts[Tally.REPORTS_INVALID] += 1
        return
    events["flags"][n] |= EVENT_APPLIED
    write_outside_draft(desk, events, n)
    desk.words[Word.DECISION_COUNT] += 1
    mask = evaluate(desk)
    events["refusal_mask"][n] = mask
    key = 0
    if mask == 0:
        events["order_status_after"][n] = _PENDING_NEW
        key = show_number(desk, events, n, desk.words[Word.NEXT_ORDER_SEQUENCE])
        request_order(desk, out)
        book_order(desk)
    elif count_refusal(desk, mask):
        emit_refusal(desk, out, mask)
    if is_request and desk.words[Word.RESTORED] != 0:
        remember_request(desk, events["request_id"][n], key, mask)


@kernel
def take_cancel(desk: Desk, events: Records, n: int) -> None:
    """Want the order that the record at place `n` names cancelled; settled or unknown: nothing."""
    orders = desk.orders
    row = find_order(desk, events["order_sequence"][n], events["epoch_low"][n])
    if row == NO_ROW:
        return
    events["order_status_after"][n] = orders["status"][row]
    if TERMINAL[orders["status"][row]]:
        return
    if events["event_type"][n] == _CONTROL_CANCEL:
        orders["cancel_count"][row] = 0  # a person who asks again starts over
    orders["cancel_wanted"][row] = 1
    desk.words[Word.ORDERS_DUE] = 1
    events["flags"][n] |= EVENT_APPLIED


@kernel
def take_parent(desk: Desk, events: Records, n: int) -> None:
    """Give the parent order at place `n` a number, once, in place; before the restore none."""
    if desk.words[Word.RESTORED] == 0 or answer_again(desk, events, n):
        return
    events["flags"][n] |= EVENT_APPLIED
    order_sequence = desk.words[Word.NEXT_ORDER_SEQUENCE]
    desk.words[Word.NEXT_ORDER_SEQUENCE] = order_sequence + 1
    desk.words[Word.LIMITS_DIRTY] = DIRTY_AT_ONCE
    key = show_number(desk, events, n, order_sequence)
    remember_request(desk, events["request_id"][n], key, 0)


@kernel
def apply_outside(desk: Desk, out: Out, n: int) -> None:
    """Apply the echoed record at place `n`; writes at most one more event and one command."""
    kind = out.events["event_type"][n]
    if kind >= _CONTROL_ORDER:
        desk.counts[Tally.CONTROLS] += 1
    if kind in (_CONTROL_ORDER, _CHILD_ORDER):
        take_order(desk, out, n)
    elif kind in (_CONTROL_CANCEL, _CHILD_CANCEL):
        take_cancel(desk, out.events, n)
    elif kind == _CONTROL_EXECUTE:
        take_parent(desk, out.events, n)
    else:
        out.events["flags"][n] |= EVENT_APPLIED
    out.events["trading_state"][n] = desk.words[Word.EFFECTIVE_STATE]
