"""A brain decides nothing before what it decides can be kept."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.processes.brain import Brain


@pytest.mark.parametrize(("published", "is_ready"), [(7, True), (8, False)])
def test_it_waits_for_the_session_s_document_and_for_its_drain(
    tmp_path: Path, published: int, is_ready: bool
) -> None:
    """Chaos seed 22026: on a full disk orders went out whose session was never written."""
    brain: Any = Brain.__new__(Brain)
    brain.config = SimpleNamespace(state_dir=str(tmp_path), session_id="s1")
    ring = SimpleNamespace(gating_sequence=lambda: 7, published=lambda: published)
    brain.rings = SimpleNamespace(events=SimpleNamespace(ring=ring))
    assert not brain._journal_is_drained()
    session = tmp_path / "journal" / "s1"
    session.mkdir(parents=True)
    (session / "session.json.part").touch()
    assert not brain._journal_is_drained()
    (session / "session.json").touch()
    assert brain._journal_is_drained() is is_ready
