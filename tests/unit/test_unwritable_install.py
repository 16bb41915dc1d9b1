"""Sources that cannot be written, and no home: how an image has them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("engine", "ringbuffer", "native_ext")
# What main, the orchestrator and every command that reads a journal import.
READS = "import engine.store.fold, engine.processes.summary, engine.processes.attendant"
COMPILES = """
from engine.domain.key_index import create_index, find_key
from ringbuffer import compilation
assert not compilation.is_kept()
assert find_key(create_index(8), 5) == -1
"""
SETPRIV = shutil.which("setpriv")
# Root may write everywhere, unless it gives that up.
BOUND = [] if os.geteuid() else [SETPRIV or "", "--bounding-set=-dac_override", "--"]


@pytest.mark.skipif(["", *BOUND[1:]] == BOUND, reason="root here cannot give up its rights")
@pytest.mark.parametrize("words", [READS, COMPILES], ids=["reads", "compiles"])
def test_kernels_are_declared_where_nothing_can_be_kept(words: str, tmp_path: Path) -> None:
    """Once each import ended with Numba's RuntimeError: no locator available."""
    unwanted = shutil.ignore_patterns("__pycache__")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=unwanted)
    folders = [Path(folder) for folder, _, _ in os.walk(tmp_path)]
    for folder in folders:
        folder.chmod(0o555)
    known = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "PYTHON"))}
    try:
        done = subprocess.run(
            [*BOUND, sys.executable, "-P", "-c", words],
            env={**known, "HOME": "/dev/null", "PYTHONPATH": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
