"""A calendar of events, and how grave the gravest of them is whose window is open.

        [[event]]
        time = 2026-12-10T13:30:00Z     when it happens; a time zone is needed
        name = "US CPI"
        importance = "high"             low, medium or high
        symbols = ["BTCUSDT"]           of whom; left out: of all
        before_min = 10                 its window begins so long before, minutes
        after_min = 30                  and ends so long after

Such events are announced days before, so nothing is known too early by reading them all at once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from engine.domain import typed
from engine.domain.instrument_row import News

NS_PER_S: Final = 1_000_000_000
NS_PER_MIN: Final = 60 * NS_PER_S
EVENTS_MAX: Final = 10_000
Minutes = Annotated[int, Meta(ge=0, le=1_440)]


class NewsError(ValueError):
    """A calendar cannot be used; the message names file and place."""


class NewsWindow(NamedTuple):
    """What an event comes to: from `open_ns` until before `close_ns`, Unix time."""

    open_ns: int
    close_ns: int
    news: News
    symbols: frozenset[str]  # none: all


class _Event(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    time: Annotated[datetime, Meta(tz=True)]
    name: Annotated[str, Meta(min_length=1, max_length=120)]
    importance: Literal["low", "medium", "high"]
    symbols: tuple[str, ...] = ()
    before_min: Minutes = 10
    after_min: Minutes = 30

    def window(self) -> NewsWindow:
        """Return from when to when it counts, for whom and how much."""
        time_ns = int(self.time.timestamp()) * NS_PER_S
        return NewsWindow(
            time_ns - self.before_min * NS_PER_MIN,
            time_ns + self.after_min * NS_PER_MIN,
            News[self.importance.upper()],
            frozenset(self.symbols),
        )


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    event: Annotated[tuple[_Event, ...], Meta(max_length=EVENTS_MAX)] = ()


def read_news(path: Path) -> tuple[NewsWindow, ...]:
    """Return the windows of the events of a calendar file, in its order.

    Raises:
        NewsError: it cannot be read, or an entry is not one.
    """
    try:
        file = typed.convert(tomllib.loads(path.read_text("utf-8")), _File)
    except OSError as error:
        raise NewsError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NewsError(f"{path}: not valid TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise NewsError(f"{path}: {error}") from error
    return tuple(event.window() for event in file.event)


def windows_at(windows: Iterable[NewsWindow], time_ns: int) -> list[NewsWindow]:
    """Return the windows that are open at a Unix time."""
    return [window for window in windows if window.open_ns <= time_ns < window.close_ns]


def news_of(open_windows: Iterable[NewsWindow], symbol: str) -> News:
    """Return the gravest of some open windows that concern an instrument."""
    grades = (row.news for row in open_windows if not row.symbols or symbol in row.symbols)
    return max(grades, default=News.CALM)
