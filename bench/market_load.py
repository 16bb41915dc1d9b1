"""Market load: exchange and engine together, at a stated rate over many instruments.

Question: does the whole engine take 100,000 messages a second over 300 instruments for a minute
with nothing lost and nothing conflated, on the cores it shares with the exchange that sends them?
Load: a seeded generated market, every default channel, practice strategies trading. The exchange
counts the frames it wrote to subscribers; feed and brain count what they received and decided on.

    offered      messages a second the generator is asked for
    delivered    frames a second the exchange wrote: below `offered` when the cores do not suffice
    lost         frames written minus frames received, once both stand still; must be 0
    undecided    records published minus records decided on; must be 0
    conflated    records merged because the brain was behind; must be 0
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench import harness
from bench.harness import Bench, Pass
from bench.tick_to_order import call, share_kernels, wait_for

INSTRUMENTS = 300
RATES = (20_000, 50_000, 100_000)
SECONDS = 60.0
SETTLE_S = 0.3
# Not all of them: some counters never stand still.
METRIC = re.compile(
    r"^aegis_((?:frames|records|conflated|rejected)_total)\{role=\"(feed|brain)\"\} (\d+)",
    re.MULTILINE,
)
UNITS = {
    **dict.fromkeys(("offered", "delivered", "decided"), "1/s"),
    **dict.fromkeys(("lost", "refused"), "frames"),
    **dict.fromkeys(("undecided", "conflated"), "records"),
    **dict.fromkeys(("lag p50", "lag p99", "lag max"), "us"),
    **dict.fromkeys(("feed", "brain", "exchange"), "cores"),
}
BENCH = Bench(
    name="market_load",
    question="What market load do exchange and engine carry together, with nothing lost?",
    load=f"{INSTRUMENTS} generated instruments, default channels, {SECONDS:.0f} s a pass",
    worry="anything lost, undecided or conflated; delivered below offered",
    units=UNITS,
)


@contextlib.contextmanager
def exchange(rate: int) -> Iterator[tuple[str, int]]:
    """Run a practice exchange that waits for the word to play; yield its address and process id."""
    words = ["--generate", str(INSTRUMENTS), "--seed", "7", "--rate", str(rate), "--hold"]
    process = subprocess.Popen(
        [sys.executable, "-m", "exchange", "--port", "0", *words], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        port = process.stdout.readline().split()[1]
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def engine(home: Path, exchange_url: str) -> Iterator[str]:
    """Run an engine; yield its address once its brain is warm."""
    words = ["-m", "engine", "run", "--exchange", exchange_url, "--port", "0", "--name", "load"]
    process = subprocess.Popen(
        [sys.executable, *words],
        env={**os.environ, "AEGIS_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    run_file = home / "run" / "load.json"
    try:
        port = wait_for("the run file", lambda: json.loads(run_file.read_text("utf-8"))["port"])
        url = f"http://127.0.0.1:{port}"
        wait_for("brain and feed", lambda: _stamps(url) >= {"brain_warm", "feed_synced"})
        yield url
    finally:
        process.terminate()
        process.wait(60)


def _stamps(url: str) -> set[str]:
    return set(call(url, "GET", "/status").get("startup_ms", ()))


def metrics(url: str) -> dict[str, int]:
    """Return the counters of feed and brain as `role name`."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    return {f"{role} {name}": int(number) for name, role, number in METRIC.findall(text)}


def cpu_s(pid: int) -> float:
    """Return the CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / harness.TICKS_PER_S


def standing(read: Callable[[], Any]) -> Any:  # noqa: ANN401  what it reads
    """Return what a reading is once two in a row agree."""
    before = read()
    while True:
        time.sleep(SETTLE_S)
        now = read()
        if now == before:
            return now
        before = now


def load(home: Path, rate: int, seconds: float) -> Pass:
    """Play the market for a time and count on both sides."""
    with exchange(rate) as (exchange_url, exchange_pid), engine(home, exchange_url) as url:
        first = standing(lambda: _counts(exchange_url, url))  # answers to subscriptions
        call(exchange_url, "POST", "/practice/play")
        wait_for("the brain to trade", lambda: call(url, "GET", "/readyz").get("ready"))
        pids = {**call(url, "GET", "/status")["pids"], "exchange": exchange_pid}
        used = {role: cpu_s(pid) for role, pid in pids.items()}
        before, started_s = _counts(exchange_url, url), time.monotonic()
        time.sleep(seconds)
        elapsed_s, after = time.monotonic() - started_s, _counts(exchange_url, url)
        cores = {role: (cpu_s(pid) - used[role]) / elapsed_s for role, pid in pids.items()}
        lag = call(url, "GET", "/status")["latency_us"]["lag"]
        call(exchange_url, "POST", "/practice/end")
        end = standing(lambda: _counts(exchange_url, url))
    return {
        "offered": float(rate),
        "delivered": (after["sent"] - before["sent"]) / elapsed_s,
        "decided": (after["brain records_total"] - before["brain records_total"]) / elapsed_s,
        "lost": float(_ahead(end) - _ahead(first)),
        "undecided": float(end["feed records_total"] - end["brain records_total"]),
        "conflated": float(end["feed conflated_total"]),
        "refused": float(end["feed rejected_total"]),
        "lag p50": lag["p50"],
        "lag p99": lag["p99"],
        "lag max": lag["max"],
        **{role: cores[role] for role in ("feed", "brain", "exchange")},
    }


def _ahead(counts: dict[str, int]) -> int:
    return counts["sent"] - counts["feed frames_total"]


def _counts(exchange_url: str, url: str) -> dict[str, int]:
    sent = int(call(exchange_url, "GET", "/practice/state")["frames_delivered"])
    return {"sent": sent, **metrics(url)}


def arguments() -> argparse.Namespace:
    """Parse the command line: as every bench, and for how long."""
    parser = harness.parser(__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"default {SECONDS:.0f}")
    return parser.parse_args()


def main() -> None:
    """Run the bench."""
    asked = arguments()
    about = harness.machine()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        share_kernels(home)
        # A pass is a minute long and warms itself up: one of each, and none beforehand.
        patience = harness.Patience(asked.patience)
        results: dict[str, list[Pass]] = {}
        for rate in RATES:
            found, foreign = harness.quiet_pass(partial(load, home, rate, asked.seconds), patience)
            results[f"{rate:,}/s"] = [{**found, "foreign cores": foreign}]
    harness.finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
