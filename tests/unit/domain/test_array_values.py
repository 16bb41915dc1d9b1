"""What kernels do with arrays and views of them is what numpy does, compiled and not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.domain.kernel import Floats, Records, entry, kernel
from engine.domain.kernel_compiler import install

Ints = NDArray[np.int64]
ROW = np.dtype([("price", "<i8"), ("score", "<f8"), ("cells", "<i8", (2, 3))])


@kernel
def add_up(values: Floats) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


@kernel
def swap(values: Ints, a: int, b: int) -> None:
    kept = values[a]
    values[a] = values[b]
    values[b] = kept


@entry
def use_views(rows: Records, cube: Floats, words: Ints, k: int) -> float:
    """Slice, choose a view by a branch, pass views on, and ask them for their shape."""
    if words[k] > 0:
        chosen = cube[k, 0]
        at = 1
    else:
        chosen = cube[0, 1]
        at = 0
    swap(rows["price"][:, at], k, 0)
    rows["score"][k, at] += add_up(chosen[1:])
    rows[k, at]["cells"][1, 2] = chosen.shape[0] + rows.size + cube[k:].shape[0]
    total = add_up(rows["score"][k]) + len(words)
    for row in range(rows.shape[0]):
        total += rows["cells"][row, at, 1, 2] * cube[row, at, -1 + chosen.size]
    return total + words[:k].sum()


@entry
def same(words: Ints) -> Ints:
    """Return to Python what it passed; it wants to know where the structure lies."""
    words[0] += 1
    return words


def arrays(count: int, seed: int, step: int) -> tuple[Records, Floats, Ints]:
    chance = np.random.default_rng(seed)
    rows = np.zeros((count * step, 2), dtype=ROW)
    rows["price"] = chance.integers(0, 1_000, rows.shape)
    rows["score"] = chance.random(rows.shape)
    words = chance.integers(-3, 3, count * step)
    return rows[::step], chance.random((count, 2, 4)), words[::step]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 5), st.integers(0, 2**32), st.sampled_from([1, 2]), st.data())
def test_views_are_those_of_numpy(count: int, seed: int, step: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, count - 1))
    mine, theirs = arrays(count, seed, step), arrays(count, seed, step)
    plain = getattr(use_views, "py_func", use_views)
    assert use_views(*mine, k) == pytest.approx(plain(*theirs, k), rel=1e-15, abs=0)
    for array, other in zip(mine, theirs, strict=True):
        assert array.tobytes() == other.tobytes()


def test_an_array_goes_back_to_python() -> None:
    words = np.arange(3)
    found = same(words)
    assert np.shares_memory(found, words)
    assert found.tolist() == [1, 1, 2]


def test_installed_twice_is_installed_once() -> None:
    from numba.np import arrayobj

    install()
    before = arrayobj.make_array
    install()
    assert arrayobj.make_array is before
