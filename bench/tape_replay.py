"""How fast does a tape go through the brain?

The recorded market of `bench.replay_peers` (87,402 quotes and trades of BTCUSDT, or a generated one
where there is none), LAPS times over, as a tape in the page cache. A pass maps the tape, finds its
blocks, checks each block's checksum, moves its times to now, copies it into a market ring, and runs
the brain's own loop over it: firewall, bars, flow, features, strategy, risk, orders, events. The
baseline is the same market in the ring before the clock starts. What reading alone costs stands
beside it. The books of a whole capture (both instruments, every level) are a case of their own
where there is one.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from bench import harness
from bench.harness import Bench, Pass
from bench.replay_peers import market as rows_of
from bench.sides.tape_market import write_tape
from engine.tapes.drafts import Steps
from engine.tapes.importing import import_files
from engine.tapes.reader import TapeReader

LAPS: Final = 20
CAPTURES: Final = sorted((harness.ROOT.parent / "shared/data/hftbacktest").glob("usdm_*.gz"))
BASELINE: Final = "from memory into the brain"

BENCH = Bench(
    name="tape_replay",
    question="How many records a second go from a tape through the brain?",
    load="87,402 recorded quotes and trades of BTCUSDT, 20 times over, one core",
    worry="below 5,000,000 records/s from a tape into the brain",
    units={
        "records/s wall": "1/s",
        "records/s CPU": "1/s",
        "CPU per record": "ns",
        "orders": "orders",
        "count": "records",
    },
    baseline=BASELINE,
)


def timed(play: Callable[[], tuple[int, int]]) -> Pass:
    """Run a pass that returns (records, orders); return its rates."""
    cpu_ns, wall_ns = time.process_time_ns(), time.monotonic_ns()
    records, orders = play()
    cpu_ns, wall_ns = time.process_time_ns() - cpu_ns, time.monotonic_ns() - wall_ns
    return rates(records, orders, cpu_ns, wall_ns)


def rates(records: float, orders: float, cpu_ns: float, wall_ns: float) -> Pass:
    """Return what the table shows."""
    return {
        "records/s wall": records * 1e9 / wall_ns,
        "records/s CPU": records * 1e9 / cpu_ns,
        "CPU per record": cpu_ns / records,
        "orders": float(orders),
        "count": float(records),
    }


def read(path: Path, *, check: bool) -> tuple[int, int]:
    """Read every record of a tape; return how many, and no order."""
    count, seen = 0, 0
    with TapeReader(path) as tape:
        for block in tape.record_blocks:
            records = tape.records(block, check=check)
            seen += int(records["receive_time_ns"][-1] > 0) + int(np.sum(records["flags"] >= 0))
            count += len(records)
            del records
    assert seen == count + len(tape.record_blocks)
    return count, 0


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = harness.parser(__doc__.split("\n")[0])
    parser.add_argument("--laps", type=int, default=LAPS, help=f"of the market; default {LAPS}")
    asked = parser.parse_args()
    about = harness.machine()
    os.sched_setaffinity(0, {harness.two_cores()[1]})
    from bench.sides.replay_aegis import INSTRUMENT, Side  # chooses the kernel cache
    from bench.sides.tape_brain import TapeBrain

    rows = rows_of(asked.laps)
    side = Side(rows)
    with tempfile.TemporaryDirectory() as folder:
        tape = write_tape(Path(folder) / "market.tape", side.records, [INSTRUMENT])
        brain = TapeBrain(tape, side.rows, side.image)

        def from_memory() -> Pass:
            found = side.play(256)
            return rates(found["records"], found["orders"], found["cpu_ns"], found["wall_ns"])

        cases: dict[str, Callable[[], Pass]] = {
            BASELINE: from_memory,
            "from a tape into the brain": brain.play,
            "tape read and checked": partial(timed, partial(read, tape, check=True)),
            "tape read, not checked": partial(timed, partial(read, tape, check=False)),
        }
        if CAPTURES:
            whole = Path(folder) / "whole.tape"
            import_files(CAPTURES, whole, Steps())
            cases["with books, into the brain"] = TapeBrain(whole, side.rows, side.image).play
        else:
            sys.stderr.write("no captures: no case with books\n")
        results = harness.measure(cases, asked)
    harness.finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
