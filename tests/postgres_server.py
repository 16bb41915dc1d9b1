"""A PostgreSQL server of a test's own, on a socket in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")
START_TIMEOUT_S = 60
SERVER_USERS = ("postgres", "nobody")  # the server refuses to run as root


def server_user() -> pwd.struct_passwd | None:
    """Return whom the server runs as when we are root; None: nobody fit for it."""
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next((known[name] for name in SERVER_USERS if name in known), None)


class PostgresServer:
    """One server that can be stopped and started again; skips the test where it cannot run."""

    def __init__(self) -> None:
        """Make its files and start it."""
        pytest.importorskip("psycopg", reason="the postgres extra is not installed")
        if not (POSTGRES_BIN / "initdb").exists():
            pytest.skip(f"no PostgreSQL server programs in {POSTGRES_BIN}")
        user, setpriv = server_user(), shutil.which("setpriv")
        if os.geteuid() == 0 and (user is None or setpriv is None):
            pytest.skip("running as root without setpriv and a user for the PostgreSQL server")
        # Not under pytest's own folder: another user must be able to walk to it.
        self._folder = tempfile.TemporaryDirectory(prefix="aegis-postgres-")
        self._prefix: list[str] = []
        if os.geteuid() == 0 and user is not None and setpriv is not None:
            os.chown(self._folder.name, user.pw_uid, user.pw_gid)
            ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
            self._prefix = [setpriv, *ids]
        self._data = f"{self._folder.name}/data"
        self.url = f"postgresql:///postgres?host={self._folder.name}&user=aegis"
        login = ("--username", "aegis", "--auth", "trust", "--no-sync")
        self._call("initdb", "--pgdata", self._data, *login)
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        folder = self._folder.name
        options = f"-k {folder} -c listen_addresses= -c fsync=off -c max_connections=40"
        self._call("pg_ctl", "start", "-D", self._data, "-w", "-l", f"{folder}/log", "-o", options)

    def stop(self) -> None:
        """End it at once, as a crash would: every connection breaks."""
        self._call("pg_ctl", "stop", "-D", self._data, "-m", "immediate")

    def remove(self) -> None:
        """Delete its files; it must have been stopped."""
        self._folder.cleanup()

    def _call(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self._prefix, str(POSTGRES_BIN / program), *arguments],
            check=True,
            cwd=self._folder.name,
            stdout=subprocess.DEVNULL,
            timeout=START_TIMEOUT_S,
        )
