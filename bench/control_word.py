"""What the control bench reads of an engine: its memory, its journal, the word of HALT alone.

Nobody else uses it: `bench.control` is the bench.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.harness import Pass
from engine.domain.codes import EVENT_ENTRY, EventType, OrderStatus, TradingState
from engine.domain.risk_reasons import RiskReason
from engine.processes.control import ControlSegment, OperatorWord, RolePage, segment_name
from engine.store.journal import SOURCE_EVENTS_BRAIN, SOURCE_MARKET
from engine.store.reader import SourceReader
from engine.store.session import read_document
from engine.telemetry import BRAIN_COUNTERS, BRAIN_HISTOGRAMS
from ringbuffer import layout
from ringbuffer.counters import (
    HISTOGRAM_BUCKETS,
    HISTOGRAM_MAX,
    CountersSegment,
    Percentiles,
    bucket_upper_ns,
    summarise,
)
from ringbuffer.ring import Ring
from ringbuffer.segment import Segment

Records = NDArray[np.void]
OPEN_COUNTER = [row.name for row in BRAIN_COUNTERS].index("orders_open")
WORDS = 20  # halts by the word alone
WORD_S = 0.15  # one of them
REFUSED_MIN = 5  # of them: like ones of a minute are counted, not written, and tell no time
OPEN_S = 5.0  # for the last order to be cancelled
SPAN_S = 5.0  # with pages, and without them, twice in a pass
JOURNAL_S = 60.0  # at most, for the journal to hold what the brain just wrote
SPANS = {"tick to order": "tick_to_order_ns", "lag": "lag_ns"}
SETTLED = (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED)
SEEN = "halt, seen by the brain"
REFUSED = "halt, first intent refused"
BARE = "woken, a bare process"
SLEEPER = """
import os, time
while os.read(0, 1):
    os.write(1, time.monotonic_ns().to_bytes(8, "little"))
"""


class Sleeper:
    """A process that is woken and says when: the machine's own share of a halt by the word."""

    def __init__(self) -> None:
        """Start it, and wait until it has answered once."""
        words = [sys.executable, "-S", "-c", SLEEPER]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(words, stdin=pipe, stdout=pipe, bufsize=0)
        self.wake_ns()

    def wake_ns(self) -> int:
        """Return how long it took to wake."""
        asked, told = self._process.stdin, self._process.stdout
        assert asked is not None, "piped"
        assert told is not None, "piped"
        began_ns = time.monotonic_ns()
        asked.write(b".")
        return int.from_bytes(told.read(8), "little") - began_ns

    def close(self) -> None:
        """End it."""
        self._process.communicate()


