"""Operator commands: words first, then the record; a halt survives a restart."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import pytest

from engine import cli_control, exit_codes
from engine.cli_control import halt_by_word
from engine.domain.codes import EventType, Role, TradingState
from engine.domain.records import EVENT_DTYPE
from engine.domain.risk_reasons import RiskReason
from engine.processes.commands import Choice, pack_control
from engine.processes.control import (
    CONTROL_BYTES,
    ControlSegment,
    MainWord,
    OperatorWord,
    RolePage,
    RoleWord,
    segment_name,
)
from engine.processes.runfile import RunningEngine
from engine.store.control_audit import ControlAudit, broken_links
from ringbuffer import layout
from ringbuffer.segment import Segment, unlink
from tests.control_rig import build, decode, fake_control


@pytest.fixture
def control() -> ControlSegment:
    return fake_control()


def test_packed_control_reads_back_as_an_event_record() -> None:
    payload = pack_control(EventType.CONTROL_HALT, TradingState.HALTED, "page: too fast", 7)
    record = decode(payload)
    assert len(payload) == EVENT_DTYPE.itemsize - 8
    assert record["event_type"] == EventType.CONTROL_HALT
    assert record["role"] == Role.MAIN
    assert record["trading_state"] == TradingState.HALTED
    assert record["text"] == b"page: too fast"
    assert record["request_id"] == 7
    assert (record["instrument_index"], record["strategy_index"]) == (-1, -1)
    assert record["time_ns"] > 0


def test_what_was_chosen_reads_back_as_fields_of_an_event_record() -> None:
    choice = Choice(scope=3, which=2**40 + 7, mode=2, number=2**41 + 9)
    payload = pack_control(EventType.CONTROL_MODE, TradingState.PAUSED, "me", 1, 0, choice)
    record = decode(payload)
    assert (record["order_type"], record["time_in_force"]) == (3, 2)
    assert (record["cause_sequence"], record["trade_id"]) == (2**40 + 7, 2**41 + 9)
    assert (record["side"], record["order_status"], record["order_sequence"]) == (0, 0, 0)
    assert record["trading_state"] == TradingState.PAUSED


@pytest.mark.parametrize(("keep_resting", "reason"), [(False, RiskReason.STOPPING), (True, 0)])
def test_a_stop_says_whether_resting_orders_may_stay(
    control: ControlSegment, tmp_path: Path, *, keep_resting: bool, reason: int
) -> None:
    commands, ring = build(control, tmp_path)
    assert commands.stop_intents(keep_resting=keep_resting).accepted
    assert ring.types() == [EventType.CONTROL_STOP_INTENTS]
    assert decode(ring.payloads[-1])["reason"] == reason


def test_packed_text_is_cut_to_its_field() -> None:
    assert (
        len(decode(pack_control(EventType.CONTROL_HALT, TradingState.HALTED, "x" * 99, 1))["text"])
        == 40
    )


def test_halt_writes_the_word_and_asks_for_cancels(control: ControlSegment, tmp_path: Path) -> None:
    commands, ring = build(control, tmp_path)
    outcome = commands.halt("page", "button")
    assert control.main(MainWord.TRADING_STATE) == TradingState.HALTED
    assert outcome.trading_state is TradingState.HALTED
    assert ring.types() == [EventType.CONTROL_HALT, EventType.CONTROL_CANCEL_ALL]
    assert ring.wake_count == 2


def test_cancels_go_out_before_the_disk_is_waited_for(
    control: ControlSegment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands, ring = build(control, tmp_path)
    told: list[list[int]] = []
    monkeypatch.setattr(Path, "write_text", lambda *_, **__: told.append(ring.types()))
    monkeypatch.setattr(Path, "replace", lambda *_: None)
    commands.halt("page", "button")
    commands.flatten("page", "button")
    halted = [EventType.CONTROL_HALT, EventType.CONTROL_CANCEL_ALL]
    assert told == [halted, [*halted, EventType.CONTROL_REDUCE, EventType.CONTROL_FLATTEN]]


def test_halt_holds_by_the_word_when_the_ring_is_full(
    control: ControlSegment, tmp_path: Path
) -> None:
    commands, _ = build(control, tmp_path, room=0)
    commands.halt("page", "button")
    assert control.trading_state() == TradingState.HALTED


@pytest.mark.parametrize("reason", ["", "  ", "ok"])
def test_resume_without_a_reason_is_refused(
    control: ControlSegment, tmp_path: Path, reason: str
) -> None:
    commands, ring = build(control, tmp_path)
    commands.halt("page", "button")
    outcome = commands.resume("page", reason)
    assert not outcome.accepted
    assert control.trading_state() == TradingState.HALTED
    assert EventType.CONTROL_RESUME not in ring.types()


def test_resume_clears_main_and_operator_words(control: ControlSegment, tmp_path: Path) -> None:
    commands, ring = build(control, tmp_path)
    commands.halt("page", "button")
    control.set_main(OperatorWord.TRADING_STATE, TradingState.HALTED)
    assert commands.resume("cli", "looked at the fills").trading_state is TradingState.ENABLED
    assert ring.types()[-1] == EventType.CONTROL_RESUME


def test_the_most_severe_word_holds(control: ControlSegment, tmp_path: Path) -> None:
    commands, _ = build(control, tmp_path)
    control.set_role(RolePage.BRAIN, RoleWord.TRADING_STATE, TradingState.REDUCING)
    assert commands.pause("cli", "lunch").trading_state is TradingState.REDUCING


def test_a_halt_survives_a_restart(control: ControlSegment, tmp_path: Path) -> None:
    commands, _ = build(control, tmp_path)
    commands.halt("page", "button")
    control.set_main(MainWord.TRADING_STATE, TradingState.ENABLED)
    again, _ = build(control, tmp_path)
    assert again.restore() is TradingState.HALTED
    assert control.main(MainWord.TRADING_STATE) == TradingState.HALTED


def test_a_halt_by_shared_memory_alone_survives_a_restart(
    control: ControlSegment, tmp_path: Path
) -> None:
    commands, _ = build(control, tmp_path)
    control.set_main(OperatorWord.TRADING_STATE, TradingState.HALTED)
    commands.pause("page", "a milder word")
    again, _ = build(fake_control(), tmp_path)
    assert again.restore() is TradingState.HALTED


@pytest.mark.parametrize("milder", ["pause", "reduce", "flatten"])
def test_a_halt_outlives_milder_words_and_a_restart(
    control: ControlSegment, tmp_path: Path, milder: str
) -> None:
    """Once a shutdown (which pauses) after a HALT made the next start PAUSED."""
    commands, _ = build(control, tmp_path)
    commands.halt("page", "button")
    assert getattr(commands, milder)("page", "later").trading_state is TradingState.HALTED
    assert control.main(MainWord.TRADING_STATE) == TradingState.HALTED
    assert build(fake_control(), tmp_path)[0].restore() is TradingState.HALTED
    assert commands.resume("page", "looked at it").trading_state is TradingState.ENABLED
    assert build(fake_control(), tmp_path)[0].restore() is TradingState.ENABLED


def test_what_is_told_while_the_api_is_dead_survives_a_restart(tmp_path: Path) -> None:
    name = f"w{os.getpid()}"
    made = Segment.create(
        segment_name(name, "control"), CONTROL_BYTES, kind=layout.KIND_CONTROL, generation=1
    )
    made.seal()
    engine = RunningEngine(name, os.getpid(), "127.0.0.1", 9, "", str(tmp_path))
    words = ControlSegment(made)
    try:
        words.set_main(MainWord.TRADING_STATE, TradingState.REDUCING)
        told = halt_by_word(engine, "no answer")
        assert told["trading_state"] == "HALTED"
        assert build(fake_control(), tmp_path)[0].restore() is TradingState.HALTED
        gone = replace(engine, state_dir=str(tmp_path / "gone"))
        told = halt_by_word(gone, "no answer")
        assert (told["trading_state"], "not written" in told["effect"]) == ("HALTED", True)
        assert "not in the audit trail (No such file or directory)" in told["effect"]
    finally:
        words.close()
        unlink(made.name)


def test_a_resume_changes_nothing_while_the_api_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it took the halt back: nobody had looked at anything."""
    name = f"u{os.getpid()}"
    made = Segment.create(
        segment_name(name, "control"), CONTROL_BYTES, kind=layout.KIND_CONTROL, generation=1
    )
    made.seal()
    engine = RunningEngine(name, os.getpid(), "127.0.0.1", 9, "", str(tmp_path))
    monkeypatch.setattr(cli_control, "find", lambda *_: engine)
    options = argparse.Namespace(command="halt", reason="no answer", json=False)
    words = ControlSegment(made)
    try:
        assert cli_control.control(options, {}) == exit_codes.CHECK_FAILED, "nobody confirmed it"
        options.command = "resume"
        assert cli_control.control(options, {}) == exit_codes.ROLE_DIED
        assert words.trading_state() == TradingState.HALTED
    finally:
        words.close()
        unlink(made.name)


