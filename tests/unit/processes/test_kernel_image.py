"""A kernel's machine code is kept, found and called without Numba, or not used at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from engine.processes import kernel_cache, kernel_image
from tests.conftest import ROOT

# One kernel over what the loop takes: nested tuples of flat, two-dimensional and record arrays.
KERNEL = """
import sys
from pathlib import Path
from typing import NamedTuple
import numpy as np
from engine.processes import kernel_image

class Inner(NamedTuple):
    table: object
    rows: object

class Outer(NamedTuple):
    inner: object
    words: object

PACKED = np.dtype([("kind", "<i4"), ("number", "<i8")])

def arguments():
    rows = np.zeros(3, dtype=PACKED)
    rows["number"] = (5, 7, 11)
    table = np.arange(6, dtype=np.int64).reshape(2, 3)
    return Outer(Inner(table, rows), np.zeros(4, dtype=np.int64)), np.full(1, 1000)

def total(outer, offset, n):
    answer = offset[0] - 2000
    for k in range(n):
        answer += outer.inner.rows["number"][k]
    outer.words[3] = outer.inner.table[1, 2] + outer.words.shape[0]
    return answer

folder = Path(sys.argv[1])
"""
COMPILE = (
    KERNEL
    + """
from engine.domain import kernel
kernel_image.compile_for(kernel.exported(total), *arguments()).save(folder)
assert "numba" in sys.modules
"""
)
CALL = (
    KERNEL
    + """
image = kernel_image.read(folder)
outer, offset = arguments()
call = image.bind(outer, offset)
print(call(3), call(1), outer.words.tolist(), "numba" in sys.modules)
"""
)
CALL_OTHER = (
    KERNEL
    + """
outer, offset = arguments()
kernel_image.read(folder).bind(outer, offset.astype(np.int32))
"""
)
COMPILE_THAT_PRINTS = (
    KERNEL
    + """
from engine.domain import kernel
def told(outer, offset, n):
    print(n)
    return n
kernel_image.compile_for(kernel.exported(told), *arguments())
"""
)
COMPILE_IN_PARTS = (
    KERNEL
    + """
from engine.domain import kernel, link_once

class Elsewhere:
    def machine_code(self):
        return self.made if len(sys.argv) < 3 else None

@kernel.kernel
def doubled(outer, k):
    return outer.inner.rows["number"][k] * 2

def in_parts(outer, offset, n):
    return doubled(outer, n) + doubled(outer, n - 1) + offset[0]

loop, part = kernel.exported(in_parts), Elsewhere()
kernel.inner_of(loop).compile(tuple(map(numba.typeof, (*arguments(), 0))))
(found,) = kernel.inner_of(doubled).overloads.values()
part.kept, part.symbol = link_once.kept_as(found.library), found.fndesc.llvm_func_name
part.made = link_once.machine_code(found.library, part.symbol)
image = kernel_image.compile_for(loop, *arguments(), part=part)
image.save(folder)
print(len(image.codes))
"""
).replace("import sys", "import sys, numba", 1)
CALL_IN_PARTS = (
    KERNEL
    + """
image, held = kernel_image.read(folder), arguments()
print(image.bind(*held)(2))
"""
)
LOAD_LOOP = """
import sys
from engine.processes import kernel_cache
kernel_cache.load_loop(sys.argv[1], print)
"""


def child(script: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run a script with the folder as its argument, compiling even where tests do not."""
    program = folder.parent / f"{folder.name}.py"  # a file: Numba keeps what it compiled beside it
    program.write_text(script, encoding="utf-8")
    words = [sys.executable, str(program), str(folder), *more]
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "NUMBA_DISABLE_JIT": "0",
        "NUMBA_CACHE_DIR": str(folder / "cache"),
    }
    return subprocess.run(words, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("image")
    done = child(COMPILE, found)
    assert done.returncode == 0, done.stderr
    return found


def test_compiled_code_runs_in_a_process_without_numba(folder: Path) -> None:
    done = child(CALL, folder)
    assert done.stdout.split(maxsplit=2) == ["-977", "-995", "[0, 0, 0, 9] False\n"], done.stderr


@pytest.mark.parametrize(("failed", "parts"), [((), 2), (("failed",), 1)])
def test_a_part_made_elsewhere_is_called_and_one_that_failed_is_made_here(
    tmp_path: Path, failed: tuple[str, ...], parts: int
) -> None:
    folder = tmp_path / "image"
    folder.mkdir()
    done = child(COMPILE_IN_PARTS, folder, *failed)
    assert done.stdout == f"{parts}\n", done.stderr
    done = child(CALL_IN_PARTS, folder)
    assert done.stdout == f"{2 * 11 + 2 * 7 + 1000}\n", done.stderr


def test_other_types_are_refused_before_the_call(folder: Path) -> None:
    done = child(CALL_OTHER, folder)
    assert done.returncode == 1
    assert "InvariantError: kernel image of layout" in done.stderr


def test_an_image_that_cannot_run_is_removed(folder: Path, tmp_path: Path) -> None:
    directory = kernel_cache.cache_directory(str(tmp_path))
    directory.mkdir(parents=True)
    image = kernel_image.read(folder)  # whole, but not the brain's loop
    assert image is not None
    image.save(directory)
    done = child(LOAD_LOOP, tmp_path)
    assert "InvariantError: kernel image of layout" in done.stderr
    assert list(directory.glob("*.image*")) == []


def test_code_that_needs_numba_is_no_image(folder: Path) -> None:
    done = child(COMPILE_THAT_PRINTS, folder)
    assert done.returncode == 1
    assert "InvariantError: kernels call what only Numba has: " in done.stderr


def test_no_image_is_none(tmp_path: Path) -> None:
    assert kernel_image.read(tmp_path) is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "headless", "keyless"])
def test_a_damaged_image_is_none(folder: Path, tmp_path: Path, damage: str) -> None:
    whole = (folder / kernel_image.FILE_NAME).read_bytes()
    damaged = {
        "cut": whole[:-100],
        "flipped": whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:],
        "headless": whole.partition(b"\n")[2],
        "keyless": b"{}\n" + whole.partition(b"\n")[2],
    }
    (tmp_path / kernel_image.FILE_NAME).write_bytes(damaged[damage])
    assert kernel_image.read(tmp_path) is None


def test_an_image_is_there_whole_or_not_at_all(folder: Path, tmp_path: Path) -> None:
    image = kernel_image.read(folder)
    assert image is not None
    image.save(tmp_path)
    image.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [kernel_image.FILE_NAME]
    again = kernel_image.read(tmp_path)
    assert again is not None
    assert (again.symbol, again.layout, again.codes) == (
        image.symbol,
        image.layout,
        image.codes,
    )
