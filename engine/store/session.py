"""A session's document: what a journal needs beside its records to be read and run again.

`session.json` is written before the first record: who ran where with which configuration (secrets
hidden), instruments, strategies and kernels. Indices in records are dense numbers of that session
only; the document says what they stand for. It is replaced as a whole, never edited in place.

Sessions of one (venue, account, mode) share one state directory and nothing else does:

        <home>/state/<venue>-<account>-<mode>/
            aegis.db                     projection
            journal/<session_id>/        one per run, ordered by epoch
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.config import Config
from engine.domain import typed
from engine.domain.instrument_row import Instrument
from engine.domain.strategy_table import StrategyRow
from engine.store.errors import SessionError

DOCUMENT_NAME: Final = "session.json"
JOURNAL_FOLDER: Final = "journal"
_FILE_MODE: Final = 0o600


class SourceSeal(msgspec.Struct, frozen=True, kw_only=True):
    """Where a source ended when its session was closed in order."""

    next_sequence: int
    digest: str


class SessionDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What a session was; times in ns, `started_*` taken together so that clocks convert."""

    session_id: str
    instance: str
    state_key: str  # <venue>-<account>-<mode>
    epoch: int
    engine_tag: str
    started_realtime_ns: int
    started_monotonic_ns: int
    main_pid: int
    main_start_ticks: int
    version: str
    kernel_key: str
    market_journal: str  # all or off
    config: dict[str, Any]
    instruments: tuple[Instrument, ...] = ()
    strategies: tuple[StrategyRow, ...] = ()
    ended_realtime_ns: int = 0  # 0: runs, or was not closed in order
    seals: dict[str, SourceSeal] = {}

    def realtime_ns(self, monotonic_ns: int) -> int:
        """Return the wall-clock time of a monotonic time of this session's host."""
        return monotonic_ns - self.started_monotonic_ns + self.started_realtime_ns

    def symbol(self, instrument_index: int) -> str:
        """Return what an instrument_index of this session stands for; empty: unknown."""
        if 0 <= instrument_index < len(self.instruments):
            return self.instruments[instrument_index].symbol
        return ""

    def strategy(self, strategy_index: int) -> str:
        """Return what a strategy_index of this session stands for; empty: none."""
        if 0 <= strategy_index < len(self.strategies):
            return self.strategies[strategy_index].name
        return ""

    def order_epoch(self, epoch_low: int) -> int:
        """Return the epoch an order of this journal belongs to, from the byte its records carry.

        An order may rest from an earlier session; 256 sessions later the byte would be taken.
        """
        return self.epoch - ((self.epoch - epoch_low) & 0xFF)


def state_key(config: Config) -> str:
    """Return the name under which ledger, positions and limits are kept apart."""
    return Path(config.state_dir).name


def session_directory(config: Config) -> Path:
    """Return the directory of this run's journal."""
    return Path(config.state_dir) / JOURNAL_FOLDER / config.session_id


def write_document(directory: Path, document: SessionDocument) -> None:
    """Put the document in its session's directory, on the disk, as a whole.

    Raises:
        OSError: it cannot be written; the document that was there stays.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged = directory / f"{DOCUMENT_NAME}.part"
    file = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _FILE_MODE)
    with os.fdopen(file, "wb") as stream:  # writes on where a disk that fills takes a part only
        stream.write(msgspec.json.format(msgspec.json.encode(document), indent=1))
        stream.flush()
        os.fsync(file)
    staged.replace(directory / DOCUMENT_NAME)


def read_document(directory: Path) -> SessionDocument:
    """Return the document of a session.

    Raises:
        SessionError: it is missing, damaged, or belongs to another directory.
    """
    path = directory / DOCUMENT_NAME
    try:
        document = typed.decode(path.read_bytes(), SessionDocument)
    except OSError as error:
        raise SessionError(f"no session document at {path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        message = f"{path} is damaged, or of another version of the engine: {error}"
        raise SessionError(message) from error
    if document.session_id != directory.name:
        raise SessionError(f"{path} belongs to session {document.session_id}")
    return document


def document_changed_ns(directory: Path) -> int:
    """Return when the document of a session was written last.

    Raises:
        SessionError: there is none.
    """
    path = directory / DOCUMENT_NAME
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        raise SessionError(f"no session document at {path}: {error.strerror}") from error


def sessions(state_directory: Path) -> list[tuple[Path, SessionDocument]]:
    """Return the sessions of a (venue, account, mode), oldest first.

    A directory without a document holds no record: its writer died before the first one.
    """
    found = [
        (path.parent, read_document(path.parent))
        for path in (state_directory / JOURNAL_FOLDER).glob(f"*/{DOCUMENT_NAME}")
    ]
    return sorted(found, key=lambda pair: (pair[1].epoch, pair[1].started_realtime_ns))


def find_session(home: Path, asked: str | None) -> Path:
    """Return the journal directory that is meant: a path, a session's id, or the newest of a home.

    Raises:
        LookupError: there is none.
    """
    if asked is not None and (Path(asked) / DOCUMENT_NAME).is_file():
        return Path(asked)
    paths = (home / "state").glob(f"*/{JOURNAL_FOLDER}/*/{DOCUMENT_NAME}")
    found = [path for path in paths if asked is None or path.parent.name == asked]
    if not found:
        raise LookupError(f"no journal {asked or 'of any session'} in {home}/state")
    return max(found, key=lambda path: (path.stat().st_mtime_ns, path)).parent


def session_of_engine(home: Path, main_pid: int, main_start_ticks: int) -> Path | None:
    """Return the directory of the session an engine wrote, by its main process; None: none."""
    paths = (home / "state").glob(f"*/{JOURNAL_FOLDER}/*/{DOCUMENT_NAME}")
    for path in sorted(paths, key=lambda found: found.stat().st_mtime_ns, reverse=True):
        document = read_document(path.parent)
        if (document.main_pid, document.main_start_ticks) == (main_pid, main_start_ticks):
            return path.parent
    return None
