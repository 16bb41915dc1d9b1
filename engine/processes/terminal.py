"""What `aegis run` says to the person who started it; nobody listening never ends an engine.

Lines go to standard output, or to standard error when standard output is kept for one JSON object.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO

REPEAT_S = 30.0  # the same notice comes again after this long


class Terminal:
    """The lines of one run."""

    def __init__(self, *, json_only: bool) -> None:
        """Speak on standard output, or beside it when that carries JSON only."""
        self._lines = sys.stderr if json_only else sys.stdout
        self._notice = ""
        self._notice_s = 0.0

    def say(self, text: str) -> None:
        """Write one line."""
        _write(self._lines, text)

    def document(self, text: str) -> None:
        """Write the one object that programs read from standard output."""
        _write(sys.stdout, text)

    def notice(self, text: str, now_s: float) -> None:
        """Write a line that would repeat: when its words changed, else every REPEAT_S."""
        if not text or (text == self._notice and now_s - self._notice_s < REPEAT_S):
            return
        self._notice, self._notice_s = text, now_s
        self.say(text)


def _write(stream: TextIO, text: str) -> None:
    try:
        print(text, file=stream, flush=True)
    except OSError:
        # WHY: whoever read us is gone (`| head`, a closed terminal). An exception here would end
        # main without an orderly stop, with orders resting and segments left behind.
        blind = os.open(os.devnull, os.O_WRONLY)
        os.dup2(blind, stream.fileno())
        os.close(blind)
