"""The journal's events as tables: read from the files, batch by batch, each in one transaction.

        events-brain   -> order states, fills, positions, balances, decisions, refusals, adjustments
        every source   -> faults, role states

A batch and the cursor behind it are written together, so a record is projected exactly once
whatever dies; a database that lost everything is filled again from the first session's files.
Sessions of a state directory are projected in the order they ran. The control ring's records are
echoed by the brain with what came of them; its own source is not projected.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import EventType
from engine.domain.strategy_table import StrategyRow
from engine.store.cursors import read_cursor, write_cursor
from engine.store.database import Database, migrate
from engine.store.event_names import Event, EventNames
from engine.store.fold import ORDER_REPORTS, Fold
from engine.store.journal import (
    SOURCE_EVENTS_BRAIN,
    SOURCE_EVENTS_FEED,
    SOURCE_EVENTS_ORCHESTRATOR,
)
from engine.store.log_rows import MAKERS, log_row
from engine.store.reader import Batch, SourceReader
from engine.store.session import SessionDocument, sessions
from engine.store.tables import (
    DECISIONS,
    FILLS,
    INSTRUMENTS,
    ORDERS,
    PLANS,
    POSITIONS,
    SESSIONS,
    TABLES,
    Cells,
    Key,
    Table,
)
from engine.store.windows import MarketIndex

ORDER_EVENTS: Final = [*ORDER_REPORTS, EventType.ORDER_REQUEST, EventType.FILL]
PROJECTED: Final = (SOURCE_EVENTS_BRAIN, SOURCE_EVENTS_FEED, SOURCE_EVENTS_ORCHESTRATOR)


class StoredRows:
    """Rows of one (venue, account, mode) as the database has them."""

    def __init__(self, database: Database, state_key: str) -> None:
        """Read from a database that this thread uses."""
        self._database = database
        self._key = state_key
        self._fetched: dict[tuple[Table, Key], Cells | None] = {}

    def fetch(self, table: Table, keys: Iterable[Key]) -> None:
        """Read rows that will be asked for, many at a time, and keep them until `forget`."""
        wanted = list(keys)
        found = table.load_many(self._database, wanted)
        self._fetched |= {(table, key): found.get(key) for key in wanted}

    def forget(self) -> None:
        """Forget what was fetched: it may be written now."""
        self._fetched = {}

    def load(self, table: Table, key: Key) -> Cells | None:
        """Return the row of a key, or None."""
        if (table, key) in self._fetched:
            return self._fetched[table, key]
        return table.load(self._database, key)

    def open_positions(self) -> list[Cells]:
        """Return every position row that is not flat."""
        rows = self._database.query(
            f"SELECT {', '.join(POSITIONS.columns)} FROM positions "  # noqa: S608  our own names
            "WHERE state_key = ? AND lots <> 0",
            (self._key,),
        )
        return [dict(zip(POSITIONS.columns, row, strict=True)) for row in rows]

    def order_id(self, instrument: str, venue_order_id: int) -> str:
        """Return the order that has the venue's number; empty: none."""
        rows = self._database.query(
            "SELECT order_id FROM order_states WHERE state_key = ? AND instrument = ? "
            "AND venue_order_id = ? ORDER BY created_ns DESC LIMIT 1",
            (self._key, instrument, venue_order_id),
        )
        return str(rows[0][0]) if rows else ""


