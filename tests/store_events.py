"""Events of a trading session as the brain writes them, for the store's tests."""

from typing import Any

from engine.domain.records import (
    EVENT_APPLIED,
    EVENT_DUPLICATE,
    EVENT_ENTRY,
    EVENT_FOREIGN,
    EventType,
    OrderStatus,
    OrderType,
    Role,
    TimeInForce,
)
from engine.store.fold import ADJUSTED_CASH, ADJUSTED_POSITION, OPENING_CASH

Row = dict[str, Any]
UNIT_E8 = 10_000  # of tests.store_builders.instrument


def event(event_type: EventType, **fields: Any) -> Row:  # noqa: ANN401  any field of the record
    """Return an event of the brain; indices are -1 unless given."""
    row: Row = {
        "event_type": event_type,
        "role": Role.BRAIN,
        "instrument_index": -1,
        "strategy_index": -1,
        "time_ns": 2_000,
    }
    return row | fields


def opening_cash(wallet_e8: int) -> Row:
    """Return the adjustment that takes the first wallet over."""
    return event(
        EventType.ADJUSTMENT,
        reason=OPENING_CASH,
        wallet_e8=wallet_e8,
        venue_realised_pnl_e8=wallet_e8,
    )


def cash_adjustment(wallet_e8: int, delta_e8: int) -> Row:
    """Return the adjustment that follows the venue's wallet."""
    return event(
        EventType.ADJUSTMENT,
        reason=ADJUSTED_CASH,
        wallet_e8=wallet_e8,
        venue_realised_pnl_e8=delta_e8,
    )


def position_adjustment(instrument: int, lots: int, cost_e8: int, venue_time_ns: int) -> Row:
    """Return the adjustment that follows the venue's position."""
    return event(
        EventType.ADJUSTMENT,
        reason=ADJUSTED_POSITION,
        instrument_index=instrument,
        position_lots=lots,
        position_cost_e8=cost_e8,
        venue_time_ns=venue_time_ns,
    )


def decision(**fields: Any) -> Row:  # noqa: ANN401  as above
    """Return an entry that reached risk."""
    row = {
        "instrument_index": 0,
        "strategy_index": 0,
        "side": 1,
        "flags": EVENT_ENTRY,
        "reason": 1,
        "input_0": 0.75,
        "input_1": 1.0,
        "qty_lots": 5,
        "cause_sequence": 77,
    }
    return event(EventType.SIGNAL_GENERATED, **(row | fields))


def request(order_sequence: int, **fields: Any) -> Row:  # noqa: ANN401  as above
    """Return the intent of a market order of 5 lots."""
    row = {
        "instrument_index": 0,
        "strategy_index": 0,
        "side": 1,
        "order_type": OrderType.MARKET,
        "time_in_force": TimeInForce.GTC,
        "flags": EVENT_ENTRY,
        "order_sequence": order_sequence,
        "epoch_low": 1,
        "cause_sequence": 77,
        "qty_lots": 5,
        "order_status_after": OrderStatus.PENDING_NEW,
    }
    return event(EventType.ORDER_REQUEST, **(row | fields))


def update(order_sequence: int, status: OrderStatus, **fields: Any) -> Row:  # noqa: ANN401
    """Return what the venue said about an order, applied."""
    row = {
        "instrument_index": 0,
        "strategy_index": 0,
        "side": 1,
        "order_sequence": order_sequence,
        "epoch_low": 1,
        "cause_sequence": 77,
        "order_status": status,
        "order_status_after": status,
        "flags": EVENT_APPLIED,
        "venue_order_id": 9_000 + order_sequence,
        "qty_lots": 5,
    }
    return event(EventType.ORDER_UPDATE, **(row | fields))


def fill(order_sequence: int, trade_id: int, qty_lots: int, **fields: Any) -> Row:  # noqa: ANN401
    """Return a fill at 1,000 ticks, applied; a foreign one for order_sequence 0."""
    is_ours = order_sequence > 0
    row = {
        "instrument_index": 0,
        "strategy_index": 0 if is_ours else -1,
        "side": 1,
        "order_sequence": order_sequence,
        "epoch_low": 1 if is_ours else 0,
        "cause_sequence": 77 if is_ours else 0,
        "order_status": OrderStatus.PARTIALLY_FILLED,
        "order_status_after": OrderStatus.PARTIALLY_FILLED if is_ours else 0,
        "flags": EVENT_APPLIED if is_ours else EVENT_APPLIED | EVENT_FOREIGN,
        "venue_order_id": 9_000 + order_sequence,
        "trade_id": trade_id,
        "last_qty_lots": qty_lots,
        "last_price_ticks": 1_000,
        "fee_e8": 40,
        "venue_time_ns": 5_000,
    }
    return event(EventType.FILL, **(row | fields))


def repeated(row: Row) -> Row:
    """Return the same fill as the brain echoes it the second time."""
    return row | {"flags": EVENT_DUPLICATE}


def position(instrument: int, strategy: int, lots: int, **fields: Any) -> Row:  # noqa: ANN401
    """Return POSITION_CHANGED at 1,000 ticks a lot."""
    row = {
        "instrument_index": instrument,
        "strategy_index": strategy,
        "position_lots": lots,
        "position_cost_e8": lots * 1_000 * UNIT_E8,
    }
    return event(EventType.POSITION_CHANGED, **(row | fields))
