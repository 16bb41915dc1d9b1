"""One order of a paper account, as its venue knows it."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from engine.domain.codes import (
    EVENT_ENTRY,
    EVENT_POST_ONLY,
    EVENT_REDUCE_ONLY,
    OrderStatus,
    OrderType,
    TimeInForce,
)
from engine.venues.order_records import Command

OPEN: Final = frozenset({OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED})
UNSETTLED: Final = OPEN | {
    OrderStatus.PENDING_CANCEL,
    OrderStatus.PENDING_REPLACE,
    OrderStatus.UNKNOWN,
}
RESTING: Final = frozenset({TimeInForce.GTC, TimeInForce.GTD})
MS_PER_S: Final = 1_000
STRATEGY_NET: Final = -2  # as in engine.domain.desk, which needs Numba; a test compares
FLAGS: Final = EVENT_REDUCE_ONLY | EVENT_POST_ONLY | EVENT_ENTRY

OrderKey = tuple[int, int]


class PaperOrder(msgspec.Struct, eq=False):
    """An order and how much of it was filled."""

    instrument_index: int
    strategy_index: int
    side: int
    order_type: int
    time_in_force: int
    flags: int
    epoch_low: int
    order_sequence: int
    cause_sequence: int
    price_ticks: int
    qty_lots: int
    good_till_ms: int = 0  # GTD: when it expires, on the venue's clock
    cum_qty_lots: int = 0
    venue_order_id: int = 0
    order_status: int = OrderStatus.NEW
    name: str = ""  # of an order of the venue's own; ours are named by what they say

    @property
    def key(self) -> OrderKey:
        """Return what the engine calls this order."""
        return self.epoch_low, self.order_sequence

    @property
    def leaves_lots(self) -> int:
        """Return how much is not filled yet."""
        return self.qty_lots - self.cum_qty_lots

    @property
    def may_wait(self) -> bool:
        """Return whether it waits for what it cannot take."""
        return self.order_type == OrderType.LIMIT and self.time_in_force in RESTING

    @classmethod
    def restored(cls, row: np.void) -> PaperOrder | None:
        """Return the order of a RESTORE_ORDER record if it rested; what never rested is gone."""
        if row["order_status"] not in UNSETTLED or row["venue_order_id"] <= 0:
            return None
        if row["order_type"] != OrderType.LIMIT or row["time_in_force"] not in RESTING:
            return None
        cum_qty_lots = int(row["last_qty_lots"])  # the fills that were applied
        return cls(
            instrument_index=int(row["instrument_index"]),
            strategy_index=int(row["strategy_index"]),
            side=int(row["side"]),
            order_type=int(row["order_type"]),
            time_in_force=int(row["time_in_force"]),
            flags=int(row["flags"]) & FLAGS,
            epoch_low=int(row["epoch_low"]),
            order_sequence=int(row["order_sequence"]),
            cause_sequence=int(row["cause_sequence"]),
            price_ticks=int(row["price_ticks"]),
            qty_lots=int(row["qty_lots"]),
            good_till_ms=good_till_ms(row["time_in_force"], int(row["good_till_ms"])),
            cum_qty_lots=cum_qty_lots,
            venue_order_id=int(row["venue_order_id"]),
            order_status=OrderStatus.PARTIALLY_FILLED if cum_qty_lots else OrderStatus.NEW,
        )


def key_of(command: Command) -> OrderKey:
    """Return what the engine calls the order a command is about."""
    return command.epoch_low, command.order_sequence


def order_of(command: Command) -> PaperOrder:
    """Return the order a command asks for, or is about."""
    return PaperOrder(
        instrument_index=command.instrument_index,
        strategy_index=command.strategy_index,
        side=command.side,
        order_type=command.order_type,
        time_in_force=command.time_in_force,
        flags=command.flags & FLAGS,
        epoch_low=command.epoch_low,
        order_sequence=command.order_sequence,
        cause_sequence=command.cause_sequence,
        price_ticks=command.price_ticks,
        qty_lots=command.qty_lots,
        good_till_ms=good_till_ms(command.time_in_force, command.good_till_ms),
    )


def good_till_ms(time_in_force: int, said_ms: int) -> int:
    """Return when an order expires, as the venue keeps it: the whole second; 0: never."""
    return said_ms // MS_PER_S * MS_PER_S if time_in_force == TimeInForce.GTD else 0
