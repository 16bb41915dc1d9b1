"""`aegis why` as a person and as a program read it."""

import json
from math import nan
from pathlib import Path

import pytest

from engine.domain.codes import TimeInForce
from engine.domain.execution.asked import Method
from engine.domain.execution.work import StopReason, WorkState
from engine.domain.records import EVENT_ENTRY, EVENT_REDUCE_ONLY, EventType, OrderStatus, OrderType
from engine.domain.size_reasons import BY_KELLY, BY_LOSSES
from engine.domain.strategy_table import OUTSIDE_ROWS, StrategyReason
from engine.processes.why import story_document, story_text
from engine.store.story import find_story
from engine.venues.order_records import LocalReason
from tests.engine_process import aegis
from tests.store_builders import (
    as_bytes,
    instrument,
    market_records,
    open_market,
    session_document,
    write_session,
)
from tests.store_events import decision, event, fill, request, update

STATE = "practice-practice-paper"
MS = 1_000_000


@pytest.fixture
def state(tmp_path: Path) -> Path:
    directory = tmp_path / "state" / STATE
    journal = write_session(
        directory,
        decision(request_id=1, cause_sequence=3, reason=3, strategy_index=1, time_ns=1_040_002),
        request(
            1,
            request_id=1,
            cause_sequence=3,
            strategy_index=1,
            order_type=OrderType.LIMIT,
            price_ticks=1_001,
            cause_receive_time_ns=1_000_002,
            decision_time_ns=1_040_002,
            mid_half_ticks=2_001,
            time_ns=1_040_002,
        ),
        event(
            EventType.ORDER_SENT,
            order_sequence=1,
            epoch_low=1,
            instrument_index=0,
            cause_receive_time_ns=1_000_002,
            decision_time_ns=1_040_002,
            write_time_ns=1_060_002,
            time_ns=2 * MS,
        ),
        update(1, OrderStatus.NEW, time_ns=3 * MS),
        fill(1, 501, 5, liquidity=2, realised_pnl_e8=-150_000_000, time_ns=4 * MS),
        request(2, flags=EVENT_REDUCE_ONLY, side=-1),
        update(2, OrderStatus.REJECTED, reason=LocalReason.RATE_PAUSED),
        session_id="20260101t000000-1",
    )
    writer = open_market(journal)
    writer.append(0, as_bytes(market_records(3)))
    writer.close(is_end=False)
    return directory


def test_the_story_reads_from_the_record_to_the_fill(state: Path) -> None:
    story = find_story(state, "1-1")
    assert story is not None
    document = story_document(story)
    assert document["client_order_id"] == "a1-2-1-3"
    assert document["strategy"] == "orderflow"
    told = document["events"]
    assert [row["what"] for row in told] == [
        "market QUOTE",
        "decision",
        "intent",
        "sent",
        "venue",
        "fill",
    ]
    assert [row["after_ns"] for row in told[:4]] == [0, 40_000, 40_000, 999_998]
    assert told[0] | {"bid": "10.2 x 0.000", "ask": "10.3 x 0.000", "record": 2} == told[0]
    assert told[1] | {"wants": "entry", "reason": "FLOW_SCORE", "gates": "all passed"} == told[1]
    assert told[1]["score"] == 0.75
    assert told[1]["trade_flow"] == 1.0
    assert told[2] | {"mid": "100.05", "decided_after_us": 40.0} == told[2]
    assert told[2]["order"].startswith("BUY 0.005 LIMIT 100.1")
    assert told[3]["first_byte_after_decision_us"] == 20.0
    assert told[3]["tick_to_order_us"] == 60.0
    assert told[5] | {"quantity": "0.005", "liquidity": "TAKER", "realised": -1.5} == told[5]


