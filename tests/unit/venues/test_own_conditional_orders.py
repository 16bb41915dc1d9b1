"""Conditional orders of ours at a running exchange: placed, told, looked up, withdrawn, filled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import orjson
import pytest

from engine.domain.codes import EVENT_REDUCE_ONLY, EventType, OrderStatus, OrderType, Side
from engine.venues.binance.account import ask
from engine.venues.binance.order_wire import SELF_TRADE
from engine.venues.binance.rest import Params
from engine.venues.order_records import Command, LocalReason, Report
from tests.order_side import Exchange, OrderSide, open_order_side, quoted_exchange
from tests.unit.venues.test_conditional_orders import fetched, until_open
from tests.unit.venues.test_orders_on_exchange import enough_lots, far_bid_ticks

T = EventType
ALGO_PATH = "/fapi/v1/algoOrder"


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with quoted_exchange(1) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_is_left(exchange: Exchange) -> Iterator[None]:
    """Hold a test to withdrawing what it placed: the next one would find it on the account."""
    yield
    left = [row for row in exchange.ledger()["algoOrders"] if row["algoStatus"] == "NEW"]
    assert left == []


def bid_ticks(side: OrderSide) -> int:
    bid, _ = side.exchange.wait_for_quotes(side.instruments[0].symbol)
    ticks = side.instruments[0].price_ticks(bid)
    assert ticks is not None
    return ticks


def guard(
    side: OrderSide,
    price_ticks: int,
    kind: OrderType = OrderType.STOP_MARKET,
    *,
    mid_ticks: int = 0,
) -> Command:
    """Place a guard that would sell, and return its command."""
    side.order_sequence += 1
    command = side.command(
        T.COMMAND_NEW,
        side=Side.SELL,
        order_type=kind,
        flags=EVENT_REDUCE_ONLY,
        order_sequence=side.order_sequence,
        cause_sequence=1_000 + side.order_sequence,
        price_ticks=price_ticks,
        mid_half_ticks=2 * mid_ticks,
        qty_lots=enough_lots(side),
    )
    side.orders.submit(command)
    return command


def print_trade(side: OrderSide, price_ticks: int) -> None:
    """Let somebody sell at a price."""
    instrument = side.instruments[0]
    told = {"symbol": instrument.symbol, "side": "SELL", "quantity": instrument.qty_text(1)}
    told["price"] = instrument.price_text(price_ticks)
    side.exchange.call("POST", "/practice/tick", told)


def about(side: OrderSide, command: Command) -> list[Report]:
    return [r for r in side.reports if r.order_sequence == command.order_sequence]


async def placed(side: OrderSide) -> Command:
    """Place a stop far below the market, and wait until it is told."""
    command = guard(side, far_bid_ticks(side))
    await side.wait_until(lambda: len(about(side, command)) >= 3, "sent, answered, streamed")
    return command


async def hold(side: OrderSide) -> int:
    """Buy something to guard; return its lots."""
    lots = enough_lots(side)
    bought = side.new_order(Side.BUY, lots)
    await side.wait_until(
        lambda: sum(r.last_qty_lots for r in about(side, bought)) == lots, "not bought"
    )
    return lots


def test_a_guard_is_placed_and_told_under_our_name(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            command = await placed(side)
            told = about(side, command)
            assert told[0].event_type == T.ORDER_SENT
            assert told[0].word_2 > 0
            for report in told[1:]:
                assert (report.event_type, report.order_status) == (T.ORDER_UPDATE, OrderStatus.NEW)
                assert report.order_type == OrderType.STOP_MARKET
                assert (report.venue_order_id, report.cum_qty_lots) == (0, 0)
                assert report.price_ticks == command.price_ticks
                assert report.qty_lots == command.qty_lots
                assert report.flags == EVENT_REDUCE_ONLY
            assert side.orders.context.countdown is None
            waiting = [r for r in await fetched(side) if r.event_type == T.VENUE_ORDER]
            assert [(r.order_sequence, r.epoch_low) for r in waiting] == [
                (command.order_sequence, side.epoch & 255)
            ]
            side.orders.submit(command._replace(event_type=T.COMMAND_CANCEL))
            await side.wait(T.ORDER_UPDATE, OrderStatus.CANCELED)
            await until_open(side, [])
            assert side.of_type(T.CANCEL_REJECTED) == []

    asyncio.run(scenario())


def test_a_guard_says_whole_what_it_wants_of_the_venue(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            command = await placed(side)
            context, instrument = side.orders.context, side.instruments[0]
            which: Params = {"clientAlgoId": context.client_order_id(command)}
            told = orjson.loads(await ask(context.rest, "GET", ALGO_PATH, which))
            assert {
                "algoType": "CONDITIONAL",
                "symbol": instrument.symbol,
                "side": "SELL",
                "orderType": "STOP_MARKET",
                "quantity": instrument.qty_text(command.qty_lots),
                "workingType": "CONTRACT_PRICE",
                "reduceOnly": True,
                "selfTradePreventionMode": SELF_TRADE,
                **which,
            }.items() <= told.items()
            side.orders.submit(command._replace(event_type=T.COMMAND_CANCEL))
            await side.wait(T.ORDER_UPDATE, OrderStatus.CANCELED)

    asyncio.run(scenario())


def test_a_guard_that_triggers_fills_as_the_order_it_has_become(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            lots = await hold(side)
            command = guard(side, bid_ticks(side) + 5, OrderType.TAKE_PROFIT_MARKET)

            def sold() -> int:
                return sum(r.last_qty_lots for r in about(side, command))

            await side.wait_until(lambda: sold() == lots, "the market did not rise by five ticks")
            fills = [r for r in about(side, command) if r.event_type == T.FILL]
            number = fills[0].venue_order_id
            assert number > 0
            first = len(side.reports)
            side.query(command)  # as of a kernel that heard nothing: no number of an order yet
            last = await side.wait(T.ORDER_UPDATE, OrderStatus.FILLED, first=first)
            assert (last.order_sequence, last.venue_order_id) == (command.order_sequence, number)
            again = [r for r in side.reports[first:] if r.event_type == T.FILL]
            assert {r.trade_id for r in again} == {r.trade_id for r in fills}
            first = len(side.reports)
            side.orders.submit(command._replace(event_type=T.COMMAND_CANCEL))
            rejected = await side.wait(T.CANCEL_REJECTED, first=first)
            assert rejected.reason == -2011
            await side.wait(T.ORDER_UPDATE, OrderStatus.FILLED, first=first)

    asyncio.run(scenario())


TRAILS = OrderType.TRAILING_STOP_MARKET


def test_a_guard_that_trails_says_a_rate_and_is_told_under_our_name(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            bid = bid_ticks(side)
            command = guard(side, bid - bid // 40, TRAILS, mid_ticks=bid)
            await side.wait_until(
                lambda: len(about(side, command)) >= 3, "sent, answered, streamed"
            )
            for report in about(side, command)[1:]:
                assert (report.order_status, report.order_type) == (OrderStatus.NEW, TRAILS)
                assert (report.venue_order_id, report.price_ticks) == (0, 0)
                assert report.qty_lots == command.qty_lots
            name = side.orders.context.client_order_id(command)
            (row,) = (r for r in exchange.ledger()["algoOrders"] if r["clientAlgoId"] == name)
            assert (row["orderType"], row["callbackRate"]) == (TRAILS.name, "2.5")
            assert row["reduceOnly"]
            waiting = [r for r in await fetched(side) if r.event_type == T.VENUE_ORDER]
            assert [(r.order_sequence, r.order_type) for r in waiting] == [
                (command.order_sequence, TRAILS)
            ]
            side.orders.submit(command._replace(event_type=T.COMMAND_CANCEL))
            await side.wait(T.ORDER_UPDATE, OrderStatus.CANCELED)
            await until_open(side, [])

    asyncio.run(scenario())


def test_a_guard_that_trails_fills_as_the_order_it_has_become(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            lots = await hold(side)
            bid = bid_ticks(side)
            command = guard(side, bid - 1, TRAILS, mid_ticks=bid)  # the least rate that there is
            name = side.orders.context.client_order_id(command)
            await side.wait_until(
                lambda: len(about(side, command)) >= 3, "sent, answered, streamed"
            )
            print_trade(side, bid)
            print_trade(side, bid - bid // 500)

            def sold() -> int:
                return sum(r.last_qty_lots for r in about(side, command))

            await side.wait_until(lambda: sold() == lots, "not sold when the market fell")
            (row,) = (r for r in exchange.ledger()["algoOrders"] if r["clientAlgoId"] == name)
            assert (row["callbackRate"], row["algoStatus"]) == ("0.1", "FINISHED")

    asyncio.run(scenario())


def test_a_guard_that_would_trail_too_far_is_not_sent(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            bid = bid_ticks(side)
            command = guard(side, bid - bid // 4, TRAILS, mid_ticks=bid)
            refused = await side.wait(T.ORDER_UPDATE, OrderStatus.REJECTED)
            assert (refused.order_sequence, refused.reason) == (
                command.order_sequence,
                LocalReason.CALLBACK_RANGE,
            )
            assert [r.event_type for r in about(side, command)] == [T.ORDER_UPDATE]

    asyncio.run(scenario())


def test_a_guard_that_would_trigger_at_once_is_refused(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            command = guard(side, bid_ticks(side) * 2)
            refused = await side.wait(T.ORDER_UPDATE, OrderStatus.REJECTED)
            assert (refused.order_sequence, refused.reason) == (command.order_sequence, -2021)

    asyncio.run(scenario())


LOST = (503, '{"code":-1007,"msg":"Unknown error, please check."}')
NOT_OURS = (
    200,
    (
        '{"symbol":"BTCUSDT","clientAlgoId":"else","algoId":1,"algoStatus":"CANCELED",'
        '"side":"SELL","orderType":"STOP_MARKET","quantity":"0.004","triggerPrice":"50000.0"}'
    ),
)


@pytest.mark.parametrize(("answer", "execute"), [(LOST, True), (LOST, False), (NOT_OURS, True)])
def test_a_guard_whose_answer_is_lost_is_in_doubt_until_it_is_looked_up(
    exchange: Exchange, answer: tuple[int, str], execute: bool
) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            exchange.fault(
                kind="rest",
                path=ALGO_PATH,
                method="POST",
                status=answer[0],
                body=answer[1],
                execute=execute,
                count=1,
            )
            command = guard(side, far_bid_ticks(side))
            doubt = await side.wait(T.ORDER_UNKNOWN)
            assert doubt.order_sequence == command.order_sequence
            first = len(side.reports)
            if answer is NOT_OURS:
                rule = {"path": ALGO_PATH, "method": "GET", "status": 200, "body": answer[1]}
                exchange.fault(kind="rest", **rule, count=1)
                side.query(command)
                await side.wait(T.ORDER_UNKNOWN, first=first)
                assert T.ORDER_UPDATE not in {row.event_type for row in side.reports[first:]}
            side.query(command)
            expected = OrderStatus.NEW if execute else OrderStatus.NONE
            await side.wait(T.ORDER_UPDATE, expected, first=first)
            if execute:
                side.orders.submit(command._replace(event_type=T.COMMAND_CANCEL))
                await side.wait(T.ORDER_UPDATE, OrderStatus.CANCELED)

    asyncio.run(scenario())


def test_a_guard_with_an_old_time_stamp_is_sent_once_more_on_a_new_clock(
    exchange: Exchange,
) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            body = '{"code":-1021,"msg":"Timestamp for this request is outside of the recvWindow."}'
            rule = {"path": ALGO_PATH, "method": "POST", "status": 400, "body": body}
            exchange.fault(kind="rest", **rule, execute=False, count=1)
            command = guard(side, far_bid_ticks(side))
            await side.wait(T.ORDER_UPDATE, OrderStatus.NEW)
            sent = [r for r in about(side, command) if r.event_type == T.ORDER_SENT]
            assert len(sent) == 1
            side.orders.submit(command._replace(event_type=T.COMMAND_CANCEL))
            await side.wait(T.ORDER_UPDATE, OrderStatus.CANCELED)

    asyncio.run(scenario())


def test_no_guard_is_sent_while_the_venue_asks_us_to_wait(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            side.orders.context.rest._blocked_until_ns = 2**62
            command = guard(side, far_bid_ticks(side))
            refused = await side.wait(T.ORDER_UPDATE, OrderStatus.REJECTED)
            assert (refused.order_sequence, refused.reason) == (
                command.order_sequence,
                LocalReason.RATE_PAUSED,
            )
            side.orders.context.rest._blocked_until_ns = 0

    asyncio.run(scenario())


def test_a_fetch_withdraws_a_guard_of_a_lost_home(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as lost:
            await placed(lost)
        async with open_order_side(exchange, epoch=lost.epoch + 256) as side:
            listed = [r for r in await fetched(side) if r.event_type == T.VENUE_ORDER]
            assert [r.order_sequence for r in listed] == [0]
            await until_open(side, [])

    asyncio.run(scenario())


def test_a_guard_is_counted_as_sent_once_and_shown_in_the_ledger(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            command = await placed(side)
            name = side.orders.context.client_order_id(command)
            side.query(command)
            side.orders.submit(command._replace(event_type=T.COMMAND_CANCEL))
            await side.wait(T.ORDER_UPDATE, OrderStatus.CANCELED)
            sent = exchange.call("GET", "/practice/sent")["clientOrderIds"]
            assert sent.count(name) == 1
            rows = [r for r in exchange.ledger()["algoOrders"] if r["clientAlgoId"] == name]
            assert [row["algoStatus"] for row in rows] == ["CANCELED"]

    asyncio.run(scenario())
