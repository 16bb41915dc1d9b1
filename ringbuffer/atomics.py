"""What kernels import: atomic words, fences, clock and futex calls, and the kernel decorator.

Compiled, each name is an LLVM instruction or libc call of `intrinsics.py`, so a kernel that waits
really reads memory each time (plain loads in a loop are hoisted by the compiler). Where kernels
stay plain (`compilation.py`) the same names are the C functions of `native_ext/words.c`, whose
types serve as the declaration of both.

Addresses are int64 and taken on trust: they come from a ring's int64[16] handle. The memory orders
named here are exactly those of C11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from ringbuffer import compilation

if TYPE_CHECKING:
    from collections.abc import Callable

if TYPE_CHECKING or compilation.is_plain():
    from native_ext._native import (
        address_of,
        call_at,
        cycles,
        fence_acquire,
        fence_release,
        fence_seq_cst,
        futex_wait,
        futex_wake,
        load32_relaxed,
        load_acquire,
        load_relaxed,
        monotonic_ns,
        pause,
        prefetch,
        ring_doorbell,
        scale,
        store32_relaxed,
        store_relaxed,
        store_release,
        yield_core,
    )
else:
    from ringbuffer.intrinsics import (
        address_of,
        call_at,
        cycles,
        fence_acquire,
        fence_release,
        fence_seq_cst,
        futex_wait,
        futex_wake,
        load32_relaxed,
        load_acquire,
        load_relaxed,
        monotonic_ns,
        pause,
        prefetch,
        ring_doorbell,
        scale,
        store32_relaxed,
        store_relaxed,
        store_release,
        yield_core,
    )

__all__ = [
    "address_of",
    "call_at",
    "cycles",
    "fence_acquire",
    "fence_release",
    "fence_seq_cst",
    "fused",
    "futex_wait",
    "futex_wake",
    "kernel",
    "load32_relaxed",
    "load_acquire",
    "load_relaxed",
    "monotonic_ns",
    "pause",
    "prefetch",
    "ring_doorbell",
    "scale",
    "store32_relaxed",
    "store_relaxed",
    "store_release",
    "yield_core",
]

Function = TypeVar("Function", bound="Callable[..., Any]")


def kernel(function: Function) -> Function:
    """Compile a kernel the house way: cached on disk, GIL released, numpy's division rules."""
    return _compiled(function)


def fused(function: Function) -> Function:
    """Compile a few hot lines so that they are copied into every kernel that calls them."""
    return _compiled(function, forceinline=True)


def _compiled(function: Function, **options: bool) -> Function:
    if compilation.is_plain():
        return function
    from numba import njit

    compiler: Any = njit  # its stub does not know every option
    declared = compiler(cache=compilation.is_kept(), nogil=True, error_model="numpy", **options)
    compiled: Any = declared(function)
    return cast("Function", compiled)
