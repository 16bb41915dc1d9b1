"""Tick to order on the wire: from the write of a trigger frame to the arrival of its order.

Question: how much does the whole engine (decoder, firewall, ring, kernel, risk, journaled intent,
signed order) add to a process that only turns a frame into a prebuilt order, and how far is it from
the same strategy written the usual way?
Load: one trigger outstanding at a time, written by the practice exchange over loopback; quotes that
alternate between extreme imbalances, so that every trigger enters or leaves a position. The
exchange measures: it reads the clock before the write and at the arrival of the order's bytes, and
does not sleep in between, so that its own waking is nobody's latency.

One subject runs at a time, with an exchange of its own that is pinned to the first core. Floor and
usual way are pinned to the last core. The engine has feed, kernel thread and executor on the last
core, which its kernel thread never lets halt (`idle = "yield"`); orchestrator and main share the
first with the exchange. `engine, unpinned` is the default: 30 us of spin, then sleep; it needs
every core, so there the exchange sleeps too, and its waking is in the figure.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np

from bench import harness
from bench.harness import Bench, Pass

TRIGGERS = 400
WARM_UP_TRIGGERS = 50
GAP_MS = 4.0
TIMEOUT_MS = 250.0
READY_S = 180.0
POLL_S = 0.02
LIMITS = 1_000_000  # of the exchange: requests and orders are not what is measured
CONFIG = """
instruments = ["{symbol}"]
channels = ["bookTicker"]
strategies = ["bench"]
{pin}
[limits]
orders_per_10s = 100000
orders_per_10s_instrument = 100000
max_entries_per_day = 1000000
max_order_notional = 10000.0
max_position_notional = 10000.0
max_total_notional = 100000.0
max_daily_loss_ratio = 1.0
max_drawdown_ratio = 1.0
max_order_size = 1000000.0
max_position_exposure = 1000000.0

[[strategy]]
name = "bench"
kind = "quote_imbalance"
notional = 250.0
parameters = {{ threshold = 0.9 }}
"""
PIN = (
    'idle = "yield"\n'
    "pin = {{ feed = {last}, executor = {last}, brain = {last}, orchestrator = {first} }}\n"
)

BENCH = Bench(
    name="tick_to_order",
    question="what does the whole engine add between a tick and its order, on the wire?",
    load=f"{TRIGGERS} triggers a pass, one outstanding at a time, {GAP_MS} ms after each order",
    worry="engine above 2x the floor at p50 or 3x at p99, or the usual way below 5x the engine",
    units=dict.fromkeys(("p50", "p90", "p99", "p99.9", "max"), "us") | {"count": "orders"},
    baseline="floor",
    baselines={"usual way": "engine", "floor": "floor"},
)


def call(url: str, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  JSON
    """Return the JSON answer of one request."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=10)
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"X-MBX-APIKEY": "practice"})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


class Exchange:
    """A practice exchange with one quiet generated market."""

    def __init__(self, core: int, *, has_core: bool = True) -> None:
        """Start it and let its market produce a first quote; `has_core`: nobody needs its core."""
        self.has_core = has_core
        words = ("--generate", "1", "--seed", "1", "--rate", "2", "--balance", "100000000")
        limits = ("--weight-limit", "--order-limit-10s", "--order-limit-1m")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "exchange", "--port", "0", *words),
                *(word for limit in limits for word in (limit, str(LIMITS))),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        os.sched_setaffinity(self.process.pid, {core})
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().split()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.stream_url = f"ws://127.0.0.1:{self.port}"
        call(self.url, "POST", "/practice/play")
        self.symbol = str(call(self.url, "GET", "/fapi/v1/exchangeInfo")["symbols"][0]["symbol"])

    def quote(self) -> tuple[str, str]:
        """Return the market's bid and ask once it has both."""
        path = f"/fapi/v1/ticker/bookTicker?symbol={self.symbol}"
        found = wait_for("a quote", lambda: _quoted(call(self.url, "GET", path)))
        return found["bidPrice"], found["askPrice"]

    def trigger(self, count: int) -> list[dict[str, Any]]:
        """Run one series and return what the probe saw of each order."""
        bid, ask = self.quote()
        head = f'{{"e":"bookTicker","u":{{u}},"s":"{self.symbol}","b":"{bid}"'
        tail = f'"a":"{ask}"'
        times = '"T":{ms},"E":{ms}}'
        order = {
            "stream": f"{self.symbol.lower()}@bookTicker",
            "texts": [
                f'{head},"B":"99.000",{tail},"A":"1.000",{times}',
                f'{head},"B":"1.000",{tail},"A":"99.000",{times}',
            ],
            "count": count,
            "gap_ms": GAP_MS,
            "timeout_ms": TIMEOUT_MS,
            "awake": self.has_core,
        }
        call(self.url, "GET", "/practice/probe?clear=true")
        call(self.url, "POST", "/practice/probe", order)
        found = wait_for("the series", lambda: _finished(self.url))
        samples: list[dict[str, Any]] = found["samples"]
        return samples

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


