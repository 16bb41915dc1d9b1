"""deploy/find-python: which interpreter builds the project, and the sentence when none can."""

import subprocess
import sys
from pathlib import Path

import pytest

FIND_PYTHON = Path(__file__).resolve().parents[2] / "deploy" / "find-python"


def find_python(*arguments: str, path: str, home: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["/bin/bash", str(FIND_PYTHON), *arguments],
        env={"PATH": path, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


def program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / name
    made.write_text(f"#!/bin/sh\n{script}\n")
    made.chmod(0o755)
    return made


@pytest.fixture
def suitable(tmp_path: Path) -> Path:
    """Return a program that answers the probe as this interpreter's base does."""
    return program(tmp_path / "suitable", "python3.11", "echo /chosen/python3.11")


def test_the_first_suitable_python_of_the_path_is_taken(suitable: Path, tmp_path: Path) -> None:
    broken = program(tmp_path / "broken", "python3.11", "echo no venv; exit 1")
    path = f"{broken.parent}:{suitable.parent}"
    assert find_python(path=path, home=tmp_path).stdout == "/chosen/python3.11\n"


def test_pyenv_is_searched_where_the_path_has_none(tmp_path: Path) -> None:
    versions = tmp_path / ".pyenv" / "versions"
    program(versions / "3.12.1" / "bin", "python3.12", "echo /chosen/python3.12")
    program(versions / "3.10.1" / "bin", "python3.10", "echo /wrong/python3.10")
    assert find_python(path="/nowhere", home=tmp_path).stdout == "/chosen/python3.12\n"


def test_nothing_is_printed_where_there_is_none(tmp_path: Path) -> None:
    found = find_python(path="/nowhere", home=tmp_path)
    assert (found.returncode, found.stdout) == (0, "")


def test_check_without_a_python_says_what_to_do(tmp_path: Path) -> None:
    checked = find_python("--check", "", path="/nowhere", home=tmp_path)
    assert checked.returncode == 3
    assert "3.11, 3.12 or 3.13" in checked.stderr
    assert len(checked.stderr.splitlines()) == 1


def test_check_repeats_the_reason(tmp_path: Path) -> None:
    broken = program(tmp_path, "python3.10", "echo it is too old; exit 1")
    checked = find_python("--check", str(broken), path="/nowhere", home=tmp_path)
    assert checked.returncode == 3
    assert "it is too old" in checked.stderr


def test_check_accepts_the_python_that_runs_the_tests(tmp_path: Path) -> None:
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if not base.exists():
        pytest.skip("this interpreter keeps no program under its prefix")
    checked = find_python("--check", str(base), path="/usr/bin:/bin", home=tmp_path)
    assert (checked.returncode, checked.stderr) == (0, "")
