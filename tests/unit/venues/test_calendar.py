"""Trading sessions: known weeks, changes of the clock, holidays, and recorded markets."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config_load import ADDRESSES
from engine.symbols import MARKET_OF
from engine.venues.calendar import (
    ALWAYS,
    CALENDARS,
    CME,
    NS_PER_S,
    HolidayKind,
    calendar_of,
    easter,
    holiday,
    is_open,
    session_at,
)

HOUR_NS = 3_600 * NS_PER_S
FIRST_NS = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * NS_PER_S
LAST_NS = int(datetime(2090, 1, 1, tzinfo=UTC).timestamp()) * NS_PER_S
TIMES = st.integers(FIRST_NS, LAST_NS)


def ns(text: str, zone: str = "America/Chicago") -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return int(moment.timestamp()) * NS_PER_S


@given(TIMES)
def test_crypto_never_closes(time_ns: int) -> None:
    assert is_open(ALWAYS, time_ns)


def test_every_venue_that_can_be_configured_has_a_calendar() -> None:
    assert {*MARKET_OF, *ADDRESSES, "practice"} <= set(CALENDARS)
    with pytest.raises(KeyError):
        calendar_of("nowhere")


@pytest.mark.parametrize(
    ("chicago", "expected"),
    [
        ("2026-11-15 16:59:59", False),  # Sunday
        ("2026-11-15 17:00:00", True),
        ("2026-11-16 03:00:00", True),
        ("2026-11-16 15:59:59", True),
        ("2026-11-16 16:00:00", False),  # the daily pause
        ("2026-11-16 16:59:59", False),
        ("2026-11-16 17:00:00", True),
        ("2026-11-20 15:59:59", True),  # Friday
        ("2026-11-20 16:00:00", False),
        ("2026-11-20 17:00:00", False),
        ("2026-11-21 12:00:00", False),
        ("2026-11-22 12:00:00", False),
        ("2026-11-22 17:00:00", True),
    ],
)
def test_a_week_without_holidays(chicago: str, expected: bool) -> None:
    assert is_open(CME, ns(chicago)) is expected


@pytest.mark.parametrize(
    ("sunday", "opens_utc"),
    [
        ("2026-03-01", "23:00"),
        ("2026-03-08", "22:00"),  # summer time began this morning
        ("2026-10-25", "22:00"),
        ("2026-11-01", "23:00"),  # and ended this morning
    ],
)
def test_sessions_follow_chicago_through_changes_of_the_clock(sunday: str, opens_utc: str) -> None:
    opens = ns(f"{sunday} {opens_utc}", "UTC")
    assert not is_open(CME, opens - 1)
    assert is_open(CME, opens)
    session = session_at(CME, opens)
    assert session.open_ns == opens
    assert session.close_ns - session.open_ns == 23 * HOUR_NS


@pytest.mark.parametrize(
    ("day", "kind"),
    [
        ("2026-01-01", HolidayKind.CLOSED),
        ("2026-01-19", HolidayKind.EARLY),
        ("2026-02-16", HolidayKind.EARLY),
        ("2026-04-03", HolidayKind.CLOSED),
        ("2026-05-25", HolidayKind.EARLY),
        ("2026-06-19", HolidayKind.EARLY),
        ("2026-07-03", HolidayKind.EARLY),  # the fourth is a Saturday
        ("2026-09-07", HolidayKind.EARLY),
        ("2026-11-26", HolidayKind.EARLY),
        ("2026-11-27", HolidayKind.EARLY_EVE),
        ("2026-12-24", HolidayKind.EARLY_EVE),
        ("2026-12-25", HolidayKind.CLOSED),
        ("2027-05-31", HolidayKind.EARLY),
        ("2027-07-05", HolidayKind.EARLY),  # the fourth is a Sunday
        ("2027-12-24", HolidayKind.CLOSED),  # Christmas is a Saturday
        ("2022-12-26", HolidayKind.CLOSED),  # Christmas was a Sunday
        ("2023-01-02", HolidayKind.CLOSED),  # so was New Year
        ("2026-11-20", None),
        ("2026-12-31", None),
    ],
)
def test_holidays(day: str, kind: HolidayKind | None) -> None:
    assert holiday(date.fromisoformat(day)) is kind


def test_a_year_has_twelve_holidays_or_thirteen() -> None:
    for year in range(2000, 2090):
        days = (date(year, 1, 1) + timedelta(days=k) for k in range(365))
        kinds = Counter(kind for kind in map(holiday, days) if kind is not None)
        assert 11 <= kinds.total() <= 13, (year, kinds)


@pytest.mark.parametrize(
    "sunday",
    ["1961-04-02", "2000-04-23", "2008-03-23", "2024-03-31", "2025-04-20", "2026-04-05",
     "2027-03-28", "2028-04-16", "2038-04-25"],
)  # fmt: skip
def test_easter(sunday: str) -> None:
    day = date.fromisoformat(sunday)
    assert easter(day.year) == day


@pytest.mark.parametrize(
    ("closes", "opens"),
    [
        ("2026-04-02 16:00", "2026-04-05 17:00"),  # Good Friday
        ("2026-12-24 12:15", "2026-12-27 17:00"),  # Christmas, a Friday
        ("2025-12-24 12:15", "2025-12-25 17:00"),  # a Thursday
        ("2025-12-31 16:00", "2026-01-01 17:00"),
        ("2026-01-19 12:00", "2026-01-19 17:00"),
        ("2026-11-26 12:00", "2026-11-26 17:00"),
        ("2026-11-27 12:15", "2026-11-29 17:00"),
        ("2023-12-22 16:00", "2023-12-25 17:00"),
    ],
)
def test_what_a_holiday_does_to_the_hours(closes: str, opens: str) -> None:
    close_ns, open_ns = ns(closes), ns(opens)
    assert is_open(CME, close_ns - 1)
    assert not is_open(CME, close_ns)
    assert session_at(CME, close_ns).open_ns == open_ns
    assert not is_open(CME, open_ns - 1)
    assert is_open(CME, open_ns)


@given(TIMES)
def test_a_session_is_the_first_that_has_not_ended(time_ns: int) -> None:
    session = session_at(CME, time_ns)
    assert time_ns < session.close_ns
    assert is_open(CME, time_ns) is (session.open_ns <= time_ns)
    assert 19 * HOUR_NS <= session.close_ns - session.open_ns <= 23 * HOUR_NS
    assert session.trade_date.weekday() < 5
    following = session_at(CME, session.close_ns)
    assert following.open_ns - session.close_ns >= HOUR_NS, "the daily pause at least"
    assert following.open_ns - session.close_ns <= 4 * 24 * HOUR_NS
    assert session_at(CME, session.open_ns) == session


# Recorded markets: nothing may trade while the calendar says that nobody can.


def shut_minutes(times_ns: Iterable[int]) -> Counter[str]:
    return Counter(
        datetime.fromtimestamp(time_ns // NS_PER_S, UTC).strftime("%Y-%m-%d")
        for time_ns in times_ns
        if not is_open(CME, time_ns)
    )


def recording(shared_data: Path, name: str) -> Path:
    path = shared_data / "cme" / name
    if not path.exists():
        pytest.skip(f"no recorded futures: ../shared/data/cme/{name} is absent")
    return path


def test_a_month_of_currency_futures_lies_in_sessions(shared_data: Path) -> None:
    path = recording(shared_data, "nautilus_6EH4_1m_2024-01.csv.gz")
    with gzip.open(path, "rt") as file:
        ends = [row["timestamp_utc"] for row in csv.DictReader(file)]
    assert len(ends) > 29_000
    # The stamp is the minute's end. On Martin Luther King's day currencies traded on to 16:00.
    shut = shut_minutes(ns(end, "UTC") - 60 * NS_PER_S for end in ends)
    assert shut == {"2024-01-15": 155}


@pytest.mark.parametrize("root", ["es", "nq"])
def test_recorded_minutes_of_index_futures_lie_in_sessions(shared_data: Path, root: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = recording(shared_data, f"ninjatrader_{root}_1m_volumetric_2026-02-05_16.parquet")
    ends = parquet.read_table(path).column("timestamp_et_bar_end").to_pylist()
    assert len(ends) > 9_000
    zone = ZoneInfo("America/New_York")
    times = [int(end.replace(tzinfo=zone).timestamp() - 60) * NS_PER_S for end in ends]
    assert shut_minutes(times) == {}
    early_end_ns = ns("2026-02-16 12:00")
    assert early_end_ns - 120 * NS_PER_S <= max(times) < early_end_ns


def test_trades_around_christmas_lie_in_sessions(shared_data: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = recording(shared_data, "databento_esh4_mbo_2023-12-24_25.parquet")
    rows = parquet.read_table(path, columns=["ts_event_ns", "action"]).to_pylist()
    trades = [int(row["ts_event_ns"]) for row in rows if row["action"] in {"T", "F"}]
    assert len(trades) > 9_000
    assert shut_minutes(trades) == {}
    assert min(trades) >= ns("2023-12-25 17:00")
