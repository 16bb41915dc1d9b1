"""Both databases for every test that asks for one."""

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.store.database import Database
from engine.store.sqlite import SqliteDatabase

POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")
START_TIMEOUT_S = 60
SERVER_USERS = ("postgres", "nobody")  # the server refuses to run as root


def server_user() -> pwd.struct_passwd | None:
    """Return whom the server runs as when we are root; None: nobody fit for it."""
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next((known[name] for name in SERVER_USERS if name in known), None)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Run a private PostgreSQL on a socket in a folder of its own; skip where it cannot run."""
    pytest.importorskip("psycopg", reason="the postgres extra is not installed")
    if not (POSTGRES_BIN / "initdb").exists():
        pytest.skip(f"no PostgreSQL server programs in {POSTGRES_BIN}")
    user, setpriv = server_user(), shutil.which("setpriv")
    if os.geteuid() == 0 and (user is None or setpriv is None):
        pytest.skip("running as root without setpriv and a user for the PostgreSQL server")
    prefix: list[str] = []
    # Not under pytest's own folder: another user must be able to walk to it.
    with tempfile.TemporaryDirectory(prefix="aegis-postgres-") as folder:
        if os.geteuid() == 0 and user is not None and setpriv is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
            prefix = [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        data = f"{folder}/data"

        def call(program: str, *arguments: str) -> None:
            command = [*prefix, str(POSTGRES_BIN / program), *arguments]
            subprocess.run(
                command, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=START_TIMEOUT_S
            )

        call("initdb", "--pgdata", data, "--username", "aegis", "--auth", "trust", "--no-sync")
        options = f"-k {folder} -c listen_addresses= -c fsync=off -c max_connections=40"
        call("pg_ctl", "start", "-D", data, "-w", "-l", f"{folder}/log", "-o", options)
        try:
            yield f"postgresql:///postgres?host={folder}&user=aegis"
        finally:
            call("pg_ctl", "stop", "-D", data, "-m", "immediate")


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
