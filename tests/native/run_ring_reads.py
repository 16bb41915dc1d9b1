"""Read a ring as often as time allows, across processes, and record how many reads were torn.

    python tests/native/run_ring_reads.py --case all --seconds 200 --json FILE

What is read, by whom, and what counts as wrong stands in `c/ring_reads.c`. A run is added to the
runs that FILE holds already; one that finds anything wrong ends with 1 and is not recorded.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import types
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[2]
# Capacity, bytes per slot, observing and gating readers.
CASES: Final = {
    "observer": (4096, 64, 1, 0),
    "observer, 64 slots": (64, 64, 1, 0),
    "observer, four cache lines": (64, 256, 1, 0),
    "gating and observer": (4096, 64, 1, 1),
    "gating": (4096, 64, 0, 1),
}
WRONG: Final = ("torn", "doubled", "lost")
FLAGS: Final = ("-O3", "-march=native", "-std=c11", "-Wall", "-Wextra", "-Werror")
GRACE_S: Final = 60


def as_package() -> None:
    """Make `tests` mean this checkout's, whatever else is installed under that name."""
    sys.path.insert(0, str(ROOT))
    sys.modules["tests"] = tests = types.ModuleType("tests")
    tests.__path__ = [str(ROOT / "tests")]


def compiled(folder: Path, native: Path = ROOT / "native_ext") -> Path:
    """Compile the program over the ring's sources in `native`."""
    from tests.native import fuzz_build

    sources = [str(fuzz_build.HARNESSES / "ring_reads.c"), str(native / "ring.c")]
    command = ["gcc", *FLAGS, f"-I{native}", *sources]
    return fuzz_build.compile_program(command, folder / "ring_reads")


def read(program: Path, case: str, seconds: int) -> tuple[int, list[dict[str, Any]]]:
    """Run one case; return its status and what each reader counted."""
    words = [str(program), str(seconds), *map(str, CASES[case])]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=seconds + GRACE_S
    )
    found = [
        {"reader": line.split()[0]}
        | {key: int(number) for key, number in re.findall(r"(\w+)=(-?\d+)", line)}
        for line in done.stdout.splitlines()
    ]
    return done.returncode, found


def record(path: Path, rows: list[dict[str, Any]]) -> dict[str, int]:
    """Add rows to a result file; return the totals it then stands for."""
    from bench import harness

    before: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    stamp = {"commit": harness.commit(), "command": " ".join(["python", *sys.argv])}
    runs = before.get("runs", []) + [stamp | row for row in rows]
    readers = [reader for run in runs for reader in run["readers"]]
    totals = {
        "reads": sum(reader["seen"] for reader in readers),
        "reads_by_observers": sum(r["seen"] for r in readers if r["reader"] == "observer"),
        "lapped": sum(reader["lapped"] for reader in readers),
        "resyncs": sum(reader["resyncs"] for reader in readers),
        **{name: sum(reader[name] for reader in readers) for name in WRONG},
    }
    result = {
        "name": "ring_stress",
        "question": "is a torn, doubled or lost record ever returned, across processes?",
        "totals": totals,
        "machine": harness.machine(),
        "runs": runs,
    }
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    return totals


def main() -> None:
    """Read, print a line per reader, and record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", choices=["all", *CASES], default="all")
    parser.add_argument("--seconds", type=int, default=60, help="per case")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    as_package()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        program = compiled(Path(folder))
        for case in CASES if options.case == "all" else [options.case]:
            status, readers = read(program, case, options.seconds)
            print(case, json.dumps(readers), flush=True)  # noqa: T201 - a program prints its table
            if status != 0:
                sys.exit(f"{case}: the ring is broken, status {status}")
            rows.append({"case": case, "seconds": options.seconds, "readers": readers})
    if options.json is not None:
        print(json.dumps(record(options.json, rows)))  # noqa: T201


if __name__ == "__main__":
    main()
