"""Connections that break under a running feed: what the ring holds afterwards, by ids."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.config import SourcesConfig
from engine.domain.codes import Channel, Liveness, RecordType
from engine.domain.firewall_reasons import FirewallReason
from engine.processes.board import read_board
from engine.processes.control import MainWord, RolePage
from tests.exchange_process import PracticeExchange
from tests.feed_role import FeedRole

NAMES = itertools.count()
LOOKS_NS = 1_000_000_000  # of the feed at its connections: several
Scene = Callable[..., "Running"]


class Running:
    """A generated market, a feed on it, and the questions a test asks of both."""

    def __init__(self, home: Path, *exchange: str, **config: object) -> None:
        self.exchange = PracticeExchange("--seed", "3", "--generate", "3", *exchange)
        self.feed = FeedRole(f"failover-{next(NAMES)}", home, self.exchange.port, **config)
        self.feed.wait("every channel", self.is_live)

    @classmethod
    def over(cls, exchange: PracticeExchange, feed: FeedRole) -> Running:
        """Return the questions for a scene that a test made itself."""
        made = cls.__new__(cls)
        made.exchange, made.feed = exchange, feed
        return made

    def close(self) -> None:
        """End both."""
        self.feed.close()
        self.exchange.stop()

    def records(self, *kinds: RecordType, index: int | None = None) -> NDArray[np.void]:
        """Return the records of some kinds so far."""
        found = self.feed.drain()
        found = found[np.isin(found["record_type"], kinds)]
        return found if index is None else found[found["instrument_index"] == index]

    def liveness(self, index: int, channel: Channel) -> Liveness:
        """Return what readers of the ring believe."""
        changes = self.records(RecordType.LIVENESS, index=index)
        mine = changes[changes["aux"] == channel]
        return Liveness(int(mine["liveness"][-1])) if mine.size else Liveness.UNSUPPORTED

    def is_live(self) -> bool:
        """Return whether quotes, trades and books of every instrument are live."""
        channels = (Channel.QUOTE, Channel.TRADE, Channel.BOOK)
        places = itertools.product(range(3), channels)
        return all(self.liveness(*place) is Liveness.LIVE for place in places)

    def trades_after(self, count: int) -> None:
        """Wait until every instrument has so many trades more."""
        before = [len(self.records(RecordType.TRADE, index=index)) for index in range(3)]

        def enough() -> bool:
            return all(
                len(self.records(RecordType.TRADE, index=index)) >= before[index] + count
                for index in range(3)
            )

        self.feed.wait(f"{count} trades of each", enough)

    def missing(self) -> dict[int, int]:
        """Return how many trade ids of each instrument the ring has not, and check their order."""
        found = {}
        for index in range(3):
            ids = self.records(RecordType.TRADE, index=index)["trade_id"]
            assert (np.diff(ids) > 0).all(), "rising, none twice"
            found[index] = int(ids[-1] - ids[0] + 1 - len(ids))
        return found

    def board(self) -> dict[str, Any]:
        """Return the feed's table of sources."""
        text = read_board(self.feed.segments.sources)
        found: dict[str, Any] = json.loads(text) if text else {}
        return found

    def incidents(self) -> list[dict[str, Any]]:
        """Return the incidents that are over."""
        rows: list[dict[str, Any]] = self.board().get("incidents", [])
        return [row for row in rows if row["state"] == "recovered"]

    def stream_connections(self) -> dict[str, list[int]]:
        """Return the exchange's numbers of the connections with many streams, by category."""
        rows = self.exchange.call("GET", "/practice/connections")
        found: dict[str, list[int]] = {}
        for row in rows:
            if row["category"] in {"public", "market"} and len(row["streams"]) > 1:
                found.setdefault(row["category"], []).append(row["connection"])
        return found

    def connection(self, name: str) -> dict[str, Any]:
        """Return the board's row of a connection."""
        return next((row for row in self.board().get("connections", []) if row["name"] == name), {})


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    opened: list[Running] = []

    def start(*exchange: str, **config: object) -> Running:
        opened.append(Running(tmp_path, *exchange, **config))
        return opened[-1]

    yield start
    for running in opened:
        running.close()


