"""Rows of the strategy table as kernels read them, and what is remembered of each row's entry."""

from __future__ import annotations

import numpy as np

STRATEGY_DTYPE = np.dtype(
    [
        ("kind", "<i4"),
        ("timeframe_index", "<i4"),
        ("notional_e8", "<i8"),
        ("stop_atr", "<f8"),
        ("take_atr", "<f8"),
        ("trail_atr", "<f8"),
        ("max_hold_ns", "<i8"),
        ("min_hold_ns", "<i8"),
        ("cooldown_ns", "<i8"),
        ("limit_slip_ticks", "<i8"),
        ("size_atr_bps", "<f8"),
        ("edge_min_bps", "<f8"),
        ("claim", "<f8"),
        ("expiry_ns", "<i8"),
        ("regime_adapt", "<f8"),
        ("venue_bracket", "<i8"),
        ("stand_in", "<i8"),
        ("kelly", "<f8"),
        ("risk_max", "<f8"),
        ("safe_from", "<f8"),
        ("safe_least", "<f8"),
        ("safe_edge_bps", "<f8"),
    ]
)
# Fields that are parameters of every kind as they are.
PLAIN_NUMBERS = (
    "stop_atr",
    "take_atr",
    "trail_atr",
    "size_atr_bps",
    "edge_min_bps",
    "claim",
    "regime_adapt",
    "kelly",
    "risk_max",
    "safe_from",
    "safe_least",
    "safe_edge_bps",
)

STRATEGY_MEMORY_DTYPE = np.dtype(
    [
        ("stop_ticks", "<f8"),  # distances from the entry price; 0: none set
        ("take_ticks", "<f8"),
    ]
)

# By engine.domain.trailing.
TRAIL_DTYPE = np.dtype(
    [
        ("distance_ticks", "<i8"),  # of the stop behind the best price; 0: none set
        ("since_ns", "<i8"),  # entry time of the position that the next two are of
        ("best_ticks", "<i8"),  # best touch since the entry, or the entry's price
        ("told_ticks", "<i8"),  # the same when it was last journaled; 0: never
    ]
)
