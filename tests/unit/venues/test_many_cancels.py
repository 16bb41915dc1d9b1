"""As many cancels at once as a command ring holds: each is asked for once, none is sent back."""

from __future__ import annotations

import asyncio
from functools import partial

from bench.restart import rest_orders
from engine.domain.codes import EventType, OrderStatus
from engine.venues.order_records import Command, Report
from tests.order_side import Exchange, OrderSide, open_order_side, running_exchange

ORDERS = 1_000
EPOCH = 300
LIFTED = str(10**9)
LIMITS = ("--weight-limit", "--order-limit-10s", "--order-limit-1m")


def withdrawn(side: OrderSide) -> set[int]:
    """Return the venue's numbers of the orders that it said are cancelled."""
    told = side.of_type(EventType.ORDER_UPDATE)
    return {row.venue_order_id for row in told if row.order_status == OrderStatus.CANCELED}


def has_withdrawn(side: OrderSide, count: int) -> bool:
    return len(withdrawn(side)) >= count


async def cancel_all_at_once(exchange: Exchange, count: int) -> list[Report]:
    """Let orders rest, cancel each in one go, and return what was said of the cancels."""
    await rest_orders(exchange, EPOCH, count)
    async with open_order_side(exchange, epoch=EPOCH) as side:
        side.orders.submit(side.command(EventType.COMMAND_FETCH, request_id=1))
        await side.wait(EventType.FETCH_END)
        resting = side.of_type(EventType.VENUE_ORDER)
        assert len(resting) == count
        for order in resting:
            side.orders.submit(cancel_of(side, order))
        await side.wait_until(partial(has_withdrawn, side, count), "cancels")
        return side.of_type(EventType.CANCEL_REJECTED)


def cancel_of(side: OrderSide, order: Report) -> Command:
    """Return the command that cancels an order the venue told of."""
    return side.command(
        EventType.COMMAND_CANCEL,
        instrument_index=order.instrument_index,
        strategy_index=order.strategy_index,
        order_sequence=order.order_sequence,
        cause_sequence=order.cause_sequence,
        venue_order_id=order.venue_order_id,
    )


def test_a_thousand_orders_are_withdrawn_by_a_thousand_requests() -> None:
    words = [word for name in LIMITS for word in (name, LIFTED)]
    with running_exchange("--generate", "20", "--seed", "7", *words) as exchange:
        rejected = asyncio.run(cancel_all_at_once(exchange, ORDERS))
        assert rejected == []
        assert exchange.call("GET", "/practice/state")["over_limit"] == 0
        left = [row for row in exchange.ledger()["orders"] if row["status"] == "NEW"]
        assert left == []
