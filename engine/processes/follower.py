"""The orchestrator's ear: reads what was just journaled and tells its subscribers, by event type.

It reads the files, never the rings, so whoever subscribes can be as slow as it likes without a
record waiting for it. One thread polls it, piece by piece, because that thread shows that its role
is alive; what it has not told yet waits in the files.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np

from engine.domain.codes import EventType
from engine.domain.records import EVENT_DTYPE
from engine.processes.events import SubscriberTable
from engine.store.frames import FrameKind
from engine.store.journal import (
    SOURCE_CONTROL,
    SOURCE_EVENTS_BRAIN,
    SOURCE_EVENTS_FEED,
    SOURCE_EVENTS_ORCHESTRATOR,
)
from engine.store.reader import Batch, PieceReader, SourceReader, join_records

FOLLOWED: Final = (
    SOURCE_CONTROL,
    SOURCE_EVENTS_BRAIN,
    SOURCE_EVENTS_FEED,
    SOURCE_EVENTS_ORCHESTRATOR,
)
# Of one source in one call. A decision becomes a log line in 0.3 ms of a core: 80 ms together.
EVENTS_MAX: Final = 256


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
            PieceReader(SourceReader(directory, source, first_sequences.get(source, 0)))
            for source in FOLLOWED
        ]

    def poll(self) -> int:
        """Tell subscribers the next piece of each source; return how many events those were.

        Raises:
            JournalError: the journal cannot be read.
        """
        return sum(self._take(reader.take(EVENTS_MAX)) for reader in self._readers)

    def _take(self, batches: list[Batch]) -> int:
        for batch in batches:
            if batch.kind is FrameKind.LOST:
                self.lost_count += batch.record_count
        # Together, because what numpy asks for a call is more than for some hundred records.
        records = join_records((batch.records for batch in batches), EVENT_DTYPE)
        if len(records) == 0:
            return 0
        event_types, counts = np.unique(records["event_type"], return_counts=True)
        for event_type, count in zip(event_types.tolist(), counts.tolist(), strict=True):
            self.counts[event_type] += count
        self._table.publish_events(records[np.isin(records["event_type"], self._subscribed)])
        return len(records)

    def count(self, event_type: EventType) -> int:
        """Return how many events of a type were seen."""
        return self.counts[event_type]
