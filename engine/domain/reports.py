"""Reports of the executor about orders into the order store, in whatever order they come.

Every report is echoed first; what it meant for us is written into the echo's derived fields. An
order the venue lists as open that is ours by its number but not in the store is adopted; a mere
word about one is not, it may be late and about an order settled and forgotten. A report with
order_sequence 0 is foreign: shown and counted. Fills are `engine.domain.fill_reports`.
"""

from __future__ import annotations

from engine.domain.codes import (
    EVENT_APPLIED,
    EVENT_DUPLICATE,
    EVENT_ENTRY,
    EVENT_FOREIGN,
    EVENT_POST_ONLY,
    EVENT_REDUCE_ONLY,
    OrderStatus,
    OrderType,
)
from engine.domain.desk import Desk, column_of, knows_instrument
from engine.domain.equity import DIRTY_AT_ONCE, refresh_mark
from engine.domain.kernel import Records, kernel
from engine.domain.limits import LOTS_MAX
from engine.domain.order_store import (
    EPOCH_PLACES,
    NO_ROW,
    book,
    find_order,
    insert_order,
    order_key,
    unbook,
)
from engine.domain.order_watch import count_failure, lose_order
from engine.domain.orders import STIMULUS_OF_STATUS, TERMINAL, WITHDRAWN, Stimulus, merge
from engine.domain.words import Tally, Word

ORDER_FLAGS = EVENT_REDUCE_ONLY | EVENT_POST_ONLY | EVENT_ENTRY  # what a report says of an order
RATE_PAUSED = 9004  # `reason` of a reject: not sent, because the venue asked us to wait
QUEUE_FULL = 9006  # and: not sent, because too much was waiting already
INSTRUMENT_CLOSED = 9011  # and: the venue takes no order of this instrument at all
WOULD_TAKE = 9012  # and: post-only, and the market had come to its price; no failure of ours
OVERDUE = 9013  # and: an entry decided too long before it could leave, never sent
TOO_MANY_REQUESTS, TOO_MANY_ORDERS, WOULD_TRIGGER = -1003, -1015, -2021  # the venue's own
GUARD_RETRIES_MAX = 3  # times that a guard is asked for again while a position lasts
GUARD_PAUSE_NS = 30_000_000_000  # before that: three of the venue's windows for orders
CLOSED_PAUSE_NS = 30_000_000_000  # before the next order of a closed instrument is tried
STATUS_MAX = int(max(OrderStatus))
ABSENT_LOOKUPS_MIN = 3  # answers "not known" before an order counts as absent

_LIMIT = int(OrderType.LIMIT)
_STOP_MARKET = int(OrderType.STOP_MARKET)
_SENT = int(Stimulus.SENT)
_WORKING = int(Stimulus.VENUE_WORKING)
_PARTIALLY_FILLED = int(Stimulus.VENUE_PARTIALLY_FILLED)
_CANCEL_REJECTED = int(Stimulus.CANCEL_REJECTED)
_PROVEN_ABSENT = int(Stimulus.PROVEN_ABSENT)
_PROVEN_GONE = int(Stimulus.PROVEN_GONE)
_PROVEN_OPEN = int(Stimulus.PROVEN_OPEN)


@kernel
def is_readable(desk: Desk, events: Records, n: int) -> bool:
    """Return whether an order report names an instrument, a side and a status that exist."""
    if not knows_instrument(desk, events["instrument_index"][n]):
        return False
    if events["order_status"][n] > STATUS_MAX or events["last_qty_lots"][n] < 0:
        return False
    return events["cum_qty_lots"][n] >= 0 and events["qty_lots"][n] >= 0


