"""How fast is what the brain says written down, and how fast do databases follow?

`python -m bench.store_rates [--json FILE] [--passes N]`

Question: is the journal ahead of any market (500,000 records/s), and do SQLite and PostgreSQL
follow a burst at 20,000 rows/s? Load: market records of 64 bytes in frames of 256, as a drain finds
them, written and then synced; and ORDERS whole orders (decision, request, acknowledgement, fill,
position) of two instruments in frames of FRAME_EVENTS, projected into an empty database. The
baseline writes the same bytes with `file.write`, without frames, checksums or a chain. PostgreSQL
is a server of the bench's own (`fsync` off: its disk is not the question); without its programs the
case is left out.

    records  journal: a second; the sync at the end counts
    rows     projection: rows that stand in the tables afterwards, a second; folding counts
    events   projection: events of the journal, a second
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from bench import harness
from bench.harness import Bench, Pass
from engine.domain.codes import OrderStatus
from engine.domain.records import EVENT_DTYPE
from engine.store.database import Database, migrate
from engine.store.journal import SOURCE_EVENTS_BRAIN, SourceWriter
from engine.store.projection import SessionProjection
from engine.store.session import SessionDocument, write_document
from engine.store.sqlite import SqliteDatabase
from engine.store.tables import TABLES
from tests.postgres_server import POSTGRES_BIN, PostgresServer
from tests.store_builders import (
    Records,
    as_bytes,
    event_records,
    market_records,
    open_market,
    session_document,
)
from tests.store_events import decision, fill, position, request, update

RECORDS = 1_000_000
FRAME_RECORDS = 256
SEGMENT_BYTES = 64 << 20
ORDERS = 4_000
FRAME_EVENTS = 500
KEPT = ["sessions", "instruments", "plans", "journal_cursors"]  # written once, whatever happens
BENCH = Bench(
    name="store_rates",
    question="How fast is what the brain says written down, and how fast do databases follow?",
    load=f"{RECORDS:,} market records in frames of {FRAME_RECORDS}; {ORDERS:,} whole orders",
    worry="journal below 500,000 records/s, PostgreSQL below 20,000 rows/s",
    units=dict.fromkeys(("records", "rows", "events"), "1/s"),
    baselines={"journal": "plain file"},
)


def frames() -> list[memoryview]:
    """Return the market records, a piece a frame."""
    return [
        as_bytes(market_records(FRAME_RECORDS, first)) for first in range(0, RECORDS, FRAME_RECORDS)
    ]


def journal(pieces: list[memoryview]) -> Pass:
    """Append and sync every frame."""
    with tempfile.TemporaryDirectory(prefix="aegis-journal-") as name:
        writer = open_market(Path(name) / "session", segment_bytes=SEGMENT_BYTES)
        began = time.perf_counter()
        for piece in pieces:
            writer.append(writer.next_sequence, piece)
        writer.close(is_end=True)
        took_s = time.perf_counter() - began
        assert writer.next_sequence == len(pieces) * FRAME_RECORDS
        return {"records": writer.next_sequence / took_s}


def plain_file(pieces: list[memoryview]) -> Pass:
    """Write and sync the same bytes without anything that tells damage."""
    with tempfile.TemporaryDirectory(prefix="aegis-journal-") as name:
        began = time.perf_counter()
        with (Path(name) / "file").open("wb", buffering=0) as file:
            for piece in pieces:
                file.write(piece)
            os.fdatasync(file.fileno())
        return {"records": len(pieces) * FRAME_RECORDS / (time.perf_counter() - began)}


def order_events(order: int) -> Records:
    """Return what the brain says of one whole order, numbered from where the last one ended."""
    index = {"instrument_index": order % 2}
    filled = {"order_status": OrderStatus.FILLED, "order_status_after": OrderStatus.FILLED}
    rows = (
        decision(**index),
        request(order, **index),
        update(order, OrderStatus.NEW, **index),
        fill(order, order, 5, **index, **filled),
        position(order % 2, 0, 5 * (order % 3 - 1)),
    )
    return event_records(*rows, first_sequence=5 * (order - 1))


def write_orders(directory: Path) -> SessionDocument:
    """Write the journal of a session that traded ORDERS times; return its document."""
    document = session_document(session_id=directory.name)
    write_document(directory, document)
    parts = b"".join(order_events(order).tobytes() for order in range(1, ORDERS + 1))
    step = FRAME_EVENTS * EVENT_DTYPE.itemsize
    writer = SourceWriter(directory, directory.name, SOURCE_EVENTS_BRAIN, EVENT_DTYPE.itemsize)
    for first in range(0, len(parts), step):
        writer.append(writer.next_sequence, parts[first : first + step])
    writer.close(is_end=True)
    return document


def projection(database: Database, directory: Path, document: SessionDocument) -> Pass:
    """Project a session into an empty database."""
    migrate(database, 1)
    for table in TABLES:
        database.execute(f"DELETE FROM {table.name}")  # noqa: S608  our own names
    began = time.perf_counter()
    projected = SessionProjection(database, directory, document)
    events = 0
    while count := projected.project():
        events += count
    took_s = time.perf_counter() - began
    rows = sum(row_counts(database))
    assert events == 5 * ORDERS, events
    assert rows >= 3 * ORDERS, "orders, fills and decisions stand one by one"
    return {"rows": rows / took_s, "events": events / took_s}


def row_counts(database: Database) -> Iterator[int]:
    """Yield how many rows each table that grows has."""
    for table in TABLES:
        if table.name not in KEPT:
            yield int(str(database.query(f"SELECT COUNT(*) FROM {table.name}")[0][0]))  # noqa: S608


def main() -> None:
    """Measure and report."""
    asked = harness.arguments(__doc__ or "")
    about = harness.machine()
    pieces = frames()
    server = PostgresServer() if (POSTGRES_BIN / "initdb").exists() else None
    with tempfile.TemporaryDirectory(prefix="aegis-rates-") as name:
        directory = Path(name) / "journal" / "session"
        document = write_orders(directory)

        def sqlite() -> Pass:
            with closing(SqliteDatabase(Path(name) / "aegis.db")) as database:
                return projection(database, directory, document)

        def postgres() -> Pass:
            from engine.store.postgres import PostgresDatabase

            assert server is not None
            with closing(PostgresDatabase(server.url)) as database:
                return projection(database, directory, document)

        cases: dict[str, Callable[[], Pass]] = {
            "journal": lambda: journal(pieces),
            "plain file": lambda: plain_file(pieces),
            "SQLite": sqlite,
        }
        try:
            results = harness.measure(cases | ({"PostgreSQL": postgres} if server else {}), asked)
        finally:
            if server is not None:
                server.stop()
                server.remove()
    harness.finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
