"""Losses of market data on command: what the engine does, how long it takes, what is missing.

Question: what does each fault of connections and streams cost, in time and in records?
Load: a seeded generated market through the whole engine, practice strategies trading. A case orders
one fault of the exchange and waits until the engine's own report of it says recovered.

    recovery     from the loss to every channel live again and no hole in trade ids, in ms
    healed       trades that were missed and came from another connection or from the history
    lost         trades a gap record names; 0 unless the case forbids healing
    gaps         gap records of any channel
    books        books that were fetched again
    repeated     frames that two connections delivered, dropped by their ids
    refused      frames the firewall refused meanwhile; 0 where nothing was poisoned
    weight       the request weight the venue counted in its minute after it (of 2,400)
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench import harness
from bench.harness import Bench, Pass
from bench.tick_to_order import call, share_kernels, wait_for

INSTRUMENTS = 50
STOP_S = 60.0  # then the engine is killed
RATE_EACH = 40  # messages a second of one instrument
METRIC = re.compile(r'^aegis_(\w+)\{role="feed"\} (-?\d+)', re.MULTILINE)
COUNTED = {
    "healed": "trades_healed_total",
    "lost": "trades_lost_total",
    "gaps": "gaps_total",
    "books": "snapshots_total",
    "repeated": "duplicates_total",
    "refused": "rejected_total",
}
BENCH = Bench(
    name="failover",
    question="What does each loss of market data cost, in time and in records?",
    load=f"{INSTRUMENTS} generated instruments with books, default channels, {RATE_EACH}/s each",
    worry="a trade lost that the venue's history has; a recovery of minutes",
    units={"recovery": "ms", "weight": "weight", **dict.fromkeys(COUNTED, "records")},
)


class Case(NamedTuple):
    """One fault: its orders, the engine's settings, and the word of the incident it makes."""

    orders: tuple[dict[str, Any], ...]
    settings: str = 'backup = "off"'
    counter: str = "incidents_total"  # rises when it began
    instruments: int = INSTRUMENTS
    rest_s: float = 2.0  # before it: some trades, or until the weight of the start is over


CUT_MARKET = ({"kind": "disconnect", "category": "market"},)
CUT_ALL = ({"kind": "disconnect", "category": "*"},)
NO_HISTORY = {"kind": "rest", "path": "/fapi/v1/aggTrades", "status": 503, "body": "{}",
              "duration_ms": 8_000}  # fmt: skip
CASES: dict[str, Case] = {
    "trades cut in mid-stream": Case(CUT_MARKET),
    "the same, no history": Case((NO_HISTORY, *CUT_MARKET)),
    "one of two lines cut": Case(
        ({"kind": "disconnect", "first_of": "market"},), 'backup = "always"'
    ),
    "everything cut": Case(CUT_ALL, rest_s=60.0),
    "everything cut at the start": Case(CUT_ALL),
    "everything cut, 300 books": Case(CUT_ALL, instruments=300, rest_s=30.0),
    "venue gone for 3 s": Case(
        ({"kind": "slow_handshake", "delay_ms": 3_000, "duration_ms": 2_000}, *CUT_ALL)
    ),
    "connections silent, open": Case(
        ({"kind": "silent_connection", "category": "public", "duration_ms": 30_000},)
    ),
    "announced shutdown": Case(
        ({"kind": "server_shutdown", "category": "*", "close_after_ms": 4_000},),
        counter="connections_replaced_total",
    ),
    "900 ms late for 4 s": Case(
        ({"kind": "shape", "category": "*", "latency_ms": 900, "duration_ms": 4_000},),
        'backup = "off"\nlag_limit_ms = 300',
    ),
}


