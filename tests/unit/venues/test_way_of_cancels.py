"""Cancels go before a fetch that is under way; a fetch goes on however many there are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from bench.restart import rest_orders
from engine.clock import VenueClock
from engine.domain.codes import EventType
from engine.venues.binance import rest as rest_module
from engine.venues.binance.http import Response
from engine.venues.binance.rest import BinanceRest
from engine.venues.venue import RateLimitError
from tests.order_side import DEADLINE_S, Exchange, open_order_side, running_exchange
from tests.unit.venues.test_many_cancels import cancel_of, withdrawn

ORDERS = 12
EPOCH = 300


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with running_exchange("--generate", "1", "--seed", "3") as running:
        running.wait_for_quotes(running.instruments()[0].symbol)
        yield running


def test_no_page_of_a_fetch_is_asked_for_between_cancels(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_at: list[int] = []  # how many orders were withdrawn when a fetch asked for something
    send = BinanceRest._exchange
    monkeypatch.setattr(rest_module, "STAND_ASIDE_S", DEADLINE_S)  # however busy the machine is

    async def scenario() -> None:
        await rest_orders(exchange, EPOCH, ORDERS)
        async with open_order_side(exchange, epoch=EPOCH) as side:
            side.orders.submit(side.command(EventType.COMMAND_FETCH, request_id=1))
            await side.wait(EventType.FETCH_END)
            resting = side.of_type(EventType.VENUE_ORDER)

            async def noted(*words: Any) -> Response:  # noqa: ANN401  as it is called
                if not asked_at:  # the fetch's first request is on its way
                    for order in resting:
                        side.orders.submit(cancel_of(side, order))
                asked_at.append(len(withdrawn(side)))
                return await send(*words)

            first = len(side.reports)
            monkeypatch.setattr(BinanceRest, "_exchange", noted)
            side.orders.submit(side.command(EventType.COMMAND_FETCH, request_id=2))
            await side.wait(EventType.FETCH_END, first=first)

    asyncio.run(scenario())
    assert asked_at[0] == 0
    assert set(asked_at[1:]) == {ORDERS}


def test_a_venue_that_says_stop_meanwhile_is_obeyed() -> None:
    async def scenario() -> None:
        rest = BinanceRest("http://127.0.0.1:1", VenueClock())
        rest.need_way()
        page = asyncio.create_task(rest.request("GET", "/fapi/v1/userTrades", signed=True))
        await asyncio.sleep(0)
        rest.learn_limits(Response(429, {"retry-after": "10"}, b"{}"))
        rest.clear_way()
        with pytest.raises(RateLimitError):
            await page

    asyncio.run(scenario())


def test_an_account_that_cancels_all_the_time_is_read(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_module, "STAND_ASIDE_S", 0.001)

    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            side.orders.context.rest.need_way()  # and it is never cleared
            side.orders.submit(side.command(EventType.COMMAND_FETCH, request_id=1))
            await side.wait(EventType.FETCH_END)

    asyncio.run(scenario())
