"""Where orders live: preallocated rows, found by key, open ones listed, settled ones reused.

    orders[row]      ORDER_DTYPE; a settled row stays readable until its place is needed
    order_index      key -> row
    open_rows        dense list of rows that are not settled; a row knows its place in it

An order's key is order_sequence * 256 + the low byte of its epoch, so an order of an earlier
session and one of this session never meet. What open orders may still do is summed as they change:
`unbook` before a change takes an order out of the sums, `book` after it puts it back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.domain.arrays import aligned_zeros
from engine.domain.codes import OrderStatus, OrderType
from engine.domain.desk import Desk
from engine.domain.kernel import kernel
from engine.domain.key_index import ABSENT, find_key, insert_key, remove_key
from engine.domain.market_state import USES_BRACKETS
from engine.domain.orders import ORDER_DTYPE, TERMINAL, is_settled, reserved_lots
from engine.domain.row_bits import mark_row
from engine.domain.words import Word

EPOCH_PLACES = 256
ORDER_SEQUENCE_MAX = 2**54
NO_ROW = -1
_STOP_MARKET = int(OrderType.STOP_MARKET)
_TAKE_PROFIT_MARKET = int(OrderType.TAKE_PROFIT_MARKET)


def create_orders(capacity: int) -> NDArray[np.void]:
    """Return rows that hold no order."""
    rows = aligned_zeros((capacity,), ORDER_DTYPE)
    rows["open_place"] = -1
    return rows


@kernel
def order_key(order_sequence: int, epoch_low: int) -> int:
    """Return the key of an order; ABSENT for a number no order of ours can have."""
    if order_sequence <= 0 or order_sequence >= ORDER_SEQUENCE_MAX:
        return ABSENT
    return order_sequence * EPOCH_PLACES + epoch_low


@kernel
def find_order(desk: Desk, order_sequence: int, epoch_low: int) -> int:
    """Return the row of an order, or NO_ROW."""
    key = order_key(order_sequence, epoch_low)
    if key == ABSENT:
        return NO_ROW
    return find_key(desk.order_index, key)


@kernel
def foremost_ticks(desk: Desk, row: int) -> int:
    """Return an order's price; of the two of an amendment under way the bolder one."""
    price, asked = desk.orders["price_ticks"][row], desk.orders["amended_ticks"][row]
    if asked == 0:
        return int(price)
    return int(max(price, asked) if desk.orders["side"][row] > 0 else min(price, asked))


@kernel
def free_row(desk: Desk) -> int:
    """Return a settled row, longest unused first, out of the index; NO_ROW when all are open."""
    capacity = desk.orders.shape[0]
    row = desk.words[Word.ORDER_CURSOR]
    for _ in range(capacity):
        if desk.orders["open_place"][row] < 0:
            key = desk.orders["key"][row]
            if key > 0:
                remove_key(desk.order_index, key)
            desk.words[Word.ORDER_CURSOR] = (row + 1) % capacity
            return row
        row = (row + 1) % capacity
    return NO_ROW


@kernel
def has_room(desk: Desk) -> bool:
    """Return whether one more order fits."""
    return desk.words[Word.OPEN_COUNT] < desk.orders.shape[0]


@kernel
def list_open(desk: Desk, row: int) -> None:
    """Append a row to the open ones, in place."""
    place = desk.words[Word.OPEN_COUNT]
    desk.open_rows[place] = row
    desk.orders["open_place"][row] = place
    desk.words[Word.OPEN_COUNT] = place + 1


@kernel
def unlist_open(desk: Desk, row: int) -> None:
    """Take a row out of the open ones: the last one takes its place."""
    place = desk.orders["open_place"][row]
    last = desk.words[Word.OPEN_COUNT] - 1
    moved = desk.open_rows[last]
    desk.open_rows[place] = moved
    desk.orders["open_place"][moved] = place
    desk.orders["open_place"][row] = -1
    desk.words[Word.OPEN_COUNT] = last


@kernel
def takes_place(desk: Desk, i: int, s: int) -> bool:
    """Return whether a strategy takes a place of the portfolio: it holds, or an order is open."""
    held = desk.exposure["position_lots"][i, s] != 0
    return bool(held or desk.exposure["in_flight"][i, s] != 0)


