"""Files of rows as columns: CSV, JSON lines, JSON arrays and Parquet, packed or not."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.tapes.errors import ImportFormatError
from engine.tapes.import_captures import open_text
from engine.tapes.parquet import pyarrow

BYTES_MAX: Final = 2 << 30  # of a text file, unpacked; larger ones are to be split
ABSENT: Final = frozenset({"", ".", None})
Column: TypeAlias = Sequence[Any] | NDArray[Any]
UNIT_NS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


class Table:
    """Columns by name, all of one length."""

    def __init__(self, path: Path, columns: dict[str, Column]) -> None:
        """Keep the columns as they came."""
        self.path = path
        self.columns = columns
        self.names = frozenset(columns)

    def floats(self, name: str) -> NDArray[np.float64]:
        """Return a column as numbers; what is empty is NaN."""
        column = self.columns[name]
        if isinstance(column, np.ndarray):
            return column.astype(np.float64)
        return np.array([np.nan if cell in ABSENT else float(cell) for cell in column])

    def whole(self, name: str) -> NDArray[np.int64]:
        """Return a column as whole numbers, exactly."""
        column = self.columns[name]
        if isinstance(column, np.ndarray):
            return column.astype(np.int64)
        return np.array([int(cell) for cell in column], dtype=np.int64)

    def texts(self, name: str) -> NDArray[np.str_]:
        """Return a column as text."""
        return np.array([str(cell) for cell in self.columns[name]])

    def times(self, name: str, unit: str = "ns") -> NDArray[np.int64]:
        """Return a column as ns since the epoch: counts of a unit, dates or timestamps, as UTC."""
        column = self.columns[name]
        if isinstance(column, np.ndarray):
            if column.dtype.kind == "M":
                return column.astype("datetime64[ns]").astype(np.int64)
            return column.astype(np.int64) * UNIT_NS[unit]
        first = str(column[0])
        if first.replace(".", "", 1).isdigit():
            return np.array([int(cell) for cell in column], dtype=np.int64) * UNIT_NS[unit]
        return np.array([_iso(str(cell)) for cell in column], dtype="datetime64[ns]").astype(
            np.int64
        )

    def lists(self, name: str) -> Column:
        """Return a column of lists."""
        return self.columns[name]


def read_table(path: Path) -> Table:
    """Read a file of rows.

    Raises:
        ImportFormatError: no table can be made of it.
        MissingExtraError: it is Parquet and pyarrow is not installed.
    """
    with path.open("rb") as probe:
        is_parquet = probe.read(4) == b"PAR1"
    try:
        if is_parquet:
            return Table(path, _parquet_columns(path))
        with open_text(path) as file:
            raw = file.read(BYTES_MAX + 1)
        if len(raw) > BYTES_MAX:
            raise ImportFormatError(f"{path}: more than {BYTES_MAX >> 30} GiB; split it")
        text = raw.decode("utf-8")
        if text.lstrip()[:1] in {"{", "["}:
            return Table(path, _json_columns(text))
        return Table(path, _csv_columns(text))
    except (ValueError, EOFError, OSError) as error:
        raise ImportFormatError(f"{path}: cannot be read as a table ({error})") from error


def _parquet_columns(path: Path) -> dict[str, Column]:
    arrow = pyarrow()
    table = arrow.parquet.read_table(path, partitioning=None)
    found: dict[str, Column] = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if arrow.types.is_timestamp(column.type):
            found[name] = column.cast(arrow.timestamp("ns")).to_numpy(zero_copy_only=False)
        elif arrow.types.is_list(column.type) or _is_text(arrow, column.type):
            found[name] = column.to_pylist()
        else:
            found[name] = column.to_numpy(zero_copy_only=False)
    return found


def _is_text(arrow: ModuleType, kind: object) -> bool:
    return bool(arrow.types.is_string(kind) or arrow.types.is_large_string(kind))


def _json_columns(text: str) -> dict[str, Column]:
    start = text.lstrip()
    rows = json.loads(start) if start[0] == "[" else [json.loads(r) for r in text.splitlines() if r]
    if not rows or not isinstance(rows[0], dict):
        raise ValueError("not rows of named cells")
    return {name: [row.get(name) for row in rows] for name in rows[0]}


def _csv_columns(text: str) -> dict[str, Column]:
    rows = list(csv.reader(io.StringIO(text)))
    if len(rows) < 2:
        raise ValueError("no rows")
    names = rows[0]
    if any(cell.replace(".", "", 1).isdigit() for cell in names):
        names, rows = [f"column_{place}" for place in range(len(names))], [names, *rows]
    columns = zip(*(row for row in rows[1:] if len(row) == len(names)), strict=True)
    return dict(zip(names, columns, strict=True))


def _iso(text: str) -> str:
    """Return a date and time as numpy reads it: UTC, without its zone."""
    text = text.strip().replace(" ", "T", 1).removesuffix("+00:00").removesuffix("Z")
    if text[:8].isdigit():  # 20201229T00:00:00
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    if "/" in text:  # month/day/year
        month, day, year = text.split("/")
        return f"{year}-{month:>02}-{day:>02}"
    return text
