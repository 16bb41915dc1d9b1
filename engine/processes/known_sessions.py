"""The sessions of a home that a report looks at, folded into facts one after another."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from engine.processes.progress import progressing
from engine.store.errors import StoreError
from engine.store.facts import Facts, read_facts
from engine.store.session import DOCUMENT_NAME, SessionDocument
from ringbuffer.segment import owner_alive

NS_PER_DAY: Final = 86_400_000_000_000


def counted(count: int) -> str:
    """Return how many sessions, in words of a sentence."""
    return f"{count:,} session{'' if count == 1 else 's'}"


class Known(NamedTuple):
    """What was read, oldest session first, and what could not be, in a sentence each."""

    facts: list[Facts]
    problems: list[str]

    @property
    def paper(self) -> list[Facts]:
        """Return the sessions that traded paper or practice money."""
        return [each for each in self.facts if each.document.state_key.endswith("-paper")]


def known_sessions(
    home: Path, days: float, state: str | None = None, session: str | None = None
) -> Known:
    """Return the sessions of a home that wrote anything in the last days.

    Args:
        home: AEGIS_HOME.
        days: how far back from now; a session counts by the last change of its journal.
        state: VENUE-ACCOUNT-MODE; None: of every account.
        session: the id of one session, whatever its age.
    """
    since_ns = time.time_ns() - int(days * NS_PER_DAY)
    found: list[Facts] = []
    problems: list[str] = []
    directories = [
        path.parent
        for path in sorted((home / "state").glob(f"{state or '*'}/journal/*/{DOCUMENT_NAME}"))
        if (path.parent.name == session if session else _changed_ns(path.parent) >= since_ns)
    ]
    with progressing(directories, "sessions") as each_directory:
        for directory in each_directory:
            try:
                found.append(read_facts(directory))
            except StoreError as error:
                problems.append(str(error))
    return Known(sorted(found, key=lambda each: each.document.started_realtime_ns), problems)


def crashed(document: SessionDocument) -> bool:
    """Return whether a session was neither closed in order nor runs."""
    lives = owner_alive(document.main_pid, document.main_start_ticks)
    return document.ended_realtime_ns == 0 and not lives


def _changed_ns(directory: Path) -> int:
    """Return when something in a journal changed last; 0: it was let go of meanwhile."""
    changed_ns = 0
    try:
        for path in directory.iterdir():
            with suppress(FileNotFoundError):  # a note is replaced, a market segment removed
                changed_ns = max(changed_ns, path.stat().st_mtime_ns)
    except FileNotFoundError:
        return 0
    return changed_ns
