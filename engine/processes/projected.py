"""The database of an account, opened for a command: the one that was named, or written last."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.store.database import migrate
from engine.store.errors import ProjectionError
from engine.store.sqlite import DATABASE_NAME, SqliteDatabase


@contextmanager
def open_projected(home: Path, state: str | None) -> Iterator[tuple[SqliteDatabase, Path]]:
    """Yield an account's database, at this version's schema, and the account's folder.

    Args:
        home: AEGIS_HOME.
        state: VENUE-ACCOUNT-MODE; None: the account whose database changed last.

    Raises:
        ProjectionError: there is none, or it cannot be used.
    """
    folder = home / "state"
    found = [
        file for file in folder.glob(f"*/{DATABASE_NAME}") if state in {None, file.parent.name}
    ]
    if not found:
        raise ProjectionError(f"no database of {state or 'any account'} in {folder}")
    path = max(found, key=_changed_ns)
    database = SqliteDatabase(path)
    try:
        migrate(database, time.time_ns())
        yield database, path.parent
    finally:
        database.close()


def _changed_ns(path: Path) -> int:
    # What was written last may still stand in the log beside the file.
    log = path.with_name(f"{path.name}-wal")
    return max(file.stat().st_mtime_ns for file in (path, log) if file.exists())
