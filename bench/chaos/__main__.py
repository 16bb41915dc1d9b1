"""Does anything that can happen between engine and venue lose, double or misbook an order?

`python -m bench.chaos --seeds A-B [--jobs N] [--keep DIR] [--ledger FILE]`
`python -m bench.chaos --show SEED`

Each seed is one run: a whole engine against a practice exchange of its own, two to eight acts
(answers lost, streams that lie, positions changed by hand, kill -9 ...) and at its end every law of
`bench.chaos.laws`. Exit code 1: a law was broken. The folder of such a run is kept under `--keep`.
What is in the ledger for this commit is not run again, and counts in what is told at the end.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from bench.chaos.ledger import Row, RunLedger, summed_up
from bench.chaos.plan import plan_of
from bench.chaos.stage import perform
from bench.harness import commit


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
    parser.add_argument("--ledger", type=Path, help="file that a line is added to for each run")
    options = parser.parse_args(words)
    if options.show is not None:
        print("\n".join(plan_of(options.show).lines()))
        return 0
    ledger = RunLedger(options.ledger, commit())
    seeds = [seed for seed in options.seeds if seed not in ledger.seeds]
    with ThreadPoolExecutor(options.jobs) as pool:
        for done in as_completed([pool.submit(_one, seed, options.keep) for seed in seeds]):
            ledger.add(done.result())
            _tell(done.result())
    asked = [row for row in ledger.rows if row["seed"] in set(options.seeds)]
    print(summed_up(asked))
    return 1 if any(row["broken"] for row in asked) else 0


def _one(seed: int, keep: Path | None) -> Row:
    plan = plan_of(seed)
    broken, told = perform(plan, keep)
    return {"seed": seed, "kinds": [act.kind for act in plan.acts], "broken": broken, **told}


def _tell(row: Row) -> None:
    plan = plan_of(row["seed"])
    word = "BROKEN" if row["broken"] else "ok"
    print(
        f"{row['seed']:6} {word:6} {row['seconds']:5.1f} s, {row['lives']} engines, "
        f"{row['orders']} orders, {row['trading_state']}: {plan.described()}",
        flush=True,
    )
    for sentence in (*row["broken"], *(plan.lines() if row["broken"] else ())):
        print(f"         {sentence}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