def test_a_cut_in_mid_stream_costs_no_trade(scene: Scene) -> None:
    running = scene(sources=SourcesConfig(backup="off"))
    running.trades_after(20)
    for _ in range(3):
        assert running.exchange.fault("disconnect", category="market")
        running.trades_after(20)
    assert running.missing() == {0: 0, 1: 0, 2: 0}
    gaps = running.records(RecordType.GAP)
    assert not (gaps["aux"] == Channel.TRADE).any()
    running.feed.wait("healed", lambda: running.feed.counter("trades_healed_total") > 0)
    assert running.feed.counter("trades_lost_total") == 0
    running.feed.wait("its report", running.incidents)
    row = running.incidents()[0]
    assert row["what"].endswith(" down")
    assert row["trades_lost"] == 0


def test_with_two_connections_a_cut_is_not_noticed_by_any_channel(scene: Scene) -> None:
    running = scene(sources=SourcesConfig(backup="always"))
    running.feed.wait("four connections", lambda: running.feed.counter("connections_up") == 4)
    running.trades_after(10)
    before = len(running.records(RecordType.LIVENESS))
    numbers = running.stream_connections()
    for number in (numbers["market"][0], numbers["public"][0]):
        running.exchange.fault("disconnect", connection=number)
    running.trades_after(30)
    assert running.missing() == {0: 0, 1: 0, 2: 0}
    changes = running.records(RecordType.LIVENESS)[before:]
    assert not np.isin(changes["liveness"], [Liveness.CONNECTING]).any()
    running.feed.wait("duplicates", lambda: running.feed.counter("duplicates_total") > 100)
    assert running.feed.counter("rejected_total") == 0


def test_a_hole_within_a_connection_is_filled_from_the_history(scene: Scene) -> None:
    running = scene(sources=SourcesConfig(backup="off"))
    running.trades_after(5)
    running.exchange.fault("drop", stream="*@aggTrade", share=0.3, count=5, seed=5)
    running.trades_after(40)
    running.feed.wait("no hole", lambda: set(running.missing().values()) == {0})
    running.feed.wait("healed", lambda: running.feed.counter("trades_healed_total") > 0)
    assert not (running.records(RecordType.GAP)["aux"] == Channel.TRADE).any()


def test_what_the_history_does_not_give_is_a_gap_record_that_names_the_ids(scene: Scene) -> None:
    running = scene(sources=SourcesConfig(backup="off", heal_ms=300))
    running.trades_after(5)
    running.exchange.fault(
        "rest", path="/fapi/v1/aggTrades", status=503, body="{}", duration_ms=60_000
    )
    running.exchange.fault("drop", stream="*@aggTrade", share=0.3, count=40, seed=5)
    running.trades_after(40)
    missing = running.missing()
    gaps = running.records(RecordType.GAP)
    gaps = gaps[gaps["aux"] == Channel.TRADE]
    said = dict.fromkeys(range(3), 0)
    for gap in gaps:
        said[int(gap["instrument_index"])] += int(gap["last_id"] - gap["first_id"] + 1)
        assert gap["lost_count"] == gap["last_id"] - gap["first_id"] + 1
    assert said == missing
    assert sum(said.values()) > 0


def test_a_subscription_that_is_accepted_and_silent_is_opened_elsewhere(scene: Scene) -> None:
    running = scene(sources=SourcesConfig(backup="off", connection_life_s=86_000))
    running.exchange.fault("silent", stream="*@bookTicker", duration_ms=6_000)
    running.feed.wait("stale", lambda: running.liveness(0, Channel.QUOTE) is Liveness.STALE)
    running.feed.wait(
        "a replacement", lambda: running.connection("public-0a").get("replaced", 0) > 0
    )
    running.feed.wait("live", running.is_live)
    running.feed.wait("its report", lambda: any("silent" in r["what"] for r in running.incidents()))


