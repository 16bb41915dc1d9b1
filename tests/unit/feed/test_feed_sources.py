"""Which plans get a second connection when lateness is seen; the connections are played."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.clock import VenueClock
from engine.config import SourcesConfig
from engine.domain.codes import Channel
from engine.processes import feed_sources
from engine.processes.feed_silence import SilenceWatch
from engine.processes.feed_sources import BACK_AFTER_S, DEMAND_AFTER_S, FeedSources
from engine.processes.feed_words import FeedLine
from engine.venues.binance.routing import ConnectionPlan, Subscription

LIMIT_MS = 300
READS = 10
PRIMARY_URL = "ws://127.0.0.1:1"
S = 1_000_000_000


class Played:
    """A connection that is up and as late as it is told to be."""

    def __init__(
        self, _core: object, urls: tuple[str, str], plan: ConnectionPlan, *_: object, **__: object
    ) -> None:
        self.plan = self.carried = plan
        self.connection = self
        self.is_up, self.since_ns, self.lag_ms = urls[0] == PRIMARY_URL, 0, 10

    def take_lag(self) -> tuple[int, int, int]:
        return READS, READS * self.lag_ms * 1_000_000, 0

    def lag_quantiles(self) -> tuple[int, int, int]:
        return 0, 0, 0

    def share(self, is_shared: bool) -> None:
        self.is_shared = is_shared

    async def run(self) -> None:
        """Nothing to open."""


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> FeedSources:
    monkeypatch.setattr(feed_sources, "MarketStream", Played)
    monkeypatch.setattr(SilenceWatch, "look", lambda *_: None)
    monkeypatch.setattr(FeedSources, "_want", lambda _, line: setattr(line, "task", line.name))
    monkeypatch.setattr(FeedSources, "_forego", lambda _, line: setattr(line, "task", None))
    clock = VenueClock()
    clock.learn(time.monotonic_ns(), time.monotonic_ns(), time.time_ns())
    deaf: Any = SimpleNamespace(
        set=lambda *_, **__: None,
        open=lambda *_: None,
        tell=lambda *_: None,
        warn=lambda *_, **__: None,
    )
    plans = [
        ConnectionPlan(category, (Subscription(stream, 0, channel),))
        for category, channel, stream in (
            ("public", Channel.QUOTE, "btcusdt@bookTicker"),
            ("market", Channel.TRADE, "btcusdt@aggTrade"),
        )
    ]
    made = FeedSources(
        cast("Any", None),
        plans,
        SourcesConfig(lag_limit_ms=LIMIT_MS),
        (PRIMARY_URL, "ws://127.0.0.1:2"),
        cast("Any", None),
        clock,
        holds=deaf,
        faults=deaf,
        incidents=deaf,
        hooks=deaf,
        is_third_party=False,
    )
    for row in made.plans:
        row.was_up = True
        row.announced = set(row.places())
    return made


@pytest.mark.parametrize(
    ("late", "taken"), [(["public"], 1), (["market"], 1), (["public", "market"], 0)]
)
def test_what_is_late_everywhere_at_one_look_needs_no_second_connection(
    sources: FeedSources, late: list[str], taken: int
) -> None:
    sources.start()
    second_ns = 1_000_000_000
    now_ns = time.monotonic_ns()
    for _ in range(4):
        sources.watch(now_ns, is_held=False)
        now_ns += second_ns
    for row in sources.plans:
        for line in row.lines:
            cast("Played", line.stream).lag_ms = 5_000 if row.plan.category in late else 10
    now_ns += int(2 * DEMAND_AFTER_S * second_ns)  # a machine so busy that it was long not looked
    sources.watch(now_ns, is_held=False)
    assert [row.is_late for row in sources.plans] == [
        row.plan.category in late for row in sources.plans
    ]
    assert sources.switch_count == taken
    for row in sources.plans:
        is_second = row.lines[1].task is not None
        assert [cast("Played", line.stream).is_shared for line in row.lines] == [is_second] * 2


def wanted(sources: FeedSources) -> set[str]:
    """Return the names of the lines that are wanted."""
    return {line.name for line in sources.lines if line.task is not None}


def test_the_line_that_was_stays_until_the_other_was_good_for_long_enough(
    sources: FeedSources,
) -> None:
    sources.start()
    now_ns = time.monotonic_ns()
    first, second = {"public-0a", "market-1a"}, {"public-0b", "market-1b"}
    assert wanted(sources) == first
    sources.carry_by(FeedLine.SECOND, now_ns)
    assert all(cast("Played", line.stream).is_shared for line in sources.lines), "before it is up"
    for _ in range(200):  # the second address cannot be had
        now_ns += S
        sources.watch(now_ns, is_held=False)
        assert wanted(sources) == first | second
    for line in sources.lines:
        stream = cast("Played", line.stream)
        stream.is_up, stream.since_ns = True, now_ns if line.name in second else stream.since_ns
    for _ in range(int(BACK_AFTER_S)):
        assert wanted(sources) == first | second
        now_ns += S
        sources.watch(now_ns, is_held=False)
    now_ns += S
    sources.watch(now_ns, is_held=False)
    assert wanted(sources) == second
    assert sources.switch_count == 0, "no backup was taken: an operator asked"


def test_what_comes_after_a_switch_is_carried_by_the_line_that_was_asked_for(
    sources: FeedSources,
) -> None:
    sources.start()
    sources.carry_by(FeedLine.SECOND, time.monotonic_ns())
    room = SourcesConfig().streams_per_connection
    sources.carry([Subscription(f"s{k}@aggTrade", k, Channel.TRADE) for k in range(room)])
    assert len(sources.plans) == 3
    for row in sources.plans:
        assert row.lines[0].name.endswith("b")
        assert row.lines[0].task is not None
