"""The standard streams of a command, which may be closed, full, or read by nobody any more."""

from __future__ import annotations

import os
import sys


def open_closed() -> None:
    """Lead what is closed to nowhere: else the next file that is opened is standard output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def mute() -> None:
    """Say what can still be said, and let the interpreter's own flush at its end not fail."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
