"""`aegis audit` and `report`: each thing a person must see is seen, and nothing is made up."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import EventType, Role
from engine.processes.finding import Finding, any_failed
from engine.processes.journal_audit import audit, grave_lines
from engine.processes.session_report import fall_max_e8, report, report_text
from engine.store.control_audit import ControlAudit
from engine.store.fold import ADJUSTED_POSITION
from engine.store.journal import SOURCE_EVENTS_FEED
from tests.journal_homes import PAPER, S, add_session, config_of, known, sound_rows
from tests.store_builders import open_events
from tests.store_events import decision, event, fill

SOUND = ("gaps", "market", "drift", "logs", "decisions", "crashes", "trail", "control")


def found_in(home: Path, days: float = 7.0) -> dict[str, Finding]:
    return {each.name: each for each in audit(config_of(home), known(home, days), days)}


def log(home: Path, level: str, hours_ago: float, event_name: str = "FAULT") -> None:
    at = datetime.now(UTC) - timedelta(hours=hours_ago)
    row = {"level": level, "event": event_name, "role": "feed", "timestamp": at.isoformat()}
    (home / "logs").mkdir(exist_ok=True)
    with (home / "logs" / "feed.log").open("a", encoding="ascii") as file:
        file.write(json.dumps(row) + "\nno json\n[]\n")


def test_a_sound_week_has_nothing_to_look_at(tmp_path: Path) -> None:
    add_session(tmp_path, sound_rows())
    log(tmp_path, "warning", 1)
    ControlAudit(tmp_path / "state" / PAPER).record({"what": "pause"})
    found = found_in(tmp_path)
    assert tuple(found) == SOUND
    assert {name: each.level for name, each in found.items()} == dict.fromkeys(SOUND, "ok")
    assert found["trail"].found.startswith("12 of 12")
    assert found["control"].found == "1 lines, 0 broken links"


def test_an_empty_home_has_nothing_to_look_at(tmp_path: Path) -> None:
    assert all(each.good for each in found_in(tmp_path).values())


LOST = event(EventType.ROLE_FAULT, role=Role.FEED, reason=10, text=b"BTCUSDT polled")
ADJUSTED = event(EventType.ADJUSTMENT, reason=ADJUSTED_POSITION, instrument_index=0)


@pytest.mark.parametrize(
    ("name", "level", "words", "changes"),
    [
        ("market", "warn", "feed BTCUSDT polled (1)", {"feed": (LOST,)}),
        ("drift", "warn", "1 adjustments of our books", {"rows": [*sound_rows(), ADJUSTED]}),
        ("decisions", "fail", "1 unexplained", {"rows": [decision(reason=0)]}),
        ("crashes", "warn", "1 session not closed in order: s1", {"ended_realtime_ns": 0}),
        ("trail", "fail", "0 of 12", {"in_log": False}),
    ],
)
def test_what_is_wrong_is_its_own_line(
    tmp_path: Path, name: str, level: str, words: str, changes: dict[str, Any]
) -> None:
    add_session(tmp_path, **({"rows": sound_rows()} | changes))
    found = found_in(tmp_path)
    assert found[name].level == level
    assert words in found[name].found
    assert {each.name for each in found.values() if not each.good} == {name}


def test_events_that_were_lost_fail(tmp_path: Path) -> None:
    directory = add_session(tmp_path, sound_rows())
    writer = open_events(directory, SOURCE_EVENTS_FEED)
    writer.append_lost(3)
    writer.close(is_end=False)
    assert found_in(tmp_path)["gaps"].found == "3 events were never journaled"
    assert any_failed(list(found_in(tmp_path).values()))


def test_a_journal_that_cannot_be_read_fails_and_the_others_are_read(tmp_path: Path) -> None:
    add_session(tmp_path, sound_rows())
    broken = add_session(tmp_path, sound_rows(), session="s2")
    (broken / "session.json").write_text("{", encoding="ascii")
    found = found_in(tmp_path)
    assert found["crashes"].level == "fail"
    assert "s2" in found["crashes"].found
    assert found["trail"].found.startswith("12 of 12")


def test_a_control_trail_that_was_changed_fails(tmp_path: Path) -> None:
    add_session(tmp_path, sound_rows())
    trail = ControlAudit(tmp_path / "state" / PAPER)
    for what in ("halt", "pause", "resume"):
        trail.record({"what": what})
    path = tmp_path / "state" / PAPER / "control_audit_log.jsonl"
    path.write_text(path.read_text("ascii").replace("pause", "reduce"), encoding="ascii")
    finding = found_in(tmp_path)["control"]
    assert finding.level == "fail"
    assert f"{PAPER} line 1" in finding.found


def test_the_trail_of_who_was_let_in_is_looked_at_too(tmp_path: Path) -> None:
    trail = ControlAudit(tmp_path)
    for what in ("access add alice", "access token alice"):
        trail.record({"what": what})
    assert found_in(tmp_path)["control"].found == "2 lines, 0 broken links"
    path = tmp_path / "control_audit_log.jsonl"
    path.write_text(path.read_text("ascii").replace("add alice", "add malte"), encoding="ascii")
    assert found_in(tmp_path)["control"].level == "fail"


def test_only_grave_lines_of_the_span_count(tmp_path: Path) -> None:
    add_session(tmp_path, sound_rows())
    for level, hours_ago in (("info", 1), ("error", 1), ("critical", 2), ("error", 30)):
        log(tmp_path, level, hours_ago)
    log(tmp_path, "error", 3, "OTHER")
    assert found_in(tmp_path, 1.0)["logs"].found.startswith("3 of level error or critical: feed FA")
    assert found_in(tmp_path, 7.0)["logs"].found.startswith("4 of level")
    assert found_in(tmp_path)["logs"].level == "warn"


def test_rotated_logs_are_read_too(tmp_path: Path) -> None:
    log(tmp_path, "error", 1)
    (tmp_path / "logs" / "feed.log").rename(tmp_path / "logs" / "feed.log.3")
    log(tmp_path, "error", 1)
    assert grave_lines(tmp_path / "logs", "2000") == {"feed FAULT": 2}


# -- the report ------------------------------------------------------------------------------------


@given(st.lists(st.integers(-(10**6), 10**6), max_size=40))
def test_the_fall_is_the_furthest_from_any_earlier_peak(results: list[int]) -> None:
    curve = [0, *np.cumsum(results, dtype=np.int64).tolist()]
    falls = [curve[i] - curve[j] for j in range(len(curve)) for i in range(j + 1)]
    assert fall_max_e8(np.array(results, dtype=np.int64)) == max(falls)


def test_a_report_sums_sessions_and_says_how_each_ended(tmp_path: Path) -> None:
    add_session(tmp_path, sound_rows(12))
    paid = event(EventType.FUNDING, funding_e8=-10_000)
    refused = event(EventType.RISK_REFUSAL, reason=1, request_id=2, instrument_index=0)
    other = fill(1, 900, 5, strategy_index=1, instrument_index=1, realised_pnl_e8=-5_000)
    add_session(
        tmp_path,
        [paid, refused, other, event(EventType.RECONCILED, time_ns=3_600 * S)],
        session="s2",
        ended_realtime_ns=0,
        memory_mb=900,
    )
    found = report(known(tmp_path))
    assert [(row["session"], row["ended"]) for row in found["sessions"]] == [
        ("s1", "in order"),
        ("s2", "not in order"),
    ]
    assert (found["orders"], found["fills"], found["entries"]) == (12, 13, 12)
    assert found["result"] == pytest.approx((12 * 460 - 5_040 - 10_000) / 1e8)
    assert found["fees"] == pytest.approx(13 * 40 / 1e8)
    assert found["by_strategy"] == pytest.approx(
        {"smc_fvg_bos": 12 * 460 / 1e8, "orderflow": -5_040 / 1e8}
    )
    assert found["by_instrument"] == pytest.approx(
        {"BTCUSDT": 5_520 / 1e8, "ETHUSDT": -5_040 / 1e8}
    )
    assert sum(found["refusals"].values()) == 3
    assert found["memory_mb_max"] == 900
    assert found["decision_ms"] == {"mean": 0.05, "max": 0.05, "orders": 12}
    text = report_text(found)
    assert "2 sessions" in text
    assert "orderflow" in text
    assert "not in order" in text


def test_a_report_of_nothing_says_so(tmp_path: Path) -> None:
    found = report(known(tmp_path))
    assert (found["fills"], found["decision_ms"]["mean"]) == (0, None)
    assert "0 sessions, 0.0 min" in report_text(found)
    assert "0 sessions, 1.5 h" in report_text({**found, "hours": 1.5})


def test_one_session_is_found_whatever_its_age(tmp_path: Path) -> None:
    add_session(tmp_path, sound_rows())
    add_session(tmp_path, sound_rows(), session="s2")
    assert len(known(tmp_path, session="s2", days=1e-9).facts) == 1
    assert known(tmp_path, days=1e-9).facts == []
