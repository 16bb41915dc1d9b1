"""What every bench shares: the machine it ran on, passes in turn, percentiles, table and JSON.

A bench states its question, its load, and the answer that would worry us, then hands its cases to
`run`. Alternatives take turns inside one run, in an order shuffled by a fixed seed, because the
machine drifts more between hours than the alternatives differ. A pass waits until other programs
use less than a tenth of a core, and is repeated when they did not stay so, while the run's budget
of patience lasts; the quietest attempt counts, and how quiet it was is in the result.

    {name, commit, question, machine {...}, rows [{case, metric, unit, value, baseline, ratio}],
     passes {case: [{metric: value}]}}

`value` is the median over the passes, without the disturbed ones where QUIET_PASSES_MIN others are
left, `baseline` that of the baseline case in the same run, `ratio`
value / baseline; both are null where there is nothing to compare with.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

ROOT: Final = Path(__file__).resolve().parents[1]
PASSES: Final = 7
WARM_UP_PASSES: Final = 1
ATTEMPTS_MAX: Final = 4
FOREIGN_CORES_MAX: Final = 0.10
QUIET_WINDOW_S: Final = 0.1
QUIET_PASSES_MIN: Final = 3
PATIENCE_S: Final = 60.0
SEED: Final = 20_240_808
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
PERCENTILES: Final = (("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9))

Pass = dict[str, float]
Case = Callable[[], Pass]
Found = TypeVar("Found")  # what a pass finds


@dataclass(frozen=True)
class Bench:
    """What a bench asks, and how its numbers are to be read."""

    name: str
    question: str
    load: str
    worry: str
    units: Mapping[str, str]
    baseline: str | None = None
    baselines: Mapping[str, str] = field(default_factory=dict)  # case to its own baseline


@dataclass(frozen=True)
class Row:
    """One number of a report."""

    case: str
    metric: str
    unit: str
    value: float
    baseline: float | None
    ratio: float | None


# ---- the machine ----


def _first_line(path: str, pattern: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text("utf-8"), flags=re.MULTILINE)
    except OSError:
        return "unknown"
    return found.group(1).strip() if found else "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _output(*words: str) -> str:
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def machine() -> dict[str, str | int | float | list[int]]:
    """Return what the numbers depend on."""
    return {
        "cpu": _first_line("/proc/cpuinfo", r"^model name\s*:\s*(.*)$"),
        "architecture": platform.machine(),
        "cores": sorted(os.sched_getaffinity(0)),
        "virtual": "hypervisor" in _first_line("/proc/cpuinfo", r"^flags\s*:\s*(.*)$"),
        "governor": _first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", r"^(.*)$"),
        "clocksource": _first_line(
            "/sys/devices/system/clocksource/clocksource0/current_clocksource", r"^(.*)$"
        ),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "numpy": _version("numpy"),
        "numba": _version("numba"),
        "compiler": _output("gcc", "-dumpfullversion"),
        "load_1min_at_start": os.getloadavg()[0],
    }


def commit() -> str:
    """Return the commit of the checkout, with a plus sign when tracked files differ from it."""
    changed = _output("git", "status", "--porcelain", "--untracked-files=no")
    return _output("git", "rev-parse", "--short=12", "HEAD") + ("+" if changed else "")


def two_cores() -> tuple[int, int]:
    """Return the cores for the two sides of a bench; the same one twice on a single core."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.stderr.write(
            "warning: one core; the two sides take turns and say nothing about speed\n"
        )
    return cores[0], cores[-1]


# ---- quiet passes ----


def _busy_ticks() -> int:
    fields = Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[1:]
    numbers = [int(number) for number in fields]
    idle_ticks = numbers[3] + numbers[4]
    return sum(numbers[:8]) - idle_ticks


def _own_ticks(pids: Sequence[int]) -> int:
    used = os.times()
    own_s = used.user + used.system + used.children_user + used.children_system
    total = int(own_s * TICKS_PER_S)
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total


class Patience:
    """A budget of seconds for waiting until other programs are quiet, for a whole run."""

    def __init__(self, seconds: float) -> None:
        """Start with all of it."""
        self.left_s = seconds

    def wait_for_quiet(self, pids: Sequence[int]) -> None:
        """Wait for a window in which others used little, while the budget lasts."""
        while self.left_s > 0:
            busy, own = _busy_ticks(), _own_ticks(pids)
            time.sleep(QUIET_WINDOW_S)
            self.left_s -= QUIET_WINDOW_S
            foreign = (_busy_ticks() - busy - (_own_ticks(pids) - own)) / TICKS_PER_S
            if foreign / QUIET_WINDOW_S <= FOREIGN_CORES_MAX:
                return


