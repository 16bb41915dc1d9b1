"""How kernels are compiled, and the names of the arrays they take.

One decorator, so that no kernel can be compiled with other options: cached ahead of the run,
without the GIL, dividing by zero as numpy does (no exception may start on the message path) and
without fastmath, because NaN means unknown here. Addition and multiplication are not contracted,
so the same inputs give the same bits on every CPU. Kernels own no memory, so none is counted.

One signature per kernel: between kernels a literal, an IntEnum member and every integer narrower
than 64 bits are passed as int64. Otherwise each constant argument would compile its own copy of
the callee and of all it calls (measured: 271 kernels in 132 s of CPU with, in 80 s without).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")

_Types = tuple[types.Type, ...]
_Named = dict[str, types.Type]
Records = NDArray[np.void]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]

_OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
_compile_entry = njit(**_OPTIONS)  # type: ignore[call-overload]  # its stub leaves _nrt out
_compile_hidden = njit(  # type: ignore[call-overload]  # nor does it know these two
    **_OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True
)
_compile_inlined = njit(**_OPTIONS, inline="always")  # type: ignore[call-overload]
_hidden = False


def hide_inner() -> None:
    """Compile kernels, but not entries, so that only other kernels can call them.

    The way in from Python unpacks every array of every argument, which costs more to compile than
    most kernels do (measured: 139 s of CPU with, 78 s without). The brain calls this before it
    imports the kernels; tests do not, because they call kernels one by one.
    """
    global _hidden  # noqa: PLW0603  like Numba's own settings: read when a kernel is declared
    _hidden = True


def entry(function: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
    """Return the compiled form of a kernel that Python calls in production."""
    return _declare(function, _compile_entry)


def kernel(function: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
    """Return the compiled form of `function`; plain Python when NUMBA_DISABLE_JIT is set."""
    return _declare(function, _compile_hidden if _hidden else _compile_entry)


def inlined(function: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
    """Return a kernel that is compiled into its callers: for one large kernel with one caller.

    A kernel is optimised together with all it calls, once more for every kernel above it; leaving
    out a level near the top spares one such pass over nearly everything.
    """
    return _declare(function, _compile_inlined)


def _declare(
    function: Callable[Parameters, Answer], compiler: Callable[..., Any]
) -> Callable[Parameters, Answer]:
    compiled = compiler(function)
    resolve = getattr(compiled, "get_call_template", None)
    if resolve is not None:

        def resolve_widened(arguments: _Types, named: _Named) -> Any:  # noqa: ANN401  Numba's
            widened = tuple(widen(argument) for argument in arguments)
            return resolve(widened, {name: widen(kind) for name, kind in named.items()})

        compiled.get_call_template = resolve_widened
    return cast("Callable[Parameters, Answer]", compiled)


def widen(kind: types.Type) -> types.Type:
    """Return the Numba type under which an argument of this type is passed to a kernel."""
    plain: types.Type = types.unliteral(kind)  # type: ignore[no-untyped-call]
    if isinstance(plain, types.IntEnumMember):
        return types.int64
    if isinstance(plain, types.Integer) and plain != types.uint64:
        return types.int64
    return plain
