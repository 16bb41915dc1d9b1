"""Readiness: each criterion fails by itself, and a start that is armed asks for all of them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import ArmingConfig, Config, VenueConfig
from engine.domain.codes import EventType, Role
from engine.processes.finding import Finding
from engine.processes.readiness import keep, longest_calm_s, readiness, slope_of
from engine.processes.ready_record import (
    FILE_NAME,
    NotReadyError,
    check_ready,
    why_not_ready,
    withdraw,
)
from engine.store.control_audit import ControlAudit
from engine.store.facts import read_facts
from tests.engine_process import aegis
from tests.journal_homes import (
    DAY_NS,
    PAPER,
    S,
    add_session,
    config_of,
    known,
    round_trips,
    sound_rows,
)
from tests.store_events import decision, event

CRITERIA = (
    "verify",
    "decision latency",
    "memory",
    "connection",
    "paper",
    "crashes",
    "P&L trend",
    "orders in audit",
)


def found_in(home: Path) -> dict[str, Finding]:
    return {each.name: each for each in readiness(config_of(home), known(home))}


def test_a_day_on_paper_with_nothing_to_blame_passes_all_but_what_is_not_built(
    tmp_path: Path,
) -> None:
    add_session(tmp_path, sound_rows())
    found = found_in(tmp_path)
    assert tuple(found) == CRITERIA
    assert {name for name, each in found.items() if not each.good} == {"verify"}
    assert found["verify"].found.startswith("4 of 6; failed: RL implementation, learning cap")


def test_an_empty_home_passes_nothing(tmp_path: Path) -> None:
    assert [name for name, each in found_in(tmp_path).items() if each.good] == []


CHANGED: list[tuple[str, dict[str, Any]]] = [
    ("decision latency", {"rows": [*round_trips(12, took_ns=100_000_000), *sound_rows(0)]}),
    ("memory", {"memory_mb": 6_000}),
    ("memory", {"memory_mb": None}),
    ("paper", {"rows": sound_rows(9)}),
    ("paper", {"rows": sound_rows(span_ns=DAY_NS - 10 * S)}),
    ("paper", {"state": "binance-main-live"}),
    ("crashes", {"ended_realtime_ns": 0}),
    ("P&L trend", {"rows": [*round_trips(12, pnl_e8=-500), *sound_rows(0)]}),
    ("P&L trend", {"rows": [*round_trips(12, pnl_e8=39), *sound_rows(0)]}),
    ("orders in audit", {"in_log": False}),
]


@pytest.mark.parametrize(("name", "changes"), CHANGED)
def test_a_criterion_that_does_not_hold_fails_by_name(
    tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    add_session(tmp_path, **({"rows": sound_rows()} | changes))
    assert found_in(tmp_path)[name].level == "fail"


def test_one_row_of_the_audit_trail_that_is_missing_fails(tmp_path: Path) -> None:
    add_session(tmp_path, sound_rows())
    path = tmp_path / "trade_audit_log.jsonl"
    lines = path.read_text(encoding="ascii").splitlines(keepends=True)
    path.write_text("".join(lines[:-1]) + lines[0], encoding="ascii")
    finding = found_in(tmp_path)["orders in audit"]
    assert finding.found.startswith("11 of 12"), "the same row twice is one"
    assert not finding.good


BREAKS = st.lists(st.integers(1, 10_000 * S), max_size=6)


@given(feed=BREAKS, lost=BREAKS, end=st.integers(1, 10_000 * S))
def test_the_longest_calm_is_between_two_breaks_of_any_kind(
    tmp_path_factory: pytest.TempPathFactory, feed: list[int], lost: list[int], end: int
) -> None:
    home = tmp_path_factory.mktemp("calm")
    rows = [event(EventType.VENUE_DISCONNECTED, time_ns=at) for at in lost]
    rows += [event(EventType.RECONCILED, time_ns=at) for at in (1, end)]
    told = tuple(event(EventType.ROLE_FAULT, role=Role.FEED, reason=11, time_ns=at) for at in feed)
    facts = read_facts(add_session(home, rows, feed=told, memory_mb=None))
    every = [1, end, *feed, *lost]
    times = np.sort(np.array([min(every), *feed, *lost, max(every)]))
    assert longest_calm_s(facts) == pytest.approx(np.diff(times).max() / S)


def test_what_the_feed_says_that_is_no_break_breaks_nothing(tmp_path: Path) -> None:
    told = event(EventType.ROLE_FAULT, role=Role.FEED, reason=12, time_ns=DAY_NS // 2)
    facts = read_facts(add_session(tmp_path, sound_rows(), feed=(told,)))
    assert longest_calm_s(facts) == pytest.approx(facts.span_s)


@given(st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=50))
def test_the_slope_is_that_of_least_squares(curve: list[int]) -> None:
    wanted = np.polyfit(np.arange(len(curve)), np.array(curve, np.float64), 1)[0]
    assert slope_of(np.array(curve)) == pytest.approx(
        wanted, abs=1e-6 * max(map(abs, curve)) + 1e-9
    )


def test_fewer_than_two_points_have_no_slope() -> None:
    assert slope_of(np.array([])) == slope_of(np.array([5])) == 0.0


# -- the record, and the start that asks for it ----------------------------------------------------


def armed(home: Path, **changes: Any) -> Config:  # noqa: ANN401  fields of a Config
    arming = ArmingConfig(allow_orders=True, dry_run=False, enable_order_exec=True)
    venue = VenueConfig(name="binance", account="main", third_party=True)
    config = Config(home=str(home), trading_mode="live", venue=venue, arming=arming)
    config = msgspec.structs.replace(config, **changes)
    Path(config.state_dir).mkdir(parents=True, exist_ok=True)
    return config


def passed(home: Path) -> None:
    assert keep(config_of(home), [Finding("all", good=True, found="")])


def test_what_was_kept_says_which_criterion_failed(tmp_path: Path) -> None:
    findings = [
        Finding("paper", good=False, found="", fatal=True),
        Finding("x", good=True, found=""),
    ]
    assert not keep(config_of(tmp_path), findings)
    assert why_not_ready(tmp_path) == "readiness failed: paper"


def test_an_armed_start_passes_with_readiness_and_not_without(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="never looked at"):
        check_ready(armed(tmp_path), "")
    passed(tmp_path)
    assert check_ready(armed(tmp_path), "") == "found by `aegis readiness`"


@pytest.mark.parametrize(
    "changes",
    [
        {"trading_mode": "paper"},
        {"arming": ArmingConfig()},
        {"arming": ArmingConfig(allow_orders=True, dry_run=True, enable_order_exec=True)},
        {"venue": VenueConfig()},
    ],
)
def test_a_start_that_sends_no_order_to_anybody_is_not_asked(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    assert check_ready(armed(tmp_path, **changes), "") == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"passed": False}, "readiness failed"),
        ({"passed": 1}, "readiness failed"),
        ({"version": "0.0.0"}, "for version 0.0.0"),
        ({"time_ns": 0}, "h ago"),
        ({"time_ns": 2**62}, "h ago"),
        ({"time_ns": "soon"}, "cannot be read"),
    ],
)
def test_a_record_that_is_old_of_another_version_or_odd_does_not_count(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    passed(tmp_path)
    path = tmp_path / FILE_NAME
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | change), encoding="ascii")
    assert said in why_not_ready(tmp_path)


@given(text=st.one_of(st.just(""), st.text(max_size=8), st.sampled_from(["[]", "null", "{}"])))
def test_whatever_else_the_file_holds_is_not_readiness(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    home = tmp_path_factory.getbasetemp()
    (home / FILE_NAME).write_text(text, encoding="utf-8")
    assert "cannot be read" in why_not_ready(home)


def test_an_override_is_written_to_the_audit_and_one_without_reason_is_none(
    tmp_path: Path,
) -> None:
    config = armed(tmp_path)
    with pytest.raises(NotReadyError, match="--unready"):
        check_ready(config, " x ")
    said = check_ready(config, "first order by hand")
    assert said == "overridden (readiness was never looked at): first order by hand"
    (row,) = ControlAudit(Path(config.state_dir)).rows(-1, 9)
    assert (row["what"], row["reason"]) == ("readiness override", "first order by hand")
    passed(tmp_path)
    check_ready(config, "first order by hand")
    assert len(ControlAudit(Path(config.state_dir)).rows(-1, 9)) == 1, "nothing to override"


def test_an_override_that_cannot_be_written_is_none(tmp_path: Path) -> None:
    config = armed(tmp_path)
    (Path(config.state_dir) / "control_audit_log.jsonl").mkdir()
    with pytest.raises(OSError, match="directory"):
        check_ready(config, "first order by hand")


def test_readiness_that_is_withdrawn_stands_no_longer(tmp_path: Path) -> None:
    withdraw(tmp_path, "verify")
    assert why_not_ready(tmp_path) == "readiness was never looked at"
    passed(tmp_path)
    withdraw(tmp_path, "verify")
    assert why_not_ready(tmp_path) == "readiness failed: verify"
    with pytest.raises(NotReadyError, match="readiness failed: verify"):
        check_ready(armed(tmp_path), "")
    passed(tmp_path)
    assert check_ready(armed(tmp_path), "") == "found by `aegis readiness`"


def test_a_verify_that_fails_alone_withdraws_it(tmp_path: Path) -> None:
    passed(tmp_path)
    assert aegis(tmp_path, "verify").returncode == 1, "nothing was ever traded"
    assert why_not_ready(tmp_path) == "readiness failed: verify"


def test_readiness_counts_for_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed(tmp_path)
    now = time.time_ns()
    for hours, stands in ((23.9, True), (24.1, False)):
        monkeypatch.setattr(time, "time_ns", lambda h=hours: now + int(h * 3_600 * S))
        assert (why_not_ready(tmp_path) == "") is stands


def test_several_accounts_are_looked_at_together_unless_one_is_named(tmp_path: Path) -> None:
    add_session(tmp_path, sound_rows())
    add_session(tmp_path, [decision(reason=0)], session="s2", state="binance-main-live")
    assert len(known(tmp_path).facts) == 2
    assert [each.document.state_key for each in known(tmp_path, state=PAPER).facts] == [PAPER]
