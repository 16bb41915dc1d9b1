"""What stood around a decision: the quote and the features it saw, its trade's fills and grade.

        market journal --------> book: the last quote before it
        feature journal -------> features: the vector of the last bar that had ended
        fills, outcomes -------> fills and grade of the trade it opened

What the journal no longer holds, or what another version computed, is None.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.domain.instrument_row import E8, Instrument
from engine.processes.feature_files import journaled_vectors, present_plan
from engine.processes.shadow_trades import trade_fields
from engine.store.database import Database
from engine.store.quotes import two_sided
from engine.store.session import SessionDocument
from engine.store.trade_grades import graded_trades
from engine.store.windows import Window

FILLS_MAX: Final = 1_000
NS_PER_S: Final = 1_000_000_000
_FILLS: Final = """
    SELECT f.time_ns, f.side, f.qty_lots, f.price_ticks, f.fee_e8, f.realised_pnl_e8, f.order_id
    FROM decisions d
    JOIN shadow_outcomes x
      ON x.state_key = d.state_key AND x.session_id = d.session_id AND x.sequence = d.sequence
    JOIN fills f
      ON f.state_key = d.state_key AND f.instrument = d.instrument AND f.strategy = d.strategy
     AND f.time_ns >= d.time_ns AND (x.exit_ns IS NULL OR f.time_ns <= x.exit_ns)
    WHERE d.state_key = ? AND d.session_id = ? AND d.sequence = ?
      AND d.is_entry = 1 AND x.filled_lots > 0
    ORDER BY f.time_ns, f.sequence LIMIT ?"""

Fields = dict[str, Any]


def book_seen(window: Window, instrument: Instrument) -> Fields | None:
    """Return the best bid and ask of a window's last quote, decimals as the venue writes them."""
    quotes = two_sided(window.ticks)
    if not len(quotes):
        return None
    last = quotes[-1]
    return {
        "bid": instrument.price_text(int(last["bid_price_ticks"])),
        "bid_quantity": instrument.qty_text(int(last["bid_qty_lots"])),
        "ask": instrument.price_text(int(last["ask_price_ticks"])),
        "ask_quantity": instrument.qty_text(int(last["ask_qty_lots"])),
    }


def features_seen(
    directory: Path, index: int, timeframe_s: int, window: Window
) -> dict[str, float | None] | None:
    """Return every column of the last vector whose bar had ended; a number that is none is None.

    Args:
        directory: the session's journal.
        index: of the instrument.
        timeframe_s: of the strategy's bars, which end by the clock.
        window: what the decision saw; its last record says how late it was.

    Raises:
        JournalError: the journal is damaged.
    """
    if not len(window.ticks):
        return None
    now_ns = int(window.ticks["venue_time_ns"].max())
    plan, found = present_plan(), None
    for vectors in journaled_vectors(directory):
        own = (vectors["instrument_index"] == index) & (vectors["timeframe_s"] == timeframe_s)
        ended = vectors["start_ns"] + timeframe_s * NS_PER_S <= now_ns
        seen = np.flatnonzero(own & ended)
        if len(seen):
            found = vectors[seen[-1]]
        elif np.any(own):
            break  # of later bars, all of them
    if found is None or found["plan"] != plan.word:
        return None
    cells = found["values"][: int(found["value_count"])].tolist()
    return {
        name: cell if math.isfinite(cell) else None
        for name, cell in zip(plan.names, cells, strict=True)
    }


def fills_of(
    database: Database, document: SessionDocument, sequence: int, instrument: Instrument
) -> list[Fields]:
    """Return the fills of the trade that an entry opened, until its strategy was flat.

    Raises:
        ProjectionError: the database cannot be read.
    """
    key = (document.state_key, document.session_id, sequence, FILLS_MAX)
    return [
        {
            "timestamp": datetime.fromtimestamp(int(time_ns) / NS_PER_S, UTC).isoformat(),
            "side": "BUY" if int(side) > 0 else "SELL",
            "quantity": instrument.qty_text(int(lots)),
            "price": instrument.price_text(int(ticks)),
            "fee": int(fee_e8) / E8,
            "pnl": int(realised_e8) / E8,
            "order_id": order_id,
        }
        for time_ns, side, lots, ticks, fee_e8, realised_e8, order_id in map(
            tuple[Any, ...], database.query(_FILLS, key)
        )
    ]


def trade_of(
    database: Database, directory: Path, document: SessionDocument, sequence: int
) -> Fields | None:
    """Return the closed trade that an entry opened, graded; None: it opened none that has closed.

    Raises:
        ProjectionError, JournalError: database or journal cannot be used.
    """
    for trade in graded_trades(database, directory, document):
        if trade.sequence == sequence:
            return trade_fields(trade)
    return None
