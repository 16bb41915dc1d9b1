"""LLVM atomics, fences, clock and futex calls, emitted in place in Numba kernels.

Kernels import these names from `atomics.py`, which falls back to C when the compiler is off. Each
takes int64 addresses on trust; the caller states what the access pairs with. They cache on disk
with the kernel that uses them, and need no symbol beyond libc.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ringbuffer.layout import CLOCK_SHIFT

MACHINE: Final = platform.machine()
SYS_FUTEX: Final = 202 if MACHINE == "x86_64" else 98
FUTEX_WAIT: Final = 0
FUTEX_WAKE: Final = 1
CLOCK_MONOTONIC: Final = 1
NS_PER_S: Final = 1_000_000_000

Builder: TypeAlias = ir.IRBuilder
Value: TypeAlias = ir.Value
Values: TypeAlias = Sequence[ir.Value]
Generator: TypeAlias = Callable[[object, ir.IRBuilder, object, Sequence[ir.Value]], ir.Value]
Context: TypeAlias = Any  # Numba's compiler context and call signature, which have no types
Signature: TypeAlias = Any
Typed: TypeAlias = tuple[object, Generator]  # a Numba signature, and what emits its code

# WHY: the library's own types leave these two functions undeclared.
_insert_function: Any = cgutils.get_or_insert_function
_allocate: Any = cgutils.alloca_once

_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_I128 = ir.IntType(128)
_BYTES = ir.PointerType(ir.IntType(8))
NOTHING: Final = ir.Constant(_BYTES, None)  # Numba's None


def _pointer(builder: Builder, address: Value, word: ir.IntType) -> Value:
    return builder.inttoptr(address, ir.PointerType(word))


def _load(order: str, word: ir.IntType, size_bytes: int) -> Generator:
    def generate(_context: object, builder: Builder, _signature: object, values: Values) -> Value:
        pointer = _pointer(builder, values[0], word)
        loaded = builder.load_atomic(pointer, order, size_bytes, typ=word)
        return loaded if word is _I64 else builder.zext(loaded, _I64)

    return generate


def _store(order: str, word: ir.IntType, size_bytes: int) -> Generator:
    def generate(_context: object, builder: Builder, _signature: object, values: Values) -> Value:
        number = values[1] if word is _I64 else builder.trunc(values[1], word)
        builder.store_atomic(number, _pointer(builder, values[0], word), order, size_bytes)
        return NOTHING

    return generate


def _fence(order: str) -> Generator:
    def generate(_context: object, builder: Builder, _signature: object, _values: Values) -> Value:
        builder.fence(order)
        return NOTHING

    return generate


def _call(builder: Builder, name: str, *arguments: Value) -> Value:
    """Call a libc function whose arguments and result are 64 bits wide."""
    signature = ir.FunctionType(_I64, [_I64] * len(arguments))
    function = _insert_function(builder.module, signature, name)
    return builder.call(function, list(arguments))


def _timespec(builder: Builder) -> tuple[Value, Value, Value]:
    """Return two stack words and the address of the pair."""
    pair = _allocate(builder, ir.ArrayType(_I64, 2))
    zero, one = _I32(0), _I32(1)
    return (
        builder.gep(pair, [zero, zero], inbounds=True),
        builder.gep(pair, [zero, one], inbounds=True),
        builder.ptrtoint(pair, _I64),
    )


@intrinsic
def load_acquire(_typing: object, _address: object) -> Typed:
    """Load the int64 at an address, acquire."""
    return types.int64(types.int64), _load("acquire", _I64, 8)


@intrinsic
def load_relaxed(_typing: object, _address: object) -> Typed:
    """Load the int64 at an address, relaxed."""
    return types.int64(types.int64), _load("monotonic", _I64, 8)


@intrinsic
def store_release(_typing: object, _address: object, _number: object) -> Typed:
    """Store an int64 at an address, release."""
    return types.void(types.int64, types.int64), _store("release", _I64, 8)


@intrinsic
def store_relaxed(_typing: object, _address: object, _number: object) -> Typed:
    """Store an int64 at an address, relaxed."""
    return types.void(types.int64, types.int64), _store("monotonic", _I64, 8)


@intrinsic
def load32_relaxed(_typing: object, _address: object) -> Typed:
    """Load the uint32 at an address, relaxed, widened to int64."""
    return types.int64(types.int64), _load("monotonic", _I32, 4)


@intrinsic
def store32_relaxed(_typing: object, _address: object, _number: object) -> Typed:
    """Store the low half of an int64 at an address, relaxed."""
    return types.void(types.int64, types.int64), _store("monotonic", _I32, 4)


@intrinsic
def fence_acquire(_typing: object) -> Typed:
    """Keep earlier loads before later loads and stores."""
    return types.void(), _fence("acquire")


@intrinsic
def fence_release(_typing: object) -> Typed:
    """Keep earlier loads and stores before later stores."""
    return types.void(), _fence("release")


@intrinsic
def fence_seq_cst(_typing: object) -> Typed:
    """Keep everything earlier before everything later."""
    return types.void(), _fence("seq_cst")


@intrinsic
def address_of(_typing: object, array: types.Type) -> Typed:
    """Return the address of an array's first element; valid while the caller holds the array."""

    def generate(context: Context, builder: Builder, signature: Signature, values: Values) -> Value:
        layout = context.make_array(signature.args[0])(context, builder, values[0])
        return builder.ptrtoint(layout.data, _I64)

    return types.int64(array), generate


