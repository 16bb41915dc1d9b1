"""Adjustments: what the venue is right about, booked under ids that it determines.

A position is set to the venue's without a fill: nothing is realised, because the money of whatever
happened there is in the wallet, and the wallet is adjusted apart. The id of an adjustment is made
from what the venue said and what we held, so seeing the same again makes the same id.
"""

from __future__ import annotations

from enum import IntEnum

from engine.domain.codes import EventType
from engine.domain.desk import Desk, Out, net_column
from engine.domain.emit import begin_event, emit_net_position, event_room
from engine.domain.equity import change_cash, refresh_mark
from engine.domain.fills import move_column, spread_adjustment
from engine.domain.kernel import kernel
from engine.domain.order_store import book, unbook
from engine.domain.position import COST_MAX, marked_value, share
from engine.domain.words import Tally, Word

ADJUSTMENT_ID_BITS = 48
ROOM_KEPT = 8  # events left to the rest of the step


class AdjustmentKind(IntEnum):
    """What an ADJUSTMENT corrected; in its `reason`."""

    POSITION = 1
    CASH = 2
    OPENING_CASH = 3  # the first wallet the venue reported for this account
    FILL = 4  # fills the venue counts and never reported: written off, positions and wallet decide


_ADJUSTMENT = int(EventType.ADJUSTMENT)
_KIND_POSITION = int(AdjustmentKind.POSITION)
_KIND_CASH = int(AdjustmentKind.CASH)
_KIND_FILL = int(AdjustmentKind.FILL)
_KIND_OPENING_CASH = int(AdjustmentKind.OPENING_CASH)


@kernel
def mix(seed: int, number: int) -> int:
    """Fold a number into a positive id of ADJUSTMENT_ID_BITS bits; no product can wrap."""
    mask = (1 << ADJUSTMENT_ID_BITS) - 1
    folded = (seed ^ (number & mask) ^ ((number >> 24) & mask)) & mask
    low = folded & 0xFFFFFF
    high = folded >> 24
    return ((low * 0x5BD1E9 + high * 0x27D4EB) ^ (low << 24) ^ high) & mask


@kernel
def adjustment_id(kind: int, i: int, before: int, after: int, extra: int) -> int:
    """Return the id of an adjustment, from what the venue said and what we held."""
    return mix(mix(mix(mix(mix(1, kind), i + 1), before), after), extra)


@kernel
def emit_adjustment(
    desk: Desk, out: Out, kind: int, i: int, before: int, after: int, extra: int
) -> int:
    """Write ADJUSTMENT under its deterministic id; return its place."""
    n = begin_event(desk, out, _ADJUSTMENT)
    out.events["reason"][n] = kind
    out.events["instrument_index"][n] = i
    out.events["venue_time_ns"][n] = desk.words[Word.FETCH_BEGIN_VENUE_NS]
    out.events["trade_id"][n] = -adjustment_id(kind, i, before, after, extra)
    out.events["request_id"][n] = desk.words[Word.FETCH_ROUND]
    desk.counts[Tally.ADJUSTMENTS] += 1
    return n


@kernel
def is_sane(cost_e8: int, lots: int) -> bool:
    """Return whether a cost can be that of a position: its sign, and within the integers."""
    return 0 < abs(cost_e8) < COST_MAX and (cost_e8 > 0) == (lots > 0)


@kernel
def cost_after(desk: Desk, i: int, venue_lots: int) -> int:
    """Return the cost of the venue's position: theirs, else our share of ours, else lots at mid."""
    net = net_column(desk)
    lots = desk.positions["lots"][i, net]
    theirs = desk.venue["cost_e8"][i]
    if venue_lots == 0:
        return 0
    if is_sane(theirs, venue_lots):
        return theirs
    if lots * venue_lots > 0 and abs(venue_lots) < abs(lots):
        return share(desk.positions["cost_e8"][i, net], abs(venue_lots), abs(lots))
    half = desk.hot["bid_price_ticks"][i] + desk.hot["ask_price_ticks"][i]
    return marked_value(venue_lots, half, desk.instruments["unit_e8"][i])


