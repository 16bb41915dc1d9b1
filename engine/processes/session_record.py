"""Writes this run's session document: first before any record, again when instruments are known."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engine.config import shown
from engine.processes.kernel_cache import cache_key
from engine.processes.strategy_rows import strategy_rows
from engine.store.instrument_segment import published_count, published_instruments
from engine.store.journal import SourceWriter
from engine.store.session import (
    DOCUMENT_NAME,
    SessionDocument,
    SourceSeal,
    read_document,
    state_key,
    write_document,
)
from engine.version import VERSION

if TYPE_CHECKING:
    from engine.processes.runner import RoleContext
    from ringbuffer.segment import Segment


class SessionRecord:
    """The document of the session this process journals."""

    def __init__(self, directory: Path, context: RoleContext, instruments: Segment) -> None:
        """Nothing is written yet; `instruments` is the segment the feed fills."""
        self._directory = directory
        self._context = context
        self._instruments = instruments
        self.document: SessionDocument | None = None

    @property
    def is_complete(self) -> bool:
        """True once the document names the instruments."""
        return self.document is not None and bool(self.document.instruments)

    def write_first(self) -> None:
        """Write what is known before the first record, or take over an earlier orchestrator's.

        Raises:
            SessionError: the document there is damaged.
            OSError: the directory cannot be written.
        """
        if (self._directory / DOCUMENT_NAME).exists():
            self.document = read_document(self._directory)
            return
        config = self._context.config
        owner = self._context.control.segment.prefix
        self.document = SessionDocument(
            session_id=config.session_id,
            instance=config.name,
            state_key=state_key(config),
            epoch=config.epoch,
            engine_tag=config.engine_tag,
            started_realtime_ns=time.time_ns(),
            started_monotonic_ns=time.monotonic_ns(),
            main_pid=owner.owner_pid,
            main_start_ticks=owner.owner_start_ticks,
            version=VERSION,
            kernel_key=cache_key(),
            market_journal=config.journal.market,
            config=shown(config),
            strategies=strategy_rows(config),
        )
        write_document(self._directory, self.document)

    def complete(self) -> bool:
        """Add the instruments once the feed has published them; return whether it did."""
        assert self.document is not None, "write_first comes first"
        instruments = published_instruments(self._instruments)
        if not instruments:
            return False
        self.document = msgspec.structs.replace(self.document, instruments=instruments)
        write_document(self._directory, self.document)
        return True

    def extend(self) -> None:
        """Add the instruments that came since; those that are named stay as they were."""
        assert self.document is not None, "write_first comes first"
        known = self.document.instruments
        if published_count(self._instruments) <= len(known):
            return
        came = published_instruments(self._instruments, len(known))
        self.document = msgspec.structs.replace(self.document, instruments=known + came)
        write_document(self._directory, self.document)

    def seal(self, writers: Sequence[SourceWriter]) -> None:
        """Add where each source ended: the session was closed in order."""
        assert self.document is not None, "write_first comes first"
        seals = {
            writer.source: SourceSeal(
                next_sequence=writer.next_sequence, digest=writer.digest.hex()
            )
            for writer in writers
        }
        self.document = msgspec.structs.replace(
            self.document, ended_realtime_ns=time.time_ns(), seals=seals
        )
        write_document(self._directory, self.document)
