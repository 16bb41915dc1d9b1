"""A second process compiles half of the kernels: what it leaves, and what the first one takes."""

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from engine.domain.link_once import MachineCode
from engine.processes.kernel_half import FOLDER, OtherHalf, only_compiler, take_over

ROOT = Path(__file__).resolve().parents[3]


class Kernel:
    """What is asked of a dispatcher."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.found: list[list[str]] = []

    def get_call_template(self, arguments: object, named: object) -> tuple[object, object]:
        """Note which files are there when the kernel is looked for."""
        self.found.append(sorted(it.name for it in self.place.glob("domain_1/*")))
        return arguments, named


def write(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(f"{folder} {name}", encoding="utf-8")


def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> OtherHalf:
    """Start a second process that is a shell script, run where the kernel cache is."""
    program = tmp_path / "second"
    program.write_text(f"#!/bin/sh\ncd {tmp_path}/cache\n{script}\n", encoding="utf-8")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    write(tmp_path / "cache" / "domain_1", "mine.nbi", "mine.1.nbc")
    return OtherHalf("home", tmp_path / "cache")


def test_only_kernels_that_are_not_there_are_taken_over(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "domain_1", tmp_path / FOLDER / "domain_1"
    write(mine, "shared.py311.nbi", "shared.py311.1.nbc")
    write(theirs, "shared.py311.nbi", "shared.py311.1.nbc", "shared.py311.2.nbc")
    write(theirs, "bars[a].py311.nbi", "bars[a].py311.1.nbc", "bars[a].py311.2.nbc")
    assert take_over(tmp_path / FOLDER, tmp_path) == 1
    assert sorted(it.name for it in mine.iterdir()) == [
        "bars[a].py311.1.nbc",
        "bars[a].py311.2.nbc",
        "bars[a].py311.nbi",
        "shared.py311.1.nbc",
        "shared.py311.nbi",
    ]
    assert str(mine) in (mine / "shared.py311.nbi").read_text(encoding="utf-8")


def test_code_of_functions_is_for_both(tmp_path: Path) -> None:
    """The second process still reads it, to make machine code."""
    mine, theirs = tmp_path / "functions", tmp_path / FOLDER / "functions"
    write(mine, "both")
    write(theirs, "both", "new")
    take_over(tmp_path / FOLDER, tmp_path)
    assert sorted(it.name for it in mine.iterdir()) == ["both", "new"]
    assert sorted(it.name for it in theirs.iterdir()) == ["both", "new"]


PROMISE = """echo '["5f3a", "update_features"]'"""
MADE = MachineCode(b"object", ("sqrt",))


def test_the_first_call_waits_for_the_kernels_and_not_for_the_machine_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = f"mkdir -p {FOLDER}/domain_1 && sleep 0.3 && cd {FOLDER}/domain_1"
    script = f"{writes} && touch far.1.nbc far.nbi && {PROMISE} && exec sleep 600"
    half = start(tmp_path, monkeypatch, script)
    kernel, told = Kernel(tmp_path / "cache"), list[int]()
    half.awaited_by(kernel, told.append)
    assert kernel.get_call_template(1, 2) == (1, 2)
    assert kernel.found == [["far.1.nbc", "far.nbi", "mine.1.nbc", "mine.nbi"]]
    assert told[-1] == 1
    assert (half.kept, half.symbol) == ("5f3a", "update_features")
    before = len(told)
    kernel.get_call_template(3, 4)
    assert len(told) == before, "the second call does not wait"
    half.close()
    assert not (tmp_path / "cache" / FOLDER).exists()


def test_a_second_process_that_fails_leaves_the_work_to_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"mkdir -p {FOLDER}/domain_1 && touch {FOLDER}/domain_1/half.nbi && exit 1"
    half = start(tmp_path, monkeypatch, script)
    kernel = Kernel(tmp_path / "cache")
    half.awaited_by(kernel, lambda _: None)
    kernel.get_call_template(1, 2)
    half.close()
    assert kernel.found == [["mine.1.nbc", "mine.nbi"]]
    assert (half.kept, half.symbol) == ("", "")


@pytest.mark.parametrize(("status", "expected"), [(0, MADE), (1, None)])
def test_machine_code_comes_behind_the_promise_from_a_process_that_ends_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, expected: MachineCode | None
) -> None:
    (tmp_path / "made").write_bytes(msgspec.msgpack.encode(MADE))
    script = f"mkdir {FOLDER} && {PROMISE} && sleep 0.1 && cat ../made && exit {status}"
    half = start(tmp_path, monkeypatch, script)
    kernel = Kernel(tmp_path / "cache")
    half.awaited_by(kernel, lambda _: None)
    kernel.get_call_template(1, 2)
    assert half.machine_code() == expected
    half.close()


def test_a_second_process_that_is_not_needed_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = start(tmp_path, monkeypatch, "exec sleep 600")
    half.close()
    assert not (tmp_path / "cache" / FOLDER).exists()


HOLDS = """
import sys
from pathlib import Path
from engine.processes.kernel_half import only_compiler
with only_compiler(Path(sys.argv[1]), lambda: None):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_compiler_that_is_killed_is_not_waited_for(tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLDS, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, cwd=ROOT) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        waits: list[int] = []

        def waiting() -> None:
            waits.append(1)
            other.kill()

        with only_compiler(tmp_path, waiting):
            assert waits
    assert other.returncode == -signal.SIGKILL
    with only_compiler(tmp_path, lambda: pytest.fail("nobody holds it")):
        pass
