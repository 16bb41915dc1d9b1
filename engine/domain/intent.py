"""From an opportunity to an order, or to a refusal: the only place orders are born.

    opportunity -> SIGNAL_GENERATED -> gates -> RISK_REFUSAL
                                             -> INTENT_HELD
                                             -> ORDER_REQUEST, then COMMAND_NEW (the same bytes)
                                             -> the order's row, sums and rate limits

The request is in the events before its command is in the commands. A refusal that says the same as
the last one of its (instrument, strategy) within REFUSAL_INTERVAL_NS is counted, not written; the
next one written carries the count in `request_id`.
"""

from __future__ import annotations

from engine.domain.bounds import draft_mode, note_order
from engine.domain.codes import (
    EVENT_ENTRY,
    EVENT_REDUCE_ONLY,
    EventType,
    Mode,
    OrderStatus,
    OrderType,
    TimeInForce,
)
from engine.domain.desk import Desk, Out, column_of, net_column, strategy_of
from engine.domain.emit import begin_event, copy_command
from engine.domain.equity import DIRTY_AT_ONCE, refresh_mark
from engine.domain.held import hold_draft, needs_approval
from engine.domain.kernel import Records, kernel
from engine.domain.limits import LOTS_MAX, RATE_FIRST, RATE_GLOBAL, RATE_SLOW, UNBOUNDED, rate_take
from engine.domain.order_store import EPOCH_PLACES, book, bracket_count, insert_order, order_key
from engine.domain.own_orders import withdraw_met
from engine.domain.position import notional
from engine.domain.risk import evaluate, first_reason
from engine.domain.risk_reasons import RiskReason
from engine.domain.strategy_table import StrategyReason
from engine.domain.words import REASONS_MAX, Tally, Word

REFUSAL_INTERVAL_NS = 1_000_000_000
EVENTS_PER_OPPORTUNITY = 2
NOT_ENTRY = 255 - EVENT_ENTRY
REASON_FLATTEN = 100  # beside StrategyReason: the operator asked for it

STANDS, WAITS, BEGINS_TO_WAIT = 0, 1, 2  # what becomes of an exit while orders guard the position

_STOP_LOSS = int(StrategyReason.STOP_LOSS)
_TAKE_PROFIT = int(StrategyReason.TAKE_PROFIT)
_SIGNAL_GENERATED = int(EventType.SIGNAL_GENERATED)
_ORDER_REQUEST = int(EventType.ORDER_REQUEST)
_RISK_REFUSAL = int(EventType.RISK_REFUSAL)
_INTENT_HELD = int(EventType.INTENT_HELD)
_APPROVAL_MASK = 1 << RiskReason.APPROVAL
_MODE_MASK = 1 << RiskReason.MODE
_COMMAND_NEW = int(EventType.COMMAND_NEW)


@kernel
def price_draft(desk: Desk) -> None:
    """Fill in the draft's mid and what one lot costs at the price it would fill at, in place."""
    draft = desk.draft
    i = draft["instrument_index"][0]
    bid = desk.hot["bid_price_ticks"][i]
    ask = desk.hot["ask_price_ticks"][i]
    draft["mid_half_ticks"][0] = bid + ask if bid > 0 and ask > 0 else 0
    touch = ask if draft["side"][0] > 0 else bid
    if draft["order_type"][0] == OrderType.LIMIT:
        touch = draft["price_ticks"][0]
    unit = desk.instruments["unit_e8"][i]
    draft["lot_notional_e8"][0] = notional(touch, 1, unit) if touch > 0 else UNBOUNDED


@kernel
def closable_lots(desk: Desk, i: int, column: int, side: int) -> int:
    """Return how much an order may take back of what a column holds and is not closing."""
    lots = desk.positions["lots"][i, column]
    closing = desk.pending[i, column, 0] if side > 0 else desk.pending[i, column, 1]
    return max(abs(lots) - closing, 0) if lots * side < 0 else 0


@kernel
def flag_exit(desk: Desk) -> None:
    """Flag the draft, an exit, reduce-only where the venue would take the flag, in place."""
    draft = desk.draft
    i = draft["instrument_index"][0]
    net = desk.positions["lots"][i, net_column(desk)]
    reduces = net * draft["side"][0] < 0 and draft["qty_lots"][0] <= abs(net)
    flags = draft["flags"][0] & ~EVENT_REDUCE_ONLY
    draft["flags"][0] = flags | EVENT_REDUCE_ONLY if reduces else flags


