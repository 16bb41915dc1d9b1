"""tests/conftest.py: which tests run, and which of them keep to one worker."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import conftest

ROOT = Path(__file__).resolve().parents[2]
SUITE = """
import pytest

SAMPLED = pytest.param(9, marks=pytest.mark.sampled)

@pytest.mark.slow
@pytest.mark.parametrize("number", [*range(9), SAMPLED])
def test_slow(number): pass

def test_quick(): pass
"""


def collected(folder: Path, *options: str) -> list[str]:
    tests = folder / "tests"
    tests.mkdir()
    for name in ("conftest.py", "bucket.py", "engine_process.py"):  # and what it imports
        shutil.copy(ROOT / "tests" / name, tests)
    shutil.copy(ROOT / ".env.example", folder)
    (tests / "test_suite.py").write_text(SUITE)
    settings = [
        "-c",
        str(ROOT / "pyproject.toml"),
        "--rootdir",
        str(folder),
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *settings, "--collect-only", *options, str(tests)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split("::")[1] for line in done.stdout.splitlines() if "::" in line]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], []),
        (["--slow-sample=3"], [0, 4, 8, 9]),
        (["--slow-sample=99"], list(range(10))),
        (["-m", ""], list(range(10))),
    ],
)
def test_slow_tests_are_chosen(options: list[str], expected: list[int], tmp_path: Path) -> None:
    assert collected(tmp_path, *options) == [f"test_slow[{n}]" for n in expected] + ["test_quick"]


def test_files_that_start_engines_keep_to_one_worker() -> None:
    start = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
        if "from tests.engine_process import" in path.read_text(encoding="utf-8")
    ]
    assert [path for path in start if not path.startswith(conftest.ENGINES)] == []
    assert len(start) > len(conftest.ENGINES)


def test_every_beginning_names_files_that_are_there() -> None:
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")]
    for beginning in conftest.ENGINES:
        assert any(path.startswith(beginning) for path in files), beginning
