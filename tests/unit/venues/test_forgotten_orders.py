"""Orders of a lost home: never taken for ours of the same number, and not left resting."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from engine.domain.client_id import ClientId, encode_client_id
from engine.domain.codes import EventType, OrderStatus, Side
from engine.venues.binance.order_views import AccountReader
from tests.builders import make_instrument
from tests.order_side import Exchange, OrderSide, open_order_side, running_exchange

EPOCH = 100_000
READER = AccountReader([make_instrument()], "a", EPOCH)


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with running_exchange("--generate", "1", "--seed", "3") as running:
        yield running


def client_id(epoch: int, tag: str = "a") -> str:
    return encode_client_id(tag, ClientId(epoch, 0, 5, 9))


@pytest.mark.parametrize(
    ("epoch", "is_ours", "is_forgotten"),
    [
        (EPOCH, True, False),
        (EPOCH - 255, True, False),
        (EPOCH - 256, False, True),
        (1, False, True),
        (EPOCH + 1, False, False),  # a later engine's: it is not ours to touch
    ],
)
def test_only_the_last_256_epochs_are_ours(epoch: int, is_ours: bool, is_forgotten: bool) -> None:
    assert (READER.identity(client_id(epoch)) is not None) == is_ours
    assert READER.is_forgotten(client_id(epoch)) == is_forgotten


@pytest.mark.parametrize("text", ["", "web_abc", client_id(1, "b"), "a1-2-3"])
def test_what_we_never_wrote_is_not_forgotten(text: str) -> None:
    assert not READER.is_forgotten(text)


def resting_order(side: OrderSide) -> None:
    bid, _ = side.exchange.wait_for_quotes(side.instruments[0].symbol)
    ticks = side.instruments[0].price_ticks(bid)
    assert ticks is not None
    side.new_order(Side.BUY, 1_000, ticks * 97 // 100)


def statuses(exchange: Exchange) -> dict[str, str]:
    return {row["clientOrderId"]: row["status"] for row in exchange.ledger()["orders"]}


def test_a_fetch_cancels_what_a_lost_home_left_resting(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as lost:
            resting_order(lost)
            left = (await lost.wait(EventType.ORDER_UPDATE, OrderStatus.NEW)).text
        async with open_order_side(exchange, epoch=lost.epoch + 256) as side:
            side.orders.submit(side.command(EventType.COMMAND_FETCH, instrument_index=-1))
            listed = await side.wait(EventType.VENUE_ORDER)
            assert (listed.order_sequence, listed.text) == (0, left)
            await side.wait(EventType.ORDER_UPDATE, OrderStatus.CANCELED)
        assert statuses(exchange)[left] == "CANCELED"

    asyncio.run(scenario())


def test_a_fetch_leaves_orders_of_others_alone(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange, epoch=90_000) as other:
            resting_order(other)
            theirs = (await other.wait(EventType.ORDER_UPDATE, OrderStatus.NEW)).text
        async with open_order_side(exchange, epoch=80_000) as side:
            side.orders.submit(side.command(EventType.COMMAND_FETCH, instrument_index=-1))
            await side.wait(EventType.FETCH_END)
        assert statuses(exchange)[theirs] == "NEW"

    asyncio.run(scenario())
