"""Tells the brain of news: which instruments stand in the window of an event of the calendar.

What changes becomes a number of the instrument's row (a FILTER record), as open interest does, so
that a session that is run again learns it at the same place. The file is read again when it
changes; one that cannot be used any more leaves the calendar as it was, and is told once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from engine.clock import VenueClock
from engine.processes.feed_interest import CarriesInstruments
from engine.venues.news import NewsError, NewsWindow, news_of, read_news, windows_at

PERIOD_S: Final = 1.0
FIELD: Final = "news"


class NewsWatch:
    """Follows one calendar on the venue's clock; `run` is a task."""

    def __init__(
        self,
        file: str,
        clock: VenueClock,
        roster: CarriesInstruments,
        warn: Callable[..., None],
    ) -> None:
        """Prepare; an empty `file` means that there is no calendar, and nothing is ever told."""
        self._path = Path(file) if file else None
        self._clock = clock
        self._roster = roster
        self._warn = warn
        self._windows: tuple[NewsWindow, ...] = ()
        self._stamp = (0, 0)  # of the file as it was read last: mtime and size
        self._is_read = False

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        if self._path is None:
            await asyncio.Event().wait()
        while True:
            self.look(self._clock.venue_ns(time.monotonic_ns()))
            await asyncio.sleep(PERIOD_S)

    def look(self, venue_ns: int) -> None:
        """Write what changed for any instrument until this time of the venue."""
        self._read()
        if not self._is_read:
            return
        open_windows = windows_at(self._windows, venue_ns)
        for row in self._roster.carried:
            news = int(news_of(open_windows, row.symbol))
            if news != row.news:
                self._roster.change(row.instrument_index, {FIELD: news})

    def _read(self) -> None:
        assert self._path is not None, "run waits for ever without a file"
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
        except OSError:
            stamp = (-1, -1)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._windows = read_news(self._path)
        except NewsError as error:
            self._warn("NEWS_UNREADABLE", str(error))
        else:
            self._is_read = True
