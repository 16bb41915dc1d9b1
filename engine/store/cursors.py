"""How far a database has come with one source of a session's journal."""

from __future__ import annotations

from typing import NamedTuple

from engine.store.database import Database
from engine.store.frames import FrameKind
from engine.store.reader import Batch, SourceReader
from engine.store.session import SessionDocument
from engine.store.tables import CURSORS


class Cursor(NamedTuple):
    """Where a source is read on, and whether nothing more will come."""

    next_sequence: int = 0
    is_complete: bool = False


def read_cursor(database: Database, document: SessionDocument, source: str) -> Cursor:
    """Return where a database stands.

    Raises:
        ProjectionError: it cannot say.
    """
    cells = CURSORS.load(database, (document.state_key, document.session_id, source))
    if cells is None:
        return Cursor()
    return Cursor(int(cells["next_sequence"] or 0), bool(cells["is_complete"]))


def write_cursor(
    database: Database, document: SessionDocument, reader: SourceReader, batches: list[Batch]
) -> None:
    """Move a database's cursor behind what a reader has given; in the transaction of its rows.

    Raises:
        ProjectionError: it cannot be written.
    """
    CURSORS.write(
        database,
        [
            {
                "state_key": document.state_key,
                "session_id": document.session_id,
                "source": reader.source,
                "next_sequence": reader.next_sequence,
                "is_complete": int(batches[-1].kind is FrameKind.END),
            }
        ],
    )