@kernel
def adopt_order(desk: Desk, events: Records, n: int, now_ns: int) -> int:
    """Store an order of ours that the venue knows and we did not; return its row or NO_ROW.

    It belongs to its strategy's column and is cancelled if it still rests: whoever asked for it no
    longer remembers why.
    """
    key = order_key(events["order_sequence"][n], events["epoch_low"][n])
    qty = events["qty_lots"][n]
    if key < 0 or qty <= 0 or events["side"][n] == 0:
        return NO_ROW
    this_session = events["epoch_low"][n] == desk.words[Word.EPOCH] % EPOCH_PLACES
    if this_session and events["order_sequence"][n] < desk.words[Word.NEXT_ORDER_SEQUENCE]:
        return NO_ROW  # settled with all its fills and forgotten: the list is older than that
    i = events["instrument_index"][n]
    row = insert_order(desk, key, i, column_of(desk, events["strategy_index"][n]), now_ns)
    if row == NO_ROW:
        return NO_ROW
    orders = desk.orders
    orders["qty_lots"][row] = qty
    orders["price_ticks"][row] = events["price_ticks"][n]
    orders["cause_sequence"][row] = events["cause_sequence"][n]
    orders["side"][row] = 1 if events["side"][n] > 0 else -1
    orders["order_type"][row] = events["order_type"][n]
    orders["time_in_force"][row] = events["time_in_force"][n]
    orders["flags"][row] = events["flags"][n] & ORDER_FLAGS
    orders["cancel_wanted"][row] = 1
    book(desk, row)
    if this_session:
        following = events["order_sequence"][n] + 1
        desk.words[Word.NEXT_ORDER_SEQUENCE] = max(desk.words[Word.NEXT_ORDER_SEQUENCE], following)
    desk.words[Word.ORDERS_DUE] = 1
    desk.counts[Tally.ORDERS_ADOPTED] += 1
    return row


@kernel
def may_pass(reason: int) -> bool:
    """Return whether the venue refused a guard for what may be otherwise a little later."""
    return reason in (RATE_PAUSED, QUEUE_FULL, TOO_MANY_REQUESTS, TOO_MANY_ORDERS, WOULD_TRIGGER)


@kernel
def note_guard_end(desk: Desk, row: int) -> None:
    """Remember that a conditional order ended unfilled, and not because we withdrew it, in place.

    What it guarded is watched here from now on. A venue that refused it for what may pass is asked
    again after a pause, GUARD_RETRIES_MAX times while the position lasts; for anything else never.
    Those that were asked for together are refused together: that counts once.
    """
    orders = desk.orders
    i, column = orders["instrument_index"][row], orders["column"][row]
    held, rows = desk.positions["lots"][i, column] != 0, desk.brackets
    if not held or orders["cum_qty_lots"][row] != 0 or orders["cancel_wanted"][row] == WITHDRAWN:
        return
    now_ns = desk.words[Word.NOW_NS]
    passes = orders["status"][row] == OrderStatus.REJECTED and may_pass(orders["reason"][row])
    if passes and now_ns < rows["again_ns"][i, column]:
        return
    if passes and rows["again_count"][i, column] < GUARD_RETRIES_MAX:
        rows["again_count"][i, column] += 1
        rows["again_ns"][i, column] = now_ns + GUARD_PAUSE_NS
    else:
        rows["refused"][i, column] = 1


@kernel
def is_excused(reason: int) -> bool:
    """Return whether a reject is no failure: a pause the venue asked for, or an order too late."""
    return reason in (RATE_PAUSED, WOULD_TAKE, OVERDUE)


