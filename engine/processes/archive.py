"""Second copies, made beside the engine: closed journal files, and the audit trail as it grows.

        closed files of journals -----> <archive>/journal/<state key>/<session>/
        events of the brain --rows----> <audit copy>/audit/<state key>/<session>-<row>.jsonl

One thread, started when a place is configured. Each copy is read back before it counts; what is not
copied waits in the journal, so nothing is queued here and nothing waits for a storage that is away.
The same thread lets whole sessions go, which reads journals and removes any number of bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from engine.config import Config
from engine.domain import typed
from engine.processes.audit_log import SessionRows
from engine.store.errors import JournalError, StoreError
from engine.store.retention import closed_files, read_note, write_note
from engine.store.session import session_directory, sessions
from engine.tapes.errors import MissingExtraError, UploadError
from engine.tapes.upload import Destination

ROUND_S: Final = 5.0
SPOOL_NAME: Final = "audit-copy.jsonl"  # what is being copied, beside the journals
PLACE_NAME: Final = "audit-copy.json"
EVENTS_MAX: Final = 16_384  # whose rows become one object
FAILURES: Final = (StoreError, OSError, UploadError, MissingExtraError)
Pause = Callable[[float], object]


class JournalArchive:
    """Copies the closed files of every session of one account."""

    def __init__(self, destination: Destination, directory: Path) -> None:
        """Take the place for copies and the journal of the session that runs."""
        self._destination = destination
        self._running = directory

    def work(self, pause: Pause) -> int:
        """Copy what was closed and is not copied yet; return how many files that were.

        Raises:
            StoreError, OSError: a session or a note cannot be used.
            UploadError: a copy could not be made or verified; it is tried again the next time.
        """
        count = 0
        folder = self._running.parent
        for directory in sorted(path for path in folder.iterdir() if path.is_dir()):
            note = read_note(directory)
            for path in closed_files(directory, is_running=directory == self._running):
                if path.name not in note:
                    name = f"journal/{folder.parent.name}/{directory.name}/{path.name}"
                    note[path.name] = self._destination.put(path, name, pause=pause)["sha256"]
                    write_note(directory, note)
                    count += 1
        return count


class _Place(msgspec.Struct):
    """How far the audit trail was copied."""

    last: dict[str, int] = {}  # by session: the sequence of the last row
    complete: list[str] = []  # sessions of which everything is copied


class AuditCopy:
    """Copies the rows of the audit trail of every session of one account, as they come."""

    def __init__(self, destination: Destination, directory: Path) -> None:
        """Go on behind the last row that was copied.

        Raises:
            StoreError: the note of that cannot be read.
        """
        self._destination = destination
        self._state = directory.parent.parent
        self._running = directory
        self._place = _read_place(self._state / PLACE_NAME)
        self._rows: dict[str, SessionRows] = {}

    def work(self, pause: Pause) -> int:
        """Copy the rows that came; return how many objects that made.

        Raises:
            StoreError, OSError: a journal or the note cannot be used.
            UploadError: rows could not be copied; they are tried again the next time.
        """
        before = self._place.last.copy()
        place = self._place
        for directory, document in sessions(self._state):
            session = document.session_id
            if session in place.complete or not document.instruments:
                continue
            if session not in self._rows:
                last = place.last.get(session, -1)
                self._rows[session] = SessionRows(directory, document, last, EVENTS_MAX)
            rows = self._rows[session]
            while rows.write(partial(self._put, session, rows, pause)):
                pass
            if directory != self._running:
                place.complete.append(session)
                del self._rows[session]
                self._note()
        return sum(before.get(session) != last for session, last in place.last.items())

    def _put(self, session: str, rows: SessionRows, pause: Pause, lines: list[bytes]) -> int:
        """Copy rows as one object, named by the first that may be in it; return how many."""
        first = self._place.last.get(session, -1) + 1
        spool = self._state / SPOOL_NAME
        spool.write_bytes(b"".join(lines))
        name = f"audit/{self._state.name}/{session}-{first:012d}.jsonl"
        self._destination.put(spool, name, pause=pause)
        spool.unlink()
        self._place.last[session] = rows.last
        self._note()
        return len(lines)

    def _note(self) -> None:
        staged = self._state / f"{PLACE_NAME}.part"
        staged.write_bytes(msgspec.json.encode(self._place))
        staged.replace(self._state / PLACE_NAME)


class Archivist:
    """The thread that makes both."""

    def __init__(
        self, config: Config, on_alarm: Callable[[str], None], retire: Callable[[], None]
    ) -> None:
        """Prepare; a place that cannot be opened is told and tried again each round.

        Args:
            config: says which places there are; without any the thread does nothing.
            on_alarm: told once why a round failed, until one succeeds or fails otherwise.
            retire: called behind each round, to remove what needs no keeping any more.
        """
        self._config = config
        self._on_alarm = on_alarm
        self._retire = retire
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="archivist", daemon=True)
        self._copies: list[JournalArchive | AuditCopy] = []
        self._told = ""

    @property
    def is_wanted(self) -> bool:
        """Whether a place is configured, or what is old may go."""
        journal = self._config.journal
        return bool(journal.archive or journal.audit_copy or journal.keep_days)

    @property
    def has_died(self) -> bool:
        """Whether the thread ended without being asked to."""
        was_started = self._thread.ident is not None
        return was_started and not self._thread.is_alive() and not self._stopping.is_set()

    def start(self) -> None:
        """Start the thread, if there is anything to do."""
        if self.is_wanted:
            self._thread.start()

    def stop(self, budget_s: float) -> bool:
        """Copy what there is and end; return whether that took no longer than the budget."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(budget_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            is_last = self._stopping.is_set()
            self.work()
            if is_last:
                return
            self._retire()
            self._stopping.wait(ROUND_S)

    def work(self) -> None:
        """Make one round; a failure is told and left for the next."""
        try:
            for copy in self._opened():
                copy.work(self._stopping.wait)
            self._told = ""
        except FAILURES as error:
            if str(error) != self._told:
                self._told = str(error)
                self._on_alarm(self._told)

    def _opened(self) -> list[JournalArchive | AuditCopy]:
        if not self._copies:
            config, directory = self._config, session_directory(self._config)
            copies: list[JournalArchive | AuditCopy] = []
            if config.journal.audit_copy:
                copies.append(AuditCopy(_open(config.journal.audit_copy, config), directory))
            if config.journal.archive:
                copies.append(JournalArchive(_open(config.journal.archive, config), directory))
            self._copies = copies
        return self._copies


def _open(url: str, config: Config) -> Destination:
    """Open a place for copies; a path without a scheme is a folder of this machine."""
    place = url if "://" in url else Path(url).absolute().as_uri()
    return Destination(place, region=config.aws_region, endpoint=config.aws_endpoint)


def _read_place(path: Path) -> _Place:
    try:
        return typed.decode(path.read_bytes(), _Place)
    except FileNotFoundError:
        return _Place()
    except (OSError, msgspec.DecodeError) as error:
        raise JournalError(f"{path} cannot be read: {error}") from error
