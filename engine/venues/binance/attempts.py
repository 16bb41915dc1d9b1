"""One budget of connection attempts for every stream of a process, and one pause for all of them.

        attempt --take()--> fewer than half are used: now
                            more: spaced out, so that the last ones last
                            all: when the oldest leaves the window
                            the venue said stop (418, 429): when it said

The venue counts attempts per address, whoever makes them: 300 in five minutes. Streams of the feed
take two thirds of that; the rest is for the user stream and for whoever else shares the address.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Final

WINDOW_S: Final = 300.0
ATTEMPTS_MAX: Final = 200  # of the venue's 300
PAUSE_MAX_S: Final = 3 * 86_400.0  # the longest ban the venue knows
JITTER_S: Final = 0.05  # so that those who waited do not all come at once


class ConnectionAttempts:
    """Grants attempts; one event loop."""

    def __init__(
        self,
        attempts_max: int = ATTEMPTS_MAX,
        window_s: float = WINDOW_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Grant at most `attempts_max` in any `window_s`."""
        assert attempts_max > 1, attempts_max
        self._attempts_max = attempts_max
        self._window_s = window_s
        self._clock = clock
        self._made: deque[float] = deque()
        self._paused_until_s = 0.0
        self._turn = asyncio.Lock()
        self.total = 0
        self.waiting_count = 0  # how many had to wait

    def wait_s(self) -> float:
        """Return how long the next attempt has to wait; 0: it may be made now."""
        now_s = self._clock()
        while self._made and now_s - self._made[0] >= self._window_s:
            self._made.popleft()
        wait_s = self._paused_until_s - now_s
        if len(self._made) >= self._attempts_max:
            wait_s = max(wait_s, self._made[0] + self._window_s - now_s)
        elif len(self._made) >= self._attempts_max // 2:
            spacing_s = self._window_s / self._attempts_max
            wait_s = max(wait_s, self._made[-1] + spacing_s - now_s)
        return max(wait_s, 0.0)

    def pause(self, seconds: float) -> None:
        """Let nobody try for a while: the venue said so."""
        until_s = self._clock() + min(max(seconds, 0.0), PAUSE_MAX_S)
        self._paused_until_s = max(self._paused_until_s, until_s)

    async def take(self) -> None:
        """Return when an attempt may be made; it is counted as made."""
        async with self._turn:
            if self.wait_s() > 0:
                self.waiting_count += 1
            while (wait_s := self.wait_s()) > 0:  # noqa: ASYNC110  it is told the time only
                await asyncio.sleep(wait_s + random.uniform(0.0, JITTER_S))  # noqa: S311  jitter
            self._made.append(self._clock())
            self.total += 1
