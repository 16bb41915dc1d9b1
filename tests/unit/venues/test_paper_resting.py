"""Resting paper orders, funding and latency: what fills, who pays, how late."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import (
    EVENT_POST_ONLY,
    EventType,
    Liquidity,
    OrderStatus,
    RecordType,
    Side,
)
from engine.venues.order_records import Command
from engine.venues.paper.funding import Funding, payment_e8
from engine.venues.paper.latency import SAMPLES_MAX, SAMPLES_MIN, LineLatency
from engine.venues.paper.queue import LATE_NS, QueueModel
from tests.builders import (
    START_VENUE_NS,
    make_instrument,
    make_level,
    make_record,
    make_trade,
)
from tests.paper_rig import ASK, BID, E8, LATENCY_NS, Paper


@pytest.fixture
def paper() -> Paper:
    return Paper()


def test_a_resting_order_is_filled_by_a_quote_through_its_price(paper: Paper) -> None:
    paper.quote()
    paper.new(Side.BUY, 3, BID)
    paper.quote(bid=BID - 1, ask=BID)
    assert paper.fills() == [], "at its price nobody has to have sold to it"
    paper.quote(bid=BID - 2, ask=BID - 1)
    assert paper.fills() == [(BID, 3)]
    assert paper.last_status() == OrderStatus.FILLED


def test_what_is_offered_beyond_fills_one_order_alone(paper: Paper) -> None:
    paper.quote()
    paper.new(Side.BUY, 6, BID)
    paper.new(Side.BUY, 6, BID)
    paper.quote(bid=BID - 3, ask=BID - 2, qty=8)
    assert paper.fills() == [(BID, 6), (BID, 2)]
    paper.quote(bid=BID - 3, ask=BID - 2, qty=8)
    assert paper.fills()[2:] == [(BID, 4)]


def test_a_sell_rests_until_somebody_pays_more(paper: Paper) -> None:
    paper.quote()
    paper.new(Side.SELL, 2, ASK)
    paper.quote(bid=ASK, ask=ASK + 1)
    assert paper.fills() == []
    paper.quote(bid=ASK + 1, ask=ASK + 2)
    assert paper.fills() == [(ASK, 2)]


def test_an_amended_order_rests_at_its_new_price_behind_what_is_displayed(paper: Paper) -> None:
    paper.quote()
    number = paper.new(Side.BUY, 3, BID - 5)
    paper.amend(number, 3, BID)
    assert paper.last_status() == OrderStatus.NEW
    assert paper.said[-1].price_ticks == BID
    paper.quote(bid=BID - 2, ask=BID - 1)
    assert paper.fills() == [(BID, 3)]


def test_an_amendment_fills_at_once_where_it_crosses_and_ends_what_must_not(paper: Paper) -> None:
    paper.quote()
    taking = paper.new(Side.BUY, 3, BID)
    making = paper.new(Side.BUY, 3, BID, flags=EVENT_POST_ONLY)
    paper.amend(taking, 3, ASK)
    assert paper.fills() == [(ASK, 3)]
    paper.amend(making, 3, ASK)
    assert paper.last_status() == OrderStatus.EXPIRED
    paper.amend(making, 3, BID)
    refused, _known = paper.said[-2:]
    assert refused.event_type == EventType.CANCEL_REJECTED, "it is over"


def test_at_its_price_an_order_waits_for_what_was_displayed_before_it(paper: Paper) -> None:
    paper.quote(qty=10)
    paper.new(Side.BUY, 5, BID)
    paper.market(make_trade(BID, 8, buy=True))
    paper.market(make_trade(BID, 8, buy=False, instrument_index=1))
    assert paper.fills() == [], "bought, or another instrument"
    paper.market(make_trade(BID, 8, buy=False))
    assert paper.fills() == []
    paper.market(make_trade(BID, 4, buy=False))
    assert paper.fills() == [(BID, 2)]
    assert paper.last_status() == OrderStatus.PARTIALLY_FILLED
    paper.market(make_trade(BID, 40, buy=False))
    assert paper.fills() == [(BID, 2), (BID, 3)]
    assert paper.of(EventType.FILL)[-1].liquidity == Liquidity.MAKER


def test_a_trade_through_the_price_fills_no_more_than_traded(paper: Paper) -> None:
    paper.quote(qty=1_000)
    paper.new(Side.BUY, 3, BID)
    paper.market(make_trade(BID - 1, 1, buy=False))
    assert paper.fills() == [(BID, 1)]
    paper.market(make_trade(BID, 1, buy=False))
    assert paper.fills() == [(BID, 1), (BID, 1)], "nobody is ahead any more"


def test_one_trade_fills_the_better_price_first_then_the_older_order(paper: Paper) -> None:
    paper.quote(bid=BID - 2, qty=0)
    paper.new(Side.BUY, 4, BID - 1)
    paper.new(Side.BUY, 4, BID - 1)
    paper.new(Side.BUY, 4, BID)
    paper.market(make_trade(BID - 1, 9, buy=False))
    assert paper.fills() == [(BID, 4), (BID - 1, 4), (BID - 1, 1)]
    numbers = [report.order_sequence for report in paper.of(EventType.FILL)]
    assert numbers == [3, 1, 2]


def test_a_smaller_display_proves_that_fewer_are_ahead(paper: Paper) -> None:
    paper.quote(qty=100)
    paper.new(Side.BUY, 5, BID)
    paper.quote(qty=2)
    paper.market(make_trade(BID, 3, buy=False))
    assert paper.fills() == [(BID, 1)]


def test_levels_behind_the_best_move_the_queue_too(paper: Paper) -> None:
    levels = [make_level(BID - k, 50, bid=True) for k in (1, 2, 3)]
    paper.market(*levels)
    paper.quote()
    paper.new(Side.BUY, 5, BID - 2)
    paper.market(make_level(BID - 2, 4, bid=True))
    paper.quote(bid=BID - 2, qty=4)
    paper.market(make_trade(BID - 2, 6, buy=False))
    assert paper.fills() == [(BID - 2, 2)]


def test_a_level_that_leaves_what_is_told_proves_nothing(paper: Paper) -> None:
    paper.market(*(make_level(BID - k, 50, bid=True) for k in (1, 2, 3)))
    paper.quote()
    paper.new(Side.BUY, 5, BID - 3)
    paper.market(make_level(BID - 3, 0, bid=True))
    paper.market(make_trade(BID - 3, 49, buy=False))
    assert paper.fills() == []


def test_shares_come_earlier_where_others_cancel() -> None:
    fills = {}
    for model in QueueModel:
        paper = Paper(queue=model)
        paper.quote(qty=100)
        paper.new(Side.BUY, 5, BID)
        paper.quote(qty=200)
        paper.quote(qty=120)  # 80 of 200 cancelled: 40 of the hundred, if evenly
        paper.venue_ns += LATE_NS
        paper.quote(qty=120)
        paper.market(make_trade(BID, 62, buy=False))
        fills[model] = paper.fills()
    assert fills == {QueueModel.TRADES: [], QueueModel.SHARE: [(BID, 2)]}


# Funding and latency


NEXT_NS = START_VENUE_NS + 3_600_000_000_000
HOURS_8_NS = 8 * 3_600_000_000_000


def mark(price_e8: int, rate_e8: int, next_ns: int, index: int = 0) -> np.ndarray:
    return make_record(
        RecordType.MARK,
        instrument_index=index,
        mark_price_e8=price_e8,
        index_price_e8=price_e8,
        funding_rate_e8=rate_e8,
        next_funding_time_ns=next_ns,
    )


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_funding_is_paid_once_by_the_last_rate_on_the_first_mark_after_it(side: Side) -> None:
    paper = Paper()
    paper.quote()
    paper.new(side, 4)
    wallet_e8 = paper.orders.account.wallet_e8
    paper.market(mark(6_000 * E8, 50_000, NEXT_NS), mark(6_000 * E8, 10_000, NEXT_NS))
    assert paper.of(EventType.FUNDING) == []
    paper.market(mark(6_010 * E8, 77_000, NEXT_NS + HOURS_8_NS))
    paper.market(mark(6_020 * E8, 77_000, NEXT_NS + HOURS_8_NS))
    (paid,) = paper.of(EventType.FUNDING)
    exact = -side * 4 * 6_010 * E8 * 10_000 // (1_000 * E8)  # four thousandths of a coin
    assert paid.venue_realised_pnl_e8 == exact
    assert (paid.venue_time_ns, paid.instrument_index) == (NEXT_NS, 0)
    assert paper.orders.account.wallet_e8 == wallet_e8 + exact
    paper.ask(EventType.COMMAND_FETCH, instrument_index=-1)
    assert paper.of(EventType.FUNDING) == [paid, paid], "a picture repeats it under its number"


def test_without_a_position_nobody_pays(paper: Paper) -> None:
    paper.quote()
    paper.market(mark(6_000 * E8, 50_000, NEXT_NS), mark(6_000 * E8, 0, NEXT_NS + HOURS_8_NS))
    assert paper.of(EventType.FUNDING) == []


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**14), st.integers(-(10**7), 10**7))
def test_a_payment_is_the_nearest_amount_against_the_account(
    lots: int, mark_price_e8: int, rate_e8: int
) -> None:
    instruments = [make_instrument()]
    paid = payment_e8(Funding(0, 0, mark_price_e8, rate_e8), lots, instruments)
    exact = -Fraction(lots, 1000) * mark_price_e8 * Fraction(rate_e8, E8)
    assert paid <= exact < paid + 1


def test_before_there_are_enough_samples_the_fixed_time_holds() -> None:
    line = LineLatency(LATENCY_NS, is_measured=True, seed=1)
    for _ in range(SAMPLES_MIN - 1):
        line.note(5)
    assert line.draw_ns() == LATENCY_NS
    line.note(5)
    assert line.draw_ns() == 5


def test_draws_are_the_measured_distribution_and_repeat_by_seed() -> None:
    draws = []
    for seed in (1, 1, 2):
        line = LineLatency(LATENCY_NS, is_measured=True, seed=seed)
        for number in range(100):
            line.note(number)
        draws.append([line.draw_ns() for _ in range(2_000)])
    assert draws[0] == draws[1] != draws[2]
    assert set(draws[0]) == set(range(100))
    assert abs(sum(draws[0]) / 2_000 - 49.5) < 3
    fixed = LineLatency(LATENCY_NS, is_measured=False, seed=1)
    for number in range(100):
        fixed.note(number)
    assert fixed.draw_ns() == LATENCY_NS


def test_only_the_latest_samples_count() -> None:
    line = LineLatency(LATENCY_NS, is_measured=True, seed=1)
    for number in range(3 * SAMPLES_MAX):
        line.note(number)
    assert min(line.draw_ns() for _ in range(5_000)) >= 2 * SAMPLES_MAX


def test_no_command_overtakes_another_on_its_way() -> None:
    paper = Paper(is_latency_measured=True)
    for number in range(200):
        paper.orders._latency.note(number * 50_000_000)
    words: dict[str, Any] = dict.fromkeys(Command._fields, 0) | {"client_order_id": ""}
    for number in range(50):
        command = words | {"event_type": EventType.COMMAND_CANCEL, "order_sequence": number}
        paper.orders.submit(Command(**command))
    due_ns = [due for due, _ in paper.orders._due]
    assert due_ns == sorted(due_ns)
    assert len(set(due_ns)) > 1
