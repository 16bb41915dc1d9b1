"""What kind of market a span of time was: a mid a second, from a market journal, and its label.

        trend up, trend down    mid went further than twice what such steps make by chance
        range                   it did not
        unknown                 fewer than `SAMPLES_MIN` seconds are known

Only seconds that lie within spans somebody asks about are kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.store.frames import FrameKind
from engine.store.journal import SOURCE_MARKET
from engine.store.quotes import mids, two_sided
from engine.store.reader import read_batches
from engine.store.session import SessionDocument

NS_PER_S: Final = 1_000_000_000
SAMPLES_MIN: Final = 30
TREND_SCORE: Final = 2.0  # standard deviations of a walk by chance
TREND_UP: Final = "trend up"
TREND_DOWN: Final = "trend down"
RANGE: Final = "range"
UNKNOWN: Final = "unknown"

Span = tuple[int, int]  # ns, wall clock, both ends within


def regime_of(mids: NDArray[np.float64]) -> str:
    """Return the label of a span by its mids, one a second, in order of time."""
    if len(mids) < SAMPLES_MIN:
        return UNKNOWN
    steps = np.diff(np.log(mids))
    by_chance = float(np.sqrt(np.sum(steps * steps)))
    went = float(np.sum(steps))
    if by_chance == 0.0 or abs(went) < TREND_SCORE * by_chance:
        return RANGE
    return TREND_UP if went > 0 else TREND_DOWN


class SecondMids:
    """The last mid of each second within the spans asked about."""

    def __init__(self, spans: Iterable[tuple[str, Span]], document: SessionDocument) -> None:
        """Note which seconds of which instrument are wanted.

        Args:
            spans: symbol and span.
            document: of the session they lie in.
        """
        self._shift_ns = document.started_realtime_ns - document.started_monotonic_ns
        self._place = {row.symbol: place for place, row in enumerate(document.instruments)}
        self._wanted: dict[int, list[Span]] = defaultdict(list)
        for symbol, span in spans:
            if symbol in self._place:
                self._wanted[self._place[symbol]].append(span)
        self._found: dict[int, dict[int, float]] = defaultdict(dict)  # by place: second, mid

    def read(self, directory: Path) -> None:
        """Follow the quotes of a market journal once.

        Raises:
            JournalError: the journal cannot be read.
        """
        if not self._wanted:
            return
        for batch in read_batches(directory, SOURCE_MARKET):
            if batch.kind is FrameKind.RECORDS:
                quotes = two_sided(batch.records)
                for place, spans in self._wanted.items():
                    self._take(place, spans, quotes[quotes["instrument_index"] == place])

    def _take(self, place: int, spans: list[Span], quotes: NDArray[np.void]) -> None:
        seen_ns = quotes["receive_time_ns"].astype(np.int64) + self._shift_ns
        inside = np.zeros(len(quotes), dtype=np.bool_)
        for first_ns, last_ns in spans:
            inside |= (seen_ns >= first_ns) & (seen_ns <= last_ns)
        quotes, seconds = quotes[inside], seen_ns[inside] // NS_PER_S
        self._found[place].update(zip(seconds.tolist(), mids(quotes).tolist(), strict=True))

    def regime(self, symbol: str, span: Span) -> str:
        """Return the label of a span; seconds without a quote stay as the last one was."""
        found = self._found.get(self._place.get(symbol, -1), {})
        first, last = (moment_ns // NS_PER_S for moment_ns in span)
        known = sorted(second for second in found if first <= second <= last)
        if not known:
            return UNKNOWN
        filled = np.repeat(
            np.array([found[second] for second in known]),
            np.diff([*known, last + 1]),
        )
        return regime_of(filled)
