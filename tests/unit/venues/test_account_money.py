"""What befalls the account beside our orders: told by a picture of it, each under its number."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from functools import partial

import pytest

from engine.domain.codes import EventType, OrderStatus, Side
from engine.venues.binance.account import ATTEMPTS_MAX, AccountFetcher
from engine.venues.binance.funding import (
    ASKS_MAX,
    ASKS_SPAN_NS,
    LOOK_AGAIN_NS,
    FundingWatch,
)
from engine.venues.order_records import Report
from engine.venues.venue import NotExecutedError
from tests.order_side import Exchange, OrderSide, open_order_side, quoted_exchange
from tests.unit.venues.test_orders_on_exchange import enough_lots

FUNDING = "FUNDING_FEE"


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with quoted_exchange(2) as running:
        yield running


@pytest.fixture(autouse=True)
def calm(exchange: Exchange) -> Iterator[None]:
    yield
    exchange.fault(kind="clear")


async def fetched(side: OrderSide, request_id: int, **words: int) -> list[Report]:
    """Fetch the account and return what was told of it; not what the stream said meanwhile."""
    first = len(side.reports)
    side.orders.submit(side.command(EventType.COMMAND_FETCH, request_id=request_id, **words))
    await side.wait(EventType.FETCH_END, first=first)
    return [row for row in side.reports[first:] if row.request_id == request_id]


def has_events(side: OrderSide, count: int) -> bool:
    """Return whether the stream told of so many payments; it says no number of them."""
    return sum(not row.trade_id for row in side.of_type(EventType.FUNDING)) >= count


def test_funding_is_booked_from_income_rows_per_instrument_under_their_numbers(
    exchange: Exchange,
) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            for index in (0, 1):
                side.new_order(Side.BUY, enough_lots(side, index), instrument_index=index)
            await side.wait_until(
                lambda: {row.instrument_index for row in side.of_type(EventType.FILL)} == {0, 1},
                "no fills",
            )
            await fetched(side, 1)
            exchange.fault(kind="funding", account="practice", rate_ppm=500)
            # Each event is a reason to ask: one that comes later would be one for the third fetch.
            await side.wait_until(lambda: len(side.of_type(EventType.FUNDING)) == 2, "one each")
            told = await fetched(side, 2)
            booked = [report for report in told if report.event_type == EventType.FUNDING]
            rows = [row for row in exchange.ledger()["income"] if row["incomeType"] == FUNDING]
            assert [report.trade_id for report in booked] == [row["tranId"] for row in rows]
            assert {report.instrument_index for report in booked} == {0, 1}
            paid = sum(report.venue_realised_pnl_e8 for report in booked)
            assert paid == sum(int(Decimal(row["income"]) * 10**8) for row in rows) != 0
            again = await fetched(side, 3)
            kinds = {report.event_type for report in again}
            assert EventType.FUNDING not in kinds, "asked for again without a reason"

    asyncio.run(scenario())


def test_a_payment_stamped_long_before_the_last_look_is_told_once() -> None:
    """The venue's clock was set back for a moment in which nobody looked at it."""

    async def scenario(exchange: Exchange) -> None:
        async with open_order_side(exchange) as side:
            side.new_order(Side.BUY, enough_lots(side))
            await side.wait(EventType.FILL)
            await fetched(side, 1)
            for request_id, offset_ms in ((2, 600_000), (3, 0)):
                exchange.fault(kind="time_offset", offset_ms=-offset_ms)
                exchange.fault(kind="funding", account="practice", rate_ppm=700)
                exchange.fault(kind="time_offset", offset_ms=offset_ms)
                heard = partial(has_events, side, request_id - 1)
                await side.wait_until(heard, "no event")  # one that comes later is a reason to ask
                rows = [row for row in exchange.ledger()["income"] if row["incomeType"] == FUNDING]
                since_ms = side.orders.context.rest.clock.now_ms()
                assert rows[-1]["time"] <= since_ms - offset_ms
                since = {"since_venue_time_ns": since_ms * 1_000_000}
                told = await fetched(side, request_id, **since)
                paid = [row.trade_id for row in told if row.event_type == EventType.FUNDING]
                assert paid == [rows[-1]["tranId"]]

    with quoted_exchange(1) as alone:  # its minutes and weights are of its clock
        asyncio.run(scenario(alone))