def quiet_pass(
    case: Callable[[], Found], patience: Patience, pids: Sequence[int] = ()
) -> tuple[Found, float]:
    """Run a pass, again while others disturbed it; return it and the foreign cores it saw.

    Args:
        case: what to run.
        patience: what is left of the time for waiting and repeating.
        pids: living children whose time is ours.
    """
    best: tuple[Found, float] | None = None
    for _ in range(ATTEMPTS_MAX):
        patience.wait_for_quiet(pids)
        busy, own, start_s = _busy_ticks(), _own_ticks(pids), time.monotonic()
        found = case()
        elapsed_s = time.monotonic() - start_s
        foreign_ticks = _busy_ticks() - busy - (_own_ticks(pids) - own)
        foreign = max(0.0, foreign_ticks / max(1.0, elapsed_s * TICKS_PER_S))
        if best is None or foreign < best[1]:
            best = (found, foreign)
        if foreign <= FOREIGN_CORES_MAX or patience.left_s <= 0:
            break
        patience.left_s -= elapsed_s
    assert best is not None
    return best


def measure(
    cases: Mapping[str, Case], asked: argparse.Namespace, pids: Sequence[int] = ()
) -> dict[str, list[Pass]]:
    """Run every case `asked.passes` times after a warm-up, in shuffled turns."""
    passes = asked.passes
    patience = Patience(asked.patience)
    order = list(cases)
    chance = random.Random(SEED)
    results: dict[str, list[Pass]] = {case: [] for case in order}
    for number in range(WARM_UP_PASSES + passes):
        chance.shuffle(order)
        for case in order:
            found, foreign = quiet_pass(cases[case], patience, pids)
            if number >= WARM_UP_PASSES:
                results[case].append({**found, "foreign cores": foreign})
            sys.stderr.write(f"\rpass {number + 1}/{WARM_UP_PASSES + passes} {case:<40}")
            sys.stderr.flush()
    sys.stderr.write("\r" + " " * 60 + "\r")
    return results


def percentiles(latencies_ns: NDArray[np.float64]) -> Pass:
    """Return p50 to max and the count of a sample."""
    found = {name: float(np.percentile(latencies_ns, share)) for name, share in PERCENTILES}
    return {**found, "max": float(latencies_ns.max()), "count": float(len(latencies_ns))}


# ---- the report ----


def counted(passes: Sequence[Pass]) -> Sequence[Pass]:
    """Return the passes that nobody disturbed, or all where there are too few of those."""
    quiet = [found for found in passes if found["foreign cores"] <= FOREIGN_CORES_MAX]
    return quiet if len(quiet) >= QUIET_PASSES_MIN else passes


def rows(bench: Bench, results: Mapping[str, Sequence[Pass]]) -> list[Row]:
    """Return the median of every metric of every case, against its baseline."""
    medians = {
        case: {
            metric: statistics.median(found[metric] for found in counted(passes))
            for metric in passes[0]
        }
        for case, passes in results.items()
    }
    made = []
    for case, metrics in medians.items():
        against = bench.baselines.get(case, bench.baseline)
        for metric, value in metrics.items():
            unit = bench.units.get(metric, "cores" if metric == "foreign cores" else "")
            comparable = against is not None and metric not in {"count", "foreign cores"}
            base = medians[against].get(metric) if comparable and against is not None else None
            ratio = value / base if base else None
            made.append(Row(case, metric, unit, value, base, ratio))
    return made


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(bench: Bench, report: Sequence[Row], results: Mapping[str, Sequence[Pass]]) -> str:
    """Return the report as text: every row, with the range over the passes."""
    lines = [bench.name, f"  question: {bench.question}", f"  load: {bench.load}"]
    lines += [f"  worrying: {bench.worry}", ""]
    lines.append(f"{'case':<34}{'metric':<20}{'median':>12} {'unit':<10}{'[min max]':<26}ratio")
    for row in report:
        values = [found[row.metric] for found in results[row.case]]
        spread = f"[{_number(min(values))} {_number(max(values))}]"
        ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
        shown = f"{row.case:<34}{row.metric:<20}{_number(row.value):>12} {row.unit:<10}"
        lines.append(f"{shown}{spread:<26}{ratio}")
    disturbed = [
        case
        for case, passes in results.items()
        if statistics.median(found["foreign cores"] for found in counted(passes))
        > FOREIGN_CORES_MAX
    ]
    if disturbed:
        cases_shown = ", ".join(disturbed)
        lines.append(f"NOT A MEASUREMENT, other programs held the cores during: {cases_shown}")
    return "\n".join(lines)


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser of what every bench takes."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    made.add_argument("--passes", type=int, default=PASSES, help=f"default {PASSES}")
    made.add_argument(
        "--patience",
        type=float,
        default=PATIENCE_S,
        metavar="S",
        help=f"seconds to spend on waiting for a quiet machine, in all; default {PATIENCE_S:.0f}",
    )
    return made


def arguments(description: str) -> argparse.Namespace:
    """Parse what every bench takes."""
    return parser(description).parse_args()


def finish(
    bench: Bench,
    results: Mapping[str, Sequence[Pass]],
    about: Mapping[str, str | int | float | list[int]],
    json_path: Path | None,
) -> list[Row]:
    """Print the table and write the JSON; `about` is `machine()` taken before the first pass."""
    report = rows(bench, results)
    print(table(bench, report, results))
    if json_path is not None:
        document = {
            "name": bench.name,
            "commit": commit(),
            "question": bench.question,
            "load": bench.load,
            "machine": dict(about),
            "rows": [vars(row) for row in report],
            "passes": {case: list(passes) for case, passes in results.items()},
        }
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return report
