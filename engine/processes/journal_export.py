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
from datetime import datetime
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Final, TextIO

from engine import exit_codes
from engine.processes.journal_verify import session_directories
from engine.processes.known_sessions import counted
from engine.store.audit import COLUMNS, AuditRows, Row
from engine.store.errors import StoreError
from engine.store.journal import SOURCE_EVENTS_BRAIN
from engine.store.reader import read_batches
from engine.store.session import read_document
from engine.tapes.errors import MissingExtraError

ROW_GROUP: Final = 50_000  # rows of Parquet in memory at a time
WHOLE: Final = frozenset({"sequence", "trade_id", "suppressed"})
MONEY: Final = frozenset({"pnl", "fee"})
EXACT: Final = frozenset({"quantity", "price"})  # decimals to the last digit
DECIMAL_DIGITS: Final = (38, 18)  # in all, and behind the point


def export_command(place: Path, output: Path | None, *, form: str) -> int:
    """Write the rows of every session at or below a place; return the exit code.

    Args:
        place: a session's journal, or any folder above some.
        output: the file to write; None: standard output. Never one that exists.
        form: jsonl, csv, or parquet, which needs a file.
    """
    if form == "parquet" and output is None:
        return exit_codes.fail(
            "parquet is written to a file: name it by --output", exit_codes.USAGE
        )
    directories = session_directories(place)
    if not directories:
        return exit_codes.fail(f"no journal in {place}", exit_codes.ENVIRONMENT)
    try:
        if form == "parquet" and output is not None:
            count = _write_parquet(output, directories)
        else:
            target = output.open("x", encoding="utf-8") if output else nullcontext(sys.stdout)
            with target as file:
                count = _write(file, directories, form)
    except FileExistsError:
        return exit_codes.fail(f"{output} exists already; name another file", exit_codes.USAGE)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `| head` has enough
        return exit_codes.DONE
    except (StoreError, MissingExtraError, OSError) as error:
        return exit_codes.fail(exit_codes.sentence(error), exit_codes.ENVIRONMENT)
    print(f"{count:,} rows of {counted(len(directories))}", file=sys.stderr)  # noqa: T201
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


def _write_parquet(output: Path, directories: list[Path]) -> int:
    from engine.tapes.parquet import pyarrow

    arrow = pyarrow()
    kinds = {
        "timestamp": arrow.timestamp("us", tz="UTC"),
        **dict.fromkeys(WHOLE, arrow.int64()),
        **dict.fromkeys(MONEY, arrow.float64()),
        **dict.fromkeys(EXACT, arrow.decimal128(*DECIMAL_DIGITS)),
    }
    schema = arrow.schema([(name, kinds.get(name, arrow.string())) for name in COLUMNS])
    rows = map(_typed, chain.from_iterable(_rows(directory) for directory in directories))
    count = 0
    with (
        output.open("xb") as file,
        arrow.parquet.ParquetWriter(file, schema, compression="zstd") as table,
    ):
        while group := list(islice(rows, ROW_GROUP)):
            table.write_table(arrow.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count


def _typed(row: Row) -> Row:
    """Return a row whose time and decimals are no longer text."""
    exact = {name: None if row[name] is None else Decimal(row[name]) for name in EXACT}
    return row | exact | {"timestamp": datetime.fromisoformat(row["timestamp"])}


def _rows(directory: Path) -> Iterator[Row]:
    rows = AuditRows(read_document(directory))
    for batch in read_batches(directory, SOURCE_EVENTS_BRAIN):
        yield from rows.rows(batch.records)