@kernel
def clip_exit(desk: Desk) -> None:
    """Make an exit no larger than what its strategy holds, less what is closing, in place.

    And what the venue takes in one market order: the rest goes with the next.

    It is flagged reduce-only when it also reduces the venue's net position without crossing zero;
    where strategies net against each other the venue would refuse the flag.
    """
    draft = desk.draft
    i = draft["instrument_index"][0]
    rows = desk.instruments
    most = rows["max_qty_lots"][i]
    step = 1
    if draft["order_type"][0] == OrderType.MARKET:
        most = rows["market_max_qty_lots"][i]
        step = max(rows["market_step_lots"][i], 1)
    held = closable_lots(desk, i, draft["column"][0], draft["side"][0])
    draft["qty_lots"][0] = min(draft["qty_lots"][0], held, most) // step * step
    flag_exit(desk)


@kernel
def write_draft(desk: Desk, k: int, slots: Records, slot_index: int) -> None:
    """Turn opportunity `k`, caused by a market record, into the draft, in place."""
    draft = desk.draft
    rows = desk.opportunities
    draft["cause_sequence"][0] = slots["sequence"][slot_index]
    draft["cause_receive_time_ns"][0] = slots["receive_time_ns"][slot_index]
    draft["venue_time_ns"][0] = slots["venue_time_ns"][slot_index]
    draft["instrument_index"][0] = rows["instrument_index"][k]
    draft["column"][0] = column_of(desk, rows["strategy_index"][k])
    draft["side"][0] = 1 if rows["side"][k] > 0 else -1
    draft["is_entry"][0] = rows["is_entry"][k]
    draft["order_type"][0] = rows["order_type"][k]
    draft["time_in_force"][0] = rows["time_in_force"][k]
    draft["price_ticks"][0] = rows["price_ticks"][k]
    draft["qty_lots"][0] = min(max(rows["qty_lots"][k], 0), LOTS_MAX)
    draft["reason"][0] = rows["reason"][k]
    draft["regime"][0] = rows["regime"][k]
    flags = rows["flags"][k] & NOT_ENTRY
    draft["flags"][0] = flags | EVENT_ENTRY if rows["is_entry"][k] else flags
    if rows["is_entry"][k] == 0:
        clip_exit(desk)
    price_draft(desk)


@kernel
def write_closing_draft(desk: Desk, i: int, column: int, reason: int, now_ns: int) -> None:
    """Draft the market order that closes one column of an instrument, in place."""
    draft = desk.draft
    lots = desk.positions["lots"][i, column]
    draft["cause_sequence"][0] = 0
    draft["cause_receive_time_ns"][0] = now_ns
    draft["venue_time_ns"][0] = 0
    draft["instrument_index"][0] = i
    draft["column"][0] = column
    draft["side"][0] = -1 if lots > 0 else 1
    draft["is_entry"][0] = 0
    draft["order_type"][0] = OrderType.MARKET
    draft["time_in_force"][0] = TimeInForce.GTC
    draft["price_ticks"][0] = 0
    draft["qty_lots"][0] = abs(lots)
    draft["reason"][0] = reason
    draft["flags"][0] = 0
    clip_exit(desk)
    price_draft(desk)


@kernel
def emit_draft(desk: Desk, out: Out, event_type: int) -> int:
    """Write an event that carries the draft's order; return its place."""
    draft = desk.draft
    n = begin_event(desk, out, event_type)
    events = out.events
    events["venue_time_ns"][n] = draft["venue_time_ns"][0]
    events["instrument_index"][n] = draft["instrument_index"][0]
    events["strategy_index"][n] = strategy_of(desk, draft["column"][0])
    events["side"][n] = draft["side"][0]
    events["order_type"][n] = draft["order_type"][0]
    events["time_in_force"][n] = draft["time_in_force"][0]
    events["flags"][n] = draft["flags"][0]
    events["cause_sequence"][n] = draft["cause_sequence"][0]
    events["price_ticks"][n] = draft["price_ticks"][0]
    events["qty_lots"][n] = draft["qty_lots"][0]
    events["reason"][n] = draft["reason"][0]
    events["request_id"][n] = desk.words[Word.DECISION_COUNT]
    i = draft["instrument_index"][0]
    column = draft["column"][0]
    events["position_lots"][n] = desk.positions["lots"][i, column]
    events["position_cost_e8"][n] = desk.positions["cost_e8"][i, column]
    return n


@kernel
def emit_decision(desk: Desk, out: Out, k: int, mask: int) -> None:
    """Write SIGNAL_GENERATED for opportunity `k`: its inputs, its reason and what risk said."""
    n = emit_draft(desk, out, _SIGNAL_GENERATED)
    rows = desk.opportunities
    out.events["refusal_mask"][n] = mask
    out.events["input_0"][n] = rows["score"][k]
    out.events["input_1"][n] = rows["input_1"][k]
    out.events["input_2"][n] = rows["input_2"][k]
    out.events["input_3"][n] = rows["input_3"][k]
    out.events["input_4"][n] = rows["input_4"][k]
    if rows["is_entry"][k] != 0:
        out.events["expected_move_bps"][n] = rows["expected_move_bps"][k]
        out.events["confidence"][n] = rows["confidence"][k]
        out.events["cost_bps"][n] = rows["cost_bps"][k]
        out.events["edge_bps"][n] = rows["edge_bps"][k]
        if rows["size_reasons"][k] != 0:
            out.events["wanted_lots"][n] = rows["wanted_lots"][k]
            out.events["size_reasons"][n] = rows["size_reasons"][k]