class Word:
    """The operator's word in shared memory, and what the journal says of it."""

    def __init__(self, home: Path, name: str) -> None:
        """Attach to an engine."""
        run = json.loads((home / "run" / f"{name}.json").read_text("utf-8"))
        journal = Path(run["state_dir"]) / "journal" / run["session_id"]
        self._events = SourceReader(journal, SOURCE_EVENTS_BRAIN)
        self._quotes = SourceReader(journal, SOURCE_MARKET)
        self._hand = [row.name for row in read_document(journal).strategies].index("hand")
        segment = Segment.attach(segment_name(name, "control"), kind=layout.KIND_CONTROL)
        self._control = ControlSegment(segment)
        self._counters = CountersSegment.attach(segment_name(name, "counters"))
        self._market = Segment.attach(segment_name(name, "market"), kind=layout.KIND_RING)

    def close(self) -> None:
        """Give the segments back."""
        self._control.close()
        self._counters.close()
        self._market.close()

    def until_settled(self) -> None:
        """Wait until the brain shows no order that is not settled."""
        deadline_s = time.monotonic() + OPEN_S
        page = self._counters.page(RolePage.BRAIN)
        try:
            while page.counter(OPEN_COUNTER):
                assert time.monotonic() < deadline_s, "orders were not settled"
                time.sleep(0.001)
        finally:
            page.release()

    def settled_ns(self, since_ns: int, until_ns: int) -> int:
        """Return when the brain heard that the last order of a span was settled, by its journal."""
        return last_settled_ns(written(self._events, "time_ns", until_ns), since_ns, until_ns)

    def until_resting(self, count: int) -> None:
        """Wait until the venue has taken so many orders by hand since the last look at the journal.

        One on its way is no order that rests: it would be cancelled once it is there.
        """
        deadline_s = time.monotonic() + OPEN_S
        taken: set[int] = set()
        while len(taken) < count:
            assert time.monotonic() < deadline_s, "orders by hand did not rest"
            taken |= resting(self._fresh(), self._hand)
            time.sleep(0.001)

    def halts(self) -> dict[str, list[float]]:
        """Halt by the word alone, again and again; return the waits, ms."""
        self._fresh()
        fresh(self._quotes)
        found: dict[str, list[float]] = {BARE: [], SEEN: [], REFUSED: []}
        spans, market = [], Ring(self._market)
        with closing(Sleeper()) as sleeper:
            for _ in range(WORDS):
                began_ns = time.monotonic_ns()
                self._control.set_main(OperatorWord.TRADING_STATE, TradingState.HALTED)
                market.wake()
                time.sleep(WORD_S)
                spans.append((began_ns, time.monotonic_ns()))
                self._control.set_main(OperatorWord.TRADING_STATE, TradingState.ENABLED)
                time.sleep(0.05)
                found[BARE].append(sleeper.wake_ns() / 1e6)
        until_ns = time.monotonic_ns()
        parts = written(self._events, "time_ns", until_ns)
        quotes = Received(written(self._quotes, "receive_time_ns", until_ns))
        later = 0
        for began_ns, ended_ns in spans:
            seen_ns = first_halt_ns(parts, began_ns)
            found[SEEN].append((seen_ns - began_ns) / 1e6)
            waits_ns = first_refusal_ns(parts, quotes, began_ns, ended_ns)
            found[REFUSED] += [ns / 1e6 for ns in waits_ns]
            later += entries_between(parts, seen_ns, ended_ns)
        assert later == 0, f"{later} orders were decided after the brain had seen the word"
        count = len(found[REFUSED])
        assert count >= REFUSED_MIN, f"{count} of {WORDS} halts refused an intent"
        return found

    def forget(self) -> None:
        """Look at the journal, so that the next look begins here."""
        self._fresh()

    def _fresh(self) -> list[Records]:
        """Return what the brain said since the last time."""
        return fresh(self._events)

    def spans(self) -> dict[str, Pass]:
        """Return the brain's latencies over a span, ms, as the counters have them."""
        places = [row.name for row in BRAIN_HISTOGRAMS]
        page = self._counters.page(RolePage.BRAIN)
        before = {case: page.histogram(places.index(name)) for case, name in SPANS.items()}
        time.sleep(SPAN_S)
        after = {case: page.histogram(places.index(name)) for case, name in SPANS.items()}
        page.release()
        return {case: _span(between(before[case], after[case])) for case in SPANS}


def fresh(reader: SourceReader) -> list[Records]:
    """Return what was written to a source since the last time."""
    parts: list[Records] = []
    while batches := reader.poll():
        parts += [batch.records for batch in batches]
    return parts


def written(reader: SourceReader, stamp: str, until_ns: int) -> list[Records]:
    """Return what was written to a source since the last time, once it holds all up to a time.

    Args:
        reader: of the source, which goes on.
        stamp: field of its records that says when.
        until_ns: monotonic time.
    """
    deadline_s = time.monotonic() + JOURNAL_S
    parts: list[Records] = []
    while not parts or parts[-1][stamp][-1] <= until_ns:
        assert time.monotonic() < deadline_s, "the journal does not come so far"
        parts += [part for part in fresh(reader) if len(part)]
        time.sleep(0.01)
    return parts


class Received:
    """When records of the market were received, by their place in the ring."""

    def __init__(self, parts: list[Records]) -> None:
        """Take records in order."""
        self._words = np.concatenate([np.zeros(1, np.int64), *(p["sequence"] for p in parts)])
        times = [p["receive_time_ns"].astype(np.int64) for p in parts]
        self._times = np.concatenate([np.zeros(1, np.int64), *times])

    def at_ns(self, word: int) -> int:
        """Return the time of the record that a cause names; 0: it came before all of them."""
        place = min(int(np.searchsorted(self._words, word)), len(self._words) - 1)
        return int(self._times[place]) if self._words[place] == word else 0


