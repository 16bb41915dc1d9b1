"""The router: the cheapest way that nothing rules out, with a reason where there is none."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.execution.router import (
    Choice,
    Health,
    Refusal,
    Request,
    Route,
    RuledOut,
    Terms,
    Way,
    route,
)

TAKE, REST, HIDDEN = frozenset({Way.TAKE}), frozenset({Way.REST}), frozenset({Way.HIDDEN})
E8 = 100_000_000
TERMS = Terms()
A = Route(
    venue="a",
    health=Health.READY,
    ways=TAKE | REST,
    bid_e8=100 * E8,
    ask_e8=101 * E8,
    bid_lots=50,
    ask_lots=50,
    touch_age_ns=0,
    latency_ns=1_000_000,
    maker_ppm=200,
    taker_ppm=500,
)
B = A._replace(venue="b")
BUY = Request(1, 10)


def chosen(rows: list[Route], request: Request = BUY, terms: Terms = TERMS) -> Choice:
    answer = route(rows, request, terms)
    assert isinstance(answer, Choice), answer
    return answer


def reason(row: Route, request: Request = BUY, terms: Terms = TERMS) -> RuledOut:
    answer = route([row], request, terms)
    assert isinstance(answer, Refusal), answer
    ((venue, why),) = answer.reasons
    assert venue == row.venue
    return why


# -- what decides ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "better",
    [
        B._replace(taker_ppm=400),
        B._replace(ask_e8=A.ask_e8 - 1_000_000),
        B._replace(latency_ns=A.latency_ns - 900_000),
        B._replace(ask_lots=90),
    ],
    ids=["fee", "price", "latency", "liquidity"],
)
def test_the_better_row_is_taken_whatever_the_order_of_the_table(better: Route) -> None:
    terms = TERMS._replace(wait_ppm_per_ms=50)
    request = Request(1, 90, ways=TAKE)
    worse, better = A._replace(impact_ppm=30), better._replace(impact_ppm=30)
    assert chosen([worse, better], request, terms).venue == "b"
    assert chosen([better, worse], request, terms).venue == "b"


def test_of_equals_the_first_row_is_taken() -> None:
    assert chosen([A, B]).venue == "a"
    assert chosen([B, A]).venue == "b"


def test_a_degraded_venue_is_taken_only_where_it_is_cheaper_by_that_much() -> None:
    limping = B._replace(health=Health.DEGRADED, taker_ppm=450)
    assert chosen([A, limping], Request(1, 10, ways=TAKE)).venue == "a"
    assert chosen([A, limping._replace(taker_ppm=390)], Request(1, 10, ways=TAKE)).venue == "b"


FAST = A._replace(traded_lots=10_000)  # what rests is almost sure to be filled
BUY_BID, SELL_ASK = ("a", Way.REST, 100 * E8), ("a", Way.REST, 101 * E8)
BUY_ASK, SELL_BID = ("a", Way.TAKE, 101 * E8), ("a", Way.TAKE, 100 * E8)


@pytest.mark.parametrize(
    "row",
    [
        FAST._replace(traded_lots=0),
        FAST._replace(drift_ppm=20_000),
        FAST._replace(maker_ppm=11_000),
        FAST._replace(bid_lots=10**8, ask_lots=10**8),
    ],
    ids=["nothing trades", "the price runs away", "the fee", "the queue"],
)
def test_whether_it_rests_or_takes_is_what_waiting_is_reckoned_to_lose(row: Route) -> None:
    assert chosen([FAST])[:3] == BUY_BID
    assert chosen([FAST], Request(-1, 10))[:3] == SELL_ASK
    assert chosen([row])[:3] == BUY_ASK
    assert chosen([row], Request(-1, 10))[:3] == SELL_BID


def test_a_narrow_spread_is_not_worth_waiting_for() -> None:
    row = A._replace(traded_lots=60, drift_ppm=500)  # a third of it would be filled
    assert chosen([row]).way is Way.REST
    assert chosen([row._replace(bid_e8=row.ask_e8 - 1)]).way is Way.TAKE


def test_what_nothing_trades_against_costs_resting_what_taking_costs() -> None:
    take, rest = (chosen([A], Request(1, 10, ways=ways)) for ways in (TAKE, REST))
    assert 0 <= rest.all_in_e8 - take.all_in_e8 <= A.bid_e8 // 10**6 + 1, "rounded up"
    assert chosen([A]).other_e8 == rest.all_in_e8
    assert take.other_e8 == 0


def test_an_order_within_the_touch_has_no_impact_and_one_beyond_it_has_its_part() -> None:
    row = A._replace(impact_ppm=1_000, taker_ppm=0)
    costs = [chosen([row], Request(1, lots, ways=TAKE)).all_in_e8 for lots in (1, 50, 75, 150)]
    assert [cost - 101 * E8 for cost in costs] == [0, 0, 101 * E8 // 2_000, 101 * E8 // 500]


RULED_OUT = [
    (A._replace(health=Health.DOWN), RuledOut.DOWN),
    (A._replace(latency_ns=500_000_001), RuledOut.SLOW),
    (A._replace(touch_age_ns=1_000_000_001), RuledOut.STALE),
    (A._replace(bid_e8=0), RuledOut.NO_TOUCH),
    (A._replace(bid_e8=A.ask_e8), RuledOut.NO_TOUCH),
    (A._replace(ask_lots=0), RuledOut.NO_TOUCH),
    (A._replace(least_lots=11), RuledOut.TOO_SMALL),
    (A._replace(ways=HIDDEN), RuledOut.NOT_OFFERED),
]


@pytest.mark.parametrize(("row", "why"), RULED_OUT)
def test_a_row_that_is_ruled_out_says_why_and_another_is_taken(row: Route, why: RuledOut) -> None:
    assert reason(row) is why
    dear = B._replace(taker_ppm=9_000, maker_ppm=9_000)
    assert chosen([row, dear]).venue == "b"


def test_without_any_venue_every_one_says_why_once() -> None:
    rows = [row._replace(venue=str(n)) for n, (row, _) in enumerate(RULED_OUT)]
    answer = route(rows, BUY, TERMS)
    assert answer == Refusal(tuple((str(n), why) for n, (_, why) in enumerate(RULED_OUT)))
    assert route([], BUY, TERMS) == Refusal(())


def test_a_limit_keeps_what_rests_and_refuses_what_would_take() -> None:
    assert reason(A, Request(1, 10, 101 * E8 - 1, TAKE)) is RuledOut.BEYOND_LIMIT
    assert reason(A, Request(-1, 10, 100 * E8 + 1, TAKE)) is RuledOut.BEYOND_LIMIT
    assert chosen([A], Request(1, 10, 99 * E8)).price_e8 == 99 * E8
    assert chosen([A], Request(-1, 10, 102 * E8, REST)).price_e8 == 102 * E8


# -- hidden ----------------------------------------------------------------------------------------


def test_what_must_not_be_seen_goes_where_the_venue_hides_it_else_as_an_iceberg() -> None:
    hides = B._replace(ways=TAKE | HIDDEN, maker_ppm=5_000)
    request = Request(1, 40, display_lots=10)
    assert chosen([A, hides], request)[:2] == ("b", Way.HIDDEN)
    assert chosen([A, hides._replace(health=Health.DOWN)], request)[:2] == ("a", Way.ICEBERG)


def test_a_display_below_the_least_order_is_refused_with_its_reason() -> None:
    row = A._replace(least_lots=11)
    assert reason(row, Request(1, 40, display_lots=10)) is RuledOut.TOO_SMALL
    assert reason(A._replace(ways=TAKE), Request(1, 40, display_lots=10)) is RuledOut.NOT_OFFERED
    hides = row._replace(ways=HIDDEN)
    assert chosen([hides], Request(1, 40, display_lots=10)).way is Way.HIDDEN


# -- a twin that tries everything ------------------------------------------------------------------

ROUTES = st.builds(
    Route,
    venue=st.sampled_from("abcd"),
    health=st.sampled_from(Health),
    ways=st.sets(st.sampled_from([Way.TAKE, Way.REST])).map(frozenset),
    bid_e8=st.integers(0, 1_050),
    ask_e8=st.integers(950, 1_100),
    bid_lots=st.integers(0, 30),
    ask_lots=st.integers(0, 30),
    touch_age_ns=st.sampled_from([0, 2 * 10**9]),
    latency_ns=st.integers(0, 600_000_000),
    maker_ppm=st.integers(-50_000, 50_000),
    taker_ppm=st.integers(0, 50_000),
    impact_ppm=st.integers(0, 20_000),
    traded_lots=st.integers(0, 100),
    drift_ppm=st.integers(0, 20_000),
    least_lots=st.integers(1, 5),
)
REQUESTS = st.builds(
    Request,
    side=st.sampled_from([-1, 1]),
    qty_lots=st.integers(1, 60),
    limit_e8=st.sampled_from([0, 0, 1_000, 1_020]),
    ways=st.just(TAKE | REST),
    display_lots=st.just(0),
)
TERM_ROWS = st.builds(
    Terms,
    wait_ppm_per_ms=st.integers(0, 200),
    degraded_ppm=st.integers(0, 50_000),
    latency_ns_max=st.just(500_000_000),
    touch_age_ns_max=st.just(10**9),
)


def prices(row: Route, request: Request, terms: Terms) -> dict[Way, Fraction]:
    """Return what each way costs at a row, exactly; nothing where it is ruled out."""
    usable = row.health is not Health.DOWN and row.latency_ns <= terms.latency_ns_max
    usable &= row.touch_age_ns <= terms.touch_age_ns_max and 0 < row.bid_e8 < row.ask_e8
    usable &= row.bid_lots > 0 and row.ask_lots > 0 and request.qty_lots >= row.least_lots
    if not usable:
        return {}
    extra = terms.wait_ppm_per_ms * row.latency_ns // 1_000_000
    extra += terms.degraded_ppm * (row.health is Health.DEGRADED)
    ask, bid = (row.ask_e8, row.ask_lots), (row.bid_e8, row.bid_lots)
    (far, lots), (near, queue) = (ask, bid) if request.side > 0 else (bid, ask)
    found = {}
    limit = request.limit_e8
    beyond = row.impact_ppm * max(request.qty_lots - lots, 0) // lots
    if Way.TAKE in row.ways and (not limit or far * request.side <= limit * request.side):
        found[Way.TAKE] = far * (request.side + Fraction(extra + row.taker_ppm + beyond, 10**6))
    if Way.REST in row.ways:
        price = min(near * request.side, limit * request.side) * request.side if limit else near
        ahead, comes = queue + request.qty_lots, row.traded_lots // 2
        taken = far * (request.side + Fraction(row.taker_ppm + beyond, 10**6))
        saved = ceil(
            (taken - near * (request.side + Fraction(row.maker_ppm, 10**6))) * 10**6 / near
        )
        missed = ceil(Fraction(max(saved, 0) * ahead, ahead + comes))
        lost = Fraction(extra + row.maker_ppm + row.drift_ppm + missed, 10**6)
        found[Way.REST] = price * (request.side + lost)
    return found


@given(st.lists(ROUTES, max_size=6), REQUESTS, TERM_ROWS)
def test_nothing_that_is_not_ruled_out_is_cheaper(
    rows: list[Route], request: Request, terms: Terms
) -> None:
    rows = [row._replace(venue=f"{row.venue}{n}") for n, row in enumerate(rows)]
    every = {row.venue: prices(row, request, terms) for row in rows}
    answer = route(rows, request, terms)
    if isinstance(answer, Refusal):
        assert not any(every.values())
        assert {venue for venue, _ in answer.reasons} == set(every)
    else:
        cheapest = min(cost for ways in every.values() for cost in ways.values())
        assert every[answer.venue][answer.way] - cheapest < 1, "rounded down to 1e-8"
        assert answer.all_in_e8 <= cheapest
