"""Compile the harnesses of `c/`: with libFuzzer where clang has it, else with their own driver."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "native_ext"
HARNESSES = ROOT / "tests/native/c"
DICTIONARY = HARNESSES / "fuzz_feed.dict"
DEADLINE_S = 300

FEED_STEMS = (
    "feed_core",
    "feed_emit",
    "feed_heal",
    "feed_liveness",
    "firewall",
    "book",
    "book_check",
    "ring",
    "clock",
)
FEED = [*sorted(NATIVE.glob("decode*.c")), *(NATIVE / f"{stem}.c" for stem in FEED_STEMS)]
SOURCES = {
    "feed": [HARNESSES / "fuzz_feed.c", HARNESSES / "fuzz_mutate.c", *FEED],
    "frame": [HARNESSES / "fuzz_feed.c", HARNESSES / "fuzz_mutate.c", *FEED],
    "framing": [HARNESSES / "fuzz_frames.c", NATIVE / "feed_frames.c"],
}
# WHY: `frame` runs one line per input, for many inputs; tracing each comparison would halve them.
EXTRA = {"frame": ["-DLINES_MAX=1"]}
COMMON = ["-O2", "-g", "-std=gnu11", "-Wall", "-Wextra", f"-I{NATIVE}"]


class CannotCompileError(Exception):
    """The compiler is absent, or has not what was asked for."""


def compile_program(command: Sequence[str], target: Path) -> Path:
    """Run one compiler command; return the program it made."""
    if shutil.which(command[0]) is None:
        raise CannotCompileError(f"no {command[0]} here")
    done = subprocess.run(
        [*command, "-o", str(target)],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    if done.returncode != 0:
        raise CannotCompileError(done.stderr[-4_000:])
    return target


@cache
def can_run(compiler: str, folder: Path, *flags: str) -> bool:
    """Say whether a compiler makes a program with these flags that runs to its end."""
    source = folder / "probe.c"
    source.write_text("int main(void) { return 0; }\n", "utf-8")
    try:
        program = compile_program([compiler, *flags, str(source)], folder / "probe")
    except CannotCompileError:
        return False
    return subprocess.run([program], capture_output=True, check=False).returncode == 0


def with_libfuzzer(name: str, folder: Path, *, coverage: bool = False) -> Path:
    """Return a harness under libFuzzer, with sanitizers; or, instead of them, counting coverage."""
    checks = "fuzzer" if coverage else "fuzzer,address,undefined"
    flags = [f"-fsanitize={checks}", "-fno-sanitize-recover=all", *EXTRA.get(name, ())]
    if coverage:
        flags += ["-fprofile-instr-generate", "-fcoverage-mapping"]
    elif name == "frame":
        flags.append("-fno-sanitize-coverage=trace-cmp")
    compiler = os.environ.get("CLANG", "clang")
    return compile_program(
        [compiler, *COMMON, *flags, *map(str, SOURCES[name])],
        folder / ("covered" if coverage else "fuzz"),
    )


def with_driver(name: str, folder: Path, sanitizers: str, compiler: str = "gcc") -> Path:
    """Return a harness under its own driver."""
    flags = [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", *EXTRA.get(name, ())]
    sources = [*SOURCES[name], HARNESSES / "fuzz_driver.c"]
    return compile_program(
        [compiler, *COMMON, "-Werror", *flags, *map(str, sources)], folder / f"driven_{name}"
    )
