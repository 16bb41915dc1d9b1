"""Compare fresh ratios with the recorded ones: `python -m bench.compare [NAME ...]`.

Every recorded bench (bench/results/*.json) is run again, or read from `--fresh FOLDER`. Absolute
numbers belong to a machine, so only ratios to the baseline of the same run are judged: medians and
rates, never tails. A row is worse when its median ratio lost more than TOLERANCE and not even the
best fresh pass reaches the recorded median; a single lucky or unlucky pass decides nothing. A bench
with a worse row is run again, up to RUNS_MAX times in all, and most of the runs decide.

A judged row that the fresh result does not have is a failure too. What differs between the machines
is said before the table, and a case that other programs disturbed is marked.

Exit codes: 0 nothing is worse or missing, 1 something is, 3 there is nothing to compare with.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from bench.harness import FOREIGN_CORES_MAX, Row

RESULTS: Final = Path(__file__).resolve().parent / "results"
TOLERANCE: Final = 0.10
TAILS: Final = frozenset({"p90", "p99", "p99.9", "max", "p99 since due", "health max"})
RATE_UNIT: Final = "1/s"  # more is better; of every other unit less is
RUNS_MAX: Final = 3
PASSING: Final = frozenset({"load_1min_at_start"})  # what a machine has now and then


class Report(msgspec.Struct):
    """What a bench wrote."""

    name: str
    commit: str
    rows: list[Row]
    passes: dict[str, list[dict[str, float]]]
    machine: dict[str, object] = {}


class Change(msgspec.Struct):
    """One judged row."""

    bench: str
    case: str
    metric: str
    recorded: float
    fresh: float | None  # None: the fresh result has no such row
    worse_share: float  # of the fresh runs
    disturbed: bool = False

    @property
    def worse(self) -> bool:
        """Whether most of the runs were worse, or the row is gone."""
        return self.worse_share > 0.5


def _judged(report: Report) -> Iterator[Row]:
    for row in report.rows:
        is_baseline = row.baseline is not None and row.value == row.baseline
        if row.ratio and not is_baseline and row.metric not in TAILS:
            yield row


def changes(recorded: Report, *fresh: Report) -> list[Change]:
    """Return every row that the record judges, against the fresh runs."""
    return [_change(recorded.name, row, fresh) for row in _judged(recorded)]


def _change(name: str, row: Row, fresh: Sequence[Report]) -> Change:
    assert row.ratio, "only such rows are judged"
    more_is_better = row.unit == RATE_UNIT
    ratios, foreign = [], []
    worse_count = 0
    for report in fresh:
        found = {(one.case, one.metric): one for one in report.rows}
        now = found.get((row.case, row.metric))
        if now is None or not now.ratio or not now.baseline:
            continue
        passes = [one[row.metric] / now.baseline for one in report.passes[row.case]]
        lost = row.ratio / now.ratio if more_is_better else now.ratio / row.ratio
        reaches = max(passes) >= row.ratio if more_is_better else min(passes) <= row.ratio
        worse_count += lost > 1 + TOLERANCE and not reaches
        ratios.append(now.ratio)
        foreign += [one.get("foreign cores", 0.0) for one in report.passes[row.case]]
    if not ratios:
        return Change(name, row.case, row.metric, row.ratio, None, 1.0)
    disturbed = statistics.median(foreign) > FOREIGN_CORES_MAX
    share = worse_count / len(ratios)
    return Change(
        name, row.case, row.metric, row.ratio, statistics.median(ratios), share, disturbed
    )


def machine_differences(recorded: Report, fresh: Report) -> list[str]:
    """Return one sentence per fact on which the two machines differ."""
    facts = sorted({*recorded.machine, *fresh.machine} - PASSING)
    before, now = recorded.machine, fresh.machine
    return [
        f"{recorded.name}: {fact} was {before.get(fact)}, is {now.get(fact)}"
        for fact in facts
        if before.get(fact) != now.get(fact)
    ]


def table(judged: Sequence[Change]) -> str:
    """Return the comparison as text."""
    lines = [f"{'bench':<16}{'case':<36}{'metric':<22}{'recorded':>10}{'fresh':>10}"]
    for change in judged:
        mark = "  WORSE" if change.worse else ""
        fresh = f"{change.fresh:>10.3g}" if change.fresh is not None else f"{'MISSING':>10}"
        lines.append(
            f"{change.bench:<16}{change.case:<36}{change.metric:<22}"
            f"{change.recorded:>10.3g}{fresh}{mark}{'  disturbed' if change.disturbed else ''}"
        )
    return "\n".join(lines)


def read(path: Path) -> Report:
    """Return a report from its file."""
    return msgspec.json.decode(path.read_bytes(), type=Report)


def _run(name: str, folder: Path) -> Report:
    path = folder / f"{name}.json"
    command = (sys.executable, "-m", f"bench.{name}", "--json", str(path))
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return read(path)


def judge(recorded: Report, run: Callable[[], Report]) -> tuple[list[Change], Report]:
    """Run a bench until nothing is worse, RUNS_MAX times at most; return what it came to."""
    fresh = [run()]
    judged = changes(recorded, *fresh)
    while len(fresh) < RUNS_MAX and any(
        one.worse_share >= 0.5 and one.fresh is not None for one in judged
    ):
        fresh.append(run())
        judged = changes(recorded, *fresh)
    return judged, fresh[0]


def main(words: Sequence[str] | None = None) -> int:
    """Compare, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="benches; default: all recorded")
    parser.add_argument("--recorded", type=Path, default=RESULTS, metavar="FOLDER")
    parser.add_argument("--fresh", type=Path, metavar="FOLDER", help="read instead of running")
    asked = parser.parse_args(words)
    # A result without rows, such as that of `make fuzz`, has nothing to compare.
    files = [
        path for path in sorted(asked.recorded.glob("*.json")) if b'"rows"' in path.read_bytes()
    ]
    paths = {path.stem: path for path in files}
    names = asked.names or list(paths)
    missing = [name for name in names if name not in paths]
    if missing or not names:
        print(f"no recorded result in {asked.recorded}: {', '.join(missing) or 'none at all'}")
        return 3
    judged: list[Change] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            recorded = read(paths[name])
            if asked.fresh:
                fresh = read(asked.fresh / f"{name}.json")
                found = changes(recorded, fresh)
            else:
                found, fresh = judge(recorded, partial(_run, name, Path(folder)))
            judged += found
            for sentence in machine_differences(recorded, fresh):
                print(f"another machine: {sentence}")
    print(table(judged))
    missing_count = sum(change.fresh is None for change in judged)
    worse_count = sum(change.worse for change in judged) - missing_count
    print(
        f"{len(judged) - missing_count} ratios compared, {worse_count} worse by more than "
        f"{TOLERANCE:.0%}, {missing_count} missing"
    )
    return 1 if worse_count or missing_count else 0


if __name__ == "__main__":
    sys.exit(main())
