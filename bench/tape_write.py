"""Does the recorder keep up, and does the feed notice it?

A producer publishes a market of quotes, trades and book levels into a market ring of the engine's
own size, so many records each millisecond; `aegis record` runs as a process of its own beside it
and writes tapes. Every record must be on the tape: what the ring lost would be counted in gap
records, and the tape's records are counted again when it is over. The baseline is the same
producer with nobody recording.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench import harness
from bench.harness import Bench, Pass
from bench.sides.tape_market import RecordedRing, market
from engine.domain.codes import RecordType
from engine.tapes.reader import TapeReader

RATES: Final = (500_000, 1_000_000, 2_000_000)
SECONDS: Final = 4.0
TURN_S: Final = 0.001
START_DEADLINE_S: Final = 60.0
BASELINE: Final = "500,000/s, nobody records"

BENCH = Bench(
    name="tape_write",
    question="How many records a second does the recorder write without losing one?",
    load="quotes, trades and levels of 300 instruments, published each ms for 4 s",
    worry="a record lost at 500,000/s, or a producer slower than with nobody recording",
    units={
        "records/s": "1/s",
        "lost": "records",
        "publish p50": "ns",
        "publish p99": "ns",
        "recorder CPU": "cores",
        "bytes per record": "bytes",
        "count": "records",
    },
    baseline=BASELINE,
)


def published(ring: RecordedRing, rate: int) -> tuple[int, float, NDArray[np.float64]]:
    """Publish at a rate; return (records, seconds, ns per record of each turn's publish)."""
    per_turn = round(rate * TURN_S)
    records = market(64 * per_turn)
    costs = []
    began_s = time.monotonic()
    turns = round(SECONDS / TURN_S)
    for turn in range(turns):
        first = turn % 64 * per_turn
        part = records[first : first + per_turn]
        part["receive_time_ns"] = time.monotonic_ns()
        start_ns = time.perf_counter_ns()
        ring.publish(part)
        costs.append((time.perf_counter_ns() - start_ns) / per_turn)
        left_s = began_s + (turn + 1) * TURN_S - time.monotonic()
        if left_s > 0:
            time.sleep(left_s)
    elapsed_s = time.monotonic() - began_s
    return turns * per_turn, elapsed_s, np.array(costs)


def measured(rate: int, *, is_recorded: bool) -> Pass:
    """Run one pass at a rate."""
    with RecordedRing() as ring, tempfile.TemporaryDirectory() as folder:
        recorder = start(ring, Path(folder)) if is_recorded else None
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        count, elapsed_s, costs = published(ring, rate)
        found: Pass = {
            "records/s": count / elapsed_s,
            "publish p50": float(np.percentile(costs, 50)),
            "publish p99": float(np.percentile(costs, 99)),
            "count": float(count),
        }
        if recorder is None:
            return found
        recorder.send_signal(signal.SIGTERM)
        output, errors = recorder.communicate(timeout=START_DEADLINE_S)
        assert recorder.returncode == 0, errors
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        document = json.loads(output)
        assert document["records"] + document["lost"] == count, (document, count)
        assert on_tape(Path(folder)) == document["records"]
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found["lost"] = float(document["lost"])
        found["recorder CPU"] = cpu_s / elapsed_s
        found["bytes per record"] = document["bytes"] / count
        return found


def start(ring: RecordedRing, folder: Path) -> subprocess.Popen[str]:
    """Start a recorder and return it once it records."""
    command = [sys.executable, "-m", "engine.cli", "record", "--name", ring.name, "--json"]
    recorder = subprocess.Popen(
        [*command, "--into", str(folder)],
        cwd=harness.ROOT,
        env={**os.environ, "PYTHONPATH": str(harness.ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline_s = time.monotonic() + START_DEADLINE_S
    while not list(folder.glob("*.tape")):
        assert recorder.poll() is None, recorder.communicate()
        assert time.monotonic() < deadline_s, "the recorder did not start"
        time.sleep(0.01)
    return recorder


def on_tape(folder: Path) -> int:
    """Return how many records the tapes of a folder hold that came through the ring."""
    count = 0
    for path in sorted(folder.glob("*.tape")):
        with TapeReader(path) as tape:
            assert tape.header.tape_index == 0, "a second tape has books at its head"
            for records in tape.batches():  # each block's checksum is looked at
                count += int((records["record_type"] != RecordType.GAP).sum())
                del records
    return count


def main() -> None:
    """Measure, print the table, write the JSON."""
    asked = harness.arguments(__doc__.split("\n")[0])
    about = harness.machine()
    cases = {BASELINE: partial(measured, RATES[0], is_recorded=False)}
    for rate in RATES:
        cases[f"{rate:,}/s, recorded"] = partial(measured, rate, is_recorded=True)
    results = harness.measure(cases, asked)
    harness.finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
