"""Quotes of strategies that make markets, kept at the venue: asked for, moved, withdrawn.

    at each quote of the instrument, for each strategy and side:
        an order of it rests    out of place -> amended, through the gates like any other
                                no longer wanted, or not to be amended -> cancelled
        none does, one is wanted  -> an opportunity: post-only, through the same gates

A quote is moved under its own name, its quantity unchanged, so that a side never has two. Where
size or purpose changed with its place, a gate or the venue refuses the move, or its fate is not
known, it is cancelled and, once the venue has confirmed that, asked for anew. Not more often than
`requote_s`, and at most half of the order budget goes to quotes. What time makes unfit while no
record comes is withdrawn by `engine.domain.order_watch`. A side that reduces the position is an
exit.
"""

from __future__ import annotations

from engine.domain.bounds import count_order
from engine.domain.codes import (
    EVENT_ENTRY,
    EVENT_POST_ONLY,
    OrderStatus,
    OrderType,
    TimeInForce,
)
from engine.domain.desk import Desk, Out
from engine.domain.edge import PPM_PER_BPS
from engine.domain.emit import command_room, event_room
from engine.domain.held import needs_approval
from engine.domain.intent import (
    EVENTS_PER_OPPORTUNITY,
    book_order,
    decide_opportunity,
    write_draft,
)
from engine.domain.kernel import Records, kernel
from engine.domain.key_index import find_key
from engine.domain.limits import RATE_FIRST, RATE_GLOBAL, RATE_SLOW, S_TO_NS, rate_leaves, rate_take
from engine.domain.making import BUY, REQUOTE_S, REQUOTE_SHARE, SELL, plan_quotes
from engine.domain.market_state import ENTRIES_WITHOUT_EDGE, MAKER_FEE_PPM, MarketState
from engine.domain.opportunity import TO_BPS, write_inputs, write_order
from engine.domain.order_store import (
    EPOCH_PLACES,
    NO_ROW,
    book,
    foremost_ticks,
    order_key,
    unbook,
)
from engine.domain.order_watch import amend_order, is_in_flight
from engine.domain.risk import evaluate
from engine.domain.size_reasons import BY_LOSSES
from engine.domain.sizing import edge_asked_bps
from engine.domain.state import State
from engine.domain.strategy_table import StrategyReason
from engine.domain.words import Word

SIDES = 2
QUOTE_SHARE = 2  # one in two orders of a window may be a quote's
SIZE_SHARE = 20  # a quote that is off its wanted size by less than one in twenty keeps it
_LIMIT = int(OrderType.LIMIT)
_GTC = int(TimeInForce.GTC)
_MAKING_QUOTE = int(StrategyReason.MAKING_QUOTE)


@kernel
def budget_allows(desk: Desk, i: int, now_ns: int) -> bool:
    """Return whether a quote of an instrument may be asked for without starving other orders."""
    for row in (RATE_GLOBAL, RATE_SLOW, RATE_FIRST + i):
        if not rate_leaves(desk.rates, row, QUOTE_SHARE, now_ns):
            return False
    return True


@kernel
def is_out_of_place(
    market: MarketState, quotes: Records, i: int, m: int, k: int, s: int, now_ns: int
) -> bool:
    """Return whether a resting quote should leave: not wanted, or far from its place for a while.

    Between those it stays: moving it costs an order and its place in the queue, and a price that
    comes nearer is what it waits for.
    """
    wanted, resting = quotes["wanted_ticks"][i, m, k], quotes["resting_ticks"][i, m, k]
    if wanted == 0:
        return True
    own = market.parameters[s]
    if now_ns - quotes["asked_ns"][i, m, k] < own[REQUOTE_S] * S_TO_NS:
        return False
    return abs(resting - wanted) > own[REQUOTE_SHARE] * quotes["half_ticks"][i, m]


@kernel
def resting_row(desk: Desk, i: int, m: int, k: int) -> int:
    """Return the order that quotes a side, its price known; NO_ROW when it is over: forgotten.

    INVARIANT: every order that was asked for is booked.
    """
    key = desk.quotes["key"][i, m, k]
    if key == 0:
        return NO_ROW
    row = find_key(desk.order_index, key)
    if row != NO_ROW and desk.orders["open_place"][row] >= 0:
        desk.quotes["resting_ticks"][i, m, k] = foremost_ticks(desk, row)
        return row
    desk.quotes["key"][i, m, k] = 0
    return NO_ROW


@kernel
def crosses_own(desk: Desk, i: int, k: int, price_ticks: int) -> bool:
    """Return whether a price of side `k` would meet a quote of ours on the other side."""
    for m in range(desk.makers.shape[0]):
        if resting_row(desk, i, m, 1 - k) == NO_ROW:
            continue
        other = desk.quotes["resting_ticks"][i, m, 1 - k]
        if (k == BUY and price_ticks >= other) or (k == SELL and price_ticks <= other):
            return True
    return False


