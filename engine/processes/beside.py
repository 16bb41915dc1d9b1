"""What the API has done beside the engine: a process of its own, lowest priority, bounded in time.

Main must never load numpy or hold the interpreter for long, so whatever does is started here.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Final

DEADLINE_S: Final = 30.0
NICENESS: Final = 19


def run_beside(module: str, *words: str, deadline_s: float = DEADLINE_S) -> tuple[int, bytes]:
    """Return an HTTP status and what a module printed, or why it printed nothing.

    Args:
        module: has a main of its own; exit code 0 means done.
        words: its arguments; never a secret, every user of the machine can read them.
        deadline_s: it is ended after this long.

    Returns:
        200 and its standard output; 404 and the last sentence of its standard error; 503 when it
        could not be started or took longer than `deadline_s`.
    """
    command = ["nice", "-n", str(NICENESS), sys.executable, "-m", module, *words]
    try:
        done = subprocess.run(command, capture_output=True, timeout=deadline_s, check=False)
    except subprocess.TimeoutExpired:
        return 503, f"not done within {deadline_s:g} s: this machine is busy; try again".encode()
    except OSError as error:
        return 503, f"not done: {type(error).__name__}".encode()
    if done.returncode:
        return 404, done.stderr.strip().rpartition(b"\n")[2].removeprefix(b"aegis: ")
    return 200, done.stdout
