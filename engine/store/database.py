"""What the projection needs of a database: the seam that SQLite and PostgreSQL both fill.

Statements are written once, with `?` for parameters, in the part of SQL that both understand. The
schema is the numbered files in `migrations/`, each applied once, in a transaction of its own; the
one word of theirs that no database has, `utc_text(column)`, each database translates.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib import resources
from typing import Final, Protocol

Value = int | float | str | None
Row = tuple[Value, ...]

VERSIONS_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS schema_versions ("
    "version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_ns BIGINT NOT NULL)"
)

_UTC_TEXT: Final = re.compile(r"utc_text\(([a-z_.]+)\)")


class Database(Protocol):
    """One open database, used by one thread.

    Every method raises ProjectionError when the database cannot do it now.
    """

    @property
    def name(self) -> str:
        """What it is and where, without secrets."""

    @staticmethod
    def utc_text(column: str) -> str:
        """Return the expression that writes a column of ns since the epoch as UTC text."""

    def transaction(self) -> AbstractContextManager[None]:
        """Do what is inside altogether or not at all."""

    def execute(self, statement: str, values: Sequence[Value] = ()) -> None:
        """Run one statement."""

    def insert_many(
        self, table: str, columns: Sequence[str], conflict: str, rows: Sequence[Sequence[Value]]
    ) -> None:
        """Insert rows whose keys differ.

        Args:
            table: its name.
            columns: of a row, in order.
            conflict: the clause that says what becomes of a row that is there already.
            rows: a cell a column.
        """

    def query(self, statement: str, values: Sequence[Value] = ()) -> list[Row]:
        """Return the rows a statement selects."""

    def close(self) -> None:
        """Give everything back; a second call does nothing."""


def migrations() -> list[tuple[int, str, list[str]]]:
    """Return (version, name, statements) of every migration, in order."""
    found = []
    for entry in resources.files("engine.store").joinpath("migrations").iterdir():
        if entry.name.endswith(".sql"):
            text = entry.read_text("utf-8")
            lines = (line.split("--", 1)[0] for line in text.splitlines())
            statements = [part.strip() for part in "\n".join(lines).split(";") if part.strip()]
            found.append((int(entry.name.split("_", 1)[0]), entry.name, statements))
    return sorted(found)


def insert_statement(table: str, columns: Sequence[str], conflict: str) -> str:
    """Return the statement that inserts one row."""
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608  our own names
        f"VALUES ({', '.join('?' * len(columns))}) {conflict}"
    )


def migrate(database: Database, now_ns: int) -> int:
    """Bring a database to this version's schema; return how many migrations that took.

    Raises:
        ProjectionError: the database refused, or was migrated by a later version.
    """
    database.execute(VERSIONS_TABLE)
    applied = {version for (version,) in database.query("SELECT version FROM schema_versions")}
    count = 0
    for version, name, statements in migrations():
        if version in applied:
            continue
        with database.transaction():
            for statement in statements:
                database.execute(_UTC_TEXT.sub(lambda m: database.utc_text(m[1]), statement))
            database.execute(
                "INSERT INTO schema_versions VALUES (?, ?, ?)", (version, name, now_ns)
            )
        count += 1
    return count
