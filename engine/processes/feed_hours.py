"""Entries only while the venue trades: outside its calendar's sessions every instrument is held.

        open    until the session ends ----> held, SESSION_OVER
        closed  until the next one begins -> let go, SESSION_BEGUN

Held as by every other reason (`feed_holds`): quotes are INVALID on the ring, so entries are refused
and exits pass. The calendar is asked again only when a boundary has passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from engine.clock import VenueClock
from engine.domain.instrument_row import Instrument
from engine.processes.feed_faults import FeedFault, FeedFaults
from engine.processes.feed_holds import EntryHolds
from engine.venues.calendar import NS_PER_S, Calendar, session_at

REASON: Final = "hours"


class TradingHours:
    """Follows one calendar on the venue's clock; `step` is called some times a second."""

    def __init__(
        self,
        calendar: Calendar,
        clock: VenueClock,
        holds: EntryHolds,
        faults: FeedFaults,
        instruments: Sequence[Instrument],
    ) -> None:
        """Hold nothing before the first step.

        Args:
            calendar: of the venue; one without a zone never closes.
            clock: the venue's.
            holds: who may not be entered.
            faults: what the journal hears.
            instruments: by index; others append to it.
        """
        self._calendar = calendar
        self._clock = clock
        self._holds = holds
        self._faults = faults
        self._instruments = instruments
        self._looked_ns = 0  # venue time
        self._until_ns = 0  # what is known holds so long
        self._is_open = True
        self._held_count = 0

    def step(self, now_ns: int) -> None:
        """Hold or let go what the venue's time says; `now_ns` is monotonic."""
        if not self._calendar.zone:
            return
        venue_ns = self._clock.venue_ns(now_ns)
        if not self._looked_ns <= venue_ns < self._until_ns:
            self._look(venue_ns)
        count = 0 if self._is_open else len(self._instruments)
        if count > self._held_count:
            new = range(self._held_count, count)
            self._holds.set(REASON, new, now_ns, is_held=True)
        elif count < self._held_count:
            self._holds.set(REASON, range(self._held_count), now_ns, is_held=False)
        self._held_count = count

    def _look(self, venue_ns: int) -> None:
        """Ask the calendar; tell when the answer is another one."""
        session = session_at(self._calendar, venue_ns)
        is_open = session.open_ns <= venue_ns
        self._looked_ns = venue_ns
        self._until_ns = session.close_ns if is_open else session.open_ns
        if is_open == self._is_open:
            return
        self._is_open = is_open
        until = datetime.fromtimestamp(self._until_ns // NS_PER_S, UTC).strftime("%a %H:%M UTC")
        fault = FeedFault.SESSION_BEGUN if is_open else FeedFault.SESSION_OVER
        said = "entries until" if is_open else "no entries until"
        self._faults.tell(fault, f"{self._calendar.name}: {said} {until}")
