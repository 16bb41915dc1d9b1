"""Fills are asked for by number where one is known: a stamp may lie before the last look."""

from __future__ import annotations

import asyncio

import pytest

from engine.domain.codes import EventType, Side
from engine.venues.binance import fill_marks
from engine.venues.binance.fill_marks import FillMarks
from tests.order_side import OrderSide, open_order_side, quoted_exchange
from tests.unit.venues.test_orders_on_exchange import enough_lots

S = 1_000_000_000


def test_what_a_picture_has_seen_counts_once_it_is_old_enough() -> None:
    now = [0]
    marks = FillMarks(lambda: now[0])
    marks.note({0: 500, 1: 7})
    now[0] = 59 * S
    marks.note({0: 510})
    assert marks.settled(0) == 0, "a lower number may still be shown"
    now[0] = 60 * S
    assert (marks.settled(0), marks.settled(1), marks.settled(2)) == (500, 7, 0)
    marks.note({0: 520})
    now[0] = 120 * S
    assert (marks.settled(0), marks.settled(1)) == (520, 7), "what no picture names is kept"


async def fetched(side: OrderSide, request_id: int, since_ns: int) -> None:
    """Take a picture of the account."""
    fetch = side.command(
        EventType.COMMAND_FETCH, request_id=request_id, since_venue_time_ns=since_ns
    )
    side.orders.submit(fetch)
    await side.wait_until(
        lambda: any(end.request_id == request_id for end in side.of_type(EventType.FETCH_END)),
        "not fetched",
    )


@pytest.mark.parametrize("settled_s", [0.0, 60.0])
@pytest.mark.parametrize("back_ms", [30_000, 600_000])
def test_a_fill_of_a_moment_in_which_the_clock_was_set_back_is_found(
    back_ms: int, settled_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill_marks, "SETTLED_S", settled_s)

    async def scenario() -> None:
        with quoted_exchange(1) as exchange:
            async with open_order_side(exchange) as side:
                side.new_order(Side.BUY, enough_lots(side))
                newest_ns = (await side.wait(EventType.FILL)).venue_time_ns
                await fetched(side, 1, newest_ns)
                row = side.instruments[0]
                hand = {"symbol": row.symbol, "side": "BUY", "qty": row.qty_text(enough_lots(side))}
                exchange.fault(kind="drop", account="practice", duration_ms=60_000)
                exchange.fault(kind="time_offset", offset_ms=-back_ms)
                exchange.fault(kind="manual_trade", account="practice", **hand)
                exchange.fault(kind="time_offset", offset_ms=back_ms)
                await fetched(side, 2, newest_ns)
                told = {report.trade_id for report in side.of_type(EventType.FILL)}
                assert {row["id"] for row in exchange.ledger()["trades"]} <= told

    asyncio.run(scenario())
