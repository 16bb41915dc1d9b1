"""Stop, target and trailing stop of a position as conditional orders at the venue, a guard each.

    entry settled -> those the row has are placed, reduce-only, for what is held
    one filled, or the position changed otherwise -> what no longer fits is withdrawn
    another exit wanted -> all withdrawn, then the position is closed      (`intent.exit_waits`)
    the venue refuses or ends one -> it is watched here, by quotes, until the position ends; what
                       may pass (a pause, a price too near) is asked for a few times again

A trailing stop is at the venue for the time when nobody watches here: it follows trades from when
it was placed, at a share of the price that is no less than the row's distance. The one of
`engine.domain.trailing` is nearer, and its exit is one of the row's own.

They outlive this process: a restart finds them among its open orders and keeps those that fit. The
venue reduces its net position, so they are placed only while one strategy alone holds the
instrument, and no other enters it while they stand (GUARDED). Where several hold it, where the
quantity does not fit one market order, and for rows that do not ask (`venue_bracket`), they are
watched by quotes as ever. Positions are looked at with the open orders (`order_watch`),
and nothing here runs while no row asks.
"""

from __future__ import annotations

from engine.domain.codes import EVENT_REDUCE_ONLY, OrderType, TradingState
from engine.domain.desk import Desk, Out, net_column
from engine.domain.emit import command_room, event_room
from engine.domain.intent import close_column, send_draft, write_closing_draft
from engine.domain.kernel import kernel
from engine.domain.market_state import INSTRUMENTS_KNOWN, MarketState
from engine.domain.order_store import bracket_count, guards_position
from engine.domain.order_watch import ROOM_PER_ORDER
from engine.domain.orders import WITHDRAWN
from engine.domain.row_bits import next_row
from engine.domain.strategy_table import StrategyReason
from engine.domain.words import Word

_STOP_MARKET = int(OrderType.STOP_MARKET)
_TAKE_PROFIT_MARKET = int(OrderType.TAKE_PROFIT_MARKET)
_TRAILING_STOP_MARKET = int(OrderType.TRAILING_STOP_MARKET)
_STOP_LOSS = int(StrategyReason.STOP_LOSS)
_TAKE_PROFIT = int(StrategyReason.TAKE_PROFIT)
_TRAILING_STOP = int(StrategyReason.TRAILING_STOP)


@kernel
def still_fits(desk: Desk, row: int) -> bool:
    """Return whether an order guards exactly what its strategy holds, and nothing is leaving."""
    orders = desk.orders
    i, column = orders["instrument_index"][row], orders["column"][row]
    lots = desk.positions["lots"][i, column]
    left = orders["qty_lots"][row] - orders["filled_lots"][row]
    alone = desk.positions["lots"][i, net_column(desk)] == lots
    whole = lots * orders["side"][row] < 0 and left == abs(lots)
    return alone and whole and desk.brackets["leaving"][i, column] == 0


@kernel
def withdraw_unfit(desk: Desk) -> None:
    """Want every order withdrawn that guards what is not held so any more, in place.

    One that has become an order of the market is being filled: it is left to its fills.
    """
    orders = desk.orders
    for place in range(desk.words[Word.OPEN_COUNT]):
        row = desk.open_rows[place]
        waits = guards_position(desk, row) and orders["venue_order_id"][row] == 0
        if waits and orders["cancel_wanted"][row] == 0 and not still_fits(desk, row):
            orders["cancel_wanted"][row] = WITHDRAWN
            desk.words[Word.ORDERS_DUE] = 1


@kernel
def trigger_ticks(desk: Desk, i: int, s: int, order_type: int, distance_ticks: float) -> int:
    """Return the first price at which a position is past its stop, or its target; 0: none.

    0 too where the quote is there already: that exit is for now, not for the venue to wait for. Of
    a stop that trails: where it stands at first, as the venue follows the price from now on.
    """
    held = desk.exposure["position_lots"][i, s]
    side = 1 if held > 0 else -1
    bid, ask = desk.hot["bid_price_ticks"][i], desk.hot["ask_price_ticks"][i]
    touch = bid if held > 0 else ask
    away = side if order_type == _TAKE_PROFIT_MARKET else -side
    distance = int(distance_ticks)
    distance += 1 if distance < distance_ticks else 0
    trails = order_type == _TRAILING_STOP_MARKET
    origin = touch if trails else desk.exposure["entry_price_ticks"][i, s]
    price = origin + away * distance
    reached = (touch - price) * away >= 0
    unknown = touch <= 0 or (trails and min(bid, ask) <= 0)  # a rate is a share of the mid
    return 0 if reached or distance <= 0 or price <= 0 or unknown else price


