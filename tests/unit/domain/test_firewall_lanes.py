"""The brain's firewall beside the poison cases: lanes, runs, times, sequence."""

from collections.abc import Callable

import numpy as np
import pytest

from engine.domain.codes import CONFLATED, Channel
from engine.domain.firewall import TIME_FUTURE_NS, TIME_LEAP_NS, TIME_PAST_NS, check_record
from engine.domain.firewall_lanes import REFERENCE_AGE_NS, RUN_TO_ACCEPT
from engine.domain.firewall_reasons import FirewallReason as R
from engine.domain.market_state import (
    CLOCK_ANCHOR_NS,
    CLOCK_OFFSET_NS,
    CLOCK_RATE_PPB,
    CLOCK_VALID,
    INSTRUMENTS_KNOWN,
    MarketState,
    create_market_state,
)
from engine.domain.market_step import apply_record
from engine.domain.strategy_table import select_rows
from tests.builders import (
    START_RECEIVE_NS,
    START_VENUE_NS,
    S,
    make_bar,
    make_gap,
    make_instruments,
    make_level,
    make_mark,
    make_quote,
    make_trade,
)
from tests.market_runs import arrays_of


@pytest.fixture
def market() -> MarketState:
    return create_market_state(make_instruments(2), select_rows(["quote_imbalance"]))


def feed(market: MarketState, *records: np.ndarray) -> list[R]:
    """Take records one after the other as the brain does; return what the firewall says."""
    answers = []
    for record in records:
        record["sequence"] = market.progress[0] + 1
        answers.append(R(check_record(market, record, 0)))
        if answers[-1] is R.NONE:
            apply_record(market, record, 0)
    return answers


def with_clock(market: MarketState, rate: int = 1) -> None:
    """Give the venue's clock: START_VENUE_NS at START_RECEIVE_NS, running at `rate`."""
    market.progress[CLOCK_VALID] = 1
    market.progress[CLOCK_OFFSET_NS] = START_VENUE_NS - START_RECEIVE_NS
    market.progress[CLOCK_RATE_PPB] = (rate - 1) * 1_000_000_000
    market.progress[CLOCK_ANCHOR_NS] = START_RECEIVE_NS


def quotes(count: int, bid: int, first_id: int = 1) -> list[np.ndarray]:
    return [make_quote(bid, bid + 1, aux=first_id + k) for k in range(count)]


def trades(
    count: int, price: int, first_id: int = 1, receive_time_ns: int = START_RECEIVE_NS
) -> list[np.ndarray]:
    return [
        make_trade(price, trade_id=first_id + k, receive_time_ns=receive_time_ns)
        for k in range(count)
    ]


Lane = Callable[..., list[np.ndarray]]


def test_a_refused_record_changes_no_array_but_counts_and_anchors(market: MarketState) -> None:
    feed(market, *quotes(2, 1_000), *trades(2, 1_000), make_mark())
    before = {name: part.copy() for name, part in arrays_of(market).items()}
    poison = [
        make_quote(1_001, 1_000, aux=9),
        make_quote(5_000, 5_001, aux=10),
        make_trade(0, trade_id=9),
        make_trade(9_000, trade_id=9),
        make_level(-1, 5, bid=True),
        make_bar(high=-9),
        make_mark(0),
    ]
    assert R.NONE not in feed(market, *poison)
    for name, part in arrays_of(market).items():
        if name not in {"progress", "reject_counts", "hot.anchors"}:
            np.testing.assert_array_equal(part, before[name], err_msg=name)


def test_each_refusal_is_counted_under_its_reason(market: MarketState) -> None:
    feed(market, make_trade(0), make_trade(0), make_trade(5, qty=0), make_quote(3, 2))
    assert market.reject_counts[R.PRICE_NOT_POSITIVE] == 2
    assert market.reject_counts[R.QTY_ZERO] == 1
    assert market.reject_counts[R.QUOTE_CROSSED] == 1
    assert market.reject_counts.sum() == 4


def test_a_jump_moves_no_anchor(market: MarketState) -> None:
    feed(market, *quotes(1, 1_000))
    answers = feed(market, make_quote(2_000, 2_001, aux=2), *quotes(1, 1_000, 3))
    assert answers == [R.PRICE_JUMP, R.NONE]


@pytest.mark.parametrize("lane", [quotes, trades])
def test_a_run_of_agreeing_refusals_moves_the_anchor(market: MarketState, lane: Lane) -> None:
    feed(market, *lane(1, 1_000))
    answers = feed(market, *lane(RUN_TO_ACCEPT + 2, 2_000, 2))
    assert answers == [R.PRICE_JUMP] * (RUN_TO_ACCEPT - 1) + [R.NONE] * 3


