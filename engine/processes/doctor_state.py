"""What `aegis doctor` finds of earlier runs: database, locks, what a crash left, trading state."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from engine.config import Config
from engine.processes.commands import STATE_FILE
from engine.processes.control import segment_name
from engine.processes.doctor_lease import look_at_instance, look_at_lease
from engine.processes.finding import Finding
from engine.processes.projector import open_databases
from engine.store.database import Database
from engine.store.errors import ProjectionError, StoreError
from engine.store.session import SessionDocument, sessions
from ringbuffer.segment import find_stale, owner_alive

NO_TABLE: Final = ("no such table", "UndefinedTable")  # SQLite, PostgreSQL
NS_PER_S: Final = 1_000_000_000


def look_at_state(config: Config) -> list[Finding]:
    """Return what earlier runs of this home left, account by account where they differ."""
    folders = state_folders(config)
    return [
        look_at_instance(config),
        look_at_lease(config),
        *_databases(config, folders),
        _leftovers(config),
        *(_last_session(folder) for folder in folders),
        *_halts(folders),
    ]


def state_folders(config: Config) -> list[Path]:
    """Return the newest state directory of each kind of account in this home.

    Every practice run has an account of its own, so of those only the newest says anything.
    """
    root = Path(config.home) / "state"
    found = [path for path in root.glob("*") if path.is_dir()] if root.is_dir() else []
    practice = [path for path in found if path.name.startswith("practice-run-")]
    others = [path for path in found if path not in practice]
    newest = sorted(practice, key=lambda path: path.stat().st_mtime_ns)[-1:]
    return sorted(others) + newest


def _databases(config: Config, folders: list[Path]) -> Iterator[Finding]:
    from engine.store.sqlite import DATABASE_NAME, SqliteDatabase

    remedy = "stop the engine, delete the file: the journal fills it again"
    for folder in folders:
        path = folder / DATABASE_NAME
        if not path.exists():
            continue
        try:
            found = _version(SqliteDatabase(path, read_only=True))
            yield Finding("database", good=True, found=f"{folder.name}: {found}")
        except ProjectionError as error:
            yield Finding("database", good=False, found=str(error), remedy=remedy)
    if config.database_url:
        yield _postgres(config)


def _postgres(config: Config) -> Finding:
    open_postgres = open_databases(config)[-1]
    try:
        database = open_postgres()
        return Finding("database", good=True, found=f"{database.name}: {_version(database)}")
    except ProjectionError as error:
        remedy = "look at DATABASE_URL and the server; trading goes on, the tables wait"
        return Finding("database", good=False, found=str(error), remedy=remedy)


def _version(database: Database) -> str:
    with contextlib.closing(database):
        try:
            rows = database.query("SELECT MAX(version) FROM schema_versions")
        except ProjectionError as error:
            if not any(words in str(error) for words in NO_TABLE):
                raise
            return "empty; the first start makes its tables"
    return f"schema {rows[0][0]}"


def _leftovers(config: Config) -> Finding:
    stale = find_stale(segment_name(config.name, ""))
    if not stale:
        return Finding("leftovers", good=True, found="no segment of a dead engine")
    found = f"{len(stale)} segments of a dead engine in /dev/shm"
    remedy = "nothing: the next start journals and removes them"
    return Finding("leftovers", good=False, found=found, remedy=remedy)


def _last_session(folder: Path) -> Finding:
    try:
        known = sessions(folder)
    except StoreError as error:
        remedy = "keep the folder, look at `aegis journal verify`"
        return Finding("last run", good=False, found=str(error), remedy=remedy, fatal=True)
    if not known:
        return Finding("last run", good=True, found=f"{folder.name}: none yet")
    _, document = known[-1]
    began = _ago(document.started_realtime_ns)
    if document.ended_realtime_ns:
        return Finding("last run", good=True, found=f"{folder.name}: began {began}, ended in order")
    if owner_alive(document.main_pid, document.main_start_ticks):
        return Finding("last run", good=True, found=f"{folder.name}: began {began}, runs")
    return Finding(
        "last run",
        good=False,
        found=f"{folder.name}: began {began} and was not closed: it crashed or was killed",
        remedy=_crash_remedy(folder, document),
    )


def _crash_remedy(folder: Path, document: SessionDocument) -> str:
    journal = folder / "journal" / document.session_id
    return f"the next start reconciles; look at {journal} with `aegis journal verify`"


def _halts(folders: list[Path]) -> Iterator[Finding]:
    for folder in folders:
        try:
            stored: dict[str, Any] = json.loads((folder / STATE_FILE).read_text("utf-8"))
            name, who, why = stored["name"], stored["who"], stored["reason"]
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError):
            found = f"{folder.name}: {STATE_FILE} cannot be read, so the next start is HALTED"
            yield Finding("trading", good=False, found=found, remedy="`aegis resume --reason ...`")
            continue
        found = f"{folder.name}: {name}, by {who}: {why}"
        yield Finding("trading", name == "ENABLED", found, "`aegis resume --reason ...` re-arms")


def _ago(realtime_ns: int) -> str:
    minutes = max(time.time_ns() - realtime_ns, 0) / NS_PER_S / 60
    return f"{minutes:,.0f} min ago" if minutes < 120 else f"{minutes / 60:,.0f} h ago"
