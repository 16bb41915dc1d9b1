"""Control: how long `/health`, `/status` and a HALT take while the engine trades.

Question: do looking and halting keep their budgets under load? Load: `aegis run` against a practice
exchange with a generated market, trading all the while, with a strategy among the others that wants
something at most quotes; requests come one after another from a client on the same cores, on
connections of their own, or on one that is kept, as a browser's. A HALT is clicked while orders by
hand rest in every market, and counted to its answer (the gate's word is written, cancels are on
their way), to the last order that the exchange cancelled, when the brain heard of it (by its
journal: the count that it shows is up to ten milliseconds old), and to the venue's word that no
order is open, which fetches the account and compares the books. The word alone is
written into shared memory with the brain woken as a command wakes it, and counted to the step that
saw it, and to the first intent that it refused, less what the market let that intent wait for. No
order that opens anything may be decided after the step that saw it. Beside them a process that does
nothing else is woken as often, through a pipe: so long the machine alone takes to wake somebody.
Tick to order and lag are of spans with 200 pages open, each on a stream of its own, and of spans
without, in turns. Baseline: `/health`; of a span with pages: the one without; of a halt by the
word: that bare process.

One pass takes a minute and a half and never much more than two: what is repeated in it stops at
its share of the time, and the count says how often it was done. Waits are of all passes together.
At the end the engine compares its journal with the exchange's books, up to a minute more.

Limits of account and exchange are lifted. Within them the strategies use up what orders the account
has, and an order by hand is refused; each confirmation fetches the account, and at the venue's own
2,400 a minute some twenty halts use up the minute, after which a resume is refused.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench import harness
from bench.control_word import BARE, OPEN_S, REFUSED, SEEN, SPANS, Word
from bench.harness import Bench, Pass
from bench.startup import READY_S, STAMPS, ask, exchange, free_port
from engine.web.live import PERIOD_S
from tests.engine_process import wanting

LOOKS = 200  # of a pass
LOOKS_S = 8.0  # then a pass has enough of them
HALTS = 15
HALTS_S = 30.0
COMMAND_S = 0.35  # commands are limited to three a second, halts are not
COMMANDS_S = 4 * COMMAND_S  # then six of them took long enough
RESTS = 10  # tries to let an order rest
# An order of a strategy is on its way the other way; the market has left the book that was read.
MOMENTARY = (b"SELF_TRADE", b"PRICE_COLLAR", b"PRICE_AGE")
PAGES = 200
NAME = "control"
WITH_PAGES = ", 200 pages"
RATE = "2000"  # generated messages a second, all together
END_S = 300.0  # for the engine to compare its books, a million events after eight passes
LIFTED = str(10**9)
MARKET = ("--generate", "3", "--rate", RATE, "--balance", "100000000")
NO_LIMITS = ("--weight-limit", "--order-limit-10s", "--order-limit-1m")
# Beside the usual strategies one that wants something at most quotes: 100 to 150 orders a second.
CONFIG = """
strategies = ["orderflow", "often"]
[limits]
orders_per_10s = 100000
orders_per_10s_instrument = 100000
max_entries_per_day = 100000000
max_daily_loss_ratio = 1.0
max_drawdown_ratio = 1.0
max_consecutive_failures = 1000000
"""
BENCH = Bench(
    name="control",
    question="Do looking and halting keep their budgets under load?",
    load=(
        f"a generated market of {RATE} messages/s, trading; one request after another; each of "
        f"{PAGES} pages is sent the status {1 / PERIOD_S:g} times a second"
    ),
    worry="p99: /status over 5 ms, a halt confirmed after 50 ms, an intent refused after 100 us",
    units=dict.fromkeys(("p50", "p99", "p99.9", "max"), "ms") | {"count": "times"},
    baseline="/health",
    baselines={case + WITH_PAGES: case for case in ("/status", *SPANS)}
    | dict.fromkeys((SEEN, REFUSED), BARE),
)


BECAUSE = {"reason": "bench"}
ANSWERED = "halt, answered"
CANCELLED = "halt, last order cancelled"
CONFIRMED = "halt, confirmed by the venue"
HALT_CASES = (ANSWERED, CANCELLED, CONFIRMED)


class Row(NamedTuple):
    """What an order in a market must keep."""

    symbol: str
    tick: Decimal
    lot: Decimal
    notional_min: Decimal


class Control:
    """A running engine and what is asked of it."""

    def __init__(self, port: int, token: str) -> None:
        """Talk to the API on a port of this machine."""
        self.port = port
        self.token = token

    def answer(self, method: str, path: str, **body: object) -> tuple[float, int, bytes]:
        """Return ms from the connection to the last byte, the status and what was said."""
        began_s = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        said = json.dumps({"who": "bench", **body}) if body else None
        try:
            connection.request(method, path, said, {"x-aegis-token": self.token})
            answer = connection.getresponse()
            told = answer.read()
        finally:
            connection.close()
        return (time.perf_counter() - began_s) * 1e3, answer.status, told

    def ask(self, method: str, path: str, **body: object) -> float:
        """Return ms from the connection to the last byte; the answer must be 200."""
        waited_ms, status, told = self.answer(method, path, **body)
        assert status == http.client.OK, (path, told)
        return waited_ms

    def looks(self, path: str) -> list[float]:
        """Look again and again; return the waits, ms."""
        return [self.ask("GET", path) for _ in within(LOOKS, LOOKS_S)]

    def looks_kept(self, path: str) -> list[float]:
        """Look again and again on one connection; the first look opens it and is not counted."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        waits_ms = []
        with closing(connection):
            for _ in within(LOOKS + 1, LOOKS_S):
                began_s = time.perf_counter()
                connection.request("GET", path, None, {"x-aegis-token": self.token})
                answer = connection.getresponse()
                answer.read()
                waits_ms.append((time.perf_counter() - began_s) * 1e3)
                assert answer.status == http.client.OK, path
        return waits_ms[1:]

    def rest(self, rows: Sequence[Row]) -> None:
        """Let an order rest in each market, 30 bps below its best bid."""
        for row in rows:
            for number in within(RESTS, OPEN_S):
                time.sleep(COMMAND_S if number else 0.0)
                status, told = self.rest_once(row)
                if status == http.client.OK or not any(word in told for word in MOMENTARY):
                    break
            assert status == http.client.OK, told

    def rest_once(self, row: Row) -> tuple[int, bytes]:
        """Send an order that would rest; return the status and what was said."""
        status, body = ask(self.port, f"/v1/book/{row.symbol}?levels=1")
        assert status == http.client.OK, body
        bid = Decimal(json.loads(body)["bids"][0][0])
        price = bid * Decimal("0.997") // row.tick * row.tick
        quantity = (2 * row.notional_min / price // row.lot + 1) * row.lot
        words = {"symbol": row.symbol, "side": "buy", "reason": "bench"}
        prices = {"quantity": f"{quantity:f}", "limit_price": f"{price:f}"}
        _, status, told = self.answer("POST", "/v1/submit_order", **words, **prices)
        return status, told

    def halts(self, word: Word, rows: Sequence[Row]) -> dict[str, list[float]]:
        """Halt again and again while orders rest; resuming between two is not counted, ms."""
        found: dict[str, list[float]] = {case: [] for case in HALT_CASES}
        for _ in within(HALTS, HALTS_S):
            word.forget()
            self.rest(rows)
            word.until_resting(len(rows))
            began_ns = time.monotonic_ns()
            self.ask("POST", "/v1/halt", **BECAUSE)
            word.until_settled()
            settled_ns = time.monotonic_ns()
            self.ask("POST", "/v1/confirm_halt", **BECAUSE)
            found[CONFIRMED].append((time.monotonic_ns() - began_ns) / 1e6)
            found[CANCELLED].append((word.settled_ns(began_ns, settled_ns) - began_ns) / 1e6)
            self.ask("POST", "/v1/resume", **BECAUSE)
            found[ANSWERED].append(self.ask("POST", "/v1/halt", **BECAUSE))
            self.ask("POST", "/v1/resume", **BECAUSE)
            time.sleep(COMMANDS_S)
        return found


def within(count: int, span_s: float) -> Iterator[int]:
    """Count, until a span of time is over."""
    deadline_s = time.monotonic() + span_s
    for number in range(count):
        if number and time.monotonic() > deadline_s:
            return
        yield number


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


def summary(waits_ms: Sequence[float]) -> Pass:
    """Return what was waited."""
    return {
        "p50": float(np.percentile(waits_ms, 50)),
        "p99": float(np.percentile(waits_ms, 99)),
        "p99.9": float(np.percentile(waits_ms, 99.9)),
        "max": max(waits_ms),
        "count": float(len(waits_ms)),
    }


def until_trading(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait for an engine to be ready; while it compiles on a busy machine an answer may be late."""
    deadline_s = time.monotonic() + READY_S
    while time.monotonic() < deadline_s:
        assert process.poll() is None, f"the engine ended with {process.returncode}"
        status, body = ask(port, "/status")
        if status == http.client.OK and json.loads(body)["startup_ms"].keys() >= set(STAMPS):
            return
        time.sleep(0.1)
    message = f"the engine was not ready within {READY_S:.0f} s"
    raise TimeoutError(message)


@contextmanager
def running(home: Path, name: str, *words: str) -> Iterator[int]:
    """Run an engine for the length of a bench; yield its port once it trades."""
    port = free_port()
    command = [sys.executable, "-m", "engine", "run", "--port", str(port), "--json"]
    environment = {**os.environ, "AEGIS_HOME": str(home)}
    said = home / f"{name}.stderr"
    with said.open("wb") as errors:
        process = subprocess.Popen(
            [*command, "--name", name, *words], env=environment, stdout=errors, stderr=errors
        )
    try:
        until_trading(process, port)
        yield port
    finally:
        if process.poll() is not None:
            sys.stderr.write(
                f"the engine ended with {process.returncode}: {said.read_text()[-2000:]}"
            )
        process.terminate()
        process.wait(END_S)


@contextmanager
def trading(home: Path, exchange_url: str) -> Iterator[Control]:
    """Run an engine that wants to enter at most quotes."""
    file = home / "control.toml"
    file.write_text(CONFIG + wanting(0.02), encoding="utf-8")
    with running(home, NAME, "--exchange", exchange_url, "--config", str(file)) as port:
        token = (home / "run" / "control.token").read_text(encoding="ascii").strip()
        yield Control(port, token)


def markets(exchange_url: str) -> list[Row]:
    """Return what orders must keep, market by market."""
    status, body = ask(int(exchange_url.rpartition(":")[2]), "/fapi/v1/exchangeInfo")
    assert status == http.client.OK, body
    found = []
    for each in json.loads(body)["symbols"]:
        by_kind = {row["filterType"]: row for row in each["filters"]}
        tick, lot = by_kind["PRICE_FILTER"]["tickSize"], by_kind["LOT_SIZE"]["stepSize"]
        least = Decimal(str(by_kind["MIN_NOTIONAL"]["notional"]))
        found.append(Row(each["symbol"], Decimal(tick), Decimal(lot), least))
    return found


def children(pid: int) -> list[int]:
    """Return every process below one."""
    found = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, file.read_text("ascii").split()):
            found += [child, *children(child)]
    return found


class Found(NamedTuple):
    """What one pass found."""

    waits: dict[str, list[float]]  # ms
    spans: list[dict[str, Pass]]


def one_pass(control: Control, word: Word, rows: Sequence[Row]) -> Found:
    """Ask everything once; pages are there in every second span."""
    waits = {case: control.looks(case) for case in ("/health", "/status")}
    waits["/status, kept connection"] = control.looks_kept("/status")
    spans = []
    for _ in range(2):
        without = word.spans()
        with pages(control.port, control.token):
            crowded = word.spans()
            waits.setdefault("/status" + WITH_PAGES, []).extend(control.looks("/status"))
        named = {case + WITH_PAGES: found for case, found in crowded.items()}
        spans.append({**without, **named})
    waits |= word.halts()
    waits |= control.halts(word, rows)
    return Found(waits, spans)


def measure(
    control: Control, word: Word, rows: Sequence[Row], asked: argparse.Namespace
) -> dict[str, list[Pass]]:
    """Return what all passes found; waits are of all of them together."""
    waits: dict[str, list[float]] = {}
    spans: dict[str, list[Pass]] = {}
    disturbed = []
    patience, ours = harness.Patience(asked.patience), children(os.getpid())
    for number in range(harness.WARM_UP_PASSES + asked.passes):
        sys.stderr.write(f"\rpass {number + 1}/{harness.WARM_UP_PASSES + asked.passes}")
        found, foreign = harness.quiet_pass(lambda: one_pass(control, word, rows), patience, ours)
        if number < harness.WARM_UP_PASSES:
            continue
        disturbed.append(foreign)
        for case, waited in found.waits.items():
            waits.setdefault(case, []).extend(waited)
        for span in found.spans:
            for case, latencies in span.items():
                spans.setdefault(case, []).append({**latencies, "foreign cores": foreign})
    sys.stderr.write("\r" + " " * 20 + "\r")
    usual = {"foreign cores": statistics.median(disturbed)}
    return {case: [summary(waited) | usual] for case, waited in waits.items()} | spans


def main() -> None:
    """Measure and report."""
    asked = harness.arguments(__doc__ or "")
    about = harness.machine()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(os.environ.get("AEGIS_HOME", folder))
        lifted = [word for name in NO_LIMITS for word in (name, LIFTED)]
        with exchange(*MARKET, *lifted) as url, trading(home, url) as control:
            word = Word(home, NAME)
            try:
                results = measure(control, word, markets(url), asked)
            finally:
                word.close()
    harness.finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
