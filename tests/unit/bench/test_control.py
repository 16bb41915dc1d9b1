"""The control bench asks the API as an operator does, and takes no refusal for an answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import control
from bench.control import BENCH, Control, summary
from tests.api_rig import TOKEN, Served, serving


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as made:
        yield made


@pytest.mark.parametrize("confirmed", [True, False])
def test_each_halt_is_confirmed_and_undone(
    served: Served, monkeypatch: pytest.MonkeyPatch, *, confirmed: bool
) -> None:
    monkeypatch.setattr(control, "HALTS", 2)
    monkeypatch.setattr("bench.control.time.sleep", lambda _s: None)
    found = Control(served.api.port, TOKEN).halts(confirmed=confirmed)
    names = [name for name, _, _ in served.operator.told]
    assert names == ["halt", "confirm_halt", "resume"] * 2
    assert set(found) <= set(BENCH.units)


def test_a_refusal_is_no_measurement(served: Served) -> None:
    with pytest.raises(AssertionError, match="halt"):
        Control(served.api.port, "wrong").ask("POST", "/v1/halt", "bench")


def test_the_summary_is_of_what_was_waited() -> None:
    assert summary([1.0, 3.0, 2.0]) == {"p50": 2.0, "p99": pytest.approx(2.98), "max": 3.0}
