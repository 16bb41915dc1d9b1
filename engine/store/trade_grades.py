"""Closed trades of an account, graded, and what strategies made in which regime.

        entry rule      right when mid went its way within a minute
        exit rule       which one closed it (stop, target, time ...); right when mid went on in the
                        exit's direction within a minute: waiting would have cost
        regime          of the five minutes before the entry; right when the trade saw the same

A trade is an entry whose strategy was flat again (`engine.store.shadow` grades decisions first).
What is not known is None and is no verdict.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from engine.store.database import Database, Value
from engine.store.session import SessionDocument, sessions
from engine.store.shadow import grade
from engine.store.trade_regimes import UNKNOWN, SecondMids

BEFORE_NS: Final = 300_000_000_000  # of the regime a trade was entered in

_TRADES: Final = """
    SELECT d.session_id, d.sequence, d.instrument, d.strategy, d.side, d.reason_name, d.score,
           d.time_ns, x.exit_ns, x.pnl_e8, x.after_60s_bps
    FROM decisions d JOIN shadow_outcomes x
      ON x.state_key = d.state_key AND x.session_id = d.session_id AND x.sequence = d.sequence
    WHERE d.state_key = ? AND d.session_id = ? AND d.is_entry = 1 AND x.exit_ns IS NOT NULL
    ORDER BY d.time_ns, d.sequence"""
_EXITS: Final = """
    SELECT d.instrument, d.strategy, d.time_ns, d.reason_name, x.after_60s_bps
    FROM decisions d LEFT JOIN shadow_outcomes x
      ON x.state_key = d.state_key AND x.session_id = d.session_id AND x.sequence = d.sequence
    WHERE d.state_key = ? AND d.session_id = ? AND d.is_entry = 0 AND d.refusal_mask = 0
    ORDER BY d.time_ns, d.sequence"""


class GradedTrade(NamedTuple):
    """One closed trade; times in ns, wall clock."""

    session_id: str
    sequence: int  # of the decision to enter
    instrument: str
    strategy: str
    side: int
    entry_rule: str
    score: float | None
    entry_ns: int
    exit_ns: int
    pnl_e8: int  # after fees
    is_entry_right: bool | None
    exit_rule: str  # empty: none of its strategy closed it
    is_exit_right: bool | None
    regime: str
    regime_during: str

    @property
    def is_regime_right(self) -> bool | None:
        """Return whether the trade saw the market it was entered in; None: not known."""
        if UNKNOWN in {self.regime, self.regime_during}:
            return None
        return self.regime == self.regime_during


class Performance(NamedTuple):
    """What one strategy made in one regime; shares of what is known, None where nothing is."""

    strategy: str
    regime: str
    trades: int
    pnl_e8: int
    won: float
    entries_right: float | None
    exits_right: float | None
    regimes_right: float | None


def graded_trades(
    database: Database, directory: Path, document: SessionDocument
) -> list[GradedTrade]:
    """Return the closed trades of one session, in order of entry.

    Args:
        database: with the session's decisions graded (`engine.store.shadow.grade`).
        directory: the session's journal.
        document: its document.

    Raises:
        ProjectionError, JournalError: database or journal cannot be used.
    """
    key = (document.state_key, document.session_id)
    rows = [_Entry(*row) for row in database.query(_TRADES, key)]
    exits = _exits(database.query(_EXITS, key))
    spans = [(str(row.instrument), span) for row in rows for span in row.spans]
    mids = SecondMids(spans, document)
    if rows and document.market_journal != "off":
        mids.read(directory)
    return [_graded(row, exits, mids) for row in rows]


def account_trades(database: Database, folder: Path, now_ns: int) -> list[GradedTrade]:
    """Grade what has closed in every session of an account; return the trades, session by session.

    Args:
        database: projected, and nobody else's to write outcomes into.
        folder: the account's state directory.
        now_ns: wall clock, written into what is graded.

    Raises:
        ProjectionError, JournalError: database or journals cannot be used.
    """
    found: list[GradedTrade] = []
    for directory, document in sessions(folder):
        grade(database, directory, document, now_ns)
        found += graded_trades(database, directory, document)
    return found


def performance(trades: Iterable[GradedTrade]) -> list[Performance]:
    """Return what was made by strategy and regime, in order of both."""
    by: dict[tuple[str, str], list[GradedTrade]] = defaultdict(list)
    for trade in trades:
        by[trade.strategy, trade.regime].append(trade)
    return [
        Performance(
            strategy=strategy,
            regime=regime,
            trades=len(rows),
            pnl_e8=sum(row.pnl_e8 for row in rows),
            won=sum(row.pnl_e8 > 0 for row in rows) / len(rows),
            entries_right=_share([row.is_entry_right for row in rows]),
            exits_right=_share([row.is_exit_right for row in rows]),
            regimes_right=_share([row.is_regime_right for row in rows]),
        )
        for (strategy, regime), rows in sorted(by.items())
    ]


class _Entry(NamedTuple):
    """A row of `_TRADES`."""

    session_id: Value
    sequence: Value
    instrument: Value
    strategy: Value
    side: Value
    reason: Value
    score: Value
    time_ns: Value
    exit_ns: Value
    pnl_e8: Value
    after_bps: Value

    @property
    def spans(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the time before the entry, and that of the trade."""
        entry_ns, exit_ns = _whole(self.time_ns), _whole(self.exit_ns)
        return (entry_ns - BEFORE_NS, entry_ns), (entry_ns, exit_ns)


class _Exit(NamedTuple):
    time_ns: int
    reason: str
    after_bps: float | None


def _exits(rows: Iterable[Sequence[Value]]) -> dict[tuple[str, str], list[_Exit]]:
    found: dict[tuple[str, str], list[_Exit]] = defaultdict(list)
    for instrument, strategy, time_ns, reason, after in rows:
        made = _Exit(_whole(time_ns), str(reason), _number(after))
        found[str(instrument), str(strategy)].append(made)
    return found


def _graded(
    row: _Entry, exits: dict[tuple[str, str], list[_Exit]], mids: SecondMids
) -> GradedTrade:
    instrument, strategy = str(row.instrument), str(row.strategy)
    entry_ns, exit_ns = _whole(row.time_ns), _whole(row.exit_ns)
    closing = [
        one for one in exits.get((instrument, strategy), []) if entry_ns <= one.time_ns <= exit_ns
    ]
    before, during = row.spans
    return GradedTrade(
        session_id=str(row.session_id),
        sequence=_whole(row.sequence),
        instrument=instrument,
        strategy=strategy,
        side=_whole(row.side),
        entry_rule=str(row.reason),
        score=_number(row.score),
        entry_ns=entry_ns,
        exit_ns=exit_ns,
        pnl_e8=_whole(row.pnl_e8),
        is_entry_right=_is_right(_number(row.after_bps)),
        exit_rule=closing[-1].reason if closing else "",
        is_exit_right=_is_right(closing[-1].after_bps) if closing else None,
        regime=mids.regime(instrument, before),
        regime_during=mids.regime(instrument, during),
    )


def _is_right(after_bps: float | None) -> bool | None:
    return None if after_bps is None else after_bps > 0


def _share(verdicts: Iterable[bool | None]) -> float | None:
    known = [verdict for verdict in verdicts if verdict is not None]
    return sum(known) / len(known) if known else None


def _whole(value: Value) -> int:
    return int(value or 0)


def _number(value: Value) -> float | None:
    return None if value is None else float(value)
