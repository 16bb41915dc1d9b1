"""The router's table of a running brain: each row by what the engine knows, and a parent by it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from engine.domain.codes import EVENT_POST_ONLY, EventType, TimeInForce, TradingState
from engine.domain.execution.asked import Method
from engine.domain.execution.router import Health, Route
from engine.domain.execution.work import StopReason, WorkState
from engine.domain.market_state import MAKER_FEE_PPM, TAKER_FEE_PPM
from engine.domain.words import WORDS_MAX, Word
from engine.processes.routes import (
    LATENCY_WINDOW_NS,
    SHOW_NS,
    Condition,
    RecentLatency,
    condition_of,
)
from engine.store.event_names import text_of
from ringbuffer.counters import PAGE_WORDS, CounterPage
from tests.desk_rig import ASK, BID, S, of_type
from tests.parents_rig import ParentsRig

PATIENCE_NS = 4 * S
DECISION_TO_ORDER = 4  # its place among the brain's histograms


@pytest.fixture
def rig() -> Iterator[ParentsRig]:
    made = ParentsRig()
    hot, progress = made.desk.state.market.hot, made.desk.state.market.progress
    hot["bid_qty_lots"], hot["ask_qty_lots"] = 40, 60
    progress[MAKER_FEE_PPM], progress[TAKER_FEE_PPM] = 200, 500
    yield made
    made.close()


def row_of(rig: ParentsRig, patience_ns: int = PATIENCE_NS) -> Route:
    (row,) = rig.routes.table(0, patience_ns).rows
    return row


def trades_a_lot(rig: ParentsRig, lots: int = 600_000) -> None:
    """Let a minute with so many lots have closed."""
    market = rig.desk.state.market
    minute = market.timeframes_ns.tolist().index(60 * S)
    market.closed_count[0, minute] = 1
    market.closed["volume_lots"][0, minute, 0] = lots


def show(rig: ParentsRig, *, quoted: bool = False) -> None:
    """Let the time of a round pass, and look until it is whole."""
    rig.desk.now_ns += SHOW_NS
    if quoted:
        rig.quote()
    for _ in range(4):  # it begins, two instruments, it is shown
        rig.routes.look()


# -- health ----------------------------------------------------------------------------------------

WELL = {Word.CONNECTED: 1, Word.SYNCED: 1, Word.EFFECTIVE_STATE: TradingState.ENABLED}


@pytest.mark.parametrize(
    ("words", "condition"),
    [
        ({}, Condition(Health.READY)),
        ({Word.EFFECTIVE_STATE: TradingState.HALTED}, Condition(Health.DOWN, "trading is halted")),
        ({Word.STOPPING: 1}, Condition(Health.DOWN, "the engine stops")),
        ({Word.CONNECTED: 0}, Condition(Health.DOWN, "no order session")),
        ({Word.SYNCED: 0}, Condition(Health.DOWN, "books are not known to agree")),
        (
            {Word.EFFECTIVE_STATE: TradingState.PAUSED},
            Condition(Health.DEGRADED, "trading is held back"),
        ),
        ({Word.UNKNOWN_COUNT: 2}, Condition(Health.DEGRADED, "orders are in doubt")),
        ({Word.FAILURE_COUNT: 1}, Condition(Health.DEGRADED, "the last orders failed")),
        ({Word.FETCH_FAILURES: 1}, Condition(Health.DEGRADED, "its account cannot be fetched")),
        (
            {Word.UNKNOWN_COUNT: 2, Word.SYNCED: 0},
            Condition(Health.DOWN, "books are not known to agree"),
        ),
    ],
)
def test_health_is_the_gravest_that_is_known(words: dict[Word, int], condition: Condition) -> None:
    scalars = np.zeros(WORDS_MAX, np.int64)
    for word, number in (WELL | words).items():
        scalars[word] = number
    assert condition_of(scalars) == condition


# -- latency ---------------------------------------------------------------------------------------


def test_latency_is_of_the_last_minutes_and_what_was_slow_once_is_forgotten() -> None:
    page = CounterPage(memoryview(bytearray(8 * PAGE_WORDS)).cast("q"))
    page.record(DECISION_TO_ORDER, 700_000_000)
    latency = RecentLatency(lambda: page.histogram(DECISION_TO_ORDER))
    assert latency.p99_ns(1) == 0, "before it began"
    page.record(DECISION_TO_ORDER, 600_000_000)
    assert latency.p99_ns(2) == pytest.approx(600_000_000, rel=0.07)
    assert latency.p99_ns(3 + LATENCY_WINDOW_NS) == pytest.approx(600_000_000, rel=0.07)
    page.record(DECISION_TO_ORDER, 20_000)
    assert latency.p99_ns(4 + 2 * LATENCY_WINDOW_NS) == pytest.approx(20_000, rel=0.07)
    assert latency.p99_ns(5 + 4 * LATENCY_WINDOW_NS) == 0, "and with nothing sent nothing is known"


# -- a row -----------------------------------------------------------------------------------------


def test_a_row_is_touch_age_fees_and_latency_as_they_are(rig: ParentsRig) -> None:
    rig.page.record(DECISION_TO_ORDER, 3_000_000)
    show(rig)
    row, tick_e8 = row_of(rig), rig.routes.table(0, PATIENCE_NS).tick_e8
    instrument = rig.desk.state.market.instruments[0]
    quote_ns = int(rig.desk.state.market.hot["quote_receive_time_ns"][0])
    assert tick_e8 == round(float(instrument["tick_size"]) * 10**8) > 1
    assert (row.venue, row.health) == ("practice", Health.READY)
    assert (row.bid_e8, row.ask_e8) == (BID * tick_e8, ASK * tick_e8)
    assert (row.bid_lots, row.ask_lots) == (40, 60)
    assert row.touch_age_ns == rig.desk.now_ns - quote_ns >= SHOW_NS
    assert (row.maker_ppm, row.taker_ppm) == (200, 500)
    assert row.latency_ns == pytest.approx(3_000_000, rel=0.07)
    assert row.impact_ppm == 10**6 * (ASK - BID) // BID
    assert row.least_lots >= 1


def test_what_trades_and_how_far_it_moves_is_of_the_time_an_order_may_rest(
    rig: ParentsRig,
) -> None:
    market = rig.desk.state.market
    assert (row_of(rig).traded_lots, row_of(rig).drift_ppm) == (0, 0), "nothing closed yet"
    trades_a_lot(rig, 600)
    frames = market.timeframes_ns.tolist()
    market.atr_ticks[0, frames.index(60 * S)] = 800.0
    assert row_of(rig).traded_lots == 40
    mid = (BID + ASK) / 2
    quarter = 0.25 * 800 / mid * 10**6
    assert row_of(rig).drift_ppm == round(quarter * (4 / 60) ** 0.5), "by the only bars there are"
    assert row_of(rig, 240 * S).drift_ppm == round(quarter * 2)
    market.atr_ticks[0, frames.index(1 * S)] = 100.0
    assert row_of(rig).drift_ppm == round(0.25 * 100 / mid * 10**6 * 2), "the longest that fit"
    assert row_of(rig, 240 * S).drift_ppm == round(quarter * 2)


def test_without_a_quote_there_is_no_touch_and_no_fault(rig: ParentsRig) -> None:
    hot = rig.desk.state.market.hot
    hot["bid_price_ticks"], hot["ask_price_ticks"] = 0, 0
    assert (row_of(rig).bid_e8, row_of(rig).ask_e8) == (0, 0)
    hot["quote_receive_time_ns"] = rig.desk.now_ns + SHOW_NS
    show(rig)
    assert rig.table_shown[0]["buy"] == "practice: NO_TOUCH"


def test_the_table_is_shown_with_what_the_router_would_do(rig: ParentsRig) -> None:
    show(rig, quoted=True)
    assert [row["instrument_index"] for row in rig.table_shown] == [0, 1]
    first = rig.table_shown[0]
    assert (first["health"], first["why"], first["taker_bps"]) == ("READY", "", 5.0)
    assert first["buy"].startswith("TAKE +5.0")
    assert rig.table_shown[1]["buy"] == "practice: STALE"
    trades_a_lot(rig)
    for _ in range(9):
        rig.routes.look()
    assert rig.table_shown[0] == first, "not twice in a moment"
    show(rig, quoted=True)
    assert rig.table_shown[0]["sell"].startswith("REST +2.")


# -- a parent that is routed -----------------------------------------------------------------------


def child_words(rig: ParentsRig) -> list[tuple[str, float]]:
    """Return the route and its cost of each child's record."""
    events = of_type(rig.desk.all_events(), EventType.CHILD_ORDER)
    return [(text_of(event), float(event["input_0"])) for event in events]


