"""Exit codes of `aegis`, stable and documented in the runbook, and how a command ends with one."""

from __future__ import annotations

import sys

DONE = 0
ROLE_DIED = 1  # a role died or hung
# Of verify, readiness, audit; a replay that differs; a command that the engine refused for what it
# found; a halt that holds and that the venue has not confirmed.
CHECK_FAILED = 1
USAGE = 2  # usage or configuration
ENVIRONMENT = 3  # port, /dev/shm, disk, data, platform
HALTED = 4  # halted by a limit, or books that differ from the venue's
# Ctrl-C in a command other than `run`, which stops in order and ends with 0; or a broken pipe.
INTERRUPTED = 130


def sentence(error: Exception) -> str:
    """Return an error's text; of one of the system, which file and why, without its number."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


def fail(text: str, code: int) -> int:
    """Say in one sentence on standard error why a command ends; return the code it ends with."""
    print(f"aegis: {text}", file=sys.stderr)  # noqa: T201  the command's own output
    return code
