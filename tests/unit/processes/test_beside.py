"""What is done beside the engine: at the lowest priority, bounded in time, told by a status."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.processes import beside
from engine.processes.beside import run_beside
from tests.engine_process import DEADLINE_S

PATIENT = "import sys, os\nprint(os.nice(0), *sys.argv[1:], end='')\n"
SORRY = "import sys\nsys.exit('said before\\naegis: nothing of that name')\n"
SLOW = "import time\ntime.sleep(100)\n"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a module `told`."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "told.py"


def test_it_yields_to_everybody_and_hears_its_words(module: Path) -> None:
    module.write_text(PATIENT, "utf-8")
    assert run_beside("told", "a", "b", deadline_s=DEADLINE_S) == (200, b"19 a b")


def test_why_there_is_nothing_is_its_last_sentence(
    module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module.write_text(SORRY, "utf-8")
    monkeypatch.setattr(beside, "NICENESS", 0)
    assert run_beside("told", deadline_s=DEADLINE_S) == (404, b"nothing of that name")


def test_what_takes_too_long_is_ended(module: Path) -> None:
    module.write_text(SLOW, "utf-8")
    status, said = run_beside("told", deadline_s=0.1)
    assert status == 503
    assert b"not done within 0.1 s" in said
