"""Code compiled from other sources, or for another CPU, is never served: seen end to end.

A copy of the shipped tree gets one more kernel, in a file of its own, that calls a shipped one in
another file. Every step is a process of its own, as a start of the engine is.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ROOT

CALLER = '''"""Calls a kernel of another file."""

from engine.domain.features.micro import ratio_to_noise
from engine.domain.kernel import entry


@entry
def ask(total: float, squares: float) -> float:
    """Return what the callee says."""
    return ratio_to_noise(total, squares)
'''
CALLEE = "engine/domain/features/micro.py"
LINE = "        return total / math.sqrt(squares)\n"
RUN = """
import sys
from pathlib import Path
from engine.processes import kernel_cache
if len(sys.argv) > 2:
    kernel_cache.CPU_INFO = Path(sys.argv[2])
directory = kernel_cache.activate(sys.argv[1])
compiled = []
with kernel_cache.compile_progress(lambda done, total, name: compiled.append(name)):
    from engine.domain.caller import ask
    answer = ask(6.0, 4.0)
print(answer, directory.name, ",".join(compiled) or "nothing")
"""


class Run(NamedTuple):
    """What one process answered, where it kept its code, and what it compiled."""

    answer: float
    directory: str
    compiled: str


class Tree:
    """A copy of the sources, with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("engine", "ringbuffer", "native_ext"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.c"))
        (folder / "engine/domain/caller.py").write_text(CALLER, encoding="utf-8")

    def run(self, *cpu_info: Path) -> Run:
        """Ask the kernel in a fresh process."""
        unset = {"NUMBA_DISABLE_JIT", "NUMBA_CACHE_DIR", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"}
        clean = {name: text for name, text in os.environ.items() if name not in unset}
        words = [sys.executable, "-c", RUN, str(self.folder / "home"), *map(str, cpu_info)]
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=clean | {"PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer, directory, compiled = done.stdout.split()
        return Run(float(answer), directory, compiled)

    def edit(self, line: str) -> None:
        """Put a line in the place of the callee's answer."""
        path = self.folder / CALLEE
        shipped = (ROOT / CALLEE).read_text(encoding="utf-8")
        assert LINE in shipped, "the callee still reads so"
        path.write_text(shipped.replace(LINE, line), encoding="utf-8")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_an_edited_callee_in_another_file_is_compiled_anew(tree: Tree) -> None:
    cold, warm = tree.run(), tree.run()
    assert cold.answer == warm.answer == 3.0
    assert "ratio_to_noise" in cold.compiled
    assert (warm.directory, warm.compiled) == (cold.directory, "nothing")
    tree.edit("        return 2.0 * total / math.sqrt(squares)\n")
    edited = tree.run()
    assert edited.answer == 6.0, "the caller's file is as it was, its code is not"
    assert edited.directory != cold.directory
    tree.edit(LINE)
    assert tree.run() == warm, "the first build is found again"


def test_another_cpu_gets_code_of_its_own(tree: Tree, tmp_path: Path) -> None:
    here = tree.run()
    cpu_info = tmp_path / "cpuinfo"
    cpu_info.write_text("model name\t: Other 1\nflags\t\t: sse2\n\n", encoding="utf-8")
    there = tree.run(cpu_info)
    assert there.directory != here.directory
    assert "ask" in there.compiled
    assert tree.run(cpu_info).compiled == "nothing"
