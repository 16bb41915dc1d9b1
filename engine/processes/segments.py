"""The segments of one engine: created by main, found again after a crash, removed at the end.

        control        words          market               64 B x 262,144   16.0 MiB
        counters       pages          events-brain        256 B x 32,768     8.0 MiB
        instruments    rows           events-feed         256 B x 4,096      1.0 MiB
        sources        a page of text events-orchestrator 256 B x 4,096      1.0 MiB
        depth          a whole book   control-ring        256 B x 1,024      0.25 MiB
        executions     a page of text features          3,072 B x 1,024      3.0 MiB
        routes         a page of text

At 100,000 records a second the market ring holds 2.6 s. The sum stays below the 64 MB of shared
memory that container runtimes give by default. Standard library and ringbuffer only.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from engine.domain.codes import VECTOR_SLOT_BYTES
from engine.domain.instrument_row import SEGMENT_CAPACITY_OFFSET, segment_bytes
from engine.file_lock import try_lock
from engine.processes.board import BOARD_BYTES
from engine.processes.control import CONTROL_BYTES, ControlSegment, segment_name
from engine.processes.depth_page import DEPTH_BYTES
from engine.store.instrument_segment import KIND_INSTRUMENTS
from ringbuffer import layout
from ringbuffer.counters import CountersSegment
from ringbuffer.errors import SegmentError
from ringbuffer.ring import Ring
from ringbuffer.segment import Segment, find_stale, owner_alive, read_prefix, unlink

KIND_BOARD = 17
KIND_DEPTH = 18
COUNTER_PAGES = 4  # main, feed, brain, orchestrator

MARKET_SLOTS = 262_144
READER_BRAIN = 0  # of the market ring and the control ring
READER_RECORDER = 1  # of the market ring
READER_ORCHESTRATOR = 1  # of the control ring
READER_JOURNAL = 0  # of every event ring, and of the features ring

RING_ROWS: tuple[tuple[str, int, int, tuple[int, ...]], ...] = (
    # kind, slots, slot bytes, gating readers
    ("events-feed", 4_096, 256, (READER_JOURNAL,)),
    ("events-brain", 32_768, 256, (READER_JOURNAL,)),
    ("events-orchestrator", 4_096, 256, (READER_JOURNAL,)),
    ("control-ring", 1_024, 256, (READER_BRAIN, READER_ORCHESTRATOR)),
    ("market", MARKET_SLOTS, 64, (READER_BRAIN, READER_RECORDER)),
    ("features", 1_024, VECTOR_SLOT_BYTES, (READER_JOURNAL,)),
)
# Beside the rings.
FIXED_KINDS = ("control", "counters", "instruments", "sources", "depth", "executions", "routes")


class EngineRunningError(Exception):
    """Another engine runs under this instance name; the message names its process."""


class Segments(NamedTuple):
    """Everything main maps."""

    control: ControlSegment
    counters: CountersSegment
    instruments: Segment
    sources: Segment
    depth: Segment
    executions: Segment
    routes: Segment
    rings: dict[str, Ring]

    @property
    def bytes_total(self) -> int:
        """Return how much shared memory the engine reserved."""
        sizes = [ring.segment.prefix.size_bytes for ring in self.rings.values()]
        texts = (self.instruments, self.sources, self.depth, self.executions, self.routes)
        fixed = (self.control.segment, self.counters.segment, *texts)
        return sum(sizes) + sum(segment.prefix.size_bytes for segment in fixed)


class InstanceLock:
    """One engine per instance name: an flock that the kernel drops with the process."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            EngineRunningError: another process holds it.
        """
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise _running(path.stem, holder or "unknown") from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Drop the lock; the file stays, because removing it would race with the next engine."""
        os.close(self._descriptor)


