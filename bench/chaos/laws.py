"""What must hold after a run, whatever happened in it. A law that is broken is a sentence.

The engine's books are compared with the exchange's by `engine.processes.agreement`, from the
journal files alone; the rest is read from the exchange and from what the engine left behind.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.chaos.lives import segments_of
from bench.chaos.plan import DISK_ACTS, ORDER_NOTIONAL_MAX, POSITION_NOTIONAL_MAX
from engine import exit_codes
from engine.processes.agreement import compare
from engine.processes.journal_verify import session_directories, verify_directory
from tests.engine_process import alive

if TYPE_CHECKING:
    from bench.chaos.stage import Stage

OPEN: Final = {"NEW", "PARTIALLY_FILLED"}
# Sizes are judged at the mid of the decision, fills are at another price: the collar apart.
PRICE_SLACK: Final = Decimal("1.006")
BY_HAND: Final = frozenset({"position_by_hand", "trade_by_hand"})
DIFFERENCES_SHOWN: Final = 6
# Halts that are the answer to what a plan does: rejected again and again because a hand took the
# position away; the recorder's word (OUTER) that the disk is full.
SAFE_HALTS: Final = frozenset({"CONSECUTIVE_FAILURES", "OUTER"})
HALTED_BY: Final = """
    SELECT message FROM role_states WHERE kind = 'TRADING_STATE_CHANGED' AND state_name = 'HALTED'
    ORDER BY time_ns DESC LIMIT 1"""

Books = dict[str, Any]


def broken_laws(stage: Stage, exit_code: int) -> list[str]:
    """Return every law that a run broke; its last engine has been stopped in order."""
    ledger = stage.venue.ledger()
    return [
        *_ended_well(stage, exit_code),
        *_books_agree(stage.home, ledger),
        *_nothing_twice(stage.venue.sent(), ledger),
        *_nothing_open(ledger),
        *_orders_within_limits(ledger),
        *_positions_within_limits(stage, ledger),
        *_nothing_left(stage),
        *_journals_intact(stage.home),
    ]


def _ended_well(stage: Stage, exit_code: int) -> Iterator[str]:
    summary = stage.life.summary()
    reason = _halted_by(stage.home) if exit_code == exit_codes.HALTED else ""
    is_safe = reason in SAFE_HALTS or any(act.kind in DISK_ACTS for act in stage.plan.acts)
    is_safe_halt = summary.get("exchange_agrees") is True and is_safe
    if exit_code != exit_codes.DONE and not is_safe_halt:
        yield f"the last stop ended with {exit_code}, {summary.get('trading_state')} {reason}"
    if not summary:
        yield f"the last engine ended without a summary: {stage.life.said()}"


def _halted_by(home: Path) -> str:
    (path,) = home.glob("state/*/aegis.db")
    with closing(sqlite3.connect(path)) as database:
        found = database.execute(HALTED_BY).fetchone()
    return str(found[0]) if found else ""


def _books_agree(home: Path, ledger: Books) -> Iterator[str]:
    sessions = sorted(home.glob("state/*/journal/*"))
    if not sessions:
        yield "no journal was written"
        return
    found = compare(ledger, sessions[-1])
    for difference in found.differences[:DIFFERENCES_SHOWN]:
        yield f"books: {difference}"


def _nothing_twice(sent: list[str], ledger: Books) -> Iterator[str]:
    for name, count in Counter(sent).items():
        if count > 1:
            yield f"client id {name} was sent {count} times"
    ours = (row["clientOrderId"] for row in ledger["orders"] if _is_ours(row))
    for name, count in Counter(ours).items():
        if count > 1:
            yield f"{count} orders of the exchange are called {name}"


def _nothing_open(ledger: Books) -> Iterator[str]:
    for row in ledger["orders"]:
        if row["status"] in OPEN:
            yield f"order {row['clientOrderId']} is left {row['status']} at the exchange"
    for row in ledger["algoOrders"]:
        if row["algoStatus"] == "NEW":
            yield f"conditional order {row['clientAlgoId']} is left waiting at the exchange"


def _orders_within_limits(ledger: Books) -> Iterator[str]:
    most = Decimal(ORDER_NOTIONAL_MAX) * PRICE_SLACK
    for row in ledger["orders"]:
        price = Decimal(row["price"]) or Decimal(row["avgPrice"])
        notional = price * Decimal(row["origQty"])
        if notional > most and _is_ours(row):
            yield f"order {row['clientOrderId']} of {notional} is above the limit"


def _positions_within_limits(stage: Stage, ledger: Books) -> Iterator[str]:
    if any(act.kind in BY_HAND for act in stage.plan.acts):
        return  # a position that somebody else made is not bounded by our limit
    most = Decimal(POSITION_NOTIONAL_MAX) * PRICE_SLACK
    held: dict[str, Decimal] = defaultdict(Decimal)
    for row in ledger["trades"]:
        side = 1 if row["side"] == "BUY" else -1
        held[row["symbol"]] += side * Decimal(row["qty"])
        notional = abs(held[row["symbol"]]) * Decimal(row["price"])
        if notional > most:
            yield f"position {row['symbol']} of {notional} after trade {row['id']}"


def _is_ours(row: Books) -> bool:
    return not str(row["clientOrderId"]).startswith(("web_", "autoclose-", "adl_"))


def _nothing_left(stage: Stage) -> Iterator[str]:
    for life in stage.lives:
        for role, pid in life.pids.items():
            if alive(pid):
                yield f"{role} of a life is left as process {pid}"
    for name in segments_of(stage.name):
        yield f"segment {name} is left"


def _journals_intact(home: Path) -> Iterator[str]:
    # A full disk may leave a directory before its document: without records it is no journal.
    for path in session_directories(home / "state"):
        problems = verify_directory(path).problems
        if problems:
            yield f"journal {path.name}: {'; '.join(problems[:2])}"
