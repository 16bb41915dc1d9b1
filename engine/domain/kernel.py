"""How kernels are compiled, and the names of the arrays they take.

One decorator, so that no kernel can be compiled with other options: cached ahead of the run,
without the GIL, dividing by zero as numpy does (no exception may start on the message path) and
without fastmath, because NaN means unknown here. Addition and multiplication are not contracted,
so the same inputs give the same bits on every CPU. Kernels own no memory, so none is counted.

A kernel has two forms. The one kernels call has no way in from Python: that unpacks every array of
every argument, and costs more to compile than most kernels do. The one Python calls is compiled
when Python calls it: in production the entries, in tests what they ask.

One signature per kernel: between kernels a literal, an IntEnum member and every integer narrower
than 64 bits are passed as int64. Otherwise each constant argument would compile its own copy of
the callee and of all it calls (measured: 271 kernels in 132 s of CPU with, in 80 s without).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from numba import types

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")

Records = NDArray[np.void]
Record = np.void  # one row of Records: a pointer where compiled
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Numbers = Floats | Integers  # of a kernel compiled for both
Bytes = NDArray[np.uint8]

_OPTIONS: Final = {"nogil": True, "error_model": "numpy", "_nrt": False}
_INNER: Final = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_plain = False


def leave_plain() -> None:
    """Declare kernels without compiling them, in a process that runs machine code made earlier.

    Or none. Numba is not imported then; `ringbuffer.compilation` does the same for the rings'.
    """
    global _plain  # noqa: PLW0603  like Numba's own settings: read when a kernel is declared
    _plain = True


def is_kept() -> bool:
    """Return whether what is compiled has a place to be kept in (`ringbuffer.compilation`)."""
    from numba import config

    chosen = bool(config.CACHE_DIR)  # type: ignore[attr-defined]  # set at run time
    return chosen or os.access(Path(__file__).parent, os.W_OK)


def entry(function: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
    """Return the compiled form of a kernel that Python calls in production."""
    return _declare(function)


def kernel(function: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
    """Return the compiled form of `function`; plain Python when NUMBA_DISABLE_JIT is set."""
    return _declare(function)


def exported(function: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
    """Return a kernel whose machine code is kept by `engine.processes.kernel_image`.

    Numba's own cache is not used for it: what comes out of there has no object code any more.
    """
    return _declare(function, cache=False)


def fused(function: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
    """Return a kernel whose machine code becomes part of its callers': for what most records need.

    A call passes every array of every argument on the stack, five words and two per dimension.
    """
    return _declare(function, forceinline=True)


def python_of(function: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
    """Return the Python behind a kernel that calls none: for callers in Python.

    Called as it is, the kernel would be compiled once more, with a way in from Python.
    """
    return cast("Callable[Parameters, Answer]", getattr(function, "py_func", function))


def inner_of(function: Callable[..., object]) -> Any:  # noqa: ANN401  a dispatcher of Numba's
    """Return what kernels call when they call this one: it has no way in from Python."""
    declared: Any = function
    return declared.inner()


def _declare(
    function: Callable[Parameters, Answer], **options: object
) -> Callable[Parameters, Answer]:
    if _plain:
        return function
    from numba import config, njit

    if config.DISABLE_JIT:  # type: ignore[attr-defined]  # set at run time
        return function

    from engine.domain import array_tuples, kernel_compiler

    array_tuples.install()
    kernel_compiler.install()
    compiler: Any = njit  # its stub leaves some options out
    numbas = {
        **_OPTIONS,
        "cache": is_kept(),
        "pipeline_class": kernel_compiler.KernelCompiler,
    }
    open_: Any = compiler(**numbas)(function)

    @cache
    def inner() -> Any:  # noqa: ANN401
        return compiler(**{**numbas, **options, **_INNER})(function)

    def resolve(arguments: Any, named: Any) -> Any:  # noqa: ANN401  Numba's own
        widened = tuple(widen(argument) for argument in arguments)
        return inner().get_call_template(widened, {name: widen(it) for name, it in named.items()})

    open_.inner = inner
    open_.get_call_template = resolve
    open_.get_overload = lambda signature: inner().get_overload(signature)
    if numbas["cache"]:
        kernel_compiler.keep_apart(open_)
    return cast("Callable[Parameters, Answer]", open_)


def widen(kind: types.Type) -> types.Type:
    """Return the Numba type under which an argument of this type is passed to a kernel."""
    from numba import types

    from engine.domain import array_tuples

    plain: types.Type = types.unliteral(kind)  # type: ignore[no-untyped-call]
    if isinstance(plain, types.IntEnumMember):
        return types.int64
    if isinstance(plain, types.Integer) and plain != types.uint64:
        return types.int64
    passed: types.Type = array_tuples.passed_as(plain)
    return passed
