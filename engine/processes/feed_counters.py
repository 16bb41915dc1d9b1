"""The feed's page of counters: the core's own numbers copied a few times a second, and the rest."""

from __future__ import annotations

from typing import Final, Protocol

from engine.clock import VenueClock
from engine.processes.control import RolePage
from engine.processes.feed_books import BookSnapshots
from engine.telemetry import FEED_COUNTERS, FEED_HISTOGRAMS
from native_ext._feed import Core
from ringbuffer.counters import (
    COUNTERS_MAX,
    FIRST_PAGE_WORD,
    HISTOGRAM_WORDS,
    PAGE_WORDS,
    CountersSegment,
)

WORD: Final = {row.name: word for word, row in enumerate(FEED_COUNTERS)}
DECODE_HISTOGRAM: Final = [row.name for row in FEED_HISTOGRAMS].index("decode_ns")


class ChoiceCounts(Protocol):
    """How the instruments were chosen, in numbers."""

    fallback_count: int
    failure_count: int


class SourceCounts(Protocol):
    """What became of the connections, in numbers, by the counters' names."""

    def counts(self) -> dict[str, int]:
        """Return them."""
        ...


class ListingCounts(Protocol):
    """What became of the instruments since, in numbers."""

    held: dict[int, str]
    failure_count: int


class FeedCounters:
    """Writes page 1 of the counters segment; the decode histogram is written by the core."""

    def __init__(
        self,
        counters: CountersSegment,
        core: Core,
        books: BookSnapshots,
        clock: VenueClock,
        choice: ChoiceCounts,
        listing: ListingCounts,
        sources: SourceCounts,
    ) -> None:
        """Hand the histogram's words to the core."""
        self._page = counters.page(RolePage.FEED)
        self._core = core
        self._books = books
        self._clock = clock
        self._choice = choice
        self._listing = listing
        self._sources = sources
        word = FIRST_PAGE_WORD + RolePage.FEED * PAGE_WORDS + COUNTERS_MAX
        word += DECODE_HISTOGRAM * HISTOGRAM_WORDS
        self._histogram = counters.segment.buffer[8 * word : 8 * (word + HISTOGRAM_WORDS)]
        core.set_histogram(self._histogram)

    def store(self, now_ns: int) -> None:
        """Copy every number into the page."""
        del now_ns  # the page holds totals; who reads it knows when
        numbers = [*self._core.counters(), *self._core.rejects()]
        for word, number in enumerate(numbers):
            self._page.store(word, number)
        self._page.store(WORD["snapshots_total"], self._books.fetched_count)
        self._page.store(WORD["snapshot_failures_total"], self._books.failed_count)
        self._page.store(WORD["books_waiting"], self._books.waiting_count)
        self._page.store(WORD["instruments_fallback"], self._choice.fallback_count)
        self._page.store(WORD["discovery_failures_total"], self._choice.failure_count)
        self._page.store(WORD["instruments_winding_down"], len(self._listing.held))
        self._page.store(WORD["listing_failures_total"], self._listing.failure_count)
        self._page.store(WORD["clock_error_ns"], self._clock.error_ns)
        self._page.store(WORD["clock_rate_ppb"], self._clock.rate_ppb)
        for name, number in self._sources.counts().items():
            self._page.store(WORD[name], number)

    def release(self) -> None:
        """Give the page back, before the segment closes and after the core was detached."""
        self._histogram.release()
        self._page.release()
