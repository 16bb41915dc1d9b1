"""An operator's commands: looks first where it must, and a halt overtakes a resume."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from engine.domain.codes import TradingState
from engine.processes import operator as operator_module
from engine.processes.commands import Outcome
from engine.processes.operator import FETCHED, Operator


class Commands:
    """Counts, and lets the venue answer as it is told."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.told: list[str] = []
        self.halt_count = 0
        self.trading_state = TradingState.ENABLED
        self.venue: Callable[[], None] = board.confirm

    def state(self) -> TradingState:
        return self.trading_state

    def reconcile(self, _who: str, _reason: str) -> Outcome:
        self.told.append("reconcile")
        self.venue()
        return Outcome("", True, self.trading_state)

    def halt(self, _who: str, _reason: str) -> Outcome:
        self.halt_count += 1
        self.trading_state = TradingState.HALTED
        return Outcome("halted", True, self.trading_state)

    def __getattr__(self, name: str) -> Callable[[str, str], Outcome]:
        def act(_who: str, _reason: str) -> Outcome:
            self.told.append(name)
            return Outcome(f"did {name}", True, self.trading_state)

        return act


class Board:
    """The engine as it is looked at."""

    def __init__(self) -> None:
        self.waiting: dict[str, str] = {}
        self.quotes = ["LIVE", "STALE"]
        self.numbers = dict.fromkeys((*FETCHED, "orders_open"), 0)
        self.numbers |= {"records_total": 9, "strategies_warm": 3, "strategies_cold": 0}
        self.progress_texts: dict[str, str] = {}
        self.counters = self
        self.queries = self
        self.failure: tuple[int, str] | None = None

    def confirm(self) -> None:
        self.numbers["fetches_total"] += 1
        self.numbers["reconciled_total"] += 1

    def count(self, _role: str, name: str) -> int:
        return self.numbers[name]

    def fetch_failure(self, since_ns: int) -> tuple[int, str] | None:
        assert abs(time.time_ns() - since_ns) < 60 * 10**9
        return self.failure

    def progress(self, role: str) -> str:
        return self.progress_texts.get(role, "")

    def ready(self) -> tuple[bool, dict[str, Any]]:
        return not self.waiting, {"waiting": self.waiting}

    def instruments(self) -> list[dict[str, Any]]:
        return [
            {"symbol": f"S{number}", "liveness": {"QUOTE": state}}
            for number, state in enumerate(self.quotes)
        ]


class Rig:
    """An operator over both."""

    def __init__(self) -> None:
        self.board = Board()
        self.commands = Commands(self.board)
        self.stopped = 0
        given: Any = (self.commands, self.board, None, self.stop)
        self.operator = Operator(*given)

    def stop(self) -> None:
        self.stopped += 1

    def told(self, name: str) -> Outcome:
        looked = self.operator.look(name, "me") if self.operator.looks(name) else None
        return self.operator.act(name, "me", "why", looked)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(operator_module, "LOOK_S", 0.05)
    return Rig()


@pytest.mark.parametrize("name", ["pause", "reduce", "flatten", "cancel_all"])
def test_what_needs_no_look_acts_at_once(rig: Rig, name: str) -> None:
    assert rig.told(name).accepted
    assert rig.commands.told == [name]


def test_a_resume_looks_in_order_then_re_arms(rig: Rig) -> None:
    outcome = rig.told("resume")
    assert [(check.name, check.good) for check in outcome.checks] == [
        ("roles", True),
        ("market", True),
        ("warm", True),
        ("books", True),
    ]
    assert rig.commands.told == ["reconcile", "resume"]


def test_a_resume_rests_on_a_look_that_the_venue_has_just_confirmed(rig: Rig) -> None:
    rig.told("halt")
    rig.told("confirm_halt")
    outcome = rig.told("resume")
    assert outcome.accepted
    assert [check.name for check in outcome.checks] == ["roles", "market", "warm", "books"]
    rig.told("resume")
    assert rig.commands.told == ["reconcile", "resume", "resume"]


@pytest.mark.parametrize("since", ["old", "halted", "unconfirmed", *FETCHED])
def test_what_came_since_a_look_makes_a_resume_look_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, since: str
) -> None:
    if since == "unconfirmed":
        rig.commands.venue = lambda: None
    rig.told("resume")
    rig.commands.venue = rig.board.confirm
    if since == "old":
        monkeypatch.setattr(operator_module, "NEW_S", 0.0)
    elif since == "halted":
        rig.told("halt")
    elif since in FETCHED:
        rig.board.numbers[since] += 1
    del rig.commands.told[:]
    assert rig.told("resume").accepted
    assert rig.commands.told == ["reconcile", "resume"]


def test_a_halt_is_confirmed_by_a_look_of_its_own(rig: Rig) -> None:
    rig.told("resume")
    rig.commands.trading_state = TradingState.HALTED
    rig.told("confirm_halt")
    assert rig.commands.told == ["reconcile", "resume", "reconcile"]