def _quoted(quote: dict[str, str]) -> dict[str, str] | None:
    both = float(quote.get("bidPrice", 0)) > 0 and float(quote.get("askPrice", 0)) > 0
    return quote if both else None


def _finished(url: str) -> dict[str, Any] | None:
    found: dict[str, Any] = call(url, "GET", "/practice/probe")
    return None if found["running"] else found


def wait_for(what: str, condition: Callable[[], Any]) -> Any:  # noqa: ANN401  what it returns
    """Return the first true answer of a condition.

    Raises:
        TimeoutError: it took longer than READY_S.
    """
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            found = condition()
            if found:
                return found
        time.sleep(POLL_S)
    raise TimeoutError(f"waited {READY_S:.0f} s for {what}")


class Side:
    """A process that trades against an exchange of its own."""

    def __init__(self, exchange: Exchange, words: Sequence[str], home: str = "") -> None:
        """Start it."""
        self.exchange = exchange
        self.words = " ".join(words)
        self.process = subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | ({"AEGIS_HOME": home} if home else {}),
        )

    def measure(self) -> Pass:
        """Run one series; the triggers that led to no order are part of the answer."""
        self.exchange.trigger(WARM_UP_TRIGGERS)
        samples = self.exchange.trigger(TRIGGERS)
        intervals = [sample["interval_ns"] / 1_000 for sample in samples]
        if not intervals:
            raise RuntimeError(f"{self.words}: no trigger led to an order")
        found = harness.percentiles(np.array(intervals, dtype=np.float64))
        return {**found, "missed": float(TRIGGERS - len(intervals))}

    def stop(self) -> None:
        """End it and its exchange."""
        self.process.terminate()
        self.process.wait()
        self.exchange.stop()


Subject = TypeVar("Subject", Exchange, Side)


def start_script(module: str, first: int, last: int) -> Side:
    """Start one of the two single-process subjects."""
    with contextlib.ExitStack() as held:
        exchange = _started(held, Exchange(first))
        exchange.quote()
        words = (exchange.url, exchange.stream_url, exchange.symbol, str(last))
        side = _started(held, Side(exchange, ("-m", module, *words)))
        assert side.process.stdout is not None
        side.process.stdout.readline()
        held.pop_all()
    return side


def start_engine(home: Path, name: str, pin: str, first: int) -> Side:
    """Start the engine and wait until it is ready to trade."""
    with contextlib.ExitStack() as held:
        exchange = _started(held, Exchange(first, has_core=bool(pin)))
        exchange.quote()
        config = home / f"{name}.toml"
        config.write_text(CONFIG.format(symbol=exchange.symbol, pin=pin), encoding="utf-8")
        words = ("-m", "engine", "run", "--exchange", exchange.url, "--port", "0")
        named = ("--name", name, "--account", name, "--config", str(config))
        side = _started(held, Side(exchange, (*words, *named), str(home)))
        run_file = home / "run" / f"{name}.json"
        port = wait_for("the run file", lambda: json.loads(run_file.read_text("utf-8"))["port"])
        url = f"http://127.0.0.1:{port}"
        wait_for("the engine", lambda: call(url, "GET", "/readyz").get("ready"))
        held.pop_all()
    return side


def _started(held: contextlib.ExitStack, subject: Subject) -> Subject:
    """Have a subject stopped if what follows fails."""
    held.callback(subject.stop)
    return subject


def share_kernels(home: Path) -> None:
    """Let engines of this bench load the kernels that are compiled already."""
    real = Path(os.environ.get("AEGIS_HOME", "~/.local/state/aegis")).expanduser()
    (real / "cache").mkdir(parents=True, exist_ok=True)
    (home / "cache").symlink_to(real / "cache")


def cases(home: Path) -> dict[str, Callable[[], Pass]]:
    """Return the four cases; each starts its subject, measures one series and ends it."""
    first, last = harness.two_cores()
    number = itertools.count()

    def script(module: str) -> Callable[[], Pass]:
        return lambda: _measured(start_script(module, first, last))

    def engine(pin: str) -> Callable[[], Pass]:
        return lambda: _measured(start_engine(home, f"bench-{next(number)}", pin, first))

    return {
        "floor": script("bench.sides.order_floor"),
        "usual way": script("bench.sides.order_usual"),
        "engine": engine(PIN.format(first=first, last=last)),
        "engine, unpinned": engine(""),
    }


def _measured(side: Side) -> Pass:
    try:
        return side.measure()
    finally:
        side.stop()


def main() -> None:
    """Run the bench."""
    asked = harness.arguments(__doc__.split("\n")[0])
    about = harness.machine()
    with tempfile.TemporaryDirectory() as folder:
        share_kernels(Path(folder))
        results = harness.measure(cases(Path(folder)), asked)
    harness.finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
