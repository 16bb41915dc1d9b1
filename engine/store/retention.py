"""What of a journal may go, and what was copied away before it does.

A session's `archive.json` names the files of it whose copy in the archive was read back, each with
its SHA-256. A whole session goes only when it ended in order, every file of it is in the archive,
and a later session has taken over what it knew: then nothing here needs it any more.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import msgspec

from engine.domain import typed
from engine.domain.codes import EVENT_APPLIED, EventType
from engine.store.errors import JournalError
from engine.store.journal import (
    SEGMENT_SUFFIX,
    SOURCE_EVENTS_BRAIN,
    SOURCES,
    segment_paths,
)
from engine.store.reader import read_batches
from engine.store.session import DOCUMENT_NAME, sessions

NOTE_NAME: Final = "archive.json"
RETIRED_PREFIX: Final = "retired-"  # a session on its way out, beside the journals
NS_PER_DAY: Final = 86_400 * 1_000_000_000


def closed_files(directory: Path, *, is_running: bool) -> list[Path]:
    """Return the files of a session that will not change any more, oldest first.

    Args:
        directory: the session's journal.
        is_running: its newest segments, and its document, may still change.
    """
    found = []
    for source in SOURCES:
        paths = segment_paths(directory, source)
        found += paths[:-1] if is_running else paths
    document = directory / DOCUMENT_NAME
    return found if is_running or not document.exists() else [*found, document]


def read_note(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a session whose copy was verified, by its name.

    Raises:
        JournalError: the note is damaged.
    """
    path = directory / NOTE_NAME
    try:
        return typed.decode(path.read_bytes(), dict[str, str])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        raise JournalError(f"{path} cannot be read: {error}") from error


def write_note(directory: Path, note: dict[str, str]) -> None:
    """Replace a session's note as a whole, on the disk.

    Raises:
        OSError: the disk refused.
    """
    staged = directory / f"{NOTE_NAME}.part"
    with staged.open("wb") as file:
        file.write(msgspec.json.encode(note))
        file.flush()
        os.fsync(file.fileno())
    staged.replace(directory / NOTE_NAME)


def was_restored(directory: Path) -> bool:
    """Return whether a session got as far as taking over what earlier ones knew.

    Raises:
        JournalError: its journal cannot be read.
    """
    for batch in read_batches(directory, SOURCE_EVENTS_BRAIN):
        records = batch.records
        ends = records["event_type"] == EventType.RESTORE_END
        if (records["flags"][ends] & EVENT_APPLIED).any():
            return True
    return False


def retire_sessions(state_directory: Path, running: Path, keep_days: int, now_ns: int) -> list[str]:
    """Remove sessions that ended before so many days, are archived and taken over; name them.

    Args:
        state_directory: of one (venue, account, mode).
        running: journal of the session that runs; it and later ones stay.
        keep_days: 0: every session stays.
        now_ns: wall clock.

    Raises:
        JournalError: a journal or a note cannot be read; nothing was removed for it.
    """
    _sweep(state_directory)
    if keep_days <= 0:
        return []
    known = sessions(state_directory)
    places = [directory for directory, _ in known]
    end = places.index(running) if running in places else 0
    old = [
        (place, directory)
        for place, (directory, document) in enumerate(known[:end])
        if 0 < document.ended_realtime_ns <= now_ns - keep_days * NS_PER_DAY
        and _is_archived(directory)
    ]
    if not old:
        return []
    # From the last one back: mostly the running session has taken over, and no other is read.
    taken_over = next((place for place in range(end, 0, -1) if was_restored(places[place])), 0)
    gone = [directory for place, directory in old if place < taken_over]
    for directory in gone:
        # In one step, so that no half of a session is ever taken for one.
        directory.rename(state_directory / f"{RETIRED_PREFIX}{directory.name}")
    _sweep(state_directory)
    return [directory.name for directory in gone]


def is_archived(path: Path, notes: dict[Path, dict[str, str]]) -> bool:
    """Return whether a segment's copy was verified, reading each session's note once."""
    directory = path.parent
    if directory not in notes:
        try:
            notes[directory] = read_note(directory)
        except JournalError:
            notes[directory] = {}  # what cannot be read proves no copy
    return path.name in notes[directory]


def _is_archived(directory: Path) -> bool:
    names = {path.name for path in closed_files(directory, is_running=False)}
    on_disk = {path.name for path in directory.glob(f"*{SEGMENT_SUFFIX}")} | {DOCUMENT_NAME}
    return names >= on_disk and names <= read_note(directory).keys()


def _sweep(state_directory: Path) -> None:
    for path in state_directory.glob(f"{RETIRED_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)
