"""Market load: exchange and engine together, at a stated rate over many instruments.

Question: does the whole engine take 100,000 messages a second over 300 instruments for ten
minutes with nothing lost and nothing conflated, on the cores it shares with the exchange that
sends them? Lower rates are played for a minute each.
Load: a seeded generated market, every default channel, practice strategies trading. The exchange
counts the frames it wrote to subscribers; feed and brain count what they received and decided on.

    offered      messages a second the generator is asked for
    delivered    frames a second the exchange wrote
    late         by how much the exchange was ever behind its market; grows without end when the
                 cores do not suffice
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
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench import harness
from bench.harness import Bench, Pass
from bench.tick_to_order import call, share_kernels, wait_for

INSTRUMENTS = 300
# Of a pass, by messages a second. The generated market draws its diffs and bursts, and falls
# short of the rate it is asked for by four to six in a hundred.
SECONDS = {20_000: 60.0, 50_000: 60.0, 106_000: 600.0}
SETTLE_S = 0.3
STILL_S = 60.0  # more than a full buffer takes
FRAMES = ("sent", "feed frames_total")
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
    "late": "ms",
    **dict.fromkeys(("feed", "brain", "exchange"), "cores"),
}
BENCH = Bench(
    name="market_load",
    question="What market load do exchange and engine carry together, with nothing lost?",
    load=f"{INSTRUMENTS} generated instruments, default channels, one pass a rate",
    worry="anything lost, undecided or conflated; an exchange seconds late",
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


def at_rest(exchange_url: str, url: str) -> dict[str, int]:
    """Return the counts once two in a row agree on the frames.

    Records never stand still: the feed repeats every book, so that late readers learn it.

    Raises:
        TimeoutError: frames went on for STILL_S.
    """
    deadline = time.monotonic() + STILL_S
    before = _counts(exchange_url, url)
    while time.monotonic() < deadline:
        time.sleep(SETTLE_S)
        now = _counts(exchange_url, url)
        if all(now[name] == before[name] for name in FRAMES):
            return now
        before = now
    raise TimeoutError(f"frames still come and go after {STILL_S:.0f} s")


def load(home: Path, rate: int, seconds: float) -> Pass:
    """Play the market for a time and count on both sides."""
    with exchange(rate) as (exchange_url, exchange_pid), engine(home, exchange_url) as url:
        first = at_rest(exchange_url, url)  # answers to subscriptions
        call(exchange_url, "POST", "/practice/play")
        wait_for("the brain to trade", lambda: call(url, "GET", "/readyz").get("ready"))
        pids = {**call(url, "GET", "/status")["pids"], "exchange": exchange_pid}
        used = {role: cpu_s(pid) for role, pid in pids.items()}
        before, started_s = _counts(exchange_url, url), time.monotonic()
        time.sleep(seconds)
        elapsed_s, after = time.monotonic() - started_s, _counts(exchange_url, url)
        cores = {role: (cpu_s(pid) - used[role]) / elapsed_s for role, pid in pids.items()}
        lag = call(url, "GET", "/status")["latency_us"]["lag"]
        late_ms = float(call(exchange_url, "GET", "/practice/state")["lag_ms_max"])
        call(exchange_url, "POST", "/practice/end")
        end = at_rest(exchange_url, url)
        decided = _counts(exchange_url, url)["brain records_total"]
    return {
        "offered": float(rate),
        "delivered": (after["sent"] - before["sent"]) / elapsed_s,
        "decided": (after["brain records_total"] - before["brain records_total"]) / elapsed_s,
        "late": late_ms,
        "lost": float(_ahead(end) - _ahead(first)),
        "undecided": float(max(end["feed records_total"] - decided, 0)),
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
    parser.add_argument("--seconds", type=float, help="of every pass; default 60, at last 600")
    return parser.parse_args()


def main() -> None:
    """Run the bench."""
    asked = arguments()
    about = harness.machine()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        share_kernels(home)
        # A pass is minutes long and warms itself up: one of each, and none beforehand.
        patience = harness.Patience(asked.patience)
        results: dict[str, list[Pass]] = {}
        for rate, usual_s in SECONDS.items():
            seconds = asked.seconds or usual_s
            found, foreign = harness.quiet_pass(partial(load, home, rate, seconds), patience)
            results[f"{rate:,}/s for {seconds:.0f} s"] = [{**found, "foreign cores": foreign}]
    harness.finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
