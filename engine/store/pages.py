"""Rows of one session by the sequence of its events: pages, and everything after a sequence.

Fills, decisions, refusals and control records of the brain share one sequence, so a reader that
remembers a number misses nothing and reads nothing twice. No numpy: main reads this.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from engine.domain.codes import Liquidity, Side
from engine.domain.instrument_row import decimal_text
from engine.store.queries import E8, read_rows, time_text

_FILLS: Final = """
    SELECT e.sequence, e.time_ns, e.instrument, e.strategy, e.side, e.price_ticks, e.qty_lots,
           e.fee_e8, e.realised_pnl_e8, e.liquidity, e.trade_id, e.order_id,
           i.tick_scaled, i.price_exponent, i.lot_scaled, i.qty_exponent
    FROM fills e JOIN instruments i USING (state_key, instrument)
    WHERE e.state_key = ? AND e.session_id = ? AND e.sequence > ? ORDER BY e.sequence LIMIT ?"""
_DECISIONS: Final = """
    SELECT sequence, time_ns, instrument, strategy, side, is_entry, reason_name, score,
           refusal_names
    FROM decisions WHERE state_key = ? AND session_id = ? AND sequence > ?
    ORDER BY sequence LIMIT ?"""
_REFUSALS: Final = """
    SELECT sequence, time_ns, instrument, strategy, side, reason_name, suppressed_count
    FROM refusals WHERE state_key = ? AND session_id = ? AND sequence > ?
    ORDER BY sequence LIMIT ?"""
_CONTROLS: Final = """
    SELECT sequence, time_ns, role, kind, state_name, message
    FROM role_states WHERE state_key = ? AND session_id = ? AND source = 'events-brain'
    AND sequence > ? ORDER BY sequence LIMIT ?"""

_LAST: Final = """
    SELECT COALESCE(MAX(last), -1) FROM (
    SELECT MAX(sequence) AS last FROM fills WHERE state_key = ? AND session_id = ?
    UNION ALL SELECT MAX(sequence) FROM decisions WHERE state_key = ? AND session_id = ?
    UNION ALL SELECT MAX(sequence) FROM refusals WHERE state_key = ? AND session_id = ?
    UNION ALL SELECT MAX(sequence) FROM role_states
    WHERE state_key = ? AND session_id = ? AND source = 'events-brain')"""

# The newest fill of those that are left out: what follows it are the newest ones.
_LEFT_OUT: Final = """
    SELECT sequence FROM fills WHERE state_key = ? AND session_id = ?
    ORDER BY sequence DESC LIMIT 1 OFFSET ?"""

_EXPOSURE: Final = """
    SELECT instrument, SUM(ABS(cost_e8)) FROM positions
    WHERE state_key = ? AND strategy <> '(net)' AND lots <> 0 GROUP BY instrument"""
_TEXTS: Final = {  # the columns that are searched
    "fills": "e.instrument || ' ' || e.strategy || ' ' || e.order_id || ' ' || e.trade_id",
    "decisions": "instrument || ' ' || strategy || ' ' || reason_name || ' ' || refusal_names",
    "refusals": "instrument || ' ' || strategy || ' ' || reason_name",
    "controls": "role || ' ' || kind || ' ' || state_name || ' ' || message",
}
_LITERAL: Final = str.maketrans({"%": r"\%", "_": r"\_", "\\": r"\\"})

Row = dict[str, Any]


class SessionPages:
    """The projection's rows of one account, session by session."""

    def __init__(self, path: Path, state_key: str) -> None:
        """Remember where the database is or will be, and whose rows are asked for."""
        self._path = path
        self._state_key = state_key

    def rows(self, table: str, session_id: str, after: int, limit: int) -> list[Row]:
        """Return rows of `fills`, `decisions`, `refusals` or `controls` after a sequence."""
        statement, columns = _TABLES[table]
        found = read_rows(self._path, statement, (self._state_key, session_id, after, limit))
        return [columns(row) for row in found]

    def fills_left_out(self, session_id: str, newest: int) -> int:
        """Return the sequence behind which a session's newest fills are; -1: it has no others."""
        found = read_rows(self._path, _LEFT_OUT, (self._state_key, session_id, newest))
        return int(found[0][0]) if found else -1

    def events(self, session_id: str, after: int, limit: int) -> list[Row]:
        """Return the next rows of all four tables by sequence, each with its `event`."""
        found = [
            {"event": table.removesuffix("s"), **row}
            for table in _TABLES
            for row in self.rows(table, session_id, after, limit)
        ]
        return sorted(found, key=lambda row: int(row["sequence"]))[:limit]

    def search(self, session_id: str, text: str, limit: int) -> list[Row]:
        """Return the newest rows of all four tables in which a text stands, newest first."""
        key = (self._state_key, session_id)
        pattern = f"%{text.translate(_LITERAL)}%"
        found = [
            {"event": table.removesuffix("s"), **columns(row)}
            for table, (statement, columns) in _TABLES.items()
            for row in read_rows(
                self._path, _searching(statement, _TEXTS[table]), (*key, pattern, limit)
            )
        ]
        return sorted(found, key=lambda row: -int(row["sequence"]))[:limit]

    def exposure(self) -> list[tuple[str, float]]:
        """Return each instrument's position at what it cost, quote currency; open ones only."""
        rows = read_rows(self._path, _EXPOSURE, (self._state_key,))
        return [(instrument, cost_e8 / E8) for instrument, cost_e8 in rows]

    def last_sequence(self, session_id: str) -> int:
        """Return the highest sequence of a session that has a row; -1: none has."""
        key = (self._state_key, session_id)
        found = read_rows(self._path, _LAST, key * 4)
        return int(found[0][0]) if found else -1


