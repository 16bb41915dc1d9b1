"""How kernels are compiled, and the names of the arrays they take.

One decorator, so that no kernel can be compiled with other options: cached ahead of the run,
without the GIL, dividing by zero as numpy does (no exception may start on the message path) and
without fastmath, because NaN means unknown here. Addition and multiplication are not contracted,
so the same inputs give the same bits on every CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")

Records = NDArray[np.void]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]

_compile = njit(cache=True, nogil=True, error_model="numpy")


def kernel(function: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
    """Return the compiled form of `function`; plain Python when NUMBA_DISABLE_JIT is set."""
    return cast("Callable[Parameters, Answer]", _compile(function))
