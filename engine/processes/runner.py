"""The common life of a role: attach, say so, work, and end in a way main can read.

A role is a fresh interpreter. Its configuration arrives as one JSON document on standard input, so
that secrets are in no argument list and no environment. The group's signals are ignored: main asks
each role to stop through the control segment, in order, and a role dies with main.

        main() -> RoleContext -> run(context) returns on a stop request   exit 0
                                 run raises StoreError: data on the disk  exit 3, state FAULTED
                                 run raises CannotGoOnError               exit 3, state FAULTED
                                 run raises anything else                 exit 1, state FAULTED

This is the only place that catches every exception: the role is lost, main must know, and the
watchdog ends or restarts the engine. A role that faults is gone at once: the interpreter's own end
would wait for its threads, and one that sends orders must not outlive those that look after it. A
role that dies in native code writes to standard error where each of its threads was.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import NoReturn

import setproctitle

from engine import exit_codes
from engine.config import Config
from engine.domain import typed
from engine.processes import time_slice
from engine.processes.control import (
    ControlSegment,
    RolePage,
    RoleState,
    RoleWord,
    segment_name,
)
from engine.store.errors import StoreError
from native_ext import _native
from ringbuffer import layout
from ringbuffer.segment import Segment

DEATH_SIGNAL = {
    RolePage.FEED: signal.SIGKILL,
    RolePage.BRAIN: signal.SIGKILL,
    RolePage.ORCHESTRATOR: signal.SIGTERM,  # it drains the event rings first
}
STATE_STAMP = {
    RoleState.SPAWNED: RoleWord.SPAWNED_NS,
    RoleState.ATTACHED: RoleWord.ATTACHED_NS,
    RoleState.WARM: RoleWord.WARM_NS,
    RoleState.SYNCED: RoleWord.SYNCED_NS,
    RoleState.READY: RoleWord.READY_NS,
}


class CannotGoOnError(Exception):
    """A role finds what no restart changes; the message is the sentence to show."""


class RoleContext:
    """What every role is given: its configuration and its page of the control segment."""

    def __init__(self, page: RolePage, config: Config, control: ControlSegment) -> None:
        """Keep the three; the caller owns the control segment."""
        self.page = page
        self.config = config
        self.control = control
        self.orphaned = False

    @property
    def name(self) -> str:
        """Return the role's name in lower case."""
        return self.page.name.lower()

    def segment_name(self, kind: str) -> str:
        """Return the name of one of this instance's segments."""
        return segment_name(self.config.name, kind)

    def set_state(self, state: RoleState) -> None:
        """Report a state and, for the first time it is reached, when."""
        if state == RoleState.READY:
            self.beat()  # from here on the watchdog asks how old the beat is; imports took seconds
        self.control.set_role(self.page, RoleWord.STATE, state)
        stamp = STATE_STAMP.get(state)
        if stamp is not None and not self.control.role(self.page, stamp):
            self.control.set_role(self.page, stamp, time.monotonic_ns())

    def is_in_state(self, state: RoleState) -> bool:
        """Return whether this is the state last reported."""
        return self.control.role(self.page, RoleWord.STATE) == state

    def beat(self, thread: int = 0) -> None:
        """Write a thread's heartbeat."""
        self.control.beat(self.page, thread, time.monotonic_ns())

    def stop_request(self) -> int:
        """Return 0 to go on, 1 to drain and stop, 2 to stop now."""
        if self.orphaned:
            return 1
        return self.control.stop_request(self.page)

    def progress(self, text: str) -> None:
        """Say what this role is doing, for `aegis run` and `/status`."""
        self.control.set_progress(self.page, text)

    def freeze_heap(self) -> None:
        """Collect once and move what is alive out of the collector's sight; call when warm."""
        gc.collect()
        gc.freeze()


def main(page: RolePage, run: Callable[[RoleContext], None]) -> None:
    """Live the role's life and exit the process: 0 when asked to stop, 1 after a fault, 3: data."""
    faulthandler.enable()
    _native.set_parent_death_signal(int(DEATH_SIGNAL[page]))
    _native.set_time_slice(time_slice.OF_ROLE[page])  # threads to come have it too
    setproctitle.setproctitle(f"aegis:{page.name.lower()}")
    document = sys.stdin.buffer.read()
    if not document:
        raise SystemExit(1)  # main ended, or found that it cannot start, before it told us anything
    config = typed.decode(document, Config)
    name = segment_name(config.name, "control")
    control = ControlSegment(Segment.attach(name, kind=layout.KIND_CONTROL))
    if os.getppid() != control.segment.prefix.owner_pid:
        raise SystemExit(1)  # main died before its death could signal us: we would be an orphan
    context = RoleContext(page, config, control)
    signal.signal(signal.SIGTERM, lambda *_: _orphan(context))
    control.set_role(page, RoleWord.PID, os.getpid())
    context.set_state(RoleState.SPAWNED)
    context.beat()
    try:
        run(context)
    except (StoreError, CannotGoOnError) as error:  # a sentence: no restart mends it
        _die(context, str(error), exit_codes.ENVIRONMENT)
    except Exception as error:  # noqa: BLE001  the crash policy: report, then let main decide
        traceback.print_exc()
        _die(context, f"{type(error).__name__}: {error}", exit_codes.ROLE_DIED)
    context.set_state(RoleState.STOPPED)
    raise SystemExit(0)


def _die(context: RoleContext, reason: str, exit_code: int) -> NoReturn:
    context.progress(reason)
    context.set_state(RoleState.FAULTED)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def _orphan(context: RoleContext) -> None:
    # The orchestrator's death signal: main is gone, so drain and stop. A SIGTERM of the group
    # while main lives is ignored; main orders the stop itself.
    if os.getppid() != context.control.segment.prefix.owner_pid:
        context.orphaned = True
