"""The C sources on ARM, cross-compiled: they build, and say there what they say here.

The emulator orders memory as the machine it runs on does, so this shows that the code is right for
the other instruction set and proves nothing about its weak ordering; test_litmus.py is for that.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.native import fuzz_build, fuzz_seeds

CROSS = "aarch64-linux-gnu-gcc"
EMULATOR = "qemu-aarch64"
DEADLINE_S = 300
FLAGS = ["-O2", "-std=gnu11", "-static", "-Wall", "-Wextra", "-Werror"]
NATIVE = fuzz_build.NATIVE


def needed(*programs: str) -> None:
    absent = [program for program in programs if shutil.which(program) is None]
    if absent:
        pytest.skip(f"not installed here: {', '.join(absent)}")


def cross_compiled(folder: Path, sources: list[Path], compiler: str = CROSS) -> Path:
    command = [compiler, *FLAGS, f"-I{NATIVE}", *map(str, sources), "-lpthread"]
    return fuzz_build.compile_program(command, folder / compiler)


def output(*words: object) -> tuple[str, str]:
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )
    return done.stdout, done.stderr


def test_the_ring_runs_on_arm(tmp_path: Path) -> None:
    needed(CROSS, EMULATOR)
    sources = [fuzz_build.HARNESSES / "ring_threads.c", NATIVE / "ring.c"]
    stdout, _ = output(EMULATOR, cross_compiled(tmp_path, sources), 20_000, 1)
    assert len(re.findall(r"lost=0 doubled=0 reordered=0 torn=0 past_claim=0", stdout)) == 7
    assert stdout.count("past_cursor=0 past_lap=0 seen=20000") == 2


@pytest.mark.parametrize(
    ("name", "inputs"),
    [("feed", fuzz_seeds.feed_inputs), ("framing", fuzz_seeds.framing_inputs)],
)
def test_the_decoders_say_on_arm_what_they_say_here(
    name: str, inputs: object, tmp_path: Path
) -> None:
    needed(CROSS, EMULATOR)
    assert callable(inputs)
    seeds = fuzz_seeds.write(tmp_path / "seeds", inputs())
    sources = [*fuzz_build.SOURCES[name], fuzz_build.HARNESSES / "fuzz_driver.c"]
    here = output(cross_compiled(tmp_path, sources, "gcc"), 1, 2_000, *seeds)
    there = output(EMULATOR, cross_compiled(tmp_path, sources), 1, 2_000, *seeds)
    assert here == there
    assert re.search(r"(accepted|messages)=[1-9]\d{2}", here[1])


def test_the_ring_uses_the_instructions_that_order_memory(tmp_path: Path) -> None:
    needed(CROSS, "aarch64-linux-gnu-objdump")
    sources = [fuzz_build.HARNESSES / "ring_threads.c", NATIVE / "ring.c"]
    program = cross_compiled(tmp_path, sources)
    listing, _ = output("aarch64-linux-gnu-objdump", "--disassemble=aegis_ring_observe", program)
    assert re.search(r"\bldap?r\b", listing), "the acquire load of a slot's sequence"
    assert "dmb\tishld" in listing, "the acquire fence before its second load"
    listing, _ = output("aarch64-linux-gnu-objdump", "--disassemble=aegis_ring_gating", program)
    assert "dmb\tish" in listing
