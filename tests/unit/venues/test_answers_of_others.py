"""An answer about another order than the one asked about proves nothing: it is asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import orjson
import pytest

from engine.domain.codes import EventType, OrderStatus, Side
from engine.venues.order_records import Command
from tests.order_side import Exchange, OrderSide, open_order_side, quoted_exchange
from tests.unit.venues.test_orders_on_exchange import enough_lots, far_bid_ticks

PATH = "/fapi/v1/order"
UPDATE, UNKNOWN = EventType.ORDER_UPDATE, EventType.ORDER_UNKNOWN


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with quoted_exchange(2) as running:
        yield running


@pytest.fixture(autouse=True)
def calm(exchange: Exchange) -> Iterator[None]:
    yield
    exchange.fault(kind="clear")


def about_another(side: OrderSide, **changes: object) -> str:
    """Return an answer about an order that was refused, of another name and number."""
    view = {
        "symbol": side.instruments[0].symbol,
        "orderId": 1,
        "clientOrderId": "somebody-else",
        "status": "REJECTED",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTX",
        "price": "0",
        "origQty": "0",
        "executedQty": "0",
        "updateTime": 1,
    }
    return orjson.dumps(view | changes).decode()


def spoil(side: OrderSide, method: str, **changes: object) -> None:
    """Let the next request about an order be done, and answered about another."""
    body = about_another(side, **changes)
    side.exchange.fault(kind="rest", path=PATH, method=method, status=200, body=body, execute=True)


async def resting(side: OrderSide) -> Command:
    """Return the command of an order that rests, with its number at the venue."""
    command = side.new_order(Side.BUY, enough_lots(side), far_bid_ticks(side))
    ack = await side.wait(UPDATE, OrderStatus.NEW)
    return command._replace(venue_order_id=ack.venue_order_id)


def statuses(side: OrderSide, since: int = 0) -> list[int]:
    return [row.order_status for row in side.reports[since:] if row.event_type == UPDATE]


def test_an_order_is_in_doubt_when_its_answer_is_about_another(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            spoil(side, "POST")
            command = side.new_order(Side.BUY, enough_lots(side), far_bid_ticks(side))
            await side.wait(UNKNOWN)
            assert OrderStatus.REJECTED not in statuses(side)
            side.query(command)
            found = await side.wait(UPDATE, OrderStatus.NEW)
            assert found.order_sequence == command.order_sequence
            side.orders.submit(command._replace(event_type=EventType.COMMAND_CANCEL))
            await side.wait(UPDATE, OrderStatus.CANCELED)

    asyncio.run(scenario())


@pytest.mark.parametrize("changes", [{}, {"symbol": "same number"}])
def test_a_query_that_is_answered_about_another_leaves_it_open(
    exchange: Exchange, changes: dict[str, object]
) -> None:
    """Numbers are the venue's per instrument: the same one of another is another order."""

    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            command = await resting(side)
            if changes:
                symbol = side.instruments[1].symbol
                spoil(side, "GET", symbol=symbol, orderId=command.venue_order_id)
            else:
                spoil(side, "GET")
            before = len(side.reports)
            side.query(command)
            await side.wait(UNKNOWN)
            assert OrderStatus.REJECTED not in statuses(side, before)
            side.orders.submit(command._replace(event_type=EventType.COMMAND_CANCEL))
            await side.wait(UPDATE, OrderStatus.CANCELED)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("method", "kind", "then"),
    [
        ("DELETE", EventType.COMMAND_CANCEL, OrderStatus.CANCELED),
        ("PUT", EventType.COMMAND_REPLACE, OrderStatus.NEW),
    ],
)
def test_what_became_of_a_change_is_looked_up(
    exchange: Exchange, method: str, kind: EventType, then: OrderStatus
) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            command = await resting(side)
            spoil(side, method)
            before = len(side.reports)
            lower = command._replace(event_type=kind, price_ticks=command.price_ticks - 10)
            side.orders.submit(lower)
            found = await side.wait(UPDATE, then, before)
            assert found.venue_order_id == command.venue_order_id
            assert OrderStatus.REJECTED not in statuses(side, before)
            if kind == EventType.COMMAND_REPLACE:
                assert found.price_ticks == lower.price_ticks
                side.orders.submit(command._replace(event_type=EventType.COMMAND_CANCEL))
                await side.wait(UPDATE, OrderStatus.CANCELED)

    asyncio.run(scenario())
