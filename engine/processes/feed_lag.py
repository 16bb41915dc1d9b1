"""How late one connection is, whether that is a spike, and whether one is coming.

    lag     receive time less event time, on the venue's clock (read by read, in C)
    level   its mean over about LEVEL_S; trend: how the level changes a second
    usual   the least level of the last minute: distance and clock error are in it
    late    level - usual, or where the trend leads in HORIZON_S, is above the limit
    again   in time when both were below half the limit for REARM_S

An exchange that plays a tape at speed X makes every lag X times as long; the rate of its clock
takes that out. Where the venue's clock is not known to the limit there is no lag to speak of.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

LEVEL_S: Final = 1.0
HORIZON_S: Final = 1.0
REARM_S: Final = 5.0
USUAL_SPAN_S: Final = 10.0
USUAL_SPANS: Final = 6
NS_PER_S: Final = 1_000_000_000


class LagWatch:
    """The lag of one connection; pure, told the time."""

    def __init__(self, limit_ns: int, *, is_absolute: bool) -> None:
        """Watch against a limit.

        Args:
            limit_ns: above the usual lag.
            is_absolute: the venue's clock is a clock: a lag above the limit is late from the start.
        """
        self._limit_ns = limit_ns
        self._is_absolute = is_absolute
        self._lows: deque[tuple[float, float]] = deque(maxlen=USUAL_SPANS)
        self._at_s = -1.0
        self._quiet_since_s = 0.0
        self.level_ns = 0.0
        self.trend_ns = 0.0  # per second
        self.spike_count = 0
        self.is_late = False

    @property
    def usual_ns(self) -> float:
        """Return the least level of the last minute."""
        return min((low for _, low in self._lows), default=self.level_ns)

    def excess_ns(self, ahead_s: float = 0.0) -> float:
        """Return how far above the usual the lag is, or will be when the trend goes on."""
        lag_ns = self.level_ns + self.trend_ns * ahead_s
        usual_ns = self.usual_ns
        return lag_ns - (min(usual_ns, 0.0) if self._is_absolute else usual_ns)

    @property
    def is_high(self) -> bool:
        """Return whether it is above half the limit now: late, and not only not yet in time."""
        return self.excess_ns() > self._limit_ns / 2

    def forget(self) -> None:
        """Begin anew: the venue's clock was moved, or it is another connection."""
        self._lows.clear()
        self._at_s = -1.0
        self.trend_ns = 0.0

    def note(self, now_s: float, count: int, sum_ns: int, bound_ns: int, rate: float) -> bool:
        """Take the sums of an interval; return whether it became late or in time again.

        Args:
            now_s: monotonic.
            count: reads; 0 says nothing.
            sum_ns: of their lags.
            bound_ns: how far off the venue's clock may be.
            rate: of the venue's clock; 1 is a real one.
        """
        if count == 0 or bound_ns > self._limit_ns:
            return False
        self._follow(now_s, sum_ns / count / max(rate, 1.0))
        worst_ns = max(self.excess_ns(), self._coming_ns())
        if worst_ns > self._limit_ns / 2:
            self._quiet_since_s = now_s
        if not self.is_late and worst_ns > self._limit_ns:
            self.is_late = True
            self.spike_count += 1
            return True
        if self.is_late and now_s - self._quiet_since_s >= REARM_S:
            self.is_late = False
            return True
        return False

    def _coming_ns(self) -> float:
        """Return what the trend leads to; a small lag has no trend worth a word."""
        if self.excess_ns() < self._limit_ns / 4:
            return 0.0
        return self.excess_ns(HORIZON_S)

    def _follow(self, now_s: float, mean_ns: float) -> None:
        if self._at_s < 0:
            self.level_ns = mean_ns
        else:
            elapsed_s = max(now_s - self._at_s, 1e-3)
            weight = 1.0 - math.exp(-elapsed_s / LEVEL_S)
            before_ns = self.level_ns
            self.level_ns += (mean_ns - before_ns) * weight
            slope = (self.level_ns - before_ns) / elapsed_s
            self.trend_ns += (slope - self.trend_ns) * weight
        self._at_s = now_s
        if not self._lows or now_s - self._lows[-1][0] >= USUAL_SPAN_S:
            self._lows.append((now_s, self.level_ns))
        elif self.level_ns < self._lows[-1][1]:
            self._lows[-1] = (self._lows[-1][0], self.level_ns)
