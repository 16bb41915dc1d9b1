"""Kernels behind an entry are linked, and made into machine code with it: once, and kept."""

import os
import subprocess
import sys
from pathlib import Path

SOURCE = """
import numpy as np
from engine.domain import kernel

@kernel.kernel
def halved(rows, k):
    return rows["flow_bucket"][k] // 2

@kernel.kernel
def summed(rows):
    total = 0
    for k in range(rows.shape[0]):
        total += halved(rows, k)
    return total

@kernel.entry
def asked(rows):
    return summed(rows)

@kernel.entry
def asked_twice(rows):
    return asked(rows) + summed(rows)
"""
RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from kernels_under_test import asked, asked_twice, halved, summed
from engine.domain.kernel import inner_of
from engine.domain.market_state import HOT_DTYPE
rows = np.zeros(5, dtype=HOT_DTYPE)
rows["flow_bucket"] = (2, 4, 6, 8, 11)
answers = asked(rows), asked_twice(rows), asked(rows[:3])
hits = sum(asked.stats.cache_hits.values()) + sum(asked_twice.stats.cache_hits.values())
forms = [inner_of(it) for it in (halved, summed, asked)] + [asked, asked_twice]
waiting = [
    it.__name__
    for it in forms
    for found in list(it.overloads.values())[:1]
    if getattr(found.library, "_aegis_waiting", False)
]
print(answers, hits, waiting)
"""


VISIBLE = """
from llvmlite.binding import Linkage
module = next(iter(asked_twice.overloads.values())).library._final_module
seen = [it for it in module.functions if it.linkage is not Linkage.internal]
print([it.name for it in seen if not it.is_declaration and "asked_twice" not in it.name])
"""


def started(folder: Path, script: str = RUN) -> subprocess.CompletedProcess[str]:
    unset = {"NUMBA_DISABLE_JIT"}
    clean = {name: text for name, text in os.environ.items() if name not in unset}
    return subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        env=clean | {"NUMBA_CACHE_DIR": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


def run(folder: Path, script: str = RUN) -> str:
    done = started(folder, script)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_only_entries_have_machine_code_and_a_second_process_finds_all(tmp_path: Path) -> None:
    (tmp_path / "kernels_under_test.py").write_text(SOURCE, encoding="utf-8")
    assert run(tmp_path) == "(15, 30, 6) 0 ['halved', 'summed', 'asked']"
    answers, _, rest = run(tmp_path).partition(") ")
    assert answers == "(15, 30, 6"
    assert int(rest.split()[0]) >= 2, "both entries came from the cache"


def test_an_entry_compiled_later_links_what_the_cache_kept(tmp_path: Path) -> None:
    path = tmp_path / "kernels_under_test.py"
    path.write_text(SOURCE, encoding="utf-8")
    run(tmp_path)
    stamp = path.stat()
    kept = [it for it in (tmp_path / "cache").rglob("*") if "asked" in it.name]
    assert kept, "the entries were kept"
    for it in kept:
        it.unlink()
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert run(tmp_path).startswith("(15, 30, 6) 0")


def test_what_an_entry_calls_can_be_seen_by_nobody_else(tmp_path: Path) -> None:
    """So the optimiser may leave out the words of an argument that a callee does not read."""
    (tmp_path / "kernels_under_test.py").write_text(SOURCE, encoding="utf-8")
    assert run(tmp_path, RUN + VISIBLE).splitlines()[-1] == "[]"


def test_damaged_code_is_named_and_not_linked(tmp_path: Path) -> None:
    (tmp_path / "kernels_under_test.py").write_text(SOURCE, encoding="utf-8")
    run(tmp_path)
    for entry in (tmp_path / "cache").rglob("*asked*"):
        entry.unlink()
    for kept in (tmp_path / "cache" / "functions").iterdir():
        kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    done = started(tmp_path)
    assert done.returncode == 1
    assert "damaged: remove the kernel cache that it is in: '" in done.stderr
    assert str(tmp_path / "cache" / "functions") in done.stderr
