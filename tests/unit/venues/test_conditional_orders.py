"""Conditional orders on an account of ours: whoever placed them, cancel-all withdraws them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec
import pytest

from engine.domain.codes import EventType, OrderStatus
from engine.venues.binance.account import ask
from tests.order_side import Exchange, OrderSide, open_order_side, running_exchange
from tests.unit.venues.test_orders_on_exchange import enough_lots, far_bid_ticks

ALGO_PATH = "/fapi/v1/algoOrder"


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with running_exchange("--generate", "2", "--seed", "3") as running:
        for instrument in running.instruments():
            running.wait_for_quotes(instrument.symbol)
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
    """Return the symbols of the conditional orders that are open."""
    body = await ask(side.orders.context.rest, "GET", "/fapi/v1/openAlgoOrders")
    return [row["symbol"] for row in msgspec.json.decode(body)]


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
            for _ in range(500):
                if await open_symbols(side) == left:
                    break
                await asyncio.sleep(0.02)
            assert await open_symbols(side) == left
            assert side.of_type(EventType.CANCEL_REJECTED) == []
            side.orders.submit(cancel_all._replace(instrument_index=-1))
            for _ in range(500):
                if not await open_symbols(side):
                    break
                await asyncio.sleep(0.02)

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
