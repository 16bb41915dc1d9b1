"""Life of an order: one transition table, and the merge of whatever the venue says, in any order.

FIX names plus UNKNOWN: sent, outcome not known. Nothing outside this table changes an order's
status. What has been said about an order can only grow: `cum_qty_lots` takes the largest, a closed
order stays closed unless the venue proves it open, and a late word that says less changes nothing.

    PENDING_NEW --ack--> NEW --fill--> PARTIALLY_FILLED --fill--> FILLED
         |                  |  cancel asked -> PENDING_CANCEL -> CANCELED
         |   reject         |  no answer   -> UNKNOWN -> whatever a query proves
      UNKNOWN  REJECTED     expired -> EXPIRED

A contradiction (a reject of an order that was accepted, a fill of one that was rejected) is not
guessed at: the order becomes UNKNOWN and is queried. `filled_lots` counts the fills we hold by
trade id, `cum_qty_lots` what the venue says; settled is closed with both equal. Quantities only
grow too: an order that was amended by hand to more is more from the first word of it, one that was
amended to less is what was filled once the venue calls it filled. FILLED opens again only where a
list of open orders shows it with more to fill.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from engine.domain.client_id import ClientId, encode_client_id, parse_client_id
from engine.domain.codes import OrderStatus
from engine.domain.kernel import Records, kernel

S = OrderStatus
STATUS_COUNT = len(OrderStatus)
CANCELS_MAX = 5  # requests to cancel one order before its state is doubted
WITHDRAWN = 2  # `cancel_wanted` of a guard that no longer fits; 1: anything else wants it gone

ORDER_DTYPE = np.dtype(
    [
        ("key", "<i8"),  # order_sequence * 256 + epoch_low
        ("order_sequence", "<i8"),
        ("cause_sequence", "<i8"),
        ("venue_order_id", "<i8"),
        ("price_ticks", "<i8"),
        ("amended_ticks", "<i8"),  # price of the amendment that awaits its answer; 0: none
        ("qty_lots", "<i8"),
        ("cum_qty_lots", "<i8"),
        ("filled_lots", "<i8"),
        ("created_ns", "<i8"),
        ("asked_ns", "<i8"),  # last request that awaits an answer
        ("changed_ns", "<i8"),
        ("closed_ns", "<i8"),
        ("venue_time_ns", "<i8"),
        ("next_query_ns", "<i8"),
        ("seen_round", "<i8"),  # last fetch that showed it open
        ("open_place", "<i8"),  # its place in open_rows; -1: settled
        ("instrument_index", "<i8"),
        ("column", "<i8"),  # strategy_index, or the external column
        ("query_count", "<i8"),
        ("absent_count", "<i8"),
        ("cancel_count", "<i8"),
        ("reason", "<i8"),
        ("epoch_low", "<u1"),
        ("side", "<i1"),
        ("order_type", "<u1"),
        ("time_in_force", "<u1"),
        ("flags", "<u1"),
        ("status", "<u1"),
        ("acknowledged", "<u1"),
        ("cancel_wanted", "<u1"),
        ("entry_counted", "<u1"),
        ("entry_day_low", "<u1"),
    ]
)


class Stimulus(IntEnum):
    """What can happen to an order."""

    SENT = 0  # the first byte went out
    VENUE_WORKING = 1  # the venue says NEW, or any pending state
    VENUE_PARTIALLY_FILLED = 2
    VENUE_FILLED = 3
    VENUE_CANCELED = 4
    VENUE_REJECTED = 5
    VENUE_EXPIRED = 6
    CANCEL_ASKED = 7
    REPLACE_ASKED = 8
    CANCEL_REJECTED = 9  # FIX 35=9, for a replace too
    LOST = 10  # no answer, or an ambiguous one, to a request that still awaits one
    PROVEN_OPEN = 11  # in a fetch that began after we held it closed
    PROVEN_ABSENT = 12  # never acknowledged, and no lookup finds it
    PROVEN_GONE = 13  # acknowledged once, and no lookup finds it any more
    UNSEEN = 14  # a whole fetch of open orders did not show it


STIMULUS_COUNT = len(Stimulus)

# Rows: status before. Columns: the stimuli in the order above. Abbreviations keep it one screen.
_PN, _N, _PF, _F, _PC = S.PENDING_NEW, S.NEW, S.PARTIALLY_FILLED, S.FILLED, S.PENDING_CANCEL
_PR, _C, _R, _E, _U, _0 = S.PENDING_REPLACE, S.CANCELED, S.REJECTED, S.EXPIRED, S.UNKNOWN, S.NONE
_TABLE: dict[OrderStatus, tuple[OrderStatus, ...]] = {
    #      SENT WORK PART FILL CANC REJ  EXP  C?   R?   CREJ LOST OPEN ABS  GONE UNSEEN
    _0: (_0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0, _0),
    _PN: (_PN, _N, _PF, _F, _C, _R, _E, _PC, _PN, _PN, _U, _N, _R, _C, _PN),
    _N: (_N, _N, _PF, _F, _C, _U, _E, _PC, _PR, _N, _N, _N, _U, _C, _U),
    _PF: (_PF, _PF, _PF, _F, _C, _U, _E, _PC, _PR, _PF, _PF, _PF, _U, _C, _U),
    _F: (_F, _F, _F, _F, _F, _F, _F, _F, _F, _F, _F, _N, _F, _F, _F),
    _PC: (_PC, _PC, _PC, _F, _C, _R, _E, _PC, _PC, _N, _U, _PC, _R, _C, _U),
    _PR: (_PR, _N, _PF, _F, _C, _U, _E, _PC, _PR, _N, _U, _PR, _U, _C, _U),
    _C: (_C, _C, _C, _F, _C, _C, _C, _C, _C, _C, _C, _N, _C, _C, _C),
    _R: (_R, _R, _U, _F, _R, _R, _R, _R, _R, _R, _R, _N, _R, _R, _R),
    _E: (_E, _E, _E, _F, _E, _E, _E, _E, _E, _E, _E, _N, _E, _E, _E),
    _U: (_U, _N, _PF, _F, _C, _R, _E, _U, _U, _U, _U, _N, _R, _C, _U),
}
TRANSITIONS: NDArray[np.int64] = np.array(
    [[int(after) for after in _TABLE[status]] for status in OrderStatus], dtype=np.int64
)
assert TRANSITIONS.shape == (STATUS_COUNT, STIMULUS_COUNT), "every status meets every stimulus"

# The stimulus in a venue's order status, by OrderStatus. NONE: a lookup found nothing.
STIMULUS_OF_STATUS: NDArray[np.int64] = np.array(
    [
        Stimulus.LOST,
        Stimulus.SENT,
        Stimulus.VENUE_WORKING,
        Stimulus.VENUE_PARTIALLY_FILLED,
        Stimulus.VENUE_FILLED,
        Stimulus.VENUE_WORKING,
        Stimulus.VENUE_WORKING,
        Stimulus.VENUE_CANCELED,
        Stimulus.VENUE_REJECTED,
        Stimulus.VENUE_EXPIRED,
        Stimulus.LOST,
    ],
    dtype=np.int64,
)
TERMINAL: NDArray[np.bool_] = np.array(
    [status in {_F, _C, _R, _E} for status in OrderStatus], dtype=np.bool_
)
_FILLED = int(S.FILLED)
_PARTIALLY_FILLED = int(S.PARTIALLY_FILLED)
_UNKNOWN = int(S.UNKNOWN)
_UNSEEN = int(Stimulus.UNSEEN)


@kernel
def next_status(status: int, stimulus: int, cum_qty_lots: int, qty_lots: int) -> int:
    """Return the status after a stimulus, made to agree with what has been filled."""
    after: int = TRANSITIONS[status, stimulus]
    if after == S.NONE:
        return after
    if cum_qty_lots >= qty_lots:
        return _FILLED
    if cum_qty_lots > 0:
        if after == S.NEW:
            return _PARTIALLY_FILLED
        if after == S.REJECTED:
            return _UNKNOWN
    return after


@kernel
def merge(
    orders: Records, row: int, stimulus: int, cum_qty_lots: int, fill_lots: int, now_ns: int
) -> bool:
    """Apply a stimulus, the venue's filled total and one new fill to an order, in place.

    Args:
        cum_qty_lots: what the venue says was filled in all; 0 when it does not say.
        fill_lots: quantity of a fill not seen before; 0 for none.

    Returns:
        Whether anything the venue may decide (status, total, fills) changed.
    """
    filled = orders["filled_lots"][row] + fill_lots
    qty = max(orders["qty_lots"][row], filled)  # the venue is right about what it filled
    cum = max(orders["cum_qty_lots"][row], filled, min(cum_qty_lots, qty))
    before = orders["status"][row]
    if stimulus == Stimulus.VENUE_FILLED:
        # Less than it was sent for, where somebody amended it: the venue's total is the order's.
        qty = max(orders["cum_qty_lots"][row], filled, cum_qty_lots) if cum_qty_lots > 0 else qty
        cum = qty
    if stimulus == Stimulus.VENUE_REJECTED and orders["acknowledged"][row] != 0:
        # A reject of what was accepted is doubt, however often it is said; a lookup is a verdict.
        if before != S.UNKNOWN or orders["query_count"][row] == 0:
            stimulus = _UNSEEN
    after = next_status(before, stimulus, cum, qty)
    changed = after != before or fill_lots != 0 or cum != orders["cum_qty_lots"][row]
    orders["filled_lots"][row] = filled
    orders["cum_qty_lots"][row] = cum
    orders["qty_lots"][row] = qty
    orders["status"][row] = after
    if Stimulus.VENUE_WORKING <= stimulus <= Stimulus.VENUE_EXPIRED:
        if stimulus != Stimulus.VENUE_REJECTED:
            orders["acknowledged"][row] = 1
        orders["absent_count"][row] = 0  # the venue knows it
    if changed:
        orders["changed_ns"][row] = now_ns
        if TERMINAL[after] and not TERMINAL[before]:
            orders["closed_ns"][row] = now_ns
    return changed


@kernel
def is_settled(orders: Records, row: int) -> bool:
    """Return whether an order is closed and every fill the venue counts has arrived."""
    closed = TERMINAL[orders["status"][row]]
    return closed and orders["filled_lots"][row] == orders["cum_qty_lots"][row]


@kernel
def reserved_lots(orders: Records, row: int) -> int:
    """Return how much an order may still add to the position: open, or filled but not yet seen."""
    if TERMINAL[orders["status"][row]]:
        return orders["cum_qty_lots"][row] - orders["filled_lots"][row]
    return orders["qty_lots"][row] - orders["filled_lots"][row]


def status_name(status: int) -> str:
    """Return the FIX name of a status."""
    return OrderStatus(status).name


__all__ = [
    "CANCELS_MAX",
    "ORDER_DTYPE",
    "STATUS_COUNT",
    "STIMULUS_COUNT",
    "STIMULUS_OF_STATUS",
    "TERMINAL",
    "TRANSITIONS",
    "WITHDRAWN",
    "ClientId",
    "Stimulus",
    "encode_client_id",
    "is_settled",
    "merge",
    "next_status",
    "parse_client_id",
    "reserved_lots",
    "status_name",
]
