"""Ours against the venue's: what a fetch showed becomes adjustments, RECONCILED, or a halt.

    COMMAND_FETCH -> FETCH_BEGIN, VENUE_ORDER.., VENUE_POSITION.., VENUE_BALANCE.., FILL..,
                     FETCH_END

The executor fetches trades last, so that they cover every position it fetched before. The venue is
right about quantity, but a fetch is not an instant: a difference counts only when nothing of the
instrument changed during the fetch, and becomes an adjustment only when CONFIRM_ROUNDS fetches in a
row show the same one. Adjustments carry ids derived from what the venue said, so the same state
adjusts to nothing. A fetch that failed says nothing: never that we are flat.

        difference -> changed during fetch -> again soon (bounded, then at the next interval)
                   -> not the same twice   -> again soon (bounded, then HALTED: diverged)
                   -> the same twice       -> ADJUSTMENT
        none left  -> RECONCILED, synced
        failed     -> again with a growing pause (bounded, then HALTED: failed)
"""

from __future__ import annotations

from engine.domain.adjust import adjust_cash, adjust_position, write_off_fills
from engine.domain.codes import EventType, OrderStatus
from engine.domain.desk import Desk, Out, net_column
from engine.domain.emit import begin_event
from engine.domain.equity import check_losses, rebase_equity, refresh_mark, trip
from engine.domain.fetch import defer_fetch, is_this_round, pause_fetch
from engine.domain.kernel import kernel
from engine.domain.order_store import book, unbook
from engine.domain.orders import Stimulus, merge
from engine.domain.position import HALF_LOTS_MAX
from engine.domain.risk_reasons import RiskReason
from engine.domain.words import FetchState, Tally, Word

CONFIRM_ROUNDS = 2  # fetches in a row that must show one difference
MISMATCH_ROUNDS_MAX = 8  # fetches with a difference, without an adjustment or a match
WRITE_OFF_ROUNDS = 3  # fetches that did not bring a fill before it is written off
ADJUST_ROUNDS_MAX = 4  # fetches in a row that had to adjust
ADJUSTMENTS_PER_ROUND_MAX = 16


_RECONCILED = int(EventType.RECONCILED)
_RECONCILE_DIVERGED = int(RiskReason.RECONCILE_DIVERGED)
_UNSEEN = int(Stimulus.UNSEEN)
# Answers of a comparison, by gravity: the gravest of all decides.
_MATCHES, _ADJUSTED, _BUSY, _DIFFERS = 0, 1, 2, 3


@kernel
def doubt_order(desk: Desk, row: int, now_ns: int) -> None:
    """A whole fetch did not show an order we hold open: UNKNOWN, and a lookup decides."""
    unbook(desk, row)
    merge(desk.orders, row, _UNSEEN, 0, 0, now_ns)
    book(desk, row)
    desk.orders["next_query_ns"][row] = now_ns
    desk.orders["query_count"][row] = 0
    desk.words[Word.ORDERS_DUE] = 1


@kernel
def compare_order(desk: Desk, out: Out, row: int, now_ns: int) -> int:
    """Compare one order that is not settled with what the fetch showed of it."""
    orders = desk.orders
    words = desk.words
    changed_ns = orders["changed_ns"][row]
    if changed_ns >= words[Word.FETCH_BEGIN_NS]:
        return _MATCHES  # what is in motion is watched by its timeouts
    if orders["filled_lots"][row] != orders["cum_qty_lots"][row]:
        if now_ns - changed_ns <= desk.limits["order_timeout_ns"][0]:
            return _BUSY
        if words[Word.MISMATCH_ROUNDS] < WRITE_OFF_ROUNDS:
            return _DIFFERS
        # The trades were fetched again and again without it: positions and wallet decide.
        write_off_fills(desk, out, row)
        return _ADJUSTED
    seen = orders["seen_round"][row] == words[Word.FETCH_ROUND]
    in_doubt = orders["status"][row] == OrderStatus.UNKNOWN
    if seen or in_doubt or orders["acknowledged"][row] == 0:
        return _MATCHES
    doubt_order(desk, row, now_ns)
    return _BUSY


@kernel
def awaits_fill(desk: Desk, i: int) -> bool:
    """Return whether the venue counts fills of an instrument that have not arrived."""
    orders = desk.orders
    for place in range(desk.words[Word.OPEN_COUNT]):
        row = desk.open_rows[place]
        if orders["instrument_index"][row] == i:
            if orders["filled_lots"][row] != orders["cum_qty_lots"][row]:
                return True
    return False


@kernel
def compare_position(desk: Desk, out: Out, i: int, room: int, now_ns: int) -> int:
    """Compare one instrument with the venue and adjust what two fetches agree on."""
    venue = desk.venue
    lots = venue["lots"][i] if venue["round"][i] == desk.words[Word.FETCH_ROUND] else 0
    delta = lots - desk.positions["lots"][i, net_column(desk)]
    if delta == 0:
        venue["mismatch_count"][i] = 0
        return _MATCHES
    changed = desk.ledger["changed_ns"][i] >= desk.words[Word.FETCH_BEGIN_NS]
    if changed or awaits_fill(desk, i):
        venue["mismatch_count"][i] = 0
        return _BUSY
    if venue["mismatch_count"][i] > 0 and venue["mismatch_lots"][i] == delta:
        venue["mismatch_count"][i] += 1
    else:
        venue["mismatch_count"][i] = 1
    venue["mismatch_lots"][i] = delta
    if venue["mismatch_count"][i] < CONFIRM_ROUNDS or room <= 0 or abs(lots) > HALF_LOTS_MAX:
        return _DIFFERS
    adjust_position(desk, out, i, lots, now_ns)
    venue["mismatch_count"][i] = 0
    return _ADJUSTED


