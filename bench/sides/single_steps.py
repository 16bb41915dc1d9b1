"""Counts the instructions that calls run in given code, by stepping through them one at a time.

A child makes the calls and its parent steps it with ptrace: exact, slow, and the same however busy
the machine is. What leads to the code runs at full speed, up to a breakpoint at its first
instruction; the steps end when it returns. Linux on x86-64.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

STEP, CONTINUE, REGISTERS, SET_REGISTERS, TRACE_ME = 9, 7, 12, 13, 0
BREAKPOINT = b"\xcc"  # one byte; the instruction pointer stands behind it when it stops
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
Counted = Callable[[str, int, Sequence[Span], Callable[[], object]], None]


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

    The argument takes a name, the address of a function, the code that counts, and a call that
    comes to the function; what runs from there until it returns is counted.

    Raises:
        RuntimeError: the child did not come to its end, or not to the function.
    """
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reads)
        _child(play, writes)
    os.close(writes)
    try:
        with os.fdopen(reads) as lines:
            found = _counts(pid, lines)
        _, status = os.waitpid(pid, 0)
    except BaseException:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)  # else it would stand where it stopped, for ever
            os.waitpid(pid, 0)
        raise
    if status != 0:
        raise RuntimeError(f"what was to be counted ended with status {status}")
    return found


def _counts(pid: int, lines: Iterable[str]) -> list[Count]:
    found = []
    for line in lines:
        name, entry, spans = json.loads(line)
        if name is None:
            break
        _expect(pid, signal.SIGSTOP)
        _run_to(pid, entry)
        found.append(Count(name, _steps_within(pid, spans)))
        _ptrace(CONTINUE, pid)
        _expect(pid, signal.SIGSTOP)
        _ptrace(CONTINUE, pid)
    return found


def _child(play: Callable[[Counted], None], writes: int) -> None:
    is_traced = False

    def counted(name: str, entry: int, spans: Sequence[Span], call: Callable[[], object]) -> None:
        nonlocal is_traced
        if not is_traced:  # not before: a signal, as of a compiler that ended, would stop us
            _ptrace(TRACE_ME, 0)
            is_traced = True
        os.write(writes, json.dumps([name, entry, spans]).encode() + b"\n")
        os.kill(os.getpid(), signal.SIGSTOP)
        call()
        os.kill(os.getpid(), signal.SIGSTOP)

    code = 1
    try:
        play(counted)
        os.write(writes, b"[null, 0, []]\n")
        code = 0
    finally:
        os._exit(code)


def _run_to(pid: int, entry: int) -> None:
    """Let the child run until it comes to an address."""
    memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
    try:
        covered = os.pread(memory, 1, entry)
        os.pwrite(memory, BREAKPOINT, entry)
        _ptrace(CONTINUE, pid)
        _expect(pid, signal.SIGTRAP)
        os.pwrite(memory, covered, entry)
    finally:
        os.close(memory)
    registers = _registers_of(pid)
    registers.rip = entry
    _ptrace(SET_REGISTERS, pid, ctypes.addressof(registers))


def _steps_within(pid: int, spans: Sequence[Span]) -> int:
    """Step the child until the function it stands at returns; return how many steps lie within."""
    registers = _registers_of(pid)
    stack, count = registers.rsp, 0
    while registers.rsp <= stack:
        count += any(first <= registers.rip < end for first, end in spans)
        _ptrace(STEP, pid)
        _expect(pid, signal.SIGTRAP)
        _ptrace(REGISTERS, pid, ctypes.addressof(registers))
    return count


def _registers_of(pid: int) -> _Registers:
    registers = _Registers()
    _ptrace(REGISTERS, pid, ctypes.addressof(registers))
    return registers


def _expect(pid: int, wanted: int) -> None:
    """Wait for the child to stop; it is an error that it stops with another signal."""
    stopped = _stopped(pid)
    if stopped != wanted:
        raise RuntimeError(f"what was to be counted stopped with signal {stopped}, not {wanted}")


def _stopped(pid: int) -> int:
    _, status = os.waitpid(pid, 0)
    if not os.WIFSTOPPED(status):
        raise RuntimeError(f"what was to be counted ended with status {status}")
    return os.WSTOPSIG(status)


def _ptrace(request: int, pid: int, data: int = 0) -> None:
    if _libc.ptrace(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), "ptrace is not allowed here")
