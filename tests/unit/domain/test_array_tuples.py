"""Kernels reach the arrays of a tuple through one address, and find what numpy finds."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

KERNELS = """
import random
import sys
from typing import NamedTuple
import numpy as np
from numba import typeof
from engine.domain import kernel

ROW = np.dtype([("kind", "<i4"), ("price", "<i8"), ("score", "<f8"), ("cells", "<i8", (2, 3))])

class Inner(NamedTuple):
    bytes: object
    cube: object
    rows: object

class Middle(NamedTuple):
    words: object
    inner: object

class Outer(NamedTuple):
    grid: object
    middle: object
    scores: object

@kernel.kernel
def mark(outer, k):
    inner = outer.middle.inner
    inner.rows["price"][k, 0] += outer.middle.words[k]
    inner.rows[k, 1]["cells"][1, 2] = inner.cube[k, 1, 2]
    outer.grid["score"][k] = outer.scores[k]
    outer.middle.words[k] += inner.bytes[k]

@kernel.entry
def mark_all(outer):
    for k in range(outer.middle.words.shape[0]):
        mark(outer, k)
    inner = outer.middle.inner
    return inner.cube.shape[1] * 100 + inner.rows.size

def tuple_of(n, seed, step=1):
    chance = np.random.default_rng(seed)
    rows = np.zeros((n * step, 3), dtype=ROW)
    rows["price"] = chance.integers(0, 1000, rows.shape)
    words = chance.integers(0, 1000, n * step)
    cube = chance.integers(0, 1000, (n * step, 2, 4))
    inner = Inner(
        chance.integers(0, 250, n * step).astype(np.uint8)[::step], cube[::step], rows[::step]
    )
    grid = np.zeros(n * step, dtype=ROW)[::step]
    return Outer(grid, Middle(words[::step], inner), chance.random(n * step)[::step])

def by_numpy(outer):
    inner = outer.middle.inner
    inner.rows["price"][:, 0] += outer.middle.words
    inner.rows["cells"][:, 1, 1, 2] = inner.cube[:, 1, 2]
    outer.grid["score"] = outer.scores
    outer.middle.words[:] += inner.bytes
    return inner.cube.shape[1] * 100 + inner.rows.size

def arrays(value):
    return [it for part in value for it in arrays(part)] if isinstance(value, tuple) else [value]
"""
AGREES = """
for n, seed, step in [(1, 1, 1), (2, 2, 1), (17, 3, 1), (64, 4, 1), (9, 5, 3), (1, 6, 2)]:
    mine, theirs = tuple_of(n, seed, step), tuple_of(n, seed, step)
    assert mark_all(mine) == by_numpy(theirs), (n, step)
    for one, other in zip(arrays(mine), arrays(theirs), strict=True):
        assert one.tobytes() == other.tobytes(), (n, step)
print(len(mark_all.overloads))
"""
ONE_ADDRESS = """
mark_all(tuple_of(4, 1))
inner = next(iter(kernel.inner_of(mark).overloads.values()))
module = inner.library._final_module
symbol = inner.fndesc.llvm_func_name
print(len(list(module.get_function(symbol).arguments)))
"""
READ_ONCE = """
@kernel.entry
def turn(outer):
    outer.middle.words[0] += outer.middle.words[1]
    outer.scores[0] += outer.scores[1]
    outer.middle.words[1] += outer.middle.words[0]
    outer.scores[1] += outer.scores[0]

turn(tuple_of(4, 1))
library = next(iter(turn.overloads.values())).library
symbol = next(iter(turn.overloads.values())).fndesc.llvm_func_name
body = str(library._final_module.get_function(symbol))
print(body.count("= load ptr"))
"""
REFERENCES = """
outer = tuple_of(8, 1)
mark_all(outer)
before = [sys.getrefcount(it) for it in arrays(outer)]
for _ in range(100):
    mark_all(outer)
