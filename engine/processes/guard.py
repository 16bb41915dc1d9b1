"""The orchestrator's own trading-state word: why it may stop trading, and when it lets go.

Each reason holds a severity. The word is the most severe of the reasons that hold now; the brain
reads it before every step. A latched reason (the journal could not be written, records were lost)
waits for an operator's resume and for its cause to be gone; the others end with their cause.
Any thread of the orchestrator may raise or lower a reason.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from engine.domain.codes import TradingState

SetState = Callable[[TradingState, int], None]


class GuardReason(IntEnum):
    """Why the orchestrator restricts trading. Stored in journals: never renumbered."""

    NONE = 0
    JOURNAL_UNWRITABLE = 1  # an append or a sync was refused
    RECORDER_EVICTED = 2  # a ring went on without the journal: records are missing
    RECORDS_LOST = 3  # the journal jumps over records
    DISK_SPACE = 4  # below the floor
    MEMORY = 5  # all roles together above max_memory_mb
    # Alarms only.
    JOURNAL_LAG = 20  # a ring is filling faster than it is drained
    DATABASE_AWAY = 21  # the projection waits for its database
    JOURNAL_UNREADABLE = 22  # the follower cannot read what was written
    AUDIT_UNWRITABLE = 23  # the audit trail waits for its file, or for a journal it cannot read
    ARCHIVE_AWAY = 24  # copies of journals or of the audit trail wait for their storage
    UNARCHIVED_REMOVED = 25  # the journal's bound took market records that had no copy yet


SEVERITY: Final = {
    GuardReason.JOURNAL_UNWRITABLE: TradingState.HALTED,
    GuardReason.RECORDER_EVICTED: TradingState.HALTED,
    GuardReason.RECORDS_LOST: TradingState.HALTED,
    GuardReason.DISK_SPACE: TradingState.PAUSED,
    GuardReason.MEMORY: TradingState.PAUSED,
}
LATCHED: Final = frozenset(
    {GuardReason.JOURNAL_UNWRITABLE, GuardReason.RECORDER_EVICTED, GuardReason.RECORDS_LOST}
)


class TradingGuard:
    """Folds the reasons that hold into the one word."""

    def __init__(self, set_state: SetState) -> None:
        """Write every change through `set_state(trading state, reason)`."""
        self._set_state = set_state
        self._lock = threading.Lock()
        self._present: set[GuardReason] = set()  # the cause is there now
        self._latched: set[GuardReason] = set()  # waits for a resume
        self._written = (TradingState.ENABLED, GuardReason.NONE)

    @property
    def state(self) -> TradingState:
        """The trading state this role asks for."""
        return self._written[0]

    @property
    def reason(self) -> GuardReason:
        """Why; NONE when enabled."""
        return self._written[1]

    def hold(self, reason: GuardReason) -> bool:
        """Say that a cause is there; return whether that is news."""
        with self._lock:
            is_news = reason not in self._present
            self._present.add(reason)
            if reason in LATCHED:
                self._latched.add(reason)
            self._write()
        return is_news

    def release(self, reason: GuardReason) -> None:
        """Say that a cause is gone; a latched reason still waits for `resume`."""
        with self._lock:
            self._present.discard(reason)
            self._write()

    def resume(self) -> None:
        """Let go of latched reasons whose cause is gone: an operator asked."""
        with self._lock:
            self._latched &= self._present
            self._write()

    def _write(self) -> None:
        held = self._present | self._latched
        worst = max(held, key=lambda reason: (SEVERITY[reason], -reason), default=None)
        wanted = (
            (TradingState.ENABLED, GuardReason.NONE) if worst is None else (SEVERITY[worst], worst)
        )
        if wanted != self._written:
            self._written = wanted
            self._set_state(*wanted)
