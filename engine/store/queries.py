"""What `/status` and the page show of the projection, as plain values. No numpy: main reads this.

Any thread may call. The SQLite file is opened read-only once and asked in single statements, so
that nothing is held while the projector writes. A database that is not there yet, or cannot be read
now, holds nothing: empty lists, never an exception on the way of `/health`.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from engine.domain.codes import OrderStatus, OrderType, Side
from engine.domain.instrument_row import decimal_text

E8: Final = 100_000_000
NS_PER_S: Final = 1_000_000_000
BUSY_TIMEOUT_S: Final = 0.2
SESSIONS_MAX: Final = 8  # newest ones, in which the newest decisions are looked for
NET: Final = "(net)"
OPEN_STATUSES: Final = (
    OrderStatus.PENDING_NEW,
    OrderStatus.NEW,
    OrderStatus.PARTIALLY_FILLED,
    OrderStatus.PENDING_CANCEL,
    OrderStatus.PENDING_REPLACE,
    OrderStatus.UNKNOWN,
)

_POSITIONS: Final = """
    SELECT p.instrument, p.strategy, p.lots, p.cost_e8, p.realised_pnl_e8, p.fee_e8,
           i.tick_scaled, i.price_exponent, i.lot_scaled, i.qty_exponent, i.unit_e8
    FROM positions p JOIN instruments i USING (state_key, instrument)
    WHERE p.strategy <> ? ORDER BY p.lots = 0, p.instrument, p.strategy"""
_ORDERS: Final = f"""
    SELECT o.instrument, o.strategy, o.side, o.order_type, o.price_ticks, o.qty_lots,
           o.cum_qty_lots, o.status, o.client_order_id,
           i.tick_scaled, i.price_exponent, i.lot_scaled, i.qty_exponent
    FROM order_states o JOIN instruments i USING (state_key, instrument)
    WHERE o.state_key IN (SELECT state_key FROM sessions)
    AND o.status IN ({", ".join(str(int(status)) for status in OPEN_STATUSES)})
    ORDER BY o.created_ns"""  # noqa: S608  numbers of an enumeration
_DECISIONS: Final = """
    SELECT time_ns, instrument, strategy, side, is_entry, reason_name, score, refusal_mask,
           refusal_names
    FROM decisions WHERE state_key = ? AND session_id = ? ORDER BY sequence DESC LIMIT ?"""
_SESSIONS: Final = "SELECT state_key, session_id FROM sessions ORDER BY started_ns DESC LIMIT ?"
_PNL: Final = """
    SELECT COALESCE(SUM(realised_pnl_e8), 0), COALESCE(SUM(fee_e8), 0) FROM positions
    WHERE strategy = ?"""
_RECORDS: Final = """
    SELECT strategy, SUM(entries), SUM(exits), SUM(wins), SUM(gross_e8), SUM(fee_e8), SUM(held_ns)
    FROM strategy_records GROUP BY strategy
    ORDER BY SUM(gross_e8) - SUM(fee_e8) DESC, strategy"""
_MADE: Final = {
    "strategy": "SELECT COALESCE(SUM(exits), 0), COALESCE(SUM(gross_e8 - fee_e8), 0) "
    "FROM strategy_records WHERE strategy = ?",
    "instrument": "SELECT COALESCE(SUM(exits), 0), COALESCE(SUM(gross_e8 - fee_e8), 0) "
    "FROM strategy_records WHERE instrument = ?",
}
_FETCH_FAILED: Final = """
    SELECT reason, message FROM faults
    WHERE kind = 'FETCH_FAILED' AND time_ns >= ? ORDER BY time_ns DESC LIMIT 1"""
_WALLET: Final = "SELECT asset, wallet_e8, available_e8 FROM balances ORDER BY asset"


class StatusQueries:
    """The projection of one state directory, read-only."""

    def __init__(self, path: Path) -> None:
        """Remember where the database is or will be."""
        self._file = KeptFile(path)

    def shown(self, decision_count: int) -> dict[str, list[dict[str, Any]]]:
        """Return what a status shows of the projection."""
        return {
            "orders_open": self.orders_open(),
            "positions": self.positions(),
            "decisions_recent": self.decisions_recent(decision_count),
        }

    def positions(self) -> list[dict[str, Any]]:
        """Return positions by strategy, open ones first; quantities and prices as decimals."""
        return [
            {
                "instrument": instrument,
                "strategy": strategy,
                "quantity": decimal_text(lots * lot_scaled, qty_exponent),
                "average_entry_price": _entry_text(lots, cost, unit, tick_scaled, price_exponent),
                "realised_pnl": realised / E8,
                "fees": fees / E8,
            }
            for (
                instrument,
                strategy,
                lots,
                cost,
                realised,
                fees,
                tick_scaled,
                price_exponent,
                lot_scaled,
                qty_exponent,
                unit,
            ) in self._rows(_POSITIONS, (NET,))
        ]

    def strategies(self) -> list[dict[str, Any]]:
        """Return what each strategy has made on this account, the most first.

        Whole positions over all its sessions; money in quote currency, `net` after fees.
        """
        return [
            {
                "strategy": strategy,
                "entries": entries,
                "exits": exits,
                "wins": wins,
                "win_ratio": round(wins / exits, 3) if exits else None,
                "gross": gross / E8,
                "fees": fees / E8,
                "net": (gross - fees) / E8,
                "held_s": round(held / exits / NS_PER_S, 3) if exits else None,
            }
            for strategy, entries, exits, wins, gross, fees, held in self._rows(_RECORDS)
        ]

    def made(self, column: str, name: str) -> tuple[int, float] | None:
        """Return closed positions and the result after fees of a strategy or an instrument.

        Args:
            column: strategy or instrument.
            name: whose; quote currency.

        Returns:
            None while the database cannot be read.
        """
        rows = self._rows(_MADE[column], (name,))
        return (int(rows[0][0]), rows[0][1] / E8) if rows else None

    def orders_open(self) -> list[dict[str, Any]]:
        """Return orders that may still fill, oldest first."""
        return [
            {
                "instrument": instrument,
                "strategy": strategy,
                "side": Side(side).name,
                "order_type": OrderType(order_type).name if order_type else "",
                "price": decimal_text(price * tick_scaled, price_exponent) if price else "",
                "quantity": decimal_text(qty * lot_scaled, qty_exponent),
                "filled": decimal_text(cum * lot_scaled, qty_exponent),
                "status": OrderStatus(status).name,
                "client_order_id": client_order_id,
            }
            for (
                instrument,
                strategy,
                side,
                order_type,
                price,
                qty,
                cum,
                status,
                client_order_id,
                tick_scaled,
                price_exponent,
                lot_scaled,
                qty_exponent,
            ) in self._rows(_ORDERS)
        ]

    def decisions_recent(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest decisions first: what was wanted, why, and what risk said.

        They are asked for by session, as the table is kept: it grows by millions of rows.
        """
        rows: list[tuple[Any, ...]] = []
        for key in self._rows(_SESSIONS, (SESSIONS_MAX,)):
            rows += self._rows(_DECISIONS, (*key, limit - len(rows)))
            if len(rows) == limit:
                break
        return [
            {
                "time": time_text(time_ns),
                "instrument": instrument,
                "strategy": strategy,
                "side": Side(side).name,
                "is_entry": bool(is_entry),
                "reason": reason_name.lower().replace("_", " "),
                "score": score,
                "outcome": f"refused: {refusals}" if mask else "approved",
            }
            for (
                time_ns,
                instrument,
                strategy,
                side,
                is_entry,
                reason_name,
                score,
                mask,
                refusals,
            ) in rows
        ]

    def pnl(self) -> dict[str, Any]:
        """Return realised PnL, fees and the wallet; zero and None before anything is known."""
        totals = self._rows(_PNL, (NET,))
        realised, fees = totals[0] if totals else (0, 0)
        wallets = self._rows(_WALLET)
        asset, wallet, available = wallets[0] if wallets else ("", None, None)
        return {
            "currency": asset,
            "realised": (realised - fees) / E8,
            "fees": fees / E8,
            "wallet": None if wallet is None else wallet / E8,
            "available": None if available is None else available / E8,
        }

    def fetch_failure(self, since_ns: int) -> tuple[int, str] | None:
        """Return number and text of the newest fetch that failed since a time; None: none did."""
        rows = self._rows(_FETCH_FAILED, (since_ns,))
        return (int(rows[0][0]), str(rows[0][1])) if rows else None

    def _rows(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        return self._file.rows(statement, values)


class KeptFile:
    """One read-only connection to a database that may not be there yet; any thread.

    To open it and read the schema takes ten times as long as what a status asks. A file that was
    made anew under the same name is opened anew.
    """

    def __init__(self, path: Path) -> None:
        """Remember where the file is; nothing is opened."""
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._close: Callable[[], object] = lambda: None
        self._inode = (0, 0)

    def rows(self, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """Return the rows of one statement; none while the database cannot be read."""
        with self._lock:
            try:
                return self._current().execute(statement, values).fetchall()
            except (OSError, sqlite3.Error):
                self._forget()
                return []

    def _current(self) -> sqlite3.Connection:
        found = self._path.stat()
        inode = (found.st_dev, found.st_ino)
        if self._connection is None or inode != self._inode:
            self._forget()
            self._connection, self._inode = _open(self._path, is_shared=True), inode
            # WHY: not when the process ends. A thread may be reading then, past the lock, and to
            # close a connection under a statement is undefined; the kernel closes the file.
            finalizer = weakref.finalize(self, self._connection.close)
            finalizer.atexit = False
            self._close = finalizer
        return self._connection

    def _forget(self) -> None:
        self._close()
        self._connection = None


def _open(path: Path, *, is_shared: bool = False) -> sqlite3.Connection:
    """Open a file for reading; a connection that threads share is kept from them by a lock."""
    return sqlite3.connect(
        f"file:{path}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=not is_shared
    )


def read_rows(path: Path, statement: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the rows of one statement; none while the database cannot be read."""
    try:
        with closing(_open(path)) as connection:
            return connection.execute(statement, values).fetchall()
    except sqlite3.Error:
        return []


def _entry_text(lots: int, cost_e8: int, unit_e8: int, tick_scaled: int, exponent: int) -> str:
    """Return the average entry price with two digits more than the tick; empty when flat."""
    if lots == 0:
        return ""
    scale = 100
    numerator = abs(cost_e8) * tick_scaled * scale
    denominator = abs(lots) * unit_e8
    return decimal_text((2 * numerator + denominator) // (2 * denominator), exponent + 2)


def time_text(time_ns: int) -> str:
    """Return a wall-clock time to the millisecond, UTC."""
    moment = datetime.fromtimestamp(time_ns // NS_PER_S, tz=UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{time_ns % NS_PER_S // 1_000_000:03d}"
