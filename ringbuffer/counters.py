"""Counters and latency histograms that are read without touching the path that writes them.

One segment holds a page per role; a page has 512 counters and room for 16 histograms::

    page      0                 4096
              +-----------------+-------------+-------------+---
              | counter i64 512 | histogram 0 | histogram 1 | ...        16 x 648 words
              +-----------------+-------------+-------------+---
    histogram word 0 count, 1 sum ns, 2 max ns, 3..7 spare, 8.. buckets i64[640]

The segment's 64-byte prefix and the page count fill the first 128 bytes. A word has one writer: a
role may share its page between threads as long as each counter and histogram belongs to one of
them. Writers use plain stores: readers display whole words and need no order between them.

Buckets are logarithmic, 16 to each power of two, so a percentile is exact to 6.25 %, from 0 ns to
2.4 hours; longer times fall in the last bucket. Names and labels are declared elsewhere, by the
caller; here a counter is a number. Standard library only: the main process reads these pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Self

from ringbuffer import layout
from ringbuffer.errors import SegmentLayoutError
from ringbuffer.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

COUNTERS_MAX: Final = 512
HISTOGRAMS_MAX: Final = 16
BUCKET_COUNT: Final = 640
HISTOGRAM_COUNT: Final = 0
HISTOGRAM_SUM: Final = 1
HISTOGRAM_MAX: Final = 2
HISTOGRAM_BUCKETS: Final = 8
HISTOGRAM_WORDS: Final = HISTOGRAM_BUCKETS + BUCKET_COUNT
PAGE_WORDS: Final = COUNTERS_MAX + HISTOGRAMS_MAX * HISTOGRAM_WORDS
FIRST_PAGE_WORD: Final = 16
OFFSET_PAGE_COUNT: Final = 64
SUB_BUCKET_BITS: Final = 4
SUB_BUCKETS: Final = 16
QUANTILES: Final = (0.50, 0.90, 0.99, 0.999)


class Percentiles(NamedTuple):
    """A histogram's summary in ns; all 0 when sample_count is 0."""

    sample_count: int
    mean_ns: float
    p50_ns: int
    p90_ns: int
    p99_ns: int
    p999_ns: int
    max_ns: int


def bucket_index(value_ns: int) -> int:
    """Return the bucket of a value; negative values count as 0.

    Written in the part of Python that Numba compiles too: `kernels.py` has no second version.
    """
    if value_ns < SUB_BUCKETS:
        return max(value_ns, 0)
    exponent = 0
    rest = value_ns
    step = 32
    while step > 0:
        if rest >> step > 0:
            rest >>= step
            exponent += step
        step >>= 1
    index = (exponent - SUB_BUCKET_BITS + 1) * SUB_BUCKETS
    index += (value_ns >> (exponent - SUB_BUCKET_BITS)) & (SUB_BUCKETS - 1)
    return min(index, BUCKET_COUNT - 1)


def bucket_upper_ns(index: int) -> int:
    """Return the largest value that falls in a bucket."""
    if index < SUB_BUCKETS:
        return index
    shift = index // SUB_BUCKETS - 1
    return ((SUB_BUCKETS + index % SUB_BUCKETS + 1) << shift) - 1


def summarise(words: Sequence[int]) -> Percentiles:
    """Return the percentiles of a histogram's words, or of the difference of two copies.

    A percentile is the upper edge of its bucket, never above the maximum.
    """
    buckets = words[HISTOGRAM_BUCKETS:HISTOGRAM_WORDS]
    # WHY: the writer may be between two words; the sum of the buckets is the consistent count.
    count = sum(buckets)
    if count <= 0:
        return Percentiles(0, 0.0, 0, 0, 0, 0, 0)
    maximum = words[HISTOGRAM_MAX]
    found: list[int] = []
    seen = 0
    for index, here in enumerate(buckets):
        seen += here
        while len(found) < len(QUANTILES) and seen >= QUANTILES[len(found)] * count:
            found.append(min(bucket_upper_ns(index), maximum))
    p50_ns, p90_ns, p99_ns, p999_ns = found
    return Percentiles(
        count, words[HISTOGRAM_SUM] / count, p50_ns, p90_ns, p99_ns, p999_ns, maximum
    )


