"""What the orchestrator looks after every second: room on the disk, memory, the journal's bound.

Journals are bounded together: while they exceed `max_bytes` the oldest segment of market records
or drain marks of any session goes, one that was archived before any that was not, never an event
segment and never one that is being written.
Below the floor of free space no new positions are opened, because the next order could not be
recorded.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from engine.store.journal import REPLAY_SOURCES, SEGMENT_SUFFIX, segment_index, source_of
from engine.store.retention import is_archived

DISK_FLOOR_BYTES: Final = 256 << 20  # 40 s of market records at 100,000/s, hours of events
REMOVED_MAX: Final = 16  # files in one look; to remove one of 64 MB takes the file system 10 ms
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


_Row = tuple[bool, int, Path, int]  # the only copy, when it was written, which, bytes


class JournalSize(NamedTuple):
    """What all journals under one home hold."""

    total_bytes: int
    removed_bytes: int
    removed_count: int
    unarchived_count: int  # of them: without a verified copy


def bound_journals(home: Path, max_bytes: int) -> JournalSize:
    """Remove oldest replay segments until all journals fit; return what is left and what went.

    The newest one of each source of a session stays: its writer may be alive. At most REMOVED_MAX
    go in one call.
    """
    sizes: list[_Row] = []
    notes: dict[Path, dict[str, str]] = {}
    newest: dict[tuple[Path, str], int] = {}
    for path in (home / "state").glob(f"*/journal/*/*{SEGMENT_SUFFIX}"):
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        sizes.append((not is_archived(path, notes), stat.st_mtime_ns, path, stat.st_size))
        key = (path.parent, source_of(path))
        newest[key] = max(newest.get(key, 0), segment_index(path))
    total = sum(row[-1] for row in sizes)
    sizes = _in_order(sizes)
    removed_bytes = removed_count = unarchived_count = 0
    for is_only_copy, _, path, size in sizes:
        if total - removed_bytes <= max_bytes or removed_count == REMOVED_MAX:
            break
        source = source_of(path)
        if source in REPLAY_SOURCES and segment_index(path) != newest[path.parent, source]:
            path.unlink(missing_ok=True)
            removed_bytes += size
            removed_count += 1
            unarchived_count += is_only_copy
    return JournalSize(total - removed_bytes, removed_bytes, removed_count, unarchived_count)


def _in_order(rows: list[_Row]) -> list[_Row]:
    """Return segments by age, those of one source by number, however the clock was set meanwhile.

    A gap in the middle of a source would end what reads it.
    """
    written_ns: dict[tuple[Path, str], int] = {}
    found: list[_Row] = []
    for is_only_copy, stamp_ns, path, size in sorted(rows, key=lambda row: row[2], reverse=True):
        key = (path.parent, source_of(path))
        written_ns[key] = min(stamp_ns, written_ns.get(key, stamp_ns))
        found.append((is_only_copy, written_ns[key], path, size))
    return sorted(found)


def free_bytes(directory: Path) -> int:
    """Return what an ordinary user may still write on the file system of a directory."""
    stat = os.statvfs(directory)
    return stat.f_bavail * stat.f_frsize


def resident_bytes(pids: Iterable[int]) -> int:
    """Return the memory of processes together, shared pages counted once each.

    Anonymous pages of all, and the largest shared part of one: the segments are mapped by every
    role and must not count four times. A process that is gone counts 0.
    """
    private, shared_max = 0, 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/statm").read_text("ascii").split()
        except (OSError, ValueError):
            continue
        resident, shared = int(fields[1]), int(fields[2])
        private += resident - shared
        shared_max = max(shared_max, shared)
    return (private + shared_max) * _PAGE_BYTES
