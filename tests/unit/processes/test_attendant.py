"""What the orchestrator looks after beside the journal: disk, memory, lag, alarms, heartbeat."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.config import Config, LimitsConfig
from engine.config_journal import JournalConfig
from engine.domain.codes import EVENT_APPLIED, EventType, TradingState
from engine.processes import archive, audit_log, follower, upkeep
from engine.processes import attendant as attendant_module
from engine.processes.attendant import Attendant
from engine.processes.control import RolePage
from engine.processes.guard import GuardReason
from engine.processes.orchestrator import Orchestrator
from engine.processes.projector import Projector
from engine.processes.runner import RoleContext
from engine.store.facts import read_facts
from engine.store.journal import SOURCE_EVENTS_BRAIN, SOURCE_EVENTS_ORCHESTRATOR
from engine.store.reader import read_records
from engine.store.verify import verify_session
from tests.engine_process import wait_for
from tests.orchestrator_rig import OrchestratorRig
from tests.ring_builders import unique_name
from tests.store_builders import write_session
from tests.store_events import decision, event, fill, request

pytestmark = pytest.mark.usefixtures("root_as_it_was")

LOOKED_MB = 5_000  # more than a process that ran every test before this one


class InProcess:
    """An orchestrator inside this process, stepped by the test."""

    def __init__(self, home: Path, **changes: object) -> None:
        config = Config(name=unique_name("t").replace("aegis-", ""))
        self.home = home
        self.rig = OrchestratorRig(home, msgspec.structs.replace(config, **changes))
        self.rig.publish_instruments()
        context = RoleContext(RolePage.ORCHESTRATOR, self.rig.config, self.rig.parts.control)
        self.orchestrator = Orchestrator(context)
        self.orchestrator.start()
        self.orchestrator.do_work()

    @property
    def attendant(self) -> Attendant:
        assert self.orchestrator._attendant is not None
        return self.orchestrator._attendant

    def work_until(self, what: str, condition: Any) -> None:  # noqa: ANN401  a callable
        def step() -> object:
            self.attendant._upkeep_due = 0.0
            self.orchestrator.do_work()
            return condition()

        wait_for(what, step)

    def lines(self, name: str) -> list[dict[str, Any]]:
        text = (self.home / "logs" / "orchestrator.log").read_text()
        found = [json.loads(line) for line in text.splitlines()]
        return [line for line in found if line["event"] == name]

    def close(self) -> None:
        self.orchestrator.stop(is_orderly=True)
        self.rig.__exit__(None, None, None)


@pytest.fixture
def role(tmp_path: Path) -> Iterator[InProcess]:
    made = InProcess(tmp_path)
    yield made
    made.close()


def test_the_heartbeat_line_says_what_the_engine_is_doing(role: InProcess) -> None:
    role.rig.publish_events(decision(), request(1), fill(1, 501, 5))
    role.work_until("events", lambda: role.attendant._follower.count(EventType.FILL) == 1)

    role.attendant._heartbeat_due = 0.0
    role.orchestrator.do_work()
    role.orchestrator.do_work()

    (line,) = role.lines("HEARTBEAT")
    assert (line["decisions"], line["orders"], line["fills"], line["faults"]) == (1, 1, 1, 0)
    assert line["trading_state"] == "ENABLED"
    assert line["roles"]["orchestrator"] == "READY"
    assert line["journaled"] >= 3
    assert line["disk_free_mb"] > 0
    assert line["level"] == "warning", "the root level must not swallow it"


def test_fills_and_refusals_are_appended_to_the_audit_trail(role: InProcess) -> None:
    role.rig.publish_events(request(1, reason=3), fill(1, 501, 5))
    path = role.home / "trade_audit_log.jsonl"
    role.work_until("the line", path.exists)
    (row,) = [json.loads(line) for line in path.read_text().splitlines()]
    assert (row["symbol"], row["action"], row["trade_id"]) == ("BTCUSDT", "BUY", 501)


def test_an_audit_trail_that_cannot_be_written_is_an_alarm_and_stops_nothing(
    role: InProcess,
) -> None:
    path = role.home / "trade_audit_log.jsonl"
    path.mkdir()
    role.rig.publish_events(request(1), fill(1, 501, 5))
    role.work_until("the alarm", lambda: role.lines("ALARM"))
    assert role.lines("ALARM")[0]["reason"] == "AUDIT_UNWRITABLE"
    assert role.rig.trading_state() == TradingState.ENABLED
    path.rmdir()
    role.work_until("the line", path.is_file)


def test_a_step_tells_and_writes_no_more_than_a_piece_of_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "EVENTS_MAX", 5)
    monkeypatch.setattr(audit_log, "EVENTS_MAX", 4)
    role = InProcess(tmp_path)
    refusal = event(EventType.RISK_REFUSAL, instrument_index=0, side=1, qty_lots=1, reason=4)
    for number in range(20):
        role.rig.publish_events(decision(request_id=number), refusal)
    recorder = role.orchestrator.recorder
    wait_for("the journal", lambda: recorder.journaled_count >= 40)

    def done() -> tuple[int, int]:
        counts, audit = role.attendant._follower.counts, tmp_path / "trade_audit_log.jsonl"
        rows = len(audit.read_text().splitlines()) if audit.exists() else 0
        return counts[EventType.SIGNAL_GENERATED] + counts[EventType.RISK_REFUSAL], rows

    steps = [done()]

    def step() -> bool:
        role.orchestrator.do_work()
        steps.append(done())
        return steps[-1] == (40, 20)

    wait_for("everything", step)
    told, rows = zip(*steps, strict=True)
    assert max(np.diff(told)) == 5
    assert max(np.diff(rows)) == 2, "every second event of four is a row"
    assert len(role.lines("TRADING_DECISION")) == 20
    role.close()


def test_a_full_disk_pauses_entries_until_there_is_room(
    role: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "free_bytes", lambda _: upkeep.DISK_FLOOR_BYTES - 1)
    role.work_until("PAUSED", lambda: role.rig.trading_state() == TradingState.PAUSED)
    monkeypatch.setattr(upkeep, "free_bytes", lambda _: upkeep.DISK_FLOOR_BYTES)
    role.work_until("ENABLED", lambda: role.rig.trading_state() == TradingState.ENABLED)

    def journaled_reasons() -> list[int]:
        found = read_records(role.rig.directory, SOURCE_EVENTS_ORCHESTRATOR)
        return [
            int(reason) for reason in found[found["event_type"] == EventType.ROLE_FAULT]["reason"]
        ]

    role.work_until("the fault", lambda: journaled_reasons() == [GuardReason.DISK_SPACE])
    assert "floor 256 MB" in role.lines("ALARM")[0]["text"]


def test_memory_is_journaled_at_the_start_and_then_once_a_minute(
    role: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def journaled() -> int:
        found = read_records(role.rig.directory, SOURCE_EVENTS_ORCHESTRATOR)
        return int((found["event_type"] == EventType.ROLE_STATE_CHANGED).sum())

    role.work_until("the first look", lambda: journaled() == 1)
    monkeypatch.setattr(upkeep, "resident_bytes", lambda _: LOOKED_MB << 20)
    for _ in range(3):
        role.attendant._upkeep_due = 0.0
        role.orchestrator.do_work()
    assert journaled() == 1, "not each second"
    role.attendant._look_due = 0.0
    role.work_until("the second look", lambda: journaled() == 2)
    assert read_facts(role.rig.directory).memory_mb_max == LOOKED_MB


def test_memory_over_its_limit_pauses_entries(tmp_path: Path) -> None:
    role = InProcess(tmp_path, limits=LimitsConfig(max_memory_mb=1))
    role.work_until("PAUSED", lambda: role.rig.trading_state() == TradingState.PAUSED)
    assert role.orchestrator.guard.reason == GuardReason.MEMORY
    role.close()


def test_a_recorder_thread_that_died_ends_the_role(
    role: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(role.orchestrator.recorder), "is_alive", False)

    with pytest.raises(RuntimeError, match="recorder"):
        role.orchestrator.do_work()


def test_a_journal_that_falls_behind_raises_an_alarm_and_trades_on(role: InProcess) -> None:
    drain = next(d for d in role.orchestrator.drains if d.source == SOURCE_EVENTS_BRAIN)
    drain.lag_max = drain.capacity
    role.work_until("the alarm", lambda: role.lines("ALARM"))

    (line,) = role.lines("ALARM")
    assert line["reason"] == "JOURNAL_LAG"
    assert role.rig.trading_state() == TradingState.ENABLED


def test_records_that_were_lost_halt(role: InProcess) -> None:
    role.attendant._follower.lost_count = 3
    role.work_until("HALTED", lambda: role.rig.trading_state() == TradingState.HALTED)

    assert role.orchestrator.guard.reason == GuardReason.RECORDS_LOST


def test_the_journals_are_kept_inside_their_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = tmp_path / "state" / "practice-old-paper" / "journal" / "s0"
    stale.mkdir(parents=True)
    for number in range(3):
        (stale / f"market-{number:06d}.segment").write_bytes(bytes(1_000))
    monkeypatch.setattr(attendant_module, "BOUND_PERIOD_S", 0.0)
    role = InProcess(tmp_path, journal=JournalConfig(max_bytes=1_500))
    role.work_until("removal", lambda: role.lines("MARKET_SEGMENTS_REMOVED"))

    assert [path.name for path in stale.iterdir()] == ["market-000002.segment"]
    role.close()


def test_counters_show_what_was_done(role: InProcess) -> None:
    role.rig.publish_events(decision(), decision())
    word = attendant_module.COUNTER["events_synced"]
    role.work_until("sync", lambda: role.orchestrator.page.counter(word) == 2)
    # The first look at memory is the third.
    journaled = attendant_module.COUNTER["journaled_total"]
    role.work_until("count", lambda: role.orchestrator.page.counter(journaled) == 3)
    projected = attendant_module.COUNTER["projected_total"]
    role.work_until("projection", lambda: role.orchestrator.page.counter(projected) == 3)


def test_states_adjustments_and_rejects_are_lines(role: InProcess) -> None:
    role.rig.publish_events(
        event(EventType.TRADING_STATE_CHANGED, trading_state=3, reason=22, refusal_mask=1 << 22),
        *[event(EventType.RECORD_REJECTED, reason=1, instrument_index=0, cause_sequence=5)] * 3,
        event(EventType.FETCH_FAILED, reason=9001, text=b"timeout"),
        event(EventType.ADJUSTMENT, reason=1, instrument_index=1, position_lots=4),
    )
    role.work_until("lines", lambda: role.lines("ADJUSTMENT"))

    (state,) = role.lines("TRADING_STATE")
    assert (state["trading_state"], state["reason"]) == ("HALTED", "DAILY_LOSS")
    (reject,) = role.lines("RECORD_REJECTED")
    assert (reject["instrument"], reject["sequence"]) == ("BTCUSDT", 5)
    (failed,) = role.lines("FETCH_FAILED")
    assert failed["text"] == "timeout"
    (adjusted,) = role.lines("ADJUSTMENT")
    assert (adjusted["kind"], adjusted["instrument"]) == ("POSITION", "ETHUSDT")
    assert adjusted["position_lots"] == 4


@pytest.fixture
def away(tmp_path: Path) -> Path:
    pytest.importorskip("fsspec", reason="the history extra is not installed")
    return tmp_path / "away"


def test_old_sessions_go_once_they_are_archived_and_the_audit_is_copied(
    tmp_path: Path, away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "ROUND_S", 0.1)
    journal = JournalConfig(archive=str(away), keep_days=1, audit_copy=away.as_uri())
    config = Config(home=str(tmp_path), journal=journal)
    state = Path(config.state_dir)
    old = write_session(
        state, request(1), fill(1, 501, 1), session_id="a0", epoch=1, ended_realtime_ns=1
    )
    role = InProcess(tmp_path, journal=journal, epoch=2)
    try:
        restored = event(EventType.RESTORE_END, flags=EVENT_APPLIED)
        role.rig.publish_events(restored, request(2), fill(2, 502, 1))
        role.work_until("the session to go", lambda: role.lines("SESSIONS_RETIRED"))
        (line,) = role.lines("SESSIONS_RETIRED")
        assert line["sessions"] == ["a0"]
        assert not old.exists()
        copied = away / "journal" / state.name / "a0"
        assert verify_session(copied).is_intact
    finally:
        role.close()
    audits = sorted((away / "audit" / state.name).glob("*.jsonl"))
    trades = [
        json.loads(line)["trade_id"] for path in audits for line in path.read_text().splitlines()
    ]
    assert trades == [501, 502]


def test_a_session_that_a_database_has_not_taken_stays(
    tmp_path: Path, away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def has_passed(_: Projector) -> bool:
        asked.append(old.exists())
        return len(asked) > 3

    monkeypatch.setattr(archive, "ROUND_S", 0.1)
    monkeypatch.setattr(Projector, "has_passed", property(has_passed))
    journal = JournalConfig(archive=str(away), keep_days=1)
    state = Path(Config(home=str(tmp_path)).state_dir)
    old = write_session(state, fill(1, 501, 1), session_id="a0", epoch=1, ended_realtime_ns=1)
    role = InProcess(tmp_path, journal=journal, epoch=2)
    try:
        role.rig.publish_events(event(EventType.RESTORE_END, flags=EVENT_APPLIED))
        role.work_until("the session to go", lambda: role.lines("SESSIONS_RETIRED"))
    finally:
        role.close()
    assert asked[:4] == [True] * 4


def test_a_storage_that_is_away_is_one_alarm_and_trading_goes_on(
    tmp_path: Path, away: Path
) -> None:
    away.write_text("no folder")
    role = InProcess(tmp_path, journal=JournalConfig(archive=str(away), audit_copy=str(away)))
    try:
        role.rig.publish_events(request(1), fill(1, 501, 1))
        role.work_until("an alarm", lambda: role.lines("ALARM"))
        (line,) = role.lines("ALARM")
        assert line["reason"] == "ARCHIVE_AWAY"
        assert role.rig.trading_state() == TradingState.ENABLED
    finally:
        role.close()


def test_market_records_that_go_without_a_copy_are_told(
    tmp_path: Path, away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = tmp_path / "state" / "practice-old-paper" / "journal" / "s0"
    stale.mkdir(parents=True)
    for number in range(3):
        (stale / f"market-{number:06d}.segment").write_bytes(bytes(1_000))
    monkeypatch.setattr(attendant_module, "BOUND_PERIOD_S", 0.0)
    role = InProcess(tmp_path, journal=JournalConfig(max_bytes=1_500, archive=str(away)))
    try:
        role.work_until("an alarm", lambda: role.lines("ALARM"))
        (line,) = role.lines("ALARM")
        assert line["reason"] == "UNARCHIVED_REMOVED"
        assert "2 market segments" in line["text"]
    finally:
        role.close()