def test_a_trade_by_hand_is_told_with_how_its_order_ended(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            symbol = side.instruments[0].symbol
            qty = side.instruments[0].qty_text(enough_lots(side))
            hand = {"account": "practice", "symbol": symbol, "side": "BUY", "qty": qty}
            exchange.fault(kind="drop", account="practice", duration_ms=60_000)
            exchange.fault(kind="manual_trade", **hand)
            exchange.fault(kind="liquidation", account="practice", symbol=symbol)
            side.orders.context.traded.add(0)
            told = await fetched(side, 1)
            ended = {
                report.text.rpartition("_")[0] or report.text.partition("-")[0]: report
                for report in told
                if report.event_type == EventType.ORDER_UPDATE and not report.order_sequence
            }
            assert set(ended) == {"web", "autoclose"}
            assert {report.order_status for report in ended.values()} == {OrderStatus.FILLED}
            fills = {r.venue_order_id for r in told if r.event_type == EventType.FILL}
            assert {report.venue_order_id for report in ended.values()} <= fills

    asyncio.run(scenario())


def test_the_venue_is_asked_at_first_after_an_event_and_now_and_then() -> None:
    now = [0]
    watch = FundingWatch(lambda: now[0])
    due = [watch.is_due]
    watch.asked()
    due.append(watch.is_due)
    watch.expect()
    due.append(watch.is_due)
    watch.asked()
    for now[0] in (LOOK_AGAIN_NS, LOOK_AGAIN_NS + 1):
        due.append(watch.is_due)
    assert due == [True, False, True, False, True]


def test_a_wallet_that_changed_is_a_reason_within_a_budget() -> None:
    now = [1]
    watch = FundingWatch(lambda: now[0])
    watch.see_wallet("5.0")
    watch.asked()
    watch.see_wallet("5.0")
    due = [watch.is_due]
    for turn in range(ASKS_MAX - 1):
        watch.see_wallet(f"{turn}.5")
        due.append(watch.is_due)
        watch.asked()
    watch.see_wallet("6.0")
    due.append(watch.is_due)  # the budget of this minute is spent
    now[0] += ASKS_SPAN_NS + 1
    due.append(watch.is_due)
    assert due == [False, *[True] * (ASKS_MAX - 1), False, True]


def test_funding_whose_event_was_lost_is_booked_with_the_next_picture(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            side.new_order(Side.BUY, enough_lots(side))
            await side.wait(EventType.FILL)
            await fetched(side, 1)
            exchange.fault(kind="drop", account="practice", duration_ms=60_000)
            exchange.fault(kind="funding", account="practice", rate_ppm=700)
            told = await fetched(side, 2)
            assert EventType.FUNDING in {report.event_type for report in told}

    asyncio.run(scenario())


def test_funding_is_told_by_the_first_picture_that_holds_still(exchange: Exchange) -> None:
    """The venue is asked for it once, and may be while we trade: such a picture is thrown away."""

    async def scenario() -> None:
        async with open_order_side(exchange) as side:
            side.new_order(Side.BUY, enough_lots(side))
            await side.wait(EventType.FILL)
            exchange.fault(kind="funding", account="practice", rate_ppm=900)
            context = side.orders.context
            counts = iter([*range(2 * ATTEMPTS_MAX), 0, 1, *[1] * 4])
            fetcher = AccountFetcher(
                context.rest, context.reader, context.known, lambda: next(counts)
            )
            with pytest.raises(NotExecutedError, match="hold still"):
                await fetcher.take_picture((0,), 0)
            told = (await fetcher.take_picture((0,), 0)).reports
            paid = {report.trade_id for report in told if report.event_type == EventType.FUNDING}
            rows = [row for row in exchange.ledger()["income"] if row["incomeType"] == FUNDING]
            assert rows[-1]["tranId"] in paid
            again = (await fetcher.take_picture((0,), 0)).reports
            assert EventType.FUNDING not in {report.event_type for report in again}

    asyncio.run(scenario())