@kernel
def refresh_exposure(desk: Desk, i: int, column: int) -> None:
    """Show a strategy its position and what is in flight for it."""
    if column >= desk.exposure.shape[1]:
        return
    before = takes_place(desk, i, column)
    lots = desk.positions["lots"][i, column]
    entry_ticks = 0
    if lots != 0:
        divisor = abs(lots) * desk.instruments["unit_e8"][i]
        entry_ticks = (abs(desk.positions["cost_e8"][i, column]) + divisor // 2) // divisor
    desk.exposure["position_lots"][i, column] = lots
    desk.exposure["entry_price_ticks"][i, column] = entry_ticks
    desk.exposure["entry_time_ns"][i, column] = desk.positions["entry_time_ns"][i, column]
    desk.exposure["last_exit_time_ns"][i, column] = desk.positions["last_exit_time_ns"][i, column]
    mark_row(desk.held_rows[i], column, lots != 0)
    reserved = desk.pending[i, column, 0] + desk.pending[i, column, 1]
    if desk.progress[USES_BRACKETS] != 0:
        desk.words[Word.ORDERS_DUE] = 1  # what guards the position may have to follow it
        if lots == 0:
            # An entry waits until nothing is left that could close it at the old prices.
            reserved += bracket_count(desk, i, column)
            end_bracket(desk, i, column)
    desk.exposure["in_flight"][i, column] = 1 if reserved > 0 else 0
    desk.words[Word.PLACES_TAKEN] += int(takes_place(desk, i, column)) - int(before)


@kernel
def bracket_count(desk: Desk, i: int, column: int) -> int:
    """Return how many orders guard a position from the venue's side, or may."""
    rows = desk.brackets
    fixed = rows["stop_open"][i, column] + rows["take_open"][i, column]
    return fixed + rows["trail_open"][i, column]


@kernel
def end_bracket(desk: Desk, i: int, column: int) -> None:
    """Forget what was said of the orders that guarded a position, in place: it is closed."""
    desk.brackets["due_ns"][i, column] = 0
    desk.brackets["leaving"][i, column] = 0
    desk.brackets["refused"][i, column] = 0
    desk.brackets["again_ns"][i, column] = 0
    desk.brackets["again_count"][i, column] = 0


@kernel
def guards_position(desk: Desk, row: int) -> bool:
    """Return whether an order is a conditional one that is open or in doubt.

    It only takes back what is held, so it adds nothing to what open orders may still do.
    """
    orders = desk.orders
    return orders["order_type"][row] >= _STOP_MARKET and not TERMINAL[orders["status"][row]]


@kernel
def is_guarded(desk: Desk, i: int) -> bool:
    """Return whether an order guards a position of an instrument from the venue's side.

    The venue knows its net position only: it would take that order for a way out of whatever else
    were held there.
    """
    if desk.progress[USES_BRACKETS] == 0:
        return False
    for place in range(desk.words[Word.OPEN_COUNT]):
        row = desk.open_rows[place]
        if desk.orders["instrument_index"][row] == i and guards_position(desk, row):
            return True
    return False


@kernel
def shift_sums(desk: Desk, row: int, sign: int) -> None:
    """Add (sign 1) or take back (-1) what an order may still do to the sums of open orders."""
    i = desk.orders["instrument_index"][row]
    column = desk.orders["column"][row]
    lots = sign * reserved_lots(desk.orders, row)
    if guards_position(desk, row):
        lots = 0
        kind = desk.orders["order_type"][row]
        if kind == _STOP_MARKET:
            desk.brackets["stop_open"][i, column] += sign
        elif kind == _TAKE_PROFIT_MARKET:
            desk.brackets["take_open"][i, column] += sign
        else:
            desk.brackets["trail_open"][i, column] += sign
    if desk.orders["side"][row] > 0:
        desk.pending[i, column, 0] += lots
        desk.ledger["buy_lots"][i] += lots
    else:
        desk.pending[i, column, 1] += lots
        desk.ledger["sell_lots"][i] += lots
    if desk.orders["status"][row] == OrderStatus.UNKNOWN:
        desk.ledger["unknown_count"][i] += sign
        desk.words[Word.UNKNOWN_COUNT] += sign
    if not TERMINAL[desk.orders["status"][row]]:
        desk.ledger["open_count"][i] += sign


@kernel
def unbook(desk: Desk, row: int) -> None:
    """Take an order out of the sums before it changes."""
    shift_sums(desk, row, -1)


@kernel
def book(desk: Desk, row: int) -> None:
    """Put an order back into the sums, and into or out of the open list, after it changed."""
    shift_sums(desk, row, 1)
    settled = is_settled(desk.orders, row)
    if settled and desk.orders["open_place"][row] >= 0:
        unlist_open(desk, row)
    elif not settled and desk.orders["open_place"][row] < 0:
        list_open(desk, row)
    refresh_exposure(desk, desk.orders["instrument_index"][row], desk.orders["column"][row])


@kernel
def insert_order(desk: Desk, key: int, i: int, column: int, now_ns: int) -> int:
    """Return a row for an order that is not in the store, cleared, PENDING_NEW, not yet booked.

    Returns NO_ROW when every row is open. The caller fills it in and calls `book`.
    """
    row = free_row(desk)
    if row == NO_ROW:
        return NO_ROW
    orders = desk.orders
    orders[row] = desk.order_blank[0]
    orders["key"][row] = key
    orders["order_sequence"][row] = key // EPOCH_PLACES
    orders["epoch_low"][row] = key % EPOCH_PLACES
    orders["instrument_index"][row] = i
    orders["column"][row] = column
    orders["created_ns"][row] = now_ns
    orders["asked_ns"][row] = now_ns
    orders["changed_ns"][row] = now_ns
    orders["status"][row] = OrderStatus.PENDING_NEW
    insert_key(desk.order_index, key, row)
    return row
