"""Our side of an account, rebuilt from the journals of every session.

What came after the opening balance and what before is told by venue time, for our own orders by
being ours, and by the numbers of fills (`engine.processes.agreement`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from engine.domain.instrument_row import Instrument
from engine.store.ledger import Ledger
from engine.store.projection import project_all
from engine.store.session import sessions
from engine.store.set_backs import SetBacks
from engine.store.sqlite import SqliteDatabase

_ORDERS: Final = """
    SELECT client_order_id, CASE epoch WHEN 0 THEN venue_order_id ELSE 0 END,
           instrument, side, qty_lots, cum_qty_lots, price_ticks, status, filled_lots, order_type
    FROM order_states"""
_FILLS: Final = """
    SELECT instrument, trade_id, side, qty_lots, price_ticks, fee_e8, venue_realised_pnl_e8
    FROM fills"""
_POSITIONS: Final = "SELECT instrument, strategy, lots FROM positions"
_WALLETS: Final = "SELECT asset, wallet_e8 FROM balances"
_OPENED: Final = """
    SELECT a.venue_time_ns, s.epoch, a.sequence
    FROM adjustments a JOIN sessions s USING (state_key, session_id)
    WHERE a.kind = 'OPENING_CASH' ORDER BY s.epoch, a.sequence LIMIT 1"""
_OPENING: Final = "SELECT SUM(amount_e8) FROM postings WHERE account = 'OPENING'"
_EARNED: Final = """
    SELECT SUM(amount_e8) FROM postings WHERE account IN ('TRADING', 'FEES', 'FUNDING')
    AND (venue_time_ns <= 0 OR venue_time_ns > ? OR entry_id IN
         (SELECT 'fill-' || instrument || '-' || trade_id FROM fills JOIN
          (SELECT instrument, MIN(trade_id) AS first_id
           FROM fills LEFT JOIN order_states USING (state_key, order_id, instrument)
           WHERE venue_time_ns > ? OR order_sequence > 0 GROUP BY instrument) USING (instrument)
          WHERE trade_id >= first_id))"""
_RECONCILED: Final = """
    SELECT s.epoch, r.sequence FROM role_states r JOIN sessions s USING (state_key, session_id)
    WHERE r.kind = 'RECONCILED' ORDER BY s.epoch, r.sequence LIMIT 1"""
_TAKEN_OVER: Final = """
    SELECT a.instrument, a.side * a.qty_lots, a.venue_time_ns, s.epoch, a.sequence
    FROM adjustments a JOIN sessions s USING (state_key, session_id)
    WHERE a.kind = 'POSITION'"""
_MOVED: Final = """
    SELECT f.instrument, f.side * f.qty_lots, f.venue_time_ns, o.order_sequence > 0
    FROM fills f LEFT JOIN order_states o USING (state_key, order_id)
    ORDER BY f.instrument, f.trade_id"""


class Books:
    """Our side, rebuilt from the journals of one state directory."""

    def __init__(self, state_directory: Path) -> None:
        """Project every session into memory.

        Raises:
            StoreError: a journal or its document cannot be read.
        """
        known = (row for _, document in sessions(state_directory) for row in document.instruments)
        self.instruments: dict[str, Instrument] = {row.symbol: row for row in known}
        database = SqliteDatabase(None)
        try:
            project_all(database, state_directory)
            self.orders = _keyed(database.query(_ORDERS), 2)
            self.fills = _keyed(database.query(_FILLS), 2)
            self.positions = database.query(_POSITIONS)
            self.wallets = _keyed(database.query(_WALLETS), 1)
            self.problems = Ledger(database, state_directory.name).problems()
            clock = SetBacks(state_directory)
            self.opened_ns = max((clock.lowered(row) for row in database.query(_OPENED)), default=0)
            self.explained, self.covered_ns = _explained(database, clock)
            self.explained_e8 = _explained_e8(database, self.opened_ns)
        finally:
            database.close()


def _explained_e8(database: SqliteDatabase, opened_ns: int) -> int:
    """Return what the opening balance, and fills and funding since, explain of the wallet.

    A fill came since if its time says so, if it is ours, or if its number is above that of one that
    did: a venue's clock may have been set back for a moment in which nobody looked at it.
    """
    opening = database.query(_OPENING)[0][0]
    earned = database.query(_EARNED, (opened_ns, opened_ns))[0][0]
    return -int(opening or 0) - int(earned or 0)  # money that came in is negative there


def _explained(database: SqliteDatabase, clock: SetBacks) -> tuple[dict[Any, int], dict[Any, int]]:
    """Return the lots per instrument held when first reconciled, plus every fill since.

    And up to which venue time the former holds everything. A fill came since as `_explained_e8` has
    it.
    """
    lots: dict[Any, int] = {}
    covered_ns: dict[Any, int] = {}
    first = database.query(_RECONCILED)
    for instrument, taken, *kept in database.query(_TAKEN_OVER):
        if not first or tuple(kept[1:]) < first[0]:
            lots[instrument] = lots.get(instrument, 0) + int(taken or 0)
            covered_ns[instrument] = clock.lowered(kept)
    since = set()
    for instrument, moved, venue_time_ns, is_ours in database.query(_MOVED):
        if is_ours or int(venue_time_ns or 0) > covered_ns.get(instrument, 0):
            since.add(instrument)
        if instrument in since:
            lots[instrument] = lots.get(instrument, 0) + int(moved or 0)
    return lots, covered_ns


def _keyed(rows: list[tuple[Any, ...]], key_count: int) -> dict[Any, tuple[Any, ...]]:
    if key_count == 1:
        return {row[0]: row[1:] for row in rows}
    return {row[:key_count]: row[key_count:] for row in rows}
