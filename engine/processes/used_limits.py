"""How close to its limits an account is, for people: the brain's own gates decide, not this.

Exposure is at what positions cost. Loss and fall are measured from what was seen since the engine
started, so after a restart the brain, which remembers the day, may be closer than is shown here.
"""

from __future__ import annotations

import time
from typing import Any, Final

from engine.config import LimitsConfig
from engine.processes.role_counters import Counters
from engine.store.pages import SessionPages

E8: Final = 100_000_000
DAY_NS: Final = 86_400_000_000_000


def used_limits(
    limits: LimitsConfig,
    counters: Counters,
    pages: SessionPages,
    equity_seen: tuple[float, float],
) -> list[dict[str, Any]]:
    """Return one row per limit, the fullest first.

    Args:
        limits: of the configuration.
        counters: of all roles.
        pages: the account's rows.
        equity_seen: the first and the highest equity since the start, quote currency.
    """
    first, peak = equity_seen
    equity = counters.count("brain", "equity_e8") / E8
    by_instrument = pages.exposure()
    instrument, largest = max(by_instrument, key=lambda row: row[1], default=("", 0.0))
    today_ns = time.time_ns() // DAY_NS * DAY_NS
    rows = [
        ("entries today", pages.entries_since(today_ns), limits.max_entries_per_day, "entries"),
        (
            "loss since start",
            max(first - equity, 0.0) / (first or 1.0),
            limits.max_daily_loss_ratio,
            "ratio",
        ),
        (
            "fall from peak",
            max(peak - equity, 0.0) / (peak or 1.0),
            limits.max_drawdown_ratio,
            "ratio",
        ),
        (f"position {instrument}".strip(), largest, limits.max_position_notional, "quote"),
        (
            "all positions",
            sum(cost for _, cost in by_instrument),
            limits.max_total_notional,
            "quote",
        ),
        ("memory", counters.count("orchestrator", "memory_mb"), limits.max_memory_mb, "MB"),
    ]
    found = [
        {
            "limit": name,
            "used": round(float(used), 6),
            "of": float(bound),
            "unit": unit,
            # Of a limit of nothing, nothing is all there is.
            "ratio": round(used / bound, 4) if bound else 1.0,
        }
        for name, used, bound, unit in rows
    ]
    return sorted(found, key=lambda row: -float(str(row["ratio"])))
