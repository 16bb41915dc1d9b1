"""How many records a second does the brain's loop replay, beside the loops of two known engines?

`python -m bench.replay_peers [--json FILE] [--passes N] [--laps N] [--hftbacktest PYTHON] ...`

One recorded market (BTCUSDT, 66,089 quotes and 21,313 trades; a generated one where there is none),
LAPS times over, in memory before the clock starts: our loop, hftbacktest's (both its books) and
NautilusTrader's. Each wakes its strategy once per record, and the counts are checked to be equal.
The strategy is the same three sentences for all (`bench.sides.replay_rows`). Loading, conversion
and compilation are not timed.

What the engines do beside that is not the same. hftbacktest keeps two books and simulates the
exchange's matching; its strategy is asked at trades too, because its loop does not say what woke
it. NautilusTrader has a matching engine, a cache, a message bus and a strategy in Python. Ours has
a firewall, bars, flow and features, risk gates, order state and a journal's events; it simulates no
exchange, and a fill comes with the next step: within at most 256 records, as many as a step takes
when they wait, or with the very next record in steps of one.

The peers run under interpreters of their own (`bench/README.md` says how they are made); one that
is missing is left out, with a sentence.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from bench import harness
from bench.harness import Bench, Pass
from bench.sides import replay_rows
from bench.sides.replay_rows import Rows

CAPTURE: Final = harness.ROOT.parent / "shared/data/hftbacktest/usdm_btcusdt_20240808.gz"
PEERS: Final = harness.ROOT / "build/peers"
LAPS: Final = 5
STEPS: Final = (256, 16, 1)
PEER_TIMEOUT_S: Final = 300.0
BASELINE: Final = "hftbacktest, ROI book"
HASH_MAP: Final = "hftbacktest, hash map book"
NAUTILUS: Final = "NautilusTrader, Python strategy"
TIMES_NAUTILUS: Final = "times NautilusTrader"
MISSING: Final = "{name} is left out: {python} cannot import {module} (bench/README.md says how)\n"

BENCH = Bench(
    name="replay_peers",
    question="How many records a second does each engine's own loop replay, strategy included?",
    load="87,402 recorded quotes and trades of BTCUSDT, five times over, one core",
    worry="below 1.5 times hftbacktest's records a second, or below 50 times NautilusTrader's",
    units={
        "records/s CPU": "1/s",
        "records/s wall": "1/s",
        "CPU per record": "ns",
        TIMES_NAUTILUS: "times",
        "orders": "orders",
        "rows": "rows",
        "count": "records",
    },
    baseline=BASELINE,
)


def has_module(python: Path, module: str) -> bool:
    """Return whether an interpreter can import a module."""
    try:
        found = subprocess.run((python, "-c", f"import {module}"), capture_output=True, check=False)
    except OSError:
        return False
    return found.returncode == 0


class Peer:
    """A peer's process: it holds the market and runs it once per request."""

    def __init__(self, python: Path, module: str, rows_file: Path) -> None:
        """Start it and wait until it is ready."""
        # WHY: nothing of our environment's packages may reach the peer's.
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.process = subprocess.Popen(
            (str(python), "-m", module, str(rows_file)),
            cwd=harness.ROOT,
            env=kept,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.version = str(self._answer()["version"])

    def play(self, request: str = "") -> dict[str, float]:
        """Run the market once and return what the peer counted."""
        stream: IO[str] | None = self.process.stdin
        assert stream is not None
        stream.write(request + "\n")
        stream.flush()
        return self._answer()

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"{self.process.args!r} ended with {self.process.wait()}"
        found: dict[str, Any] = json.loads(line)
        return found


@contextlib.contextmanager
def peer(python: Path, package: str, rows_file: Path) -> Iterator[Peer | None]:
    """Yield a peer, or None with a sentence when its interpreter lacks the package."""
    name = package.partition("_")[0]
    if not has_module(python, package):
        sys.stderr.write(MISSING.format(name=name, python=python, module=package))
        yield None
        return
    started = Peer(python, f"bench.sides.replay_{name}", rows_file)
    try:
        yield started
    finally:
        started.stop()


def measured(play: Callable[[], Mapping[str, float]], expected: int) -> Pass:
    """Run one pass and return its rates; every record must have been seen."""
    found = play()
    records = found["records"]
    assert records == expected, f"{records} records of {expected} reached the strategy"
    assert found.get("refused", 0) == 0, f"{found['refused']} records were refused"
    assert found["orders"] > 0, "the strategy traded"
    return {
        "records/s CPU": records * 1e9 / found["cpu_ns"],
        "records/s wall": records * 1e9 / found["wall_ns"],
        "CPU per record": found["cpu_ns"] / records,
        "orders": float(found["orders"]),
        "rows": float(found["rows"]),
        "count": float(records),
    }


def against_nautilus(results: Mapping[str, list[Pass]]) -> None:
    """Add to each pass how many times NautilusTrader's median rate it is, in place."""
    if NAUTILUS not in results:
        return
    base = statistics.median(found["records/s CPU"] for found in results[NAUTILUS])
    for passes in results.values():
        for found in passes:
            found[TIMES_NAUTILUS] = found["records/s CPU"] / base


def market(lap_count: int) -> Rows:
    """Return the recorded market, or a generated one, `lap_count` times over."""
    if CAPTURE.exists():
        return replay_rows.laps(replay_rows.read_capture(CAPTURE), lap_count)
    sys.stderr.write("no captures: a generated market instead\n")
    return replay_rows.laps(replay_rows.generated(), lap_count)


def arguments() -> argparse.Namespace:
    """Parse what every bench takes, and where the peers are."""
    parser = harness.parser(__doc__.split("\n")[0])
    parser.add_argument("--laps", type=int, default=LAPS, help=f"of the market; default {LAPS}")
    for name in ("hftbacktest", "nautilus"):
        default = PEERS / name / "bin/python"
        parser.add_argument(f"--{name}", type=Path, default=default, metavar="PYTHON")
    return parser.parse_args()


def main() -> None:
    """Measure, print the table, write the JSON."""
    asked = arguments()
    about = harness.machine()
    os.sched_setaffinity(0, {harness.two_cores()[1]})
    rows = market(asked.laps)
    from bench.sides.replay_aegis import Side  # chooses the kernel cache when it is imported

    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as held:
        file = Path(folder) / "rows.npy"
        np.save(file, rows)
        ours = Side(rows)
        plays: dict[str, Callable[[], Mapping[str, float]]] = {
            f"Aegis, steps of {step}": partial(ours.play, step) for step in STEPS
        }
        hftbacktest = held.enter_context(peer(asked.hftbacktest, "hftbacktest", file))
        nautilus = held.enter_context(peer(asked.nautilus, "nautilus_trader", file))
        if hftbacktest is not None:
            about["hftbacktest"] = hftbacktest.version
            plays[BASELINE] = partial(hftbacktest.play, "roi")
            plays[HASH_MAP] = partial(hftbacktest.play, "hash")
        if nautilus is not None:
            about["nautilus_trader"] = nautilus.version
            plays[NAUTILUS] = nautilus.play
        cases = {case: partial(measured, play, len(rows)) for case, play in plays.items()}
        pids = [one.process.pid for one in (hftbacktest, nautilus) if one is not None]
        results = harness.measure(cases, asked, pids)
    against_nautilus(results)
    bench = BENCH if BASELINE in results else dataclasses.replace(BENCH, baseline=None)
    harness.finish(bench, results, about, asked.json)


if __name__ == "__main__":
    main()