def test_refusals_that_disagree_never_move_the_anchor(market: MarketState) -> None:
    feed(market, *quotes(1, 1_000))
    prices = [2_000 * (1 + k % 3) for k in range(5 * RUN_TO_ACCEPT)]
    wild = [make_quote(bid, bid + 1, aux=2 + k) for k, bid in enumerate(prices)]
    assert set(feed(market, *wild)) == {R.PRICE_JUMP}
    assert feed(market, *quotes(1, 1_000, 900)) == [R.NONE]


def test_good_records_between_refusals_end_their_run(market: MarketState) -> None:
    feed(market, *quotes(1, 1_000))
    for k in range(3 * RUN_TO_ACCEPT):
        answers = feed(market, *quotes(1, 2_000, 10 + 2 * k), *quotes(1, 1_000, 11 + 2 * k))
        assert answers == [R.PRICE_JUMP, R.NONE]


def test_repeats_of_what_is_past_never_move_the_anchor(market: MarketState) -> None:
    feed(market, *trades(50, 1_000, 100))
    later = [make_trade(1_000, trade_id=200, venue_time_ns=START_VENUE_NS + S)]
    assert feed(market, *later) == [R.NONE]
    lagging = trades(3 * RUN_TO_ACCEPT, 1_000, 101)
    assert set(feed(market, *lagging)) == {R.ID_OUT_OF_ORDER}


def test_one_poisoned_id_does_not_make_the_rest_look_stale(market: MarketState) -> None:
    feed(market, *trades(1, 1_000, 100))
    assert feed(market, make_trade(1_000, trade_id=10**12)) == [R.ID_JUMP]
    assert feed(market, *trades(3, 1_000, 101)) == [R.NONE] * 3


def test_a_poisoned_id_within_the_bound_is_undone_by_a_run(market: MarketState) -> None:
    feed(market, *trades(1, 1_000, 100), make_trade(1_000, trade_id=900_000))
    answers = feed(market, *trades(RUN_TO_ACCEPT + 1, 1_000, 101))
    assert answers[:-2] == [R.ID_OUT_OF_ORDER] * (RUN_TO_ACCEPT - 1)
    assert answers[-2:] == [R.NONE, R.NONE]


def test_a_resynchronisation_drops_what_was_built_on_the_old_anchor(market: MarketState) -> None:
    feed(market, *quotes(3, 1_000), *trades(3, 1_000))
    assert market.forming["trade_count"][0, 0] == 3
    feed(market, *trades(RUN_TO_ACCEPT, 2_000, 10))
    assert market.forming["trade_count"][0, 0] == 1, "only the trade that was taken"
    assert market.forming["low_ticks"][0, 0] == 2_000
    assert market.hot["bid_price_ticks"][0] == 0


def test_lanes_and_instruments_have_their_own_anchors(market: MarketState) -> None:
    feed(market, *quotes(1, 1_000), *trades(1, 1_000))
    other = [make_quote(9_000, 9_001, aux=1, instrument_index=1)]
    assert feed(market, *other) == [R.NONE]
    assert feed(market, make_trade(9_000, trade_id=1, instrument_index=1)) == [R.NONE]


def test_merged_trades_of_two_sides_may_overtake_each_other(market: MarketState) -> None:
    bought = make_trade(1_000, buy=True, trade_id=105)
    bought["flags"] |= CONFLATED
    sold = make_trade(1_000, buy=False, trade_id=103)
    assert feed(market, bought, sold) == [R.NONE, R.NONE]
    assert feed(market, make_trade(1_000, buy=False, trade_id=103)) == [R.ID_DUPLICATE]
    assert market.hot["conflated_count"][0] == 1


def test_quote_ids_wrap_with_their_low_bits(market: MarketState) -> None:
    top = 2**31 - 1
    ids = [top - 1, top, -(2**31), -(2**31) + 5]
    assert feed(market, *(make_quote(1_000, 1_001, aux=k) for k in ids)) == [R.NONE] * 4
    assert feed(market, make_quote(1_000, 1_001, aux=top)) == [R.ID_OUT_OF_ORDER]


def test_an_id_of_zero_says_nothing(market: MarketState) -> None:
    assert feed(market, make_quote(aux=0), make_quote(aux=0)) == [R.NONE, R.NONE]
    assert feed(market, make_trade(), make_trade()) == [R.NONE, R.NONE]


def test_an_old_anchor_judges_no_jump(market: MarketState) -> None:
    later = START_RECEIVE_NS + REFERENCE_AGE_NS + 1
    feed(market, *quotes(1, 1_000), *trades(1, 1_000))
    far = make_quote(2_000, 2_001, aux=2, receive_time_ns=later)
    assert feed(market, far) == [R.NONE]
    assert feed(market, *trades(1, 2_000, 2, receive_time_ns=later)) == [R.NONE]


@pytest.mark.parametrize(("make", "channel"), [(quotes, Channel.QUOTE), (trades, Channel.TRADE)])
def test_a_gap_forgets_the_anchors_of_its_channel(
    market: MarketState, make: Lane, channel: Channel
) -> None:
    feed(market, *make(1, 1_000, 500))
    assert feed(market, make_gap(channel), *make(1, 2_000, 7)) == [R.NONE, R.NONE]


