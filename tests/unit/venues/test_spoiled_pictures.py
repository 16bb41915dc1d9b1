"""Pictures of the account that are taken again, since it traded meanwhile: what is asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from engine.domain.codes import EventType, OrderStatus, Side
from engine.venues.binance import account
from engine.venues.binance.account import FILLS_PATH, AccountFetcher, ask
from engine.venues.binance.rest import BinanceRest, Params
from engine.venues.order_records import Report
from tests.order_side import Exchange, OrderSide, open_order_side, quoted_exchange
from tests.unit.venues.test_orders_on_exchange import enough_lots

ATTEMPTS = 3


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with quoted_exchange(1) as running:
        yield running


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Return the list that takes from where on fills are asked for, request by request."""
    asked: list[tuple[str, int]] = []

    async def noted(
        rest: BinanceRest, method: str, path: str, params: Params | None = None
    ) -> bytes:
        if path == FILLS_PATH and params is not None:
            which = "fromId" if "fromId" in params else "startTime"
            asked.append((which, int(params[which])))
        return await ask(rest, method, path, params)

    monkeypatch.setattr(account, "ask", noted)
    return asked


def spoiled(side: OrderSide, meanwhile: Callable[[int], None]) -> AccountFetcher:
    """Return a fetcher whose first attempts are spoiled; `meanwhile` runs at the end of each."""
    looks = 0

    def fill_count() -> int:
        nonlocal looks
        looks += 1
        number, is_end = (looks + 1) // 2, looks % 2 == 0
        if is_end and number < ATTEMPTS:
            meanwhile(number)
            return -1
        return number

    context = side.orders.context
    return AccountFetcher(context.rest, context.reader, context.known, fill_count)


async def bought(side: OrderSide) -> None:
    """Buy something and wait until all of it is told."""
    order = side.new_order(Side.BUY, enough_lots(side))
    await side.wait_until(
        lambda: sum(fill.last_qty_lots for fill in side.of_type(EventType.FILL)) == order.qty_lots,
        "not filled",
    )


def by_hand(side: OrderSide) -> None:
    """Trade on the account as a person would."""
    row = side.instruments[0]
    hand = {"symbol": row.symbol, "side": "BUY", "qty": row.qty_text(enough_lots(side))}
    side.exchange.fault(kind="manual_trade", account="practice", **hand)


def fills_of(reports: tuple[Report, ...]) -> list[int]:
    return [report.trade_id for report in reports if report.event_type == EventType.FILL]


def ledger_fills(side: OrderSide) -> list[int]:
    return sorted(row["id"] for row in side.exchange.ledger()["trades"])


def test_an_attempt_reads_only_what_is_new_and_the_picture_has_every_fill_once(
    exchange: Exchange, starts: list[tuple[str, int]]
) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            await bought(side)
            newest_ms = side.of_type(EventType.FILL)[-1].venue_time_ns // 1_000_000
            first_id = side.of_type(EventType.FILL)[0].trade_id
            fetcher = spoiled(side, lambda _number: by_hand(side))
            told = (await fetcher.take_picture((0,), 0)).reports
            assert [name for name, _ in starts] == ["startTime", "fromId", "fromId"]
            assert starts[0][1] < newest_ms - 3_600_000, "the first looks as far back as it may"
            assert first_id <= starts[1][1] <= starts[2][1], "the rest from shortly before its end"
            assert fills_of(told) == ledger_fills(side), "what came between two attempts too"

    asyncio.run(scenario())


def test_an_order_of_somebody_else_is_told_by_the_attempt_that_holds_still(
    exchange: Exchange,
) -> None:
    """Once only the attempt that found it told of it: a picture taken again did not."""

    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            exchange.fault(kind="drop", account="practice", duration_ms=60_000)
            by_hand(side)
            told = (await spoiled(side, lambda _number: None).take_picture((0,), 0)).reports
            ended = [row for row in told if row.event_type == EventType.ORDER_UPDATE]
            assert [(row.order_sequence, row.order_status) for row in ended] == [
                (0, OrderStatus.FILLED)
            ]
            again = (await spoiled(side, lambda _number: None).take_picture((0,), 0)).reports
            assert EventType.ORDER_UPDATE not in {row.event_type for row in again}

    asyncio.run(scenario())
