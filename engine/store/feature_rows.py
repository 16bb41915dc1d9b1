"""Feature vectors as rows, where they are asked for: read from the journal like everything else.

A batch and the cursor behind it are written together, so a vector stands exactly once, however
often a process dies; deleting the rows and the cursor projects them again. A vector that retention
removed before it was projected is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from engine.store.cursors import read_cursor, write_cursor
from engine.store.database import Database
from engine.store.journal import SOURCE_FEATURES
from engine.store.reader import Batch, SourceReader, first_kept
from engine.store.session import SessionDocument
from engine.store.tables import FEATURE_COLUMNS, FEATURE_VECTORS, Cells

BAR: Final = FEATURE_VECTORS.columns[4:-2]  # columns that a record calls the same


class VectorNames(NamedTuple):
    """What the columns of a plan's vectors are called."""

    plan: int  # as each vector carries it
    names: tuple[str, ...]


class FeatureProjection:
    """Projects the vectors of one session into one database, as far as they are written."""

    def __init__(
        self, database: Database, directory: Path, document: SessionDocument, names: VectorNames
    ) -> None:
        """Go on where the database's cursor stands, or where the journal begins by now.

        Args:
            database: migrated.
            directory: the session's journal.
            document: its document.
            names: of this version's plan; vectors of other plans are rows without names.

        Raises:
            ProjectionError: the database cannot say.
        """
        self._database = database
        self._document = document
        self._names = names
        cursor = read_cursor(database, document, SOURCE_FEATURES)
        self._reader: SourceReader | None = None
        if not cursor.is_complete:
            first = max(cursor.next_sequence, first_kept(directory, SOURCE_FEATURES))
            self._reader = SourceReader(directory, SOURCE_FEATURES, first)
        self._has_names = False

    def project(self) -> int:
        """Project what is written since the last call; return how many vectors that were.

        Raises:
            ProjectionError: the database refused; nothing of the call remains.
            JournalError: the journal cannot be read.
        """
        reader = self._reader
        place = None if reader is None else reader.mark()
        batches = [] if reader is None else reader.poll()
        if reader is None or place is None or not batches:
            return 0
        rows = [row for batch in batches for row in self._rows(batch)]
        try:
            with self._database.transaction():
                FEATURE_VECTORS.write(self._database, rows)
                self._write_names(rows)
                write_cursor(self._database, self._document, reader, batches)
        except BaseException:
            reader.reset(place)
            raise
        self._has_names = self._has_names or bool(rows)
        return len(rows)

    def _rows(self, batch: Batch) -> list[Cells]:
        document = self._document
        key: Cells = {"state_key": document.state_key, "session_id": document.session_id}
        return [
            {
                **key,
                "sequence": batch.first_sequence + place,
                "instrument": document.symbol(int(record["instrument_index"])),
                **{name: int(record[name]) for name in BAR},
                "plan": int(record["plan"]),
                "vector": vector_text(record["values"][: int(record["value_count"])]),
            }
            for place, record in enumerate(batch.records)
        ]

    def _write_names(self, rows: list[Cells]) -> None:
        plan, names = self._names
        if self._has_names or all(row["plan"] != plan for row in rows):
            return
        named: list[Cells] = [
            {"plan": plan, "place": place, "name": name} for place, name in enumerate(names)
        ]
        FEATURE_COLUMNS.write(self._database, named)


def vector_text(vector: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    """Return a vector as a JSON array that gives back every finite number; others are null."""
    return msgspec.json.encode(vector.tolist()).decode()
