"""The brain's loop as object files beside the kernel cache, run without importing Numba.

Importing Numba, declaring some 270 kernels and letting its cache find the one that is called costs
a brain more than half of the second it may take to be warm. So what Numba compiled is kept as it
came out of LLVM, in the directory that is named by every kernel source, CPU and version:

        loop.image      one line of JSON: symbol, layout, sizes, checksum | object files

The first holds the symbol; what the others hold was made beside it (`kernel_half`). They are loaded
by llvmlite and called by an address, with what Numba would pass: for a tuple of arrays that of a
table of words (`engine.domain.array_tuples`). `layout` is a hash of the arrays' types. A missing or
damaged file is no image, and the kernels are compiled. An intact image of another layout cannot be
under this name unless a source of the types is missing from it: that is a programmer's error. An
image is written only after it ran.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ringbuffer.errors import InvariantError

if TYPE_CHECKING:
    from engine.domain.link_once import MachineCode

FILE_NAME: Final = "loop.image"
HEADER: Final = ("symbol", "layout", "sizes", "sha256")

Call = Callable[[int], int]  # slice_ns to a SliceEnd


class Part(Protocol):
    """A function below an exported kernel, made into machine code by another process."""

    kept: str  # the hash under which its code is kept (`link_once`); "" if there is none
    symbol: str

    def machine_code(self) -> MachineCode | None:
        """Wait for it and return it; None if it was not made."""


class LoopImage:
    """Machine code of `brain_loop.run_slice`, loaded into this process."""

    def __init__(self, symbol: str, layout: str, codes: Sequence[bytes]) -> None:
        """Load the object files; the code lives as long as this object."""
        self.symbol = symbol
        self.layout = layout
        self.codes = codes
        self._engine = _load(codes)
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
        code = b"".join(self.codes)
        told = (self.symbol, self.layout, [len(it) for it in self.codes], _sha256(code))
        header = dict(zip(HEADER, told, strict=True))
        unfinished = directory / f"{FILE_NAME}.{os.getpid()}"
        unfinished.write_bytes(json.dumps(header).encode() + b"\n" + code)
        unfinished.replace(directory / FILE_NAME)


def read(directory: Path) -> LoopImage | None:
    """Return the image of a directory; None when there is none or it is damaged."""
    try:
        header, _, code = (directory / FILE_NAME).read_bytes().partition(b"\n")
        found = json.loads(header)
        symbol, layout, sizes, checksum = (found[name] for name in HEADER)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if checksum != _sha256(code):
        return None
    ends = list(accumulate(sizes))
    codes = [code[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    return LoopImage(symbol, layout, codes)


def compile_for(
    kernel: Callable[..., int], *arguments: object, part: Part | None = None
) -> LoopImage:
    """Compile an exported kernel for arrays like these and one number; imports Numba.

    Args:
        kernel: declared by `exported`.
        arguments: arrays and tuples of them.
        part: of what it calls, made into machine code by another process.

    Raises:
        InvariantError: it calls what only a process with Numba has.
    """
    from numba import typeof

    from engine.domain import link_once
    from engine.domain.kernel import inner_of

    dispatcher = inner_of(kernel)
    kinds = tuple(typeof(argument) for argument in (*arguments, 0))  # type: ignore[no-untyped-call]
    dispatcher.compile(kinds)
    compiled = dispatcher.overloads[kinds]
    symbol = compiled.fndesc.llvm_func_name
    codes = [link_once.machine_code(compiled.library, symbol, (part.kept,) if part else ())]
    defined: set[str] = set()
    if part is not None and part.symbol in codes[0].lacks:
        other = part.machine_code()
        if other is None:
            codes = [link_once.machine_code(compiled.library, symbol)]
        else:
            codes.append(other)
            defined.add(part.symbol)
    _require_known(it for code in codes for it in code.lacks if it not in defined)
    return LoopImage(symbol, layout_of(arguments), [it.code for it in codes])


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


def _load(codes: Iterable[bytes]) -> Any:  # noqa: ANN401  llvmlite has no types
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        codemodel="jitdefault", jit=True
    )
    # In one block of memory: objects call what is near (`link_once`).
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine, use_lmm=True)
    for code in codes:
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def _sha256(code: bytes) -> str:
    return hashlib.sha256(code).hexdigest()
