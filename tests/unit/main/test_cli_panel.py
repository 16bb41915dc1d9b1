"""`aegis mode` and `aegis approvals` against a served API: what they send, show and return."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine import cli_orders, cli_panel, exit_codes
from engine.cli import build_parser
from engine.domain.codes import Mode, Regime
from tests.api_rig import TOKEN, Served, serving


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with serving(tmp_path) as made:
        engine = SimpleNamespace(
            name="main", host="127.0.0.1", port=made.api.port, token=TOKEN, pid=1,
            tls_certificate="",
        )  # fmt: skip
        monkeypatch.setattr(cli_orders, "find", lambda *_: engine)
        yield made


def run(*words: str) -> int:
    options = build_parser().parse_args(words)
    commands = {
        "mode": cli_panel.mode_command,
        "approvals": cli_panel.approvals_command,
        "onboard": cli_panel.onboard_command,
        "offboard": cli_panel.offboard_command,
        "lines": cli_panel.lines_command,
        "gaps": cli_panel.gaps_command,
    }
    return commands[options.command](options, {})


Capture = pytest.CaptureFixture[str]


def test_a_mode_is_given_and_listed(served: Served, capsys: Capture) -> None:
    assert run("mode") == 0
    assert capsys.readouterr().out == "everything is live\n"
    assert run("mode", "strategy:a", "shadow", "--reason", "odd") == 0
    assert capsys.readouterr().out == "strategy:a is shadow\n"
    assert served.operator.told == [("strategy:a shadow", "cli", "odd")]
    assert run("mode") == 0
    title, row = capsys.readouterr().out.splitlines()
    assert title.split() == ["part", "mode", "who", "reason"]
    assert row.split() == ["strategy:a", "shadow", "-", "-"]
    assert run("mode", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rows"] == [{"part": "strategy:a", "mode": "shadow"}]


def test_the_words_of_the_command_are_the_modes_there_are() -> None:
    assert {word.upper() for word in cli_panel.MODES} == set(Mode.__members__)
    assert all(label.name.lower() in cli_panel.MODE_EXAMPLE for label in Regime)


@pytest.mark.parametrize("word", ["approve", "reject"])
def test_a_word_on_what_waits(served: Served, capsys: Capture, word: str) -> None:
    assert run("approvals") == 0
    assert "BTCUSDT" in capsys.readouterr().out
    assert run("approvals", word, "4", "--reason", "seen") == 0
    assert served.operator.told == [(f"4 {word}", "cli", "seen")]
    assert run("approvals", word, "5") == 1
    assert "nothing waits under number 5" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("mode", "all"), ("approvals", "approve")])
def test_half_a_command_is_a_usage_error(served: Served, words: tuple[str, ...]) -> None:
    assert run(*words) == 2
    assert served.operator.told == []


@pytest.mark.parametrize(
    "words", [("mode", "all", "loud"), ("approvals", "approve", "x"), ("lines",), ("lines", "b")]
)
def test_what_the_parser_does_not_know_is_a_usage_error(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*words)
    assert ended.value.code == 2


def test_a_silent_api_is_said(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert served.operator.told == []
    monkeypatch.setattr(cli_orders, "call", lambda *_: None)
    assert run("mode") == 1
    assert "does not answer" in capsys.readouterr().err


def test_a_token_that_may_not_read_is_told_why(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert served.operator.told == []
    monkeypatch.setattr(cli_orders, "call", lambda *_: {"error": "no"})
    assert run("approvals") == 2
    assert capsys.readouterr().err == "aegis: no\n"


def test_a_part_is_onboarded_listed_and_taken_off(served: Served, capsys: Capture) -> None:
    assert run("onboard") == 0
    assert capsys.readouterr().out == "nothing is onboarded\n"
    assert run("onboard", "orderflow", "--reason", "quiet") == 0
    assert capsys.readouterr().out == "orderflow: shadow\n"
    assert run("onboard") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["orderflow", "shadow"]
    assert run("offboard", "orderflow") == 0
    assert served.onboarding.stages == {}
    assert run("offboard", "orderflow") == exit_codes.CHECK_FAILED


def test_the_feed_is_asked(served: Served, capsys: Capture) -> None:
    assert run("lines", "second", "--reason", "works") == 0
    assert capsys.readouterr().out == "2 plans go to their second lines\n"
    assert run("gaps") == 0
    assert run("gaps", "NOSUCH") == exit_codes.CHECK_FAILED
    assert "no instrument 'NOSUCH'" in capsys.readouterr().err
    asked_of_it = [what for what, _, _ in served.operator.told]
    assert asked_of_it == ["carry by second", "gaps of all", "gaps of NOSUCH"]