def run_best(rig: ParentsRig) -> int:
    return rig.execute(Method.BEST, 30, input_1=0.0)


def test_a_parent_takes_where_that_is_cheaper_and_the_record_says_why(rig: ParentsRig) -> None:
    number = run_best(rig)
    rig.run(1)
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 30)
    (child,) = rig.children(number)
    assert (child["time_in_force"], child["price_ticks"]) == (TimeInForce.IOC, ASK)
    assert rig.row(number)["route"] == "TAKE at practice", "what was said last, now that it is over"
    ((route, cost_bps),) = child_words(rig)
    assert route == "TAKE at practice"
    assert cost_bps == pytest.approx(5.0, abs=0.1)


def test_it_rests_where_that_is_cheaper_until_it_is_filled(rig: ParentsRig) -> None:
    trades_a_lot(rig)
    number = run_best(rig)
    rig.run(3)
    (child,) = rig.children(number)
    assert child["flags"] & EVENT_POST_ONLY
    assert child["price_ticks"] == BID
    assert rig.row(number)["route"] == "REST at practice"
    rig.run(1, traded=100)
    assert rig.told(number)[-1] == (WorkState.DONE, StopReason.NONE, 30)
    assert child_words(rig)[0][0] == "REST at practice"


def test_while_the_venue_is_down_nothing_is_sent_and_the_refusal_is_told(rig: ParentsRig) -> None:
    words = rig.desk.state.desk.words
    number = run_best(rig)
    synced, words[Word.SYNCED] = int(words[Word.SYNCED]), 0
    rig.run(1)
    assert len(rig.children(number)) == 0
    assert rig.row(number)["route"] == "practice: DOWN"
    events = of_type(rig.desk.all_events(), EventType.PARENT_STATE)
    assert text_of(events[-1]) == "practice: DOWN"
    words[Word.SYNCED] = synced
    rig.run(1)
    assert rig.told(number)[-1][0] is WorkState.DONE


def test_a_child_in_doubt_is_never_sent_a_second_time_by_any_way(rig: ParentsRig) -> None:
    rig.silent = True
    number = run_best(rig)
    rig.run(1)
    (child,) = rig.children(number)
    rig.lose(int(child["order_sequence"]))
    trades_a_lot(rig)
    rig.run(5)
    assert rig.desk.state.desk.words[Word.UNKNOWN_COUNT] == 1
    assert row_of(rig).health is Health.DEGRADED
    assert len(rig.children(number)) == 1
    assert rig.row(number)["route"] == "practice: BOUND"
    assert rig.row(number)["in_doubt"]
