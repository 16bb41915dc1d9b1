"""Facts of a session equal what a plain fold of its events says, however they were framed."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import EVENT_APPLIED, EVENT_DUPLICATE, EVENT_ENTRY, EventType, Role
from engine.domain.risk_reasons import RiskReason
from engine.store import facts as facts_module
from engine.store.facts import Facts, fills_of, read_facts
from engine.store.fold import ADJUSTED_CASH, OPENING_CASH
from engine.store.journal import SOURCE_EVENTS_FEED, SOURCE_EVENTS_ORCHESTRATOR
from engine.store.session import write_document
from tests.store_builders import (
    as_bytes,
    event_records,
    open_events,
    session_document,
    write_session,
)
from tests.store_events import decision, event, fill, opening_cash, request

STATE = "binance-main-paper"
Row = dict[str, Any]


def written(root: Path, rows: list[Row], cuts: list[int], **changes: Any) -> Path:  # noqa: ANN401
    """Write a session's brain events in frames that end at the cuts."""
    directory = root / STATE / "journal" / "s1"
    shutil.rmtree(directory, ignore_errors=True)
    write_document(directory, session_document(session_id="s1", state_key=STATE, **changes))
    writer = open_events(directory)
    ends = sorted({cut for cut in cuts if 0 < cut < len(rows)} | {len(rows)})
    first = 0
    for end in ends:
        if end > first:
            records = event_records(*rows[first:end], first_sequence=first)
            writer.append(first, as_bytes(records))
        first = end
    writer.close(is_end=False)
    return directory


def others(directory: Path, source: str, *rows: Row) -> None:
    writer = open_events(directory, source)
    writer.append(0, as_bytes(event_records(*rows)))
    writer.close(is_end=False)


# -- the fold, twice -------------------------------------------------------------------------------

DECISIONS = st.builds(
    lambda number, is_entry, reason, score: decision(
        request_id=number, flags=EVENT_ENTRY * is_entry, reason=reason, input_0=score
    ),
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from([0, 1, 3, 50, 99]),
    st.sampled_from([0.0, -1.5, math.nan, math.inf]),
)
REQUESTS = st.builds(
    lambda number, is_entry, received, took: request(
        1,
        request_id=number,
        flags=EVENT_ENTRY * is_entry,
        cause_receive_time_ns=received,
        decision_time_ns=received + took,
    ),
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from([0, 5_000]),
    st.integers(0, 10**9),
)
FILLS = st.builds(
    lambda trade, pnl, fee, is_again, strategy: fill(
        1,
        trade,
        5,
        realised_pnl_e8=pnl,
        fee_e8=fee,
        strategy_index=strategy,
        flags=EVENT_DUPLICATE if is_again else EVENT_APPLIED,
    ),
    st.integers(1, 9),
    st.sampled_from([0, -700, 900]),
    st.integers(-3, 40),
    st.booleans(),
    st.integers(0, 1),
)
REFUSALS = st.builds(
    lambda reason, suppressed: event(
        EventType.RISK_REFUSAL, reason=reason, request_id=suppressed, instrument_index=0
    ),
    st.sampled_from(sorted(RiskReason)),
    st.integers(-1, 5),
)
MONEY = st.builds(lambda paid: event(EventType.FUNDING, funding_e8=paid), st.integers(-50, 50))
ROWS = st.lists(st.one_of(DECISIONS, REQUESTS, FILLS, REFUSALS, MONEY), max_size=30)


