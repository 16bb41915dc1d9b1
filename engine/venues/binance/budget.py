"""What the venue lets an address ask and an account order, and what of it is kept for cancels.

The counts are the venue's own: every answer tells what this minute's requests have weighed, over
all processes of an address, and how many orders an account has sent. What was sent since is added.
A tenth of the weight is a reserve that only urgent requests (cancels, queries) may use, and a part
more is for starts: an engine that was killed leaves the next one enough of the minute to reconcile.

When the venue's intervals begin is not known here: its clock is not ours. So its count of weight
holds for ten seconds only: then one request may go, whose answer tells whether a new minute has
begun. Orders have no reserve, so what counts is every order of a whole span, wherever it begins:
whichever interval the venue counts, no more than its limit were sent in it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Final

import msgspec

from engine.venues.binance.http import whole_number
from engine.venues.venue import ProtocolError

MINUTE_MS: Final = 60_000
TEN_SECONDS_MS: Final = 10_000
TOLD_MS: Final = 10_000  # six requests of a minute that is used up, of 40 where they are heaviest
WEIGHT_1M: Final = 2_400  # the venue's, until it says otherwise
ORDERS_10S: Final = 300
ORDERS_1M: Final = 1_200
RESERVE_SHARE: Final = 0.1
START_SHARE: Final = 0.15  # 360 of the usual limit: two pictures of an account of 20 instruments
SLICES: Final = 20  # of a span of orders; what a slice holds is forgotten at once
SLICES_KEPT: Final = SLICES + 2  # one is under way, one for what travels longer than the last did
NS_PER_MS: Final = 1_000_000
HEADERS: Final = ("x-mbx-used-weight-1m", "x-mbx-order-count-10s", "x-mbx-order-count-1m")
ROW_OF: Final = {
    ("REQUEST_WEIGHT", "MINUTE", 1): HEADERS[0],
    ("ORDERS", "SECOND", 10): HEADERS[1],
    ("ORDERS", "MINUTE", 1): HEADERS[2],
}


def monotonic_ms() -> int:
    """Return the time that counts are kept by: a clock that nobody sets."""
    return time.monotonic_ns() // NS_PER_MS


class RateLimit(msgspec.Struct, frozen=True):
    """One row of `rateLimits`, in exchangeInfo or in an answer of a session."""

    rateLimitType: str  # noqa: N815  the venue's spelling
    interval: str
    intervalNum: int  # noqa: N815
    limit: int = 0
    count: int = 0

    @property
    def header(self) -> str:
        """Return the name of the header that tells the same count; empty: none does."""
        return ROW_OF.get((self.rateLimitType, self.interval, self.intervalNum), "")


class _Listed(msgspec.Struct):
    rateLimits: list[RateLimit] = []  # noqa: N815


_LISTED: Final = msgspec.json.Decoder(_Listed)


class ToldCount:
    """A count as the venue told it last, until it may have started again."""

    def __init__(self, limit: int) -> None:
        """Start with nothing told."""
        self.limit = limit
        self._count = 0
        self._told_ms = 0

    def count(self, now_ms: int) -> int:
        """Return what was told in the last seconds; 0: nothing was."""
        return self._count if now_ms - self._told_ms < TOLD_MS else 0

    def hear(self, count: int, now_ms: int) -> None:
        """Take the venue's count."""
        self._count = count
        self._told_ms = now_ms

    def left_s(self, now_ms: int) -> float:
        """Return for how long the count holds."""
        return max(0, self._told_ms + TOLD_MS - now_ms) / 1_000


class RollingWindow:
    """A count over the last span, wherever the venue's intervals begin; never less than theirs."""

    def __init__(self, span_ms: int, limit: int) -> None:
        """Start with nothing counted."""
        self.limit = limit
        self._count = 0
        self._slice_ms = span_ms // SLICES
        self._slices: deque[tuple[int, int]] = deque()  # number and amount, oldest first

    def count(self, now_ms: int) -> int:
        """Return what is counted in the last span, and up to two slices before it."""
        last = now_ms // self._slice_ms - SLICES_KEPT
        while self._slices and self._slices[0][0] <= last:
            self._count -= self._slices.popleft()[1]
        return self._count

    def add(self, amount: int, now_ms: int) -> None:
        """Count what we send."""
        if amount == 0:
            return
        self.count(now_ms)  # forgets what is too old, so that the slices stay bounded
        number = now_ms // self._slice_ms
        if self._slices and self._slices[-1][0] >= number:
            number, before = self._slices.pop()
            self._slices.append((number, before + amount))
        else:
            self._slices.append((number, amount))
        self._count += amount

    def hear(self, count: int, now_ms: int) -> None:
        """Take the venue's count; one that is behind ours is of an answer before our last sends."""
        self.add(max(0, count - self.count(now_ms)), now_ms)

    def left_s(self, now_ms: int) -> float:
        """Return how long it takes until less than the limit is counted."""
        over = self.count(now_ms) - self.limit
        if over < 0:
            return 0.0
        for number, amount in self._slices:
            over -= amount
            if over < 0:
                return ((number + SLICES_KEPT) * self._slice_ms - now_ms) / 1_000
        return 0.0


class Budget:
    """The limits of one address and account."""

    def __init__(self) -> None:
        """Start with the venue's usual limits."""
        self.weight = ToldCount(WEIGHT_1M)
        self._orders = (
            RollingWindow(TEN_SECONDS_MS, ORDERS_10S),
            RollingWindow(MINUTE_MS, ORDERS_1M),
        )
        self.is_starting = True  # until the account was read once: then the next start's is left
        counts: tuple[ToldCount | RollingWindow, ...] = (self.weight, *self._orders)
        self._by_header = dict(zip(HEADERS, counts, strict=True))

    def learn_limits(self, listing: bytes) -> None:
        """Take the limits that an answer of exchangeInfo announces.

        Raises:
            ProtocolError: it is none.
        """
        try:
            rows = _LISTED.decode(listing).rateLimits
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ProtocolError(f"exchangeInfo: {error}") from error
        for row in rows:
            window = self._by_header.get(row.header)
            if window is not None and row.limit > 0:
                window.limit = row.limit

    def hear(self, headers: Mapping[str, str]) -> None:
        """Take the counts that come with an answer."""
        now_ms = monotonic_ms()
        for name, window in self._by_header.items():
            count = whole_number(headers.get(name, ""))
            if count is not None:
                window.hear(count, now_ms)

    def note_order(self) -> None:
        """Count an order that is on its way."""
        now_ms = monotonic_ms()
        for window in self._orders:
            window.add(1, now_ms)

    def order_wait_s(self) -> float:
        """Return for how long no further order would be taken; 0: one would be now."""
        now_ms = monotonic_ms()
        full = [window for window in self._orders if window.count(now_ms) >= window.limit]
        return max((window.left_s(now_ms) for window in full), default=0.0)

    def has_room(self, orders: int) -> bool:
        """Return whether the venue would take so many orders now."""
        now_ms = monotonic_ms()
        return all(window.count(now_ms) + orders <= window.limit for window in self._orders)

    def request_wait_s(self, *, urgent: bool) -> float:
        """Return for how long no further request should be sent; 0: one may be now."""
        if urgent:
            return 0.0
        now_ms = monotonic_ms()
        kept = RESERVE_SHARE if self.is_starting else RESERVE_SHARE + START_SHARE
        bound = self.weight.limit * (1 - kept)
        return self.weight.left_s(now_ms) if self.weight.count(now_ms) >= bound else 0.0
