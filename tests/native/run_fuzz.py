"""`make fuzz`: drive the harnesses with libFuzzer for a number of executions and record them.

    python tests/native/run_fuzz.py --harness all --count 100000000 --json FILE

Corpora stay in build/fuzz, so that a later run goes on where this one stopped; a run is added to
the runs that FILE holds already. An execution is one call of a harness: `frame` decodes one frame
by both scanners, `feed` up to 24 lines with books and a full ring, `framing` one connection, cut in
two ways. A broken law or a sanitizer's finding ends the run with 1 and leaves its input there.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
import types
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "fuzz"
SHARES = {"frame": 0.92, "feed": 0.03, "framing": 0.05}  # of --count, by what an execution costs
LENGTH_MAX = {"frame": 400, "feed": 1024, "framing": 600}  # longer inputs are mostly repetition
ENVIRONMENT = {
    "ASAN_OPTIONS": "quarantine_size_mb=4:malloc_context_size=0",
    "PATH": "/usr/bin:/bin",
}
SEED = 20_261_121


def as_package() -> None:
    """Make `tests` mean this checkout's, whatever else is installed under that name."""
    sys.path.insert(0, str(ROOT))
    sys.modules["tests"] = tests = types.ModuleType("tests")
    tests.__path__ = [str(ROOT / "tests")]


def start(
    program: Path, name: str, folder: Path, count: int, worker: int
) -> subprocess.Popen[bytes]:
    """Start one process of a harness."""
    options = [f"-runs={count}", f"-max_len={LENGTH_MAX[name]}", f"-seed={SEED + worker}"]
    options += ["-print_final_stats=1", "-dict=fuzz.dict", f"-artifact_prefix={folder}/found-"]
    # WHY: a file, because a pipe that nobody reads yet stops who writes it.
    with (folder / f"output-{worker}").open("w") as output:
        return subprocess.Popen(
            [program, *options, "corpus", "seeds"],
            cwd=folder,
            env=ENVIRONMENT,
            stderr=output,
            stdout=subprocess.DEVNULL,
        )


def last_number(pattern: str, text: str) -> int:
    """Return the number of the last match, or 0."""
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def counted(name: str, output: str) -> dict[str, Any]:
    """Return what one process says of its run."""
    laws = re.findall(r"^((?:\w+=\d+ ?)+)$", output, re.MULTILINE)
    return {
        "harness": name,
        "executions": last_number(r"stat::number_of_executed_units:\s*(\d+)", output),
        "edges": last_number(r"cov: (\d+)", output),
        "features": last_number(r"ft: (\d+)", output),
        "inputs_kept": last_number(r"corp: (\d+)", output),
        "counted": laws[-1].strip() if laws else "",
    }


def fuzz(name: str, count: int, workers: int) -> list[dict[str, Any]]:
    """Run one harness in `workers` processes; return a row for each."""
    from tests.native import fuzz_build, fuzz_seeds

    folder = FOLDER / name
    inputs = fuzz_seeds.framing_inputs() if name == "framing" else fuzz_seeds.feed_inputs()
    fuzz_seeds.write(folder / "seeds", inputs)
    (folder / "corpus").mkdir(exist_ok=True)
    (folder / "fuzz.dict").write_bytes(fuzz_build.DICTIONARY.read_bytes())
    program = fuzz_build.with_libfuzzer(name, folder)
    started = time.monotonic()
    share = -(-count // workers)
    running = [start(program, name, folder, share, worker) for worker in range(workers)]
    rows = []
    for worker, process in enumerate(running):
        process.wait()
        output = (folder / f"output-{worker}").read_text("utf-8", errors="replace")
        if process.returncode != 0:
            sys.exit(f"{output[-6_000:]}\nfuzz: {name} found something; its input is in {folder}")
        rows.append(counted(name, output) | {"seconds": round(time.monotonic() - started, 1)})
    return rows


def covered(name: str) -> dict[str, float]:
    """Return the share of lines, in percent, that the corpus reaches in each source."""
    from tests.native import fuzz_build

    folder = FOLDER / name
    program = fuzz_build.with_libfuzzer(name, folder, coverage=True)
    run = partial(
        subprocess.run,
        cwd=folder,
        env=ENVIRONMENT | {"LLVM_PROFILE_FILE": str(folder / "raw.profile")},
        check=True,
        capture_output=True,
    )
    run([program, "-runs=0", "corpus", "seeds"])
    try:
        run(["llvm-profdata", "merge", "-sparse", "raw.profile", "-o", "merged.profile"])
        report = run(
            ["llvm-cov", "export", "-summary-only", "-instr-profile=merged.profile", program]
        ).stdout
    except FileNotFoundError:
        return {}
    return {
        Path(source["filename"]).name: round(source["summary"]["lines"]["percent"], 1)
        for source in json.loads(report)["data"][0]["files"]
        if "native_ext" in source["filename"] and source["filename"].endswith(".c")
    }


def record(path: Path, rows: list[dict[str, Any]], lines: dict[str, dict[str, float]]) -> int:
    """Add rows to a result file; return the executions it then stands for."""
    from bench import harness

    before: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    stamp = {"commit": harness.commit(), "command": " ".join(["python", *sys.argv])}
    runs = before.get("runs", []) + [stamp | row for row in rows]
    total = sum(row["executions"] for row in runs)
    result = {
        "name": "fuzz_decode",
        "question": "does any input break a law of decoder, firewall, books or framing?",
        "executions": total,
        "lines_covered_percent": before.get("lines_covered_percent", {}) | lines,
        "machine": harness.machine(),
        "runs": runs,
    }
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    return total


def main() -> None:
    """Fuzz, print a line per process, and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--harness", choices=["all", *SHARES], default="all")
    parser.add_argument("--count", type=int, default=100_000_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    as_package()
    names = list(SHARES) if options.harness == "all" else [options.harness]
    rows, lines = [], {}
    for name in names:
        share = SHARES[name] if options.harness == "all" else 1.0
        for row in fuzz(name, int(options.count * share), options.workers):
            print(json.dumps(row), flush=True)  # noqa: T201 - a program prints its table
            rows.append(row)
        lines[name] = covered(name)
        print(json.dumps(lines[name]), flush=True)  # noqa: T201
    if options.json is not None:
        print(f"executions recorded: {record(options.json, rows, lines):,}")  # noqa: T201


if __name__ == "__main__":
    main()