@kernel
def adjust_position(desk: Desk, out: Out, i: int, venue_lots: int, now_ns: int) -> None:
    """Take the venue's position, in place; its money comes with the wallet, booked apart."""
    net = net_column(desk)
    before = desk.positions["lots"][i, net]
    delta = venue_lots - before
    side = 1 if delta > 0 else -1
    cost = cost_after(desk, i, venue_lots)
    seen_ns = desk.words[Word.FETCH_BEGIN_VENUE_NS]
    n = emit_adjustment(desk, out, _KIND_POSITION, i, before, venue_lots, seen_ns)
    out.events["side"][n] = side
    out.events["qty_lots"][n] = abs(delta)
    out.events["position_lots"][n] = venue_lots
    out.events["position_cost_e8"][n] = cost
    spread_adjustment(desk, out, i, side, abs(delta), venue_lots, cost, now_ns)
    move_column(desk, i, net, venue_lots, cost, now_ns)
    desk.ledger["changed_ns"][i] = now_ns
    desk.venue["adjusted_venue_ns"][i] = seen_ns
    refresh_mark(desk, i)
    emit_net_position(desk, out, i, 0, 0)


@kernel
def write_off_fills(desk: Desk, out: Out, row: int) -> None:
    """Take the venue's filled total of an order without its fills, in place.

    Whatever they did is in the venue's position and wallet, which are compared in the same round.
    """
    orders = desk.orders
    i = orders["instrument_index"][row]
    filled = orders["filled_lots"][row]
    total = orders["cum_qty_lots"][row]
    n = emit_adjustment(desk, out, _KIND_FILL, i, filled, total, orders["key"][row])
    out.events["order_sequence"][n] = orders["order_sequence"][row]
    out.events["epoch_low"][n] = orders["epoch_low"][row]
    out.events["side"][n] = orders["side"][row]
    out.events["qty_lots"][n] = total - filled
    out.events["cum_qty_lots"][n] = total
    unbook(desk, row)
    orders["filled_lots"][row] = total
    book(desk, row)
    out.events["order_status_after"][n] = orders["status"][row]
    desk.venue["adjusted_venue_ns"][i] = desk.words[Word.FETCH_BEGIN_VENUE_NS]
    refresh_mark(desk, i)


@kernel
def take_costs(desk: Desk, out: Out) -> None:
    """Take the venue's cost of positions that agree in lots, in place, beside its wallet.

    Fills that came in another order than they happened split cash and cost differently; the sum is
    the same. Differences below one tick of the position are the venue's rounding and stay.
    """
    net = net_column(desk)
    for i in range(desk.venue.shape[0]):
        lots = desk.positions["lots"][i, net]
        seen = desk.venue["round"][i] == desk.words[Word.FETCH_ROUND]
        if lots == 0 or not seen or desk.venue["lots"][i] != lots:
            continue
        theirs = desk.venue["cost_e8"][i]
        tick_e8 = abs(lots) * desk.instruments["unit_e8"][i]
        differs = abs(theirs - desk.positions["cost_e8"][i, net]) >= tick_e8
        if is_sane(theirs, lots) and differs and event_room(out) > ROOM_KEPT:
            desk.positions["cost_e8"][i, net] = theirs
            refresh_mark(desk, i)
            emit_net_position(desk, out, i, 0, 0)


@kernel
def adjust_cash(desk: Desk, out: Out, now_ns: int) -> None:
    """Take the venue's wallet, in place; the first one ever is where equity starts."""
    words = desk.words
    opening = words[Word.CASH_KNOWN] == 0
    delta = words[Word.WALLET_E8] - words[Word.CASH_E8]
    kind = _KIND_OPENING_CASH if opening else _KIND_CASH
    seen_ns = words[Word.FETCH_BEGIN_VENUE_NS]
    n = emit_adjustment(desk, out, kind, -1, words[Word.CASH_E8], words[Word.WALLET_E8], seen_ns)
    change_cash(desk, delta, now_ns)
    words[Word.CASH_KNOWN] = 1
    out.events["venue_realised_pnl_e8"][n] = delta
    out.events["wallet_e8"][n] = words[Word.CASH_E8]
    if opening:
        words[Word.OPENING] = 1
        # What was traded before is in this wallet: no fetch is to bring it as news.
        words[Word.LAST_FILL_VENUE_NS] = max(words[Word.LAST_FILL_VENUE_NS], seen_ns)
    else:
        take_costs(desk, out)