class SessionProjection:
    """Projects the sources of one session into one database, as far as they are written."""

    def __init__(self, database: Database, directory: Path, document: SessionDocument) -> None:
        """Go on where the database's cursors stand.

        Raises:
            ProjectionError: the database cannot say.
        """
        self._database = database
        self._document = document
        self._names = EventNames(document)
        asset = document.instruments[0].margin if document.instruments else ""
        self._stored = StoredRows(database, document.state_key)
        self._fold = Fold(self._names, self._stored, asset)
        self._market = MarketIndex(directory)
        self._recall()
        cursors = {source: read_cursor(database, document, source) for source in PROJECTED}
        self._readers = [
            SourceReader(directory, source, cursor.next_sequence)
            for source, cursor in cursors.items()
            if not cursor.is_complete
        ]
        self._wanted = {
            source: np.array(
                sorted(MAKERS | dict.fromkeys(self._fold.event_types))
                if source == SOURCE_EVENTS_BRAIN
                else sorted(MAKERS),
                dtype=np.uint16,
            )
            for source in PROJECTED
        }
        self._describe()

    def project(self) -> int:
        """Project what is written since the last call; return how many events were read.

        Raises:
            ProjectionError: the database refused; the same events come again next time.
            JournalError: a source cannot be read.
        """
        return sum(self._project_source(reader) for reader in self._readers)

    def _project_source(self, reader: SourceReader) -> int:
        place = reader.mark()
        batches = reader.poll()
        if not batches:
            return 0
        self._market.look()
        try:
            with self._database.transaction():
                for batch in batches:
                    self._project_batch(reader.source, batch)
                write_cursor(self._database, self._document, reader, batches)
        except BaseException:
            self._fold.take()
            self._stored.forget()
            reader.reset(place)
            raise
        return sum(len(batch.records) for batch in batches)

    def _project_batch(self, source: str, batch: Batch) -> None:
        records = batch.records
        wanted = np.flatnonzero(np.isin(records["event_type"], self._wanted[source]))
        logs: dict[Table, list[Cells]] = {}
        if source == SOURCE_EVENTS_BRAIN:
            self._fetch(records[wanted])
        for i in wanted.tolist():
            event = records[i]
            sequence = int(event["sequence"]) - 1  # the record's own word is one above its place
            event_type = int(event["event_type"])
            if event_type in MAKERS:
                table, cells = log_row(self._names, source, event, sequence)
                if table is DECISIONS:
                    cells |= self._window(event)
                logs.setdefault(table, []).append(cells)
            if source == SOURCE_EVENTS_BRAIN and event_type in self._fold.event_types:
                self._fold.apply(event, sequence)
        self._stored.forget()
        touched = self._fold.take() | logs
        for table in TABLES:
            if table in touched:
                table.write(self._database, touched[table])

    def _fetch(self, records: NDArray[np.void]) -> None:
        """Read the orders and fills that these records are about, in one question each."""
        key, names = self._document.state_key, self._names
        kinds = records["event_type"]
        ours = records[np.isin(kinds, ORDER_EVENTS) & (records["order_sequence"] > 0)]
        self._stored.fetch(ORDERS, {(key, names.order_id(event)) for event in ours})
        fills = records[kinds == EventType.FILL]
        self._stored.fetch(
            FILLS, {(key, names.instrument(event), int(event["trade_id"])) for event in fills}
        )

    def _window(self, event: Event) -> Cells:
        """Return where the journal holds what a decision saw."""
        place, strategies = int(event["strategy_index"]), self._document.strategies
        timeframe_s = strategies[place].timeframe_s if 0 <= place < len(strategies) else 1
        time_ns, cause = int(event["time_ns"]), int(event["cause_sequence"])
        first, last = self._market.window(time_ns, timeframe_s, cause)
        return {"window_first": first, "window_last": last}

    def _recall(self) -> None:
        # What a session's adjustments cover is forgotten with the session, as the brain does.
        rows = self._database.query(
            "SELECT instrument, MAX(venue_time_ns) FROM adjustments WHERE state_key = ? "
            "AND session_id = ? AND kind IN ('POSITION', 'FILL') GROUP BY instrument",
            (self._document.state_key, self._document.session_id),
        )
        for instrument, venue_time_ns in rows:
            self._fold.cover(str(instrument), int(venue_time_ns or 0))

    def _describe(self) -> None:
        document = self._document
        key = document.state_key
        session: Cells = {
            "state_key": key,
            "session_id": document.session_id,
            "instance": document.instance,
            "epoch": document.epoch,
            "version": document.version,
            "kernel_key": document.kernel_key,
            "market_journal": document.market_journal,
            "started_ns": document.started_realtime_ns,
            "ended_ns": document.ended_realtime_ns or None,
        }
        rows: list[Cells] = [
            {
                "state_key": key,
                "instrument": row.symbol,
                "quote": row.quote,
                "tick_scaled": row.tick_scaled,
                "price_exponent": row.price_exponent,
                "lot_scaled": row.lot_scaled,
                "qty_exponent": row.qty_exponent,
                "unit_e8": row.unit_e8,
            }
            for row in document.instruments
        ]
        with self._database.transaction():
            SESSIONS.write(self._database, [session])
            INSTRUMENTS.write(self._database, rows)
            PLANS.write(self._database, [_plan(document, row) for row in document.strategies])


def _plan(document: SessionDocument, row: StrategyRow) -> Cells:
    plan = msgspec.json.encode(row, order="deterministic")
    return {
        "state_key": document.state_key,
        "session_id": document.session_id,
        "strategy": row.name,
        "plan_hash": hashlib.sha256(plan).hexdigest(),
        "plan": plan.decode(),
    }


def project_all(database: Database, state_directory: Path, now_ns: int = 0) -> int:
    """Bring a database up to date with every session of a state directory; return events read.

    Raises:
        ProjectionError, JournalError: from `SessionProjection`.
    """
    migrate(database, now_ns)
    count = 0
    for directory, document in sessions(state_directory):
        projection = SessionProjection(database, directory, document)
        while read := projection.project():
            count += read
    return count
