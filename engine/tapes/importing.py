"""Files of other formats into one tape: what is it, what does it hold, how was it counted."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from engine.tapes.drafts import Draft, Imported, Steps, join
from engine.tapes.errors import ImportFormatError, TapeError
from engine.tapes.import_captures import is_capture, open_text, read_captures
from engine.tapes.import_tables import read_rows
from engine.tapes.tables import read_table
from engine.tapes.writer import TapeWriter

HEAD_BYTES: Final = 64
CAPTURE: Final = "frames of a venue"


class Import(NamedTuple):
    """What became of the files of one import."""

    tape: Path
    formats: dict[str, str]  # file name: its format
    records: int
    instruments: list[str]
    rounded: int


def read_drafts(paths: list[Path], symbol: str = "") -> tuple[dict[str, str], list[Draft]]:
    """Return the name of each file's format, and the drafts of all.

    Raises:
        ImportFormatError: a file is of no known format.
        MissingExtraError: one is Parquet and pyarrow is not installed.
    """
    formats: dict[str, str] = {}
    drafts: list[Draft] = []
    captures = [path for path in paths if _is_capture(path)]
    for path in paths:
        if path in captures:
            formats[path.name] = CAPTURE
            continue
        try:
            formats[path.name], found = read_rows(read_table(path), symbol)
        except (ValueError, LookupError, TypeError) as error:
            raise ImportFormatError(f"{path}: a cell cannot be understood ({error})") from error
        drafts.extend(found)
    return formats, drafts + read_captures(captures)


def _is_capture(path: Path) -> bool:
    if not path.is_file():
        raise ImportFormatError(f"{path}: no such file")
    try:
        with open_text(path) as file:
            head = file.read(HEAD_BYTES)
    except (OSError, EOFError) as error:
        raise ImportFormatError(f"{path}: cannot be read ({error})") from error
    return is_capture(head)


def import_files(paths: list[Path], target: Path, steps: Steps, symbol: str = "") -> Import:
    """Write what files hold as one tape, merged by receive time.

    The tape is written under another name and renamed when whole.

    Raises:
        ImportFormatError: a file is of no known format, or its numbers fit no step.
        TapeError: the tape exists already or the disk refuses.
    """
    if target.exists():
        raise TapeError(f"{target} exists already")
    formats, drafts = read_drafts(paths, symbol)
    try:
        imported = join(drafts, steps)
    except ImportFormatError as error:
        raise ImportFormatError(f"{', '.join(formats)}: {error}") from error
    write_tape(imported, target)
    symbols = [instrument.symbol for instrument in imported.instruments]
    return Import(target, formats, len(imported.records), symbols, imported.rounded)


def write_tape(imported: Imported, target: Path) -> None:
    """Write records as a whole tape; receive times are ns since the epoch already.

    Raises:
        TapeError: the disk refuses.
    """
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    with TapeWriter(partial, source="import") as writer:
        writer.put_instruments(imported.instruments)
        writer.append(imported.records)
        writer.end()
    partial.replace(target)
