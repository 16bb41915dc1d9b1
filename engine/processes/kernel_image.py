"""The brain's loop as one object file beside the kernel cache, run without importing Numba.

Importing Numba, declaring some 270 kernels and letting its cache find the one that is called costs
a brain more than half of the second it may take to be warm. So what Numba compiled is kept as it
came out of LLVM, in the directory that is named by every kernel source, CPU and version:

        loop.image      one line of JSON: symbol, layout, checksum | the object file

The object is loaded by llvmlite and called by its address, with what Numba would pass: for a tuple
of arrays the address of a table of words (`engine.domain.array_tuples`). `layout` is a hash of the
arrays' types. A missing or damaged file is no image, and the kernels are compiled. An intact image
of another layout cannot be under this name unless a source of the types is missing from it: that is
a programmer's error. An image is written only after it ran.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ringbuffer.errors import InvariantError

FILE_NAME: Final = "loop.image"
HEADER: Final = ("symbol", "layout", "sha256")

Call = Callable[[int], int]  # slice_ns to a SliceEnd


class LoopImage:
    """Machine code of `brain_loop.run_slice`, loaded into this process."""

    def __init__(self, symbol: str, layout: str, code: bytes) -> None:
        """Load the object file; the code lives as long as this object."""
        self.symbol = symbol
        self.layout = layout
        self.code = code
        self._engine = _load(code)
        self._address = int(self._engine.get_function_address(symbol))
        if self._address == 0:
            raise InvariantError(f"the kernel image has no function {symbol}")

    def bind(self, *arguments: object) -> Call:
        """Return the loop over these arguments, whose arrays the caller keeps alive.

        Raises:
            InvariantError: the arguments are not those the image was compiled for.
        """
        layout = layout_of(arguments)
        if layout != self.layout:
            raise InvariantError(f"kernel image of layout {self.layout}, arguments of {layout}")
        answer, error = ctypes.c_int64(), ctypes.c_void_p()
        fixed = [ctypes.pointer(answer), ctypes.pointer(error)]
        for argument in arguments:
            fixed += passed(argument)
        kinds = [ctypes.c_int64 if isinstance(it, int) else ctypes.c_void_p for it in fixed]
        # The call gives up the GIL, as the kernel would.
        made = ctypes.CFUNCTYPE(ctypes.c_int32, *kinds, ctypes.c_int64)
        function = made(self._address)

        def call(slice_ns: int) -> int:
            status = function(*fixed, slice_ns)
            if status != 0:
                raise InvariantError(f"the kernel loop ended with status {status}")
            return answer.value

        return call

    def save(self, directory: Path) -> None:
        """Write the image; a reader finds all of it or nothing."""
        header = dict(zip(HEADER, (self.symbol, self.layout, _sha256(self.code)), strict=True))
        unfinished = directory / f"{FILE_NAME}.{os.getpid()}"
        unfinished.write_bytes(json.dumps(header).encode() + b"\n" + self.code)
        unfinished.replace(directory / FILE_NAME)


def read(directory: Path) -> LoopImage | None:
    """Return the image of a directory; None when there is none or it is damaged."""
    try:
        header, _, code = (directory / FILE_NAME).read_bytes().partition(b"\n")
        found = json.loads(header)
        symbol, layout, checksum = (found[name] for name in HEADER)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return LoopImage(symbol, layout, code) if checksum == _sha256(code) else None


def compile_for(kernel: Callable[..., int], *arguments: object) -> LoopImage:
    """Compile an exported kernel for arrays like these and one number; imports Numba.

    Raises:
        InvariantError: it calls what only a process with Numba has.
    """
    import llvmlite.binding as llvm
    from numba import typeof

    from engine.domain.kernel import inner_of

    dispatcher = inner_of(kernel)
    kinds = tuple(typeof(argument) for argument in (*arguments, 0))  # type: ignore[no-untyped-call]
    dispatcher.compile(kinds)
    compiled = dispatcher.overloads[kinds]
    library = compiled.library
    library.get_pointer_to_function(compiled.fndesc.llvm_func_name)  # machine code, from here on
    module = llvm.parse_assembly(library.get_llvm_str())
    _require_known(function.name for function in module.functions if function.is_declaration)
    _, _, (code, _) = library.serialize_using_object_code()
    return LoopImage(compiled.fndesc.llvm_func_name, layout_of(arguments), code)


def leaves(argument: object) -> Iterator[Any]:
    """Yield the arrays of an argument in the order of its fields."""
    if isinstance(argument, tuple):
        for field in argument:
            yield from leaves(field)
    else:
        assert isinstance(argument, np.ndarray), f"not an array: {type(argument)}"
        yield argument


def table_of(argument: tuple[Any, ...]) -> list[int]:
    """Return the words that say where the arrays of a tuple lie, as `array_tuples` reads them."""
    arrays = [it for it in argument if not isinstance(it, tuple)]
    words = [array.ctypes.data for array in arrays]
    for array in arrays:
        words += (array.size, *array.shape, *array.strides)
    for part in argument:
        words += table_of(part) if isinstance(part, tuple) else ()
    return words


def passed(argument: Any) -> list[Any]:  # noqa: ANN401  an array, or a tuple of such
    """Return what stands for an argument in a call: an array's words, a table's address."""
    if isinstance(argument, tuple):
        words = table_of(argument)
        return [(ctypes.c_int64 * len(words))(*words)]
    head = (0, 0, argument.size, argument.itemsize, argument.ctypes.data)
    return [*head, *argument.shape, *argument.strides]


def layout_of(arguments: Sequence[object]) -> str:
    """Return a hash of everything about the arguments that compiled code was built on."""
    digest = hashlib.sha256()
    for argument in arguments:
        for array in leaves(argument):
            digest.update(f"{array.dtype!r} {array.ndim} {_order(array)}\n".encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _order(array: NDArray[Any]) -> str:
    return f"{array.flags.c_contiguous} {array.flags.aligned}"


def _require_known(names: Iterable[str]) -> None:
    # LLVM ends the process that loads an object whose symbols it cannot find, so none may be
    # Numba's own: a process without Numba has no such symbol.
    known = ctypes.CDLL(None)
    foreign = [name for name in names if not (name.startswith("llvm.") or hasattr(known, name))]
    if foreign:
        raise InvariantError(f"kernels call what only Numba has: {', '.join(foreign)}")


def _load(code: bytes) -> Any:  # noqa: ANN401  llvmlite has no types
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        codemodel="jitdefault", jit=True
    )
    # As Numba does: LLVM's own memory may lie too far apart for calls on aarch64.
    engine = llvm.create_mcjit_compiler(
        llvm.parse_assembly(""), machine, use_lmm=platform.machine() == "aarch64"
    )
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def _sha256(code: bytes) -> str:
    return hashlib.sha256(code).hexdigest()
