"""Cancels of an instrument share a request; each ends by its own row, or is looked up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import orjson
import pytest

from bench.restart import rest_orders
from engine.domain.codes import EventType
from engine.venues.binance import order_cancels
from engine.venues.binance.http import Response
from engine.venues.binance.order_cancels import BATCH_MAX
from engine.venues.venue import OutcomeUnknownError
from tests.order_side import Exchange, OrderSide, open_order_side, running_exchange
from tests.unit.venues.test_many_cancels import cancel_of, has_withdrawn, withdrawn

ORDERS = 12
EPOCH = 300
REFUSED = {"code": -1008, "msg": "Server is currently overloaded with other requests."}

Rows = list[dict[str, Any]]


class Wire:
    """What was asked about orders, and what is done to the answers about several."""

    def __init__(self, side: OrderSide) -> None:
        """Stand between an order side and its client."""
        self.batches: list[int] = []  # orders asked for by each request
        self.singles = 0
        self.instead: list[Rows] = []  # answers to requests about the last two, never sent
        self.change: Callable[[Rows], Rows] = lambda rows: rows
        client: Any = side.orders.context.rest
        self._send = client.exchange_bytes
        client.exchange_bytes = self.exchange

    async def exchange(self, request: bytes) -> Response:
        if b"/batchOrders?" not in request:
            self.singles += request.startswith(b"DELETE")
            return await self._send(request)
        count = request.split(b"orderIdList=")[1].split(b"&")[0].count(b"%2C") + 1
        self.batches.append(count)
        if self.instead and count == ORDERS - BATCH_MAX:
            return Response(200, {}, orjson.dumps(self.instead.pop()))
        answer = await self._send(request)
        body = orjson.dumps(self.change(orjson.loads(answer.body)))
        return Response(answer.status, answer.headers, body)


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with running_exchange("--generate", "1", "--seed", "3") as running:
        running.wait_for_quotes(running.instruments()[0].symbol)
        yield running


def run(
    exchange: Exchange,
    change: Callable[[Rows], Rows] = lambda rows: rows,
    orders: int = ORDERS,
    instead: Sequence[Rows] = (),
    twice: int = -1,
) -> tuple[Wire, OrderSide]:
    """Let orders rest, cancel all of them in one go, and wait until all are known to be gone."""

    async def scenario() -> tuple[Wire, OrderSide]:
        await rest_orders(exchange, EPOCH, orders)
        async with open_order_side(exchange, epoch=EPOCH) as side:
            side.orders.submit(side.command(EventType.COMMAND_FETCH, request_id=1))
            await side.wait(EventType.FETCH_END)
            resting = side.of_type(EventType.VENUE_ORDER)
            wire = Wire(side)
            wire.change = change
            wire.instead.extend(instead)
            again = [resting[twice]] if twice >= 0 else []
            for order in [*resting, *again]:
                side.orders.submit(cancel_of(side, order))
            await side.wait_until(partial(has_withdrawn, side, orders), "cancels")
            return wire, side

    wire, side = asyncio.run(scenario())
    assert [row for row in exchange.ledger()["orders"] if row["status"] == "NEW"] == []
    assert len(withdrawn(side)) == orders
    return wire, side


def refused(side: OrderSide) -> list[int]:
    """Return why cancels were refused, in the order that was told."""
    return [row.reason for row in side.of_type(EventType.CANCEL_REJECTED)]


def test_twelve_go_as_ten_and_two(exchange: Exchange) -> None:
    wire, side = run(exchange)
    assert (wire.batches, wire.singles) == ([10, 2], 0)
    assert refused(side) == []


def test_one_alone_goes_as_one(exchange: Exchange) -> None:
    wire, _ = run(exchange, orders=1)
    assert (wire.batches, wire.singles) == ([], 1)


def test_one_that_is_gone_is_looked_up_and_does_not_keep_the_others(exchange: Exchange) -> None:
    wire, side = run(exchange, twice=3)
    assert wire.batches == [10, 3]
    assert refused(side) == [-2011]


def test_what_certainly_was_not_done_is_asked_for_again_and_nothing_else(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_cancels, "CANCEL_PAUSE_S", 0.001)
    wire, side = run(exchange, instead=[[REFUSED, REFUSED], [REFUSED, REFUSED]])
    assert wire.batches == [10, 2, 2, 2]
    assert refused(side) == []


def test_an_answer_that_never_came_is_looked_up_not_asked_for_again(exchange: Exchange) -> None:
    def lose(_: Rows) -> Rows:
        raise OutcomeUnknownError("the connection was lost")

    wire, side = run(exchange, lose)
    assert wire.batches == [10, 2]
    assert refused(side) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[1:],
        lambda rows: [*rows, rows[0]],
        lambda rows: rows[::-1],
        lambda rows: [{"symbol": 5} for _ in rows],
        lambda rows: [{} for _ in rows],
        lambda rows: [None for _ in rows],
        lambda rows: {"rows": rows},
    ],
    ids=["one short", "one more", "turned round", "of no order", "empty", "null", "no list"],
)
def test_rows_that_cannot_be_are_not_believed(
    exchange: Exchange, change: Callable[[Rows], Rows]
) -> None:
    wire, side = run(exchange, change)
    assert wire.batches == [10, 2]
    assert refused(side) == []


def test_a_refusal_for_good_is_told_of_each(exchange: Exchange) -> None:
    async def scenario() -> tuple[Wire, OrderSide]:
        await rest_orders(exchange, EPOCH, ORDERS)
        async with open_order_side(exchange, epoch=EPOCH) as side:
            side.orders.submit(side.command(EventType.COMMAND_FETCH, request_id=1))
            await side.wait(EventType.FETCH_END)
            wire = Wire(side)
            wire.change = lambda rows: [{"code": -2015, "msg": "Invalid API-key"} for _ in rows]
            for order in side.of_type(EventType.VENUE_ORDER):
                side.orders.submit(cancel_of(side, order))
            await side.wait_until(lambda: len(refused(side)) == ORDERS, "refusals")
            return wire, side

    wire, side = asyncio.run(scenario())
    assert wire.batches == [10, 2]
    assert refused(side) == [-2015] * ORDERS


def test_the_dispatchers_bound_is_that_of_those_that_wait(exchange: Exchange) -> None:
    async def scenario() -> OrderSide:
        await rest_orders(exchange, EPOCH, ORDERS)
        async with open_order_side(exchange, epoch=EPOCH) as side:
            side.orders.submit(side.command(EventType.COMMAND_FETCH, request_id=1))
            await side.wait(EventType.FETCH_END)
            wire = Wire(side)
            context = side.orders.context
            context.offload = context.offload._replace(cancel=lambda *_: False)
            for order in side.of_type(EventType.VENUE_ORDER):
                side.orders.submit(cancel_of(side, order))
            assert wire.batches == []
            return side

    side = asyncio.run(scenario())
    assert len(refused(side)) == ORDERS
