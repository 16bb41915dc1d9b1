"""The paper account: what is filled, at what price and fee, and what the kernel hears of it."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from engine.domain.codes import (
    EVENT_POST_ONLY,
    EVENT_REDUCE_ONLY,
    Channel,
    EventType,
    Liquidity,
    Liveness,
    OrderStatus,
    OrderType,
    RecordType,
    Side,
    TimeInForce,
)
from engine.domain.desk import STRATEGY_NET
from engine.domain.records import MARKET_DTYPE
from engine.venues.order_records import Command, LocalReason
from engine.venues.paper import order as paper_order
from engine.venues.paper.latency import SAMPLES_MIN
from engine.venues.paper.orders import CODE_ABSENT, CODE_CANCEL_ABSENT
from tests.builders import (
    make_level,
    make_quote,
)
from tests.desk_rig import make_event
from tests.paper_rig import ASK, BID, WALLET_E8, Paper


@pytest.fixture
def paper() -> Paper:
    return Paper()


def test_nothing_happens_before_the_latency_has_passed(paper: Paper) -> None:
    paper.quote()
    words: dict[str, Any] = dict.fromkeys(Command._fields, 0) | {
        "client_order_id": "",
        "epoch_low": 1,
    }
    order = {"event_type": EventType.COMMAND_NEW, "order_sequence": 1, "side": 1, "qty_lots": 1}
    paper.orders.submit(Command(**(words | order | {"order_type": OrderType.MARKET})))
    due_ns = paper.orders._due[0][0]
    paper.orders.advance(due_ns - 1)
    assert [report.event_type for report in paper.said] == [EventType.ORDER_SENT]
    assert paper.orders.in_flight_count == 1
    paper.orders.advance(due_ns)
    assert paper.fills() == [(ASK, 1)]
    assert paper.orders.in_flight_count == 0


def test_a_market_order_takes_the_quote_then_the_levels_behind_it(paper: Paper) -> None:
    paper.market(
        make_level(ASK - 1, 99, bid=False, first_of_snapshot=True),  # the quote knows better
        make_level(ASK, 99, bid=False),  # the same
        make_level(ASK + 3, 5, bid=False),
        make_level(ASK + 1, 4, bid=False),
        make_level(BID, 99, bid=True),
    )
    paper.quote(qty=10)
    paper.new(Side.BUY, 17)
    assert paper.fills() == [(ASK, 10), (ASK + 1, 4), (ASK + 3, 3)]
    assert [r.order_status for r in paper.of(EventType.FILL)] == [
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.FILLED,
    ]
    assert [r.cum_qty_lots for r in paper.of(EventType.FILL)] == [10, 14, 17]


def test_what_was_taken_is_gone_until_the_market_says_otherwise(paper: Paper) -> None:
    paper.quote(qty=10)
    paper.new(Side.BUY, 10)
    paper.new(Side.BUY, 1)
    assert paper.fills() == [(ASK, 10)]
    assert paper.last_status() == OrderStatus.EXPIRED
    paper.quote(qty=10)
    paper.new(Side.BUY, 1)
    assert paper.fills() == [(ASK, 10), (ASK, 1)]


def test_fees_are_taken_from_the_wallet_and_differ_by_liquidity(paper: Paper) -> None:
    paper.quote()
    unit_e8 = paper.instruments[0].unit_e8
    paper.new(Side.BUY, 4)
    taker = paper.of(EventType.FILL)[-1]
    assert taker.liquidity == Liquidity.TAKER
    assert taker.fee_e8 == ASK * 4 * unit_e8 * 500 // 1_000_000
    paper.new(Side.SELL, 4, ASK + 5)
    paper.quote(bid=ASK + 6, ask=ASK + 7)
    maker = paper.of(EventType.FILL)[-1]
    assert maker.liquidity == Liquidity.MAKER
    assert maker.fee_e8 == (ASK + 5) * 4 * unit_e8 * 200 // 1_000_000
    assert maker.venue_realised_pnl_e8 == 5 * 4 * unit_e8
    wallet_e8 = WALLET_E8 + 5 * 4 * unit_e8 - taker.fee_e8 - maker.fee_e8
    assert paper.orders.account.wallet_e8 == wallet_e8


def test_a_limit_that_crosses_takes_to_its_price_and_rests_with_the_remainder(
    paper: Paper,
) -> None:
    paper.market(make_level(ASK + 1, 50, bid=False))
    paper.quote(qty=10)
    paper.new(Side.BUY, 15, ASK)
    assert paper.fills() == [(ASK, 10)]
    assert paper.last_status() == OrderStatus.PARTIALLY_FILLED
    paper.quote(bid=ASK - 3, ask=ASK - 1)
    assert paper.fills() == [(ASK, 10), (ASK, 5)]


@pytest.mark.parametrize(
    ("time_in_force", "filled"), [(TimeInForce.IOC, [(ASK, 10)]), (TimeInForce.FOK, [])]
)
def test_the_rest_of_an_immediate_order_expires(
    paper: Paper, time_in_force: TimeInForce, filled: list[tuple[int, int]]
) -> None:
    paper.quote(qty=10)
    paper.new(Side.BUY, 11, ASK + 5, time_in_force=time_in_force)
    assert paper.fills() == filled
    assert paper.last_status() == OrderStatus.EXPIRED
    assert paper.said[-1].cum_qty_lots == sum(qty for _, qty in filled)


def test_a_post_only_order_that_would_take_expires(paper: Paper) -> None:
    paper.quote()
    paper.new(Side.BUY, 1, ASK, flags=EVENT_POST_ONLY)
    assert (paper.fills(), paper.last_status()) == ([], OrderStatus.EXPIRED)


def test_reduce_only_reduces_at_most_what_there_is(paper: Paper) -> None:
    paper.quote()
    paper.new(Side.SELL, 1, flags=EVENT_REDUCE_ONLY)
    assert paper.last_status() == OrderStatus.REJECTED
    assert paper.said[-1].reason == LocalReason.NOTHING_TO_REDUCE
    paper.new(Side.BUY, 3)
    paper.new(Side.SELL, 5, flags=EVENT_REDUCE_ONLY)
    assert paper.fills() == [(ASK, 3), (BID, 3)]
    assert paper.last_status() == OrderStatus.EXPIRED
    assert paper.orders.account.position(0).lots == 0


@pytest.mark.parametrize("kind", [OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET])
def test_a_conditional_order_is_refused_and_never_filled_as_a_limit(
    paper: Paper, kind: OrderType
) -> None:
    paper.quote()
    paper.new(Side.BUY, 2)
    paper.new(Side.SELL, 2, BID - 5, flags=EVENT_REDUCE_ONLY, order_type=kind)
    assert paper.last_status() == OrderStatus.REJECTED
    assert paper.said[-1].reason == LocalReason.UNSUPPORTED
    assert paper.orders.account.position(0).lots == 2


def test_a_resting_reduce_only_order_never_turns_the_position(paper: Paper) -> None:
    paper.quote()
    paper.new(Side.BUY, 3)
    paper.new(Side.SELL, 5, ASK + 2, flags=EVENT_REDUCE_ONLY)
    paper.quote(bid=ASK + 3, ask=ASK + 4)
    assert paper.fills() == [(ASK, 3), (ASK + 2, 3)]
    assert paper.last_status() == OrderStatus.PARTIALLY_FILLED
    paper.quote(bid=ASK + 3, ask=ASK + 4)
    assert paper.last_status() == OrderStatus.EXPIRED
    assert (paper.fills()[-1], paper.orders.account.position(0).lots) == ((ASK + 2, 3), 0)


def test_without_a_live_quote_nothing_is_filled(paper: Paper) -> None:
    paper.new(Side.BUY, 1)
    assert paper.said[-1].reason == LocalReason.NO_MARKET
    paper.quote()
    stale = np.zeros(1, dtype=MARKET_DTYPE)
    stale["record_type"] = RecordType.LIVENESS
    stale["aux"] = Channel.QUOTE
    stale["liveness"] = Liveness.STALE
    paper.market(stale)
    paper.new(Side.BUY, 1)
    assert paper.said[-1].reason == LocalReason.NO_MARKET
    paper.quote()
    paper.new(Side.BUY, 1)
    assert paper.fills() == [(ASK, 1)]


def test_lost_records_forget_the_levels(paper: Paper) -> None:
    paper.market(make_level(ASK + 1, 50, bid=False))
    paper.quote(qty=1)
    paper.market(make_quote(BID, ASK, 1, 1), lost=True)
    paper.new(Side.BUY, 2)
    assert paper.fills() == [(ASK, 1)]


def test_cancel_closes_what_rests_and_is_refused_for_what_does_not(paper: Paper) -> None:
    paper.quote()
    number = paper.new(Side.BUY, 3, BID - 5)
    paper.cancel(number)
    assert paper.last_status() == OrderStatus.CANCELED
    paper.cancel(number)
    assert paper.said[-2].event_type == EventType.CANCEL_REJECTED
    assert paper.said[-2].reason == CODE_CANCEL_ABSENT
    assert paper.last_status() == OrderStatus.CANCELED
    paper.cancel(77)
    assert (paper.last_status(), paper.said[-1].reason) == (OrderStatus.NONE, CODE_ABSENT)


def test_cancel_all_closes_one_instrument_or_every_one(paper: Paper) -> None:
    for index in (0, 1, 1):
        paper.quote(index=index)
        paper.new(Side.BUY, 1, BID - 5, instrument_index=index)
    paper.ask(EventType.COMMAND_CANCEL_ALL, instrument_index=1)
    canceled = [r for r in paper.said if r.order_status == OrderStatus.CANCELED]
    assert [r.instrument_index for r in canceled] == [1, 1]
    paper.ask(EventType.COMMAND_CANCEL_ALL, instrument_index=-1)
    assert paper.said[-1].instrument_index == 0


def test_a_fetch_tells_orders_positions_wallet_and_fills_between_its_ends(paper: Paper) -> None:
    paper.quote()
    paper.new(Side.BUY, 3)
    paper.new(Side.SELL, 2, ASK + 9)
    paper.said.clear()
    paper.ask(EventType.COMMAND_FETCH, instrument_index=-1, request_id=9)
    assert [report.event_type for report in paper.said] == [
        EventType.FETCH_BEGIN,
        EventType.VENUE_ORDER,
        EventType.VENUE_POSITION,
        EventType.VENUE_BALANCE,
        EventType.FILL,
        EventType.FETCH_END,
    ]
    assert {report.request_id for report in paper.said} == {9}
    assert paper.said[2].position_lots == 3
    assert paper.said[3].word_0 == paper.orders.account.wallet_e8


def test_a_query_repeats_the_order_and_its_fills_under_their_numbers(paper: Paper) -> None:
    paper.quote()
    number = paper.new(Side.BUY, 3)
    first = paper.of(EventType.FILL)[0]
    paper.ask(EventType.COMMAND_FETCH, number)
    assert paper.of(EventType.FILL)[1] == first
    assert paper.last_status() == OrderStatus.FILLED


def test_numbers_never_repeat_and_stay_below_the_kernels_bound(paper: Paper) -> None:
    account = paper.orders.account
    numbers = [account.next_id(1_700_000_000_000) for _ in range(500)]
    assert sorted(set(numbers)) == numbers
    account.keep_above(numbers[-1] + 50)
    assert account.next_id(0) == numbers[-1] + 51
    assert account.next_id(4_000_000_000_000) < 2**49, "in the year 2096"


def test_a_restart_goes_on_with_wallet_position_and_resting_order() -> None:
    before = Paper()
    before.quote()
    before.new(Side.BUY, 3)
    resting = before.new(Side.SELL, 2, ASK + 9)
    account = before.orders.account
    order = before.orders._orders[1, resting]
    records = [
        make_event(EventType.RESTORE_LIMITS, qty_lots=1, cash_e8=account.wallet_e8),
        make_event(
            EventType.RESTORE_POSITION,
            instrument_index=0,
            strategy_index=STRATEGY_NET,
            position_lots=3,
            position_cost_e8=account.position(0).cost_e8,
        ),
        make_event(
            EventType.RESTORE_ORDER,
            instrument_index=0,
            side=-1,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.GTC,
            order_status=OrderStatus.NEW,
            order_sequence=resting,
            epoch_low=1,
            price_ticks=ASK + 9,
            qty_lots=2,
            venue_order_id=order.venue_order_id,
        ),
        make_event(EventType.RESTORE_END),
    ]
    after = Paper(epoch=2, wallet_e8=1)
    after.orders.restore([record.tobytes() for record in records])
    after.ask(EventType.COMMAND_FETCH, instrument_index=-1)
    told = {report.event_type: report for report in after.said}
    assert told[EventType.VENUE_POSITION].position_cost_e8 == account.position(0).cost_e8
    assert told[EventType.VENUE_BALANCE].word_0 == account.wallet_e8
    assert told[EventType.VENUE_ORDER].text.startswith("a1-"), "named under its own epoch"
    after.quote(bid=ASK + 10, ask=ASK + 11)
    assert after.fills() == [(ASK + 9, 2)]
    assert after.orders.account.position(0).lots == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"venue_order_id": 0},  # was never accepted
        {"order_status": OrderStatus.CANCELED},
        {"order_type": OrderType.MARKET},
        {"time_in_force": TimeInForce.IOC},
    ],
)
def test_what_never_rested_is_not_restored(paper: Paper, changes: dict[str, int]) -> None:
    words = {
        "instrument_index": 0,
        "side": 1,
        "order_type": OrderType.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "order_status": OrderStatus.NEW,
        "venue_order_id": 5,
        "qty_lots": 1,
        "price_ticks": BID,
    }
    record = make_event(EventType.RESTORE_ORDER, **(words | changes))
    paper.orders.restore([record.tobytes()])
    assert list(paper.orders._resting) == []


def test_the_kernels_number_of_the_net_column_is_ours() -> None:
    assert paper_order.STRATEGY_NET == STRATEGY_NET


def test_opening_learns_the_clock_and_tells_it(paper: Paper) -> None:
    asyncio.run(paper.orders.open())
    assert len(paper.orders._latency._samples) >= SAMPLES_MIN, "the line is measured"
    assert [report.event_type for report in paper.said] == [EventType.VENUE_CLOCK]
    assert paper.said[0].venue_time_ns == 1_700_000_000_000_000_000


def test_closing_forgets_what_was_not_accepted_and_lets_the_market_go(paper: Paper) -> None:
    words: dict[str, Any] = dict.fromkeys(Command._fields, 0) | {"client_order_id": ""}
    paper.orders.submit(Command(**(words | {"event_type": EventType.COMMAND_NEW})))
    asyncio.run(paper.orders.close())
    assert paper.orders.in_flight_count == 0
    assert paper.is_closed
