"""Conditional orders on an account of ours: whoever placed them, cancel-all withdraws them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec
import pytest

from engine.domain.codes import EVENT_REDUCE_ONLY, EventType, OrderStatus, Side
from engine.venues.binance import account
from engine.venues.binance.account import AccountFetcher, ask
from engine.venues.binance.rest import BinanceRest, Params
from engine.venues.order_records import Report
from tests.order_side import Exchange, OrderSide, open_order_side, quoted_exchange
from tests.unit.venues.test_orders_on_exchange import enough_lots, far_bid_ticks

ALGO_PATH = "/fapi/v1/algoOrder"


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with quoted_exchange(2) as running:
        yield running


async def place_stop(side: OrderSide, index: int) -> None:
    """Place a stop far below the market, as a person would by hand."""
    instrument = side.instruments[index]
    params = {
        "algoType": "CONDITIONAL",
        "symbol": instrument.symbol,
        "side": "SELL",
        "type": "STOP_MARKET",
        "quantity": instrument.qty_text(enough_lots(side, index)),
        "triggerPrice": instrument.price_text(far_bid_ticks(side, index)),
    }
    await ask(side.orders.context.rest, "POST", ALGO_PATH, params)


async def open_symbols(side: OrderSide) -> list[str]:
    """Return the symbols of the conditional orders that are open; one by one, which weighs 1."""
    found = []
    for instrument in side.instruments:
        which = {"symbol": instrument.symbol}
        body = await ask(side.orders.context.rest, "GET", "/fapi/v1/openAlgoOrders", which)
        found += [row["symbol"] for row in msgspec.json.decode(body)]
    return found


async def until_open(side: OrderSide, symbols: list[str]) -> None:
    """Wait until conditional orders of just these symbols are open."""
    for _ in range(500):
        if await open_symbols(side) == symbols:
            return
        await asyncio.sleep(0.02)
    assert await open_symbols(side) == symbols


@pytest.mark.parametrize("index", [0, -1])
def test_cancel_all_withdraws_conditional_orders_too(exchange: Exchange, index: int) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            names = [instrument.symbol for instrument in side.instruments]
            await place_stop(side, 0)
            await place_stop(side, 1)
            assert await open_symbols(side) == names
            cancel_all = side.command(EventType.COMMAND_CANCEL_ALL, instrument_index=index)
            side.orders.submit(cancel_all)
            left = names[1:] if index == 0 else []
            await until_open(side, left)
            assert side.of_type(EventType.CANCEL_REJECTED) == []
            side.orders.submit(cancel_all._replace(instrument_index=-1))
            await until_open(side, [])

    asyncio.run(scenario())


def test_order_that_a_conditional_one_became_is_told_as_foreign(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            instrument = side.instruments[0]
            _, ask_text = exchange.wait_for_quotes(instrument.symbol)
            ask_ticks = instrument.price_ticks(ask_text)
            assert ask_ticks is not None
            params = {
                "algoType": "CONDITIONAL",
                "symbol": instrument.symbol,
                "side": "BUY",
                "type": "STOP_MARKET",
                "triggerPrice": instrument.price_text(ask_ticks + 5),
                "quantity": instrument.qty_text(enough_lots(side)),
                "clientAlgoId": "by-hand",
            }
            await ask(side.orders.context.rest, "POST", ALGO_PATH, params)
            await side.wait_until(
                lambda: any(row.text == "by-hand" for row in side.of_type(EventType.FILL)),
                "the market did not rise by five ticks",
            )
            fill = next(row for row in side.of_type(EventType.FILL) if row.text == "by-hand")
            assert (fill.order_sequence, fill.strategy_index) == (0, -1)
            assert fill.order_status in {OrderStatus.FILLED, OrderStatus.PARTIALLY_FILLED}

    asyncio.run(scenario())


def test_the_stream_tells_what_becomes_of_a_conditional_order(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            await place_stop(side, 0)
            placed = await side.wait(EventType.ORDER_UPDATE, OrderStatus.NEW)
            assert (placed.order_sequence, placed.venue_order_id) == (0, 0)
            assert placed.request_id > 0, "its number at the venue's desk"
            which = {"algoId": placed.request_id}
            await ask(side.orders.context.rest, "DELETE", ALGO_PATH, which)
            gone = await side.wait(EventType.ORDER_UPDATE, OrderStatus.CANCELED)
            assert (gone.text, gone.request_id) == (placed.text, placed.request_id)

    asyncio.run(scenario())


def test_the_order_that_a_conditional_one_became_is_known_by_its_name(exchange: Exchange) -> None:
    """A list of trades has numbers only: without the name each would be looked up, one by one."""

    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            symbol = side.instruments[0].symbol
            body = {"s": symbol, "caid": "stop-3", "aid": 3, "X": "FINISHED", "ai": "424242"}
            exchange.fault(kind="user_event", event={"e": "ALGO_UPDATE", "T": 1, "o": body})
            known = side.orders.context.known
            await side.wait_until(lambda: known.find(symbol, 424242) == "stop-3", "not known")
            assert EventType.VENUE_DISCONNECTED not in {r.event_type for r in side.reports}

    asyncio.run(scenario())


async def place_closing_stop(side: OrderSide, index: int) -> None:
    """Place a stop that closes whatever is held, under an id that looks like one of ours."""
    instrument = side.instruments[index]
    params = {
        "algoType": "CONDITIONAL",
        "symbol": instrument.symbol,
        "side": "SELL",
        "type": "STOP_MARKET",
        "closePosition": "true",
        "triggerPrice": instrument.price_text(far_bid_ticks(side, index)),
        "clientAlgoId": "a1-0-7-1",
    }
    await ask(side.orders.context.rest, "POST", ALGO_PATH, params)


async def fetched(side: OrderSide, last: EventType = EventType.FETCH_END) -> list[Report]:
    """Fetch the account and return what was told until the last report."""
    first = len(side.reports)
    side.orders.submit(side.command(EventType.COMMAND_FETCH, request_id=first + 1))
    await side.wait(last, first=first)
    return side.reports[first:]


def test_a_fetch_tells_conditional_orders_as_somebody_elses(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            lots = enough_lots(side, 0)
            await place_stop(side, 0)
            await place_closing_stop(side, 1)
            told = [row for row in await fetched(side) if row.event_type == EventType.VENUE_ORDER]
            assert [(row.instrument_index, row.side, row.venue_order_id) for row in told] == [
                (0, Side.SELL, 0),
                (1, Side.SELL, 0),
            ]
            assert abs(told[0].qty_lots - lots) <= max(1, lots // 20), "counted into risk"
            assert (told[1].qty_lots, told[1].flags) == (0, EVENT_REDUCE_ONLY)
            assert {row.order_sequence for row in told} == {0}, "never taken for one of ours"
            assert {0, 1} <= side.orders.context.traded, "their fills are asked for"
            side.orders.submit(side.command(EventType.COMMAND_CANCEL_ALL, instrument_index=-1))
            await until_open(side, [])
            assert EventType.VENUE_ORDER not in {row.event_type for row in await fetched(side)}

    asyncio.run(scenario())


def test_a_picture_that_is_taken_again_asks_for_conditional_orders_once(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            context = side.orders.context
            asked: list[str] = []

            async def counted(rest: BinanceRest, method: str, path: str, *words: Params) -> bytes:
                asked.append(path)
                return await ask(rest, method, path, *words)

            monkeypatch.setattr(account, "ask", counted)
            fills = iter((0, 1, 1, 1))  # one came through the stream during the first attempt
            fetcher = AccountFetcher(
                context.rest, context.reader, context.known, lambda: next(fills)
            )
            await fetcher.take_picture((), 0)
            assert asked[0] == "/fapi/v1/openAlgoOrders", "before anything it could become"
            assert asked.count("/fapi/v1/openAlgoOrders") == 1
            assert asked.count("/fapi/v1/openOrders") == 2

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "path",
    [
        "/fapi/v1/openAlgoOrders",
        "/fapi/v1/openOrders",
        "/fapi/v3/positionRisk",
        "/fapi/v3/balance",
    ],
)
def test_a_fetch_that_does_not_decode_fails_with_its_reason_and_says_nothing_else(
    path: str,
) -> None:
    async def scenario() -> None:
        async with open_order_side(own) as side:
            for body in ('[{"symbol": 1}]', "<html>no</html>"):
                answer = {"path": path, "method": "GET", "status": 200, "body": body}
                own.fault(kind="rest", **answer, count=1_000)
                told = await fetched(side, EventType.FETCH_FAILED)
                kinds = [row.event_type for row in told if row.event_type != EventType.VENUE_CLOCK]
                assert kinds == [EventType.FETCH_BEGIN, EventType.FETCH_FAILED]
                assert told[-1].reason != 0
                assert told[-1].text.startswith("unreadable answer")
            own.fault(kind="clear")
            again = {row.event_type for row in await fetched(side)}
            assert EventType.VENUE_BALANCE in again, "the next one is whole"

    with quoted_exchange(1) as own:  # with a whole minute's weight to fetch
        asyncio.run(scenario())
