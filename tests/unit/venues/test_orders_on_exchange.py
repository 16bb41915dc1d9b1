"""The order side against the practice exchange: acks, fills, cancels, queries, pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal

import pytest

from engine.domain.client_id import parse_client_id
from engine.domain.codes import (
    EVENT_POST_ONLY,
    EventType,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)
from engine.venues.order_records import LocalReason
from engine.venues.venue import CredentialError
from tests.order_side import Exchange, OrderSide, open_order_side, quoted_exchange

QTY_LOTS = 50


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with quoted_exchange(2) as running:
        yield running


@pytest.fixture(autouse=True)
def calm(exchange: Exchange) -> Iterator[None]:
    yield
    exchange.fault(kind="clear")


def far_bid_ticks(side: OrderSide, index: int = 0) -> int:
    """Return a price 3 % below the market: rests, and passes the percent filter."""
    instrument = side.instruments[index]
    bid, _ = side.exchange.wait_for_quotes(instrument.symbol)
    ticks = instrument.price_ticks(bid)
    assert ticks is not None
    return ticks * 97 // 100


def enough_lots(side: OrderSide, index: int = 0) -> int:
    """Return a quantity worth about 200 in the quote currency."""
    instrument = side.instruments[index]
    bid, _ = side.exchange.wait_for_quotes(instrument.symbol)
    return max(1, int(Decimal(200) / Decimal(bid) / Decimal(str(instrument.lot_size))))


def answer_orders(exchange: Exchange, status: int, body: str, *, execute: bool) -> None:
    """Let the next order be answered so, whether it is executed or not."""
    exchange.fault(
        kind="rest",
        path="/fapi/v1/order",
        method="POST",
        status=status,
        body=body,
        execute=execute,
    )


def test_market_order_is_sent_acknowledged_and_filled_under_its_own_number(
    exchange: Exchange,
) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            command = side.new_order(Side.BUY, enough_lots(side))
            await side.wait(EventType.ORDER_UPDATE)
            await side.wait_until(
                lambda: (
                    sum(fill.last_qty_lots for fill in side.of_type(EventType.FILL))
                    == command.qty_lots
                ),
                "fills do not sum to the order",
            )
            sent, fill = side.of_type(EventType.ORDER_SENT)[0], side.of_type(EventType.FILL)[0]
            assert side.reports.index(sent) < side.reports.index(fill)
            for report in (sent, fill):
                assert report.order_sequence == command.order_sequence
                assert report.cause_sequence == command.cause_sequence
                assert report.epoch_low == side.epoch
                identity = parse_client_id("a", report.text)
                assert identity is not None
                assert identity.epoch == side.epoch
            assert fill.trade_id > 0
            assert fill.fee_e8 > 0
            assert fill.last_price_ticks > 0
            assert sent.word_0 == command.cause_receive_time_ns

    asyncio.run(scenario())


def test_resting_order_is_cancelled_by_client_id_and_by_venue_id(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            for by_venue_id in (False, True):
                first = len(side.reports)
                command = side.new_order(Side.BUY, enough_lots(side), far_bid_ticks(side))
                ack = await side.wait(EventType.ORDER_UPDATE, OrderStatus.NEW, first)
                venue_order_id = ack.venue_order_id if by_venue_id else 0
                side.orders.submit(
                    command._replace(
                        event_type=EventType.COMMAND_CANCEL, venue_order_id=venue_order_id
                    )
                )

                def is_cancelled(
                    sequence: int = command.order_sequence, venue_id: int = ack.venue_order_id
                ) -> bool:
                    return any(
                        (report.order_sequence, report.venue_order_id) == (sequence, venue_id)
                        and report.order_status == OrderStatus.CANCELED
                        for report in side.of_type(EventType.ORDER_UPDATE)
                    )

                await side.wait_until(is_cancelled, "not cancelled")

    asyncio.run(scenario())


def test_cancel_of_an_unknown_order_is_rejected_and_queried(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            command = side.command(EventType.COMMAND_CANCEL, order_sequence=999_999)
            side.orders.submit(command)
            rejected = await side.wait(EventType.CANCEL_REJECTED)
            absent = await side.wait(EventType.ORDER_UPDATE, OrderStatus.NONE)
            assert rejected.reason == -2011
            assert absent.reason == -2013
            assert absent.order_sequence == 999_999

    asyncio.run(scenario())


def test_cancel_all_without_instrument_clears_every_book(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            for index in range(2):
                lots, price = enough_lots(side, index), far_bid_ticks(side, index)
                side.new_order(Side.BUY, lots, price, instrument_index=index)
            await side.wait_until(
                lambda: (
                    len({r.instrument_index for r in side.of_type(EventType.ORDER_UPDATE)}) == 2
                ),
                "not both acknowledged",
            )
            side.orders.submit(side.command(EventType.COMMAND_CANCEL_ALL, instrument_index=-1))
            await side.wait_until(
                lambda: (
                    sum(
                        r.order_status == OrderStatus.CANCELED
                        for r in side.of_type(EventType.ORDER_UPDATE)
                    )
                    >= 2
                ),
                "not both cancelled",
            )

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("price_factor", "qty_lots", "codes"),
    [(1, 1, {-4164}), (2, QTY_LOTS, {-4016}), (1, 10**13, {-4005, -1111, -1013})],
)
def test_refused_orders_end_rejected_with_the_venues_code(
    exchange: Exchange, price_factor: int, qty_lots: int, codes: set[int]
) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            side.new_order(Side.BUY, qty_lots, far_bid_ticks(side) * price_factor)
            report = await side.wait(EventType.ORDER_UPDATE, OrderStatus.REJECTED)
            assert report.reason in codes
            assert not side.of_type(EventType.ORDER_UNKNOWN)

    asyncio.run(scenario())


def test_ioc_that_finds_nothing_expires(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            side.new_order(
                Side.BUY, enough_lots(side), far_bid_ticks(side), time_in_force=TimeInForce.IOC
            )
            report = await side.wait(EventType.ORDER_UPDATE, OrderStatus.EXPIRED)
            assert report.cum_qty_lots == 0

    asyncio.run(scenario())


def test_answer_lost_after_execution_is_unknown_then_found_by_query(exchange: Exchange) -> None:
    """The venue executes and answers 503: never resent, found by its client id."""

    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            answer_orders(
                exchange, 503, '{"code":-1007,"msg":"Timeout waiting for response"}', execute=True
            )
            command = side.new_order(Side.BUY, enough_lots(side), far_bid_ticks(side))
            unknown = await side.wait(EventType.ORDER_UNKNOWN)
            first = side.reports.index(unknown)
            side.query(command)
            found = await side.wait(EventType.ORDER_UPDATE, OrderStatus.NEW, first)
            assert unknown.reason == -1007
            assert found.order_sequence == command.order_sequence
            ids = [order["clientOrderId"] for order in exchange.ledger()["orders"]]
            assert ids.count(found.text) == 1
            side.orders.submit(command._replace(event_type=EventType.COMMAND_CANCEL))
            await side.wait(EventType.ORDER_UPDATE, OrderStatus.CANCELED, first)

    asyncio.run(scenario())


def test_answer_lost_without_execution_is_unknown_then_absent(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            answer_orders(
                exchange,
                503,
                '{"code":-1000,"msg":"Unknown error, please check your request"}',
                execute=False,
            )
            command = side.new_order(Side.BUY, enough_lots(side), far_bid_ticks(side))
            await side.wait(EventType.ORDER_UNKNOWN)
            side.query(command)
            absent = await side.wait(EventType.ORDER_UPDATE, OrderStatus.NONE)
            assert absent.order_sequence == command.order_sequence
            ids = [order["clientOrderId"] for order in exchange.ledger()["orders"]]
            assert absent.text not in ids

    asyncio.run(scenario())


def test_order_certainly_not_executed_is_rejected_without_a_query(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            answer_orders(
                exchange,
                503,
                '{"code":-1008,"msg":"Request throttled by system-level protection."}',
                execute=False,
            )
            side.new_order(Side.BUY, enough_lots(side), far_bid_ticks(side))
            report = await side.wait(EventType.ORDER_UPDATE, OrderStatus.REJECTED)
            assert report.reason == -1008
            assert not side.of_type(EventType.ORDER_UNKNOWN)

    asyncio.run(scenario())


def test_late_answer_makes_the_order_unknown(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange, timeout_ms=150) as side:
            exchange.fault(
                kind="rest", path="/fapi/v1/order", method="POST", execute=True, delay_ms=1_500
            )
            command = side.new_order(Side.BUY, enough_lots(side), far_bid_ticks(side))
            unknown = await side.wait(EventType.ORDER_UNKNOWN)
            assert unknown.reason == LocalReason.TIMEOUT
            assert side.orders.in_flight_count == 0
            side.query(command)
            await side.wait(EventType.ORDER_UPDATE, OrderStatus.NEW)
            side.orders.submit(command._replace(event_type=EventType.COMMAND_CANCEL_ALL))
            await side.wait(EventType.ORDER_UPDATE, OrderStatus.CANCELED)

    asyncio.run(scenario())


def test_a_closed_instrument_has_a_reason_of_its_own(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            symbol = side.instruments[0].symbol
            price = far_bid_ticks(side)
            exchange.fault("symbol_status", symbol=symbol, status="SETTLING")
            side.new_order(Side.BUY, enough_lots(side), price)
            refused = await side.wait(EventType.ORDER_UPDATE, OrderStatus.REJECTED)
            assert refused.reason == LocalReason.INSTRUMENT_CLOSED

    asyncio.run(scenario())


def test_a_quote_that_would_take_is_refused_under_a_reason_of_its_own(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            price = far_bid_ticks(side) * 105 // 100  # through the best ask
            command = side.command(
                EventType.COMMAND_NEW, side=Side.BUY, flags=EVENT_POST_ONLY, order_sequence=1,
                order_type=OrderType.LIMIT, time_in_force=TimeInForce.GTC,
                cause_sequence=1, price_ticks=price, qty_lots=enough_lots(side),
            )  # fmt: skip
            side.orders.submit(command)
            refused = await side.wait(EventType.ORDER_UPDATE, OrderStatus.REJECTED)
            assert refused.reason == LocalReason.WOULD_TAKE

    asyncio.run(scenario())


def test_rate_limit_pauses_new_orders_without_sending_them(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            answer_orders(exchange, 429, '{"code":-1003,"msg":"Too many requests."}', execute=False)
            side.new_order(Side.BUY, enough_lots(side), far_bid_ticks(side))
            refused = await side.wait(EventType.ORDER_UPDATE, OrderStatus.REJECTED)
            assert refused.reason == -1003
            first = len(side.reports)
            side.new_order(Side.BUY, enough_lots(side), far_bid_ticks(side))
            paused = await side.wait(EventType.ORDER_UPDATE, OrderStatus.REJECTED, first)
            assert paused.reason == LocalReason.RATE_PAUSED
            assert len(side.of_type(EventType.ORDER_SENT)) == 1

    asyncio.run(scenario())


def test_clock_outside_the_window_is_learned_and_the_order_sent_once_more(
    exchange: Exchange,
) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            exchange.fault(kind="time_offset", offset_ms=90_000)
            command = side.new_order(Side.BUY, enough_lots(side), far_bid_ticks(side))
            report = await side.wait(EventType.ORDER_UPDATE, OrderStatus.NEW)
            assert report.order_sequence == command.order_sequence
            assert len(side.of_type(EventType.ORDER_SENT)) == 1
            assert len(side.of_type(EventType.VENUE_CLOCK)) >= 2
            side.orders.submit(side.command(EventType.COMMAND_CANCEL_ALL, instrument_index=0))
            await side.wait(EventType.ORDER_UPDATE, OrderStatus.CANCELED)

    asyncio.run(scenario())


def test_wrong_secret_is_a_credential_error_at_open(exchange: Exchange) -> None:
    async def scenario() -> None:
        side = OrderSide(exchange, secret="wrong")
        with pytest.raises(CredentialError):
            await side.orders.open()
        await side.stop()

    asyncio.run(scenario())


def test_picture_names_orders_positions_balance_and_new_fills(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            side.new_order(Side.BUY, enough_lots(side), far_bid_ticks(side))
            await side.wait(EventType.ORDER_UPDATE, OrderStatus.NEW)
            side.new_order(Side.BUY, enough_lots(side, 1), instrument_index=1)
            fill = await side.wait(EventType.FILL)
            await side.wait(EventType.FILL, OrderStatus.FILLED)
            first = len(side.reports)
            side.orders.submit(side.command(EventType.COMMAND_FETCH, request_id=41))
            await side.wait(EventType.FETCH_END, first=first)
            order_of_telling = (
                EventType.FETCH_BEGIN,
                EventType.VENUE_ORDER,
                EventType.VENUE_POSITION,
                EventType.VENUE_BALANCE,
                EventType.FILL,
                EventType.FETCH_END,
            )
            # The answer to an order may come in between, after its fill.
            told = [row for row in side.reports[first:] if row.event_type in order_of_telling]
            kinds = [report.event_type for report in told]
            assert set(kinds) >= {*order_of_telling} - {EventType.FILL}
            assert kinds == sorted(kinds, key=order_of_telling.index)
            assert {report.request_id for report in told} == {41}
            ledger = exchange.ledger()
            by_symbol = {row["symbol"]: row for row in ledger["positions"]}
            for report in told:
                if report.event_type == EventType.VENUE_POSITION:
                    instrument = side.instruments[report.instrument_index]
                    amount = by_symbol[instrument.symbol]["positionAmt"]
                    assert Decimal(instrument.qty_text(report.position_lots)) == Decimal(amount)
            assert fill.trade_id not in {r.trade_id for r in told}, "told when it came"
            side.orders.submit(side.command(EventType.COMMAND_CANCEL_ALL, instrument_index=0))
            await side.wait(EventType.ORDER_UPDATE, OrderStatus.CANCELED, first)

    asyncio.run(scenario())


def test_refused_fetch_is_a_failure_and_never_an_empty_account(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            exchange.fault(
                kind="rest",
                path="/fapi/v3/positionRisk",
                method="GET",
                status=500,
                body="gateway",
                execute=False,
                count=2,
            )
            side.orders.submit(side.command(EventType.COMMAND_FETCH, request_id=5))
            failed = await side.wait(EventType.FETCH_FAILED)
            assert failed.request_id == 5
            assert not side.of_type(EventType.FETCH_END, EventType.VENUE_BALANCE)

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["disconnect", "listen_key_expired"])
def test_lost_user_stream_is_told_and_comes_back(exchange: Exchange, how: str) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            first = len(side.reports)
            if how == "disconnect":
                exchange.fault(kind="disconnect", category="private")
            else:
                exchange.fault(kind="listen_key_expired")
            lost = await side.wait(EventType.VENUE_DISCONNECTED, first=first)
            first = side.reports.index(lost)
            await side.wait(EventType.VENUE_CONNECTED, first=first)
            side.new_order(Side.BUY, enough_lots(side))
            await side.wait(EventType.FILL, first=first)

    asyncio.run(scenario())


def test_poisoned_user_event_closes_the_stream_and_reconnects(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            first = len(side.reports)
            exchange.fault(kind="user_event", event={"e": "ORDER_TRADE_UPDATE", "o": {"s": 5}})
            lost = await side.wait(EventType.VENUE_DISCONNECTED, first=first)
            assert lost.reason == LocalReason.UNREADABLE
            await side.wait(EventType.VENUE_CONNECTED, first=first)

    asyncio.run(scenario())


def test_unknown_and_light_events_change_nothing(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            exchange.fault(kind="user_event", event={"e": "TRADE_LITE", "s": "X", "t": 4})
            exchange.fault(kind="user_event", event={"e": "ALGO_UPDATE", "o": {"aid": 1}})
            side.new_order(Side.BUY, enough_lots(side))
            fill = await side.wait(EventType.FILL)
            assert not side.of_type(EventType.VENUE_DISCONNECTED)
            assert [r.trade_id for r in side.of_type(EventType.FILL)].count(fill.trade_id) == 1

    asyncio.run(scenario())
