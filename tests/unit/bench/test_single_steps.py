"""Instructions are counted exactly: those of the code asked for, of one call at a time."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
from functools import partial

import pytest

from bench.sides.single_steps import Count, Counted, code_of, count_calls

SOURCE = """
long spin(long turns) {
    for (volatile long k = 0; k < turns; ++k) {}
    return turns;
}
"""
pytestmark = [
    pytest.mark.skipif(platform.machine() != "x86_64", reason="steps are those of x86-64"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler"),
]


@pytest.fixture(scope="module")
def spinner(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("spin")
    (folder / "spin.c").write_text(SOURCE)
    library = folder / "counted_spin.so"
    words = ["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(folder / "spin.c")]
    subprocess.run(words, check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.spin.restype, loaded.spin.argtypes = ctypes.c_long, [ctypes.c_long]
    return loaded


def address_of(function: object) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
    assert address is not None
    return address


def test_every_turn_of_a_loop_costs_the_same_and_nothing_else_is_counted(
    spinner: ctypes.CDLL,
) -> None:
    def play(counted: Counted) -> None:
        entry, code = address_of(spinner.spin), code_of("counted_spin")
        for turns in (0, 10, 20, 120):
            counted(f"{turns}", entry, code, partial(spinner.spin, turns))

    found = count_calls(play)
    assert [it.name for it in found] == ["0", "10", "20", "120"]
    none, ten, twenty, many = (it.instructions for it in found)
    assert 0 < none < 20, "the call and the way back"
    assert ten - none == twenty - ten > 0
    assert many - twenty == 10 * (twenty - ten)


def test_the_same_call_counts_the_same_each_time(spinner: ctypes.CDLL) -> None:
    def play(counted: Counted) -> None:
        for _ in range(5):
            code = code_of("counted_spin")
            counted("again", address_of(spinner.spin), code, partial(spinner.spin, 50))

    assert len(set(count_calls(play))) == 1


def test_code_that_is_not_asked_for_is_not_counted(spinner: ctypes.CDLL) -> None:
    def play(counted: Counted) -> None:
        counted("nowhere", address_of(spinner.spin), [], partial(spinner.spin, 100))

    assert count_calls(play) == [Count("nowhere", 0)]


def test_a_call_that_does_not_come_to_the_function_is_an_error(spinner: ctypes.CDLL) -> None:
    def play(counted: Counted) -> None:
        counted("idle", address_of(spinner.spin), code_of("counted_spin"), lambda: None)

    with pytest.raises(RuntimeError, match="stopped with signal"):
        count_calls(play)


def test_code_is_found_by_its_file(spinner: ctypes.CDLL) -> None:
    address = address_of(spinner.spin)
    assert any(first <= address < end for first, end in code_of("counted_spin"))
    assert code_of("no file is called so") == []
    assert not any(first <= address < end for first, end in code_of(""))


@pytest.mark.parametrize("early", [True, False], ids=["before a call", "in a call"])
def test_a_child_that_does_not_come_to_its_end_is_an_error(
    spinner: ctypes.CDLL, early: bool
) -> None:
    def play(counted: Counted) -> None:
        if early:
            os._exit(3)
        counted("dies", address_of(spinner.spin), [], lambda: os._exit(3))

    with pytest.raises(RuntimeError, match="ended with status"):
        count_calls(play)


def test_a_program_may_be_run_before_the_first_call(spinner: ctypes.CDLL) -> None:
    """Its end is a signal, and a child that is stepped already would stop at it for ever."""

    def play(counted: Counted) -> None:
        subprocess.run(["true"], check=True)
        code = code_of("counted_spin")
        counted("after", address_of(spinner.spin), code, partial(spinner.spin, 7))

    ((name, instructions),) = count_calls(play)
    assert name == "after"
    assert instructions > 7