@kernel
def count_refusal(desk: Desk, mask: int) -> bool:
    """Count every failing gate; return whether this refusal is worth another record."""
    desk.counts[Tally.REFUSALS] += 1
    for reason in range(REASONS_MAX - 1):
        if mask >> reason & 1:
            desk.counts[Tally.REFUSAL_FIRST + reason] += 1
    draft = desk.draft
    row = desk.refusals
    i = draft["instrument_index"][0]
    column = draft["column"][0]
    direction = draft["side"][0] * 2 + draft["is_entry"][0]
    now_ns = desk.words[Word.NOW_NS]
    same = row["mask"][i, column] == mask and row["direction"][i, column] == direction
    if same and now_ns - row["shown_ns"][i, column] < REFUSAL_INTERVAL_NS:
        row["suppressed"][i, column] += 1
        desk.counts[Tally.REFUSALS_SUPPRESSED] += 1
        return False
    row["mask"][i, column] = mask
    row["direction"][i, column] = direction
    row["shown_ns"][i, column] = now_ns
    return True


@kernel
def emit_refusal(desk: Desk, out: Out, mask: int) -> None:
    """Write RISK_REFUSAL: the first failing gate, all of them, and how many went unwritten."""
    n = emit_draft(desk, out, _RISK_REFUSAL)
    i = desk.draft["instrument_index"][0]
    column = desk.draft["column"][0]
    out.events["refusal_mask"][n] = mask
    out.events["reason"][n] = first_reason(mask)
    out.events["request_id"][n] = desk.refusals["suppressed"][i, column]
    desk.refusals["suppressed"][i, column] = 0


@kernel
def create_order(desk: Desk, order_sequence: int, now_ns: int) -> None:
    """Store the draft as a PENDING_NEW order under its number."""
    draft = desk.draft
    key = order_key(order_sequence, desk.words[Word.EPOCH] % EPOCH_PLACES)
    row = insert_order(desk, key, draft["instrument_index"][0], draft["column"][0], now_ns)
    orders = desk.orders
    orders["cause_sequence"][row] = draft["cause_sequence"][0]
    orders["price_ticks"][row] = draft["price_ticks"][0]
    orders["qty_lots"][row] = draft["qty_lots"][0]
    orders["side"][row] = draft["side"][0]
    orders["order_type"][row] = draft["order_type"][0]
    orders["time_in_force"][row] = draft["time_in_force"][0]
    orders["flags"][row] = draft["flags"][0]
    if draft["is_entry"][0]:
        orders["entry_counted"][row] = 1
        orders["entry_day_low"][row] = desk.words[Word.DAY_NUMBER] % EPOCH_PLACES
        desk.words[Word.DAY_ENTRY_COUNT] += 1
        desk.words[Word.LIMITS_DIRTY] = DIRTY_AT_ONCE
    book(desk, row)
    i = draft["instrument_index"][0]
    refresh_mark(desk, i)
    desk.ledger["changed_ns"][i] = now_ns


@kernel
def request_order(desk: Desk, out: Out) -> None:
    """Send the approved draft: ORDER_REQUEST, then COMMAND_NEW. `book_order` must follow.

    INVARIANT: nothing reads what orders are open, and nothing writes the draft, before it did.
    """
    words = desk.words
    order_sequence = words[Word.NEXT_ORDER_SEQUENCE]
    words[Word.NEXT_ORDER_SEQUENCE] = order_sequence + 1
    words[Word.UNBOOKED_SEQUENCE] = order_sequence
    n = emit_draft(desk, out, _ORDER_REQUEST)
    events = out.events
    events["order_sequence"][n] = order_sequence
    events["epoch_low"][n] = words[Word.EPOCH] % EPOCH_PLACES
    events["order_status_after"][n] = OrderStatus.PENDING_NEW
    events["cause_receive_time_ns"][n] = desk.draft["cause_receive_time_ns"][0]
    events["decision_time_ns"][n] = words[Word.NOW_NS]
    events["mid_half_ticks"][n] = desk.draft["mid_half_ticks"][0]
    if desk.draft["time_in_force"][0] == TimeInForce.GTD:
        events["good_till_ms"][n] = desk.draft["good_till_ms"][0]
    copy_command(out, n, _COMMAND_NEW)
    desk.counts[Tally.ORDERS] += 1