def metrics(url: str) -> dict[str, int]:
    """Return the feed's counters."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:  # noqa: S310  loopback
        text = answer.read().decode()
    return {name: int(number) for name, number in METRIC.findall(text)}


@contextlib.contextmanager
def exchange(instruments: int) -> Iterator[str]:
    """Run a practice exchange; yield its address."""
    rate = str(instruments * RATE_EACH)
    words = ["--generate", str(instruments), "--seed", "7", "--rate", rate]
    process = subprocess.Popen(
        [sys.executable, "-m", "exchange", "--port", "0", *words], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().split()[1]}"
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def engine(home: Path, exchange_url: str, settings: str) -> Iterator[str]:
    """Run an engine with some settings of its sources; yield its address once all is live."""
    file = home / "failover.toml"
    file.write_text(f"depth_instruments_max = 300\n[sources]\n{settings}\n", "utf-8")
    words = ["run", "--exchange", exchange_url, "--port", "0", "--name", "failover"]
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", *words, "--config", str(file)],
        env={**os.environ, "AEGIS_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    run_file = home / "run" / "failover.json"
    try:
        port = wait_for("the run file", lambda: json.loads(run_file.read_text("utf-8"))["port"])
        url = f"http://127.0.0.1:{port}"
        wait_for("a live market", lambda: is_whole(url))
        yield url
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def is_whole(url: str) -> bool:
    """Return whether every quote, trade and book is live and nothing is open."""
    status = call(url, "GET", "/status")
    rows = status.get("instruments", [])
    live = all(
        row["liveness"][channel] == "LIVE" for row in rows for channel in ("QUOTE", "TRADE", "BOOK")
    )
    return bool(rows) and live and metrics(url)["incidents_open"] == 0


def suffer(home: Path, case: Case) -> Pass:
    """Order a case's faults on a market that is whole, and report what became of it."""
    with (
        exchange(case.instruments) as exchange_url,
        engine(home, exchange_url, case.settings) as url,
    ):
        time.sleep(case.rest_s)
        before = metrics(url)
        known = {row["began_unix_ms"] for row in incidents(url)}
        for order in case.orders:
            call(exchange_url, "POST", "/practice/fault", numbered(exchange_url, order))
        wait_for("the loss", lambda: metrics(url)[case.counter] > before[case.counter])
        wait_for("a whole market", lambda: is_whole(url))
        time.sleep(1.5)  # the table is written once a second
        after = metrics(url)
        lasted = [row["lasted_ms"] for row in incidents(url) if row["began_unix_ms"] not in known]
        time_url = f"{exchange_url}/fapi/v1/time"
        with urllib.request.urlopen(time_url, timeout=10) as answer:  # noqa: S310  loopback
            weight = int(answer.headers["X-MBX-USED-WEIGHT-1M"])
    counted = {name: float(after[counter] - before[counter]) for name, counter in COUNTED.items()}
    return {"recovery": max(lasted, default=0.0), **counted, "weight": float(weight)}


def numbered(exchange_url: str, order: dict[str, Any]) -> dict[str, Any]:
    """Return an order for one connection of a category, with the number it has at the exchange."""
    if "first_of" not in order:
        return order
    rows = call(exchange_url, "GET", "/practice/connections")
    mine = (row for row in rows if row["category"] == order["first_of"] and len(row["streams"]) > 1)
    return {"kind": order["kind"], "connection": next(mine)["connection"]}


def incidents(url: str) -> list[dict[str, Any]]:
    """Return the losses that are over."""
    rows: list[dict[str, Any]] = call(url, "GET", "/status")["sources"].get("incidents", [])
    return [row for row in rows if row["state"] == "recovered"]


def arguments() -> argparse.Namespace:
    """Parse the command line: as every bench, and which cases."""
    parser = harness.parser(__doc__.split("\n")[0])
    parser.add_argument("--case", action="append", choices=list(CASES), help="only this one")
    return parser.parse_args()


def main() -> None:
    """Run the bench."""
    asked = arguments()
    about = harness.machine()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        share_kernels(home)
        patience = harness.Patience(asked.patience)
        results: dict[str, list[Pass]] = {}
        for name in asked.case or CASES:
            case = partial(suffer, home, CASES[name])
            try:
                found, foreign = harness.quiet_pass(case, patience)
            except (TimeoutError, OSError, KeyError, subprocess.TimeoutExpired) as error:
                print(f"{name}: not measured: {error!r}", file=sys.stderr)
                continue  # one case that does not come to its end costs only itself
            results[name] = [{**found, "foreign cores": foreign}]
    harness.finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
