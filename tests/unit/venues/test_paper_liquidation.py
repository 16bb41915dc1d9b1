"""A paper account is liquidated as the venue does it, and never before its margin is spent."""

from __future__ import annotations

import asyncio
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.codes import EventType, Liquidity, OrderStatus, RecordType, Side
from engine.venues.order_records import Report
from engine.venues.paper.account import PaperAccount, worth_parts
from engine.venues.paper.margin import MarginWatch
from tests.builders import START_VENUE_NS, make_instrument, make_record
from tests.order_side import open_order_side, quoted_exchange
from tests.paper_rig import ASK, BID, E8, Paper
from tests.unit.venues.test_orders_on_exchange import enough_lots

LATER_NS = START_VENUE_NS + 3_600_000_000_000
TICKS_PER_UNIT = 10  # of the instruments here: a tick is a tenth, a lot a thousandth
LOTS_PER_UNIT = 1_000
SAID_ALIKE = ("event_type", "strategy_index", "order_sequence", "epoch_low", "side")
SAID_ALIKE_TOO = ("order_type", "order_status", "liquidity", "last_qty_lots", "cum_qty_lots")


def mark(price_e8: int, index: int = 0) -> np.ndarray:
    return make_record(
        RecordType.MARK,
        instrument_index=index,
        mark_price_e8=price_e8,
        index_price_e8=price_e8,
        next_funding_time_ns=LATER_NS,
    )


def closing(paper: Paper) -> list[Report]:
    return [fill for fill in paper.of(EventType.FILL) if fill.order_sequence == 0]


def held(wallet: int, lots: int, side: Side = Side.BUY) -> Paper:
    """Return an account that holds so much at the quote's price, taken at once."""
    paper = Paper(wallet_e8=wallet * E8, taker_fee_ppm=0)
    paper.quote(qty=lots)
    paper.new(side, lots)
    assert abs(paper.orders.account.position(0).lots) == lots
    return paper


def test_a_long_position_is_closed_when_equity_meets_maintenance_and_not_before() -> None:
    # One unit at 6,000.1 on a wallet of 600: equity p - 5400.1 meets 0.025 p at 5,538.56...
    paper = held(600, LOTS_PER_UNIT)
    paper.market(mark(5_538_57_000_000))
    assert closing(paper) == []
    paper.market(mark(5_538_56_000_000))
    (fill,) = closing(paper)
    assert (fill.side, fill.last_qty_lots) == (Side.SELL, LOTS_PER_UNIT)
    assert fill.last_price_ticks == 55_385, "the mark, rounded down to a tick"
    assert paper.orders.account.position(0).lots == 0
    assert paper.orders.account.wallet_e8 == (600_0 + 55_385 - ASK) * E8 // TICKS_PER_UNIT


def test_a_short_position_is_closed_by_a_rising_mark() -> None:
    paper = held(600, LOTS_PER_UNIT, Side.SELL)
    paper.market(mark(6_438 * E8))
    assert closing(paper) == []
    paper.market(mark(6_440 * E8))
    (fill,) = closing(paper)
    assert (fill.side, fill.last_price_ticks) == (Side.BUY, 64_400)


def test_resting_orders_go_first_and_nothing_is_left() -> None:
    paper = held(600, LOTS_PER_UNIT)
    paper.new(Side.BUY, 5, BID - 10)
    paper.new(Side.SELL, 5, ASK + 10)
    first = len(paper.said)
    paper.market(mark(5_000 * E8))
    kinds = [(said.event_type, said.order_status) for said in paper.said[first:]]
    cancelled = (EventType.ORDER_UPDATE, OrderStatus.CANCELED)
    assert kinds == [cancelled, cancelled, (EventType.FILL, OrderStatus.FILLED)]
    paper.ask(EventType.COMMAND_FETCH, instrument_index=-1)
    told = {said.event_type for said in paper.said[first + 3 :]}
    assert not told & {EventType.VENUE_POSITION, EventType.VENUE_ORDER}
    assert paper.of(EventType.FILL)[-1] == closing(paper)[0], "a picture repeats the fill"


