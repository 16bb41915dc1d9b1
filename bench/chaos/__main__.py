"""Does anything that can happen between engine and venue lose, double or misbook an order?

`python -m bench.chaos --seeds A-B [--jobs N] [--keep DIR] [--json FILE]`
`python -m bench.chaos --show SEED`

Each seed is one run: a whole engine against a practice exchange of its own, two to eight acts
(answers lost, streams that lie, positions changed by hand, kill -9 ...) and at its end every law of
`bench.chaos.laws`. Exit code 1: a law was broken. The folder of such a run is kept under `--keep`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.chaos.plan import plan_of
from bench.chaos.stage import perform
from bench.harness import commit, machine


def seeds_of(text: str) -> list[int]:
    """Return the seeds of `A-B`, `A` or a comma-separated list of both."""
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def main(words: list[str] | None = None) -> int:
    """Run the seeds and return the exit code."""
    parser = argparse.ArgumentParser(prog="bench.chaos", description=__doc__)
    parser.add_argument("--seeds", type=seeds_of, default=[])
    parser.add_argument("--show", type=int, help="print the plan of a seed and stop")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--keep", type=Path, help="folder for what failing runs left")
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args(words)
    if options.show is not None:
        for act in plan_of(options.show).acts:
            print(f"{act.at_ms:6} ms  {act.kind:24} {act.words}")
        return 0
    began = time.monotonic()
    rows: list[dict[str, Any]] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for row in pool.map(lambda seed: _one(seed, options.keep), options.seeds):
            rows.append(row)
            _tell(row)
            if options.json is not None:
                document = _document(rows, time.monotonic() - began)
                options.json.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    failed = [row for row in rows if row["broken"]]
    print(f"{len(rows)} runs, {len(failed)} broke a law: {[row['seed'] for row in failed]}")
    return 1 if failed else 0


def _one(seed: int, keep: Path | None) -> dict[str, Any]:
    plan = plan_of(seed)
    broken, told = perform(plan, keep)
    return {"seed": seed, "acts": plan.described(), "broken": broken, **told}


def _tell(row: dict[str, Any]) -> None:
    word = "BROKEN" if row["broken"] else "ok"
    print(
        f"{row['seed']:6} {word:6} {row['seconds']:5.1f} s, {row['lives']} engines, "
        f"{row['orders']} orders, {row['trading_state']}: {row['acts']}",
        flush=True,
    )
    for sentence in row["broken"]:
        print(f"         {sentence}", flush=True)


def _document(rows: Iterable[dict[str, Any]], seconds: float) -> dict[str, Any]:
    kept = list(rows)
    acts = Counter(act.split("@")[0] for row in kept for act in str(row["acts"]).split(", ") if act)
    return {
        "bench": "chaos",
        "commit": commit(),
        "machine": machine(),
        "runs": len(kept),
        "broke_a_law": [row["seed"] for row in kept if row["broken"]],
        "seconds": round(seconds, 1),
        "orders": sum(row["orders"] or 0 for row in kept),
        "engines": sum(row["lives"] for row in kept),
        "acts": dict(sorted(acts.items())),
        "failures": {row["seed"]: row["broken"] for row in kept if row["broken"]},
    }


if __name__ == "__main__":
    sys.exit(main())
