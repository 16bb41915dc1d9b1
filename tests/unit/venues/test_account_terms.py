"""Settings of the account against the practice exchange: read, changed where they differ, once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, TypeAlias

import pytest

from engine.domain.codes import EventType, OrderStatus, Side
from engine.venues.binance.account import ask
from engine.venues.binance.account_terms import FEE_BURN_PATH, set_terms
from engine.venues.binance.countdown import PATH as COUNTDOWN_PATH
from engine.venues.binance.orders import CONNECTIONS
from engine.venues.order_records import LocalReason
from engine.venues.venue import RejectedError, UnfitAccountError
from tests.order_side import Exchange, OrderSide, open_order_side, running_exchange
from tests.unit.venues.test_orders_on_exchange import enough_lots, far_bid_ticks

Json: TypeAlias = Any  # what the client passes on


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with running_exchange("--generate", "2", "--seed", "3") as running:
        running.wait_for_quotes(running.instruments()[0].symbol)
        yield running


def test_settings_are_changed_where_they_differ_and_only_there(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            rest, instruments = side.orders.context.rest, side.instruments
            assert await set_terms(rest, instruments, 7, "isolated") == 4
            assert await set_terms(rest, instruments, 7, "isolated") == 0
            assert await set_terms(rest, instruments[:1], 8, "") == 1
            assert await set_terms(rest, instruments, 0, "") == 0
            assert await set_terms(rest, instruments, 20, "cross") == 4

    asyncio.run(scenario())


def test_already_so_is_as_good_as_done(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            rest, instruments = side.orders.context.rest, side.instruments
            stale = [{"symbol": instruments[0].symbol, "leverage": "9", "marginType": "isolated"}]
            exchange.fault(kind="rest", path="/fapi/v2/positionRisk", status=200, body=stale)
            assert await set_terms(rest, instruments[:1], 20, "cross") == 2  # -4046 and no change

    asyncio.run(scenario())


def test_margin_type_that_orders_forbid_is_an_error(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            command = side.new_order(Side.BUY, enough_lots(side), far_bid_ticks(side))
            await side.wait(EventType.ORDER_UPDATE, OrderStatus.NEW)
            with pytest.raises(RejectedError) as refused:
                await set_terms(side.orders.context.rest, side.instruments[:1], 0, "isolated")
            assert refused.value.code == -4047
            side.orders.submit(command._replace(event_type=EventType.COMMAND_CANCEL))
            await side.wait(EventType.ORDER_UPDATE, OrderStatus.CANCELED)

    asyncio.run(scenario())


def test_hedge_mode_is_refused_at_the_start(exchange: Exchange) -> None:
    async def scenario() -> None:
        side = OrderSide(exchange)
        path = "/fapi/v1/positionSide/dual"
        exchange.fault(kind="rest", path=path, status=200, body={"dualSidePosition": True})
        with pytest.raises(UnfitAccountError, match=r"hedge mode.*Position Mode to One-way"):
            await side.orders.open()
        await side.orders.close()

    asyncio.run(scenario())


def test_hedge_mode_that_comes_later_is_a_fetch_that_fails_and_never_a_position(
    exchange: Exchange,
) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            symbol = side.instruments[0].symbol
            row = {"symbol": symbol, "entryPrice": "1", "positionSide": "LONG", "positionAmt": "1"}
            answer = {"path": "/fapi/v3/positionRisk", "method": "GET", "status": 200}
            exchange.fault(kind="rest", **answer, body=[row], count=100)
            side.orders.submit(side.command(EventType.COMMAND_FETCH, request_id=4))
            failed = await side.wait(EventType.FETCH_FAILED)
            assert failed.request_id == 4
            assert "hedge-mode position LONG" in failed.text
            assert not side.of_type(EventType.VENUE_POSITION, EventType.FETCH_END)
            exchange.fault(kind="clear")

    asyncio.run(scenario())


def test_an_order_that_the_position_mode_refuses_is_rejected_with_its_number(
    exchange: Exchange,
) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            body = (
                '{"code": -4061, "msg": "Order\'s position side does not match user\'s setting."}'
            )
            answer = {"path": "/fapi/v1/order", "method": "POST", "status": 400, "body": body}
            exchange.fault(kind="rest", **answer, execute=False)
            side.new_order(Side.BUY, 1)
            refused = await side.wait(EventType.ORDER_UPDATE, OrderStatus.REJECTED)
            assert refused.reason == -4061

    asyncio.run(scenario())


async def burn_fees(side: OrderSide, word: str) -> None:
    """Let the account pay its fees in BNB, or no longer."""
    await ask(side.orders.context.rest, "POST", FEE_BURN_PATH, {"feeBurn": word})


def wallet_of(exchange: Exchange) -> Decimal:
    return Decimal(exchange.ledger()["balances"][0]["walletBalance"])


def test_an_account_whose_fees_stand_in_no_book_is_not_traded(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            await burn_fees(side, "true")
            try:
                with pytest.raises(UnfitAccountError, match="fees of the account are paid in BNB"):
                    await side.orders.open()
            finally:
                await burn_fees(side, "false")
            await side.orders.open()
            assert side.orders.context.rest.idle_count <= CONNECTIONS, "tries do not pile them up"

    asyncio.run(scenario())


def test_fees_that_turn_to_bnb_amid_a_run_are_told_and_every_fill_is_booked(
    exchange: Exchange,
) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            wallet = wallet_of(exchange)
            await burn_fees(side, "true")
            try:
                side.new_order(Side.BUY, enough_lots(side))
                await side.wait(EventType.FILL)
                side.new_order(Side.SELL, enough_lots(side))
                await side.wait_until(
                    lambda: {row.side for row in side.of_type(EventType.FILL)} == {1, -1},
                    "not sold",
                )
            finally:
                await burn_fees(side, "false")
            side.orders.submit(side.command(EventType.COMMAND_FETCH, request_id=1))
            await side.wait(EventType.FETCH_END)
            fills = side.of_type(EventType.FILL)
            assert {row.fee_e8 for row in fills} == {0}
            assert {row.trade_id for row in fills if row.request_id} == set(), "known already"
            faults = side.of_type(EventType.EXECUTOR_FAULT)
            assert [(row.reason, row.text) for row in faults] == [
                (LocalReason.OTHER_FEE, "fees in BNB are in no book (feeBurn)")
            ]
            gained = wallet_of(exchange) - wallet
            assert gained * 10**8 == sum(row.venue_realised_pnl_e8 for row in fills)

    asyncio.run(scenario())


def test_resting_order_is_cancelled_by_the_venue_when_we_fall_silent(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange, countdown_ms=2_000) as side:
            rest, asked = side.orders.context.rest, []
            request = rest.request

            async def counted(method: str, path: str, *words: Json, **more: Json) -> Json:
                asked.append(path)
                return await request(method, path, *words, **more)

            rest.request = counted  # type: ignore[method-assign]
            side.new_order(Side.BUY, enough_lots(side), far_bid_ticks(side))
            await side.wait(EventType.ORDER_UPDATE, OrderStatus.NEW)
            # Seven refreshes are more than two countdowns.
            await side.wait_until(lambda: asked.count(COUNTDOWN_PATH) == 8, "not refreshed")
            assert {row.order_status for row in side.of_type(EventType.ORDER_UPDATE)} == {
                OrderStatus.NEW
            }
            exchange.fault(kind="http_status", path=COUNTDOWN_PATH, status=503, count=1_000)
            await side.wait(EventType.ORDER_UPDATE, OrderStatus.CANCELED)
            exchange.fault(kind="clear")

    asyncio.run(scenario())
