"""Nothing is entered while the venue's calendar says that it does not trade."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import VenueConfig
from engine.domain.codes import Channel, EventType, Liveness, RecordType
from engine.processes.feed_faults import FeedFault
from engine.processes.feed_holds import EntryHolds
from engine.processes.feed_hours import TradingHours
from engine.venues.calendar import ALWAYS, CME, Calendar, is_open
from tests.exchange_process import PracticeExchange
from tests.feed_role import FeedRole

S = 1_000_000_000
CHICAGO = ZoneInfo("America/Chicago")
FRIDAY_CLOSE = datetime(2026, 11, 20, 16, tzinfo=CHICAGO)
SUNDAY_OPEN = datetime(2026, 11, 22, 17, tzinfo=CHICAGO)


def ns(moment: datetime) -> int:
    return int(moment.timestamp()) * S


class Watched:
    """Trading hours over a clock, a core and a journal that a test reads."""

    def __init__(self, calendar: Calendar, count: int = 2) -> None:
        self.calls: list[tuple[int, int]] = []
        self.told: list[tuple[FeedFault, str]] = []
        self.instruments: list[Any] = [object()] * count
        self.hours = TradingHours(
            calendar, cast(Any, self), EntryHolds(self), cast(Any, self), self.instruments
        )

    def venue_ns(self, now_ns: int) -> int:
        return now_ns  # the venue's time is what the test says

    def hold(self, index: int, channel: int, _now_ns: int, is_held: int) -> None:
        assert channel == Channel.QUOTE
        self.calls.append((index, is_held))

    def flush(self, _now_ns: int) -> int:
        return 0

    def tell(self, fault: FeedFault, text: str) -> None:
        self.told.append((fault, text))

    @property
    def held(self) -> set[int]:
        found: set[int] = set()
        for index, is_held in self.calls:
            (found.add if is_held else found.discard)(index)
        return found


def test_entries_end_with_the_session_and_begin_with_the_next() -> None:
    watched = Watched(CME)
    for moment, is_held in ((ns(FRIDAY_CLOSE) - 1, False), (ns(FRIDAY_CLOSE), True),
                            (ns(SUNDAY_OPEN) - 1, True), (ns(SUNDAY_OPEN), False)):  # fmt: skip
        watched.hours.step(moment)
        assert watched.held == ({0, 1} if is_held else set())
    assert watched.calls == [(0, 1), (1, 1), (0, 0), (1, 0)], "each once"
    assert [fault for fault, _ in watched.told] == [
        FeedFault.SESSION_OVER, FeedFault.SESSION_BEGUN
    ]  # fmt: skip
    assert watched.told[0][1] == "cme: no entries until Sun 23:00 UTC"
    assert watched.told[1][1] == "cme: entries until Mon 22:00 UTC"


def test_an_instrument_that_comes_while_it_is_shut_is_held_too() -> None:
    watched = Watched(CME, 1)
    watched.hours.step(ns(FRIDAY_CLOSE))
    watched.instruments.append(object())
    watched.hours.step(ns(FRIDAY_CLOSE) + S)
    assert watched.held == {0, 1}
    watched.hours.step(ns(SUNDAY_OPEN))
    assert watched.held == set()


@given(st.lists(st.integers(0, 21 * 24 * 3600), min_size=1, max_size=30))
def test_whenever_it_looks_it_says_what_the_calendar_says(seconds: list[int]) -> None:
    watched = Watched(CME)
    first_ns = ns(datetime(2026, 12, 14, tzinfo=UTC))  # Christmas and New Year lie within
    for second in seconds:  # in any order: a venue's clock may be set back
        moment_ns = first_ns + second * S
        watched.hours.step(moment_ns)
        assert (watched.held == set()) is is_open(CME, moment_ns)


def test_a_venue_that_never_closes_is_never_asked() -> None:
    watched = Watched(ALWAYS)
    watched.hours.step(ns(FRIDAY_CLOSE))
    assert (watched.calls, watched.told) == ([], [])


@pytest.mark.parametrize(
    ("begins", "first", "then", "fault"),
    [
        (FRIDAY_CLOSE, Liveness.LIVE, Liveness.INVALID, FeedFault.SESSION_OVER),
        (SUNDAY_OPEN, Liveness.INVALID, Liveness.LIVE, FeedFault.SESSION_BEGUN),
    ],
)
def test_a_feed_opens_and_shuts_with_its_venue(
    begins: datetime, first: Liveness, then: Liveness, fault: FeedFault, tmp_path: Path
) -> None:
    start_ms = (ns(begins) - 6 * S) // 1_000_000
    exchange = PracticeExchange("--seed", "3", "--generate", "2", "--start-ms", str(start_ms))
    url = exchange.url
    venue = VenueConfig(rest_url=url, stream_url=url.replace("http", "ws"), calendar="cme")
    feed = FeedRole(f"hours-{int(fault)}", tmp_path, exchange.port, venue=venue)

    def states() -> list[int]:
        seen = feed.drain()
        mine = seen[(seen["record_type"] == RecordType.LIVENESS) & (seen["aux"] == Channel.QUOTE)]
        of_first = mine[mine["instrument_index"] == 0]["liveness"].tolist()
        return [state for state in of_first if state in {Liveness.LIVE, Liveness.INVALID}]

    try:
        feed.wait("the first state", lambda: states() and states()[-1] == first)
        feed.wait("the other", lambda: states() and states()[-1] == then)
        quotes = feed.seen[feed.seen["record_type"] == RecordType.QUOTE]
        assert np.unique(quotes["instrument_index"]).tolist() == [0, 1], "records go on"
        told: list[int] = []

        def is_told() -> bool:
            events = feed.events()
            told.extend(events[events["event_type"] == EventType.ROLE_FAULT]["reason"].tolist())
            return int(fault) in told

        feed.wait("its fault", is_told)
    finally:
        feed.close()
        exchange.stop()
