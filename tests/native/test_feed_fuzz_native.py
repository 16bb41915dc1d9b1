"""A bounded sample of the fuzzers: each law of the harnesses, under sanitizers. `make fuzz` is the
long run."""

from __future__ import annotations

import gzip
import itertools
import re
import subprocess
from pathlib import Path

import pytest

from tests.native import fuzz_build, fuzz_seeds
from tests.native.fuzz_build import CannotCompileError

DEADLINE_S = 400
RUNS = {"feed": 60_000, "frame": 300_000, "framing": 200_000}
INPUTS = {
    "feed": fuzz_seeds.feed_inputs,
    "frame": fuzz_seeds.feed_inputs,
    "framing": fuzz_seeds.framing_inputs,
}
LEAST = {
    "feed": {"frames": 100_000, "accepted": 20_000, "reasons": 25, "types": 8},
    "frame": {"frames": 100_000, "accepted": 20_000, "reasons": 20, "types": 6},
    "framing": {"messages": 100_000, "broken": 10_000},
}


def compiled(name: str, folder: Path, sanitizers: str, compiler: str = "gcc") -> Path:
    """Return a harness under its driver; skip where the sanitizers cannot be had."""
    if not fuzz_build.can_run(compiler, folder, f"-fsanitize={sanitizers}"):
        pytest.skip(f"{compiler} cannot build with -fsanitize={sanitizers} here")
    return fuzz_build.with_driver(name, folder, sanitizers, compiler)


def counts(line: str) -> dict[str, int]:
    """Return the numbers of a harness's last line."""
    return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", line)}


def drive(program: Path, seeds: list[Path], count: int, seed: int = 1) -> dict[str, int]:
    """Run a driven harness over its seeds and `count` mutations; return what it counted."""
    done = subprocess.run(
        [str(program), str(seed), str(count), *map(str, seeds)],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr[-4_000:]
    return counts(done.stderr)


@pytest.mark.parametrize("name", sorted(RUNS))
def test_every_seed_keeps_the_laws(name: str, tmp_path: Path) -> None:
    program = compiled(name, tmp_path, "address,undefined")
    found = drive(program, fuzz_seeds.write(tmp_path / "seeds", INPUTS[name]()), 0)
    assert found["messages" if name == "framing" else "accepted"] > 5


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RUNS))
def test_mutations_keep_the_laws(name: str, tmp_path: Path) -> None:
    program = compiled(name, tmp_path, "address,undefined")
    found = drive(program, fuzz_seeds.write(tmp_path / "seeds", INPUTS[name]()), RUNS[name])
    assert {key: found[key] for key, least in LEAST[name].items() if found[key] < least} == {}


@pytest.mark.slow
def test_nothing_uninitialised_decides(tmp_path: Path) -> None:
    program = compiled("feed", tmp_path, "memory", "clang")
    seeds = fuzz_seeds.write(tmp_path / "seeds", fuzz_seeds.feed_inputs())
    assert drive(program, seeds, 30_000)["accepted"] > 10_000


@pytest.mark.slow
def test_mutations_of_recorded_frames_keep_the_laws(tmp_path: Path, captures: list[Path]) -> None:
    program = compiled("feed", tmp_path, "address,undefined")
    with gzip.open(captures[0]) as lines:
        frames = [line.rstrip(b"\n").split(b" ", 1)[1] for line in itertools.islice(lines, 4_000)]
    short = [frame for frame in frames if len(frame) < 1_000 and b"lastUpdateId" not in frame]
    inputs = [
        bytes([fuzz_seeds.FOLLOWS_STREAM]) + fuzz_seeds.SEPARATOR.join(short[i : i + 4])
        for i in range(0, len(short) - 4, 4)
    ]
    found = drive(program, fuzz_seeds.write(tmp_path / "seeds", inputs), 60_000, 3)
    assert found["frames"] > 100_000


@pytest.mark.slow
def test_libfuzzer_drives_the_harness(tmp_path: Path) -> None:
    try:
        program = fuzz_build.with_libfuzzer("feed", tmp_path)
    except CannotCompileError as error:
        pytest.skip(f"no libFuzzer: {error}"[:200])
    fuzz_seeds.write(tmp_path / "seeds", fuzz_seeds.feed_inputs())
    done = subprocess.run(
        [program, "-runs=30000", "-seed=1", f"-dict={fuzz_build.DICTIONARY}", "seeds"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr[-4_000:]
    assert "Done 30000 runs" in done.stderr
