"""Shared-memory segments: create, attach, close, unlink, and find what dead engines left.

Built on `multiprocessing.shared_memory`, with one difference: no segment is ever given to the
resource tracker, which on Python 3.11 and 3.12 would unlink it under everyone as soon as one
independent process that attached exits. Instead every segment names its owner (pid and start
time) in its header; `find_stale` recognises segments whose owner is dead, so that a caller may
drain their event rings before it unlinks them.

This module knows the 64-byte prefix and nothing about what lies behind it.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import threading
import time
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from native_ext import _native
from ringbuffer import layout
from ringbuffer.errors import (
    SegmentBusyError,
    SegmentError,
    SegmentExistsError,
    SegmentGenerationError,
    SegmentLayoutError,
    SegmentMissingError,
    SegmentSpaceError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sized
    from types import TracebackType

SHM_FOLDER: Final = Path("/dev/shm")  # noqa: S108  # the kernel's POSIX shared-memory mount
UNFINISHED_AGE_S: Final = 5.0  # a header is complete within microseconds of its file
_PREFIX = struct.Struct("<QIIqqqqqq")
_SPACE_REMEDY: Final = (
    "free it (ls -l /dev/shm), or give it more: docker run --shm-size=256m; ECS linuxParameters."
    "sharedMemorySize; Kubernetes an emptyDir of medium Memory on /dev/shm; on a host "
    "mount -o remount,size=256m /dev/shm"
)
_tracker_lock = threading.Lock()


class Prefix(NamedTuple):
    """The 64 bytes at the start of every segment; see `layout.py`."""

    magic: int
    kind: int
    version: int
    size_bytes: int
    generation: int
    owner_pid: int
    owner_start_ticks: int
    created_realtime_ns: int
    created_mono_ns: int


class StaleSegment(NamedTuple):
    """A segment whose owner is dead. `prefix` is None when it died before writing the header."""

    name: str
    prefix: Prefix | None


class _Anonymous:
    """Private memory with the face of SharedMemory, for rings between threads of one process."""

    def __init__(self, name: str, size_bytes: int) -> None:
        self.name = name
        self._mmap = mmap.mmap(-1, size_bytes)
        self.buf = memoryview(self._mmap)

    def close(self) -> None:
        """Give the memory back; raises BufferError while a view is alive, and nothing changed."""
        self.buf.release()
        try:
            self._mmap.close()
        except BufferError:
            self.buf = memoryview(self._mmap)
            raise


class _Mapping(SharedMemory):
    """SharedMemory that leaves names alone and is silent when collected with views alive."""

    def unlink(self) -> None:
        """Keep the name: on Python 3.11 a failed attach would remove the creator's segment."""

    def __del__(self) -> None:
        with suppress(BufferError, OSError):
            self.close()


@contextmanager
def _untracked(name: str) -> Iterator[None]:
    """Keep the resource tracker out of what SharedMemory does with one name meanwhile.

    Python 3.13 has `track=False`; before it, registration is a call that cannot be switched off,
    and unregistering afterwards is wrong for children of multiprocessing, which share a tracker.
    """
    tracked_name = f"/{name}"
    with _tracker_lock:
        register = resource_tracker.register

        def register_others(name: Sized, rtype: str) -> None:
            if (name, rtype) != (tracked_name, "shared_memory"):
                register(name, rtype)

        resource_tracker.register = register_others
        try:
            yield
        finally:
            resource_tracker.register = register


def _open(name: str, *, size_bytes: int = 0) -> _Mapping:
    create = size_bytes > 0
    if sys.version_info >= (3, 13):
        return _Mapping(name, create=create, size=size_bytes, track=False)
    with _untracked(name):
        return _Mapping(name, create=create, size=size_bytes)


def owner_alive(pid: int, start_ticks: int) -> bool:
    """Return whether the process with this pid is the one that started at `start_ticks`."""
    return pid > 0 and _native.process_start_ticks(pid) == start_ticks


def _space_error(name: str, needed_bytes: int, available_bytes: int) -> SegmentSpaceError:
    message = (
        f"shared memory for {name!r} needs {needed_bytes:,} bytes and {SHM_FOLDER} has "
        f"{available_bytes:,}: {_SPACE_REMEDY}"
    )
    return SegmentSpaceError(message, needed_bytes, available_bytes)


