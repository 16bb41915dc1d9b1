"""Accounts as advisory locks of one PostgreSQL session: held while its connection lives."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import psycopg

from engine.store.errors import ProjectionError

CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_MS: Final = 5_000
NAME_CHARACTERS_MAX: Final = 63  # of an application's name
_HOLDER: Final = """
    SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.classid::bigint = %s AND l.objid::bigint = %s"""


class PostgresLease:
    """One connection that holds a lock per account; for one thread at a time."""

    def __init__(self, url: str, names: Sequence[str]) -> None:
        """Remember what is wanted; nothing is opened yet."""
        self._url = url
        self._place = f"postgresql {urlsplit(url).hostname or 'local'}"
        self._keys = sorted(lock_key(name) for name in names)
        self._who = f"process {os.getpid()} of {socket.gethostname()}"[:NAME_CHARACTERS_MAX]
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._holds = False

    def try_take(self) -> str:
        """Hold every account or none; return who holds one, empty: they are ours.

        What is ours stays ours while the connection lives; asking again finds out whether it does.

        Raises:
            ProjectionError: the database does not answer; what was held may be lost.
        """
        try:
            connection = self._open()
            if self._holds:
                connection.execute("SELECT 1")
                return ""
            for key in self._keys:
                row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
                if row is None or not row[0]:
                    connection.execute("SELECT pg_advisory_unlock_all()")
                    return self._granted(connection, key) or "another engine"
        except psycopg.Error as error:
            raise self._away(error) from error
        self._holds = True
        return ""

    def holder(self) -> str:
        """Return who holds one of the accounts; empty: nobody. Nothing is taken.

        Raises:
            ProjectionError: the database does not answer.
        """
        try:
            connection = self._open()
            found = (self._granted(connection, key) for key in self._keys)
            return next((who for who in found if who), "")
        except psycopg.Error as error:
            raise self._away(error) from error

    def close(self) -> None:
        """Give back what is held; a second call does nothing."""
        self._holds = False
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _open(self) -> psycopg.Connection[tuple[object, ...]]:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_S,
                application_name=self._who,
                options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
            )
        return self._connection

    def _granted(self, connection: psycopg.Connection[tuple[object, ...]], key: int) -> str:
        """Return who has a lock; empty: nobody."""
        row = connection.execute(_HOLDER, (key >> 32 & 0xFFFFFFFF, key & 0xFFFFFFFF)).fetchone()
        return "" if row is None else str(row[0] or "another engine")

    def _away(self, error: psycopg.Error) -> ProjectionError:
        """Close, and return the sentence: never the driver's own, which may quote the address."""
        self.close()
        return ProjectionError(f"{self._place} is away: {type(error).__name__}")


def lock_key(name: str) -> int:
    """Return the number of an account's lock, signed 64 bits."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