def test_the_first_thing_that_fails_ends_the_look(rig: Rig) -> None:
    rig.board.waiting = {"brain": "WARMING"}
    outcome = rig.told("trigger_startup")
    assert not outcome.accepted
    assert [check.name for check in outcome.checks] == ["roles"]
    assert "brain WARMING" in outcome.effect
    rig.board.waiting = {}
    rig.board.quotes = ["STALE", "SILENT"]
    assert "0 of 2" in rig.told("resume").effect
    assert rig.commands.told == []


def test_a_resume_says_how_far_a_brain_is_that_warms_up(rig: Rig) -> None:
    rig.board.waiting = {"brain": "WARMING"}
    rig.board.progress_texts = {"brain": "compiling kernels, once: 12/80 decide"}
    said = rig.told("resume").effect
    assert said == "not resumed, roles: brain WARMING (compiling kernels, once: 12/80 decide)"
    assert rig.commands.told == []


def test_a_brain_that_has_decided_nothing_yet_is_not_re_armed(rig: Rig) -> None:
    """Once a resume looked at roles and market and never whether the one decides on the other."""
    rig.board.numbers["records_total"] = 0
    outcome = rig.told("resume")
    assert not outcome.accepted
    assert outcome.effect == (
        "not resumed, warm: the brain has decided on no market record of this run yet"
    )
    assert rig.commands.told == [], "the venue's books are not asked for"


def test_a_brain_that_begins_to_decide_while_it_is_looked_at_counts(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.board.numbers["records_total"] = 0
    begins = iter([0, 1])

    def count(_role: str, name: str) -> int:
        return next(begins, 1) if name == "records_total" else rig.board.numbers[name]

    monkeypatch.setattr(rig.board, "count", count)
    assert rig.told("resume").accepted


def test_strategies_that_wait_for_bars_are_told_and_keep_nobody_from_closing(rig: Rig) -> None:
    rig.board.numbers |= {"strategies_warm": 1, "strategies_cold": 2}
    outcome = rig.told("resume")
    assert outcome.accepted
    assert outcome.checks[2].found == (
        "the kernels decide; 1 of 3 strategies know their bars, the others enter when they do"
    )


def test_a_venue_that_does_not_confirm_our_books_keeps_trading_off(rig: Rig) -> None:
    rig.commands.venue = lambda: None
    outcome = rig.told("resume")
    assert not outcome.accepted
    assert "did not confirm" in outcome.effect
    assert rig.commands.told == ["reconcile"]


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ((-1003, "Too many requests"), ": the request weight of this minute is spent"),
        ((9004, ""), ": the request weight of this minute is spent"),
        ((9001, "no answer"), ": no answer (9001)"),
        ((9002, ""), ": (9002)"),
    ],
)
def test_why_the_venue_did_not_confirm_is_said(
    rig: Rig, failure: tuple[int, str], said: str
) -> None:
    rig.commands.venue = lambda: None
    rig.board.failure = failure
    assert said in rig.told("resume").effect


def test_a_halt_overtakes_a_resume_that_looks(rig: Rig) -> None:
    def meanwhile() -> None:
        rig.board.confirm()
        rig.commands.halt("other", "no")

    rig.commands.venue = meanwhile
    outcome = rig.told("resume")
    assert not outcome.accepted
    assert "somebody halted" in outcome.effect
    assert "resume" not in rig.commands.told


def test_a_halt_is_confirmed_by_the_venue(rig: Rig) -> None:
    rig.told("halt")
    outcome = rig.told("confirm_halt")
    assert outcome.accepted
    assert rig.commands.told == ["reconcile"]


@pytest.mark.parametrize("case", ["not halted", "orders open", "venue silent", "opened again"])
def test_a_halt_that_the_venue_does_not_show_is_not_confirmed(rig: Rig, case: str) -> None:
    if case != "not halted":
        rig.told("halt")
    if case == "orders open":
        rig.board.numbers["orders_open"] = 2
    if case == "venue silent":
        rig.commands.venue = lambda: None
    if case == "opened again":

        def one_more() -> None:
            rig.board.confirm()
            rig.board.numbers["orders_open"] = 1

        rig.commands.venue = one_more
    outcome = rig.told("confirm_halt")
    assert not outcome.accepted
    assert outcome.effect


def test_a_shutdown_stops_entries_and_then_the_engine(rig: Rig) -> None:
    assert rig.told("trigger_shutdown").effect == "stopping in order"
    assert (rig.commands.told, rig.stopped) == (["pause"], 1)


def test_a_name_nobody_knows_is_a_programmers_error(rig: Rig) -> None:
    with pytest.raises(KeyError):
        rig.told("explode")


def test_a_quote_that_comes_back_while_it_is_looked_at_counts(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator_module, "LOOK_S", 20.0)
    rig.board.quotes = ["STALE"]
    looks = []

    def instruments() -> list[dict[str, Any]]:
        looks.append(1)
        state = "LIVE" if len(looks) > 3 else "STALE"
        return [{"symbol": "S", "liveness": {"QUOTE": state}}]

    monkeypatch.setattr(rig.board, "instruments", instruments)
    assert rig.told("resume").accepted