@kernel
def open_guards(desk: Desk, i: int, s: int, order_type: int) -> int:
    """Return how many guards of a kind a position has, or may have."""
    rows = desk.brackets
    if order_type == _STOP_MARKET:
        return int(rows["stop_open"][i, s])
    if order_type == _TAKE_PROFIT_MARKET:
        return int(rows["take_open"][i, s])
    return int(rows["trail_open"][i, s])


@kernel
def place_guard(
    desk: Desk,
    out: Out,
    i: int,
    s: int,
    order_type: int,
    reason: int,
    distance_ticks: float,
    now_ns: int,
) -> None:
    """Send one conditional order for all that a strategy holds, if it can be one order."""
    price = trigger_ticks(desk, i, s, order_type, distance_ticks)
    if price == 0 or open_guards(desk, i, s, order_type) > 0:
        return
    write_closing_draft(desk, i, s, reason, now_ns)
    draft = desk.draft
    whole = draft["qty_lots"][0] == abs(desk.positions["lots"][i, s])
    if not whole or draft["flags"][0] & EVENT_REDUCE_ONLY == 0:
        return
    draft["order_type"][0] = order_type
    draft["price_ticks"][0] = price
    send_draft(desk, out)


@kernel
def guard_position(market: MarketState, desk: Desk, out: Out, i: int, s: int, now_ns: int) -> None:
    """Give one position the orders it misses, or close it where that was waited for."""
    rows = desk.brackets
    if market.strategies["venue_bracket"][s] == 0 and rows["leaving"][i, s] == 0:
        return
    if desk.pending[i, s, 0] + desk.pending[i, s, 1] > 0:
        return
    if rows["leaving"][i, s] != 0:
        if bracket_count(desk, i, s) == 0:
            close_column(desk, out, i, s, rows["leaving"][i, s], now_ns)
        return
    alone = desk.positions["lots"][i, net_column(desk)] == desk.positions["lots"][i, s]
    others = desk.ledger["buy_lots"][i] + desk.ledger["sell_lots"][i]  # on their way in or out
    watched = rows["refused"][i, s] != 0 or now_ns < rows["again_ns"][i, s]
    if watched or not alone or others > 0:
        return
    memory = market.strategy_memory[i, s]
    stop_ticks, take_ticks = memory["stop_ticks"], memory["take_ticks"]
    place_guard(desk, out, i, s, _STOP_MARKET, _STOP_LOSS, stop_ticks, now_ns)
    place_guard(desk, out, i, s, _TAKE_PROFIT_MARKET, _TAKE_PROFIT, take_ticks, now_ns)
    trail_ticks = float(market.trails["distance_ticks"][i, s])
    place_guard(desk, out, i, s, _TRAILING_STOP_MARKET, _TRAILING_STOP, trail_ticks, now_ns)


@kernel
def keep_brackets(market: MarketState, desk: Desk, out: Out, now_ns: int) -> None:
    """Bring the orders that guard positions into line with what is held; at most three of each.

    What does not fit into `out` waits for the next look.
    """
    words = desk.words
    withdraw_unfit(desk)
    stopped = words[Word.STOPPING] != 0 or words[Word.EFFECTIVE_STATE] == TradingState.HALTED
    away = words[Word.CONNECTED] == 0 or words[Word.SYNCED] == 0
    if stopped or away or words[Word.FLATTEN_ACTIVE] != 0:
        return
    for i in range(market.progress[INSTRUMENTS_KNOWN]):
        held = market.held_rows[i]
        s = next_row(held, held, 0)
        while s >= 0:
            if event_room(out) < ROOM_PER_ORDER or command_room(out) < ROOM_PER_ORDER:
                words[Word.ORDERS_DUE] = 1
                return
            guard_position(market, desk, out, i, s, now_ns)
            s = next_row(held, held, s + 1)
