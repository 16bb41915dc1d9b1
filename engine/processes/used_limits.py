"""How close to its limits an account is, for people: the brain's own gates decide, not this.

Exposure is at what positions cost. Entries, loss and fall are counted from where the gates count:
the day's start and the peak as the brain has them, over restarts.
"""

from __future__ import annotations

from typing import Any, Final

from engine.config import LimitsConfig
from engine.processes.role_counters import Counters
from engine.store.pages import SessionPages

E8: Final = 100_000_000


def used_limits(
    limits: LimitsConfig, counters: Counters, pages: SessionPages
) -> list[dict[str, Any]]:
    """Return one row per limit, the fullest first.

    Args:
        limits: of the configuration.
        counters: of all roles.
        pages: the account's rows.
    """
    by_instrument = pages.exposure()
    instrument, largest = max(by_instrument, key=lambda row: row[1], default=("", 0.0))
    entries = counters.count("brain", "day_entries")
    loss = _lost(counters, "day_start_equity_e8")
    fall = _lost(counters, "peak_equity_e8")
    rows = [
        ("entries today", entries, limits.max_entries_per_day, "entries"),
        ("loss today", loss, limits.max_daily_loss_ratio, "ratio"),
        ("fall from peak", fall, limits.max_drawdown_ratio, "ratio"),
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


def _lost(counters: Counters, base_name: str) -> float:
    """Return how far equity lies below a base, as a share of it; 0 while nothing is known."""
    base_e8 = counters.count("brain", base_name)
    equity_e8 = counters.count("brain", "equity_e8")
    return max(base_e8 - equity_e8, 0) / base_e8 if base_e8 > 0 else 0.0