@intrinsic
def call_at(_typing: object, _function: object, _first: object, _second: object) -> Typed:
    """Call a C function of two int64 by its address; return its int64."""

    def generate(_context: object, builder: Builder, _signature: object, values: Values) -> Value:
        kind = ir.FunctionType(_I64, [_I64, _I64])
        function = builder.inttoptr(values[0], ir.PointerType(kind))
        return builder.call(function, [values[1], values[2]])

    return types.int64(types.int64, types.int64, types.int64), generate


@intrinsic
def pause(_typing: object) -> Typed:
    """Tell the core that this is a spin loop."""

    def generate(_context: object, builder: Builder, _signature: object, _values: Values) -> Value:
        none = ir.FunctionType(ir.VoidType(), [])
        hint = ir.FunctionType(ir.VoidType(), [_I32])
        if MACHINE == "x86_64":
            builder.call(builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), none), [])
        elif MACHINE == "aarch64":
            yield_hint = builder.module.declare_intrinsic("llvm.aarch64.hint", (), hint)
            builder.call(yield_hint, [_I32(1)])
        return NOTHING

    return types.void(), generate


@intrinsic
def prefetch(_typing: object, _address: object) -> Typed:
    """Ask for the cache line of an address, to be written; any address will do."""

    def generate(_context: object, builder: Builder, _signature: object, values: Values) -> Value:
        kind = ir.FunctionType(ir.VoidType(), [_BYTES, _I32, _I32, _I32])
        hint = builder.module.declare_intrinsic("llvm.prefetch", (_BYTES,), kind)
        will_write, keep, is_data = _I32(1), _I32(3), _I32(1)
        builder.call(hint, [builder.inttoptr(values[0], _BYTES), will_write, keep, is_data])
        return NOTHING

    return types.void(types.int64), generate


@intrinsic
def cycles(_typing: object) -> Typed:
    """Read the time-stamp counter on x86-64; 0 elsewhere."""

    def generate(_context: object, builder: Builder, _signature: object, _values: Values) -> Value:
        if MACHINE != "x86_64":
            return _I64(0)
        counter = ir.FunctionType(_I64, [])
        return builder.call(
            builder.module.declare_intrinsic("llvm.readcyclecounter", (), counter), []
        )

    return types.int64(), generate


@intrinsic
def scale(_typing: object, _delta: object, _multiplier: object) -> Typed:
    """Return delta * multiplier >> CLOCK_SHIFT through 128 bits."""

    def generate(_context: object, builder: Builder, _signature: object, values: Values) -> Value:
        wide = [builder.sext(value, _I128) for value in values]
        product = builder.mul(wide[0], wide[1])
        return builder.trunc(builder.ashr(product, _I128(CLOCK_SHIFT)), _I64)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def monotonic_ns(_typing: object) -> Typed:
    """Read CLOCK_MONOTONIC in nanoseconds."""

    def generate(_context: object, builder: Builder, _signature: object, _values: Values) -> Value:
        seconds, rest, address = _timespec(builder)
        _call(builder, "clock_gettime", _I64(CLOCK_MONOTONIC), address)
        whole = builder.mul(builder.load(seconds, typ=_I64), _I64(NS_PER_S))
        return builder.add(whole, builder.load(rest, typ=_I64))

    return types.int64(), generate


@intrinsic
def futex_wait(_typing: object, _address: object, _expected: object, _timeout_ns: object) -> Typed:
    """Sleep while the uint32 at an address has the expected value, at most timeout_ns >= 0."""

    def generate(_context: object, builder: Builder, _signature: object, values: Values) -> Value:
        seconds, rest, timeout = _timespec(builder)
        builder.store(builder.sdiv(values[2], _I64(NS_PER_S)), seconds)
        builder.store(builder.srem(values[2], _I64(NS_PER_S)), rest)
        call = (_I64(SYS_FUTEX), values[0], _I64(FUTEX_WAIT), values[1], timeout)
        return _call(builder, "syscall", *call, _I64(0), _I64(0))

    return types.int64(types.int64, types.int64, types.int64), generate


@intrinsic
def futex_wake(_typing: object, _address: object, _reader_count: object) -> Typed:
    """Wake at most reader_count sleepers; return how many."""

    def generate(_context: object, builder: Builder, _signature: object, values: Values) -> Value:
        call = (_I64(SYS_FUTEX), values[0], _I64(FUTEX_WAKE), values[1])
        return _call(builder, "syscall", *call, _I64(0), _I64(0), _I64(0))

    return types.int64(types.int64, types.int64), generate


@intrinsic
def ring_doorbell(_typing: object, _descriptor: object) -> Typed:
    """Add 1 to an eventfd, which wakes the event loop that watches it."""

    def generate(_context: object, builder: Builder, _signature: object, values: Values) -> Value:
        return _call(builder, "eventfd_write", values[0], _I64(1))

    return types.int64(types.int64), generate


@intrinsic
def yield_core(_typing: object) -> Typed:
    """Let another runnable thread have this core; returns at once where there is none."""

    def generate(_context: object, builder: Builder, _signature: object, _values: Values) -> Value:
        return _call(builder, "sched_yield")

    return types.int64(), generate
