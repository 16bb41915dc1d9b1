"""`aegis halt`, `resume` and their like against a served API: what they say and end with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine import cli_control
from engine.api_client import call
from engine.cli import build_parser
from tests.api_rig import TOKEN, Served, serving

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with serving(tmp_path) as made:
        engine = SimpleNamespace(
            name="main", host="127.0.0.1", port=made.api.port, token=TOKEN, pid=1,
            tls_certificate="",
        )  # fmt: skip
        monkeypatch.setattr(cli_control, "find", lambda *_: engine)
        yield made


def run(*words: str) -> int:
    return cli_control.control(build_parser().parse_args(words), {})


@pytest.mark.parametrize("command", ["halt", "pause", "reduce", "flatten", "cancel-all"])
def test_what_is_done_ends_with_0(served: Served, command: str) -> None:
    assert run(command, "just to see") == 0
    name, who, reason = served.operator.told[0]
    assert (name, who, reason) == (command.replace("-", "_"), "cli", "just to see")


def test_a_halt_that_the_venue_does_not_confirm_ends_with_1(
    served: Served, capsys: Capture
) -> None:
    """Once with 0, as a halt after which nothing rests any more."""
    served.operator.good = False
    assert run("halt", "why") == 1
    assert capsys.readouterr().out == "halted, not confirmed: did confirm_halt; now HALTED\n"
    assert run("halt", "why", "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["confirmed"], document["trading_state"]) == (False, "HALTED")
    served.operator.good = True
    assert run("halt", "why", "--json") == 0
    assert json.loads(capsys.readouterr().out)["confirmed"] is True


def test_a_halt_of_which_the_api_falls_silent_ends_with_1(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def dies(*words: Any) -> dict[str, Any] | None:  # noqa: ANN401  as `call` takes them
        return None if words[2] == "/v1/confirm_halt" else call(*words)

    monkeypatch.setattr(cli_control, "call", dies)
    assert run("halt", "why") == 1
    assert "not confirmed: the API fell silent" in capsys.readouterr().out
    assert served.operator.trading_state.name == "HALTED"


def test_what_the_engine_refuses_for_what_it_found_ends_with_1(
    served: Served, capsys: Capture
) -> None:
    served.operator.good = False
    assert run("resume", "--reason", "looked") == 1
    assert run("reconcile", "now") == 1
    assert capsys.readouterr().err == "aegis: did resume\naegis: did reconcile\n"


def test_what_was_asked_wrongly_ends_with_2(served: Served, capsys: Capture) -> None:
    assert run("halt", "x" * 5_000) == 2
    assert capsys.readouterr().err.startswith("aegis: ")
    assert served.operator.told == []