def test_connections_rotate_before_their_life_is_over_and_nothing_is_lost(scene: Scene) -> None:
    running = scene(sources=SourcesConfig(backup="off", connection_life_s=2))
    before = len(running.records(RecordType.LIVENESS))

    def replaced() -> int:
        return int(running.feed.counter("connections_replaced_total"))

    running.feed.wait("six rotations", lambda: replaced() >= 6)
    assert running.missing() == {0: 0, 1: 0, 2: 0}
    refused = {
        reason.name: running.feed.counter(f"rejected_{reason.name.lower()}_total")
        for reason in FirewallReason
        if reason and running.feed.counter(f"rejected_{reason.name.lower()}_total")
    }
    assert refused == {}
    assert running.feed.counter("incidents_total") == 0
    changes = running.records(RecordType.LIVENESS)[before:]
    assert not np.isin(changes["liveness"], [Liveness.CONNECTING, Liveness.SYNCING]).any()


def test_an_announced_shutdown_is_left_before_it_comes(scene: Scene) -> None:
    running = scene(sources=SourcesConfig(backup="off"))
    before = len(running.records(RecordType.LIVENESS))
    running.exchange.fault("server_shutdown", category="*", close_after_ms=5_000)
    running.feed.wait("both", lambda: running.feed.counter("connections_replaced_total") >= 2)
    running.trades_after(10)
    assert running.missing() == {0: 0, 1: 0, 2: 0}
    changes = running.records(RecordType.LIVENESS)[before:]
    assert not np.isin(changes["liveness"], [Liveness.CONNECTING]).any()


def test_late_data_allows_no_entry_until_it_is_in_time_again(scene: Scene) -> None:
    running = scene(sources=SourcesConfig(backup="off", lag_limit_ms=300))
    running.trades_after(20)
    running.exchange.fault("shape", category="*", latency_ms=900, duration_ms=4_000)
    running.feed.wait("late", lambda: running.liveness(0, Channel.QUOTE) is Liveness.INVALID)
    running.feed.wait("its count", lambda: running.feed.counter("lag_spikes_total") > 0)
    running.feed.wait("in time", lambda: running.liveness(0, Channel.QUOTE) is Liveness.LIVE)
    running.feed.wait("its report", lambda: any(r["what"] == "late" for r in running.incidents()))
    assert running.missing() == {0: 0, 1: 0, 2: 0}


def test_a_line_too_narrow_takes_no_entries_and_loses_nothing(scene: Scene) -> None:
    running = scene(sources=SourcesConfig(lag_limit_ms=300))
    running.trades_after(20)
    shaped = running.exchange.fault("shape", category="*", bytes_per_s=6_000)
    running.feed.wait("late", lambda: running.liveness(0, Channel.QUOTE) is Liveness.INVALID)
    running.exchange.fault("end", id=shaped["id"])
    running.feed.wait("live", running.is_live)
    running.trades_after(20)
    assert running.missing() == {0: 0, 1: 0, 2: 0}
    running.feed.wait("its report", lambda: any(r["what"] == "late" for r in running.incidents()))


def test_quotes_are_polled_for_exits_only_while_no_connection_can_be_had(scene: Scene) -> None:
    running = scene(sources=SourcesConfig(poll_after_ms=200))
    running.exchange.fault("slow_handshake", delay_ms=5_000, duration_ms=6_000)
    running.exchange.fault("disconnect", category="*")
    running.feed.wait("polled quotes", lambda: running.feed.counter("quotes_polled_total") > 3)
    assert running.liveness(0, Channel.QUOTE) is Liveness.INVALID
    running.feed.wait("live again", running.is_live)
    assert running.missing() == {0: 0, 1: 0, 2: 0}


def hosts_up(running: Running) -> set[str]:
    """Return the hosts of the connections that are up."""
    return {row["host"] for row in running.board().get("connections", []) if row["state"] == "up"}


def test_a_second_address_stands_in_for_the_first(
    tmp_path: Path,
) -> None:
    exchange = PracticeExchange("--seed", "3", "--generate", "3", "--control-port", "0")
    assert exchange.process.stdout is not None
    way_in = int(exchange.process.stdout.readline().split()[1])
    address = f"ws://127.0.0.1:{way_in}"
    feed = FeedRole(
        "failover-address", tmp_path, exchange.port, sources=SourcesConfig(stream_url=address)
    )
    running = Running.over(exchange, feed)
    try:
        feed.wait("every channel", running.is_live)
        exchange.url = f"http://127.0.0.1:{way_in}"  # the way back in for the test too
        exchange.fault("refuse_connections", duration_ms=20_000)
        exchange.fault("disconnect", category="*")
        feed.wait("the loss", lambda: feed.counter("incidents_total") >= 2)
        feed.wait("live", running.is_live)
        feed.wait("the table", lambda: hosts_up(running) == {address.removeprefix("ws://")})
        running.trades_after(20)
        assert running.missing() == {0: 0, 1: 0, 2: 0}
    finally:
        running.close()


