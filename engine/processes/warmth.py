"""Counts the strategies that know their bars, for who is about to re-arm; brain's main thread.

The rule is `is_warm` of `engine.domain.opportunity`, which holds each entry back by itself: this
only tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import numpy as np

from engine.domain.market_state import INSTRUMENTS_KNOWN, MarketState
from engine.processes.brain_ports import counter_index
from ringbuffer.counters import CounterPage

SHOW_NS: Final = 500_000_000
IN_RANGES: Final = ("stop_atr", "take_atr", "trail_atr", "size_atr_bps")


def warm_and_cold(market: MarketState) -> tuple[int, int]:
    """Return how many strategies may enter some instrument as far as their bars go, and the rest.

    Args:
        market: read while the kernel thread works on it; a bar that ends meanwhile counts or not.
    """
    rows = market.strategies
    known = int(market.progress[INSTRUMENTS_KNOWN])
    has_range = np.any(market.atr_ticks[:known] > 0.0, axis=0)  # NaN is not
    needs = np.zeros(len(rows), np.bool_)
    for field in IN_RANGES:
        needs |= rows[field] != 0.0
    warm = int(np.count_nonzero(~needs | np.take(has_range, rows["timeframe_index"])))
    return warm, len(rows) - warm


class Warmth:
    """Keeps two words of the brain's counters page."""

    def __init__(
        self,
        market: MarketState,
        page: CounterPage,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Take what is looked at and where it is shown; nothing is shown yet."""
        self._market = market
        self._page = page
        self._now_ns = now_ns
        self._due_ns = 0

    def look(self) -> None:
        """Show what is warm, twice a second at most."""
        now_ns = self._now_ns()
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + SHOW_NS
        warm, cold = warm_and_cold(self._market)
        self._page.store(counter_index("strategies_warm"), warm)
        self._page.store(counter_index("strategies_cold"), cold)
