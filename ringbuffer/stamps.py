"""Time in kernels: read the shared clock, count a latency. `kernels.py` offers both again.

`clock` is the int64[8] of a `Clock` (`native_ext/clock.h`), `histogram` the int64[648] of
`CounterPage.histogram_words`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ringbuffer.atomics import (
    address_of,
    cycles,
    fence_acquire,
    kernel,
    load_acquire,
    load_relaxed,
    monotonic_ns,
    scale,
)
from ringbuffer.counters import (
    HISTOGRAM_BUCKETS,
    HISTOGRAM_COUNT,
    HISTOGRAM_MAX,
    HISTOGRAM_SUM,
    bucket_index,
)
from ringbuffer.layout import (
    CLOCK_MONO0,
    CLOCK_MULTIPLIER,
    CLOCK_SOURCE,
    CLOCK_TSC0,
    CLOCK_VERSION,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Words = NDArray[np.int64]
else:
    Words = Any

bucket_of = kernel(bucket_index)


@kernel
def record_latency(histogram: Words, value_ns: int) -> None:
    """Count one latency in a histogram's int64[648]; its one writer only."""
    histogram[HISTOGRAM_BUCKETS + bucket_of(value_ns)] += 1
    histogram[HISTOGRAM_COUNT] += 1
    histogram[HISTOGRAM_SUM] += value_ns
    histogram[HISTOGRAM_MAX] = max(histogram[HISTOGRAM_MAX], value_ns)


@kernel
def now_ns(clock: Words) -> int:
    """Return nanoseconds in the CLOCK_MONOTONIC domain from a `Clock`'s int64[8]."""
    words = address_of(clock)
    # MEMORY: relaxed; a clock changes its source only when it is calibrated: no partner.
    while load_relaxed(words + CLOCK_SOURCE * 8) != 0:
        # MEMORY: acquire; the words are at least as recent. Pairs with clock_write in clock.c.
        version = load_acquire(words + CLOCK_VERSION * 8)
        # MEMORY: relaxed, all three validated by the version. Pairs with clock_write.
        tsc0 = load_relaxed(words + CLOCK_TSC0 * 8)
        mono0 = load_relaxed(words + CLOCK_MONO0 * 8)
        multiplier = load_relaxed(words + CLOCK_MULTIPLIER * 8)
        tsc = cycles()
        # MEMORY: acquire fence; the loads above stay before the second look. Pairs with the
        # release fence in clock_write.
        fence_acquire()
        # MEMORY: relaxed, ordered by the fence. Pairs with clock_write.
        again = load_relaxed(words + CLOCK_VERSION * 8)
        if version & 1 == 0 and again == version:
            return mono0 + scale(tsc - tsc0, multiplier)
    return monotonic_ns()
