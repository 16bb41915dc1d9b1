"""Where the time between a tick and its order goes, stage by stage, and what makes the slow ones.

Question: which stage is worth working on, at the median and in the tail?
Load: that of `tick_to_order`, case "engine": one trigger outstanding at a time.

Nothing is measured that a user's engine does not record: the exchange knows when it began to write
the trigger and when the order's bytes were there, and the engine's journal has, with each order
sent, when its tick was received, when the loop took the batch, and when the write began. Both run
on one host and one monotonic clock.

        wire in     the exchange's write, loopback, the feed's turn         -> received
        ring        decoder, firewall, market ring, the brain's turn        -> batch taken
        hand over   decide, journaled intent, request                       -> write begins
        wire out    the engine's write, loopback, the exchange's turn       -> arrived

An order that the kernel thread cannot write itself (ADR 0020) has doorbell and executor in its hand
over too. "slowest 1 %" are the orders that took longest in all, by stage: what a tail is made of.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench import harness, tick_to_order
from bench.harness import Bench, Case, Pass
from engine.domain.codes import EventType
from engine.store.journal import SOURCE_EVENTS_BRAIN
from engine.store.reader import read_records

STAGES: Final = ("wire in", "ring", "hand over", "wire out", "whole")
TRIGGERS: Final = 2_000  # a pass; twenty of them are the slowest 1 %
SLOW_SHARE: Final = 0.01
SLOWEST: Final = "slowest 1 %"

BENCH = Bench(
    name="waterfall",
    question="which stage between tick and order takes how long, at the median and in the tail?",
    load=f"{TRIGGERS} triggers a pass, pinned as in tick_to_order",
    worry="a stage of ours (ring, hand over) above half of the whole",
    units=dict.fromkeys((*dict(harness.PERCENTILES), "max", SLOWEST), "us") | {"count": "orders"},
    baseline="whole",
)


def stages(samples: list[dict[str, Any]], sent: NDArray[np.void]) -> NDArray[np.float64]:
    """Return one row per order that both sides know, in us: the four stages and their sum.

    Args:
        samples: of the exchange's probe: client_order_id, written_ns, interval_ns.
        sent: ORDER_SENT records of the engine's journal.
    """
    by_name = {bytes(row["text"]).decode(): row for row in sent}
    rows = []
    for sample in samples:
        row = by_name.get(sample["client_order_id"])
        if row is None:
            continue
        written_ns = int(sample["written_ns"])
        arrived_ns = written_ns + int(sample["interval_ns"])
        times = (
            written_ns,
            int(row["cause_receive_time_ns"]),
            int(row["decision_time_ns"]),
            int(row["write_time_ns"]),
            arrived_ns,
        )
        rows.append([*np.diff(times), arrived_ns - written_ns])
    return np.array(rows, dtype=np.float64).reshape(-1, len(STAGES)) / 1_000


def by_stage(table: NDArray[np.float64]) -> Pass:
    """Return percentiles of each stage, and its mean among the orders that were slowest in all.

    Keys are (stage, metric) as one word, so that a pass is repeated or kept as a whole.
    """
    slow_count = max(1, int(len(table) * SLOW_SHARE))
    slowest = table[np.argsort(table[:, -1])[-slow_count:]]
    found: Pass = {}
    for column, stage in enumerate(STAGES):
        metrics = harness.percentiles(table[:, column])
        metrics[SLOWEST] = float(slowest[:, column].mean())
        found |= {f"{stage}/{metric}": value for metric, value in metrics.items()}
    return found


def run_engine(home: Path) -> Pass:
    """Start the pinned engine, run one series, stop it and read its journal."""
    home.mkdir()
    tick_to_order.share_kernels(home)
    first, last = harness.two_cores()
    pin = tick_to_order.PIN.format(first=first, last=last)
    side = tick_to_order.start_engine(home, "waterfall", pin, first)
    try:
        side.exchange.trigger(tick_to_order.WARM_UP_TRIGGERS)
        samples = side.exchange.trigger(TRIGGERS)
    finally:
        side.stop()
    (directory,) = {path.parent for path in home.rglob(f"{SOURCE_EVENTS_BRAIN}*")}
    events = read_records(directory, SOURCE_EVENTS_BRAIN)
    table = stages(samples, events[events["event_type"] == EventType.ORDER_SENT])
    if len(table) == 0:
        raise RuntimeError("no order is in both the exchange's samples and the engine's journal")
    return by_stage(table)


def main() -> None:
    """Run the bench: one engine per pass gives a row to every stage."""
    asked = harness.arguments(__doc__.split("\n")[0])
    about = harness.machine()
    numbers = itertools.count()
    with tempfile.TemporaryDirectory() as folder:
        case: Case = lambda: run_engine(Path(folder) / str(next(numbers)))  # noqa: E731
        passes = harness.measure({"engine": case}, asked)["engine"]
    harness.finish(BENCH, unfolded(passes), about, asked.json)


def unfolded(passes: list[Pass]) -> dict[str, list[Pass]]:
    """Return what `by_stage` said, with a case for every stage."""
    results: dict[str, list[Pass]] = {stage: [] for stage in STAGES}
    for found in passes:
        for stage, rows in results.items():
            mine = {
                key.partition("/")[2]: value
                for key, value in found.items()
                if key.startswith(f"{stage}/")
            }
            rows.append(mine | {"foreign cores": found["foreign cores"]})
    return results


if __name__ == "__main__":
    main()