def test_a_stream_that_never_spoke_is_asked_for_on_another_connection(tmp_path: Path) -> None:
    exchange = PracticeExchange("--seed", "3", "--generate", "3")
    symbol = exchange.call("GET", "/fapi/v1/exchangeInfo")["symbols"][0]["symbol"].lower()
    exchange.fault("accepted_silent", stream=f"{symbol}@bookTicker", count=1)
    feed = FeedRole("failover-silent", tmp_path, exchange.port)
    running = Running.over(exchange, feed)
    try:
        feed.wait("silent", lambda: running.liveness(0, Channel.QUOTE) is Liveness.SILENT)
        feed.wait("live", running.is_live)
        feed.wait("it", lambda: running.connection("public-0a").get("replaced", 0) >= 1)
    finally:
        running.close()


def test_a_market_that_waits_for_its_brain_is_not_called_silent(tmp_path: Path) -> None:
    exchange = PracticeExchange("--seed", "3", "--generate", "3", "--hold")
    feed = FeedRole("failover-held", tmp_path, exchange.port)
    feed.segments.control.set_main(MainWord.MARKET_HELD, 1)
    running = Running.over(exchange, feed)
    try:
        feed.wait("silent", lambda: running.liveness(0, Channel.QUOTE) is Liveness.SILENT)
        control = feed.segments.control
        silent_ns = control.heartbeat_ns(RolePage.FEED, 0)
        feed.wait("looks", lambda: control.heartbeat_ns(RolePage.FEED, 0) > silent_ns + LOOKS_NS)
        first = feed.counter("incidents_total")
        exchange.call("POST", "/practice/play")
        feed.segments.control.set_main(MainWord.MARKET_HELD, 0)
        feed.wait("live", running.is_live)
        running.trades_after(20)
        assert (first, feed.counter("incidents_total")) == (0, 0)
        assert running.connection("public-0a").get("replaced", 0) == 0
    finally:
        running.close()


@pytest.mark.parametrize("status", [451, 403])
def test_a_venue_that_refuses_says_why_while_the_feed_waits(status: int, tmp_path: Path) -> None:
    exchange = PracticeExchange("--seed", "3", "--generate", "2")
    feed = FeedRole(f"failover-{status}", tmp_path, exchange.port)
    running = Running.over(exchange, feed)
    try:
        feed.wait("a live market", lambda: feed.counter("connections_up") == 2)
        exchange.fault("http_status", status=status, streams=True, duration_ms=60_000)
        exchange.fault("disconnect", category="*")
        feed.wait("its end", lambda: not hosts_up(running))

        def refusals() -> set[str]:
            rows = running.board().get("connections", [])
            return {row["refusal"][:9] for row in rows if row["state"] == "down"}

        feed.wait("its sentence", lambda: refusals() == {f"HTTP {status}:"})
        attempts = feed.counter("connection_attempts_total")
        assert attempts <= 8, "asking again soon changes nothing"
    finally:
        running.close()


@pytest.mark.parametrize(("category", "taken"), [("public", 1), ("*", 0)])
def test_a_second_connection_is_taken_where_only_some_data_is_late(
    scene: Scene, category: str, taken: int
) -> None:
    running = scene(sources=SourcesConfig(lag_limit_ms=300))
    running.trades_after(20)
    running.exchange.fault("shape", category=category, latency_ms=900, duration_ms=5_000)
    running.feed.wait("late", lambda: running.liveness(0, Channel.QUOTE) is Liveness.INVALID)
    running.feed.wait("in time", lambda: running.liveness(0, Channel.QUOTE) is Liveness.LIVE)
    running.feed.wait("count", lambda: running.feed.counter("backups_taken_total") == taken)
    assert running.missing() == {0: 0, 1: 0, 2: 0}
