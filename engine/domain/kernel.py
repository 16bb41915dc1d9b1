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

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from engine.domain.link_once import finish_on_demand

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

_OPTIONS: Final = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
_HIDDEN: Final = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_hidden = False
_plain = False


def leave_plain() -> None:
    """Declare kernels without compiling them, in a process that runs machine code made earlier.

    Numba is not imported then; `ringbuffer.compilation` does the same for the rings' kernels.
    """
    global _plain  # noqa: PLW0603  as `_hidden`
    _plain = True


def hide_inner() -> None:
    """Compile kernels, but not entries, so that only other kernels can call them.

    The way in from Python unpacks every array of every argument, which costs more to compile than
    most kernels do (measured: 139 s of CPU with, 78 s without). The brain calls this before it
    imports the kernels; tests do not, because they call kernels one by one.
    """
    global _hidden  # noqa: PLW0603  like Numba's own settings: read when a kernel is declared
    _hidden = True
    from numba.core.cpu import CPUContext

    CPUContext.mangler = _symbol  # type: ignore[method-assign]  # Numba has no setting for it
    finish_on_demand()


def _symbol(  # Numba's own signature of it
    _context: object,
    name: str,
    kinds: tuple[object, ...],
    *,
    abi_tags: tuple[str, ...] = (),
    uid: int | None = None,
) -> str:
    # Numba's symbols spell out every field of every record of every argument: 20 KB for a kernel
    # of the order side, at each call, in text that LLVM parses (measured: a cache of 110 MB with,
    # of 30 MB without; the number that makes a name unique stays).
    from numba.core.itanium_mangler import mangle

    digest = hashlib.sha256("|".join(map(str, kinds)).encode()).hexdigest()[:16]
    named: Any = mangle  # has no types
    return str(named(name, (), abi_tags=(*abi_tags, digest), uid=uid))


def entry(function: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
    """Return the compiled form of a kernel that Python calls in production."""
    return _declare(function)


def kernel(function: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
    """Return the compiled form of `function`; plain Python when NUMBA_DISABLE_JIT is set."""
    return _declare(function, **(_HIDDEN if _hidden else {}))


def exported(function: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
    """Return a kernel whose machine code is kept by `engine.processes.kernel_image`.

    Numba's own cache is not used for it: what comes out of there has no object code any more.
    """
    return _declare(function, **({**_HIDDEN, "cache": False} if _hidden else {}))


def fused(function: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
    """Return a kernel whose machine code becomes part of its callers': for what most records need.

    A call passes every array of every argument on the stack, five words and two per dimension.
    """
    return _declare(function, forceinline=True, **(_HIDDEN if _hidden else {}))


def python_of(function: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
    """Return the Python behind a kernel that calls none: for callers in Python.

    An inner kernel has no way in from Python where it was compiled for other kernels only; such a
    call ends the process.
    """
    return cast("Callable[Parameters, Answer]", getattr(function, "py_func", function))


def _declare(
    function: Callable[Parameters, Answer], **options: object
) -> Callable[Parameters, Answer]:
    if _plain:
        return function
    from numba import njit

    from engine.domain import array_tuples, kernel_compiler

    array_tuples.install()
    kernel_compiler.ask_once()
    compiler: Any = njit  # its stub leaves some options out
    options = {**_OPTIONS, **options, "pipeline_class": kernel_compiler.KernelCompiler}
    compiled = compiler(**options)(function)
    resolve = getattr(compiled, "get_call_template", None)
    if resolve is None:  # NUMBA_DISABLE_JIT
        return function

    def resolve_widened(arguments: Any, named: Any) -> Any:  # noqa: ANN401  Numba's own
        widened = tuple(widen(argument) for argument in arguments)
        return resolve(widened, {name: widen(kind) for name, kind in named.items()})

    compiled.get_call_template = resolve_widened
    return cast("Callable[Parameters, Answer]", compiled)


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
