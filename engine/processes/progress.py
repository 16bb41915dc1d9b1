"""How far a long command is: a line rewritten on a terminal, one now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TextIO, TypeVar

TERMINAL_S: Final = 0.2
PLAIN_S: Final = 10.0
TICK_S: Final = 1.0
QUIET_S: Final = 2.0  # what takes no longer shows no progress
BAR_CELLS: Final = 24
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
Item = TypeVar("Item")


class ProgressLine:
    """One line of progress on standard error; standard output stays for results."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Speak on standard error, or where told."""
        self._stream = sys.stderr if stream is None else stream
        self._is_terminal = self._stream.isatty()
        self._due_s = 0.0
        self._width = 0

    def show(self, text: str) -> None:
        """Show where things stand, unless it was shown a moment ago."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        self._due_s = now_s + (TERMINAL_S if self._is_terminal else PLAIN_S)
        if self._is_terminal:
            self._write(f"\r{text:<{self._width}}")
            self._width = len(text)
        else:
            self._write(text + "\n")

    def say(self, text: str) -> None:
        """Write a sentence that stays, above the line."""
        if self._is_terminal and self._width:
            self._write("\r" + " " * self._width + "\r")
        self._write(text + "\n")

    def end(self) -> None:
        """Leave the line."""
        if self._is_terminal and self._width:
            self._write("\n")
            self._width = 0

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            self._due_s = float("inf")  # whoever read it is gone; the work goes on


@contextmanager
def ticking(tell: Callable[[str], None], text: str) -> Iterator[None]:
    """Tell again and again for how long something takes that cannot say how far it is."""
    over, began_s = threading.Event(), time.monotonic()

    def tick() -> None:
        tell(text)
        while not over.wait(TICK_S):
            tell(f"{text}: {time.monotonic() - began_s:.0f} s")

    thread = threading.Thread(target=tick, name="aegis-ticking", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def progressing(
    items: Sequence[Item], what: str, *, quiet: bool = False
) -> Iterator[Iterable[Item]]:
    """Give the items to a loop; once that takes longer than QUIET_S, say at which it is.

    Args:
        items: to go through once.
        what: they are, in plural.
        quiet: say nothing, as where a program reads the answer.
    """
    if quiet:
        yield items
        return
    line, over, place, began_s = ProgressLine(), threading.Event(), [0], time.monotonic()

    def counted() -> Iterator[Item]:
        for place[0], item in enumerate(items):
            yield item

    def tick() -> None:
        wait_s = QUIET_S
        while not over.wait(wait_s):
            wait_s = TICK_S
            done, took_s = place[0], time.monotonic() - began_s
            share = f"{bar(done / len(items))} {done:,} of {len(items):,}"
            line.show(f"{what} {share}, {took_s:.0f} s")

    thread = threading.Thread(target=tick, name="aegis-progress", daemon=True)
    thread.start()
    try:
        yield counted()
    finally:
        over.set()
        thread.join()
        line.end()


def bar(share: float) -> str:
    """Return a share from 0 to 1 as a bar with its percentage."""
    share = min(max(share, 0.0), 1.0)
    full = round(share * BAR_CELLS)
    return f"[{'#' * full}{'.' * (BAR_CELLS - full)}] {share:4.0%}"


def bytes_text(count: float) -> str:
    """Return a number of bytes in the unit people read it in."""
    for unit in _UNITS:
        if count < 1000 or unit == _UNITS[-1]:
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
