"""Control: how long `/health`, `/status` and a HALT take while the engine trades.

Question: do looking and halting keep their budgets under load? Load: `aegis run` against a practice
exchange with a generated market, trading all the while, with a strategy among the others that wants
something at most quotes; requests come one after another from a client on the same cores, on
connections of their own, or on one that is kept, as a browser's. A HALT is counted four times: to
its answer (the gate's word is written, cancels are on their way); to the venue's word that no order
is open, which waits for the last cancel and compares the books; and from the word alone, written
into shared memory with the brain woken as a command wakes it, to the step that saw it, and to the
first intent that it refused, less what the market let that intent wait for. No order that opens
anything may be decided after the step that saw it. With 200 pages open, each on a stream of its
own, `/status`, the brain's lag and its tick to order are looked at again. Baseline: `/health`.

The exchange allows any weight of requests: each confirmation fetches the account, and at the
venue's own 2,400 a minute some twenty halts use up the minute, after which a resume is refused.
"""

from __future__ import annotations

import http.client
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import harness
from bench.harness import Bench, Pass
from bench.startup import accept_ms, exchange, free_port, until_ready
from engine.domain.codes import EVENT_ENTRY, EventType, TradingState
from engine.domain.risk_reasons import RiskReason
from engine.processes.control import ControlSegment, OperatorWord, RolePage, segment_name
from engine.store.journal import SOURCE_EVENTS_BRAIN
from engine.store.reader import read_batches
from engine.telemetry import BRAIN_HISTOGRAMS
from ringbuffer import layout
from ringbuffer.counters import HISTOGRAM_MAX, CountersSegment, Percentiles, summarise
from ringbuffer.ring import Ring
from ringbuffer.segment import Segment

Records = NDArray[np.void]
LOOKS = 200  # of a pass
HALTS = 10
WORDS = 20  # halts by the word alone
PAGES = 200
SPAN_S = 4.0  # over which the brain's lag is looked at
JOURNAL_S = 1.0  # for the journal to hold what the brain just wrote
NAME = "control"
TO_ORDER = "tick_to_order_ns"
RATE = "2000"  # generated messages a second, all together
# Beside the usual strategies one that wants something at most quotes, within the usual limits.
CONFIG = """
strategies = ["orderflow", "often"]
[[strategy]]
name = "often"
kind = "quote_imbalance"
notional = 250.0
parameters = { threshold = 0.02 }
"""
BENCH = Bench(
    name="control",
    question="Do looking and halting keep their budgets under load?",
    load=f"a generated market of {RATE} messages/s, trading; one request after another",
    worry="p99: /status over 5 ms, a halt confirmed after 50 ms, an intent refused after 100 us",
    units=dict.fromkeys(("p50", "p99", "p99.9", "max"), "ms"),
    baseline="/health",
)


class Control:
    """A running engine and what is asked of it."""

    def __init__(self, port: int, token: str) -> None:
        """Talk to the API on a port of this machine."""
        self.port = port
        self.token = token

    def ask(self, method: str, path: str, reason: str = "") -> float:
        """Return ms from the connection to the last byte; the answer must be 200."""
        began_s = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        body = json.dumps({"who": "bench", "reason": reason}) if reason else None
        try:
            connection.request(method, path, body, {"x-aegis-token": self.token})
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        assert answer.status == http.client.OK, (path, said)
        return (time.perf_counter() - began_s) * 1e3

    def looks(self, path: str) -> Pass:
        """Look again and again."""
        return summary([self.ask("GET", path) for _ in range(LOOKS)])

    def looks_kept(self, path: str) -> Pass:
        """Look again and again on one connection; the first look opens it and is not counted."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        waits_ms = []
        with closing(connection):
            for _ in range(LOOKS + 1):
                began_s = time.perf_counter()
                connection.request("GET", path, None, {"x-aegis-token": self.token})
                answer = connection.getresponse()
                answer.read()
                waits_ms.append((time.perf_counter() - began_s) * 1e3)
                assert answer.status == http.client.OK, path
        return summary(waits_ms[1:])

    def halts(self, *, confirmed: bool) -> Pass:
        """Halt again and again; between two of them trading is resumed, and not counted."""
        found = []
        for _ in range(HALTS):
            waited_ms = self.ask("POST", "/v1/halt", "bench")
            confirmed_ms = self.ask("POST", "/v1/confirm_halt", "bench")
            found.append(waited_ms + confirmed_ms if confirmed else waited_ms)
            self.ask("POST", "/v1/resume", "bench")
            time.sleep(1.0)  # commands are limited to three a second
        return summary(found)


class Word:
    """The operator's word in shared memory, and what the journal says of it."""

    def __init__(self, home: Path) -> None:
        """Attach to the engine of this bench."""
        run = json.loads((home / "run" / f"{NAME}.json").read_text("utf-8"))
        self._journal = Path(run["state_dir"]) / "journal" / run["session_id"]
        segment = Segment.attach(segment_name(NAME, "control"), kind=layout.KIND_CONTROL)
        self._control = ControlSegment(segment)
        self._counters = CountersSegment.attach(segment_name(NAME, "counters"))
        self._market = Segment.attach(segment_name(NAME, "market"), kind=layout.KIND_RING)

    def close(self) -> None:
        """Give the segments back."""
        self._control.close()
        self._counters.close()
        self._market.close()

    def halts(self, *, refused: bool) -> Pass:
        """Halt by the word alone, again and again.

        Args:
            refused: return when the first intent was refused by it; else when a step had seen it.
        """
        spans, market = [], Ring(self._market)
        for _ in range(WORDS):
            began_ns = time.monotonic_ns()
            self._control.set_main(OperatorWord.TRADING_STATE, TradingState.HALTED)
            market.wake()
            time.sleep(0.05)
            spans.append((began_ns, time.monotonic_ns()))
            self._control.set_main(OperatorWord.TRADING_STATE, TradingState.ENABLED)
            time.sleep(0.05)
        time.sleep(JOURNAL_S)
        parts = [batch.records for batch in read_batches(self._journal, SOURCE_EVENTS_BRAIN)]
        times, later = [], 0
        for began_ns, ended_ns in spans:
            seen_ns = first_halt_ns(parts, began_ns)
            if not refused:
                times.append((seen_ns - began_ns) / 1e6)
            else:
                times += [ns / 1e6 for ns in first_refusal_ns(parts, began_ns, ended_ns)]
            later += entries_between(parts, seen_ns, ended_ns)
        assert later == 0, f"{later} orders were decided after the brain had seen the word"
        assert 2 * len(times) >= WORDS, f"{len(times)} of {WORDS} halts refused an intent"
        return summary(times)

    def latency(self, histogram: str) -> Pass:
        """Return one of the brain's latencies over a span, ms, as the counters have it."""
        place = [row.name for row in BRAIN_HISTOGRAMS].index(histogram)
        page = self._counters.page(RolePage.BRAIN)
        before = page.histogram(place)
        time.sleep(SPAN_S)
        after = page.histogram(place)
        page.release()
        found = between(before, after)
        named = (("p50", found.p50_ns), ("p99", found.p99_ns), ("p99.9", found.p999_ns))
        return {name: ns / 1e6 for name, ns in named}


