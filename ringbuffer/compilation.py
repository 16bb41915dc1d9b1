"""Whether kernels are compiled in this process: asked once, when the first kernel is declared.

A process that runs kernels from an object file made earlier, or none, says `leave_plain()` before
it imports any of them. Then neither Numba nor llvmlite's compiler is imported, and every kernel is
the plain Python function it was written as: its constants and arrays are needed, its code is not.
"""

from __future__ import annotations

import os
from pathlib import Path

_is_plain = False


def leave_plain() -> None:
    """Declare kernels without compiling them; say so before the first is imported."""
    global _is_plain  # noqa: PLW0603  a property of the process, like Numba's own settings
    _is_plain = True


def is_plain() -> bool:
    """Return whether kernels stay plain Python: asked for here, or by NUMBA_DISABLE_JIT."""
    if _is_plain:
        return True
    from numba import config

    return bool(config.DISABLE_JIT)  # type: ignore[attr-defined]  # set at run time


def is_kept() -> bool:
    """Return whether what is compiled has a place to be kept in.

    An engine says which (`engine.processes.kernel_cache`). Else it is beside the sources; where
    these cannot be written, as in an image, Numba refuses to declare a kernel that is to be kept.
    """
    from numba import config

    chosen = bool(config.CACHE_DIR)  # type: ignore[attr-defined]  # set at run time
    return chosen or os.access(Path(__file__).parent, os.W_OK)
