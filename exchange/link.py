"""What is wrong with the way out of one connection. No socket: frames in, frames out.

Several faults may act on one connection; each is counted, so that the end of one leaves the others.
A connection without any has no link at all, and pays nothing for this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exchange.slow_line import SlowLine


@dataclass(slots=True)
class Link:
    """The faults of one connection."""

    silent: int = 0  # data frames are dropped; pongs, pings and answers go
    dead: int = 0  # nothing goes out, nothing that comes in is heard
    pongless: int = 0  # pings of the client stay unanswered
    deaf_to_pongs: int = 0  # pongs of the client count as lost
    halves: int = 0  # data frames still to be cut in half
    cut_after_half: bool = False
    line: SlowLine | None = None

    @property
    def healthy(self) -> bool:
        """Tell whether nothing is wrong any more."""
        counted = self.silent + self.dead + self.pongless + self.deaf_to_pongs + self.halves
        return counted == 0 and self.line is None

    @property
    def queued_bytes(self) -> int:
        """Return what is under way on a slow line."""
        return self.line.shaper.queued_bytes if self.line is not None else 0

    def passed(self, frames: Sequence[bytes]) -> tuple[list[bytes], bool]:
        """Return which data frames leave, and whether the last of them stops half-way."""
        if self.dead or self.silent:
            return [], False
        if self.halves and frames:
            self.halves -= 1
            first = frames[0]
            return [first[: max(1, len(first) // 2)]], True
        return list(frames), False