def test_what_is_told_while_the_api_is_dead_is_in_the_trail(tmp_path: Path) -> None:
    """Once it was in no trail: the API writes down only what passes through it."""
    name = f"v{os.getpid()}"
    engine = RunningEngine(name, os.getpid(), "127.0.0.1", 9, "", str(tmp_path))
    assert "error" in halt_by_word(engine, "too early")
    made = Segment.create(
        segment_name(name, "control"), CONTROL_BYTES, kind=layout.KIND_CONTROL, generation=1
    )
    made.seal()
    try:
        halt_by_word(engine, "no answer")
    finally:
        made.close()
        unlink(made.name)
    rows = ControlAudit(tmp_path).rows(-1, 9)
    assert [(row["what"], row["reason"], row["done"]) for row in rows] == [
        ("halt", "too early", False),
        ("halt", "no answer", True),
    ]
    assert [(row["before"], row["after"]) for row in rows[1:]] == [("ENABLED", "HALTED")]
    assert {row["from"] for row in rows} == {"command line"}
    assert broken_links(rows) == []


def test_a_first_run_is_enabled(control: ControlSegment, tmp_path: Path) -> None:
    commands, _ = build(control, tmp_path)
    assert commands.restore() is TradingState.ENABLED


@pytest.mark.parametrize("text", ["", "{", "[]", '{"trading_state": 9}', '{"x": 1}'])
def test_an_unreadable_state_file_means_halted(
    control: ControlSegment, tmp_path: Path, text: str
) -> None:
    (tmp_path / "trading_state.json").write_text(text, encoding="utf-8")
    commands, _ = build(control, tmp_path)
    assert commands.restore() is TradingState.HALTED


