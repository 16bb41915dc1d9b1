"""Rings for tests: unique names that are always removed, and records that prove themselves.

Word i of record s is `s * 1_000_003 + i`, so a reader can tell a torn, doubled, lost or reordered
record from a whole one without knowing who wrote it. `ring_stress.c` and the kernels of
`ring_children.py` use the same formula.
"""

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ringbuffer.ring import Producer, Ring
from ringbuffer.segment import unlink

FACTOR = 1_000_003
RECORD = np.dtype([("sequence", "<i8"), ("words", "<i8", (7,))])
WIDE_RECORD = np.dtype([("sequence", "<i8"), ("words", "<i8", (31,))])
ROOT = Path(__file__).resolve().parents[1]
# WHY: a dependency installs a package of its own named `tests`, which a fresh interpreter would
# find instead of this folder; so the name is bound before the child's module is looked up.
_CHILD = (
    "import runpy, sys, types\n"
    "sys.modules['tests'] = tests = types.ModuleType('tests')\n"
    "tests.__path__ = ['tests']\n"
    "sys.argv = sys.argv[1:]\n"
    "runpy.run_module(sys.argv[0], run_name='__main__')"
)
_numbers = itertools.count()


def child_command(module: str, *words: object) -> list[str]:
    """Return the command that runs a module of this folder in a fresh interpreter, in ROOT."""
    return [sys.executable, "-c", _CHILD, module, *map(str, words)]


def unique_name(label: str = "test") -> str:
    """Return a segment name that no other test and no engine uses."""
    return f"aegis-{label}-{os.getpid()}-{next(_numbers)}"


@contextmanager
def scratch_ring(
    capacity: int = 8, slot_size: int = 64, *, gating: Sequence[int] = ()
) -> Iterator[Ring]:
    """Create a ring and remove its name afterwards, whatever still maps it."""
    ring = Ring.create(unique_name(), capacity, slot_size, gating=gating)
    try:
        yield ring
    finally:
        unlink(ring.name)


def payload_words(sequence: int, word_count: int = 7) -> NDArray[np.int64]:
    """Return the words that record `sequence` must hold."""
    return np.arange(word_count, dtype=np.int64) + sequence * FACTOR


def payload(sequence: int, word_count: int = 7) -> bytes:
    """Return the payload bytes that record `sequence` must hold."""
    return payload_words(sequence, word_count).tobytes()


def publish(producer: Producer, count: int) -> None:
    """Publish the next `count` records that prove themselves; there must be room."""
    first = producer.published()
    for sequence in range(first, first + count):
        assert producer.try_publish(payload(sequence)) == sequence


def block(first: int, count: int, dtype: np.dtype[np.void] = RECORD) -> NDArray[np.void]:
    """Return `count` whole slots that prove themselves, starting at `first`."""
    rows = np.zeros(count, dtype)
    width = rows["words"].shape[1]
    sequences = np.arange(first, first + count, dtype=np.int64)
    rows["sequence"] = sequences + 1
    rows["words"] = sequences[:, None] * FACTOR + np.arange(width, dtype=np.int64)[None, :]
    return rows


def assert_whole(rows: NDArray[np.void], first: int) -> None:
    """Fail unless `rows` are exactly the records from `first` on."""
    expected = block(first, len(rows), rows.dtype)
    np.testing.assert_array_equal(rows["sequence"], expected["sequence"])
    np.testing.assert_array_equal(rows["words"], expected["words"])


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = 60.0) -> None:
    """Wait for a condition; fail with its name when the deadline passes."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"gave up waiting for {what}"
        os.sched_yield()


def compile_stress(folder: Path, *flags: str) -> Path:
    """Compile `tests/native/ring_stress.c`; return the program."""
    program = folder / "ring_stress"
    sources = [ROOT / "tests/native/ring_stress.c", ROOT / "native_ext/ring.c"]
    warnings = ["-Wall", "-Wextra", "-Werror"]
    include = ["-I", str(ROOT / "native_ext")]
    words = ["gcc", "-O2", "-std=c11", *warnings, *flags, *include, *map(str, sources)]
    subprocess.run([*words, "-lpthread", "-o", str(program)], check=True)
    return program