def test_the_story_says_until_when_an_order_rests(tmp_path: Path) -> None:
    directory = tmp_path / "state" / STATE
    dated = {
        "order_type": OrderType.LIMIT,
        "price_ticks": 1_001,
        "time_in_force": TimeInForce.GTD,
        "good_till_ms": 1_800_000_000_000,
    }
    write_session(directory, request(1, **dated), session_id="20260101t000000-1")
    story = find_story(directory, "1-1")
    assert story is not None
    (told,) = story_document(story)["events"]
    assert told["order"] == "BUY 0.005 LIMIT 100.1 GTD till 2027-01-15T08:00:00Z"


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        (BY_KELLY, "5 of 12 lots, by Kelly"),
        (BY_KELLY | BY_LOSSES, "5 of 12 lots, by Kelly, losses"),
    ],
)
def test_the_story_says_what_made_an_entry_smaller(tmp_path: Path, bits: int, text: str) -> None:
    directory = tmp_path / "state" / STATE
    sized = decision(cause_sequence=3, strategy_index=1, qty_lots=5, wanted_lots=12)
    sized |= {"size_reasons": bits, "flags": EVENT_ENTRY, "request_id": 1}
    asked = request(1, cause_sequence=3, strategy_index=1, request_id=1)
    write_session(directory, sized, asked, session_id="20260101t000000-1")
    story = find_story(directory, "1-1")
    assert story is not None
    (told,) = [row for row in story_document(story)["events"] if row["what"] == "decision"]
    assert told["sized"] == text


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (OrderType.STOP_MARKET, "SELL 0.005 STOP_MARKET at 99.0 reduce-only"),
        (
            OrderType.TRAILING_STOP_MARKET,
            "SELL 0.005 TRAILING_STOP_MARKET first at 99.0 reduce-only",
        ),
    ],
)
def test_the_story_of_a_guard_says_the_price_it_waits_for(
    tmp_path: Path, kind: OrderType, text: str
) -> None:
    directory = tmp_path / "state" / STATE
    stop = {"order_type": kind, "side": -1, "price_ticks": 990}
    rows = (request(1, flags=EVENT_REDUCE_ONLY, **stop), update(1, OrderStatus.NEW, **stop))
    write_session(directory, *rows, session_id="20260101t000000-1")
    story = find_story(directory, "1-1")
    assert story is not None
    (told,) = [row for row in story_document(story)["events"] if row["what"] == "intent"]
    assert told["order"] == text


def test_the_story_of_a_trailing_stop_says_where_it_was_last_told_to_be(tmp_path: Path) -> None:
    directory = tmp_path / "state" / STATE
    trailed = {"reason": StrategyReason.TRAILING_STOP, "instrument_index": 0, "side": -1}
    told = [
        event(
            EventType.STOP_TRAILED, **trailed, strategy_index=s, price_ticks=p, last_price_ticks=b
        )
        for s, p, b in ((1, 980, 1_000), (1, 1_005, 1_025), (0, 700, 800))
    ]
    leaves = decision(request_id=1, reason=StrategyReason.TRAILING_STOP, strategy_index=1)
    asked = request(1, request_id=1, strategy_index=1, side=-1)
    write_session(directory, *told, leaves, asked, session_id="20260101t000000-1")
    story = find_story(directory, "1-1")
    assert story is not None
    rows = story_document(story)["events"]
    assert [row["what"] for row in rows] == ["decision", "stop trailed", "intent"]
    assert rows[0]["reason"] == "TRAILING_STOP"
    assert (rows[1]["stop"], rows[1]["best"]) == ("100.5", "102.5")


def test_a_reason_is_told_by_name_and_what_is_unknown_is_left_out(state: Path) -> None:
    story = find_story(state, "1-2")
    assert story is not None
    text = story_text(story_document(story))
    assert "reason RATE_PAUSED" in text
    assert "reduce-only" in text
    assert "None" not in text


def test_the_command_tells_the_story_and_lists_orders(tmp_path: Path, state: Path) -> None:
    assert state.is_dir()
    done = aegis(tmp_path, "why", "a1-2-1-3", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["order_id"] == "1-1"
    listed = aegis(tmp_path, "why")
    assert [line.split()[3] for line in listed.stdout.splitlines()] == ["a1-1-2-25", "a1-2-1-3"]
    rows = json.loads(aegis(tmp_path, "why", "--json").stdout)
    assert {row["state"] for row in rows} == {STATE}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("why", "1-9"), 2, "no order '1-9'"),
        (("why", "1-1", "--state", "binance-x-live"), 3, "no journal of binance-x-live"),
    ],
)
def test_what_is_not_there_is_one_sentence(
    tmp_path: Path, state: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    assert state.is_dir()
    done = aegis(tmp_path, *words)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_an_order_of_two_accounts_must_be_chosen(tmp_path: Path, state: Path) -> None:
    write_session(state.parent / "binance-desk-paper", request(1), session_id="20260101t000000-1")
    done = aegis(tmp_path, "why", "1-1")
    assert done.returncode == 2
    assert "--state" in done.stderr
    chosen = aegis(tmp_path, "why", "1-1", "--state", STATE)
    assert chosen.returncode == 0, chosen.stderr
    assert "FLOW_SCORE" in chosen.stdout


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        (
            EventType.CONTROL_ORDER,
            {"strategy_index": 2, "text": b"ana: hedge", "cause_sequence": 0},
            {"by": "ana: hedge"},
        ),
        (EventType.CHILD_ORDER, {"strategy_index": 3, "cause_sequence": 2}, {"parent": "1-2"}),
        (
            EventType.CHILD_ORDER,
            {"strategy_index": 3, "cause_sequence": 2, "text": b"TAKE at binance"}
            | {"input_0": 5.1, "input_1": 7.25, "input_2": 0.2, "input_3": 3.0, "input_4": 1.0},
            {"parent": "1-2", "route": "TAKE at binance", "cost_bps": 5.1, "other_way_bps": 7.25}
            | {"latency_ms": 0.2, "touch_age_ms": 3.0, "health": "DEGRADED"},
        ),
        (
            EventType.CHILD_ORDER,
            {"strategy_index": 3, "cause_sequence": 2, "text": b"TAKE at x", "input_1": nan},
            {"route": "TAKE at x", "other_way_bps": None},
        ),
    ],
)
def test_an_order_from_outside_names_who_asked_and_no_market_record(
    tmp_path: Path, kind: EventType, fields: dict[str, object], said: dict[str, object]
) -> None:
    directory = tmp_path / "state" / STATE
    own = {"order_sequence": 7, "epoch_low": 1, "instrument_index": 0, "side": 1, "qty_lots": 5}
    order = request(7, **{name: fields[name] for name in ("strategy_index", "cause_sequence")})
    known = session_document().strategies
    journal = write_session(
        directory,
        event(kind, order_type=OrderType.MARKET, **(own | fields)),
        order,
        strategies=(*known, *OUTSIDE_ROWS),
    )
    writer = open_market(journal)
    writer.append(0, as_bytes(market_records(3)))  # one of them would be named as the cause
    writer.close(is_end=False)
    story = find_story(directory, "1-7")
    assert story is not None
    assert story.cause is None
    document = story_document(story)
    first = document["events"][0]
    assert first | said == first
    assert first["gates"] == "all passed"
    assert first["wants"] == "BUY 0.005 MARKET"
    assert "wants BUY 0.005 MARKET" in story_text(document)


