"""The order line in C: both threads under sanitizers, and the venue's time as Python has it.

What is forbidden, and what each thread does, stands in `c/line_threads.c`.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import VenueClock
from tests.native import fuzz_build

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 120
FORBIDDEN = ("lost", "doubled", "torn", "stolen", "leaked")
BUILDS = {
    "plain": ([], 20_000),
    "address,undefined": (["-fsanitize=address,undefined", "-fno-sanitize-recover=all"], 10_000),
    "thread": (["-fsanitize=thread"], 5_000),
}
WARNINGS = ["-O2", "-g", "-std=c11", "-Wall", "-Wextra", "-Werror"]
WHEN = st.integers(0, 2**61)
RATE = st.one_of(st.just(0), st.integers(-(10**9), 100 * 10**9))


def compiled(folder: Path, flags: list[str], native: Path = ROOT / "native_ext") -> Path:
    """Compile the driver over the line's source in `native`."""
    sources = [str(fuzz_build.HARNESSES / "line_threads.c"), str(native / "order_line.c")]
    command = ["gcc", *WARNINGS, *flags, f"-I{native}", *sources, "-lpthread"]
    return fuzz_build.compile_program(command, folder / "line_threads")


def run(program: Path, orders: int) -> tuple[dict[str, int], str]:
    """Return what the program counted, and what a sanitizer said."""
    done = subprocess.run(
        [program, str(orders)], capture_output=True, text=True, check=False, timeout=DEADLINE_S
    )
    return {key: int(n) for key, n in re.findall(r"(\w+)=(-?\d+)", done.stdout)}, done.stderr


@pytest.mark.parametrize("build", BUILDS)
def test_an_order_is_written_once_by_whoever_has_the_line(build: str, tmp_path: Path) -> None:
    flags, orders = BUILDS[build]
    if not fuzz_build.can_run("gcc", tmp_path, *flags):
        pytest.skip(f"gcc cannot build and run with {' '.join(flags)} here")
    found, said = run(compiled(tmp_path, flags), orders)
    assert said == ""
    assert {name: found[name] for name in FORBIDDEN} == dict.fromkeys(FORBIDDEN, 0)
    assert found["written"] == orders
    assert found["given_back"] > 0, "taking the line back was at stake"


# What is broken in a copy of the line, and what must then be said.
BREAKAGES = {
    "what is lent is not published": (
        "atomic_store_explicit(&line->state, AEGIS_LINE_ARMED, memory_order_release);",
        "atomic_store_explicit(&line->state, AEGIS_LINE_ARMED, memory_order_relaxed);",
    ),
    "the outcome is not published": (
        "atomic_store_explicit(&line->state, state, memory_order_release);",
        "atomic_store_explicit(&line->state, state, memory_order_relaxed);",
    ),
    "taken back although taken": (
        "return seen == AEGIS_LINE_ARMED || seen == AEGIS_LINE_EMPTY;",
        "return 1;",
    ),
    "the duplicate is left": (
        "        close((int)line->descriptor);\n",
        "        (void)line;\n",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_line_is_found_out(breakage: str, tmp_path: Path) -> None:
    flags, orders = BUILDS["thread"]
    if not fuzz_build.can_run("gcc", tmp_path, *flags):
        pytest.skip("gcc cannot build and run with the thread sanitizer here")
    right, wrong = BREAKAGES[breakage]
    native = tmp_path / "native"
    shutil.copytree(ROOT / "native_ext", native, ignore=shutil.ignore_patterns("*.so", "_*"))
    text = (native / "order_line.c").read_text("utf-8")
    assert right in text, "the source reads otherwise now"
    (native / "order_line.c").write_text(text.replace(right, wrong), "utf-8")
    found, said = run(compiled(tmp_path, flags, native), orders)
    assert said or not found or any(found[name] for name in FORBIDDEN)


class Clock(ctypes.Structure):
    """`struct aegis_venue_clock`."""

    _fields_ = (
        ("anchor_ns", ctypes.c_int64),
        ("venue_ns", ctypes.c_int64),
        ("rate_ppb", ctypes.c_int64),
        ("last_ms", ctypes.c_int64),
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    built = tmp_path_factory.mktemp("line") / "line.so"
    source = ROOT / "native_ext/order_line.c"
    command = ["cc", "-O2", "-std=c11", "-shared", "-fPIC", "-o", str(built), str(source)]
    subprocess.run(command, check=True, timeout=DEADLINE_S)
    loaded = ctypes.CDLL(str(built))
    loaded.aegis_venue_ms.restype = ctypes.c_int64
    loaded.aegis_venue_ms.argtypes = (ctypes.POINTER(Clock), ctypes.c_int64)
    return loaded


@given(
    anchor_ns=WHEN,
    venue_ns=WHEN,
    rate_ppb=RATE,
    now_ns=st.integers(0, 2**55),
    said_ms=st.one_of(st.none(), st.integers(-2_000, 2_000)),
)
def test_the_venues_time_is_the_clocks(
    library: ctypes.CDLL,
    anchor_ns: int,
    venue_ns: int,
    rate_ppb: int,
    now_ns: int,
    said_ms: int | None,
) -> None:
    """Also where it was said to be a little later before, and that is waited out."""
    now_ns += anchor_ns
    clock = VenueClock(lambda: now_ns)
    clock._line = (anchor_ns, venue_ns, rate_ppb)
    true_ms = clock.venue_ns(now_ns) // 1_000_000
    last_ms = 0 if said_ms is None else true_ms + said_ms
    if not -(2**63) <= true_ms < 2**62:
        return
    clock._last_ms = last_ms
    line = Clock(anchor_ns, venue_ns, rate_ppb, last_ms)
    assert library.aegis_venue_ms(ctypes.byref(line), now_ns) == clock.now_ms()