print(before == [sys.getrefcount(it) for it in arrays(outer)])
"""
TYPES = """
class Mixed(NamedTuple):
    array: object
    number: int

words = np.zeros(3, dtype=np.int64)
kinds = [typeof(it) for it in (tuple_of(2, 1), tuple_of(3, 2), tuple_of(2, 1, 2), Mixed(words, 1))]
print([type(it).__name__ for it in kinds], kinds[0] == kinds[1], kinds[0] == kinds[2])
print(type(typeof((words, words))).__name__, type(typeof(())).__name__)
"""
PUT_TOGETHER = """
class Pair(NamedTuple):
    grid: object
    scores: object

@kernel.kernel
def pair(lines, k):
    return Pair(lines[k], lines[k + 1])

@kernel.kernel
def add(both, k):
    both.grid[k] += both.scores[k]
    return both.scores.shape[0]

@kernel.entry
def add_lines(given, lines):
    total = add(given, 0)
    for k in range(lines.shape[0] - 1):
        both = pair(lines, k)
        for j in range(lines.shape[1]):
            total += add(both, j)
    return total

lines = np.arange(12.0).reshape(4, 3)
wanted = lines.copy()
wanted[:-1] += lines[1:]
given = Pair(np.ones(2), np.ones(2))
answer = add_lines(given, lines), given.grid.tolist(), (lines == wanted).all()
print(*answer, len(kernel.inner_of(add).overloads))
"""
REFUSED = """
mark_all(tuple_of(2, 1))
try:
    mark_all(tuple_of(2, 1)._replace(scores=np.zeros((2, 2))))
except Exception as error:
    print(type(error).__name__)
"""


def run(script: str, folder: Path) -> str:
    """Run a script after the kernels in a process that compiles, even where tests do not."""
    clean = {name: text for name, text in os.environ.items() if name != "NUMBA_DISABLE_JIT"}
    path = folder / "script.py"
    path.write_text(KERNELS + script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(path)],
        env=clean | {"NUMBA_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_kernels_read_and_write_what_numpy_does(tmp_path: Path) -> None:
    """Flat, deep and record arrays, nested twice, side by side in memory or with gaps."""
    assert run(AGREES, tmp_path) == "2", "one overload for rows side by side, one for gaps"


def test_a_second_process_takes_the_kernels_from_the_cache(tmp_path: Path) -> None:
    run(AGREES, tmp_path)
    hits = "print(sum(mark_all.stats.cache_hits.values()))"
    assert run(AGREES + hits, tmp_path).split()[0] == "2"


def test_an_inner_kernel_takes_one_address_for_eight_arrays(tmp_path: Path) -> None:
    """Where its answer goes, where an exception would go, the table, the number."""
    assert run(ONE_ADDRESS, tmp_path) == "4"


def test_a_store_into_an_array_makes_nothing_of_the_table_read_again(tmp_path: Path) -> None:
    assert run(READ_ONCE, tmp_path) == "2", "the addresses of two arrays, once each"


def test_a_call_from_python_keeps_no_reference(tmp_path: Path) -> None:
    assert run(REFERENCES, tmp_path) == "True"


def test_only_tuples_of_arrays_are_passed_so(tmp_path: Path) -> None:
    first, second = run(TYPES, tmp_path).splitlines()
    assert first == "['ArrayTuple', 'ArrayTuple', 'ArrayTuple', 'NamedTuple'] True False"
    assert second == "UniTuple Tuple"


def test_a_tuple_that_a_kernel_put_together_is_passed_so_too(tmp_path: Path) -> None:
    """Or the kernels it is passed to would be compiled once more for it, with all they call."""
    assert run(PUT_TOGETHER, tmp_path) == "29 [2.0, 1.0] True 1"


def test_a_tuple_of_other_arrays_is_another_type(tmp_path: Path) -> None:
    """Two dimensions where the kernel takes a number of one: refused when it is compiled."""
    assert run(REFUSED, tmp_path) == "TypingError"
