"""What a parent order sees of the market, in the brain process: touch and traded lots.

Quotes and trades come from the market ring, which is observed and held back for nobody; bars from
the kernel thread's state, read while it works.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import RecordType
from engine.domain.execution.asked import NS_PER_S
from engine.domain.execution.work import Market
from engine.domain.records import MARKET_DTYPE
from engine.domain.state import State
from ringbuffer.ring import Observer, Ring

RECORDS_PER_LOOK: Final = 4_096
LOOKS_MAX: Final = 16  # pieces of a ring taken in one turn
BARS_EXPECTED: Final = 10  # closed minutes that say what volume to expect
MINUTE_NS: Final = 60_000_000_000
Records = NDArray[np.void]


class MarketWatch:
    """Quotes and traded lots of the instruments that parents work in."""

    def __init__(self, market: Ring, state: State) -> None:
        """Begin with what the brain knows; trades count from here on."""
        self._observer = Observer(market)
        self._buffer = np.zeros(RECORDS_PER_LOOK, dtype=MARKET_DTYPE)
        self._state = state
        self._touch: dict[int, tuple[int, int]] = {}
        self._traded: dict[int, int] = {}

    def watch(self, index: int) -> None:
        """Follow one instrument too."""
        if index not in self._touch:
            hot = self._state.market.hot
            bid, ask = int(hot["bid_price_ticks"][index]), int(hot["ask_price_ticks"][index])
            self._touch[index], self._traded[index] = (bid, ask), 0

    def poll(self) -> None:
        """Take what came since."""
        for _ in range(LOOKS_MAX):
            _, count, _ = self._observer.poll_into(self._buffer)
            records = self._buffer[:count]
            for index in self._touch:
                self._take(index, records[records["instrument_index"] == index])
            if count < RECORDS_PER_LOOK:
                return

    def _take(self, index: int, own: Records) -> None:
        kinds = own["record_type"]
        quotes = own[kinds == RecordType.QUOTE]
        if len(quotes):
            last = quotes[-1]
            self._touch[index] = int(last["bid_price_ticks"]), int(last["ask_price_ticks"])
        self._traded[index] += int(own["qty_lots"][kinds == RecordType.TRADE].sum())

    def market(self, index: int, before_lots: int = 0) -> Market:
        """Return what is known of an instrument; `before_lots` were traded before."""
        bid, ask = self._touch[index]
        return Market(bid, ask, self._traded[index] - before_lots)

    def close(self) -> None:
        """Let go of the ring."""
        self._observer.close()


def expected_lots(state: State, index: int, span_s: float) -> int:
    """Return what the market may trade in a span, by its last closed minutes; 0: none closed."""
    minute = state.market.timeframes_ns.tolist().index(MINUTE_NS)
    closed = int(state.market.closed_count[index, minute])
    if closed == 0:
        return 0
    ring = state.market.closed.shape[2]
    places = [(closed - 1 - k) % ring for k in range(min(closed, BARS_EXPECTED, ring))]
    lots = [int(state.market.closed["volume_lots"][index, minute, place]) for place in places]
    return round(sum(lots) / len(lots) * span_s * NS_PER_S / MINUTE_NS)
