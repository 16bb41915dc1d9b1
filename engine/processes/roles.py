"""The role table, and one running process per row.

Roles start by falling priority and stop in the order of `stop_order`. A role is a fresh
interpreter (never a fork of a threaded process) that imports what it needs and then reads its
configuration from standard input; that document is its start. An interpreter may therefore be
there, waiting, before main knows what to tell it; end of file without a document ends it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

from engine import exit_codes
from engine.processes.control import ControlSegment, RolePage, RoleState, RoleWord


class RoleRow(NamedTuple):
    """One row: what it is, when it starts and stops, what its death means."""

    page: RolePage
    module: str
    priority: int  # higher starts first
    stop_order: int  # lower stops first
    restartable: bool  # may come back in place under --on-role-death restart

    @property
    def name(self) -> str:
        """Return the role's name in lower case."""
        return self.page.name.lower()


ROLES: tuple[RoleRow, ...] = (
    RoleRow(RolePage.ORCHESTRATOR, "engine.processes.orchestrator", 999, 3, restartable=True),
    RoleRow(RolePage.FEED, "engine.processes.feed", 100, 1, restartable=True),
    RoleRow(RolePage.BRAIN, "engine.processes.brain", 50, 2, restartable=True),
)
START_ORDER = tuple(sorted(ROLES, key=lambda row: -row.priority))
# What a terminal sends to all of its group: Ctrl-C, Ctrl-\, Ctrl-Z, and when it is closed.
OF_TERMINAL = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP)
STOP_ORDER = tuple(sorted(ROLES, key=lambda row: row.stop_order))


def interpreter(row: RoleRow) -> subprocess.Popen[bytes]:
    """Return a new process that imports the role's modules and waits for its configuration."""
    # For main: blocked here and so in the new process, from its first instruction on.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, OF_TERMINAL)
    try:
        return subprocess.Popen([sys.executable, "-m", row.module], stdin=subprocess.PIPE)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def waiting_interpreter(page: RolePage) -> Iterator[subprocess.Popen[bytes]]:
    """Start a role's interpreter early; one that was told nothing by the end of the block ends."""
    (row,) = (row for row in ROLES if row.page is page)
    process = interpreter(row)
    assert process.stdin is not None, "asked for a pipe"
    try:
        yield process
    finally:
        if not process.stdin.closed:
            process.kill()
            process.communicate()


class RoleProcess:
    """A role's process, as main sees it."""

    def __init__(
        self,
        row: RoleRow,
        control: ControlSegment,
        waiting: subprocess.Popen[bytes] | None = None,
    ) -> None:
        """Nothing runs until `spawn`, which takes the waiting interpreter if there is one."""
        self.row = row
        self.control = control
        self._waiting = waiting
        self.restart_count = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the process id; 0 before the first spawn."""
        return self._process.pid if self._process else 0

    def spawn(self, config_json: bytes, core: int | None) -> None:
        """Start the role and write its configuration to its standard input.

        A pipe holds 64 KiB, more than any configuration, so the write never waits.
        """
        for word in RoleWord:
            self.control.set_role(self.row.page, word, 0)
        self._process = self._waiting or interpreter(self.row)
        self._waiting = None
        assert self._process.stdin is not None, "asked for a pipe"
        with contextlib.suppress(BrokenPipeError):  # it died at once; the watchdog will say so
            self._process.stdin.write(config_json)
            self._process.stdin.close()
        if core is not None:
            os.sched_setaffinity(self._process.pid, {core})

    def exit_status(self) -> int | None:
        """Return the exit status of a process that ended, None while it lives."""
        return self._process.poll() if self._process else None

    def how_it_ended(self) -> str:
        """Return the rest of the sentence about a process that ended; empty: as it was asked to."""
        status, said = self.exit_status(), self.control.progress(self.row.page)
        if status == exit_codes.ENVIRONMENT:
            return f"cannot go on: {said}"
        return f"died (exit status {status}){': ' + said if said else ''}" if status else ""

    def state(self) -> RoleState:
        """Return what the role reports of itself."""
        return RoleState(self.control.role(self.row.page, RoleWord.STATE))

    def wait(self, timeout_s: float) -> bool:
        """Wait for the process to end; return whether it did."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End the process at once; nothing it holds is released by itself."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
