"""The key of the user stream: renewed in time, again soon where that fails, made anew when gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator

import pytest
from picows import WSListener, WSTransport

from engine.domain.codes import EventType, Side
from engine.venues.binance import text_listener, user_stream
from ringbuffer.errors import InvariantError
from tests.order_side import Exchange, Json, OrderSide, open_order_side, quoted_exchange
from tests.unit.venues.test_orders_on_exchange import enough_lots

GONE = '{"code": -1125, "msg": "This listenKey does not exist."}'
OFTEN_S = 0.02
NEVER_S = 3_600.0


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with quoted_exchange(1) as running:
        yield running


@pytest.fixture(autouse=True)
def calm(exchange: Exchange) -> Iterator[None]:
    yield
    exchange.fault(kind="clear")


def answer_renewals(exchange: Exchange, status: int, body: str, count: int) -> int:
    """Let the next renewals be answered so; return the number of the fault."""
    rule = {"path": "/fapi/v1/listenKey", "method": "PUT", "status": status, "body": body}
    answer: Json = exchange.fault(kind="rest", **rule, execute=False, count=count)
    return int(answer["id"])


async def used_up(exchange: Exchange, fault_id: int) -> bool:
    """Return whether every answer of a fault has been given."""
    ended = exchange.call("GET", "/practice/faults")["ended"]
    return fault_id in {fault["id"] for fault in ended}


async def until_used_up(exchange: Exchange, fault_id: int) -> None:
    """Wait until every answer of a fault has been given."""
    for _ in range(1_000):
        if await used_up(exchange, fault_id):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(exchange.call("GET", "/practice/faults"))


async def check_alive(side: OrderSide, first: int) -> None:
    """A fill still comes over the stream."""
    side.new_order(Side.BUY, enough_lots(side))
    await side.wait(EventType.FILL, first=first)


def test_a_key_that_is_gone_is_made_anew_and_the_account_compared(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_stream, "RENEWAL_S", OFTEN_S)

    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            first = len(side.reports)
            answer_renewals(exchange, 400, GONE, count=1)
            lost = await side.wait(EventType.VENUE_DISCONNECTED, first=first)
            first = side.reports.index(lost)
            await side.wait(EventType.VENUE_CONNECTED, first=first)
            await check_alive(side, first)

    asyncio.run(scenario())


def test_a_renewal_that_fails_is_tried_again_long_before_the_next(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it waited for the next renewal, which was due when the key had ended."""
    monkeypatch.setattr(user_stream, "RENEWAL_S", OFTEN_S)
    monkeypatch.setattr(user_stream, "RENEWAL_RETRY_S", OFTEN_S)

    async def scenario() -> None:
        failing = answer_renewals(exchange, 500, "gateway", count=1)
        async with open_order_side(exchange) as side:
            await until_used_up(exchange, failing)
            monkeypatch.setattr(user_stream, "RENEWAL_S", NEVER_S)
            await until_used_up(exchange, answer_renewals(exchange, 503, "gateway", count=3))
            assert not side.of_type(EventType.VENUE_DISCONNECTED), "the key has an hour"
            await check_alive(side, len(side.reports))

    asyncio.run(scenario())


def test_renewals_that_succeed_leave_the_stream_alone(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_stream, "RENEWAL_S", OFTEN_S)

    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            for _ in range(3):  # each of these renewals is carried out, and told to be late
                rule = {"path": "/fapi/v1/listenKey", "method": "PUT", "delay_ms": 1}
                late = exchange.fault(kind="rest", **rule, execute=True, count=1)
                await until_used_up(exchange, int(late["id"]))
            assert not side.of_type(EventType.VENUE_DISCONNECTED)
            await check_alive(side, len(side.reports))

    asyncio.run(scenario())


def test_a_stream_of_which_nobody_takes_the_news_is_closed(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its socket stayed open where the kernel had no room for the report that it is up."""
    opened: list[WSTransport] = []
    close = text_listener.close_if_abandoned

    async def kept(connecting: Coroutine[None, None, tuple[WSTransport, WSListener]]) -> Json:
        opened.append(await close(connecting))
        return opened[-1]

    def refuse() -> None:
        raise InvariantError("the kernel takes none")

    monkeypatch.setattr(user_stream, "close_if_abandoned", kept)

    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            stream = side.orders._stream
            monkeypatch.setattr(stream, "_on_connected", refuse)
            with pytest.raises(InvariantError, match="takes none"):
                await stream._one_connection()
            async with asyncio.timeout(10):
                await opened[-1].wait_disconnected()

    asyncio.run(scenario())
