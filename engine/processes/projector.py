"""The projection thread: journal files into one database, whenever that database can take them.

A database that refuses is closed, opened again after a pause that doubles up to a bound, and told
to a person once a minute. Nothing waits for it: the files hold everything meanwhile.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from engine.config import Config
from engine.extras import install
from engine.processes.time_slice import step_aside
from engine.store.database import Database, migrate
from engine.store.errors import JournalError, ProjectionError
from engine.store.feature_rows import FeatureProjection, VectorNames
from engine.store.projection import SessionProjection
from engine.store.session import SessionDocument, document_changed_ns, read_document, sessions

POLL_PERIOD_S: Final = 0.1
RETRY_FIRST_S: Final = 0.5
RETRY_MAX_S: Final = 30.0
ALARM_PERIOD_S: Final = 60.0

OpenDatabase = Callable[[], Database]
Projection = SessionProjection | FeatureProjection


def open_databases(config: Config) -> list[OpenDatabase]:
    """Return how to open each database of a configuration.

    SQLite always, because `aegis status` and the page read it; PostgreSQL beside it.
    """
    found: list[OpenDatabase] = [partial(_open_sqlite, config)]
    if config.database_url:
        found.append(partial(open_postgres, config.database_url))
    return found


def _open_sqlite(config: Config) -> Database:
    from engine.store.sqlite import DATABASE_NAME, SqliteDatabase

    return SqliteDatabase(Path(config.state_dir) / DATABASE_NAME)


def open_postgres(url: str) -> Database:
    """Return the PostgreSQL database at a URL; nothing is opened yet.

    Raises:
        ProjectionError: its package is not installed.
    """
    try:
        from engine.store.postgres import PostgresDatabase
    except ImportError as error:
        message = f"database_url needs the extra: {install('postgres')}"
        raise ProjectionError(message) from error
    return PostgresDatabase(url)


def present_names() -> VectorNames:
    """Return what this version calls the columns of feature vectors; reads its sources."""
    from engine.processes.feature_files import present_plan

    plan = present_plan()
    return VectorNames(plan.word, plan.names)


class Projector:
    """Projects every session of a state directory, the running one as it is written."""

    def __init__(
        self,
        open_database: OpenDatabase,
        directory: Path,
        *,
        on_alarm: Callable[[str], None],
        vector_names: Callable[[], VectorNames] | None = None,
        retry_first_s: float = RETRY_FIRST_S,
        is_aside: bool = False,
    ) -> None:
        """Project the session in `directory` and the ones before it; nothing runs before `start`.

        Args:
            open_database: called by the projection thread, again after every failure.
            directory: journal directory of the running session.
            on_alarm: told, at most once a minute, that the database is away and why.
            vector_names: called by the projection thread; None: no feature vector is projected.
            retry_first_s: pause after the first failure; doubles up to RETRY_MAX_S.
            is_aside: the thread lets every other go first.
        """
        self._open_database = open_database
        self._directory = directory
        self._on_alarm = on_alarm
        self._vector_names = vector_names
        self._names: VectorNames | None = None
        self._retry_first_s = retry_first_s
        self._is_aside = is_aside
        self._alarmed_s = -ALARM_PERIOD_S
        self._stopping = threading.Event()
        self._has_passed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="projector", daemon=True)
        self.projected_count = 0
        self.failure_count = 0

    @property
    def has_passed(self) -> bool:
        """Whether every earlier session is projected, or told to be damaged."""
        return self._has_passed.is_set()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, budget_s: float) -> bool:
        """Project what is written and end; return whether that took no longer than the budget.

        A database that does not answer is left behind: the next start goes on where it stands.
        """
        self._stopping.set()
        self._thread.join(budget_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        if self._is_aside:
            step_aside()
        pause_s = self._retry_first_s
        while True:
            before = self.projected_count
            try:
                self._project_until_stopped()
                return
            except (ProjectionError, JournalError) as error:
                self.failure_count += 1
                self._alarm(str(error))
            if self.projected_count != before:
                pause_s = self._retry_first_s
            # Jitter, so that several engines do not return to one database together.
            if self._stopping.wait(pause_s * random.uniform(0.8, 1.2)):  # noqa: S311
                return
            pause_s = min(2 * pause_s, RETRY_MAX_S)

    def _project_until_stopped(self) -> None:
        database = self._open_database()
        try:
            migrate(database, time.time_ns())
            for directory, document in sessions(self._directory.parent.parent):
                if directory != self._directory:
                    self._project_earlier(self._projections(database, directory, document))
            self._has_passed.set()
            self._follow(database)
        finally:
            database.close()

    def _projections(
        self, database: Database, directory: Path, document: SessionDocument
    ) -> list[Projection]:
        found: list[Projection] = [SessionProjection(database, directory, document)]
        if self._vector_names is not None:
            self._names = self._names or self._vector_names()
            found.append(FeatureProjection(database, directory, document, self._names))
        return found

    def _project_earlier(self, projections: list[Projection]) -> None:
        # A damaged journal of an earlier session is told and left; this session goes on.
        try:
            self._drain(projections)
        except JournalError as error:
            self._alarm(str(error))

    def _follow(self, database: Database) -> None:
        changed_ns = -1
        projections: list[Projection] = []
        while True:
            # Asked before the last pass, so that what was written before `stop` is projected.
            is_last = self._stopping.is_set()
            seen_ns = document_changed_ns(self._directory)
            if not projections or seen_ns != changed_ns:
                changed_ns = seen_ns
                document = read_document(self._directory)
                projections = self._projections(database, self._directory, document)
            self._drain(projections)
            if is_last:
                return
            self._stopping.wait(POLL_PERIOD_S)

    def _drain(self, projections: list[Projection]) -> None:
        for projection in projections:
            while count := projection.project():
                self.projected_count += count

    def _alarm(self, text: str) -> None:
        now_s = time.monotonic()
        if now_s - self._alarmed_s >= ALARM_PERIOD_S:
            self._alarmed_s = now_s
            self._on_alarm(text)