def test_every_position_is_closed_once() -> None:
    paper = Paper(wallet_e8=600 * E8)
    for index in (0, 1):
        paper.quote(qty=LOTS_PER_UNIT, index=index)
        paper.new(Side.BUY, LOTS_PER_UNIT // 2, instrument_index=index)
    paper.market(mark(5_000 * E8))
    assert closing(paper) == [], "of one position nothing is known yet"
    paper.market(mark(5_000 * E8, 1))
    assert sorted(fill.instrument_index for fill in closing(paper)) == [0, 1]
    assert len({fill.trade_id for fill in closing(paper)}) == 2
    paper.market(mark(4_000 * E8), mark(4_000 * E8, 1))
    assert len(closing(paper)) == 2, "a flat account has nothing to close"


def test_an_account_without_positions_is_left_alone() -> None:
    paper = Paper(wallet_e8=0)
    paper.quote()
    paper.new(Side.BUY, 1, BID - 10)
    paper.market(mark(1 * E8))
    assert paper.last_status() == OrderStatus.NEW


def test_a_mark_that_is_no_price_says_nothing() -> None:
    paper = held(600, LOTS_PER_UNIT)
    paper.market(mark(0))
    assert closing(paper) == []


@pytest.mark.parametrize("bps", [0, 40, 250])
def test_the_ratio_is_the_configured_one(bps: int) -> None:
    paper = Paper(wallet_e8=600 * E8, taker_fee_ppm=0, maintenance_ppm=bps * 100)
    paper.quote(qty=LOTS_PER_UNIT)
    paper.new(Side.BUY, LOTS_PER_UNIT)
    exact = (Fraction(ASK, TICKS_PER_UNIT) - 600) / (1 - Fraction(bps, 10_000))
    for step_e8, count in ((1_000, 0), (-1_000, 1)):
        paper.market(mark(int(exact * E8) + step_e8))
        assert len(closing(paper)) == count


positions = st.lists(
    st.tuples(st.integers(-5_000, 5_000), st.integers(1, 10**12), st.integers(1, 10**12)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=300)
@given(positions, st.integers(-(10**13), 10**13), st.integers(0, 1_000_000))
def test_margin_is_spent_exactly_where_fractions_say_so(
    rows: list[tuple[int, int, int]], wallet_e8: int, ratio_ppm: int
) -> None:
    instruments = [make_instrument(f"T{k}USDT", instrument_index=k) for k in range(len(rows))]
    account, watch = PaperAccount(instruments, wallet_e8), MarginWatch(instruments, ratio_ppm)
    equity, maintenance = Fraction(wallet_e8), Fraction(0)
    for index, (lots, cost_e8, mark_e8) in enumerate(rows):
        position = account.position(index)
        position.lots, position.cost_e8 = lots, cost_e8 if lots > 0 else -cost_e8
        watch.see(index, mark_e8)
        if lots:
            worth = Fraction(lots, LOTS_PER_UNIT) * mark_e8
            assert Fraction(*worth_parts(instruments[index], lots, mark_e8)) == worth
            equity += worth - position.cost_e8
            maintenance += abs(worth) * Fraction(ratio_ppm, 1_000_000)
    found = watch.is_spent(account)
    if not any(lots for lots, _, _ in rows):
        assert not found
    elif abs(equity - maintenance) > 2 * len(rows):  # each is rounded to 1e-8
        assert found == (equity <= maintenance)


def test_it_is_told_as_the_practice_exchange_tells_its_own() -> None:
    async def told_by_exchange() -> Report:
        with quoted_exchange(1) as exchange:
            async with open_order_side(exchange) as side:
                side.new_order(Side.BUY, enough_lots(side))
                await side.wait(EventType.FILL)
                exchange.fault(kind="liquidation", account="practice")
                await side.wait_until(lambda: len(side.of_type(EventType.FILL)) > 1, "no fill")
                return side.of_type(EventType.FILL)[-1]

    theirs = asyncio.run(told_by_exchange())
    paper = held(600, theirs.last_qty_lots)
    paper.orders.account.wallet_e8 = 0
    paper.market(mark(1_000 * E8))
    (ours,) = closing(paper)
    for name in (*SAID_ALIKE, *SAID_ALIKE_TOO):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.text.partition("-")[0] == theirs.text.partition("-")[0] == "autoclose"
    assert ours.liquidity == Liquidity.TAKER
    assert ours.text == f"autoclose-{ours.venue_order_id}"
