"""How long to spin, decided from what a thread's own waits came to.

A thread that spins burns its share of a core. Where others want that core the scheduler then makes
it wait, for milliseconds, just when its record comes; a thread that slept has its share left and
is let in at once. So the kernel's account of how long this thread was ready to run and had to wait
decides: sleep at once where the wait is more than CROWDED_SHARE of the time, and until it has been
below CALM_SHARE for CALM_NS. Otherwise spin: the base time, which catches what follows at once, or
twice the usual distance between two pieces of work where that is short.

Measured with four and five busy processes on two cores: docs/adr/0018-spin-by-load.md. Giving the
core away between two looks was the worst of all there: who yields goes to the end of the queue.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_NS: Final = 100_000_000  # a decision ten times a second
CROWDED_SHARE: Final = 0.05
CALM_SHARE: Final = 0.01
CALM_NS: Final = 1_000_000_000  # longer than the slices in which others come and go
DISTANCE_MAX_NS: Final = 100_000  # between two pieces of work that spinning may bridge
SCHEDULER_ACCOUNT: Final = "/proc/thread-self/schedstat"


class RunQueueDelay:
    """How long the calling thread has been ready to run without running; Linux keeps count."""

    def __init__(self, path: str = SCHEDULER_ACCOUNT) -> None:
        """Open the account of the thread that calls; where there is none, it stays at zero."""
        self._descriptor = -1
        with suppress(OSError):
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __call__(self) -> int:
        """Return the nanoseconds so far."""
        if self._descriptor < 0:
            return 0
        return int(os.pread(self._descriptor, 80, 0).split()[1])

    def close(self) -> None:
        """Close the account; it reads as zero from here on."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


class SpinBudget:
    """Says, a few times a second, how long the next waits may spin."""

    def __init__(self, base_ns: int, delay_ns: Callable[[], int], now_ns: int) -> None:
        """Start with the base.

        Args:
            base_ns: the spin where nothing speaks against it.
            delay_ns: how long this thread has waited for a core, ever.
            now_ns: monotonic time.
        """
        self.spin_ns = base_ns
        self._base_ns = base_ns
        self._delay_ns = delay_ns
        self._window_start_ns = now_ns
        self._delay_before_ns = delay_ns()
        self._work_before = 0
        self._crowded_until_ns = now_ns

    def decide(self, now_ns: int, work_count: int) -> int:
        """Return how long to spin from now on, anew once a window.

        Args:
            now_ns: monotonic time.
            work_count: how often this thread found work, ever.
        """
        elapsed_ns = now_ns - self._window_start_ns
        if elapsed_ns < WINDOW_NS:
            return self.spin_ns
        delay_ns = self._delay_ns()
        share = (delay_ns - self._delay_before_ns) / elapsed_ns
        distance_ns = elapsed_ns // max(1, work_count - self._work_before)
        is_crowded = now_ns < self._crowded_until_ns
        if share > CROWDED_SHARE or (is_crowded and share > CALM_SHARE):
            self._crowded_until_ns = now_ns + CALM_NS
        self.spin_ns = self._allowed_ns(now_ns, distance_ns)
        self._window_start_ns = now_ns
        self._delay_before_ns = delay_ns
        self._work_before = work_count
        return self.spin_ns

    def _allowed_ns(self, now_ns: int, distance_ns: int) -> int:
        if now_ns < self._crowded_until_ns:
            return 0
        if distance_ns <= DISTANCE_MAX_NS:
            return max(self._base_ns, 2 * distance_ns)
        return self._base_ns
