"""SQLite behind the projection: one file, WAL, so that readers never wait for the writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from engine.store.database import Row, Value, insert_statement
from engine.store.errors import ProjectionError

DATABASE_NAME: Final = "aegis.db"
BUSY_TIMEOUT_S: Final = 5.0
_MEMORY: Final = ":memory:"


class SqliteDatabase:
    """One SQLite file, opened by the thread that uses it."""

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        """Open or create the file; None: a database in memory that is gone when closed.

        Raises:
            ProjectionError: the file cannot be opened.
        """
        self.name = f"sqlite {path or 'in memory'}"
        self._connection: sqlite3.Connection | None = None
        try:
            self._connection = _connect(path, read_only=read_only)
            if not read_only:
                # WAL survives kill -9 with synchronous=NORMAL; after a power cut the journal
                # fills in what the last transactions lost.
                self._connection.execute("PRAGMA journal_mode=WAL")
                self._connection.execute("PRAGMA synchronous=NORMAL")
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise ProjectionError(f"{self.name} cannot be opened: {error}") from error

    @staticmethod
    def utc_text(column: str) -> str:
        """Return the expression that writes a column of ns since the epoch as UTC text."""
        return (
            f"strftime('%Y-%m-%dT%H:%M:%S', {column} / 1000000000, 'unixepoch')"
            f" || printf('.%06dZ', {column} % 1000000000 / 1000)"
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do what is inside altogether or not at all."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._roll_back()
            raise
        self.execute("COMMIT")

    def execute(self, statement: str, values: Sequence[Value] = ()) -> None:
        """Run one statement."""
        try:
            self._open().execute(statement, values)
        except sqlite3.Error as error:
            raise ProjectionError(f"{self.name}: {error}") from error

    def insert_many(
        self, table: str, columns: Sequence[str], conflict: str, rows: Sequence[Sequence[Value]]
    ) -> None:
        """Insert rows whose keys differ."""
        try:
            self._open().executemany(insert_statement(table, columns, conflict), rows)
        except sqlite3.Error as error:
            raise ProjectionError(f"{self.name}: {error}") from error

    def query(self, statement: str, values: Sequence[Value] = ()) -> list[Row]:
        """Return the rows a statement selects."""
        try:
            return self._open().execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise ProjectionError(f"{self.name}: {error}") from error

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise ProjectionError(f"{self.name} is closed")
        return self._connection

    def _roll_back(self) -> None:
        connection = self._open()
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _connect(path: Path | None, *, read_only: bool) -> sqlite3.Connection:
    if path is None:
        return sqlite3.connect(_MEMORY, isolation_level=None)
    if read_only:
        return sqlite3.connect(
            f"file:{path}?mode=ro", uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S
        )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S)