def twin(rows: list[Row]) -> dict[str, Any]:
    """Return the same by hand, one event after another."""
    found: dict[str, Any] = {
        "entries": 0,
        "unexplained": 0,
        "latency": [],
        "refusals": Counter(),
        "results": [],
        "closing": 0,
        "fees": 0,
        "funding": 0,
        "by": Counter(),
    }
    decided = -1
    for row in rows:
        kind = row["event_type"]
        if kind == EventType.SIGNAL_GENERATED:
            decided = row["request_id"]
            found["entries"] += bool(row["flags"] & EVENT_ENTRY)
            found["unexplained"] += row["reason"] in {0, 99} or not math.isfinite(row["input_0"])
        elif kind == EventType.ORDER_REQUEST:
            found["unexplained"] += bool(row["flags"]) and row["request_id"] != decided
            if row["cause_receive_time_ns"]:
                took = row["decision_time_ns"] - row["cause_receive_time_ns"]
                found["latency"].append(took)
        elif kind == EventType.FILL and row["flags"] != EVENT_DUPLICATE:
            net = row["realised_pnl_e8"] - row["fee_e8"]
            found["results"].append(net)
            found["closing"] += row["realised_pnl_e8"] != 0
            found["fees"] += row["fee_e8"]
            found["by"]["BTCUSDT", ("smc_fvg_bos", "orderflow")[row["strategy_index"]]] += net
        elif kind == EventType.RISK_REFUSAL:
            found["refusals"][RiskReason(row["reason"]).name] += 1 + max(row["request_id"], 0)
        elif kind == EventType.FUNDING:
            found["funding"] += row["funding_e8"]
    return found


def as_twin(facts: Facts) -> dict[str, Any]:
    _, results = fills_of([facts])
    return {
        "entries": facts.entries,
        "unexplained": len(facts.unexplained),
        "refusals": facts.refusals,
        "results": results.tolist(),
        "closing": facts.fills_closing,
        "fees": facts.fees_e8,
        "funding": facts.funding_e8,
        "by": facts.pnl_by,
    }


@given(rows=ROWS, cuts=st.lists(st.integers(1, 29), max_size=4))
def test_facts_equal_a_plain_fold_however_the_journal_was_framed(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], cuts: list[int]
) -> None:
    facts = read_facts(written(tmp_path_factory.getbasetemp() / "facts", rows, cuts))
    wanted = twin(rows)
    took = wanted.pop("latency")
    assert as_twin(facts) == wanted
    assert tuple(facts.latency) == (len(took), sum(took), max(took, default=0))
    assert facts.net_e8 == sum(wanted["results"]) + wanted["funding"]
    assert facts.counts == Counter(row["event_type"] for row in rows)


# -- one law each ----------------------------------------------------------------------------------


def test_what_an_operator_closes_needs_no_decision(tmp_path: Path) -> None:
    rows = [decision(request_id=1), request(1, request_id=1), request(2, request_id=9, flags=0)]
    assert read_facts(written(tmp_path, rows, [])).unexplained == []
    opening = [*rows, request(3, request_id=9)]
    (line,) = read_facts(written(tmp_path, opening, [])).unexplained
    assert "follows no decision" in line.text


@pytest.mark.parametrize("cut", [0, 3, 4])
@pytest.mark.parametrize("kind", [EventType.CONTROL_ORDER, EventType.CHILD_ORDER])
def test_what_is_asked_for_from_outside_needs_no_decision_of_ours(
    tmp_path: Path, kind: EventType, cut: int
) -> None:
    """Once an engine that had worked one parent order failed `aegis verify` and `audit`."""
    asked = event(kind, order_sequence=2, request_id=77)
    rows = [decision(request_id=1), request(1, request_id=1), asked, request(2, request_id=2)]
    assert read_facts(written(tmp_path, rows, [cut])).unexplained == []
    other = [*rows, asked | {"order_sequence": 0}, request(3, request_id=3)]
    (line,) = read_facts(written(tmp_path, other, [cut])).unexplained
    assert "follows no decision" in line.text


def test_what_a_person_approved_was_decided_before(tmp_path: Path) -> None:
    waited = event(EventType.INTENT_SETTLED, request_id=2)
    by_hand = [event(EventType.CONTROL_ORDER, order_sequence=1), request(1, request_id=2)]
    rows = [decision(request_id=1), *by_hand, waited, request(2, request_id=2)]
    assert read_facts(written(tmp_path, rows, [])).unexplained == []


def test_a_decision_of_no_known_strategy_is_unexplained(tmp_path: Path) -> None:
    (line,) = read_facts(written(tmp_path, [decision(strategy_index=-1)], [])).unexplained
    assert line.text.startswith("decision 0: reason 1, score 0.75, (external)")


