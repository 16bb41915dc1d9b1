"""What a killed orchestrator left in its rings is journaled by main before the rings go."""

import time
from pathlib import Path

import pytest

from engine.store import leftovers
from engine.store.journal import SOURCE_EVENTS_BRAIN
from engine.store.leftovers import drain_events
from engine.store.reader import read_records
from engine.store.verify import verify_session
from tests.orchestrator_rig import OrchestratorRig
from tests.store_events import decision, opening_cash, request


def event_rings(rig: OrchestratorRig) -> list[str]:
    return [ring.name for kind, ring in rig.parts.rings.items() if kind.startswith("events-")]


def test_main_drains_what_a_killed_orchestrator_left(tmp_path: Path) -> None:
    with OrchestratorRig(tmp_path) as rig:
        rig.start()
        rig.publish_events(opening_cash(5))
        rig.kill()
        rig.publish_events(decision(), request(1))

        assert drain_events(rig.config, event_rings(rig)) == []

        events = read_records(rig.directory, SOURCE_EVENTS_BRAIN)
        wanted = (opening_cash(5), decision(), request(1))
        assert events["event_type"].tolist() == [row["event_type"] for row in wanted]
        assert verify_session(rig.directory).is_intact


def test_after_an_orderly_stop_there_is_nothing_to_do(tmp_path: Path) -> None:
    with OrchestratorRig(tmp_path) as rig:
        rig.start()
        rig.publish_events(opening_cash(5), decision())
        assert rig.stop() == 0
        before = {path: path.read_bytes() for path in rig.directory.iterdir()}

        assert drain_events(rig.config, event_rings(rig)) == []

        assert {path: path.read_bytes() for path in rig.directory.iterdir()} == before


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_an_orchestrator_that_outlives_its_main_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    with OrchestratorRig(tmp_path) as rig:
        rig.start()
        rig.publish_events(opening_cash(5), decision())

        def ended_meanwhile(_seconds: float) -> None:
            monkeypatch.undo()
            getattr(rig, end)()

        monkeypatch.setattr(time, "sleep", ended_meanwhile)
        assert drain_events(rig.config, event_rings(rig)) == []
        events = read_records(rig.directory, SOURCE_EVENTS_BRAIN)
        assert len(events) == 2
        assert verify_session(rig.directory).is_intact


def test_an_orchestrator_that_does_not_end_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "ORPHAN_S", 0.0)
    with OrchestratorRig(tmp_path) as rig:
        rig.start()
        rig.publish_events(opening_cash(5))
        problems = drain_events(rig.config, event_rings(rig))
        assert rig.process is not None
        assert f"belongs to process {rig.process.pid}, which is running" in problems[0]


def test_a_ring_that_cannot_be_drained_is_one_sentence(tmp_path: Path) -> None:
    with OrchestratorRig(tmp_path) as rig:
        rig.start()
        rig.publish_events(opening_cash(5))
        rig.kill()
        (rig.directory / "session.json").write_text("{")

        problems = drain_events(rig.config, event_rings(rig))

        assert len(problems) == 3
        assert "session.json is damaged" in problems[0]
