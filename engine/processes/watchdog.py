"""Dead and hung roles: a process that lives is not enough, its heartbeats must move.

Before a role is ready it is late when it stands still while it attaches or warms up: a compiler at
work shows its next kernel, however slow the machine. A warm role may wait for its venue or for the
other roles as long as that takes. Under the default policy
the first fault ends the engine, so that the platform restarts it; `restart` brings the role back in
place, a bounded number of times.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from engine import exit_codes
from engine.config import Config
from engine.processes.control import (
    HEARTBEAT_COUNT_MAX,
    ControlSegment,
    RolePage,
    RoleState,
)
from engine.processes.roles import RoleProcess
from engine.processes.segments import READER_BRAIN, Segments

RESTARTS_MAX = 5
ATTACH_TIMEOUT_S = 30.0
STALL_NS = 1_000_000_000  # checks are 20 ms apart; so long without one, the machine stood still
NS_PER_S = 1_000_000_000


class Verdict(NamedTuple):
    """Why the watch ended."""

    exit_code: int
    reason: str
    role: RoleProcess | None = None


class Watchdog:
    """Looks at every role; `check` is called every few milliseconds and never waits."""

    def __init__(
        self, config: Config, control: ControlSegment, roles: Sequence[RoleProcess]
    ) -> None:
        """Watch these roles by their pages of the control segment."""
        self._config = config
        self._control = control
        self._roles = roles
        self._spawned_ns = {role.row.page: time.monotonic_ns() for role in roles}
        self._checked_ns = self._awake_since_ns = time.monotonic_ns()
        self._moved = {page: (spawned_ns, "") for page, spawned_ns in self._spawned_ns.items()}

    def check(self) -> Verdict | None:
        """Return the first fault found, None when all is well."""
        now_ns = time.monotonic_ns()
        if now_ns - self._checked_ns > STALL_NS:
            # A paused machine or a starved disk held everybody; nobody had a chance to beat.
            self._awake_since_ns = now_ns
        self._checked_ns = now_ns
        for role in self._roles:
            reason = self._fault(role, now_ns)
            if not reason:
                continue
            if role.exit_status() == exit_codes.ENVIRONMENT:  # it would find the same again
                return Verdict(exit_codes.ENVIRONMENT, f"{role.row.name} {reason}")
            return Verdict(exit_codes.ROLE_DIED, f"{role.row.name} {reason}", role)
        return None

    def restart(self, role: RoleProcess, document: bytes, parts: Segments) -> bool:
        """Bring a role back in place; return False when it has died too often."""
        if role.restart_count >= RESTARTS_MAX or not role.row.restartable:
            return False
        role.kill()
        role.restart_count += 1
        if role.row.page is RolePage.BRAIN:
            # Records that nobody decided on while the brain was away are old; let the feed go on.
            parts.rings["market"].evict(READER_BRAIN)
        page, now_ns = role.row.page, time.monotonic_ns()
        self._spawned_ns[page] = now_ns
        self._moved[page] = (now_ns, "")
        role.spawn(document, self._config.pin.get(role.row.name))
        return True

    def _fault(self, role: RoleProcess, now_ns: int) -> str:
        page = role.row.page
        if role.exit_status() is not None:
            return role.how_it_ended() or "died (exit status 0)"
        state = role.state()
        age_s = (now_ns - self._spawned_ns[page]) / NS_PER_S
        if state < RoleState.ATTACHED:
            return (
                f"did not attach within {ATTACH_TIMEOUT_S:.0f} s"
                if age_s > ATTACH_TIMEOUT_S
                else ""
            )
        if state < RoleState.WARM:
            return self._stands_still(page, f"{state.name} {self._control.progress(page)}", now_ns)
        if state < RoleState.READY:
            return ""
        return self._hung(page, now_ns)

    def _stands_still(self, page: RolePage, step: str, now_ns: int) -> str:
        # Loading kernels and restoring hold the GIL longer than a heartbeat may take.
        moved_ns, known_step = self._moved[page]
        if step != known_step:
            self._moved[page] = (now_ns, step)
            return ""
        limit_s = self._config.warm_timeout_s
        late = now_ns - moved_ns > limit_s * NS_PER_S
        return f"has stood still for {limit_s} s: {step.lower()}" if late else ""

    def _hung(self, page: RolePage, now_ns: int) -> str:
        limit_ns = self._config.heartbeat_timeout_ms * 1_000_000
        for thread in range(HEARTBEAT_COUNT_MAX):
            beat_ns = self._control.heartbeat_ns(page, thread)
            if beat_ns and now_ns - max(beat_ns, self._awake_since_ns) > limit_ns:
                age_s = (now_ns - beat_ns) / NS_PER_S
                return f"hangs: thread {thread} has not beaten for {age_s:.1f} s"
        return ""
