"""What is given up as memory runs short: scored strategies first, and back with a margin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.codes import EventType, Mode
from engine.domain.risk_reasons import RiskReason, reasons_of
from engine.domain.strategy_table import StrategyKind
from engine.processes.panel import Panel
from engine.processes.shed import BACK_SHARE, SCORED, SHED_SHARE, TOLD_LOOKS, MemoryShed
from tests.control_rig import build, decode, fake_control
from tests.desk_rig import DeskRig

LIMIT_MB = 1000


class Rig:
    """A machine whose memory is what a test says."""

    def __init__(self, state_dir: Path, room: int = 1000) -> None:
        self.commands, self.ring = build(fake_control(), state_dir, room)
        self.panel = Panel(self.commands, lambda: (), (), state_dir)
        self.used_mb = 0
        self.gate: list[np.void] = []  # CONTROL_MEMORY as published
        self.shed = MemoryShed(self.panel, lambda: self.used_mb, LIMIT_MB)

    def look(self, used_mb: int) -> list[Mode]:
        """Look while so much is used; return the modes that were published."""
        self.used_mb = used_mb
        before = len(self.ring.payloads)
        self.shed.look()
        published = [decode(payload) for payload in self.ring.payloads[before:]]
        self.gate += [row for row in published if row["event_type"] == EventType.CONTROL_MEMORY]
        records = [row for row in published if row["event_type"] == EventType.CONTROL_MODE]
        assert all(int(record["cause_sequence"]) == StrategyKind.ORDERFLOW for record in records)
        return [Mode(int(record["time_in_force"])) for record in records]

    def gate_words(self) -> list[int]:
        """Return what was said of the gate since the last question: 1 shut, 0 open."""
        told, self.gate = self.gate, []
        return [int(row["reason"] == RiskReason.MEMORY_STATE) for row in told]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_scored_strategies_are_shed_near_the_limit_and_return_below_it(rig: Rig) -> None:
    assert rig.look(899) == []
    assert rig.look(900) == [Mode.SHADOW]
    (row,) = rig.panel.modes()
    assert (row["part"], row["who"]) == (SCORED, "engine")
    assert rig.look(801) == []
    assert rig.look(799) == [Mode.LIVE]
    assert rig.panel.modes() == []


def test_what_the_operator_asked_for_holds_before_during_and_after(rig: Rig) -> None:
    rig.panel.set_mode(SCORED, "off", "me", "odd")
    assert rig.look(950) == [Mode.OFF], "never milder"
    rig.panel.set_mode(SCORED, "live", "me", "seen")
    assert decode(rig.ring.payloads[-1])["time_in_force"] == Mode.SHADOW, "not while it is short"
    assert rig.look(100) == [Mode.LIVE]
    rig.panel.set_mode(SCORED, "simulate", "me", "why")
    assert rig.look(950) == [Mode.SHADOW]
    assert rig.look(100) == [Mode.SIMULATE]


def test_a_brain_that_came_back_hears_of_it(rig: Rig) -> None:
    told = [len(rig.look(950)) for _ in range(3 * TOLD_LOOKS)]
    assert sum(told) in {3, 4}
    assert max(told) == 1
    assert sum(len(rig.look(10)) for _ in range(3 * TOLD_LOOKS)) == 1


def test_a_full_ring_is_tried_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path, room=0)
    assert rig.look(950) == []
    assert not rig.shed.is_shed
    rig.ring.room = 9
    assert rig.look(950) == [Mode.SHADOW]


def test_the_gate_shuts_above_the_limit_and_opens_at_it(rig: Rig) -> None:
    desk = DeskRig()
    desk.connect()
    for used_mb, words in [(1000, []), (1001, [1]), (1200, []), (1000, [0]), (500, [])]:
        rig.look(used_mb)
        told = list(rig.gate)
        assert rig.gate_words() == words, used_mb
        for row in told:
            desk.step(controls=[np.array([row])])
        if used_mb > LIMIT_MB:
            desk.wait(2)  # the same refusal is written once a second
            mask = int(desk.propose(1, 1)[0]["refusal_mask"])
            assert reasons_of(mask) == (RiskReason.MEMORY_STATE,)
    desk.order(1, 1)


def test_a_shut_gate_is_told_again_and_a_full_ring_tried_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path, room=0)
    rig.look(1001)
    assert (rig.gate_words(), rig.shed.is_shut) == ([], False)
    rig.ring.room = 1000
    for _ in range(2 * TOLD_LOOKS):
        rig.look(1001)
    assert rig.gate_words() in ([1, 1], [1, 1, 1])


def test_it_is_in_no_file(rig: Rig, tmp_path: Path) -> None:
    rig.look(950)
    assert Panel(rig.commands, lambda: (), (), tmp_path).modes() == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 1200), max_size=50))
def test_it_is_shed_by_a_rule_with_memory(
    tmp_path_factory: pytest.TempPathFactory, used: list[int]
) -> None:
    rig = Rig(tmp_path_factory.mktemp("shed"))
    shed = False
    for used_mb in used:
        rig.look(used_mb)
        share = used_mb / LIMIT_MB
        shed = share >= SHED_SHARE or (shed and share >= BACK_SHARE)
        assert rig.shed.is_shed is shed
