"""One instrument's public book as the tape tells it, plus the liquidity our clients took.

The book is fed by depth diffs and, faster, by best quotes of the same update-id space: whichever
is newer decides the top. Taken liquidity stays taken until the level changes on the tape.
"""

from __future__ import annotations

from collections import deque

BUY = 1
SELL = -1

Level = tuple[int, int]
Diff = tuple[int, int, int, list[Level], list[Level]]  # U, u, pu, bids, asks
Quote = tuple[int, int, int, int, int]  # u, bid, bid quantity, ask, ask quantity

EARLY_DIFF_CAPACITY = 2_000  # diffs kept before the snapshot; about 100 s of one instrument
NO_QUOTE: Quote = (-1, 0, 0, 0, 0)


class Book:
    """Levels by price; prices and quantities in the symbol's units."""

    def __init__(self) -> None:
        """Start without levels: not synced until a snapshot."""
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.update_id = -1
        self.synced = False
        self.quote: Quote = NO_QUOTE
        self.gap_count = 0
        self._early: deque[Diff] = deque(maxlen=EARLY_DIFF_CAPACITY)
        # side and price -> (quantity taken, quantity displayed when it was taken)
        self.taken: dict[tuple[int, int], tuple[int, int]] = {}

    def apply_snapshot(self, update_id: int, bids: list[Level], asks: list[Level]) -> None:
        """Take full levels, then the earlier diffs that are newer than they are."""
        self.bids = dict(bids)
        self.asks = dict(asks)
        self.update_id = update_id
        self.synced = True
        for diff in self._early:
            if diff[1] >= update_id:
                self._merge(diff)
        self._early.clear()

    def apply_diff(self, diff: Diff) -> None:
        """Take one diff; before the snapshot it is only remembered."""
        if not self.synced:
            self._early.append(diff)
            return
        if diff[1] < self.update_id:
            return
        if diff[2] != self.update_id and not diff[0] <= self.update_id <= diff[1]:
            self.gap_count += 1
        self._merge(diff)

    def _merge(self, diff: Diff) -> None:
        _first, last, _previous, bids, asks = diff
        for side, levels, changes in ((BUY, self.bids, bids), (SELL, self.asks, asks)):
            for price, qty in changes:
                if qty:
                    levels[price] = qty
                else:
                    levels.pop(price, None)
                if self.taken:
                    self._forget_taken(side, price, qty)
        self.update_id = last

    def apply_quote(self, quote: Quote) -> None:
        """Take a best quote; it rules the top until a newer diff arrives."""
        self.quote = quote
        if self.taken:
            self._forget_taken(BUY, quote[1], quote[2])
            self._forget_taken(SELL, quote[3], quote[4])

    def _forget_taken(self, side: int, price: int, qty: int) -> None:
        entry = self.taken.get((side, price))
        if entry is not None and entry[1] != qty:
            del self.taken[side, price]

    def _quote_rules(self) -> bool:
        return self.quote[0] > self.update_id or not self.synced

    def displayed(self, side: int, price: int) -> int:
        """Return the quantity the tape shows at a price on one side."""
        if self._quote_rules() and self.quote[0] >= 0:
            top, top_qty = self.quote[1:3] if side == BUY else self.quote[3:5]
            if price == top:
                return top_qty
            if (price - top) * side > 0:
                return 0
        return (self.bids if side == BUY else self.asks).get(price, 0)

    def levels(self, side: int) -> list[Level]:
        """Return the displayed levels of one side, best first."""
        source = self.bids if side == BUY else self.asks
        if not self._quote_rules() or self.quote[0] < 0:
            return sorted(source.items(), reverse=side == BUY)
        top, top_qty = self.quote[1:3] if side == BUY else self.quote[3:5]
        deeper = [level for level in source.items() if (top - level[0]) * side > 0]
        deeper.sort(reverse=side == BUY)
        return [(top, top_qty), *deeper] if top_qty > 0 else deeper

    def available(self, side: int) -> list[Level]:
        """Return what can still be taken from one side, best first."""
        if not self.taken:
            return self.levels(side)
        left = [(price, qty - self._taken_at(side, price, qty)) for price, qty in self.levels(side)]
        return [level for level in left if level[1] > 0]

    def _taken_at(self, side: int, price: int, displayed_qty: int) -> int:
        entry = self.taken.get((side, price))
        return entry[0] if entry is not None and entry[1] == displayed_qty else 0

    def take(self, side: int, price: int, qty: int) -> None:
        """Remember that `qty` of a level is gone until the level changes."""
        displayed_qty = self.displayed(side, price)
        taken = self._taken_at(side, price, displayed_qty) + qty
        assert taken <= displayed_qty, (side, price, taken, displayed_qty)
        self.taken[side, price] = (taken, displayed_qty)

    def best(self, side: int) -> int:
        """Return the best displayed price of one side, or 0 when it is empty."""
        if self._quote_rules() and self.quote[0] >= 0:
            return self.quote[1] if side == BUY else self.quote[3]
        source = self.bids if side == BUY else self.asks
        if not source:
            return 0
        return max(source) if side == BUY else min(source)