@kernel
def count_outcome(desk: Desk, row: int, before: int) -> None:
    """Count what an order came to; a closed entry without a fill gives its day's place back."""
    orders = desk.orders
    after = orders["status"][row]
    if after == before:
        return
    if after == OrderStatus.NEW or orders["filled_lots"][row] > 0:
        if desk.words[Word.FAILURE_COUNT] != 0:
            desk.words[Word.LIMITS_DIRTY] = DIRTY_AT_ONCE
        desk.words[Word.FAILURE_COUNT] = 0
    if not TERMINAL[after] or TERMINAL[before]:
        return
    guards = orders["order_type"][row] >= _STOP_MARKET
    if guards:
        note_guard_end(desk, row)
    if after == OrderStatus.FILLED:
        desk.counts[Tally.FILLED_ORDERS] += 1
    elif after == OrderStatus.CANCELED:
        desk.counts[Tally.CANCELED_ORDERS] += 1
    elif after == OrderStatus.EXPIRED:
        desk.counts[Tally.EXPIRED_ORDERS] += 1
    else:
        desk.counts[Tally.REJECTED_ORDERS] += 1
        reason = orders["reason"][row]
        # An unknown one was counted when its answer did not come; a pause that the venue asked for
        # is kept, and no failure of its own; a closed instrument is no failure of ours at all; what
        # a refused guard guarded is watched here.
        if reason == INSTRUMENT_CLOSED:
            until_ns = desk.words[Word.NOW_NS] + CLOSED_PAUSE_NS
            desk.ledger["closed_until_ns"][orders["instrument_index"][row]] = until_ns
        elif before != OrderStatus.UNKNOWN and not guards and not is_excused(reason):
            count_failure(desk)
    same_day = orders["entry_day_low"][row] == desk.words[Word.DAY_NUMBER] % EPOCH_PLACES
    if orders["entry_counted"][row] != 0 and orders["cum_qty_lots"][row] == 0 and same_day:
        desk.words[Word.DAY_ENTRY_COUNT] = max(desk.words[Word.DAY_ENTRY_COUNT] - 1, 0)
        desk.words[Word.LIMITS_DIRTY] = DIRTY_AT_ONCE
    orders["entry_counted"][row] = 0


@kernel
def note_report(desk: Desk, events: Records, n: int, row: int) -> None:
    """Keep what a report says about an order's identity and time, in place."""
    orders = desk.orders
    if events["venue_order_id"][n] > 0:
        orders["venue_order_id"][row] = events["venue_order_id"][n]
    newest_ns = max(orders["venue_time_ns"][row], events["venue_time_ns"][n])
    orders["venue_time_ns"][row] = newest_ns
    if events["reason"][n] != 0:
        orders["reason"][row] = events["reason"][n]


@kernel
def told_quantity(events: Records, n: int) -> int:
    """Return what the venue says an order is for, in lots; 0: it does not say."""
    qty: int = events["qty_lots"][n]
    return qty if events["venue_time_ns"][n] > 0 and qty <= LOTS_MAX else 0


@kernel
def raise_quantity(desk: Desk, events: Records, n: int, row: int, stimulus: int) -> None:
    """Take over that an order is for more than we knew: somebody amended it, in place."""
    orders = desk.orders
    if not TERMINAL[orders["status"][row]] or stimulus == _PROVEN_OPEN:
        orders["qty_lots"][row] = max(orders["qty_lots"][row], told_quantity(events, n))


@kernel
def note_price(desk: Desk, events: Records, n: int, row: int, stimulus: int) -> int:
    """Take over the price the venue says a limit order has, in place; return what the word means.

    While an amendment awaits its answer, a word that does not name the price asked for may have
    been said before it: the order goes on waiting.
    """
    orders = desk.orders
    told = events["price_ticks"][n] if events["venue_time_ns"][n] > 0 else 0
    waits = orders["status"][row] == OrderStatus.PENDING_REPLACE
    if told > 0 and orders["order_type"][row] == _LIMIT:
        is_asked = told == orders["amended_ticks"][row]
        if is_asked or events["venue_time_ns"][n] > orders["venue_time_ns"][row]:
            orders["price_ticks"][row] = told
        if is_asked or not waits:
            orders["amended_ticks"][row] = 0
            return stimulus
    return _SENT if waits and stimulus in (_WORKING, _PARTIALLY_FILLED) else stimulus


