"""A kernel has a form for kernels and one for Python, and what was compiled is kept apart."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.domain.kernel import entry, inner_of, kernel

compiled = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="kernels are not compiled"
)
SOURCE = """
from engine.domain.kernel import entry, kernel

@kernel
def doubled(number):
    return 2 * number

@entry
def quadrupled(number):
    return doubled(doubled(number))
"""
RUN = """
import sys
sys.path.insert(0, sys.argv[1])
from forms_under_test import doubled, quadrupled
from engine.domain.kernel import inner_of
print(quadrupled(3), len(doubled.overloads), doubled(5), list(inner_of(doubled).overloads))
print([sum(it.stats.cache_hits.values()) for it in (quadrupled, doubled)])
"""


@kernel
def halved(number: int) -> int:
    """Return half of it."""
    return number // 2


@entry
def quartered(number: int) -> int:
    """Return a quarter of it."""
    return halved(halved(number))


@compiled
def test_only_what_python_calls_has_a_way_in() -> None:
    assert quartered(8) == 2
    assert not halved.overloads  # type: ignore[attr-defined]  # a dispatcher of Numba's
    assert halved(8) == 4
    assert not inner_of(quartered).overloads


@compiled
def test_both_forms_are_kept_and_neither_is_taken_for_the_other(tmp_path: Path) -> None:
    (tmp_path / "forms_under_test.py").write_text(SOURCE, encoding="utf-8")

    def run() -> list[str]:
        words = [sys.executable, "-c", RUN, str(tmp_path)]
        caches = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        done = subprocess.run(words, env=caches, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    first, second = run(), run()
    assert first == ["12 0 10 [(int64,)]", "[0, 0]"]
    # The caller comes from the cache whole, so nobody asks for the other form.
    assert second == ["12 0 10 []", "[1, 1]"]


@compiled
def test_files_of_two_writers_at_once_do_not_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from numba.core.caching import IndexDataCacheFile

    first, second = (IndexDataCacheFile(str(tmp_path), "kernel", "stamp") for _ in range(2))
    monkeypatch.setattr(second, "_load_index", dict)  # it had read before the first one wrote
    first.save("of integers", "code for integers")
    index = (tmp_path / "kernel.nbi").read_bytes()
    second.save("of floats", "code for floats")
    found = IndexDataCacheFile(str(tmp_path), "kernel", "stamp")
    assert found.load("of floats") == "code for floats"
    (tmp_path / "kernel.nbi").write_bytes(index)  # the first one was last
    assert found.load("of integers") == "code for integers"
