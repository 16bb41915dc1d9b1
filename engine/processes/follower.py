"""The orchestrator's ear: reads what was just journaled and tells its subscribers, by event type.

It reads the files, never the rings, so whoever subscribes can be as slow as it likes without a
record waiting for it. One thread polls it; only types that have a subscriber cost anything.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np

from engine.domain.codes import EventType
from engine.processes.events import SubscriberTable
from engine.store.frames import FrameKind
from engine.store.journal import (
    SOURCE_CONTROL,
    SOURCE_EVENTS_BRAIN,
    SOURCE_EVENTS_FEED,
    SOURCE_EVENTS_ORCHESTRATOR,
)
from engine.store.reader import Batch, SourceReader

FOLLOWED: Final = (
    SOURCE_CONTROL,
    SOURCE_EVENTS_BRAIN,
    SOURCE_EVENTS_FEED,
    SOURCE_EVENTS_ORCHESTRATOR,
)


class Follower:
    """Follows the event sources of one session as they are written."""

    def __init__(
        self, directory: Path, table: SubscriberTable, first_sequences: dict[str, int]
    ) -> None:
        """Start behind what an earlier orchestrator of this session told already.

        Args:
            directory: the session's journal.
            table: subscribers of this process, sealed.
            first_sequences: per source, where the journal ended when this process opened it.
        """
        self.counts: Counter[int] = Counter()  # events seen, by type
        self.lost_count = 0
        self._table = table
        self._subscribed = np.array(sorted(table.subscribers), dtype=np.uint16)
        self._readers = [
            SourceReader(directory, source, first_sequences.get(source, 0)) for source in FOLLOWED
        ]

    def poll(self) -> int:
        """Tell subscribers what was written since; return how many events were read.

        Raises:
            JournalError: the journal cannot be read.
        """
        return sum(self._take(batch) for reader in self._readers for batch in reader.poll())

    def _take(self, batch: Batch) -> int:
        if batch.kind is FrameKind.LOST:
            self.lost_count += batch.record_count
        if len(batch.records) == 0:
            return 0
        event_types, counts = np.unique(batch.records["event_type"], return_counts=True)
        for event_type, count in zip(event_types.tolist(), counts.tolist(), strict=True):
            self.counts[event_type] += count
        wanted = np.isin(batch.records["event_type"], self._subscribed)
        self._table.publish_events(batch.records[wanted])
        return len(batch.records)

    def count(self, event_type: EventType) -> int:
        """Return how many events of a type were seen."""
        return self.counts[event_type]