def test_a_gap_of_another_channel_forgets_nothing(market: MarketState) -> None:
    feed(market, *quotes(1, 1_000, 500))
    assert feed(market, make_gap(Channel.BOOK), *quotes(1, 2_000, 501))[1] is R.PRICE_JUMP


def test_near_is_never_far_however_coarse_the_tick(market: MarketState) -> None:
    assert feed(market, make_quote(2, 3, aux=1), make_quote(3, 5, aux=2)) == [R.NONE] * 2
    assert feed(market, *trades(1, 3), *trades(1, 5, 2)) == [R.NONE] * 2


@pytest.mark.parametrize("rate", [1, 10])
@pytest.mark.parametrize(
    ("offset_ns", "reason"),
    [
        (TIME_FUTURE_NS, R.NONE),
        (TIME_FUTURE_NS + S, R.TIME_FUTURE),
        (24 * 3600 * S, R.TIME_FUTURE),
        (-TIME_PAST_NS, R.NONE),
        (-TIME_PAST_NS - S, R.TIME_PAST),
    ],
)
def test_the_venue_clock_bounds_the_venue_time(
    market: MarketState, offset_ns: int, reason: R, rate: int
) -> None:
    with_clock(market, rate)
    record = make_trade(venue_time_ns=START_VENUE_NS + rate * offset_ns)
    assert feed(market, record) == [reason]


def test_the_venue_clock_runs_at_its_rate(market: MarketState) -> None:
    with_clock(market, rate=10)
    later = START_RECEIVE_NS + 100 * S
    in_time = make_trade(receive_time_ns=later, venue_time_ns=START_VENUE_NS + 1_000 * S)
    behind = make_trade(receive_time_ns=later, venue_time_ns=START_VENUE_NS + 100 * S)
    assert feed(market, in_time, behind) == [R.NONE, R.TIME_PAST]


def test_without_a_clock_the_newest_time_bounds_the_next(market: MarketState) -> None:
    feed(market, make_trade())
    tomorrow = make_trade(venue_time_ns=START_VENUE_NS + 24 * 3600 * S)
    soon = make_trade(venue_time_ns=START_VENUE_NS + TIME_LEAP_NS)
    assert feed(market, tomorrow, soon) == [R.TIME_FUTURE, R.NONE]


def test_a_bar_carries_its_open_time_and_is_never_too_old(market: MarketState) -> None:
    with_clock(market)
    day = 24 * 3600
    start_ns = (START_VENUE_NS // (day * S) - 1) * day * S
    assert feed(market, make_bar(interval_s=day, venue_time_ns=start_ns)) == [R.NONE]


@pytest.mark.parametrize(
    ("sequence", "reason"), [(6, R.NONE), (5, R.SEQUENCE_BROKEN), (8, R.SEQUENCE_BROKEN)]
)
def test_a_sequence_follows_the_one_before(market: MarketState, sequence: int, reason: R) -> None:
    first = make_trade(sequence=5)
    assert check_record(market, first, 0) == 0, "the first may have any"
    assert check_record(market, make_trade(sequence=sequence), 0) == reason
    assert check_record(market, make_trade(sequence=sequence + 1), 0) == 0, "once, not for ever"


@pytest.mark.parametrize("index", [2, 60_000])
def test_an_instrument_that_was_not_published_is_refused(market: MarketState, index: int) -> None:
    assert feed(market, make_trade(instrument_index=index)) == [R.INSTRUMENT_UNKNOWN]


def test_a_row_that_stands_for_no_instrument_yet_is_refused(market: MarketState) -> None:
    market.progress[INSTRUMENTS_KNOWN] = 1
    assert feed(market, make_trade(instrument_index=1)) == [R.INSTRUMENT_UNKNOWN]
    market.progress[INSTRUMENTS_KNOWN] = 2
    assert feed(market, make_trade(instrument_index=1)) == [R.NONE]


@pytest.mark.parametrize("record_type", [0, 10, 255])
def test_a_record_type_that_is_not_written_is_refused(
    market: MarketState, record_type: int
) -> None:
    record = make_trade()
    record["record_type"] = record_type
    assert feed(market, record) == [R.RECORD_TYPE_UNKNOWN]


@pytest.mark.parametrize(
    "record",
    [
        make_quote(2**62, 2**62 + 1),
        make_quote(bid_qty=2**62),
        make_trade(2**62),
        make_trade(qty=2**62),
        make_level(2**62, 1, bid=True),
    ],
)
def test_numbers_that_could_overflow_are_refused(market: MarketState, record: np.ndarray) -> None:
    assert feed(market, record) == [R.NUMBER_RANGE]


def test_a_channel_that_does_not_exist_is_refused(market: MarketState) -> None:
    gap = make_gap()
    gap["aux"] = len(Channel)
    assert feed(market, gap) == [R.NUMBER_RANGE]