def test_the_story_of_a_parent_order_says_what_was_asked_and_how_far_it_is(tmp_path: Path) -> None:
    directory = tmp_path / "state" / STATE
    own = {"order_sequence": 7, "epoch_low": 1, "instrument_index": 0, "strategy_index": 3}
    asked = {**own, "side": -1, "qty_lots": 5, "order_type": Method.TWAP}
    over = {"order_status": WorkState.ENDED, "reason": StopReason.TIME}
    write_session(
        directory,
        event(EventType.CONTROL_EXECUTE, **asked, text=b"ana: less of it"),
        event(EventType.PARENT_STATE, **asked, order_status=WorkState.WORKING, cause_sequence=1),
        event(EventType.PARENT_STATE, **asked, **over, cause_sequence=2, cum_qty_lots=3),
        strategies=(*session_document().strategies, *OUTSIDE_ROWS),
    )
    assert story_lines(directory) == [
        "control execute by ana: less of it, wants SELL 0.005 TWAP",
        "parent state is_now WORKING, filled 0.000, children 1",
        "parent state is_now ENDED, filled 0.003, children 2, reason TIME",
    ]


def story_lines(directory: Path) -> list[str]:
    """Return what the story of order 1-7 says happened, without the times."""
    story = find_story(directory, "1-7")
    assert story is not None
    lines = story_text(story_document(story)).split("\n\n", 1)[1].splitlines()
    return [" ".join(line[14:].split()) for line in lines if not line.startswith("--")]


def test_the_story_of_a_parent_whose_instrument_is_not_traded_any_more_tells_its_end(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "state" / STATE
    own = {"order_sequence": 7, "epoch_low": 1, "side": -1, "qty_lots": 5, "order_type": 1}
    begun = {**own, "instrument_index": 0, "strategy_index": 3, "time_ns": 5_000_000_000}
    rows = (*session_document().strategies, *OUTSIDE_ROWS)
    write_session(
        directory,
        event(EventType.PARENT_STATE, **begun, order_status=WorkState.WORKING, cum_qty_lots=3),
        strategies=rows,
    )
    over = {"order_status": WorkState.ENDED, "reason": StopReason.UNTRADED, "cum_qty_lots": 3}
    gone = {"instrument_index": -1, "time_ns": 0, "text": b"BTCUSDT"}
    write_session(
        directory,
        event(EventType.PARENT_STATE, **own, **over, **gone),
        strategies=rows, session_id="two", epoch=2, instruments=(instrument("ETHUSDT"),),
        started_realtime_ns=1_700_000_060_000_000_000,
    )  # fmt: skip
    assert story_lines(directory) == [
        "parent state is_now WORKING, filled 0.003, children 0",
        "parent state is_now ENDED, filled 3 lots, children 0, reason UNTRADED, instrument BTCUSDT",
    ]
    story = find_story(directory, "1-7")
    assert story is not None
    assert story_document(story)["events"][1]["after_ns"] == 55_000_001_000, "from its start on"
