"""Both databases for every test that asks for one."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.store.database import Database
from engine.store.sqlite import SqliteDatabase
from tests.postgres_server import PostgresServer


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Run one private PostgreSQL for all tests here; skip where it cannot run."""
    server = PostgresServer()
    try:
        yield server.url
    finally:
        server.stop()
        server.remove()


@pytest.fixture
def open_sqlite(tmp_path: Path) -> Iterator[Callable[[], Database]]:
    """Open SQLite files, each a new one."""
    opened: list[Database] = []
    numbers = itertools.count()

    def open_next() -> Database:
        opened.append(SqliteDatabase(tmp_path / f"database-{next(numbers)}.db"))
        return opened[-1]

    yield open_next
    for database in opened:
        database.close()


@pytest.fixture
def open_postgres(postgres_url: str) -> Iterator[Callable[[], Database]]:
    """Open PostgreSQL databases, each a new one."""
    import psycopg

    from engine.store.postgres import PostgresDatabase

    opened: list[Database] = []
    names: list[str] = []

    def open_next() -> Database:
        name = f"test_{os.getpid()}_{len(names)}"
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name}")
            connection.execute(f"CREATE DATABASE {name}")
        names.append(name)
        opened.append(PostgresDatabase(postgres_url.replace("/postgres?", f"/{name}?")))
        return opened[-1]

    yield open_next
    for database in opened:
        database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def open_database(request: pytest.FixtureRequest) -> Callable[[], Database]:
    """Open databases of each kind in turn."""
    opener: Callable[[], Database] = request.getfixturevalue(f"open_{request.param}")
    return opener
