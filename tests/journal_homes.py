"""Homes with sessions that traded, as the orchestrator leaves them, for whoever reads journals."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from engine.config import Config
from engine.domain.codes import EventType, Role
from engine.processes.known_sessions import Known, known_sessions
from engine.store.journal import SOURCE_EVENTS_FEED, SOURCE_EVENTS_ORCHESTRATOR
from engine.store.trade_log import FILE_NAME
from tests.store_builders import as_bytes, event_records, open_events, write_session
from tests.store_events import Row, decision, event, fill, request

PAPER = "binance-main-paper"
S = 1_000_000_000
DAY_NS = 86_400 * S


def round_trips(count: int, pnl_e8: int = 500, took_ns: int = 50_000) -> list[Row]:
    """Return so many entries with their closing fills, one a second, each explained."""
    rows: list[Row] = []
    for number in range(count):
        at = (number + 1) * S
        causes = {"cause_receive_time_ns": at, "decision_time_ns": at + took_ns}
        rows += [
            decision(request_id=number, time_ns=at),
            request(number + 1, request_id=number, time_ns=at, **causes),
            fill(number + 1, number, 5, time_ns=at, realised_pnl_e8=pnl_e8, fee_e8=40),
        ]
    return rows


def look(memory_mb: int, at_ns: int) -> Row:
    """Return the orchestrator's look at memory."""
    text = f"memory_mb={memory_mb} disk_free_mb=4000".encode()
    kind = EventType.ROLE_STATE_CHANGED
    return event(kind, role=Role.ORCHESTRATOR, text=text, time_ns=at_ns)


def sound_rows(trips: int = 12, span_ns: int = DAY_NS) -> list[Row]:
    """Return a session that lasts a day and has nothing to blame."""
    ends = [
        event(EventType.RECONCILED, time_ns=1),
        event(EventType.RECONCILED, time_ns=span_ns + 1),
    ]
    return [ends[0], *round_trips(trips), ends[1]]


def add_session(
    home: Path,
    rows: list[Row],
    *,
    session: str = "s1",
    state: str = PAPER,
    memory_mb: int | None = 512,
    feed: tuple[Row, ...] = (),
    in_log: bool = True,
    **changes: Any,  # noqa: ANN401  fields of a session's document
) -> Path:
    """Write a session, closed in order unless told, with its rows of the audit trail."""
    began = time.time_ns() - DAY_NS
    fields = {"ended_realtime_ns": began + DAY_NS, "started_realtime_ns": began} | changes
    directory = write_session(home / "state" / state, *rows, session_id=session, **fields)
    looks = () if memory_mb is None else (look(memory_mb, S),)
    for source, others in ((SOURCE_EVENTS_FEED, feed), (SOURCE_EVENTS_ORCHESTRATOR, looks)):
        if others:
            writer = open_events(directory, source)
            writer.append(0, as_bytes(event_records(*others)))
            writer.close(is_end=False)
    if in_log:
        numbers = [n for n, row in enumerate(rows) if row["event_type"] == EventType.FILL]
        lines = [{"session": session, "sequence": n, "action": "BUY"} for n in numbers]
        with (home / FILE_NAME).open("a", encoding="ascii") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    return directory


def known(home: Path, days: float = 7.0, **chosen: str) -> Known:
    """Return what a report would read."""
    return known_sessions(home, days, **chosen)


def config_of(home: Path) -> Config:
    """Return a configuration with this home, under a name no engine has."""
    return Config(name=f"j{os.getpid()}", home=str(home))
