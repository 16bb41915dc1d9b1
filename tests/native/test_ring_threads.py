"""All sides of one ring as threads, under sanitizers, and as processes.

What is forbidden, and what each side does, stands in `c/ring_threads.c`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.native import fuzz_build

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 240
PROCESS_RECORDS = 300_000
LONG_RECORDS = 6_000_000
FORBIDDEN = ("lost", "doubled", "reordered", "torn", "past_claim", "past_cursor", "past_lap")
# GCC's thread sanitizer does not model fences and says so; what it still checks is that every word
# two threads share is accessed atomically, or handed over by a release and an acquire.
BUILDS = {
    "plain": ([], 400_000),
    "address,undefined": (
        ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
        200_000,
    ),
    "thread": (["-fsanitize=thread", "-Wno-tsan"], 200_000),
}
# Without these a run has proven little; on a busy machine another seed may be needed.
AT_STAKE = (
    ("producer", "gave_up"),
    ("evicted", "evictions"),
    ("observer", "lapped"),
    ("watcher", "looks"),
)
SEEDS_MAX = 5
WARNINGS = ["-O2", "-g", "-std=c11", "-Wall", "-Wextra", "-Werror"]


def compiled(folder: Path, flags: list[str], native: Path = ROOT / "native_ext") -> Path:
    """Compile the driver over the ring's sources in `native`."""
    sources = [str(fuzz_build.HARNESSES / "ring_threads.c"), str(native / "ring.c")]
    command = ["gcc", *WARNINGS, *flags, f"-I{native}", *sources, "-lpthread"]
    return fuzz_build.compile_program(command, folder / "ring_threads")


def run(
    program: Path, records: int, seed: int, *how: str
) -> tuple[int, dict[str, dict[str, int]], str]:
    """Return the status, what each thread counted, and what a sanitizer said."""
    done = subprocess.run(
        [program, str(records), str(seed), *how],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    found = {
        line.split()[0]: {key: int(number) for key, number in re.findall(r"(\w+)=(-?\d+)", line)}
        for line in done.stdout.splitlines()
    }
    return done.returncode, found, done.stderr


def broken(found: dict[str, dict[str, int]]) -> set[str]:
    """Return the names of the forbidden outcomes that were seen."""
    return {name for counts in found.values() for name in FORBIDDEN if counts[name]}


@pytest.mark.parametrize("build", BUILDS)
def test_no_thread_sees_what_is_forbidden(build: str, tmp_path: Path) -> None:
    flags, records = BUILDS[build]
    if not fuzz_build.can_run("gcc", tmp_path, *flags):
        pytest.skip(f"gcc cannot build and run with {' '.join(flags)} here")
    assert_clean(compiled(tmp_path, flags), records)


def test_no_process_sees_what_is_forbidden(tmp_path: Path) -> None:
    assert_clean(compiled(tmp_path, []), PROCESS_RECORDS, "processes")


@pytest.mark.slow
def test_no_process_sees_what_is_forbidden_for_long(tmp_path: Path) -> None:
    assert_clean(compiled(tmp_path, []), LONG_RECORDS, "processes")


def assert_clean(program: Path, records: int, *how: str) -> None:
    """Run until every outcome was at stake; fail when a forbidden one was seen."""
    for seed in range(1, SEEDS_MAX + 1):
        status, found, said = run(program, records, seed, *how)
        assert broken(found) == set()
        assert said == ""
        assert status == 0
        assert found["first"]["seen"] == found["second"]["seen"] == records
        if all(found[who][what] > 0 for who, what in AT_STAKE):
            return
    pytest.fail("in no run was every outcome at stake")


# What is broken in a copy of the ring, and what the driver must then say.
BREAKAGES = {
    "a claim one slot too far": (
        "ring.h",
        "end - ring->capacity > ring->gating",
        "end - ring->capacity > ring->gating + 8",
        {"past_lap", "torn", "lost", "past_cursor"},
    ),
    "no second look": (
        "ring.c",
        "return atomic_load_explicit(&slot->sequence, memory_order_relaxed) == sequence + 1;",
        "return 1;",
        {"torn"},
    ),
    "no busy mark": (
        "ring.h",
        "atomic_store_explicit(&slot->sequence, AEGIS_SLOT_BUSY, memory_order_relaxed);",
        "",
        {"torn"},
    ),
    "advance believes anybody": (
        "ring.h",
        "sequence <= ring->known || sequence <= aegis_ring_published(ring)",
        "ring != NULL && sequence > 0",
        {"past_cursor"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_ring_is_found_out(breakage: str, tmp_path: Path) -> None:
    name, right, wrong, outcomes = BREAKAGES[breakage]
    native = tmp_path / "native"
    shutil.copytree(ROOT / "native_ext", native, ignore=shutil.ignore_patterns("*.so", "_*"))
    text = (native / name).read_text("utf-8")
    assert right in text, "the source reads otherwise now"
    (native / name).write_text(text.replace(right, wrong), "utf-8")
    program = compiled(tmp_path, [], native)
    for seed in range(1, 8):
        try:
            _, found, _ = run(program, 400_000, seed)
        except subprocess.TimeoutExpired:
            continue
        if broken(found) & outcomes:
            return
    pytest.fail(f"seven runs found nothing of {sorted(outcomes)}")
