"""What does it cost to have an order on the disk before it is sent?

`python -m bench.durability [--json FILE] [--passes N]`

Question: `durability = "ring"` writes the intent into shared memory before the first byte (it
survives kill -9 of every process), `"disk"` waits until the journal is synced as well (it survives
the host). Load: a whole engine that trades as fast as its limits let it against a practice
exchange, `PLAY_S` seconds a pass; the engine's own histogram from frame to first byte, and what
one 4 KiB append with fdatasync costs on the same file system in the same run.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench import harness
from bench.chaos.lives import Life
from bench.chaos.plan import settings
from bench.chaos.venue import ChaosVenue
from bench.harness import Bench, Pass
from bench.order_rate import warm_kernels

PLAY_S = 4.0
SYNCS = 300
SYNC_BYTES = 4_096
QUANTILES = {"p50": 0.5, "p99": 0.99}
BENCH = Bench(
    name="durability",
    question="What does it cost to have an order on the disk before it is sent?",
    load=f"a whole engine against a practice exchange, {PLAY_S:.0f} s of trading a pass",
    worry="ring above 1 ms at p50, or disk above twice a sync",
    units={**dict.fromkeys((*QUANTILES, "max"), "us"), "count": "orders"},
    baseline="ring",
)


def sync_cost(folder: Path) -> Pass:
    """Measure appends of a page, each followed by fdatasync."""
    took_us = []
    with (folder / "synced").open("ab", buffering=0) as file:
        for _ in range(SYNCS):
            began = time.perf_counter_ns()
            file.write(bytes(SYNC_BYTES))
            os.fdatasync(file.fileno())
            took_us.append((time.perf_counter_ns() - began) / 1e3)
    sample = np.array(took_us)
    found = {name: float(np.quantile(sample, share)) for name, share in QUANTILES.items()}
    return {**found, "max": float(sample.max()), "count": float(SYNCS)}


def engine(durability: str) -> Pass:
    """Measure one engine from the frame that caused an order to its first byte."""
    with tempfile.TemporaryDirectory(prefix="aegis-durability-") as name:
        folder = Path(name)
        file = folder / "aegis.toml"
        file.write_text(f'{settings()}\n[journal]\ndurability = "{durability}"\n', "utf-8")
        venue = ChaosVenue(folder, instruments=2, seed=7, speed=1)
        (folder / "home").mkdir()
        words = ["--exchange", venue.url, "--config", str(file)]
        life = Life(folder / "home", f"durability{os.getpid()}", 0, words)
        try:
            assert life.wait_ready(), life.said()
            time.sleep(PLAY_S)
            code = life.terminate()
            assert code == 0, f"{code}: {life.said()}"
            return _tick_to_order(life.summary())
        finally:
            life.kill_all()
            life.process.wait()
            venue.kill()


def _tick_to_order(summary: dict[str, Any]) -> Pass:
    shown = summary["tick_to_order_us"]
    assert shown["count"], "no order was sent"
    return {name: float(shown[name]) for name in (*QUANTILES, "max", "count")}


def main() -> None:
    """Measure and report."""
    asked = harness.arguments(__doc__ or "")
    about = harness.machine()
    with tempfile.TemporaryDirectory(prefix="aegis-durability-") as name:
        warm_kernels(Path(name) / "home")  # engines of the passes share what is compiled here
        cases: dict[str, Callable[[], Pass]] = {
            "ring": lambda: engine("ring"),
            "disk": lambda: engine("disk"),
            "a page and fdatasync": lambda: sync_cost(Path(name)),
        }
        results = harness.measure(cases, asked)
    harness.finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
