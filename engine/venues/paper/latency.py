"""How long a command takes to its effect: a fixed time, or draws from what was measured here.

What is measured are round trips of requests to the venue whose data this is. A whole one stands for
the way there and the venue's own time, so a paper order is late rather than early. Draws are
seeded: two sessions that measured the same wait the same.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Final

SAMPLES_MIN: Final = 8  # before that the fixed time holds
SAMPLES_MAX: Final = 512  # the latest are kept: hours, at a sample in half a minute


class LineLatency:
    """The distribution of one line's round trips, in nanoseconds."""

    def __init__(self, fixed_ns: int, *, is_measured: bool, seed: int) -> None:
        """Start with nothing measured.

        Args:
            fixed_ns: without measurement, and until there is enough of it.
            is_measured: draw from what is noted.
            seed: of the draws.
        """
        self._fixed_ns = fixed_ns
        self._is_measured = is_measured
        self._samples: deque[int] = deque(maxlen=SAMPLES_MAX)
        self._random = random.Random(seed)  # noqa: S311  a simulation, not a secret

    def note(self, round_trip_ns: int) -> None:
        """Take one measured round trip."""
        self._samples.append(max(0, round_trip_ns))

    def draw_ns(self) -> int:
        """Return how long the next command takes."""
        if not self._is_measured or len(self._samples) < SAMPLES_MIN:
            return self._fixed_ns
        return self._random.choice(self._samples)
