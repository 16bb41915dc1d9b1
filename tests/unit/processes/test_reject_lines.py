"""Refusals of the firewall on their way to the log: bounded in time, complete in number."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import EventType
from engine.domain.firewall_reasons import FirewallReason
from engine.domain.records import EVENT_DTYPE
from engine.processes.event_lines import EventLines
from engine.processes.events import SubscriberTable
from engine.processes.feed_rejects import RejectEvents
from engine.processes.logs import RateLimitedSite

S = 1_000_000_000
MINUTE_NS = 60 * S


class Core:
    """The counts of a feed's core."""

    def __init__(self) -> None:
        self.counts = [0] * len(FirewallReason)

    def rejects(self) -> list[int]:
        return self.counts

    def kept(self, _reason: int) -> None:
        return None


class Ring:
    """Keeps what was published, as the reader of the ring sees it."""

    def __init__(self) -> None:
        self.is_full = False
        self.events: list[np.void] = []

    def try_publish(self, payload: bytes) -> int:
        if self.is_full:
            return -1
        self.events.append(np.frombuffer(bytes(8) + payload, EVENT_DTYPE)[0])
        return len(self.events) - 1

    def wake(self) -> None:
        pass


class Log:
    """Keeps lines with the time at which they were written."""

    def __init__(self) -> None:
        self.now_ns = 5 * MINUTE_NS
        self.lines: list[dict[str, Any]] = []

    def warning(self, event: str, **values: object) -> None:
        self.lines.append({"event": event, "at_ns": self.now_ns, **values})


class Chain:
    """Core, event ring and log of one engine, on one clock."""

    def __init__(self) -> None:
        self.core, self.ring, self.log = Core(), Ring(), Log()
        self.rejects = RejectEvents(self.core, self.ring)  # type: ignore[arg-type]
        lines = EventLines(self.log, lambda: None)  # type: ignore[arg-type]
        lines._rejects = RateLimitedSite(
            self.log,  # type: ignore[arg-type]
            "RECORD_REJECTED",
            clock=lambda: self.log.now_ns,
        )
        self.table = SubscriberTable()
        lines.subscribe(self.table)
        self.table.seal()

    def second(self, refused: dict[FirewallReason, int], jitter_ns: int = 0) -> None:
        """Let a second pass in which so many frames were refused."""
        for reason, number in refused.items():
            self.core.counts[reason] += number
        self.rejects.publish(self.log.now_ns)
        self.log.now_ns += jitter_ns
        for event in self.ring.events:
            self.table.publish(EventType(int(event["event_type"])), event)
        self.ring.events.clear()
        self.log.now_ns += S - jitter_ns

    def lines(self, reason: FirewallReason) -> list[dict[str, Any]]:
        return [line for line in self.log.lines if line["reason"] == reason.name]


@given(
    st.lists(
        st.tuples(st.integers(0, 5_000), st.integers(0, 3), st.integers(0, S // 2)),
        min_size=1,
        max_size=400,
    )
)
def test_lines_are_a_minute_apart_and_their_counts_add_up(
    seconds: list[tuple[int, int, int]],
) -> None:
    chain = Chain()
    for malformed, crossed, jitter_ns in seconds:
        refused = {FirewallReason.MALFORMED: malformed, FirewallReason.QUOTE_CROSSED: crossed}
        chain.second(refused, jitter_ns)
    for _ in range(125):  # time for what was suppressed last
        chain.second({})
    for reason in (FirewallReason.MALFORMED, FirewallReason.QUOTE_CROSSED):
        lines = chain.lines(reason)
        times = [line["at_ns"] for line in lines]
        assert all(later - sooner >= MINUTE_NS for sooner, later in itertools.pairwise(times))
        said = sum(1 + line["suppressed_count"] for line in lines)
        assert said == chain.core.counts[reason]


def test_a_flood_of_an_hour_is_a_line_a_minute() -> None:
    chain = Chain()
    for _ in range(3_600):
        chain.second({FirewallReason.TIME_FUTURE: 100_000})
    assert len(chain.lines(FirewallReason.TIME_FUTURE)) == pytest.approx(60, abs=1)


def test_a_full_ring_delays_the_event_and_loses_no_count() -> None:
    chain = Chain()
    chain.ring.is_full = True
    chain.second({FirewallReason.OFF_TICK: 7})
    chain.ring.is_full = False
    chain.second({FirewallReason.OFF_TICK: 2})
    (line,) = chain.lines(FirewallReason.OFF_TICK)
    assert line["suppressed_count"] == 8
    assert line["refused_by"] == "feed"
