"""Where the venue's clock was set back, as the journals of a state directory tell."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from engine.domain.codes import EventType
from engine.domain.stamps import NO_BOUND, ClockLooks
from engine.store.database import Value
from engine.store.journal import SOURCE_EVENTS_BRAIN
from engine.store.reader import SourceReader
from engine.store.session import sessions


class SetBacks:
    """What each look at the venue's clock that found it set back left of the stamps before."""

    def __init__(self, state_directory: Path) -> None:
        """Read every session.

        Raises:
            StoreError: a journal or its document cannot be read.
        """
        self._bounds: list[tuple[int, int, int]] = []  # epoch, sequence, stamp
        looks = ClockLooks()
        for directory, document in sessions(state_directory):
            reader = SourceReader(directory, SOURCE_EVENTS_BRAIN)
            while batches := reader.poll():
                for batch in batches:
                    records = batch.records
                    for event in records[records["event_type"] == EventType.VENUE_CLOCK]:
                        bound_ns = looks.bound_ns(event)
                        if bound_ns < NO_BOUND:
                            place = (document.epoch, int(event["sequence"]) - 1)
                            self._bounds.append((*place, bound_ns))

    def lowered(self, kept: Iterable[Value]) -> int:
        """Return what is left of a stamp.

        Args:
            kept: the stamp; the epoch and the sequence of the record that kept it.
        """
        stamp_ns, epoch, sequence = (int(number or 0) for number in kept)
        later = [bound for *place, bound in self._bounds if place > [epoch, sequence]]
        return min([stamp_ns, *later])