class CounterPage:
    """One role's page. Words are borrowed memory: `release` before the segment closes."""

    def __init__(self, words: memoryview) -> None:
        """Take a page's int64 words; use `CountersSegment.page`."""
        assert len(words) == PAGE_WORDS, len(words)
        self._words = words

    def add(self, counter_index: int, n: int = 1) -> None:
        """Add to a counter; its one writer only."""
        assert 0 <= counter_index < COUNTERS_MAX, counter_index
        self._words[counter_index] += n

    def store(self, counter_index: int, number: int) -> None:
        """Set a counter that is a gauge; its one writer only."""
        assert 0 <= counter_index < COUNTERS_MAX, counter_index
        self._words[counter_index] = number

    def counter(self, counter_index: int) -> int:
        """Return a counter."""
        assert 0 <= counter_index < COUNTERS_MAX, counter_index
        return self._words[counter_index]

    def counters(self, count: int) -> list[int]:
        """Return a copy of the first so many counters."""
        assert 0 <= count <= COUNTERS_MAX, count
        return self._words[:count].tolist()

    def record(self, histogram_index: int, value_ns: int) -> None:
        """Count one latency; the histogram's one writer only."""
        words = self._words
        base = self._base(histogram_index)
        words[base + HISTOGRAM_BUCKETS + bucket_index(value_ns)] += 1
        words[base + HISTOGRAM_COUNT] += 1
        words[base + HISTOGRAM_SUM] += value_ns
        words[base + HISTOGRAM_MAX] = max(words[base + HISTOGRAM_MAX], value_ns)

    def histogram(self, histogram_index: int) -> list[int]:
        """Return a copy of a histogram's words, for `summarise`."""
        base = self._base(histogram_index)
        return self._words[base : base + HISTOGRAM_WORDS].tolist()

    def percentiles(self, histogram_index: int) -> Percentiles:
        """Return a histogram's summary since the engine started."""
        return summarise(self.histogram(histogram_index))

    def counter_words(self) -> NDArray[np.int64]:
        """Return the counters as int64[512] for kernels; borrowed."""
        return self._array(0, COUNTERS_MAX)

    def histogram_words(self, histogram_index: int) -> NDArray[np.int64]:
        """Return a histogram as int64[648] for `kernels.record_latency`; borrowed."""
        base = self._base(histogram_index)
        return self._array(base, base + HISTOGRAM_WORDS)

    def release(self) -> None:
        """Give the words back; views handed to kernels must be gone."""
        self._words.release()

    def _array(self, first: int, end: int) -> NDArray[np.int64]:
        import numpy as np  # the main process reads pages without numpy

        return np.frombuffer(self._words[first:end], np.int64)

    @staticmethod
    def _base(histogram_index: int) -> int:
        assert 0 <= histogram_index < HISTOGRAMS_MAX, histogram_index
        return COUNTERS_MAX + histogram_index * HISTOGRAM_WORDS


class CountersSegment:
    """The segment of all pages. Created by main, attached by everybody."""

    def __init__(self, segment: Segment) -> None:
        """Take over a segment of the counters kind; use `create` or `attach`."""
        self.segment = segment
        head = segment.buffer[OFFSET_PAGE_COUNT : OFFSET_PAGE_COUNT + 8]
        self.page_count = int.from_bytes(head, "little")

    @classmethod
    def create(cls, name: str, page_count: int, generation: int = 1) -> Self:
        """Create zeroed pages.

        Raises:
            SegmentExistsError, SegmentSpaceError: from `Segment.create`.
        """
        assert page_count > 0, page_count
        size_bytes = 8 * (FIRST_PAGE_WORD + page_count * PAGE_WORDS)
        segment = Segment.create(name, size_bytes, kind=layout.KIND_COUNTERS, generation=generation)
        head = page_count.to_bytes(8, "little")
        segment.buffer[OFFSET_PAGE_COUNT : OFFSET_PAGE_COUNT + 8] = head
        segment.seal()
        return cls(segment)

    @classmethod
    def attach(cls, name: str, *, generation: int | None = None) -> Self:
        """Map existing pages.

        Raises:
            SegmentMissingError, SegmentLayoutError, SegmentGenerationError: from `Segment.attach`.
        """
        segment = Segment.attach(name, kind=layout.KIND_COUNTERS, generation=generation)
        counters = cls(segment)
        needed = 8 * (FIRST_PAGE_WORD + counters.page_count * PAGE_WORDS)
        if counters.page_count < 1 or needed > segment.size_bytes:
            segment.close()
            message = f"{name!r} says {counters.page_count} pages in {segment.size_bytes} bytes"
            raise SegmentLayoutError(message)
        return counters

    def page(self, page_index: int) -> CounterPage:
        """Return a page; borrowed until `close`."""
        assert 0 <= page_index < self.page_count, (page_index, self.page_count)
        first = 8 * (FIRST_PAGE_WORD + page_index * PAGE_WORDS)
        return CounterPage(self.segment.buffer[first : first + 8 * PAGE_WORDS].cast("q"))

    def close(self) -> None:
        """Unmap.

        Raises:
            SegmentBusyError: a page or a view of one is still alive.
        """
        self.segment.close()

    def unlink(self) -> None:
        """Remove the name; see `Segment.unlink`."""
        self.segment.unlink()