@kernel
def compare_wallet(desk: Desk, out: Out, now_ns: int) -> int:
    """Compare cash with the wallet; the first wallet ever is the opening balance."""
    words = desk.words
    if words[Word.WALLET_ROUND] != words[Word.FETCH_ROUND]:
        return _MATCHES  # the venue did not report one
    delta = words[Word.WALLET_E8] - words[Word.CASH_E8]
    opening = words[Word.CASH_KNOWN] == 0
    if delta == 0 and not opening:
        words[Word.WALLET_MISMATCH_E8] = 0
        return _MATCHES
    if not opening and words[Word.CASH_CHANGED_NS] >= words[Word.FETCH_BEGIN_NS]:
        words[Word.WALLET_MISMATCH_E8] = 0
        return _BUSY
    if not opening and words[Word.WALLET_MISMATCH_E8] != delta:
        words[Word.WALLET_MISMATCH_E8] = delta
        return _DIFFERS
    adjust_cash(desk, out, now_ns)
    words[Word.WALLET_MISMATCH_E8] = 0
    return _MATCHES if opening else _ADJUSTED


@kernel
def take_foreign(desk: Desk) -> None:
    """Make what the fetch showed of foreign orders count, from now until the next fetch."""
    desk.words[Word.FOREIGN_OPEN] = desk.words[Word.FOREIGN_STAGED]
    for i in range(desk.venue.shape[0]):
        buys = desk.venue["staged_buy_lots"][i]
        sells = desk.venue["staged_sell_lots"][i]
        ledger = desk.ledger
        if buys != ledger["foreign_buy_lots"][i] or sells != ledger["foreign_sell_lots"][i]:
            ledger["foreign_buy_lots"][i] = buys
            ledger["foreign_sell_lots"][i] = sells
            refresh_mark(desk, i)


@kernel
def compare_all(desk: Desk, out: Out, now_ns: int) -> int:
    """Compare orders, positions and wallet; return the gravest answer."""
    answer = _MATCHES
    room = ADJUSTMENTS_PER_ROUND_MAX
    # From the end: a row that settles is replaced by the last one, which was looked at already.
    for place in range(desk.words[Word.OPEN_COUNT] - 1, -1, -1):
        if room > 0:
            found = compare_order(desk, out, desk.open_rows[place], now_ns)
            room -= 1 if found == _ADJUSTED else 0
            answer = max(answer, found)
    for i in range(desk.venue.shape[0]):
        found = compare_position(desk, out, i, room, now_ns)
        room -= 1 if found == _ADJUSTED else 0
        answer = max(answer, found)
    return max(answer, compare_wallet(desk, out, now_ns))


@kernel
def declare_reconciled(desk: Desk, out: Out, now_ns: int) -> None:
    """Write RECONCILED: ours is the venue's; entries may follow."""
    words = desk.words
    words[Word.SYNCED] = 1
    words[Word.MISMATCH_ROUNDS] = 0
    words[Word.BUSY_ROUNDS] = 0
    words[Word.LAST_RECONCILED_NS] = now_ns
    desk.counts[Tally.RECONCILED] += 1
    if words[Word.OPENING] != 0:
        words[Word.OPENING] = 0
        rebase_equity(desk)
    n = begin_event(desk, out, _RECONCILED)
    out.events["request_id"][n] = words[Word.FETCH_ROUND]
    out.events["qty_lots"][n] = words[Word.OPEN_COUNT]
    out.events["cum_qty_lots"][n] = words[Word.FOREIGN_OPEN]
    out.events["wallet_e8"][n] = words[Word.CASH_E8]
    check_losses(desk)


@kernel
def end_fetch(desk: Desk, out: Out, n: int, now_ns: int) -> None:
    """FETCH_END, echoed at place `n`: decide whether ours and the venue's agree."""
    words = desk.words
    if words[Word.FETCH_STATE] != FetchState.BEGUN or not is_this_round(desk, out.events, n):
        return
    words[Word.FETCH_STATE] = FetchState.IDLE
    words[Word.FETCH_FAILURES] = 0
    take_foreign(desk)
    answer = compare_all(desk, out, now_ns)
    words[Word.AGREED_NS] = now_ns if answer == _MATCHES else 0
    if answer == _DIFFERS:
        words[Word.MISMATCH_ROUNDS] += 1
        if words[Word.MISMATCH_ROUNDS] >= MISMATCH_ROUNDS_MAX:
            trip(desk, _RECONCILE_DIVERGED)
        pause_fetch(desk, words[Word.MISMATCH_ROUNDS], now_ns)
        return
    if answer == _BUSY:
        defer_fetch(desk, now_ns)
        return
    words[Word.ADJUST_ROUNDS] = words[Word.ADJUST_ROUNDS] + 1 if answer == _ADJUSTED else 0
    if words[Word.ADJUST_ROUNDS] >= ADJUST_ROUNDS_MAX:
        trip(desk, _RECONCILE_DIVERGED)
    declare_reconciled(desk, out, now_ns)
