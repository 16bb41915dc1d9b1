"""`aegis shadow trades` and `performance`: closed trades, graded, alone and summed."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from engine import exit_codes
from engine.cli_views import table
from engine.domain.instrument_row import E8
from engine.store.database import Database
from engine.store.trade_grades import GradedTrade, Performance, account_trades, performance

NS_PER_S: Final = 1_000_000_000
TRADES: Final = (
    "entered",
    "symbol",
    "strategy",
    "side",
    "pnl",
    "held_s",
    "entry_rule",
    "entry_right",
    "exit_rule",
    "exit_right",
    "regime",
    "regime_right",
    "decision",
)
PERFORMANCE: Final = (
    "strategy",
    "regime",
    "trades",
    "pnl",
    "won",
    "entries_right",
    "exits_right",
    "regimes_right",
)
Fields = dict[str, Any]


def trades_command(
    database: Database, folder: Path, action: str, limit: int, *, as_json: bool
) -> int:
    """Grade what has closed, print the trades or their sums, and return the exit code.

    Args:
        database: projected.
        folder: of the account.
        action: trades or performance.
        limit: how many trades, the newest.
        as_json: print one JSON object.

    Raises:
        StoreError: database or journals cannot be used.
    """
    columns: tuple[str, ...]
    found = account_trades(database, folder, time.time_ns())
    if action == "performance":
        rows, columns = [_of_performance(one) for one in performance(found)], PERFORMANCE
    else:
        newest = sorted(found, key=lambda one: one.entry_ns, reverse=True)[:limit]
        rows, columns = [trade_fields(one) for one in newest], TRADES
    text = "\n".join(table(rows, columns)) if rows else "no trade has closed yet"
    print(json.dumps({action: rows}) if as_json else text)  # noqa: T201
    return exit_codes.DONE


def trade_fields(trade: GradedTrade) -> Fields:
    """Return a closed trade as it is printed; None: not known."""
    entered = datetime.fromtimestamp(trade.entry_ns // NS_PER_S, UTC)
    cells = (
        entered.strftime("%Y-%m-%dT%H:%M:%SZ"),
        trade.instrument,
        trade.strategy,
        "BUY" if trade.side > 0 else "SELL",
        trade.pnl_e8 / E8,
        round((trade.exit_ns - trade.entry_ns) / NS_PER_S, 3),
        trade.entry_rule,
        trade.is_entry_right,
        trade.exit_rule,
        trade.is_exit_right,
        trade.regime,
        trade.is_regime_right,
        f"{trade.session_id}/{trade.sequence}",
    )
    return dict(zip(TRADES, cells, strict=True))


def _of_performance(one: Performance) -> Fields:
    shares = (one.won, one.entries_right, one.exits_right, one.regimes_right)
    rounded = (None if share is None else round(share, 3) for share in shares)
    cells = (one.strategy, one.regime, one.trades, one.pnl_e8 / E8, *rounded)
    return dict(zip(PERFORMANCE, cells, strict=True))
