"""Dead, hung and slow roles by their words, and the role table that says what follows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from engine import exit_codes
from engine.config import Config
from engine.processes import segments, watchdog
from engine.processes.control import RolePage, RoleState, RoleWord
from engine.processes.roles import ROLES, START_ORDER, STOP_ORDER, RoleProcess, RoleRow
from engine.processes.runner import RoleContext
from engine.processes.watchdog import RESTARTS_MAX, Watchdog
from tests.ring_builders import unique_name

S = 1_000_000_000


class Role:
    """A role whose process does what the test says."""

    def __init__(self, row: RoleRow, parts: segments.Segments) -> None:
        self.row = row
        self.parts = parts
        self.control = parts.control
        self.restart_count = 0
        self.status: int | None = None
        self.spawned: list[bytes] = []
        self.killed = 0

    how_it_ended = RoleProcess.how_it_ended

    def exit_status(self) -> int | None:
        return self.status

    def state(self) -> RoleState:
        return RoleState(self.parts.control.role(self.row.page, RoleWord.STATE))

    def spawn(self, document: bytes, _core: int | None) -> None:
        self.spawned.append(document)

    def kill(self) -> None:
        self.killed += 1


class Rig:
    """Real words, a clock of the test's own, and three roles."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.name = unique_name("t").replace("aegis-", "")
        self.parts = segments.create(self.name, 1, 4, Path("home"))
        self.now_ns = time.monotonic_ns()
        monkeypatch.setattr(time, "monotonic_ns", lambda: self.now_ns)
        self.roles = [Role(row, self.parts) for row in START_ORDER]
        processes = cast("list[RoleProcess]", self.roles)
        self.config = Config(name=self.name)
        self.watchdog = Watchdog(self.config, self.parts.control, processes)

    def context(self, page: RolePage) -> RoleContext:
        return RoleContext(page, self.config, self.parts.control)

    def set_all(self, state: RoleState) -> None:
        for role in self.roles:
            self.context(role.row.page).set_state(state)

    def beat_all(self) -> None:
        for role in self.roles:
            self.context(role.row.page).beat()

    def pass_time(self, seconds: float) -> None:
        """Let time pass with the watchdog looking, as it does."""
        for _ in range(round(seconds * 10)):
            self.now_ns += S // 10
            self.watchdog.check()

    def reason(self) -> str:
        verdict = self.watchdog.check()
        return verdict.reason if verdict else ""

    def role(self, page: RolePage) -> Role:
        return next(role for role in self.roles if role.row.page is page)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    made = Rig(monkeypatch)
    yield made
    for ring in made.parts.rings.values():
        ring.close()
    made.parts.control.close()
    made.parts.counters.close()
    made.parts.instruments.close()
    made.parts.sources.close()
    made.parts.depth.close()
    segments.remove(made.name)


def test_roles_start_by_priority_and_stop_feed_brain_orchestrator() -> None:
    assert [row.name for row in START_ORDER] == ["orchestrator", "feed", "brain"]
    assert [row.priority for row in START_ORDER] == [999, 100, 50]
    assert [row.name for row in STOP_ORDER] == ["feed", "brain", "orchestrator"]
    assert all(row.restartable for row in ROLES)


def test_beating_roles_are_healthy_and_a_silent_one_hangs(rig: Rig) -> None:
    rig.set_all(RoleState.READY)
    rig.pass_time(4)
    assert rig.reason() == ""
    rig.beat_all()
    rig.pass_time(4)
    assert rig.reason() == ""
    rig.context(RolePage.FEED).beat()
    rig.context(RolePage.ORCHESTRATOR).beat()
    rig.pass_time(2)
    assert rig.reason() == "brain hangs: thread 0 has not beaten for 6.0 s"


def test_one_silent_thread_of_several_is_a_hung_role(rig: Rig) -> None:
    rig.set_all(RoleState.READY)
    rig.context(RolePage.BRAIN).beat(2)
    rig.pass_time(6)
    rig.beat_all()
    assert rig.reason() == "brain hangs: thread 2 has not beaten for 6.0 s"


def test_a_machine_that_stood_still_hangs_nobody_who_then_goes_on(rig: Rig) -> None:
    rig.set_all(RoleState.READY)
    rig.now_ns += 60 * S  # nobody ran, the watchdog neither
    assert rig.reason() == ""
    rig.pass_time(4)
    assert rig.reason() == ""
    rig.context(RolePage.FEED).beat()
    rig.context(RolePage.ORCHESTRATOR).beat()
    rig.pass_time(1.2)
    assert rig.reason().startswith("brain hangs: thread 0 has not beaten for 65.2 s")


