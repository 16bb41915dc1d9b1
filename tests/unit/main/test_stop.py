"""How a stop that is not orderly is told: whose patience ended, and what that means."""

import signal
import threading
from types import SimpleNamespace
from typing import cast

import pytest

from engine import exit_codes
from engine.processes import engine_run
from engine.processes.brain import SETTLE_SHARE
from engine.processes.control import RolePage, RoleState
from engine.processes.engine_run import EngineRun
from engine.processes.engine_stop import BRAIN_SHARE, stop_roles
from engine.processes.roles import RoleProcess
from engine.processes.segments import Segments
from engine.processes.watchdog import Verdict


class Role:
    """A role that ends, or not, when it is asked to stop."""

    def __init__(self, page: RolePage, status: int | None) -> None:
        self.row = SimpleNamespace(name=page.name.lower(), page=page)
        self.status = status  # None: it does not stop
        self.was_killed = False
        self.control = SimpleNamespace(
            progress=lambda page: {RolePage.FEED: "no disk"}.get(page, "")
        )

    how_it_ended = RoleProcess.how_it_ended

    def wait(self, timeout_s: float) -> bool:
        del timeout_s
        return self.status is not None

    def exit_status(self) -> int | None:
        return self.status

    def state(self) -> RoleState:
        return RoleState.READY

    def kill(self) -> None:
        self.was_killed = True


def stop(
    statuses: dict[RolePage, int | None], *, is_urged: bool = False, budget_s: float = 1e9
) -> tuple[list[str], list[Role]]:
    """Stop roles that end as they are told to here; return what was wrong, and the roles."""
    roles = [Role(page, statuses.get(page, 0)) for page in RolePage]
    control = SimpleNamespace(request_stop=lambda _page, _how: None)
    parts = SimpleNamespace(control=control, rings={"market": SimpleNamespace(wake=lambda: None)})
    problems = stop_roles(
        cast("list[RoleProcess]", roles),
        cast("Segments", parts),
        Verdict(exit_codes.DONE, ""),
        budget_s,
        lambda: is_urged,
    )
    return problems, roles


@pytest.mark.parametrize(
    ("is_urged", "budget_s", "sentence"),
    [
        (False, -1.0, "brain did not stop within the drain budget and was killed"),
        (True, 1e9, "brain was killed by a second signal; the next start settles what it left"),
    ],
)
def test_a_role_that_was_killed_is_named_with_the_cause(
    is_urged: bool, budget_s: float, sentence: str
) -> None:
    problems, roles = stop({RolePage.BRAIN: None}, is_urged=is_urged, budget_s=budget_s)
    assert sentence in problems
    assert all(role.was_killed for role in roles if role.status is None)


def test_a_role_that_was_dead_before_it_was_asked_is_named() -> None:
    # The signal came before the watchdog's next look.
    problems, _ = stop({RolePage.BRAIN: -9})
    assert problems == ["brain died (exit status -9)"]
    problems, _ = stop({RolePage.FEED: exit_codes.ENVIRONMENT})
    assert problems == ["feed cannot go on: no disk"]
    problems, _ = stop({RolePage.FEED: 1})
    assert problems == ["feed died (exit status 1): no disk"]


@pytest.mark.parametrize(("told", "said"), [("", ["aegis: feed fell"]), ("feed fell: x", [])])
def test_what_the_reason_of_the_end_tells_is_not_told_again(
    told: str, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    engine = EngineRun.__new__(EngineRun)
    monkeypatch.setattr(engine_run, "stop_roles", lambda *_: ["feed fell"])
    for name in ("roles", "parts"):
        monkeypatch.setattr(engine, name, list, raising=False)
    monkeypatch.setattr(engine, "config", SimpleNamespace(drain_budget_s=1.0), raising=False)
    monkeypatch.setattr(engine, "_say", heard.append, raising=False)
    assert not engine._stop_roles(Verdict(exit_codes.ROLE_DIED, told))
    assert heard == said


def test_roles_that_end_as_they_were_asked_are_not_told() -> None:
    problems, roles = stop({})
    assert problems == []
    assert not any(role.was_killed for role in roles)


def test_a_signal_takes_no_lock_that_the_interrupted_code_may_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = EngineRun.__new__(EngineRun)
    monkeypatch.setattr(engine, "_signal_count", 0, raising=False)
    monkeypatch.setattr(engine, "_stop", threading.Event(), raising=False)
    assert not engine._is_over()
    handler = threading.Thread(target=engine._on_signal, args=(signal.SIGTERM, None), daemon=True)
    lock = vars(engine._stop)["_cond"]
    with lock:  # as in the middle of the main thread's wait, or of another set()
        handler.start()
        handler.join(5.0)
        assert not handler.is_alive(), "the handler waits for its own thread"
    assert engine._is_over()


def test_a_brain_gives_up_before_main_would_kill_it() -> None:
    assert SETTLE_SHARE < BRAIN_SHARE < 1.0
