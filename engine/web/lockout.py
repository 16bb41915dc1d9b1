"""How often something may be tried: a bucket per key, and a lock that doubles after failures."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

KEYS_MAX: Final = 1_024  # remembered; of more, the one unused for longest is forgotten
FAILURES_FREE: Final = 5
LOCK_S: Final = 60.0  # after the fifth failure, doubling
LOCK_S_MAX: Final = 900.0

Clock = Callable[[], float]


class Buckets:
    """Tokens that drip: `burst` at once, then `per_s`."""

    def __init__(self, burst: float, per_s: float, clock: Clock = time.monotonic) -> None:
        """Start with every bucket full."""
        self._burst = burst
        self._per_s = per_s
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one; return 0, or the seconds until there is one."""
        now_s = self._clock()
        level, at_s = self._levels.pop(key, (self._burst, now_s))
        level = min(self._burst, level + (now_s - at_s) * self._per_s)
        is_free = level >= 1.0
        self._levels[key] = (level - 1.0 if is_free else level, now_s)
        if len(self._levels) > KEYS_MAX:
            self._levels.popitem(last=False)
        return 0.0 if is_free else (1.0 - level) / self._per_s


class _Failed(NamedTuple):
    times: int
    until_s: float


class Lockout:
    """Who failed too often waits, each time twice as long; a success forgets it."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        """Start with nobody locked out."""
        self._clock = clock
        self._failures: OrderedDict[str, _Failed] = OrderedDict()

    def wait_s(self, key: str) -> float:
        """Return for how long this key is locked out; 0: it is not."""
        found = self._failures.get(key)
        return max(found.until_s - self._clock(), 0.0) if found else 0.0

    def failed(self, key: str) -> None:
        """Count a failure."""
        times = self._failures.pop(key, _Failed(0, 0.0)).times + 1
        lock_s = 0.0
        if times >= FAILURES_FREE:
            lock_s = min(LOCK_S * 2.0 ** min(times - FAILURES_FREE, 10), LOCK_S_MAX)
        self._failures[key] = _Failed(times, self._clock() + lock_s)
        if len(self._failures) > KEYS_MAX:
            self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget its failures."""
        self._failures.pop(key, None)
