"""The common life of roles: no role outlives a main that died before the role could follow it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine import exit_codes
from engine.config import Config
from engine.processes import segments
from engine.processes.control import RolePage, RoleState, RoleWord
from engine.processes.roles import ROLES, RoleProcess, interpreter, waiting_interpreter
from tests.engine_process import alive, wait_for
from tests.ring_builders import unique_name

# A main that hands its role the configuration and is gone before the role has begun.
DIES_EARLY = """
import os, subprocess, sys
role = subprocess.Popen([sys.executable, "-m", sys.argv[1]], stdin=subprocess.PIPE)
role.stdin.write(sys.stdin.buffer.read())
role.stdin.close()
print(role.pid, flush=True)
os._exit(0)
"""

DAMAGED = """
from engine.processes import runner
from engine.processes.control import RolePage
from engine.store.errors import JournalCorruptError

def reads(context):
    raise JournalCorruptError("events: damaged at byte 9")

runner.main(RolePage.BRAIN, reads)
"""

OUTLIVED = """
import threading
from engine.processes import runner
from engine.processes.control import RolePage

def faults(context):
    threading.Thread(target=threading.Event().wait).start()
    raise {error}

runner.main(RolePage.BRAIN, faults)
"""

DIES_IN_NATIVE_CODE = """
import ctypes
from engine.processes import runner
from engine.processes.control import RolePage

def reads_nothing(context):
    ctypes.string_at(0)

runner.main(RolePage.FEED, reads_nothing)
"""


@pytest.fixture
def parts() -> Iterator[tuple[Config, segments.Segments]]:
    name = unique_name("t").replace("aegis-", "")
    made = segments.create(name, 1, 4, Path("home"))
    yield Config(name=name, session_id="s", epoch=1), made
    for ring in made.rings.values():
        ring.close()
    made.control.close()
    made.counters.close()
    made.instruments.close()
    made.sources.close()
    made.depth.close()
    segments.remove(name)


@pytest.mark.parametrize("page", list(RolePage))
def test_a_role_whose_main_died_at_its_birth_ends_itself(
    parts: tuple[Config, segments.Segments], page: RolePage
) -> None:
    config, made = parts
    done = subprocess.run(
        [sys.executable, "-c", DIES_EARLY, f"engine.processes.{page.name.lower()}"],
        input=msgspec.json.encode(config),
        capture_output=True,
        check=True,
        timeout=60,
    )
    pid = int(done.stdout)
    wait_for("the role to end", lambda: not alive(pid))
    assert made.control.role(page, RoleWord.STATE) == RoleState.NONE
    assert made.control.segment.prefix.owner_pid == os.getpid()


def test_a_role_that_dies_in_native_code_says_where(
    parts: tuple[Config, segments.Segments],
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIES_IN_NATIVE_CODE],
        input=msgspec.json.encode(parts[0]),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGSEGV
    assert b"in reads_nothing" in done.stderr


def test_data_that_cannot_be_read_is_a_sentence_and_a_code_of_its_own(
    parts: tuple[Config, segments.Segments],
) -> None:
    config, made = parts
    done = subprocess.run(
        [sys.executable, "-c", DAMAGED],
        input=msgspec.json.encode(config),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (exit_codes.ENVIRONMENT, b"")
    assert made.control.progress(RolePage.BRAIN) == "events: damaged at byte 9"
    assert made.control.role(RolePage.BRAIN, RoleWord.STATE) == RoleState.FAULTED


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        ("runner.CannotGoOnError('no key')", exit_codes.ENVIRONMENT, "no key"),
        ("ValueError('seven')", exit_codes.ROLE_DIED, "ValueError: seven"),
    ],
)
def test_no_thread_of_a_role_that_faults_lives_on(
    parts: tuple[Config, segments.Segments], error: str, code: int, said: str
) -> None:
    config, made = parts
    done = subprocess.run(
        [sys.executable, "-c", OUTLIVED.format(error=error)],
        input=msgspec.json.encode(config),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code
    assert (b"Traceback" in done.stderr) == (code == exit_codes.ROLE_DIED)
    assert made.control.progress(RolePage.BRAIN) == said
    assert made.control.role(RolePage.BRAIN, RoleWord.STATE) == RoleState.FAULTED


@pytest.mark.parametrize("page", list(RolePage))
def test_an_interpreter_that_is_told_nothing_ends_quietly(page: RolePage) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"engine.processes.{page.name.lower()}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_a_waiting_interpreter_ends_with_its_block_unless_it_was_started() -> None:
    with waiting_interpreter(RolePage.FEED) as idle:
        assert idle.poll() is None
    assert idle.returncode == -signal.SIGKILL


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP", "SIGQUIT", "SIGTSTP"])
def test_what_a_terminal_sends_to_its_group_is_for_main(name: str) -> None:
    """Once a terminal that was closed under a run took the roles away from main's orderly stop."""
    (row,) = (row for row in ROLES if row.page is RolePage.FEED)
    process = interpreter(row)
    try:
        process.send_signal(signal.Signals[name])
        process.communicate(timeout=60)  # the end of its standard input, as main's end is
    finally:
        process.kill()
    assert process.returncode == 1


def test_a_role_starts_in_the_interpreter_that_waits(
    parts: tuple[Config, segments.Segments],
) -> None:
    config, made = parts
    (row,) = (row for row in ROLES if row.page is RolePage.FEED)
    with waiting_interpreter(RolePage.FEED) as waiting:
        role = RoleProcess(row, made.control, waiting)
        assert role.pid == 0
        role.spawn(msgspec.json.encode(config), None)
        assert role.pid == waiting.pid
    wait_for("the feed to attach", lambda: role.state() >= RoleState.ATTACHED)
    role.kill()
    role.spawn(msgspec.json.encode(config), None)  # as the watchdog does: a process of its own
    assert role.pid != waiting.pid
    role.kill()
