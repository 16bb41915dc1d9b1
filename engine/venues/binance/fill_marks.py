"""From which trade id on an account's fills are asked for.

A venue's clock may be set back and forward again between two looks at it: a fill of that moment is
stamped long before the newest one, and who asks for fills since a time never hears of it. Its
number is higher all the same. But a venue may show a fill after one of a higher number, so what a
picture has seen counts as seen only when it is SETTLED_S old, by this machine's monotonic clock;
before that fills are asked for both ways.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

SETTLED_S: Final = 60.0
NS_PER_S: Final = 1_000_000_000


class FillMarks:
    """Highest trade ids by instrument index: as of the last picture that is old enough."""

    def __init__(self, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """Start knowing none."""
        self._monotonic_ns = monotonic_ns
        self._settled: dict[int, int] = {}
        self._waiting: dict[int, int] = {}  # of one picture that is not old enough yet
        self._due_ns = 0  # when it is

    def settled(self, index: int) -> int:
        """Return the id up to which no fill is asked for any more; 0: ask by time."""
        if self._waiting and self._monotonic_ns() >= self._due_ns:
            self._settled |= self._waiting
            self._waiting = {}
        return self._settled.get(index, 0)

    def waiting(self, index: int) -> int:
        """Return the highest id of a picture that is not old enough yet; 0: none."""
        return self._waiting.get(index, 0)

    def note(self, highest: Mapping[int, int]) -> None:
        """Take the highest trade ids that a complete picture has seen; ids are above 0."""
        if not self._waiting:
            self._waiting = dict(highest)
            self._due_ns = self._monotonic_ns() + round(SETTLED_S * NS_PER_S)