@kernel
def merge_report(
    desk: Desk, events: Records, n: int, row: int, stimulus: int, fill_lots: int, now_ns: int
) -> None:
    """Merge a stimulus into an order and write what came of it into the echo."""
    orders = desk.orders
    before = orders["status"][row]
    unbook(desk, row)
    raise_quantity(desk, events, n, row, stimulus)
    stimulus = note_price(desk, events, n, row, stimulus)
    cum = events["cum_qty_lots"][n]
    changed = merge(orders, row, stimulus, cum, fill_lots, now_ns)
    note_report(desk, events, n, row)
    book(desk, row)
    count_outcome(desk, row, before)
    i = orders["instrument_index"][row]
    events["order_status_after"][n] = orders["status"][row]
    if changed:
        events["flags"][n] |= EVENT_APPLIED
        desk.ledger["changed_ns"][i] = now_ns
        refresh_mark(desk, i)
    else:
        events["flags"][n] |= EVENT_DUPLICATE
        desk.counts[Tally.REPORTS_DUPLICATE] += 1
    if orders["status"][row] == OrderStatus.UNKNOWN and before != OrderStatus.UNKNOWN:
        orders["next_query_ns"][row] = now_ns
        orders["query_count"][row] = 0
        desk.words[Word.ORDERS_DUE] = 1
        desk.counts[Tally.CONTRADICTIONS] += 1


@kernel
def apply_lookup_miss(desk: Desk, events: Records, n: int, row: int, now_ns: int) -> None:
    """A lookup did not find an order: final after several, outside the window of young orders."""
    orders = desk.orders
    if orders["status"][row] != OrderStatus.UNKNOWN:
        events["flags"][n] |= EVENT_DUPLICATE
        events["order_status_after"][n] = orders["status"][row]
        return
    orders["absent_count"][row] += 1
    young = now_ns - orders["created_ns"][row] < desk.limits["absent_window_ns"][0]
    if young or orders["absent_count"][row] < ABSENT_LOOKUPS_MIN:
        events["flags"][n] |= EVENT_APPLIED
        events["order_status_after"][n] = orders["status"][row]
        return
    stimulus = _PROVEN_GONE if orders["acknowledged"][row] != 0 else _PROVEN_ABSENT
    merge_report(desk, events, n, row, stimulus, 0, now_ns)
    # Its fills may have been missed with it: trades and positions decide.
    desk.words[Word.RECONCILE_REQUIRED] = 1


@kernel
def apply_order_update(desk: Desk, events: Records, n: int, now_ns: int) -> None:
    """ORDER_UPDATE: what the venue said about one order."""
    row = find_order(desk, events["order_sequence"][n], events["epoch_low"][n])
    if row == NO_ROW:
        mark_foreign(desk, events, n)
        return
    status = events["order_status"][n]
    if status == OrderStatus.NONE:
        apply_lookup_miss(desk, events, n, row, now_ns)
        return
    if status == OrderStatus.UNKNOWN:
        apply_order_unknown(desk, events, n, now_ns)
        return
    held_rejected = desk.orders["status"][row] == OrderStatus.REJECTED
    merge_report(desk, events, n, row, STIMULUS_OF_STATUS[status], 0, now_ns)
    if held_rejected and not TERMINAL[status]:
        # We hold it rejected or absent, the venue says it works: look at everything.
        desk.counts[Tally.CONTRADICTIONS] += 1
        desk.words[Word.RECONCILE_REQUIRED] = 1


@kernel
def mark_foreign(desk: Desk, events: Records, n: int) -> None:
    """Mark an echo as not ours."""
    events["flags"][n] |= EVENT_FOREIGN
    desk.counts[Tally.REPORTS_FOREIGN] += 1


