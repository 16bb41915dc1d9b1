"""A venue as plain Python objects: the truth that the order side must arrive at.

It fills, cancels and rejects as it likes, keeps one net position per instrument at average cost,
and says what it did in reports. What happens to the reports on their way is the test's business.
"""

from dataclasses import dataclass, field

import numpy as np

from engine.domain.codes import EventType, OrderStatus
from tests.desk_rig import VENUE_NS, make_event

UNIT = 10_000
FEE_RATE = 4  # e4 of the notional
S = OrderStatus
CLOSED = {S.FILLED, S.CANCELED, S.REJECTED, S.EXPIRED}


@dataclass
class VenueOrder:
    """One order as the venue holds it."""

    number: int
    epoch: int
    i: int
    strategy: int
    side: int
    qty: int
    price: int
    status: OrderStatus = S.NEW
    filled: int = 0
    updated_ns: int = 0

    @property
    def is_open(self) -> bool:
        return self.status not in CLOSED


@dataclass
class VenuePosition:
    """Net position at average cost, unbounded integers."""

    lots: int = 0
    cost: int = 0

    def fill(self, side: int, qty: int, price: int) -> int:
        """Apply a fill; return the realised PnL."""
        closed = min(abs(self.lots), qty) if self.lots * side < 0 else 0
        realised = 0
        if closed:
            removed = abs(self.cost) * closed // abs(self.lots)
            removed = removed if self.cost >= 0 else -removed
            realised = -side * closed * price * UNIT - removed
            self.cost -= removed
        self.cost += side * (qty - closed) * price * UNIT
        self.lots += side * qty
        return realised


@dataclass
class Venue:
    """The account at the venue."""

    wallet: int
    orders: dict[int, VenueOrder] = field(default_factory=dict)
    positions: dict[int, VenuePosition] = field(default_factory=dict)
    trades: list[np.ndarray] = field(default_factory=list)
    now_ns: int = VENUE_NS
    last_trade_id: int = 0

    def tick(self) -> int:
        """Return the next moment of the venue's clock."""
        self.now_ns += 1_000_000
        return self.now_ns

    def receive(self, request: np.void) -> None:
        """Take a NEW command in; an order number is taken once."""
        number = int(request["order_sequence"])
        assert number not in self.orders, f"order {number} was sent twice"
        self.orders[number] = VenueOrder(
            number,
            int(request["epoch_low"]),
            int(request["instrument_index"]),
            int(request["strategy_index"]),
            int(request["side"]),
            int(request["qty_lots"]),
            int(request["price_ticks"]),
            updated_ns=self.tick(),
        )

    def fill(self, order: VenueOrder, qty: int, price: int) -> np.ndarray:
        """Execute part of an order; return its report."""
        order.filled += qty
        order.status = S.FILLED if order.filled == order.qty else S.PARTIALLY_FILLED
        report = self.trade(order.i, order.side, qty, price)
        report["order_sequence"] = order.number
        report["epoch_low"] = order.epoch
        report["strategy_index"] = order.strategy
        report["venue_order_id"] = 9000 + order.number
        report["order_status"] = order.status
        report["qty_lots"] = order.qty
        report["cum_qty_lots"] = order.filled
        order.updated_ns = int(report["venue_time_ns"][0])
        return report

    def trade(self, i: int, side: int, qty: int, price: int) -> np.ndarray:
        """Move position and wallet; return the report of a trade that none of ours asked for."""
        self.last_trade_id += 1
        fee = qty * price * UNIT * FEE_RATE // 10_000
        position = self.positions.setdefault(i, VenuePosition())
        self.wallet += position.fill(side, qty, price) - fee
        report = make_event(
            EventType.FILL,
            instrument_index=i,
            strategy_index=-1,
            side=side,
            trade_id=self.last_trade_id,
            last_qty_lots=qty,
            last_price_ticks=price,
            fee_e8=fee,
            venue_time_ns=self.tick(),
        )
        self.trades.append(report)
        return report

    def told(self, order: VenueOrder, kind: EventType = EventType.ORDER_UPDATE) -> np.ndarray:
        """Return what the venue says about an order now."""
        return make_event(
            kind,
            instrument_index=order.i,
            strategy_index=order.strategy,
            order_sequence=order.number,
            epoch_low=order.epoch,
            side=order.side,
            qty_lots=order.qty,
            cum_qty_lots=order.filled,
            price_ticks=order.price,
            order_status=order.status,
            venue_order_id=9000 + order.number,
            venue_time_ns=order.updated_ns,
        )

    def close(self, order: VenueOrder, status: OrderStatus) -> np.ndarray:
        """Close an order; return the report."""
        order.status, order.updated_ns = status, self.tick()
        return self.told(order)

    def amend(self, order: VenueOrder, qty: int, price: int) -> np.ndarray:
        """Change an open order; one that asks for no more than it got is cancelled."""
        if qty <= order.filled:
            return self.close(order, S.CANCELED)
        order.qty, order.price, order.updated_ns = qty, price, self.tick()
        return self.told(order)

    def answer_query(self, request: np.void) -> np.ndarray:
        """Answer a lookup of one order."""
        order = self.orders.get(int(request["order_sequence"]))
        if order is not None:
            return self.told(order)
        return make_event(
            EventType.ORDER_UPDATE,
            instrument_index=request["instrument_index"],
            order_sequence=request["order_sequence"],
            epoch_low=request["epoch_low"],
            order_status=S.NONE,
            reason=-2013,
        )

    def answer_cancel(self, request: np.void) -> np.ndarray:
        """Cancel an order, or say that it cannot be."""
        order = self.orders.get(int(request["order_sequence"]))
        if order is None or not order.is_open:
            return make_event(
                EventType.CANCEL_REJECTED,
                instrument_index=request["instrument_index"],
                order_sequence=request["order_sequence"],
                epoch_low=request["epoch_low"],
                reason=-2011,
            )
        return self.close(order, S.CANCELED)

    def answer_amend(self, request: np.void) -> np.ndarray:
        """Move an order, or say that it cannot be."""
        order = self.orders.get(int(request["order_sequence"]))
        if order is None or not order.is_open:
            return self.answer_cancel(request)
        return self.amend(order, int(request["qty_lots"]), int(request["price_ticks"]))

    def answer_fetch(self, request: np.void) -> list[np.ndarray]:
        """Answer a fetch of everything: orders, positions, wallet, then the trades."""
        round_number = int(request["request_id"])
        begin = make_event(
            EventType.FETCH_BEGIN, request_id=round_number, venue_time_ns=self.tick()
        )
        orders = [self.told(o, EventType.VENUE_ORDER) for o in self.orders.values() if o.is_open]
        positions = [
            make_event(
                EventType.VENUE_POSITION,
                instrument_index=i,
                position_lots=position.lots,
                position_cost_e8=position.cost,
            )
            for i, position in self.positions.items()
            if position.lots
        ]
        balance = make_event(EventType.VENUE_BALANCE, wallet_e8=self.wallet)
        end = make_event(EventType.FETCH_END, request_id=round_number)
        return [begin, *orders, *positions, balance, *map(listed, self.trades), end]


def listed(trade: np.ndarray) -> np.ndarray:
    """Return a trade as a trade list has it: under the venue's order number alone."""
    row = trade.copy()
    for name in ("order_sequence", "epoch_low", "qty_lots", "cum_qty_lots", "order_status"):
        row[name] = 0
    return row
