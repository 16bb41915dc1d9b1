"""Exit codes of `aegis`, stable and documented in the runbook."""

from __future__ import annotations

DONE = 0
ROLE_DIED = 1  # a role died or hung
USAGE = 2  # usage or configuration
ENVIRONMENT = 3  # port, /dev/shm, disk, data, platform
HALTED = 4  # halted by a limit, or books that differ from the venue's
INTERRUPTED = 130  # Ctrl-C in a command other than `run`, which stops in order and ends with 0
