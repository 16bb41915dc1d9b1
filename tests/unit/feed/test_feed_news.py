"""News of a calendar: what a file must be, whose window is open when, and what the brain hears."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import VenueClock
from engine.config import SourcesConfig
from engine.domain.codes import RecordType
from engine.domain.instrument_row import FILTER_OFFSETS, News
from engine.exit_codes import USAGE
from engine.processes.feed_news import FIELD, NewsWatch
from engine.venues.news import (
    EVENTS_MAX,
    NS_PER_MIN,
    NS_PER_S,
    NewsError,
    NewsWindow,
    news_of,
    read_news,
    windows_at,
)
from tests.builders import make_instrument
from tests.engine_process import aegis
from tests.exchange_process import PracticeExchange
from tests.feed_role import FeedRole

AT = datetime(2026, 12, 10, 13, 30, tzinfo=UTC)
AT_NS = int(AT.timestamp()) * NS_PER_S
CPI = '[[event]]\ntime = 2026-12-10T13:30:00Z\nname = "US CPI"\nimportance = "high"\n'


def write(path: Path, text: str) -> Path:
    file = path / "news.toml"
    file.write_text(text, "utf-8")
    return file


def test_a_window_begins_before_its_event_and_ends_after_it(tmp_path: Path) -> None:
    windows = read_news(write(tmp_path, CPI + "before_min = 5\nafter_min = 15\n"))
    first, last = AT_NS - 5 * NS_PER_MIN, AT_NS + 15 * NS_PER_MIN
    open_at = [bool(windows_at(windows, t)) for t in (first - 1, first, last - 1, last)]
    assert open_at == [False, True, True, False]


def test_a_time_is_taken_with_its_zone(tmp_path: Path) -> None:
    here = read_news(write(tmp_path, CPI))
    there = read_news(write(tmp_path, CPI.replace("13:30:00Z", "08:30:00-05:00")))
    assert here == there


@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 40),
            st.integers(0, 40),
            st.sampled_from([News.LOW, News.MEDIUM, News.HIGH]),
            st.sets(st.sampled_from("AB")),
        ),
        max_size=6,
    ),
    now=st.integers(-1, 82),
    symbol=st.sampled_from("AB"),
)
def test_the_gravest_open_window_that_concerns_an_instrument_counts(
    rows: list[tuple[int, int, News, set[str]]], now: int, symbol: str
) -> None:
    windows = [NewsWindow(a, a + b, news, frozenset(whom)) for a, b, news, whom in rows]
    expected = 1
    for a, b, news, whom in rows:
        if now in range(a, a + b) and (symbol in whom or not whom):
            expected = max(expected, int(news))
    assert news_of(windows_at(windows, now), symbol) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[event]", "not valid TOML"),
        (CPI.replace("Z", ""), "time"),  # no zone
        (CPI.replace('"high"', '"huge"'), "importance"),
        (CPI.replace('name = "US CPI"\n', ""), "name"),
        (CPI + "befor_min = 3\n", "befor_min"),
        (CPI + "after_min = -1\n", "after_min"),
        (CPI * (EVENTS_MAX + 1), str(EVENTS_MAX)),
    ],
)
def test_what_is_no_calendar_is_refused_with_file_and_place(
    tmp_path: Path, text: str, said: str
) -> None:
    file = write(tmp_path, text)
    with pytest.raises(NewsError, match=said) as raised:
        read_news(file)
    assert str(file) in str(raised.value)


def test_an_engine_with_a_bad_calendar_does_not_start(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    config = tmp_path / "aegis.toml"
    config.write_text(f'[sources]\nnews_file = "{missing}"\n')
    done = aegis(tmp_path, "run", "--config", str(config))
    assert done.returncode == USAGE
    assert "missing.toml: cannot be read" in done.stderr


class Watch:
    """A watch, asked by hand, and what it wrote."""

    def __init__(self, file: Path) -> None:
        self.carried = [make_instrument(s, instrument_index=k) for k, s in enumerate("AB")]
        self.changes: list[tuple[int, int]] = []
        self.warnings: list[str] = []
        self.watch = NewsWatch(
            str(file), VenueClock(), self, lambda event, text: self.warnings.append(event + text)
        )

    def change(self, index: int, bounds: Mapping[str, int]) -> None:
        self.changes.append((index, bounds[FIELD]))
        self.carried[index] = msgspec.structs.replace(self.carried[index], **bounds)

    def at(self, venue_ns: int) -> list[tuple[int, int]]:
        """Look at a time; return what was written."""
        first = len(self.changes)
        self.watch.look(venue_ns)
        return self.changes[first:]


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    watch = Watch(write(tmp_path, CPI + 'symbols = ["B"]\n'))
    assert watch.at(0) == [(0, News.CALM), (1, News.CALM)]
    assert watch.at(AT_NS) == [(1, News.HIGH)]
    assert watch.at(AT_NS) == []
    assert watch.at(AT_NS + 30 * NS_PER_MIN) == [(1, News.CALM)]


def test_a_changed_file_counts_and_a_broken_one_leaves_the_last(tmp_path: Path) -> None:
    file = write(tmp_path, CPI)
    watch = Watch(file)
    assert watch.at(AT_NS) == [(0, News.HIGH), (1, News.HIGH)]
    write(tmp_path, CPI.replace("high", "low"))
    assert watch.at(AT_NS) == [(0, News.LOW), (1, News.LOW)]
    write(tmp_path, "[[event")
    assert [watch.at(AT_NS), watch.at(AT_NS)] == [[], []]
    file.unlink()
    assert [watch.at(AT_NS), watch.at(AT_NS)] == [[], []]
    assert [warning.split(str(file))[0] for warning in watch.warnings] == ["NEWS_UNREADABLE"] * 2


def test_a_feed_tells_of_news_in_records(tmp_path: Path) -> None:
    now = datetime.now(UTC) - timedelta(minutes=1)
    file = write(tmp_path, CPI.replace("2026-12-10T13:30:00Z", f"{now:%Y-%m-%dT%H:%M:%SZ}"))
    exchange = PracticeExchange("--generate", "1", "--seed", "5")
    feed = FeedRole(
        "feed-news-test", tmp_path, exchange.port, sources=SourcesConfig(news_file=str(file))
    )

    def told() -> list[int]:
        rows = feed.drain()
        rows = rows[rows["record_type"] == RecordType.FILTER]
        return rows["filter_number"][rows["aux"] == FILTER_OFFSETS[FIELD]].tolist()

    try:
        feed.wait("news", partial(told))
        assert told() == [News.HIGH]
    finally:
        feed.close()
        exchange.stop()
