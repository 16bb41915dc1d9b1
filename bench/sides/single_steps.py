"""Counts the instructions that calls run in given code, by stepping through them one at a time.

A child makes the calls and its parent steps it with ptrace: exact, slow, and the same however busy
the machine is. Linux on x86-64.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

STEP, CONTINUE, REGISTERS, TRACE_ME = 9, 7, 12, 0
REGISTER_NAMES: Final = [
    "r15",
    "r14",
    "r13",
    "r12",
    "rbp",
    "rbx",
    "r11",
    "r10",
    "r9",
    "r8",
    "rax",
    "rcx",
    "rdx",
    "rsi",
    "rdi",
    "orig_rax",
    "rip",
    "cs",
    "eflags",
    "rsp",
    "ss",
    "fs_base",
    "gs_base",
    "ds",
    "es",
    "fs",
    "gs",
]
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long

Span = tuple[int, int]  # first address of some code, and the one behind it
Counted = Callable[[str, Sequence[Span], Callable[[], object]], None]


class Count(NamedTuple):
    """What one call ran."""

    name: str
    instructions: int


class _Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in REGISTER_NAMES]


def code_of(path_part: str) -> list[Span]:
    """Return where this process has executable code of files so named; "": of no file (a JIT's)."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        words = line.split(maxsplit=5)
        path = words[5] if len(words) > 5 else ""
        fits = path_part in path if path_part else not path
        if "x" in words[1] and fits:
            first, _, end = words[0].partition("-")
            found.append((int(first, 16), int(end, 16)))
    return found


def count_calls(play: Callable[[Counted], None]) -> list[Count]:
    """Run `play` in a child; return what each call ran that it handed to its argument, in order.

    The argument takes a name, the code that counts, and the call.

    Raises:
        RuntimeError: the child did not come to its end.
    """
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reads)
        _child(play, writes)
    os.close(writes)
    found = []
    with os.fdopen(reads) as lines:
        for line in lines:
            name, spans = json.loads(line)
            if name is None:
                break
            _stopped(pid)
            found.append(Count(name, _steps_within(pid, spans)))
            _ptrace(CONTINUE, pid)
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise RuntimeError(f"what was to be counted ended with status {status}")
    return found


def _child(play: Callable[[Counted], None], writes: int) -> None:
    is_traced = False

    def counted(name: str, spans: Sequence[Span], call: Callable[[], object]) -> None:
        nonlocal is_traced
        if not is_traced:  # not before: a signal, as of a compiler that ended, would stop us
            _ptrace(TRACE_ME, 0)
            is_traced = True
        os.write(writes, json.dumps([name, spans]).encode() + b"\n")
        os.kill(os.getpid(), signal.SIGSTOP)
        call()
        os.kill(os.getpid(), signal.SIGSTOP)

    code = 1
    try:
        play(counted)
        os.write(writes, b"[null, []]\n")
        code = 0
    finally:
        os._exit(code)


def _steps_within(pid: int, spans: Sequence[Span]) -> int:
    """Step the child to its next stop; return how many steps began in the spans."""
    registers, count = _Registers(), 0
    while True:
        _ptrace(STEP, pid)
        if _stopped(pid) == signal.SIGSTOP:
            return count
        _ptrace(REGISTERS, pid, ctypes.addressof(registers))
        count += any(first <= registers.rip < end for first, end in spans)


def _stopped(pid: int) -> int:
    _, status = os.waitpid(pid, 0)
    if not os.WIFSTOPPED(status):
        raise RuntimeError(f"what was to be counted ended with status {status}")
    return os.WSTOPSIG(status)


def _ptrace(request: int, pid: int, data: int = 0) -> None:
    if _libc.ptrace(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), "ptrace is not allowed here")
