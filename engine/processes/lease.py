"""The right to trade an account: one engine at a time, whatever its name and its home.

        this machine   an flock per account on a file in /dev/shm, dropped with the process
        a database     an advisory lock per account of a PostgreSQL session, dropped with it

An engine without it stands by: its API answers, nothing is spawned, nothing is asked of the venue.
A database that is away at the start keeps real orders waiting and practice money not; one that
goes away later takes nothing from who holds the lease, since nobody else can take it there. Found
taken by another when it is back, the lease is lost and the engine ends (ADR 0029).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine import exit_codes
from engine.config import Config
from engine.file_lock import try_lock
from engine.processes.engine_start import StartError
from engine.store.errors import ProjectionError
from ringbuffer.segment import SHM_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.store.postgres_lease import PostgresLease

LOOK_S: Final = 2.0  # between two looks at a lease, held or wanted
PREFIX: Final = "aegis.lease."  # no engine's segments begin like this


def accounts_of(config: Config, place: str) -> list[str]:
    """Return the names of what one engine may trade at a time.

    Args:
        config: with its account and addresses.
        place: of its tables and journals: their directory, or the name a database knows them by.
    """
    venue = config.venue
    state = f"state {place}"
    if config.fills_here:
        return [state]
    key = hashlib.sha256(venue.api_key.encode()).hexdigest()
    return [state, f"orders {venue.name} {venue.rest_url} {key}"]


class FileLease:
    """Accounts of this machine. A file that its holder did not remove is nobody's."""

    def __init__(self, names: list[str], folder: Path = SHM_FOLDER) -> None:
        """Name the files; nothing is taken yet."""
        digests = sorted(hashlib.sha256(name.encode()).hexdigest()[:24] for name in names)
        self._paths = [folder / f"{PREFIX}{digest}" for digest in digests]
        self._held: list[int] = []

    def try_take(self) -> str:
        """Take every account or none; return who holds one, empty: taken.

        Raises:
            OSError: a file cannot be used; it belongs to another user.
        """
        for path in self._paths:
            holder = self._try_one(path)
            if holder:
                self.close()
                return holder
        return ""

    def _try_one(self, path: Path) -> str:
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not try_lock(descriptor):
                found = _said(descriptor)
                os.close(descriptor)
                return found
            if _is_file(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"process {os.getpid()} of this machine\n".encode(), 0)
                self._held.append(descriptor)
                return ""
            os.close(descriptor)  # its holder removed it between our open and our lock

    def holder(self) -> str:
        """Return who holds one of the accounts; empty: nobody. Nothing is made or taken.

        Raises:
            OSError: a file cannot be looked at.
        """
        for path in self._paths:
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                if not try_lock(descriptor, shared=True):
                    return _said(descriptor)
            finally:
                os.close(descriptor)
        return ""

    def close(self) -> None:
        """Give back what is held."""
        for path, descriptor in zip(self._paths, self._held, strict=False):
            path.unlink(missing_ok=True)  # before the lock goes, so that nobody locks a dead name
            os.close(descriptor)
        self._held = []


def holder_of_files(config: Config, folder: Path = SHM_FOLDER) -> str:
    """Return who on this machine holds an account of a configuration; empty: nobody. Takes none.

    Raises:
        OSError: a file cannot be looked at; it belongs to another user.
    """
    names = accounts_of(config, str(Path(config.state_dir).absolute()))
    return FileLease(names, folder).holder()


def holder_of_database(config: Config) -> str:
    """Return who holds an account in the database; empty: nobody, or there is none. Takes none.

    Raises:
        ProjectionError: the database does not answer.
    """
    lease = _database_lease(config)
    if lease is None:
        return ""
    try:
        return lease.holder()
    finally:
        lease.close()


class Lease:
    """Both, for one engine; `lost` is a sentence once another engine has it."""

    def __init__(
        self, config: Config, *, folder: Path = SHM_FOLDER, look_s: float = LOOK_S
    ) -> None:
        """Name the accounts of a configuration whose account and addresses are known."""
        self._must_know = config.orders_leave
        self._look_s = look_s
        self._file = FileLease(accounts_of(config, str(Path(config.state_dir).absolute())), folder)
        self._database = _database_lease(config)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="aegis-lease", daemon=True)
        self.lost = ""

    def stand_by(
        self, is_over: Callable[[], bool], tell: Callable[[bytes], None], say: Callable[[str], None]
    ) -> None:
        """Return when the lease is ours.

        Args:
            is_over: waits a moment and tells whether the engine was asked to stop.
            tell: takes what the API answers meanwhile, as JSON.
            say: takes a sentence for the terminal.

        Raises:
            StartError: the engine was asked to stop, or a lease file cannot be used.
        """
        said, due = "", 0.0
        while True:
            if time.monotonic() >= due:
                why = self._try_take()
                due = time.monotonic() + self._look_s
                if not why:
                    break
                if why != said:
                    said = why
                    say(f"standby  {why}; this engine trades when it may")
                    tell(json.dumps({"status": "standby", "reason": why}).encode())
            if is_over():
                self.close()
                raise StartError("it stood by and never traded", exit_codes.DONE)
        if said:
            say("standby  over: the lease is ours")
        if self._database is not None:
            self._thread.start()

    def close(self) -> None:
        """Give everything back; a second call does nothing."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(self._look_s)
        elif self._database is not None:
            self._database.close()
        self._file.close()

    def _try_take(self) -> str:
        try:
            holder = self._file.try_take()
        except OSError as error:
            text = f"{error.filename}: cannot be locked ({error.strerror}); it is another user's"
            raise StartError(text) from error
        if not holder and self._database is not None:
            holder = self._try_database()
            if holder:
                self._file.close()
        return f"{holder} holds the account's lease" if holder else ""

    def _try_database(self) -> str:
        assert self._database is not None
        try:
            return self._database.try_take()
        except ProjectionError as error:
            return f"nobody knows who ({error})" if self._must_know else ""

    def _look_on(self) -> None:
        assert self._database is not None
        while not self._ended.wait(self._look_s):
            try:
                holder = self._database.try_take()
            except ProjectionError:
                continue  # away; the projector tells a person, and nobody else can take it there
            if holder:
                self.lost = f"{holder} holds the account's lease now; this engine ends"
                break
        self._database.close()


def _database_lease(config: Config) -> PostgresLease | None:
    if not config.database_url:
        return None
    try:
        from engine.store.postgres_lease import PostgresLease
    except ImportError:
        return None  # the projector says which package is missing, and that nothing is projected
    return PostgresLease(config.database_url, accounts_of(config, Path(config.state_dir).name))


def _said(descriptor: int) -> str:
    return os.read(descriptor, 256).decode("utf-8", "replace").strip() or "another engine"


def _is_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
