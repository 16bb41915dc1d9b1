"""The one virtual clock of the exchange.

Before the market plays it is the wall clock (or stands still at a given start). While it plays
it runs at the speed of the tape; at unlimited speed it is pegged to the last event. After the end
it runs on at the speed of the wall. It never steps back.
"""

from __future__ import annotations

import time

NS_PER_MS = 1_000_000
UNLIMITED = 0.0  # the speed value that means "as fast as subscribers accept"


class VirtualClock:
    """Venue time in nanoseconds since the epoch."""

    def __init__(self, *, speed: float = 1.0, start_ms: int | None = None) -> None:
        """Start idle: at `start_ms` when given, else with the wall clock."""
        self.speed = speed
        self._fixed_start_ns = None if start_ms is None else start_ms * NS_PER_MS
        self._anchor_virtual_ns = 0
        self._anchor_real_ns = 0
        self._playing = False
        self._ended = False
        self._pegged_ns = 0
        self._idle_offset_ns = 0

    @property
    def unlimited(self) -> bool:
        """Tell whether time is pegged to events instead of flowing."""
        return self.speed == UNLIMITED

    @property
    def playing(self) -> bool:
        """Tell whether the market plays now."""
        return self._playing and not self._ended

    @property
    def tolerance(self) -> float:
        """Return the factor by which time windows widen: clients live in real time."""
        return max(1.0, self.speed)

    def now_ns(self) -> int:
        """Return the venue time now."""
        if self._ended:
            return self._anchor_virtual_ns + time.monotonic_ns() - self._anchor_real_ns
        if not self._playing:
            start_ns = time.time_ns() if self._fixed_start_ns is None else self._fixed_start_ns
            return start_ns + self._idle_offset_ns
        if self.unlimited:
            return self._pegged_ns
        elapsed_ns = time.monotonic_ns() - self._anchor_real_ns
        return self._anchor_virtual_ns + int(elapsed_ns * self.speed)

    def now_ms(self) -> int:
        """Return the venue time now in whole milliseconds."""
        return self.now_ns() // NS_PER_MS

    def play(self) -> int:
        """Let venue time flow at the tape's speed; return the time at which it starts."""
        start_ns = self.now_ns()
        self._anchor_virtual_ns = start_ns - start_ns % NS_PER_MS
        self._anchor_real_ns = time.monotonic_ns()
        self._pegged_ns = self._anchor_virtual_ns
        self._playing = True
        return self._anchor_virtual_ns

    def peg(self, event_ns: int) -> None:
        """Move a pegged clock to an event's time; earlier events leave it where it is."""
        self._pegged_ns = max(self._pegged_ns, event_ns)

    def end(self) -> None:
        """Let venue time run on at wall speed from where it is."""
        now_ns = self.now_ns()
        self._anchor_virtual_ns = now_ns
        self._anchor_real_ns = time.monotonic_ns()
        self._ended = True

    def shift_ms(self, offset_ms: int) -> None:
        """Move venue time by hand: a fault, which may step back."""
        self._anchor_virtual_ns += offset_ms * NS_PER_MS
        self._idle_offset_ns += offset_ms * NS_PER_MS
        self._pegged_ns += offset_ms * NS_PER_MS

    def real_delay_s(self, due_ns: int) -> float:
        """Return how many real seconds remain until a venue time; zero at unlimited speed."""
        if self.unlimited:
            return 0.0
        return (due_ns - self.now_ns()) / (self.speed * 1e9)
