"""A folder of tapes: their names, their order, what was left unfinished, what is kept.

    20261121T103205Z-main-000000.tape       first tape of the recording of engine `main`
    20261121T103205Z-main-000000.tape.json  what became of it: Parquet made, copy verified

A name carries the wall time at which its recording began and the tape's number, so names in order
are tapes in order.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from engine.tapes.blocks import FILE_HEADER_BYTES, FILE_MAGIC
from engine.tapes.errors import TapeBusyError, TapeError
from engine.tapes.reader import TapeReader, lock
from engine.tapes.writer import TapeWriter

SUFFIX: Final = ".tape"
NOTE_SUFFIX: Final = ".json"
DAY_S: Final = 86_400
NS: Final = 1_000_000_000


class TapeFolder:
    """The tapes of one folder."""

    def __init__(self, path: Path) -> None:
        """Make the folder when it is missing.

        Raises:
            TapeError: it cannot be made.
        """
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TapeError(f"{path}: {error.strerror}") from error

    def tapes(self) -> list[Path]:
        """Return every tape, oldest first."""
        return sorted(self.path.glob(f"*{SUFFIX}"))

    def name_recording(self, engine: str, now_ns: int) -> str:
        """Return the first part of the names of a recording that begins now."""
        began = datetime.fromtimestamp(now_ns // NS, UTC).strftime("%Y%m%dT%H%M%SZ")
        taken = {path.name.rpartition("-")[0] for path in self.tapes()}
        name, number = f"{began}-{engine}", 1
        while name in taken:  # two recordings in one second
            number += 1
            name = f"{began}.{number}-{engine}"
        return name

    def tape_path(self, recording: str, tape_index: int) -> Path:
        """Return the path of a tape of a recording."""
        return self.path / f"{recording}-{tape_index:06d}{SUFFIX}"

    def end_left(self) -> list[str]:
        """Cut and end every tape a killed writer left; return a sentence for each.

        Tapes that are being written are let be; damaged ones are reported and not touched.
        """
        told: list[str] = []
        for path in self.tapes():
            try:
                if _is_stillborn(path):
                    path.unlink()
                    continue
                with TapeReader(path) as tape:
                    if tape.is_ended:
                        continue
                    torn = tape.torn_bytes
                with TapeWriter(path) as writer:
                    count = writer.record_count
                    writer.end()
                told.append(f"{path.name}: was left open, {count:,} records kept, {torn} bytes cut")
            except TapeBusyError:
                continue
            except TapeError as error:
                told.append(str(error))
        return told

    def finished(self) -> list[Path]:
        """Return the tapes that were ended, oldest first."""
        found = []
        for path in self.tapes():
            try:
                with TapeReader(path) as tape:
                    if tape.is_ended:
                        found.append(path)
            except TapeError:
                continue
        return found


def _is_stillborn(path: Path) -> bool:
    """Return whether a writer was killed before it had written the head of a tape.

    Raises:
        TapeBusyError: the writer lives.
    """
    with path.open("rb+") as file:
        head = file.read(FILE_HEADER_BYTES)
        if len(head) == FILE_HEADER_BYTES or not FILE_MAGIC.startswith(head[: len(FILE_MAGIC)]):
            return False
        lock(file.fileno(), path)
        return True


def read_note(tape: Path) -> dict[str, Any]:
    """Return what is known to have become of a tape; empty when nothing."""
    try:
        found = json.loads(Path(f"{tape}{NOTE_SUFFIX}").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_note(tape: Path, note: dict[str, Any]) -> None:
    """Write down what became of a tape; replaced as a whole, never half written.

    Raises:
        TapeError: the disk refuses.
    """
    target = Path(f"{tape}{NOTE_SUFFIX}")
    partial = target.with_suffix(".partial")
    try:
        partial.write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        raise TapeError(f"{target}: {error.strerror}") from error


def retain(
    tapes: Sequence[Path],
    *,
    keep_days: float | None,
    keep_bytes: int | None,
    is_safe: bool,
    now_s: float | None = None,
) -> list[Path]:
    """Remove the oldest finished tapes beyond what is kept; return what was removed.

    Args:
        tapes: finished tapes, oldest first.
        keep_days: age from which a tape goes, by when it was last written; None: any age stays.
        keep_bytes: how much may stay, all tapes together; None: all of it.
        is_safe: a tape that was not copied may go too. Without it only those go whose note says
            that a copy was verified.
        now_s: the time, for tests.
    """
    now_s = time.time() if now_s is None else now_s
    sizes = {path: path.stat().st_size for path in tapes}
    total = sum(sizes.values())
    removed: list[Path] = []
    for path in tapes:
        age_days = (now_s - path.stat().st_mtime) / DAY_S
        too_old = keep_days is not None and age_days > keep_days
        too_much = keep_bytes is not None and total > keep_bytes
        if not (too_old or too_much):
            continue
        if not (is_safe or read_note(path).get("copy")):
            continue
        path.unlink()
        Path(f"{path}{NOTE_SUFFIX}").unlink(missing_ok=True)
        total -= sizes[path]
        removed.append(path)
    return removed