@kernel
def reducing_lots(desk: Desk, i: int, s: int, k: int, m: int) -> int:
    """Return how many lots of a side's quote close what is held, as an exit; 0: it is an entry.

    A rest below what the venue accepts is not an exit of its own: a whole quote takes it along.
    """
    held = desk.positions["lots"][i, s]
    if held == 0 or (held > 0) != (k == SELL):
        return 0
    lots = min(abs(held), desk.quotes["lots"][i, m])
    rows = desk.instruments
    price = desk.quotes["wanted_ticks"][i, m, k]
    worth = price * lots * rows["unit_e8"][i]
    if lots < rows["min_qty_lots"][i] or worth < rows["min_notional_e8"][i]:
        return 0
    return int(lots)


@kernel
def write_quote(market: MarketState, desk: Desk, i: int, m: int, k: int, s: int) -> None:
    """Write the opportunity of a quote as the first row, in place."""
    rows, quotes = desk.opportunities, desk.quotes
    closing = reducing_lots(desk, i, s, k, m)
    write_order(market, rows, 0, i, s, 1 if k == BUY else -1, closing == 0)
    rows["order_type"][0], rows["time_in_force"][0] = _LIMIT, _GTC
    rows["reason"][0] = _MAKING_QUOTE
    rows["flags"][0] = EVENT_POST_ONLY
    rows["price_ticks"][0] = quotes["wanted_ticks"][i, m, k]
    rows["qty_lots"][0] = closing if closing > 0 else quotes["lots"][i, m]
    if closing == 0 and quotes["lots"][i, m] < quotes["calm_lots"][i, m]:
        rows["wanted_lots"][0] = quotes["calm_lots"][i, m]
        rows["size_reasons"][0] = BY_LOSSES
    write_inputs(
        rows,
        0,
        quotes["inventory"][i, m],
        quotes["fair_ticks"][i, m],
        quotes["reservation_ticks"][i, m],
        quotes["half_ticks"][i, m],
        market.atr_ticks[i, market.strategies["timeframe_index"][s]],
    )


@kernel
def weigh_quote(market: MarketState, desk: Desk, i: int, m: int, s: int) -> bool:
    """Write what the quote in the first row may bring; return whether it is worth it, in place.

    A fill brings the distance from fair, of which the row claims its share, and costs the maker's
    fee. A side that sheds what is held is not asked.
    """
    rows, fair = desk.opportunities, desk.quotes["fair_ticks"][i, m]
    side = rows["side"][0]
    move_bps = (fair - rows["price_ticks"][0]) * side / fair * TO_BPS
    cost_bps = market.progress[MAKER_FEE_PPM] / PPM_PER_BPS
    edge_bps = market.strategies["claim"][s] * move_bps - cost_bps
    rows["expected_move_bps"][0] = move_bps
    rows["confidence"][0] = 1.0
    rows["cost_bps"][0] = cost_bps
    rows["edge_bps"][0] = edge_bps
    least_bps = edge_asked_bps(market, s)
    if desk.positions["lots"][i, s] * side < 0 or least_bps < 0.0 or edge_bps >= least_bps:
        return True
    market.progress[ENTRIES_WITHOUT_EDGE] += 1
    return False


@kernel
def ask_quote(
    state: State, out: Out, i: int, m: int, k: int, slots: Records, place: int, now_ns: int
) -> None:
    """Take a wanted quote to the gates, if time, budget and our own quotes let it; in place."""
    desk, market = state.desk, state.market
    quotes, s = desk.quotes, desk.makers[m, 0]
    price = quotes["wanted_ticks"][i, m, k]
    if desk.pending[i, s, k] > 0 or crosses_own(desk, i, k, price):
        return
    asked_ns, pause_ns = quotes["asked_ns"][i, m, k], market.parameters[s, REQUOTE_S] * S_TO_NS
    if asked_ns != 0 and now_ns - asked_ns < pause_ns:
        return
    # A flattening waits until nothing of ours is open.
    if desk.words[Word.FLATTEN_ACTIVE] != 0 or not budget_allows(desk, i, now_ns):
        return
    quotes["asked_ns"][i, m, k] = now_ns
    write_quote(market, desk, i, m, k, s)
    if not weigh_quote(market, desk, i, m, s):
        return
    decide_opportunity(desk, out, 0, slots, place)
    order_sequence = desk.words[Word.UNBOOKED_SEQUENCE]
    if order_sequence != 0:
        key = order_key(order_sequence, desk.words[Word.EPOCH] % EPOCH_PLACES)
        quotes["key"][i, m, k] = key
        quotes["resting_ticks"][i, m, k] = price


