"""Who stands before a resting order: two models of a queue that nobody publishes.

        arrival                 everything displayed at the price is ahead
        a trade at the price    takes from the front: what is left of it fills the order
        a smaller display       proves that no more than it can still be ahead; and
            TRADES              nothing else: who cancelled stood behind us
            SHARE               what no trade explains was cancelled evenly over the queue
        a trade beyond          nobody is ahead

Displays and trades of one price come over different streams, in any order. The venue's own times
put them right: a trade that is not younger than the display is in the display already, so it moves
the queue but not the proof. SHARE waits `LATE_NS` for the trade that may explain a smaller display.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final, NamedTuple

import msgspec

UNKNOWN_LOTS: Final = 1 << 62  # ahead of an order whose level was never displayed
LATE_NS: Final = 250_000_000  # trades are told aggregated, up to 100 ms after they happened
KEPT_MAX: Final = 256  # trades younger than the display, and decreases without a trade; each


class QueueModel(Enum):
    """What a cancel at an order's price means for its place."""

    TRADES = "trades"
    SHARE = "share"


class _Decrease(NamedTuple):
    """A display that was smaller than the trades told so far explain."""

    venue_ns: int
    lots: int
    of_lots: int  # what was displayed before it


class QueuePlace(msgspec.Struct):
    """The place of one order; lots, and times of the venue."""

    model: QueueModel
    arrived_ns: int  # trades up to here were before it
    shown_ns: int
    shown_lots: int = UNKNOWN_LOTS  # displayed when last looked at
    ahead_lots: int = UNKNOWN_LOTS  # by trades, and by the model
    proved_lots: int = UNKNOWN_LOTS  # at most, by displays
    younger: deque[tuple[int, int]] = msgspec.field(default_factory=lambda: deque(maxlen=KEPT_MAX))
    decreases: deque[_Decrease] = msgspec.field(default_factory=deque)

    @property
    def front_lots(self) -> int:
        """Return how much must trade before the order does."""
        return min(self.ahead_lots, self.proved_lots)

    def show(self, shown_lots: int, venue_ns: int) -> None:
        """Take a display of the order's price; 0: nobody is displayed there."""
        if venue_ns < self.shown_ns:
            return
        explained = 0
        while self.younger and self.younger[0][0] <= venue_ns:
            explained += self.younger.popleft()[1]
        if self.ahead_lots == UNKNOWN_LOTS:
            self.ahead_lots = shown_lots
        elif self.model is QueueModel.SHARE:
            before = self.shown_lots - explained
            if shown_lots < before:
                self._note(_Decrease(venue_ns, before - shown_lots, before))
            self._settle(venue_ns)
        self.shown_lots, self.shown_ns = shown_lots, venue_ns
        proved = shown_lots - sum(lots for _, lots in self.younger)
        self.proved_lots = min(self.proved_lots, max(0, proved))

    def trade(self, qty_lots: int, venue_ns: int) -> int:
        """Take a trade that came to the order's price; return what of it reached the order."""
        if venue_ns <= self.arrived_ns or self.ahead_lots == UNKNOWN_LOTS:
            return 0
        if venue_ns > self.shown_ns:
            front = self.front_lots
            self.younger.append((venue_ns, qty_lots))
            self.proved_lots = max(0, self.proved_lots - qty_lots)
        else:
            self._explain(qty_lots, venue_ns)
            front = self.ahead_lots
        self._settle(venue_ns)
        self.ahead_lots = max(0, self.ahead_lots - qty_lots)
        return max(0, qty_lots - front)

    def clear(self) -> None:
        """Put the order in front: the market went through its price."""
        self.ahead_lots = self.proved_lots = 0

    def _note(self, decrease: _Decrease) -> None:
        if len(self.decreases) == KEPT_MAX:
            self._credit(self.decreases.popleft())
        self.decreases.append(decrease)

    def _settle(self, venue_ns: int) -> None:
        """Take for cancels what no trade has explained in time."""
        while self.decreases and self.decreases[0].venue_ns + LATE_NS <= venue_ns:
            self._credit(self.decreases.popleft())

    def _credit(self, decrease: _Decrease) -> None:
        share = self.ahead_lots * decrease.lots // decrease.of_lots
        self.ahead_lots -= min(self.ahead_lots, share)

    def _explain(self, qty_lots: int, venue_ns: int) -> None:
        """Take a late trade out of the decreases that may show it, the oldest first."""
        for place, decrease in enumerate(self.decreases):
            if decrease.venue_ns >= venue_ns and qty_lots > 0:
                part = min(qty_lots, decrease.lots)
                qty_lots -= part
                self.decreases[place] = decrease._replace(lots=decrease.lots - part)
