"""From decision to submission: an entry that is late stays here, an exit goes however late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from engine.domain.codes import (
    EVENT_ENTRY,
    EVENT_POST_ONLY,
    EVENT_REDUCE_ONLY,
    EventType,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)
from engine.domain.execution.router import SUBMISSION_NS_MAX
from engine.venues.binance.order_sender import is_overdue
from engine.venues.order_records import Command, LocalReason
from tests.order_side import Exchange, OrderSide, open_order_side, quoted_exchange

QTY_LOTS = 200


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with quoted_exchange(1) as running:
        yield running


def order(side: OrderSide, flags: int, decision_time_ns: int, number: int = 1) -> Command:
    """Return a buy 3 % below the market."""
    bid, _ = side.exchange.wait_for_quotes(side.instruments[0].symbol)
    ticks = side.instruments[0].price_ticks(bid)
    assert ticks is not None
    return side.command(
        EventType.COMMAND_NEW, side=Side.BUY, flags=flags, order_sequence=number,
        order_type=OrderType.LIMIT, time_in_force=TimeInForce.GTC, cause_sequence=number,
        price_ticks=ticks * 97 // 100, qty_lots=QTY_LOTS, decision_time_ns=decision_time_ns,
    )  # fmt: skip


def late_ns() -> int:
    """Return when an order was decided that is too late now."""
    return time.monotonic_ns() - SUBMISSION_NS_MAX - 1


@pytest.mark.parametrize("flags", [EVENT_ENTRY, EVENT_ENTRY | EVENT_POST_ONLY])
def test_a_late_entry_is_not_sent_and_the_next_one_is(exchange: Exchange, flags: int) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            side.orders.submit(order(side, flags, late_ns()))
            refused = await side.wait(EventType.ORDER_UPDATE)
            assert refused.order_status == OrderStatus.REJECTED
            assert refused.reason == LocalReason.OVERDUE
            assert not side.of_type(EventType.ORDER_SENT, EventType.ORDER_UNKNOWN)
            side.orders.submit(order(side, flags, time.monotonic_ns() + 10**10, number=2))
            taken = await side.wait(EventType.ORDER_UPDATE, OrderStatus.NEW)
            assert taken.order_sequence == 2
            ids = [row["clientOrderId"] for row in exchange.ledger()["orders"]]
            assert taken.text in ids
            assert refused.text not in ids

    asyncio.run(scenario())


def test_an_exit_is_sent_however_late(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            side.orders.submit(order(side, EVENT_POST_ONLY, decision_time_ns=0))
            await side.wait(EventType.ORDER_UPDATE, OrderStatus.NEW)

    asyncio.run(scenario())


def test_an_entry_late_by_the_time_the_clock_is_learned_is_not_sent_again(
    exchange: Exchange,
) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            wrong = '{"code":-1021,"msg":"Timestamp outside of the recvWindow."}'
            exchange.fault(
                kind="rest", path="/fapi/v1/order", method="POST", status=400, body=wrong,
                execute=False, delay_ms=2 * SUBMISSION_NS_MAX // 1_000_000,
            )  # fmt: skip
            side.orders.submit(order(side, EVENT_ENTRY, time.monotonic_ns()))
            refused = await side.wait(EventType.ORDER_UPDATE, OrderStatus.REJECTED)
            assert refused.reason == LocalReason.OVERDUE
            assert refused.text not in [row["clientOrderId"] for row in exchange.ledger()["orders"]]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("flags", "age_ns", "expected"),
    [
        (EVENT_ENTRY, SUBMISSION_NS_MAX, False),
        (EVENT_ENTRY, SUBMISSION_NS_MAX + 1, True),
        (EVENT_ENTRY | EVENT_POST_ONLY, SUBMISSION_NS_MAX + 1, True),
        (0, 10**15, False),
        (EVENT_REDUCE_ONLY, 10**15, False),
    ],
)
def test_the_limit_is_exact_and_of_entries_alone(flags: int, age_ns: int, expected: bool) -> None:
    decided_ns = 7_000_000_000
    fields: list[Any] = [0] * len(Command._fields)
    command = Command(*fields)._replace(flags=flags, decision_time_ns=decided_ns)
    assert is_overdue(command, decided_ns + age_ns) is expected