def test_the_first_sight_of_money_is_no_adjustment(tmp_path: Path) -> None:
    rows = [
        opening_cash(10**9),
        event(EventType.ADJUSTMENT, reason=OPENING_CASH, instrument_index=-1),
        event(EventType.ADJUSTMENT, reason=ADJUSTED_CASH, instrument_index=0),
    ]
    (line,) = read_facts(written(tmp_path, rows, [])).adjustments
    assert line.text == "CASH BTCUSDT"


def test_faults_of_every_role_are_kept_with_role_and_number(tmp_path: Path) -> None:
    directory = written(tmp_path, [event(EventType.EXECUTOR_FAULT, reason=3, text=b"a")], [])
    late = event(EventType.ROLE_FAULT, role=Role.FEED, reason=7, text=b"late")
    others(directory, SOURCE_EVENTS_FEED, late)
    alarm = event(EventType.ROLE_FAULT, role=Role.ORCHESTRATOR, reason=21, text=b"away")
    others(directory, SOURCE_EVENTS_ORCHESTRATOR, alarm)
    found = [(line.role, line.kind, line.text) for line in read_facts(directory).faults]
    assert found == [
        ("brain", "EXECUTOR_FAULT 3", "a"),
        ("feed", "ROLE_FAULT 7", "late"),
        ("orchestrator", "ROLE_FAULT 21", "away"),
    ]


@pytest.mark.parametrize(
    ("texts", "most"),
    [
        ([], None),
        ([b"memory_mb=512 disk_free_mb=9"], 512),
        ([b"memory_mb=512 disk_free_mb=9", b"memory_mb=700 disk_free_mb=9"], 700),
        ([b"something else", b"memory_mb=x disk_free_mb=9"], None),
    ],
)
def test_memory_is_the_most_that_was_seen(
    tmp_path: Path, texts: list[bytes], most: int | None
) -> None:
    directory = written(tmp_path, [event(EventType.FILL, flags=EVENT_DUPLICATE)], [])
    rows = [
        event(EventType.ROLE_STATE_CHANGED, role=Role.ORCHESTRATOR, text=text) for text in texts
    ]
    if rows:
        others(directory, SOURCE_EVENTS_ORCHESTRATOR, *rows)
    assert read_facts(directory).memory_mb_max == most


def test_events_that_were_lost_are_counted_in_every_source(tmp_path: Path) -> None:
    directory = write_session(tmp_path / STATE, decision(), session_id="s1")
    for source, count in ((SOURCE_EVENTS_FEED, 4), (SOURCE_EVENTS_ORCHESTRATOR, 5)):
        writer = open_events(directory, source)
        writer.append_lost(count)
        writer.close(is_end=False)
    assert read_facts(directory).lost_count == 9


def test_lines_beyond_the_bound_are_counted_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts_module, "KEPT_MAX", 3)
    rows = [event(EventType.EXECUTOR_FAULT, reason=number) for number in range(10)]
    facts = read_facts(written(tmp_path, rows, []))
    assert (len(facts.faults), facts.cut["faults"]) == (3, 7)


def test_the_span_is_from_the_first_to_the_last_event_of_any_role(tmp_path: Path) -> None:
    rows = [event(EventType.FUNDING, time_ns=5_000_000_000), event(EventType.FUNDING, time_ns=0)]
    directory = written(tmp_path, rows, [])
    late = event(EventType.ROLE_FAULT, role=Role.FEED, time_ns=9_000_000_000)
    others(directory, SOURCE_EVENTS_FEED, late)
    facts = read_facts(directory)
    assert facts.span_s == 4.0, "a time of 0 is none"
    document = facts.document
    assert facts.first_ns - document.started_realtime_ns == 5_000_000_000 - 1_000


def test_fills_of_several_sessions_are_in_the_order_of_their_times(tmp_path: Path) -> None:
    found = []
    for session, begins in (("s2", 2 * 10**18), ("s1", 10**18)):
        rows = [fill(1, 1, 5, time_ns=7_000, fee_e8=begins // 10**18)]
        directory = written(tmp_path / session, rows, [], started_realtime_ns=begins)
        found.append(read_facts(directory))
    times, results = fills_of(found)
    assert np.all(np.diff(times) > 0)
    assert results.tolist() == [-1, -2]
    assert [len(part) for part in fills_of([])] == [0, 0]
