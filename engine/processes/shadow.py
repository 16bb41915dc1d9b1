"""`aegis shadow`: every decision, sent or refused, what it saw, and what came of it.

aegis shadow                      the newest decisions
aegis shadow show SESSION/NUMBER  one of them: plan, scores, gates, book, features, fills, grade
aegis shadow grade                fill in what came of them since
aegis shadow trades               closed trades: were entry rule, exit rule and regime right
aegis shadow performance          what strategies made by regime
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from engine import exit_codes
from engine.cli_views import table
from engine.processes.known_sessions import counted
from engine.processes.progress import progressing
from engine.processes.projected import open_projected
from engine.processes.projector import open_postgres
from engine.processes.shadow_context import book_seen, features_seen, fills_of, trade_of
from engine.processes.shadow_trades import trades_command
from engine.store.database import Database
from engine.store.errors import StoreError
from engine.store.session import SessionDocument, sessions
from engine.store.shadow import COLUMNS, grade
from engine.store.windows import read_window

LISTED: Final = (
    "timestamp",
    "session_id",
    "sequence",
    "symbol",
    "strategy",
    "side",
    "verdict",
    "filters",
    "score",
    "confidence",
    "edge_bps",
    *COLUMNS,
    "pnl",
)
SHOWN: Final = (
    *LISTED,
    "is_entry",
    "reason",
    "expected_move_bps",
    "cost_bps",
    "input_1",
    "input_2",
    "input_3",
    "input_4",
    "model_version",
    "plan_hash",
    "window_first",
    "window_last",
)
_SELECT: Final = "SELECT {columns} FROM shadow WHERE account = ?"
_PLAN: Final = "SELECT plan FROM plans WHERE state_key = ? AND session_id = ? AND strategy = ?"
Fields = dict[str, Any]


def shadow_command(
    home: Path,
    action: str,
    which: str | None,
    state: str | None,
    *,
    limit: int,
    as_json: bool,
    database_url: str = "",
) -> int:
    """List, show or grade decisions of an account; return the exit code.

    Args:
        home: AEGIS_HOME.
        action: list, show, grade, trades or performance.
        which: SESSION/NUMBER of the decision to show.
        state: VENUE-ACCOUNT-MODE; None: the account written last.
        limit: how many are listed.
        as_json: print one JSON object.
        database_url: PostgreSQL beside SQLite, graded too; empty: none.
    """
    try:
        with open_projected(home, state) as (database, folder):
            if action == "grade":
                beside = [open_postgres(database_url)] if database_url else []
                return _grade([database, *beside], folder, as_json=as_json)
            if action in {"trades", "performance"}:
                return trades_command(database, folder, action, limit, as_json=as_json)
            if action == "show":
                return _show(database, folder, which or "", as_json=as_json)
            rows = newest_decisions(database, folder.name, limit)
    except StoreError as error:
        return exit_codes.fail(str(error), exit_codes.ENVIRONMENT)
    text = "\n".join(table(rows, LISTED)) if rows else "no decision yet"
    print(json.dumps({"decisions": rows}) if as_json else text)  # noqa: T201
    return exit_codes.DONE


def newest_decisions(database: Database, account: str, limit: int) -> list[Fields]:
    """Return the newest decisions of an account, the newest first.

    Raises:
        ProjectionError: the database cannot be read.
    """
    order = " ORDER BY timestamp DESC, sequence DESC LIMIT ?"
    found = database.query(_SELECT.format(columns=", ".join(LISTED)) + order, (account, limit))
    return [dict(zip(LISTED, row, strict=True)) for row in found]


def _grade(databases: Sequence[Database], folder: Path, *, as_json: bool) -> int:
    counts: dict[str, int] = {}
    known = sessions(folder)
    work = [(database, *session) for database in databases for session in known]
    with progressing(work, "sessions", quiet=as_json) as each:
        for database, directory, document in each:
            count = grade(database, directory, document, time.time_ns())
            counts.setdefault(document.session_id, count)
    for database in databases:
        database.close()
    total = sum(counts.values())
    text = f"{total:,} decisions of {counted(len(counts))} of {folder.name} looked at"
    print(json.dumps({"graded": counts}) if as_json else text)  # noqa: T201
    return exit_codes.DONE


def _show(database: Database, folder: Path, which: str, *, as_json: bool) -> int:
    session_id, _, number = which.rpartition("/")
    if not session_id or not number.isdecimal():
        text = f"{which!r} names no decision; `aegis shadow` lists them: SESSION/NUMBER"
        return exit_codes.fail(text, exit_codes.USAGE)
    kept = {document.session_id: (path, document) for path, document in sessions(folder)}
    if session_id in kept:
        grade(database, *kept[session_id], time.time_ns())
    statement = _SELECT.format(columns=", ".join(SHOWN)) + " AND session_id = ? AND sequence = ?"
    found = database.query(statement, (folder.name, session_id, int(number)))
    if not found:
        return exit_codes.fail(f"{folder.name} has no decision {which}", exit_codes.USAGE)
    decision: Fields = dict(zip(SHOWN, found[0], strict=True))
    plan = database.query(_PLAN, (folder.name, session_id, decision["strategy"]))
    decision["plan"] = json.loads(str(plan[0][0])) if plan else None
    if session_id in kept:
        decision |= _context(database, *kept[session_id], decision)
    shown = decision | {"features": _counted(decision.get("features"))}
    lines = (f"{name.replace('_', ' '):<17} {_text(entry)}" for name, entry in shown.items())
    print(json.dumps(decision) if as_json else "\n".join(lines))  # noqa: T201
    return exit_codes.DONE


def _context(
    database: Database, directory: Path, document: SessionDocument, decision: Fields
) -> Fields:
    """Return what the journal still holds of a decision, and how to run it again."""
    first, last, sequence = decision["window_first"], decision["window_last"], decision["sequence"]
    index = [row.symbol for row in document.instruments].index(decision["symbol"])
    instrument = document.instruments[index]
    known: Fields = dict.fromkeys(("book", "features", "ticks", "bars", "replay"))
    if last >= 0:
        window = read_window(directory, index, first, last)
        known["book"] = book_seen(window, instrument)
        known["ticks"], known["bars"] = len(window.ticks), len(window.bars)
        known["replay"] = f"aegis replay {directory} --until {sequence}"
        plan = decision["plan"]
        if plan is not None and not plan["bars"]:
            known["features"] = features_seen(directory, index, plan["timeframe_s"], window)
    known["fills"] = fills_of(database, document, sequence, instrument)
    known["trade"] = trade_of(database, directory, document, sequence)
    return known


def _text(entry: object) -> str:
    """Return an entry as one line; of a list, a line each."""
    if isinstance(entry, dict):
        return "  ".join(f"{name} {_text(one)}" for name, one in entry.items())
    if isinstance(entry, list):
        return ("\n" + " " * 18).join(map(_text, entry)) or "-"
    return "-" if entry in (None, "") else str(entry)


def _counted(features: Fields | None) -> str | None:
    return None if features is None else f"{len(features)} columns, which --json shows"