def test_flatten_reduces_then_flattens(control: ControlSegment, tmp_path: Path) -> None:
    commands, ring = build(control, tmp_path)
    commands.flatten("cli", "end of day")
    assert ring.types() == [EventType.CONTROL_REDUCE, EventType.CONTROL_FLATTEN]
    assert control.trading_state() == TradingState.REDUCING


def test_flatten_is_refused_by_a_halt_but_cancels(control: ControlSegment, tmp_path: Path) -> None:
    commands, ring = build(control, tmp_path)
    outcome = commands.flatten("cli", "end of day")
    assert (outcome.accepted, "closing all positions" in outcome.effect) == (True, True)
    control.set_role(RolePage.BRAIN, RoleWord.TRADING_STATE, TradingState.HALTED)
    outcome = commands.flatten("cli", "end of day")
    assert (outcome.accepted, outcome.trading_state) == (False, TradingState.HALTED)
    assert "no position is closed while HALTED" in outcome.effect
    assert ring.types()[2:] == [EventType.CONTROL_REDUCE, EventType.CONTROL_FLATTEN]


def test_a_full_ring_is_said(control: ControlSegment, tmp_path: Path) -> None:
    commands, _ = build(control, tmp_path, room=0)
    outcome = commands.reconcile("cli", "check")
    assert not outcome.accepted
    assert "full" in outcome.effect


def test_a_full_disk_keeps_neither_the_halt_nor_its_cancels_back(
    control: ControlSegment, tmp_path: Path
) -> None:
    commands, ring = build(control, tmp_path / "gone")
    outcome = commands.halt("page", "button")
    assert control.trading_state() == TradingState.HALTED
    assert ring.types() == [EventType.CONTROL_HALT, EventType.CONTROL_CANCEL_ALL]
    assert outcome.accepted
    assert "not written" in outcome.effect


def test_a_record_packed_elsewhere_is_published_and_wakes_the_brain(
    control: ControlSegment, tmp_path: Path
) -> None:
    commands, ring = build(control, tmp_path, room=1)
    payload = pack_control(EventType.CONTROL_ORDER, TradingState.ENABLED, "ana: hedge", 7)
    assert commands.send(payload)
    assert ring.payloads == [payload]
    assert not commands.send(payload), "the ring is full"
    assert ring.wake_count == 2