@kernel
def apply_order_sent(desk: Desk, events: Records, n: int, now_ns: int) -> None:
    """ORDER_SENT: the first byte of a request went out; its answer is due from now."""
    row = find_order(desk, events["order_sequence"][n], events["epoch_low"][n])
    if row == NO_ROW:
        mark_foreign(desk, events, n)
        return
    # The send is counted from our own clock: a report's time may not push a timeout away.
    desk.orders["asked_ns"][row] = now_ns
    events["flags"][n] |= EVENT_APPLIED
    events["order_status_after"][n] = desk.orders["status"][row]


@kernel
def apply_order_unknown(desk: Desk, events: Records, n: int, now_ns: int) -> None:
    """ORDER_UNKNOWN: the outcome of a request is not known to the executor."""
    row = find_order(desk, events["order_sequence"][n], events["epoch_low"][n])
    if row == NO_ROW:
        mark_foreign(desk, events, n)
        return
    is_failure = desk.orders["status"][row] == OrderStatus.PENDING_NEW
    lost = lose_order(desk, row, is_failure, now_ns)
    events["flags"][n] |= EVENT_APPLIED if lost else EVENT_DUPLICATE
    events["order_status_after"][n] = desk.orders["status"][row]


@kernel
def apply_cancel_rejected(desk: Desk, events: Records, n: int, now_ns: int) -> None:
    """CANCEL_REJECTED, of an amendment too: the order is as it was, as a lookup must confirm."""
    desk.counts[Tally.CANCEL_REJECTS] += 1
    row = find_order(desk, events["order_sequence"][n], events["epoch_low"][n])
    if row == NO_ROW:
        mark_foreign(desk, events, n)
        return
    if desk.orders["status"][row] == OrderStatus.PENDING_CANCEL:
        # WHY: "no such order" is as common an answer as "too late"; both need a look.
        lose_order(desk, row, False, now_ns)
        events["flags"][n] |= EVENT_APPLIED
        events["order_status_after"][n] = desk.orders["status"][row]
        return
    if desk.orders["status"][row] == OrderStatus.PENDING_REPLACE:
        # It stays where nobody wants it: cancelled, and asked for anew if it is still wanted.
        desk.orders["amended_ticks"][row] = 0
        desk.orders["cancel_wanted"][row] = 1
        desk.words[Word.ORDERS_DUE] = 1
    merge_report(desk, events, n, row, _CANCEL_REJECTED, 0, now_ns)


@kernel
def apply_venue_order(desk: Desk, events: Records, n: int, now_ns: int) -> None:
    """VENUE_ORDER: an order the venue held open when it was asked for all of them."""
    i = events["instrument_index"][n]
    leaves = events["qty_lots"][n] - events["cum_qty_lots"][n]
    row = find_order(desk, events["order_sequence"][n], events["epoch_low"][n])
    if row == NO_ROW:
        row = adopt_order(desk, events, n, now_ns)
    if row == NO_ROW:
        mark_foreign(desk, events, n)
        desk.words[Word.FOREIGN_STAGED] += 1
        if events["side"][n] > 0:
            desk.venue["staged_buy_lots"][i] += max(leaves, 0)
        else:
            desk.venue["staged_sell_lots"][i] += max(leaves, 0)
        return
    orders = desk.orders
    orders["seen_round"][row] = desk.words[Word.FETCH_ROUND]
    status = orders["status"][row]
    if TERMINAL[status]:
        # Closed by us before the fetch began, open at the venue: the venue is right, unless what
        # it lists is older than what closed the order.
        newer = events["venue_time_ns"][n] >= orders["venue_time_ns"][row]
        if newer and orders["closed_ns"][row] < desk.words[Word.FETCH_BEGIN_NS]:
            desk.counts[Tally.CONTRADICTIONS] += 1
            merge_report(desk, events, n, row, _PROVEN_OPEN, 0, now_ns)
        else:
            events["order_status_after"][n] = status
            events["flags"][n] |= EVENT_DUPLICATE
        return
    merge_report(desk, events, n, row, STIMULUS_OF_STATUS[events["order_status"][n]], 0, now_ns)