def lock_holder(path: Path) -> str:
    """Return the process that holds an instance's lock, as text; empty: nobody does.

    Raises:
        OSError: the file is not ours to read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        if not try_lock(descriptor, shared=True):
            return os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
    finally:
        os.close(descriptor)
    return ""


def home_of_dead(instance: str) -> Path | None:
    """Return AEGIS_HOME of a dead engine of this name whose segments are left; None: unknown."""
    name = segment_name(instance, "control")
    header = read_prefix(name)
    if header is None or owner_alive(header.owner_pid, header.owner_start_ticks):
        return None
    try:
        control = ControlSegment(Segment.attach(name, kind=layout.KIND_CONTROL))
    except SegmentError:
        return None
    try:
        return control.home()
    finally:
        control.close()


def dead_instances(home: Path) -> list[str]:
    """Return the names of dead engines whose segments are left and whose AEGIS_HOME this is."""
    before, after = segment_name("*", "control").split("*")
    left = (segment.name for segment in find_stale(before))
    names = [n.removeprefix(before).removesuffix(after) for n in left if n.endswith(after)]
    return [name for name in names if home_of_dead(name) == home]


def remove_stale(instance: str, drain: Callable[[str], object]) -> int:
    """Drain and remove what a dead engine of this instance name left; return how many segments.

    Args:
        instance: the instance name.
        drain: called with the name of each stale event ring, and the features ring, before it is
            removed.

    Raises:
        EngineRunningError: a segment belongs to a process that lives.
    """
    prefix = segment_name(instance, "")
    stale = find_stale(prefix)
    # Events first: whatever the dead engine recorded must reach its journal.
    kept = (f"{prefix}events-", f"{prefix}features")
    for segment in stale:
        if segment.prefix is not None and segment.name.startswith(kept):
            drain(segment.name)
    for segment in stale:
        unlink(segment.name)
    refuse_living(instance)
    return len(stale)


def refuse_living(instance: str) -> None:
    """Let nobody start under the name of an engine that lives, whatever its home.

    Raises:
        EngineRunningError: its control segment belongs to a process that lives.
    """
    header = read_prefix(segment_name(instance, "control"))
    if header is not None and owner_alive(header.owner_pid, header.owner_start_ticks):
        raise _running(instance, str(header.owner_pid))


def _running(instance: str, process: str) -> EngineRunningError:
    return EngineRunningError(
        f"an engine named {instance!r} runs already (process {process}); "
        f"stop it with `aegis stop --name {instance}` or choose another --name"
    )


def create(instance: str, generation: int, instruments_max: int, home: Path) -> Segments:
    """Create every segment of an engine.

    Args:
        instance: the instance name.
        generation: another number for every run.
        instruments_max: rows of the instruments segment.
        home: AEGIS_HOME, for whoever finds the segments after our death.

    Raises:
        SegmentError: a name is taken or /dev/shm is too small; what was created is removed.
    """
    try:
        parts = _create(instance, generation, instruments_max)
    except SegmentError:
        remove(instance)
        raise
    parts.control.set_home(home)
    return parts


def _create(instance: str, generation: int, instruments_max: int) -> Segments:
    def name(kind: str) -> str:
        """Return this instance's segment of a kind."""
        return segment_name(instance, kind)

    rings = {
        kind: Ring.create(name(kind), slots, slot_bytes, generation, gating=gating)
        for kind, slots, slot_bytes, gating in RING_ROWS
    }
    instruments = Segment.create(
        name("instruments"),
        segment_bytes(instruments_max),
        kind=KIND_INSTRUMENTS,
        generation=generation,
    )
    capacity = instruments_max.to_bytes(8, "little")
    instruments.buffer[SEGMENT_CAPACITY_OFFSET : SEGMENT_CAPACITY_OFFSET + 8] = capacity
    instruments.seal()
    sources, executions, routes = (
        Segment.create(name(kind), BOARD_BYTES, kind=KIND_BOARD, generation=generation)
        for kind in ("sources", "executions", "routes")
    )
    for board in (sources, executions, routes):
        board.seal()
    depth = Segment.create(name("depth"), DEPTH_BYTES, kind=KIND_DEPTH, generation=generation)
    depth.seal()
    counters = CountersSegment.create(name("counters"), COUNTER_PAGES, generation)
    # The control segment last: a role that finds it finds everything.
    control = Segment.create(
        name("control"), CONTROL_BYTES, kind=layout.KIND_CONTROL, generation=generation
    )
    control.seal()
    pages = (instruments, sources, depth, executions, routes)
    return Segments(ControlSegment(control), counters, *pages, rings)


def remove(instance: str) -> None:
    """Remove every segment of an instance by name; processes that map them keep the memory."""
    kinds = [*FIXED_KINDS, *(row[0] for row in RING_ROWS)]
    for kind in kinds:
        with suppress(OSError):
            unlink(segment_name(instance, kind))
