"""Memory of the state: aligned, zeroed, and there before anybody writes to it."""

import resource

import numpy as np
import pytest

from engine.domain.arrays import CACHE_LINE_BYTES, aligned_copy, aligned_zeros
from engine.domain.bars import BAR_DTYPE

PAGES = 16_384
PAGE_BYTES = 4_096


def page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt


def faults_of_writing(pages: np.ndarray) -> int:
    before = page_faults()
    pages[:, 0] = 1
    return page_faults() - before


def test_the_first_write_finds_every_page_in_memory() -> None:
    """Where `numpy.zeros` waits for the kernel; a page may be 2 MB, so 64 MB are 32 at least."""
    promised = np.zeros((PAGES, PAGE_BYTES), dtype=np.uint8)
    here = aligned_zeros((PAGES, PAGE_BYTES), np.uint8)
    assert faults_of_writing(promised) >= PAGES * PAGE_BYTES >> 21
    assert faults_of_writing(here) < 8


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 3, 7)])
def test_rows_are_zero_and_begin_on_a_cache_line(shape: tuple[int, ...]) -> None:
    for kind in (np.float64, BAR_DTYPE):
        rows = aligned_zeros(shape, kind)
        assert rows.shape == shape
        assert rows.dtype == kind
        assert rows.ctypes.data % CACHE_LINE_BYTES == 0
        assert rows.tobytes() == bytes(rows.nbytes)


def test_reused_memory_is_zero_again() -> None:
    for _ in range(50):
        rows = aligned_zeros((300,), np.int64)
        assert (rows == 0).all()
        rows[:] = -1


def test_an_aligned_copy_holds_the_same_on_a_cache_line() -> None:
    rows = np.arange(77, dtype=np.int64)[3:]
    copied = aligned_copy(rows)
    assert copied.ctypes.data % CACHE_LINE_BYTES == 0
    assert np.array_equal(copied, rows)
    copied[0] = -1
    assert rows[0] == 3
