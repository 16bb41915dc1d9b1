"""Memory of the state: on cache lines, and all of it there before the first record.

What `numpy.zeros` returns is only promised: the first write to each page of it waits for the
kernel, a microsecond or, where pages are huge, a hundred, and that would be in the middle of a
market.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

CACHE_LINE_BYTES = 64


def aligned_zeros(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return zeroed rows, in memory already, whose first byte lies on a cache line."""
    row = np.dtype(dtype)
    size = int(np.prod(shape)) * row.itemsize
    raw = np.empty(size + CACHE_LINE_BYTES, dtype=np.uint8)
    raw.fill(0)
    skip = -raw.ctypes.data % CACHE_LINE_BYTES
    return raw[skip : skip + size].view(row).reshape(shape)


def aligned_copy(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the same rows in memory whose first byte lies on a cache line."""
    copied = aligned_zeros(rows.shape, rows.dtype)
    copied[...] = rows
    return copied