def _searching(statement: str, texts: str) -> str:
    head, _, _ = statement.rpartition("ORDER BY")
    place = "e.sequence" if "e.sequence >" in head else "sequence"
    where = head.replace(f"{place} > ?", f"({texts}) LIKE ? ESCAPE '\\'")
    return f"{where} ORDER BY {place} DESC LIMIT ?"


def _head(sequence: int, time_ns: int, instrument: str, strategy: str, side: int) -> Row:
    return {
        "sequence": sequence,
        "time": time_text(time_ns),
        "instrument": instrument,
        "strategy": strategy,
        "side": Side(side).name,
    }


def _fill(row: tuple[Any, ...]) -> Row:
    sequence, time_ns, instrument, strategy, side, price, qty, fee, pnl, liquidity = row[:10]
    trade_id, order_id, tick_scaled, price_exponent, lot_scaled, qty_exponent = row[10:]
    return {
        **_head(sequence, time_ns, instrument, strategy, side),
        "price": decimal_text(price * tick_scaled, price_exponent),
        "quantity": decimal_text(qty * lot_scaled, qty_exponent),
        "fee": fee / E8,
        "realised_pnl": pnl / E8,
        "liquidity": Liquidity(liquidity).name,
        "trade_id": trade_id,
        "order_id": order_id,
    }


def _decision(row: tuple[Any, ...]) -> Row:
    sequence, time_ns, instrument, strategy, side, is_entry, reason, score, refusals = row
    return {
        **_head(sequence, time_ns, instrument, strategy, side),
        "is_entry": bool(is_entry),
        "reason": reason,
        "score": score,
        "refused_by": refusals,
    }


def _refusal(row: tuple[Any, ...]) -> Row:
    sequence, time_ns, instrument, strategy, side, reason, suppressed = row
    return {
        **_head(sequence, time_ns, instrument, strategy, side),
        "reason": reason,
        "suppressed": suppressed,
    }


def _control(row: tuple[Any, ...]) -> Row:
    sequence, time_ns, role, kind, state, message = row
    return {
        "sequence": sequence,
        "time": time_text(time_ns),
        "role": role,
        "kind": kind,
        "state": state,
        "message": message,
    }


_TABLES: Final = {
    "fills": (_FILLS, _fill),
    "decisions": (_DECISIONS, _decision),
    "refusals": (_REFUSALS, _refusal),
    "controls": (_CONTROLS, _control),
}