def between(before: list[int], after: list[int]) -> Percentiles:
    """Return the percentiles of what a histogram took between two copies of its words."""
    words = [now - then for now, then in zip(after, before, strict=True)]
    words[HISTOGRAM_MAX] = after[HISTOGRAM_MAX]  # percentiles never lie above it
    return summarise(words)


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


def first_refusal_ns(parts: list[Records], since_ns: int, until_ns: int) -> list[int]:
    """Return how long the first intent that HALTED refused took since the word and its record, ns.

    Args:
        parts: events of the brain.
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
            first = refused[0]
            return [int(first["time_ns"] - max(since_ns, first["cause_receive_time_ns"]))]
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


@contextmanager
def pages(port: int, token: str) -> Iterator[None]:
    """Hold so many live pages open, and read what they are sent."""
    stopped = threading.Event()
    with ExitStack() as held, selectors.DefaultSelector() as ready:
        for _ in range(PAGES):
            page = held.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            head = f"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nx-aegis-token: {token}\r\n\r\n"
            page.sendall(head.encode())
            assert page.recv(12) == b"HTTP/1.1 200"
            page.setblocking(False)
            ready.register(page, selectors.EVENT_READ)

        def drain() -> None:
            while not stopped.is_set():
                for key, _ in ready.select(0.1):
                    assert isinstance(key.fileobj, socket.socket)
                    key.fileobj.recv(1 << 16)

        reader = threading.Thread(target=drain, name="pages")
        reader.start()
        try:
            yield
        finally:
            stopped.set()
            reader.join()


def summary(waits_ms: list[float]) -> Pass:
    """Return what a pass found."""
    return {
        "p50": float(np.percentile(waits_ms, 50)),
        "p99": float(np.percentile(waits_ms, 99)),
        "max": max(waits_ms),
    }


@contextmanager
def trading(home: Path, exchange_url: str) -> Iterator[Control]:
    """Run an engine for the length of the bench."""
    port = free_port()
    words = [sys.executable, "-m", "engine", "run", "--port", str(port), "--json"]
    file = home / "control.toml"
    file.write_text(CONFIG, encoding="utf-8")
    words += ["--exchange", exchange_url, "--name", NAME, "--config", str(file)]
    environment = {**os.environ, "AEGIS_HOME": str(home)}
    process = subprocess.Popen(
        words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        accept_ms(port, time.perf_counter())
        until_ready(port)
        token = (home / "run" / "control.token").read_text(encoding="ascii").strip()
        yield Control(port, token)
    finally:
        process.terminate()
        process.wait(60)


def with_pages(control: Control, case: Callable[[], Pass]) -> Pass:
    """Return what a case finds while pages are open."""
    with pages(control.port, control.token):
        return case()


def main() -> None:
    """Measure and report."""
    asked = harness.arguments(__doc__ or "")
    about = harness.machine()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(os.environ.get("AEGIS_HOME", folder))
        market = ("--generate", "3", "--rate", RATE, "--weight-limit", "1000000000")
        with exchange(*market) as url, trading(home, url) as control:
            word = Word(home)
            lag, to_order = partial(word.latency, "lag_ns"), partial(word.latency, TO_ORDER)
            cases: dict[str, Callable[[], Pass]] = {
                "/health": lambda: control.looks("/health"),
                "/status": lambda: control.looks("/status"),
                "/status, 200 pages": lambda: with_pages(control, lambda: control.looks("/status")),
                "/status, kept connection": lambda: control.looks_kept("/status"),
                "lag": lag,
                "lag, 200 pages": lambda: with_pages(control, lag),
                "tick to order": to_order,
                "tick to order, 200 pages": lambda: with_pages(control, to_order),
                "halt, answered": lambda: control.halts(confirmed=False),
                "halt, confirmed by the venue": lambda: control.halts(confirmed=True),
                "halt, seen by the brain": partial(word.halts, refused=False),
                "halt, first intent refused": partial(word.halts, refused=True),
            }
            try:
                results = harness.measure(cases, asked)
            finally:
                word.close()
    harness.finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
