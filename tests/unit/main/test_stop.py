"""How a stop that is not orderly is told: whose patience ended, and what that means."""

import signal
import threading
from types import SimpleNamespace
from typing import cast

import pytest

from engine.processes.brain import SETTLE_SHARE
from engine.processes.engine_run import BRAIN_SHARE, EngineRun
from engine.processes.roles import RoleProcess


class Deaf:
    """A role that does not stop when it is asked to."""

    row = SimpleNamespace(name="brain")

    def __init__(self) -> None:
        self.was_killed = False

    def wait(self, timeout_s: float) -> bool:
        del timeout_s
        return False

    def kill(self) -> None:
        self.was_killed = True


@pytest.mark.parametrize(
    ("signals", "patience_s", "sentence"),
    [
        (1, -1.0, "aegis: brain did not stop within the drain budget and was killed"),
        (2, 1e9, "aegis: brain was killed by a second signal; the next start settles what it left"),
    ],
)
def test_a_role_that_was_killed_is_named_with_the_cause(
    signals: int, patience_s: float, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    engine = EngineRun.__new__(EngineRun)
    monkeypatch.setattr(engine, "_signal_count", signals, raising=False)
    monkeypatch.setattr(engine, "_say", said.append, raising=False)
    role = Deaf()
    assert not engine._wait_stopped(cast("RoleProcess", role), patience_s)
    assert role.was_killed
    assert said == [sentence]


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