def available_bytes() -> int:
    """Return how many bytes of shared memory this process may still reserve."""
    volume = os.statvfs(SHM_FOLDER)
    return volume.f_bavail * volume.f_frsize


def _reserve(name: str, size_bytes: int) -> None:
    """Reserve the pages, so that no later store can fail with SIGBUS."""
    descriptor = os.open(SHM_FOLDER / name, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
    finally:
        os.close(descriptor)


class Segment:
    """One mapped file in shared memory, with the common prefix.

    Use `create` in the owner and `attach` everywhere else. `buffer` is borrowed memory: it and
    every view made from it are valid until `close`, which refuses while one is alive.
    """

    def __init__(self, mapping: SharedMemory | _Anonymous, *, owner: bool) -> None:
        """Take over a mapping; use `create`, `attach` or `anonymous`."""
        buffer = mapping.buf
        assert buffer is not None, mapping.name
        self._mapping: SharedMemory | _Anonymous | None = mapping
        self.name = mapping.name
        self.owner = owner
        self.size_bytes = len(buffer)
        self.address = _native.address_of(buffer)  # borrowed until `close`

    @classmethod
    def create(cls, name: str, size_bytes: int, *, kind: int, generation: int = 1) -> Self:
        """Create a segment with a complete prefix, its pages reserved and mapped, all zero.

        Args:
            name: file name under `/dev/shm`.
            size_bytes: total size, prefix included.
            kind: one of the KIND_ numbers of `layout`.
            generation: raised by the caller each time it recreates the name.

        Raises:
            SegmentExistsError: the name is taken; the message says whether its owner lives.
            SegmentSpaceError: too little shared memory; the message has the remedy.
        """
        if size_bytes < layout.PREFIX_BYTES:
            message = f"a segment has at least {layout.PREFIX_BYTES} bytes, not {size_bytes}"
            raise ValueError(message)
        if available_bytes() < size_bytes:
            raise _space_error(name, size_bytes, available_bytes())
        try:
            mapping = _open(name, size_bytes=size_bytes)
        except FileExistsError as error:
            raise SegmentExistsError(_describe_taken(name)) from error
        except OSError as error:
            unlink(name)
            message = f"cannot create shared memory {name!r}: {error}"
            raise SegmentError(message) from error
        segment = cls(mapping, owner=True)
        try:
            _reserve(name, size_bytes)
            segment._write_prefix(size_bytes, kind, generation)
        except OSError as error:
            segment.close()
            unlink(name)
            raise _space_error(name, size_bytes, available_bytes()) from error
        return segment

    @classmethod
    def attach(cls, name: str, *, kind: int, generation: int | None = None) -> Self:
        """Map an existing segment and check its prefix.

        Raises:
            SegmentMissingError: no such segment.
            SegmentLayoutError: not ours, of another kind or layout version, or cut short.
            SegmentGenerationError: recreated since `generation` was learned.
        """
        try:
            mapping = _open(name)
        except (FileNotFoundError, ValueError) as error:
            message = f"no shared memory named {name!r}; is the engine running?"
            raise SegmentMissingError(message) from error
        segment = cls(mapping, owner=False)
        try:
            segment._check(kind, generation)
        except SegmentError:
            segment.close()
            raise
        _native.prefault(segment.buffer)
        return segment

    @classmethod
    def anonymous(cls, name: str, size_bytes: int, *, kind: int) -> Self:
        """Create a segment that has no file: only threads of this process can use it.

        `name` is for messages. It goes with the process, so `unlink` finds nothing to remove.
        """
        segment = cls(_Anonymous(name, size_bytes), owner=True)
        segment._write_prefix(size_bytes, kind, 1)
        return segment

    def _write_prefix(self, size_bytes: int, kind: int, generation: int) -> None:
        buffer = self.buffer
        _native.prefault(buffer)
        pid = os.getpid()
        _PREFIX.pack_into(
            buffer,
            0,
            0,
            kind,
            layout.LAYOUT_VERSION,
            size_bytes,
            generation,
            pid,
            _native.process_start_ticks(pid),
            time.time_ns(),
            time.monotonic_ns(),
        )

    def seal(self) -> None:
        """Store the magic word: the header is complete and others may attach. Owner only."""
        # MEMORY: release; publishes the prefix and whatever the kind adds to it. Pairs with the
        # acquire in aegis_ring_attach and in Segment.attach.
        _native.store_release(self.address + layout.OFFSET_MAGIC, layout.MAGIC)

    def _check(self, kind: int, generation: int | None) -> None:
        if self.size_bytes < layout.PREFIX_BYTES:
            message = f"{self.name!r} is cut short"
            raise SegmentLayoutError(message)
        # MEMORY: acquire; pairs with the release in Segment.seal.
        magic = _native.load_acquire(self.address + layout.OFFSET_MAGIC)
        prefix = self.prefix
        if magic != layout.MAGIC:
            message = f"{self.name!r} has no finished header (magic {magic:#x})"
            raise SegmentLayoutError(message)
        if (prefix.kind, prefix.version) != (kind, layout.LAYOUT_VERSION):
            message = (
                f"{self.name!r} has kind {prefix.kind} and layout version {prefix.version}; "
                f"expected {kind} and {layout.LAYOUT_VERSION}"
            )
            raise SegmentLayoutError(message)
        if prefix.size_bytes > self.size_bytes:
            message = f"{self.name!r} has {self.size_bytes} of {prefix.size_bytes} bytes"
            raise SegmentLayoutError(message)
        if generation is not None and prefix.generation != generation:
            message = f"{self.name!r} has generation {prefix.generation}, expected {generation}"
            raise SegmentGenerationError(message)

    @property
    def buffer(self) -> memoryview:
        """The mapped bytes; borrowed until `close`."""
        buffer = None if self._mapping is None else self._mapping.buf
        if buffer is None:
            message = f"segment {self.name!r} is closed"
            raise SegmentError(message)
        return buffer

    @property
    def prefix(self) -> Prefix:
        """A copy of the header."""
        return Prefix._make(_PREFIX.unpack_from(self.buffer))

    @property
    def owner_pid(self) -> int:
        """The process that created the segment."""
        return self.prefix.owner_pid

    def close(self) -> None:
        """Unmap. A second call does nothing.

        Raises:
            SegmentBusyError: a view of the memory is still alive; nothing was unmapped.
        """
        if self._mapping is None:
            return
        try:
            self._mapping.close()
        except BufferError as error:
            message = f"views of segment {self.name!r} are alive; drop them before close()"
            raise SegmentBusyError(message) from error
        self._mapping = None

    def unlink(self) -> None:
        """Remove the name; processes that have it mapped keep the memory until they unmap."""
        unlink(self.name)

    def __enter__(self) -> Self:
        """Return the segment itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close, and unlink when this process created it."""
        self.close()
        if self.owner:
            self.unlink()


def unlink(name: str) -> bool:
    """Remove a segment's name; return False when there is none."""
    try:
        (SHM_FOLDER / name).unlink()
    except FileNotFoundError:
        return False
    return True


def read_prefix(name: str) -> Prefix | None:
    """Return a segment's header without mapping it, or None when it is missing or unfinished."""
    try:
        with (SHM_FOLDER / name).open("rb") as file:
            head = file.read(layout.PREFIX_BYTES)
    except OSError:
        return None
    if len(head) < layout.PREFIX_BYTES:
        return None
    prefix = Prefix._make(_PREFIX.unpack(head))
    return prefix if prefix.magic == layout.MAGIC else None


def _describe_taken(name: str) -> str:
    prefix = read_prefix(name)
    if prefix is None:
        return f"shared memory {name!r} exists and is not a finished segment of this engine"
    if owner_alive(prefix.owner_pid, prefix.owner_start_ticks):
        return f"shared memory {name!r} belongs to process {prefix.owner_pid}, which is running"
    return f"shared memory {name!r} was left by process {prefix.owner_pid}, which is dead"


def find_stale(prefix: str) -> list[StaleSegment]:
    """Return the segments under a name prefix whose owner is dead; removes nothing.

    The caller drains what must not be lost (event rings) and then calls `unlink`. Segments of
    living owners are not listed. A file without a finished header counts once it is
    `UNFINISHED_AGE_S` old, because its creator may be between two instructions.
    """
    found = []
    for path in sorted(SHM_FOLDER.glob(f"{prefix}*")):
        header = read_prefix(path.name)
        if header is not None:
            if not owner_alive(header.owner_pid, header.owner_start_ticks):
                found.append(StaleSegment(path.name, header))
            continue
        with suppress(FileNotFoundError):
            # Made in what is the future now: the machine's clock was set back since.
            if abs(time.time() - path.stat().st_mtime) > UNFINISHED_AGE_S:
                found.append(StaleSegment(path.name, None))
    return found
