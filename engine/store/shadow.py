"""What came of every decision, sent or refused: how far price went, what it filled, what it made.

        decisions of a session --.
        its market journal -------+--> shadow_outcomes, one row per decision
        order states, fills -----'

A mark-out is how far mid went in the decision's direction after a time, in 1e-4 of mid at the
decision. A time the journal does not reach, or a record that retention removed, is not known: NULL,
and graded again the next time. An entry's result is what its strategy made on the instrument, after
fees, from the entry's first fill until it was flat: entries on top of each other share it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.store.database import Database, Value
from engine.store.frames import FrameKind
from engine.store.journal import SOURCE_MARKET
from engine.store.quotes import mids, two_sided
from engine.store.reader import read_batches
from engine.store.session import SessionDocument
from engine.store.tables import OUTCOMES, Cells

HORIZONS_S: Final = (10, 60, 300)
COLUMNS: Final = tuple(f"after_{seconds}s_bps" for seconds in HORIZONS_S)
NS_PER_S: Final = 1_000_000_000
BPS: Final = 10_000

_UNGRADED: Final = """
    SELECT d.sequence, d.time_ns, d.instrument, d.strategy, d.side, d.is_entry, d.cause_sequence,
           d.refusal_mask, d.window_first
    FROM decisions d LEFT JOIN shadow_outcomes x
      ON x.state_key = d.state_key AND x.session_id = d.session_id AND x.sequence = d.sequence
    WHERE d.state_key = ? AND d.session_id = ?
      AND (x.graded_ns IS NULL OR x.after_300s_bps IS NULL
           OR (x.filled_lots > 0 AND d.is_entry = 1 AND x.exit_ns IS NULL))
    ORDER BY d.time_ns, d.sequence"""
_ORDERS: Final = """
    SELECT instrument, strategy, cause_sequence, side, filled_lots, order_id FROM order_states
    WHERE state_key = ? AND session_id = ? AND filled_lots > 0"""
_FILLS: Final = """
    SELECT instrument, strategy, order_id, time_ns, side * qty_lots, realised_pnl_e8 - fee_e8
    FROM fills WHERE state_key = ? ORDER BY time_ns, session_id, sequence"""


class Decision(NamedTuple):
    """One decision that is not fully graded; times in ns, wall clock."""

    sequence: int
    time_ns: int
    instrument: str
    strategy: str
    side: int
    is_entry: int
    cause_sequence: int
    refusal_mask: int
    window_first: int


class Fill(NamedTuple):
    """A fill of one strategy on one instrument."""

    order_id: str
    time_ns: int
    lots: int  # signed
    net_e8: int  # realised, less its fee


def grade(database: Database, directory: Path, document: SessionDocument, now_ns: int) -> int:
    """Write what is known by now of a session's decisions; return how many were looked at.

    Args:
        database: projected, and nobody else's to write outcomes into.
        directory: the session's journal.
        document: its document.
        now_ns: wall clock, written into the rows.

    Raises:
        ProjectionError, JournalError: the database or the journal cannot be used.
    """
    key = (document.state_key, document.session_id)
    decisions = [Decision._make(_whole(row)) for row in database.query(_UNGRADED, key)]
    mids = Mids(decisions, document)
    if decisions and document.market_journal != "off":
        mids.read(directory)
    trades = Trades(database, key)
    rows: list[Cells] = []
    for decision in decisions:
        filled, exit_ns, net_e8 = trades.outcome(decision)
        cells: Cells = dict(zip(OUTCOMES.key, (*key, decision.sequence), strict=True))
        cells |= {"graded_ns": now_ns, "filled_lots": filled, "exit_ns": exit_ns, "pnl_e8": net_e8}
        rows.append(cells | mids.mark_outs(decision))
    with database.transaction():
        OUTCOMES.write(database, rows)
    return len(rows)


class Mids:
    """Mid at the times that decisions ask for, from one pass over a market journal."""

    def __init__(self, decisions: Iterable[Decision], document: SessionDocument) -> None:
        """Note which instrument's mid is wanted when."""
        self._document = document
        self._wanted: dict[int, set[int]] = defaultdict(set)
        self._found: dict[tuple[str, int], float] = {}  # (instrument, time): mid, ticks
        self._index = {row.symbol: i for i, row in enumerate(document.instruments)}
        self._first = -1
        for decision in decisions:
            place = self._index.get(decision.instrument)
            if place is not None and decision.window_first >= 0:
                self._wanted[place].update(_times(decision))
                if self._first < 0 or decision.window_first < self._first:
                    self._first = decision.window_first

    def read(self, directory: Path) -> None:
        """Follow the quotes once, from the first decision's window to the last wanted time.

        Raises:
            JournalError: the journal cannot be read.
        """
        if self._first < 0:
            return
        pending = {place: sorted(times) for place, times in self._wanted.items()}
        last: dict[int, float] = {}
        for batch in read_batches(directory, SOURCE_MARKET, self._first):
            if batch.kind is not FrameKind.RECORDS:
                continue
            quotes = two_sided(batch.records)
            for place in list(pending):
                own = quotes[quotes["instrument_index"] == place]
                if len(own):
                    pending[place] = self._answer(place, pending[place], own, last)
                    if not pending[place]:
                        del pending[place]
            if not pending:
                return

    def _answer(
        self, place: int, times: list[int], quotes: NDArray[np.void], last: dict[int, float]
    ) -> list[int]:
        """Answer the times that lie before the last of these quotes; return the others."""
        document = self._document
        shift = document.started_realtime_ns - document.started_monotonic_ns
        seen_ns = quotes["receive_time_ns"].astype(np.int64) + shift
        mid = mids(quotes)
        symbol = document.instruments[place].symbol
        count = int(np.searchsorted(times, seen_ns[-1]))  # a later quote shows that none is missing
        for time_ns in times[:count]:
            at = int(np.searchsorted(seen_ns, time_ns, side="right")) - 1
            before = float(mid[at]) if at >= 0 else last.get(place)
            if before is not None:
                self._found[symbol, time_ns] = before
        last[place] = float(mid[-1])
        return times[count:]

    def mark_outs(self, decision: Decision) -> Cells:
        """Return mid at a decision, as a price, and how far it went after each horizon."""
        at, *later = (self._found.get((decision.instrument, time)) for time in _times(decision))
        cells: Cells = dict.fromkeys(("mid", *COLUMNS))
        if at is None or not at:
            return cells
        row = self._document.instruments[self._index[decision.instrument]]
        cells["mid"] = at * row.tick_scaled / 10**row.price_exponent
        for column, mid in zip(COLUMNS, later, strict=True):
            cells[column] = None if mid is None else decision.side * (mid - at) / at * BPS
        return cells


