"""`aegis tape info | verify | import | export`: what a tape holds, and making one."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine import exit_codes
from engine.domain.codes import GapReason, RecordType
from engine.processes.progress import bytes_text
from engine.tapes.drafts import Steps
from engine.tapes.errors import ImportFormatError, MissingExtraError, TapeError
from engine.tapes.folder import SUFFIX
from engine.tapes.importing import import_files
from engine.tapes.parquet import export_parquet
from engine.tapes.reader import TapeReader

NS: Final = 1_000_000_000


def tape_command(options: argparse.Namespace) -> int:
    """Do what was asked with tapes; return the exit code."""
    try:
        return _ACTIONS[options.action](options)
    except MissingExtraError as error:
        return exit_codes.fail(str(error), exit_codes.USAGE)
    except (ImportFormatError, TapeError) as error:
        return exit_codes.fail(str(error), exit_codes.ENVIRONMENT)
    except OSError as error:
        return exit_codes.fail(f"{error.filename}: {error.strerror}", exit_codes.ENVIRONMENT)


def _info(options: argparse.Namespace) -> int:
    documents = [describe(path) for path in _tapes(options.paths)]
    _show({"tapes": documents}, "\n".join(map(_text, documents)), as_json=options.json)
    return exit_codes.DONE


def describe(path: Path) -> dict[str, Any]:
    """Return what a tape holds, every record read.

    Raises:
        TapeError: it is none, or damaged.
    """
    kinds: Counter[int] = Counter()
    lost = 0
    with TapeReader(path) as tape:
        for block in tape.record_blocks:
            records = tape.records(block)
            found, counts = np.unique(records["record_type"], return_counts=True)
            kinds.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
            gaps = records[records["record_type"] == RecordType.GAP]
            lapped = gaps[gaps["gap_reason"] == GapReason.LAPPED]
            lost += int(np.unique(lapped[["first_id", "lost_count"]])["lost_count"].sum())
            del records, gaps, lapped
        first_ns, last_ns = tape.span_ns
        return {
            "path": str(path),
            "bytes": path.stat().st_size,
            "source": tape.header.source,
            "tape_index": tape.header.tape_index,
            "records": tape.record_count,
            "kinds": {RecordType(kind).name: count for kind, count in sorted(kinds.items())},
            "instruments": [instrument.symbol for instrument in tape.instruments],
            "first": _time_text(first_ns),
            "last": _time_text(last_ns),
            "seconds": round((last_ns - first_ns) / NS, 3),
            "lost": lost,
            "ended": tape.is_ended,
            "torn_bytes": tape.torn_bytes,
        }


def _verify(options: argparse.Namespace) -> int:
    problems: list[str] = []
    paths = _tapes(options.paths)
    for path in paths:
        try:
            with TapeReader(path) as tape:
                problems += tape.verify()
        except TapeError as error:
            problems.append(str(error))
    text = "\n".join(problems) or f"{len(paths)} tapes hold what was written"
    document = {"intact": not problems, "tapes": len(paths), "problems": problems}
    _show(document, text, as_json=options.json)
    return exit_codes.ENVIRONMENT if problems else exit_codes.DONE


def _import(options: argparse.Namespace) -> int:
    paths = [Path(text) for text in options.paths]
    target = Path(options.into) if options.into else Path(paths[0].name.partition(".")[0] + SUFFIX)
    found = import_files(paths, target, Steps(options.tick, options.lot), options.symbol)
    document = {
        "tape": str(found.tape),
        "records": found.records,
        "instruments": found.instruments,
        "formats": found.formats,
        "rounded": found.rounded,
    }
    text = f"{found.tape}: {found.records:,} records of {', '.join(found.instruments[:8])}"
    if found.rounded:
        text += f"; {found.rounded:,} quantities were rounded to the lot"
    _show(document, text, as_json=options.json)
    return exit_codes.DONE


def _export(options: argparse.Namespace) -> int:
    root = Path(options.into or "parquet")
    written = [file for path in _tapes(options.paths) for file in export_parquet(path, root)]
    size = sum(file.stat().st_size for file in written)
    document = {"folder": str(root), "files": len(written), "bytes": size}
    _show(document, f"{len(written)} files, {bytes_text(size)}, in {root}", as_json=options.json)
    return exit_codes.DONE


_ACTIONS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "info": _info,
    "verify": _verify,
    "import": _import,
    "export": _export,
}


def _tapes(texts: list[str]) -> list[Path]:
    """Return the tapes that files and folders name.

    Raises:
        TapeError: a path does not exist, or a folder holds no tape.
    """
    found: list[Path] = []
    for text in texts:
        path = Path(text)
        inside = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
        if not inside or not path.exists():
            raise TapeError(f"{path}: {'no tape in it' if path.is_dir() else 'no such file'}")
        found += inside
    return found


def _text(document: dict[str, Any]) -> str:
    kinds = ", ".join(f"{name.lower()} {count:,}" for name, count in document["kinds"].items())
    state = "ended" if document["ended"] else "open"
    if document["torn_bytes"]:
        state += f", {document['torn_bytes']} bytes torn"
    shown = document["instruments"][:8]
    rest = len(document["instruments"]) - len(shown)
    return (
        f"{document['path']}: {document['records']:,} records, {bytes_text(document['bytes'])}, "
        f"{state}\n"
        f"  {document['first']} .. {document['last']} ({document['seconds']:,.1f} s), "
        f"lost {document['lost']:,}\n"
        f"  {kinds}\n"
        f"  {', '.join(shown)}{f' and {rest} more' if rest else ''}"
    )


def _time_text(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns / NS, UTC).isoformat(timespec="milliseconds")


def _show(document: dict[str, Any], text: str, *, as_json: bool) -> None:
    print(json.dumps(document) if as_json else text)  # noqa: T201  the command's own output
