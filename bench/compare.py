"""Compare fresh ratios with the recorded ones: `python -m bench.compare [NAME ...]`.

Every recorded bench (bench/results/*.json) is run again, or read from `--fresh FOLDER`. Absolute
numbers belong to a machine, so only ratios to the baseline of the same run are judged: medians and
rates, never tails. A row is worse when its median ratio lost more than TOLERANCE and not even the
best fresh pass reaches the recorded median; a single lucky or unlucky pass decides nothing.

Exit codes: 0 nothing is worse, 1 something is, 3 there is nothing to compare with.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.harness import Row

RESULTS: Final = Path(__file__).resolve().parent / "results"
TOLERANCE: Final = 0.10
TAILS: Final = frozenset({"p90", "p99", "p99.9", "max", "p99 since due", "health max"})
RATE_UNIT: Final = "1/s"  # more is better; of every other unit less is


class Report(msgspec.Struct):
    """What a bench wrote."""

    name: str
    commit: str
    rows: list[Row]
    passes: dict[str, list[dict[str, float]]]


class Change(msgspec.Struct):
    """One judged row."""

    bench: str
    case: str
    metric: str
    recorded: float
    fresh: float
    worse: bool


def _judged(report: Report) -> Iterator[Row]:
    for row in report.rows:
        is_baseline = row.baseline is not None and row.value == row.baseline
        if row.ratio and not is_baseline and row.metric not in TAILS:
            yield row


def changes(recorded: Report, fresh: Report) -> list[Change]:
    """Return every row that both reports judge, in the recorded order."""
    found: Mapping[tuple[str, str], Row] = {(row.case, row.metric): row for row in fresh.rows}
    made = []
    for row in _judged(recorded):
        now = found.get((row.case, row.metric))
        if now is None or not now.ratio or not now.baseline or not row.ratio:
            continue
        passes = [one[row.metric] / now.baseline for one in fresh.passes[row.case]]
        more_is_better = row.unit == RATE_UNIT
        best = max(passes) if more_is_better else min(passes)
        lost = row.ratio / now.ratio if more_is_better else now.ratio / row.ratio
        reaches = best >= row.ratio if more_is_better else best <= row.ratio
        worse = lost > 1 + TOLERANCE and not reaches
        made.append(Change(recorded.name, row.case, row.metric, row.ratio, now.ratio, worse))
    return made


def table(judged: Sequence[Change]) -> str:
    """Return the comparison as text."""
    lines = [f"{'bench':<16}{'case':<36}{'metric':<22}{'recorded':>10}{'fresh':>10}"]
    for change in judged:
        mark = "  WORSE" if change.worse else ""
        lines.append(
            f"{change.bench:<16}{change.case:<36}{change.metric:<22}"
            f"{change.recorded:>10.3g}{change.fresh:>10.3g}{mark}"
        )
    return "\n".join(lines)


def read(path: Path) -> Report:
    """Return a report from its file."""
    return msgspec.json.decode(path.read_bytes(), type=Report)


def _run(name: str, folder: Path) -> Path:
    path = folder / f"{name}.json"
    command = (sys.executable, "-m", f"bench.{name}", "--json", str(path))
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return path


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
            path = asked.fresh / f"{name}.json" if asked.fresh else _run(name, Path(folder))
            judged += changes(read(paths[name]), read(path))
    print(table(judged))
    worse = sum(change.worse for change in judged)
    print(f"{len(judged)} ratios compared, {worse} worse by more than {TOLERANCE:.0%}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