def _span(found: Percentiles) -> Pass:
    named = (("p50", found.p50_ns), ("p99", found.p99_ns), ("p99.9", found.p999_ns))
    shown = {name: ns / 1e6 for name, ns in (*named, ("max", found.max_ns))}
    return shown | {"count": float(found.sample_count)}


def between(before: list[int], after: list[int]) -> Percentiles:
    """Return the percentiles of what a histogram took between two copies of its words."""
    words = [now - then for now, then in zip(after, before, strict=True)]
    # The longest of the run may have come before: of the span it is known as far as its bucket.
    filled = [place for place, count in enumerate(words[HISTOGRAM_BUCKETS:]) if count]
    words[HISTOGRAM_MAX] = min(after[HISTOGRAM_MAX], bucket_upper_ns(filled[-1]) if filled else 0)
    return summarise(words)


def resting(parts: list[Records], strategy: int) -> set[int]:
    """Return the numbers of a strategy's orders of which the venue said that it has them."""
    return {
        int(number)
        for records in parts
        for number in records["order_sequence"][
            (records["event_type"] == EventType.ORDER_UPDATE)
            & (records["order_status_after"] == OrderStatus.NEW)
            & (records["strategy_index"] == strategy)
        ]
    }


def last_settled_ns(parts: list[Records], since_ns: int, until_ns: int) -> int:
    """Return when the brain heard of the last order that it settled in a span of time, ns."""
    heard_ns: dict[int, int] = {}  # by order; a report that comes again is no news
    for records in parts:
        ended = records[
            np.isin(records["event_type"], (EventType.ORDER_UPDATE, EventType.FILL))
            & np.isin(records["order_status_after"], SETTLED)
            & (records["order_sequence"] > 0)
        ]
        for number, time_ns in zip(ended["order_sequence"], ended["time_ns"], strict=True):
            heard_ns.setdefault(int(number), int(time_ns))
    return max(ns for ns in heard_ns.values() if since_ns <= ns <= until_ns)


def first_halt_ns(parts: list[Records], since_ns: int) -> int:
    """Return when the brain first said HALTED after a time; the step's own time, ns."""
    for records in parts:
        said = records[
            (records["event_type"] == EventType.TRADING_STATE_CHANGED)
            & (records["trading_state"] == TradingState.HALTED)
            & (records["time_ns"] >= since_ns)
        ]
        if len(said):
            return int(said["time_ns"][0])
    raise AssertionError("the brain never said that it was halted")


def first_refusal_ns(
    parts: list[Records], quotes: Received, since_ns: int, until_ns: int
) -> list[int]:
    """Return how long the first intent that HALTED refused took since the word and its record, ns.

    Args:
        parts: events of the brain.
        quotes: the market of that time; what caused an intent is one of its records.
        since_ns: when the word was written.
        until_ns: when it was taken back.

    Returns:
        One number; empty: no intent was refused in that time.
    """
    for records in parts:
        refused = records[
            (records["event_type"] == EventType.RISK_REFUSAL)
            & (records["refusal_mask"] & (1 << RiskReason.TRADING_STATE) != 0)
            & (records["time_ns"] >= since_ns)
            & (records["time_ns"] < until_ns)
        ]
        if len(refused):
            time_ns, cause = int(refused["time_ns"][0]), int(refused["cause_sequence"][0])
            return [time_ns - max(since_ns, quotes.at_ns(cause))]
    return []


def entries_between(parts: list[Records], first_ns: int, last_ns: int) -> int:
    """Return how many orders that open something were decided after a time and before another."""
    return sum(
        int(
            np.count_nonzero(
                (records["event_type"] == EventType.ORDER_REQUEST)
                & (records["flags"] & EVENT_ENTRY != 0)
                & (records["decision_time_ns"] > first_ns)
                & (records["decision_time_ns"] < last_ns)
            )
        )
        for records in parts
    )
