"""When a venue trades: pure functions of a calendar and a time.

        crypto   always
        CME      a session per trade date, Monday to Friday, in Chicago time, summer time included:
                 from 17:00 of the day before to 16:00; a holiday ends it early, or leaves it out

Holidays are rules, not a list of years: the closures and early ends that CME has had every year.
A product that goes on trading through an early end (currencies on most of them) is shut all the
same, because no entries for some hours cost less than an entry nobody fills. Not in the table: days
that are announced (mourning, weather), halts by price limits, and what a venue's status says.
"""

from __future__ import annotations

import functools
import zoneinfo
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum
from typing import Final, NamedTuple

NS_PER_S: Final = 1_000_000_000
DAY: Final = timedelta(days=1)
MONDAY, THURSDAY, SATURDAY, SUNDAY = 0, 3, 5, 6
SESSIONS_AHEAD: Final = 10  # days without a session that may follow each other


class Session(NamedTuple):
    """One stretch of trading: from `open_ns` until before `close_ns`, Unix time."""

    trade_date: date
    open_ns: int
    close_ns: int


class HolidayKind(IntEnum):
    """What a holiday does to its session."""

    EARLY = 1
    EARLY_EVE = 2
    CLOSED = 3


class Calendar(NamedTuple):
    """A venue's week; a venue without a zone never closes."""

    name: str
    zone: str = ""
    opens: time = time(0)  # of the day before the trade date
    closes: time = time(0)
    early: time = time(0)  # of a holiday on which it opens
    early_eve: time = time(0)  # of the day before Christmas, and after Thanksgiving


ALWAYS: Final = Calendar("always")
CME: Final = Calendar("cme", "America/Chicago", time(17), time(16), time(12), time(12, 15))
CALENDARS: Final = {"always": ALWAYS, "practice": ALWAYS, "binance": ALWAYS, "cme": CME}


def calendar_of(venue: str) -> Calendar:
    """Return the calendar of a venue, or the one of that name.

    Raises:
        KeyError: a venue without one; there is no default.
    """
    return CALENDARS[venue]


def is_open(calendar: Calendar, time_ns: int) -> bool:
    """Return whether a venue trades at a Unix time: outside, entries are blocked."""
    if not calendar.zone:
        return True
    session = session_at(calendar, time_ns)
    return session.open_ns <= time_ns < session.close_ns


def session_at(calendar: Calendar, time_ns: int) -> Session:
    """Return the session that a time lies in, or the next one; the calendar has a zone."""
    zone = _zone(calendar.zone)
    local = datetime.fromtimestamp(time_ns // NS_PER_S, zone)
    day = local.date()
    for _ in range(SESSIONS_AHEAD):
        session = _session(calendar, zone, day)
        if session is not None and time_ns < session.close_ns:
            return session
        day += DAY
    raise AssertionError(f"no session of {calendar.name} within {SESSIONS_AHEAD} days of {local}")


def holiday(day: date) -> HolidayKind | None:
    """Return what a day is at CME, from the rules below; None: a day like others."""
    if day in {easter(day.year) - 2 * DAY, *_observed(date(day.year, 12, 25))}:
        return HolidayKind.CLOSED
    first = date(day.year, 1, 1)
    if day == (first + DAY if first.weekday() == SUNDAY else first):
        return HolidayKind.CLOSED
    thanksgiving = _nth(day.year, 11, THURSDAY, 4)
    if day == thanksgiving + DAY or (day.month, day.day) == (12, 24):
        return HolidayKind.EARLY_EVE
    early = {
        _nth(day.year, 1, MONDAY, 3),  # Martin Luther King
        _nth(day.year, 2, MONDAY, 3),  # Presidents
        _nth(day.year, 6, MONDAY, 1) - 7 * DAY,  # Memorial: the last Monday of May
        *_observed(date(day.year, 6, 19)),  # Juneteenth
        *_observed(date(day.year, 7, 4)),  # Independence
        _nth(day.year, 9, MONDAY, 1),  # Labor
        thanksgiving,
    }
    return HolidayKind.EARLY if day in early else None


def easter(year: int) -> date:
    """Return Easter Sunday of the Gregorian calendar (the method of Meeus, Jones and Butcher)."""
    century, of_century = divmod(year, 100)
    golden = year % 19
    moon = (
        19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15
    ) % 30
    week = (32 + 2 * (century % 4) + 2 * (of_century // 4) - moon - of_century % 4) % 7
    shift = (golden + 11 * moon + 22 * week) // 451
    month, day = divmod(moon + week - 7 * shift + 114, 31)
    return date(year, month, day + 1)


def _session(calendar: Calendar, zone: zoneinfo.ZoneInfo, day: date) -> Session | None:
    """Return the session of a trade date; None: it has none."""
    kind = holiday(day)
    if day.weekday() in {SATURDAY, SUNDAY} or kind is HolidayKind.CLOSED:
        return None
    closes = calendar.closes
    if kind is not None:
        closes = calendar.early if kind is HolidayKind.EARLY else calendar.early_eve
    return Session(day, _unix_ns(day - DAY, calendar.opens, zone), _unix_ns(day, closes, zone))


def _unix_ns(day: date, clock: time, zone: zoneinfo.ZoneInfo) -> int:
    local = datetime.combine(day, clock, zone)
    return int(local.astimezone(UTC).timestamp()) * NS_PER_S


def _nth(year: int, month: int, weekday: int, count: int) -> date:
    first = date(year, month, 1)
    return first + ((weekday - first.weekday()) % 7 + 7 * (count - 1)) * DAY


def _observed(day: date) -> tuple[date, ...]:
    """Return a fixed holiday as it is kept: Saturday's on Friday, Sunday's on Monday."""
    if day.weekday() == SATURDAY:
        return (day - DAY,)
    return (day + DAY,) if day.weekday() == SUNDAY else (day,)


@functools.cache
def _zone(name: str) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(name)
