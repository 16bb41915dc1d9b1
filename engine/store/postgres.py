"""PostgreSQL behind the projection, through psycopg; same schema and same statements as SQLite.

A connection that breaks is given up and opened again by the next call: the projection repeats its
transaction, whose rows are keyed so that repeating changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg

from engine.store.database import Row, Value, insert_statement
from engine.store.errors import ProjectionError

CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_MS: Final = 30_000
COPIED_MIN: Final = 100  # rows; fewer are quicker one by one in a pipeline


class PostgresDatabase:
    """One connection, opened when first needed, used by one thread."""

    def __init__(self, url: str) -> None:
        """Remember where; nothing is opened yet."""
        parts = urlsplit(url)
        self.name = f"postgresql {parts.hostname or 'local'}{parts.path}"
        self._url = url
        self._connection: psycopg.Connection[Row] | None = None

    @staticmethod
    def utc_text(column: str) -> str:
        """Return the expression that writes a column of ns since the epoch as UTC text."""
        return (
            f"to_char(to_timestamp({column} / 1000000000) AT TIME ZONE 'UTC',"
            " 'YYYY-MM-DD\"T\"HH24:MI:SS')"
            f" || '.' || lpad(CAST({column} % 1000000000 / 1000 AS TEXT), 6, '0') || 'Z'"
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do what is inside altogether or not at all."""
        connection = self._open()
        try:
            with connection.transaction():
                yield
        except psycopg.Error as error:
            raise self._translate(error) from error

    def execute(self, statement: str, values: Sequence[Value] = ()) -> None:
        """Run one statement."""
        try:
            self._open().execute(_dialect(statement), tuple(values))
        except psycopg.Error as error:
            raise self._translate(error) from error

    def insert_many(
        self, table: str, columns: Sequence[str], conflict: str, rows: Sequence[Sequence[Value]]
    ) -> None:
        """Insert rows whose keys differ: few in one round trip, many through COPY."""
        try:
            if len(rows) >= COPIED_MIN:
                self._copy(table, ", ".join(columns), conflict, rows)
            else:
                with self._open().cursor() as cursor:
                    cursor.executemany(_dialect(insert_statement(table, columns, conflict)), rows)
        except psycopg.Error as error:
            raise self._translate(error) from error

    def _copy(self, table: str, names: str, conflict: str, rows: Sequence[Sequence[Value]]) -> None:
        # COPY knows no conflict: rows come into a table of this transaction and go on from there.
        stage = f"incoming_{table}"
        connection = self._open()
        with connection.transaction(), connection.cursor() as cursor:
            columns: Any = f"COPY {stage} ({names}) FROM STDIN"
            moved: Any = (
                f"INSERT INTO {table} ({names}) "  # noqa: S608  our own names
                f"SELECT {names} FROM {stage} {conflict}"
            )
            made: Any = f"CREATE TEMP TABLE IF NOT EXISTS {stage} (LIKE {table}) ON COMMIT DROP"
            cursor.execute(made)
            with cursor.copy(columns) as copy:
                for row in rows:
                    copy.write_row(row)
            cursor.execute(moved)
            cursor.execute(_dialect(f"TRUNCATE {stage}"))

    def query(self, statement: str, values: Sequence[Value] = ()) -> list[Row]:
        """Return the rows a statement selects."""
        try:
            return self._open().execute(_dialect(statement), tuple(values)).fetchall()
        except psycopg.Error as error:
            raise self._translate(error) from error

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _open(self) -> psycopg.Connection[Row]:
        if self._connection is None:
            try:
                self._connection = psycopg.connect(
                    self._url,
                    autocommit=True,
                    connect_timeout=CONNECT_TIMEOUT_S,
                    options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
                )
            except psycopg.Error as error:
                raise self._translate(error) from error
        return self._connection

    def _translate(self, error: psycopg.Error) -> ProjectionError:
        # The text of a driver error may quote the connection string: only its first line and
        # class are passed on, and never the URL.
        text = str(error).splitlines()[0] if str(error) else ""
        if self._connection is None or self._connection.broken or self._connection.closed:
            self.close()
        return ProjectionError(f"{self.name}: {type(error).__name__}: {text}")


def _dialect(statement: str) -> Any:  # noqa: ANN401  psycopg wants a literal; these are ours
    return statement.replace("%", "%%").replace("?", "%s")