@kernel
def book_order(desk: Desk) -> None:
    """Put the order just asked for, if there is one, into the store, sums and rate limits.

    What an order costs its own books is paid after its command is out, where that is possible.
    """
    order_sequence = desk.words[Word.UNBOOKED_SEQUENCE]
    if order_sequence == 0:
        return
    desk.words[Word.UNBOOKED_SEQUENCE] = 0
    now_ns = desk.words[Word.NOW_NS]
    create_order(desk, order_sequence, now_ns)
    if desk.draft["is_entry"][0] == 0:
        withdraw_met(desk)
    rate_take(desk.rates, RATE_GLOBAL, now_ns)
    rate_take(desk.rates, RATE_SLOW, now_ns)
    rate_take(desk.rates, RATE_FIRST + desk.draft["instrument_index"][0], now_ns)
    note_order(desk)


@kernel
def exit_waits(desk: Desk) -> int:
    """Say what becomes of the drafted exit while orders at the venue guard its position.

    Stop and target are left to the venue's order, for as long as an answer may take from the
    moment our quotes reach its price. Any other exit, and one that the venue did not make in time,
    waits until those orders are withdrawn (`engine.domain.brackets`): never both.

    Returns:
        STANDS, WAITS, or BEGINS_TO_WAIT where it is the first of them and worth a record.
    """
    draft = desk.draft
    i, column = draft["instrument_index"][0], draft["column"][0]
    rows = desk.brackets
    if bracket_count(desk, i, column) == 0:
        return STANDS
    if rows["leaving"][i, column] != 0:
        return WAITS
    now_ns = desk.words[Word.NOW_NS]
    reason = draft["reason"][0]
    at_stop = reason == _STOP_LOSS and rows["stop_open"][i, column] > 0
    if at_stop or (reason == _TAKE_PROFIT and rows["take_open"][i, column] > 0):
        due_ns = rows["due_ns"][i, column]
        if due_ns == 0:
            rows["due_ns"][i, column] = now_ns
            return BEGINS_TO_WAIT
        if now_ns - due_ns <= desk.limits["order_timeout_ns"][0]:
            return WAITS
    rows["leaving"][i, column] = reason
    desk.words[Word.ORDERS_DUE] = 1
    return BEGINS_TO_WAIT


@kernel
def decide_opportunity(desk: Desk, out: Out, k: int, slots: Records, slot_index: int) -> None:
    """Take opportunity `k` of a market record through the gates: an order, a wait, or a refusal.

    An order is asked for and not yet booked: call `book_order` before anything reads the books.
    """
    book_order(desk)  # of the opportunity before
    write_draft(desk, k, slots, slot_index)
    desk.words[Word.DECISION_COUNT] += 1
    is_entry = desk.draft["is_entry"][0] != 0
    desk.counts[Tally.DECISIONS if is_entry else Tally.EXITS] += 1
    waits = STANDS if is_entry else exit_waits(desk)
    if waits != STANDS:
        if waits == BEGINS_TO_WAIT:
            emit_decision(desk, out, k, 0)
        return
    mask = evaluate(desk)
    if mask == 0 and needs_approval(desk):
        mask = _APPROVAL_MASK
        number = hold_draft(desk)
        if number > 0:
            emit_decision(desk, out, k, mask)
            out.events["trade_id"][emit_draft(desk, out, _INTENT_HELD)] = number
            return
    if mask == 0:
        emit_decision(desk, out, k, mask)
        request_order(desk, out)
    elif mask & _MODE_MASK != 0 and draft_mode(desk) == Mode.OFF:
        desk.counts[Tally.REFUSALS] += 1
        desk.counts[Tally.REFUSAL_FIRST + RiskReason.MODE] += 1
    elif count_refusal(desk, mask):
        emit_decision(desk, out, k, mask)
        emit_refusal(desk, out, mask)


@kernel
def close_column(desk: Desk, out: Out, i: int, column: int, reason: int, now_ns: int) -> bool:
    """Send the market order that closes a column, if risk lets it; return whether it did."""
    write_closing_draft(desk, i, column, reason, now_ns)
    return send_draft(desk, out)


@kernel
def send_draft(desk: Desk, out: Out) -> bool:
    """Take a draft that no opportunity asked for through the gates; return whether it was sent."""
    if desk.draft["qty_lots"][0] == 0:
        return False
    desk.words[Word.DECISION_COUNT] += 1
    mask = evaluate(desk)
    if mask == 0:
        request_order(desk, out)
        book_order(desk)
        return True
    if count_refusal(desk, mask):
        emit_refusal(desk, out, mask)
    return False