@kernel
def keeps_shape(desk: Desk, i: int, m: int, k: int, row: int) -> bool:
    """Return whether a quote at its new place is for what its order is for: as much, to one end."""
    orders, s = desk.orders, desk.makers[m, 0]
    closing = reducing_lots(desk, i, s, k, m)
    if (orders["flags"][row] & EVENT_ENTRY != 0) != (closing == 0):
        return False
    wanted = closing if closing > 0 else desk.quotes["lots"][i, m]
    leaves = orders["qty_lots"][row] - orders["cum_qty_lots"][row]
    return bool(abs(wanted - leaves) * SIZE_SHARE <= wanted)


@kernel
def passes_again(
    state: State, i: int, m: int, k: int, row: int, slots: Records, place: int
) -> bool:
    """Return whether the gates let an order go on at its new place, as if it were a new one.

    It is taken out of the sums meanwhile. What an operator wants to see first is never amended.
    """
    desk, market = state.desk, state.market
    leaves = desk.orders["qty_lots"][row] - desk.orders["cum_qty_lots"][row]
    unbook(desk, row)
    write_quote(market, desk, i, m, k, desk.makers[m, 0])
    desk.opportunities["qty_lots"][0] = leaves
    passes = False
    if weigh_quote(market, desk, i, m, desk.makers[m, 0]):
        write_draft(desk, 0, slots, place)
        whole = desk.draft["qty_lots"][0] == leaves
        passes = whole and evaluate(desk) == 0 and not needs_approval(desk)
    book(desk, row)
    return passes


@kernel
def move_quote(
    state: State,
    out: Out,
    i: int,
    m: int,
    k: int,
    row: int,
    slots: Records,
    place: int,
    now_ns: int,
) -> bool:
    """Have a resting quote amended to the price that is wanted, in place; False: it cannot be."""
    desk, orders = state.desk, state.desk.orders
    status, price = orders["status"][row], desk.quotes["wanted_ticks"][i, m, k]
    works = status == OrderStatus.NEW or status == OrderStatus.PARTIALLY_FILLED
    if not works or desk.words[Word.FLATTEN_ACTIVE] != 0 or crosses_own(desk, i, k, price):
        return False
    if not keeps_shape(desk, i, m, k, row) or not budget_allows(desk, i, now_ns):
        return False
    if not passes_again(state, i, m, k, row, slots, place):
        return False
    for rate in (RATE_GLOBAL, RATE_SLOW, RATE_FIRST + i):
        rate_take(desk.rates, rate, now_ns)
    count_order(desk, desk.makers[m, 0])
    desk.quotes["asked_ns"][i, m, k] = now_ns
    amend_order(desk, out, row, price, now_ns)
    desk.quotes["resting_ticks"][i, m, k] = foremost_ticks(desk, row)
    return True


@kernel
def tend_quote(
    state: State,
    out: Out,
    i: int,
    m: int,
    k: int,
    row: int,
    slots: Records,
    place: int,
    now_ns: int,
) -> None:
    """Move or withdraw a resting quote that is out of place; one in flight is waited for."""
    desk, s = state.desk, state.desk.makers[m, 0]
    if desk.orders["cancel_wanted"][row] != 0:
        return
    if not is_out_of_place(state.market, desk.quotes, i, m, k, s, now_ns):
        return
    if desk.quotes["wanted_ticks"][i, m, k] != 0:
        if is_in_flight(desk.orders["status"][row]):
            return
        if move_quote(state, out, i, m, k, row, slots, place, now_ns):
            return
    desk.orders["cancel_wanted"][row] = 1
    desk.words[Word.ORDERS_DUE] = 1


@kernel
def make_quotes(state: State, out: Out, slots: Records, place: int, now_ns: int) -> None:
    """Tend the quotes of every strategy that makes markets, in the instrument of a QUOTE record.

    Args:
        state: with the record applied; changed in place.
        out: a strategy that finds no room in it for its two sides is asked at the next quote.
        slots: MARKET_DTYPE[capacity], the record is `slots[place]`.
        place: see `slots`.
        now_ns: monotonic time of the step.
    """
    desk, market = state.desk, state.market
    i = slots["instrument_index"][place]
    for m in range(desk.makers.shape[0]):
        if event_room(out) < SIDES * EVENTS_PER_OPPORTUNITY or command_room(out) < SIDES:
            return
        s = desk.makers[m, 0]
        plan_quotes(market, desk.exposure, desk.quotes, i, m, s, now_ns)
        for k in range(SIDES):
            book_order(desk)  # of the side or the record before: its row is looked for
            row = resting_row(desk, i, m, k)
            if row == NO_ROW:
                if desk.quotes["wanted_ticks"][i, m, k] != 0:
                    ask_quote(state, out, i, m, k, slots, place, now_ns)
            else:
                tend_quote(state, out, i, m, k, row, slots, place, now_ns)
