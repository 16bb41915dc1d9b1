"""`aegis journal export`: the audit trail of journals, made again from them.

Reads, never changes a journal.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TextIO

from engine import exit_codes
from engine.processes.journal_verify import session_directories
from engine.store.audit import COLUMNS, AuditRows, Row
from engine.store.errors import StoreError
from engine.store.journal import SOURCE_EVENTS_BRAIN
from engine.store.reader import read_batches
from engine.store.session import read_document


def export_command(place: Path, output: Path | None, *, form: str) -> int:
    """Write the rows of every session at or below a place; return the exit code.

    Args:
        place: a session's journal, or any folder above some.
        output: the file to write; None: standard output. Never one that exists.
        form: jsonl or csv.
    """
    directories = session_directories(place)
    if not directories:
        return exit_codes.fail(f"no journal in {place}", exit_codes.ENVIRONMENT)
    try:
        target = output.open("x", encoding="utf-8") if output else nullcontext(sys.stdout)
        with target as file:
            count = _write(file, directories, form)
    except FileExistsError:
        return exit_codes.fail(f"{output} exists already; name another file", exit_codes.USAGE)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `| head` has enough
        return exit_codes.DONE
    except (StoreError, OSError) as error:
        return exit_codes.fail(str(error), exit_codes.ENVIRONMENT)
    print(f"{count:,} rows of {len(directories)} sessions", file=sys.stderr)  # noqa: T201
    return exit_codes.DONE


def _write(file: TextIO, directories: list[Path], form: str) -> int:
    count = 0
    table = csv.DictWriter(file, COLUMNS) if form == "csv" else None
    if table is not None:
        table.writeheader()
    for directory in directories:
        for row in _rows(directory):
            count += 1
            if table is not None:
                table.writerow(row)
            else:
                file.write(json.dumps(row) + "\n")
    file.flush()
    return count


def _rows(directory: Path) -> Iterator[Row]:
    rows = AuditRows(read_document(directory))
    for batch in read_batches(directory, SOURCE_EVENTS_BRAIN):
        yield from rows.rows(batch.records)
