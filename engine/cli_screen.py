"""A terminal that shows one text after another in its place, until somebody has seen enough."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
HOME, REST_OF_LINE, REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
FALLBACK: Final = (100, 40)
KEYS_MAX: Final = 64  # taken at once

Lines = Callable[[int, int], Sequence[str] | None]


def show(lines: Lines, every_s: float) -> bool:
    """Show `lines(width, height)` again and again until q, Ctrl-C, or it returns None.

    Returns:
        False when the lines ended by themselves.
    """
    with _signals() as woken:
        return _show(lines, every_s, woken)


def _show(lines: Lines, every_s: float, woken: int) -> bool:
    before = termios.tcgetattr(sys.stdin)
    sys.stdout.write(ENTER)
    try:
        tty.setcbreak(sys.stdin)
        while True:
            width, height = shutil.get_terminal_size(FALLBACK)
            found = lines(width, height - 1)
            if found is None:
                return False
            text = "".join(f"{line}{REST_OF_LINE}\n" for line in found)
            sys.stdout.write(HOME + text + REST_OF_SCREEN)
            sys.stdout.flush()
            ready, _, _ = select.select([sys.stdin, woken], [], [], every_s)
            if woken in ready:
                os.read(woken, KEYS_MAX)
            # Past Python's own buffer: what it holds back would not be ready again.
            if sys.stdin in ready and b"q" in os.read(sys.stdin.fileno(), KEYS_MAX).lower():
                return True
    except KeyboardInterrupt:
        return True
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        sys.stdout.write(LEAVE)
        sys.stdout.flush()


@contextmanager
def _signals() -> Iterator[int]:
    """Give what is readable once a signal came: one just before a wait ends that wait, too."""
    ours, pythons = os.pipe()
    os.set_blocking(pythons, False)
    before = signal.set_wakeup_fd(pythons, warn_on_full_buffer=False)
    try:
        yield ours
    finally:
        signal.set_wakeup_fd(before)
        os.close(ours)
        os.close(pythons)
