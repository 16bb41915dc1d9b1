"""The venue's clock as this host sees it: offset and rate, learned from its time endpoint.

        venue_ns(monotonic_ns) = venue_at_anchor + (monotonic_ns - anchor) * (1 + rate_ppb / 1e9)

A real venue runs at rate 1. A tape played at speed X runs at rate X, and a tape at unlimited speed
has no rate at all: then `error_ns` grows, and whoever uses the clock for bounds widens them by it.
Staleness, ages and lag never use this clock; they are differences of one monotonic clock.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

PPB = 1_000_000_000
NS_PER_MS = 1_000_000
SAMPLE_COUNT_MAX = 16
ERROR_NS_FIRST = 600 * PPB  # before a second sample the rate may be anything: ten minutes
ERROR_NS_MAX = 3_600 * PPB  # a day is told from a wrong clock at any error
RATE_SNAP_PPB = 500_000  # within half a per mille plus what the samples allow, the rate is 1
JUMP_NS = 5 * PPB  # further off than a clock error; a tape may do it, a venue does not
RATE_SPAN_NS_MIN = 50 * NS_PER_MS  # closer samples say nothing about the rate
RESIDUAL_DOUBTS_MAX = 4
STEP_BACK_MS = 1_000  # a smaller correction is waited out
# The endpoint answers in whole milliseconds.
RESOLUTION_NS = NS_PER_MS


class VenueClock:
    """Offset, rate and error of a venue's clock; one writer, read from any thread."""

    def __init__(self, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """Start unsynchronised: the host's own wall clock, with the first error."""
        self._monotonic_ns = monotonic_ns
        self._samples: deque[tuple[int, int, int]] = deque(maxlen=SAMPLE_COUNT_MAX)
        # One tuple, replaced whole, so that a reader on another thread never sees half of it.
        self._line = (monotonic_ns(), time.time_ns(), 0)
        self._last_ms = 0
        self.is_suspect = False  # the last sample lay far off; the next one decides
        self.error_ns = ERROR_NS_FIRST
        self.jump_count = 0  # how often it was moved by more than a clock error

    @property
    def bound_ns(self) -> int:
        """Return how far off the offset may be: half the shortest round trip, and the resolution.

        The venue's stamp was made somewhere between request and answer. 0: nothing is known yet.
        """
        return min((doubt for _, _, doubt in self._samples), default=0)

    def offset_ns(self) -> int:
        """Return by how much the venue's clock is ahead of this host's wall clock."""
        return self.venue_ns(self._monotonic_ns()) - time.time_ns()

    @property
    def anchor_ns(self) -> int:
        """Return the monotonic time at which `venue_at_anchor_ns` holds."""
        return self._line[0]

    @property
    def venue_at_anchor_ns(self) -> int:
        """Return the venue time at the anchor."""
        return self._line[1]

    @property
    def rate_ppb(self) -> int:
        """Return the rate minus one, in parts per 1e9."""
        return self._line[2]

    @property
    def is_known(self) -> bool:
        """Return whether the venue has told its time since the start, or since `restart`."""
        return bool(self._samples)

    def venue_ns(self, monotonic_ns: int) -> int:
        """Return the venue time at a monotonic time."""
        anchor, venue, rate_ppb = self._line
        elapsed = monotonic_ns - anchor
        return venue + elapsed + elapsed * rate_ppb // PPB

    def now_ms(self) -> int:
        """Return the venue time now in ms, never below an earlier answer by more than an error.

        Signed requests carry this number. It does not step back inside a burst: a correction of
        less than a second is waited out.
        """
        return self.keep_ms(self.venue_ns(self._monotonic_ns()) // NS_PER_MS)

    def keep_ms(self, now_ms: int) -> int:
        """Note a venue time that was read off the line; return it, or the later one said before."""
        if 0 < self._last_ms - now_ms < STEP_BACK_MS:
            return self._last_ms
        self._last_ms = now_ms
        return now_ms

    def learn(self, sent_ns: int, received_ns: int, venue_ns: int) -> int:
        """Take one answer of the time endpoint; return by how far the clock was wrong.

        One answer far off the line only widens the error; a second one in a row moves the line. So
        a single poisoned answer cannot make every record look late.

        Args:
            sent_ns: monotonic time before the request.
            received_ns: monotonic time after the answer.
            venue_ns: what the venue said.
        """
        assert received_ns >= sent_ns, (sent_ns, received_ns)
        middle = (sent_ns + received_ns) // 2
        doubt = (received_ns - sent_ns) // 2 + RESOLUTION_NS
        residual = venue_ns - self.venue_ns(middle)
        first = not self._samples
        if not first and abs(residual) > JUMP_NS and not self.is_suspect:
            self.is_suspect = True
            self.error_ns = min(2 * abs(residual) + doubt, ERROR_NS_MAX)
            return residual
        self.is_suspect = False
        if not first and abs(residual) > JUMP_NS:
            self.jump_count += 1
        if not first and abs(residual) > RESIDUAL_DOUBTS_MAX * doubt:
            self._forget_before_last()  # the venue's clock changed its pace
        self._samples.append((middle, venue_ns, doubt))
        self._line = (middle, venue_ns, self._estimate_rate_ppb())
        if first:
            self.error_ns = ERROR_NS_FIRST
        else:
            self.error_ns = min(2 * abs(residual) + doubt, ERROR_NS_MAX)
        return residual

    def restart(self) -> None:
        """Forget the samples, as after the venue's clock jumped; the line stays until the next."""
        self._samples.clear()
        self.error_ns = ERROR_NS_FIRST

    def _forget_before_last(self) -> None:
        last = self._samples[-1]
        self._samples.clear()
        self._samples.append(last)

    def _estimate_rate_ppb(self) -> int:
        oldest, latest = self._samples[0], self._samples[-1]
        span = latest[0] - oldest[0]
        if span < RATE_SPAN_NS_MIN:
            return self._line[2]
        rate_ppb = (latest[1] - oldest[1]) * PPB // span - PPB
        doubt_ppb = (oldest[2] + latest[2]) * PPB // span
        return 0 if abs(rate_ppb) <= RATE_SNAP_PPB + doubt_ppb else max(rate_ppb, -PPB)
