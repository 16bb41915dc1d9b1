"""The Makefile's own logic: what `make run` passes on, what it installs, what CI adds."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def make(*arguments: str) -> str:
    """Return what make would do; nothing is done."""
    # Without the variables of an outer make, under which these tests run too.
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    done = subprocess.run(
        ["make", "--dry-run", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def run_command(*arguments: str) -> str:
    (command,) = re.findall(
        r"^exec \.venv/bin/(aegis run.*)$", make("run", *arguments), re.MULTILINE
    )
    return str(command).strip()


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["CAPTURES="], "aegis run"),
        (["CAPTURES=a.gz b.gz"], "aegis run --tape a.gz b.gz"),
        (["CAPTURES=a.gz", "TAPE=mine.gz"], "aegis run --tape mine.gz"),
        (["CAPTURES=a.gz", "GENERATE=5", "SEED=2"], "aegis run --generate 5 --seed 2"),
        (["CAPTURES=a.gz", "EXCHANGE=http://h:1"], "aegis run --exchange http://h:1"),
        (["TAPE=t", "SPEED=max", "FOR=3"], "aegis run --tape t --speed max --for 3"),
        (["TAPE=t", "LOOP=1", "JSON=1"], "aegis run --tape t --loop --json"),
        (["TAPE=t", "ARGS=--name b"], "aegis run --tape t --name b"),
    ],
)
def test_run_passes_its_settings_on(arguments: list[str], command: str) -> None:
    assert re.sub(r" +", " ", run_command(*arguments)) == command


def test_run_takes_the_recorded_captures_when_they_are_there(captures: list[Path]) -> None:
    played = run_command().split("--tape ")[1].split(" --")[0].split()
    assert sorted(Path(name).name for name in played) == [path.name for path in captures]


def test_run_needs_the_runtime_lock_only() -> None:
    everything = make("run", "VENV=.venv-absent", "PYTHON=python3")
    assert "-r requirements.lock" in everything
    assert "requirements-dev.lock" not in everything


def test_setup_hashes_and_builds_without_an_index() -> None:
    everything = make("setup", "VENV=.venv-absent", "PYTHON=python3")
    (lock,) = re.findall(r"pip install.*-r (\S+)", everything)
    assert lock == "requirements.lock"
    assert "--require-hashes" in everything
    assert "--no-deps --no-build-isolation" in everything


def test_ci_runs_a_sample_of_the_slow_tests() -> None:
    assert "--slow-sample" not in make("test", "CI=")
    assert "--slow-sample=8" in make("test", "CI=true")


def test_help_describes_every_target() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("  make ")]
    assert len(lines) == 14
    assert all(len(line.split(maxsplit=2)) == 3 for line in lines)
