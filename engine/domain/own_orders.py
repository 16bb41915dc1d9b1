"""Orders of ours that could trade with one another: one rests, the other takes, prices cross.

        rests    a limit order that waits (GTC, GTD, post-only or not)
        takes    any but post-only
        reach    a limit order's price; of a market order the touch, and a spread further for each
                 further quantity of the touch that it takes; of one in flight any price

An entry, and any order that rests, is refused while it could meet one (SELF_TRADE). An exit that
only takes goes, because a position must be closable: what of ours rests in its way is withdrawn,
and every order tells the venue to drop the resting one should they meet after all (EXPIRE_MAKER).
That is also what keeps orders apart that are not ours but the account's.
"""

from __future__ import annotations

from engine.domain.codes import EVENT_POST_ONLY, OrderType, TimeInForce
from engine.domain.desk import Desk
from engine.domain.edge import SLIPPAGE_SPREADS_MAX
from engine.domain.kernel import kernel
from engine.domain.order_store import foremost_ticks
from engine.domain.orders import TERMINAL
from engine.domain.words import Word

ANY_TICKS = 2**62  # further than any price
_LIMIT = int(OrderType.LIMIT)
_GTC = int(TimeInForce.GTC)
_GTD = int(TimeInForce.GTD)
_SPREADS_MAX = int(SLIPPAGE_SPREADS_MAX)


@kernel
def reach_ticks(desk: Desk) -> int:
    """Return the furthest price at which the draft may trade; any where there is no quote."""
    draft = desk.draft
    if draft["order_type"][0] == _LIMIT:
        return int(draft["price_ticks"][0])
    i, side = draft["instrument_index"][0], draft["side"][0]
    bid, ask = desk.hot["bid_price_ticks"][i], desk.hot["ask_price_ticks"][i]
    if bid <= 0 or ask <= bid:
        return int(side * ANY_TICKS)
    touch, offered = ask, desk.hot["ask_qty_lots"][i]
    if side < 0:
        touch, offered = bid, desk.hot["bid_qty_lots"][i]
    beyond = (draft["qty_lots"][0] - 1) // max(offered, 1)
    return int(touch + side * min(beyond, _SPREADS_MAX) * (ask - bid))


@kernel
def other_lots(desk: Desk) -> int:
    """Return how many lots of ours are on the other side of the draft, resting or in flight."""
    i = desk.draft["instrument_index"][0]
    if desk.draft["side"][0] > 0:
        return int(desk.ledger["sell_lots"][i])
    return int(desk.ledger["buy_lots"][i])


@kernel
def may_wait(time_in_force: int) -> bool:
    """Return whether an order of such a time in force waits for what it cannot take."""
    return time_in_force in (_GTC, _GTD)


@kernel
def order_rests(desk: Desk, row: int) -> bool:
    """Return whether an order waits at the venue, or may."""
    orders = desk.orders
    is_limit = orders["order_type"][row] == _LIMIT
    waits = is_limit and may_wait(orders["time_in_force"][row])
    return bool(waits and not TERMINAL[orders["status"][row]])


@kernel
def draft_rests(desk: Desk) -> bool:
    """Return whether the draft may wait at the venue."""
    draft = desk.draft
    return bool(draft["order_type"][0] == _LIMIT and may_wait(draft["time_in_force"][0]))


@kernel
def could_meet(desk: Desk, row: int, reach: int) -> bool:
    """Return whether the draft, which may trade as far as `reach`, could trade with an order."""
    orders, draft = desk.orders, desk.draft
    side = draft["side"][0]
    if orders["instrument_index"][row] != draft["instrument_index"][0]:
        return False
    if orders["side"][row] * side >= 0 or TERMINAL[orders["status"][row]]:
        return False
    kind = orders["order_type"][row]
    if kind > _LIMIT:  # conditional: no order of the market yet
        return False
    if kind == _LIMIT and (reach - foremost_ticks(desk, row)) * side < 0:
        return False
    draft_takes = draft["flags"][0] & EVENT_POST_ONLY == 0
    row_takes = orders["flags"][row] & EVENT_POST_ONLY == 0
    return bool((draft_takes and order_rests(desk, row)) or (draft_rests(desk) and row_takes))


@kernel
def meets_own(desk: Desk) -> bool:
    """Return whether the draft could trade with an order of ours."""
    if other_lots(desk) == 0:
        return False
    reach = reach_ticks(desk)
    for place in range(desk.words[Word.OPEN_COUNT]):
        if could_meet(desk, desk.open_rows[place], reach):
            return True
    return False


@kernel
def withdraw_met(desk: Desk) -> None:
    """Want every resting order withdrawn that the draft, just sent, could meet, in place."""
    if other_lots(desk) == 0:
        return
    reach = reach_ticks(desk)
    for place in range(desk.words[Word.OPEN_COUNT]):
        row = desk.open_rows[place]
        if not order_rests(desk, row) or not could_meet(desk, row, reach):
            continue
        if desk.orders["cancel_wanted"][row] == 0:
            desk.orders["cancel_wanted"][row] = 1
            desk.words[Word.ORDERS_DUE] = 1