class Trades:
    """What orders filled, and what strategies made with it."""

    def __init__(self, database: Database, key: tuple[str, str]) -> None:
        """Read the orders of a session, and the fills of its account."""
        self._orders = {
            (instrument, strategy, cause, side): (int(str(filled)), str(order_id))
            for instrument, strategy, cause, side, filled, order_id in database.query(_ORDERS, key)
        }
        self._fills: dict[tuple[Value, Value], list[Fill]] = defaultdict(list)
        for instrument, strategy, *fill in database.query(_FILLS, key[:1]):
            self._fills[instrument, strategy].append(Fill._make(_whole(fill)))

    def outcome(self, decision: Decision) -> tuple[int, int | None, int | None]:
        """Return what a decision's order filled, when its strategy was flat, and what it made."""
        place = (decision.instrument, decision.strategy, decision.cause_sequence, decision.side)
        filled, order_id = (0, "") if decision.refusal_mask else self._orders.get(place, (0, ""))
        if not filled or not decision.is_entry:
            return filled, None, None
        held, net_e8, begun = 0, 0, False
        for fill in self._fills[decision.instrument, decision.strategy]:
            begun = begun or fill.order_id == order_id
            held += fill.lots
            net_e8 += fill.net_e8 if begun else 0
            if begun and held == 0:
                return filled, fill.time_ns, net_e8
        return filled, None, None


def _times(decision: Decision) -> list[int]:
    return [decision.time_ns + seconds * NS_PER_S for seconds in (0, *HORIZONS_S)]


def _whole(row: Iterable[Value]) -> list[int | str]:
    return [cell if isinstance(cell, str) else int(cell or 0) for cell in row]
