"""The six core checks: what is built proves itself, what is not fails by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from engine.domain.codes import EventType
from engine.processes import core_checks as checks
from engine.processes.core_checks import core_checks, part_proves_itself, trading_environment
from engine.processes.finding import Finding
from engine.processes.practice import PracticeError, PracticeExchange
from engine.store.fold import ADJUSTED_CASH
from ringbuffer.ring import Producer
from ringbuffer.segment import SHM_FOLDER
from tests.journal_homes import add_session, config_of, known, sound_rows
from tests.store_events import decision, event

NAMES = (
    "RL implementation",
    "trading environment",
    "decision making",
    "learning capability",
    "paper trading",
    "memory management",
)


def found_in(home: Path) -> dict[str, Finding]:
    return {each.name: each for each in core_checks(config_of(home), known(home))}


def test_the_six_have_their_names_and_parts_that_are_not_built_are_named(tmp_path: Path) -> None:
    add_session(tmp_path, sound_rows())
    found = found_in(tmp_path)
    assert tuple(found) == NAMES
    unbuilt = {name: each for name, each in found.items() if each.found.startswith("not built")}
    assert set(unbuilt) <= {"RL implementation", "learning capability"}
    assert all(each.level == "fail" for each in unbuilt.values())
    assert all(found[name].good for name in NAMES if name not in unbuilt)


def test_without_a_session_only_what_can_be_tried_passes(tmp_path: Path) -> None:
    passed = {name for name, each in found_in(tmp_path).items() if each.good}
    assert passed - {"RL implementation", "learning capability"} == {"trading environment"}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("decision making", {"rows": [decision(reason=0), *sound_rows()]}),
        ("paper trading", {"rows": sound_rows()[1:-1]}),  # books were never compared
        ("paper trading", {"rows": sound_rows(0)}),
        ("paper trading", {"state": "binance-main-live"}),
        (
            "paper trading",
            {
                "rows": [
                    *sound_rows(),
                    event(EventType.ADJUSTMENT, reason=ADJUSTED_CASH, instrument_index=0),
                ]
            },
        ),
        ("memory management", {"memory_mb": 6_000}),
        ("memory management", {"memory_mb": None}),
    ],
)
def test_a_check_that_the_journal_contradicts_fails(
    tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    add_session(tmp_path, **({"rows": sound_rows()} | changes))
    found = found_in(tmp_path)
    assert found[name].level == "fail"
    others = set(NAMES[1:]) - {name, "learning capability"}
    assert all(found[other].good for other in others if other != "decision making" or not changes)


# -- parts outside the engine ----------------------------------------------------------------------


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "made_part.py"


@pytest.mark.parametrize(
    ("text", "good", "found"),
    [
        ("print('12 episodes, better than chance')", True, "12 episodes, better than chance"),
        ("import sys; print('said'); sys.exit('it learned nothing')", False, "it learned nothing"),
        ("", True, "made_part ended with 0"),
        ("import sys; sys.exit(7)", False, "made_part ended with 7"),
        ("import sys; assert sys.argv[1:] == ['verify']", True, "made_part ended with 0"),
    ],
)
def test_a_part_is_believed_by_its_exit_code_and_its_last_line(
    part: Path, text: str, *, good: bool, found: str
) -> None:
    part.write_text(text, encoding="ascii")
    finding = part_proves_itself("RL implementation", "made_part")
    assert (finding.good, finding.found) == (good, found)


def test_a_part_that_does_not_end_fails(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part.write_text("import time\nwhile True: time.sleep(1)", encoding="ascii")
    monkeypatch.setattr(checks, "PART_LIMIT_S", 0.2)
    assert "did not end" in part_proves_itself("RL implementation", "made_part").found


@pytest.mark.parametrize("module", ["no_such_part", "no_such_package.part", "json.no_such"])
def test_a_part_that_is_not_there_fails_by_name(module: str) -> None:
    finding = part_proves_itself("RL implementation", module)
    assert (finding.level, finding.found) == ("fail", f"not built: {module}")


# -- what is tried ---------------------------------------------------------------------------------


def test_an_environment_without_its_exchange_or_extension_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuses(*_: object) -> PracticeExchange:
        raise PracticeError("no port is free")

    with monkeypatch.context() as changed:
        changed.setattr(PracticeExchange, "start", refuses)
        assert trading_environment().found == "no port is free"
    with monkeypatch.context() as changed:
        changed.delattr("native_ext._feed")
        changed.setitem(sys.modules, "native_ext._feed", None)
        assert trading_environment().remedy == "make native"
    assert trading_environment().good


def test_a_ring_that_never_refuses_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_session(tmp_path, sound_rows())
    monkeypatch.setattr(Producer, "try_publish", lambda *_: 0)
    memory = found_in(tmp_path)["memory management"]
    assert memory.level == "fail"
    assert "answered" in memory.found
    assert list(SHM_FOLDER.glob(f"aegis-verify-{config_of(tmp_path).name}*")) == []
