"""The first picture of an account after a restart: what it asks the venue, and what it need not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest

from engine.domain.codes import EventType, Side
from engine.domain.records import EVENT_DTYPE
from engine.venues.binance import account
from engine.venues.binance.account import ORDER_PATH
from engine.venues.binance.budget import WEIGHT_1M
from engine.venues.binance.http import Response
from engine.venues.binance.rest import BinanceRest, Params
from engine.venues.order_records import Report
from tests.order_side import Exchange, OrderSide, open_order_side, running_exchange
from tests.unit.venues.test_orders_on_exchange import enough_lots

FILLS = 6
LIFTED = 10**9
MINUTES = 3  # of the exchange's clock, of which one is whole
DEEP_WEIGHT = 20  # of a book of 1,000 levels


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list that takes the path of every request from here on."""
    paths: list[str] = []
    request = BinanceRest.request

    async def noted(
        rest: BinanceRest,
        method: str,
        path: str,
        params: Params | None = None,
        *,
        signed: bool = False,
        urgent: bool = False,
    ) -> Response:
        paths.append(path)
        return await request(rest, method, path, params, signed=signed, urgent=urgent)

    monkeypatch.setattr(BinanceRest, "request", noted)
    return paths


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    words = ("--weight-limit", "--order-limit-10s", "--order-limit-1m")
    lifted = [word for name in words for word in (name, str(LIFTED))]
    with running_exchange("--generate", "1", "--seed", "3", *lifted) as running:
        running.wait_for_quotes(running.instruments()[0].symbol)
        yield running


def known(trade_ids: list[int]) -> list[bytes]:
    """Return what an earlier session tells of fills that its books hold."""
    records = np.zeros(len(trade_ids), dtype=EVENT_DTYPE)
    records["event_type"] = EventType.RESTORE_ORDER
    records["trade_id"] = trade_ids
    traded = np.zeros(1, dtype=EVENT_DTYPE)  # its instrument is asked for whatever is known
    traded["event_type"] = EventType.RESTORE_POSITION
    return [traded.tobytes(), *(record.tobytes() for record in records)]


async def traded(side: OrderSide) -> list[Report]:
    """Trade FILLS times, one after the other; return the fills."""
    lots = 0
    for number in range(FILLS):
        order = side.new_order(Side.BUY if number % 2 == 0 else Side.SELL, enough_lots(side))
        lots += order.qty_lots
        await side.wait_until(partial(_have_filled, side, lots), "not filled")
    return side.of_type(EventType.FILL)


def _have_filled(side: OrderSide, lots: int) -> bool:
    return sum(fill.last_qty_lots for fill in side.of_type(EventType.FILL)) == lots


async def fetched(side: OrderSide) -> list[Report]:
    """Fetch the account and return the fills that were told with it."""
    first = len(side.reports)
    side.orders.submit(side.command(EventType.COMMAND_FETCH, request_id=1))
    await side.wait(EventType.FETCH_END, first=first)
    return [row for row in side.reports[first:] if row.event_type == EventType.FILL]


@pytest.mark.parametrize("unknown_count", [0, 2, FILLS])
def test_only_fills_that_no_book_holds_are_told_and_asked_about(
    exchange: Exchange, asked: list[str], unknown_count: int
) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            ids = sorted({row.trade_id for row in await traded(side)})
        del asked[:]
        async with open_order_side(exchange) as after:
            after.orders.restore(known(ids[: len(ids) - unknown_count]))
            told = await fetched(after)
            assert not after.orders.context.rest.budget.is_starting, "the account was read"
        assert sorted({row.trade_id for row in told}) == ids[len(ids) - unknown_count :]
        orders = {row.venue_order_id for row in told}
        assert asked.count(ORDER_PATH) == len(orders)

    asyncio.run(scenario())


def test_more_fills_than_a_page_are_all_told(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            ids = sorted({row.trade_id for row in await traded(side)})
        monkeypatch.setattr(account, "FILLS_PAGE", 2)  # of a span of time the exchange's newest
        async with open_order_side(exchange) as after:
            after.orders.restore(known([]))
            assert sorted({row.trade_id for row in await fetched(after)}) == ids

    asyncio.run(scenario())


def test_limits_wider_than_the_usual_are_learned_before_anything_waits_for_them(
    exchange: Exchange,
) -> None:
    symbol = exchange.instruments()[0].symbol

    async def used_and_limit() -> tuple[int, int]:
        async with open_order_side(exchange) as side:
            rest = side.orders.context.rest
            return rest.used_weight, rest.budget.weight.limit

    for _ in range(MINUTES):
        for _ in range(WEIGHT_1M // DEEP_WEIGHT + 1):
            exchange.call("GET", f"/fapi/v1/depth?symbol={symbol}&limit=1000")
        used, limit = asyncio.run(used_and_limit())
        if used > WEIGHT_1M:  # else the exchange's minute ended meanwhile, and its count with it
            break
    assert used > WEIGHT_1M
    assert limit == LIFTED