def test_becoming_ready_is_a_beat_however_long_the_imports_before_it_took(rig: Rig) -> None:
    rig.beat_all()
    rig.set_all(RoleState.WARM)
    rig.pass_time(20)
    assert rig.reason() == ""
    rig.set_all(RoleState.READY)
    assert rig.reason() == ""


def test_a_role_that_never_attaches_is_late(rig: Rig) -> None:
    rig.set_all(RoleState.READY)
    rig.parts.control.set_role(RolePage.BRAIN, RoleWord.STATE, RoleState.NONE)
    rig.now_ns += int((watchdog.ATTACH_TIMEOUT_S - 1) * S)
    rig.beat_all()
    assert rig.reason() == ""
    rig.now_ns += 2 * S
    rig.beat_all()
    assert rig.reason() == "brain did not attach within 30 s"


def test_a_compiler_at_work_is_never_late_however_slow_the_machine(rig: Rig) -> None:
    rig.set_all(RoleState.WARMING)
    for kernel in range(100):
        for role in rig.roles:
            rig.parts.control.set_progress(role.row.page, f"compiling kernels {kernel}/100")
        assert rig.reason() == ""
        rig.now_ns += (rig.config.warm_timeout_s - 1) * S


def test_a_warm_up_that_stands_still_is_late(rig: Rig) -> None:
    rig.set_all(RoleState.READY)
    rig.parts.control.set_role(RolePage.BRAIN, RoleWord.STATE, RoleState.WARMING)
    rig.parts.control.set_progress(RolePage.BRAIN, "compiling kernels 7/100")
    assert rig.reason() == ""
    rig.now_ns += rig.config.warm_timeout_s * S
    rig.beat_all()
    assert rig.reason() == ""
    rig.now_ns += S
    said = f"has stood still for {rig.config.warm_timeout_s} s: warming compiling kernels 7/100"
    assert rig.reason() == f"brain {said}"


@pytest.mark.parametrize("state", [RoleState.WARM, RoleState.SYNCED])
def test_a_warm_role_waits_for_the_others_as_long_as_it_takes(rig: Rig, state: RoleState) -> None:
    rig.set_all(RoleState.READY)
    rig.parts.control.set_role(RolePage.FEED, RoleWord.STATE, state)
    rig.now_ns += 1_000 * rig.config.warm_timeout_s * S
    rig.beat_all()
    assert rig.reason() == ""


def test_a_dead_role_is_named_with_what_it_said_last(rig: Rig) -> None:
    rig.set_all(RoleState.READY)
    rig.parts.control.set_progress(RolePage.FEED, "JournalError: no room")
    rig.role(RolePage.FEED).status = -9
    verdict = rig.watchdog.check()
    assert verdict is not None
    assert verdict.exit_code == exit_codes.ROLE_DIED
    assert verdict.reason == "feed died (exit status -9): JournalError: no room"


def test_a_role_that_cannot_read_its_data_is_not_started_again(rig: Rig) -> None:
    rig.set_all(RoleState.WARMING)
    rig.parts.control.set_progress(RolePage.BRAIN, "events: damaged at byte 9")
    rig.role(RolePage.BRAIN).status = exit_codes.ENVIRONMENT
    verdict = rig.watchdog.check()
    assert verdict is not None
    assert (verdict.exit_code, verdict.role) == (exit_codes.ENVIRONMENT, None)
    assert verdict.reason == "brain cannot go on: events: damaged at byte 9"


def test_restarts_in_place_are_bounded(rig: Rig) -> None:
    role = rig.role(RolePage.FEED)
    process = cast("RoleProcess", role)
    done = [rig.watchdog.restart(process, b"{}", rig.parts) for _ in range(RESTARTS_MAX + 1)]
    assert done == [True] * RESTARTS_MAX + [False]
    assert len(role.spawned) == role.killed == RESTARTS_MAX


def test_a_role_that_came_back_has_its_whole_start_again(rig: Rig) -> None:
    rig.now_ns += 100 * S
    rig.watchdog.restart(cast("RoleProcess", rig.role(RolePage.FEED)), b"{}", rig.parts)
    rig.now_ns += 29 * S
    for page in (RolePage.BRAIN, RolePage.ORCHESTRATOR):
        rig.context(page).set_state(RoleState.READY)
    assert rig.reason() == ""
