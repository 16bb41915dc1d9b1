"""What an event source gives the player: one tuple per frame, and the source's protocol.

An event is `(due_ns, market_index, kind, fields, body)`: venue time, instrument, kind below, the
numbers the matching needs, and the frame's payload as bytes (None: the player asks `body_of`).

fields of QUOTE: u, bid, bid quantity, ask, ask quantity, T ms, E ms
fields of TRADE: price, quantity, buyer is maker, trade id, T ms, E ms
fields of DIFF: U, u, pu, bids, asks, T ms, E ms
fields of SNAPSHOT: lastUpdateId, bids, asks, T ms, E ms
fields of MARK: a `Mark`, E ms
fields of LIQUIDATION: a `Liquidation`
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from exchange.listing import Yesterday
from exchange.symbols import SymbolSpec

QUOTE = 0
TRADE = 1
DIFF = 2
SNAPSHOT = 3
MARK = 7  # and the next: numbers that the streams of these payloads have too
LIQUIDATION = 8
HOT_KINDS = (QUOTE, TRADE, DIFF)

# The fields are heterogeneous by kind; the comment above is their type.
Fields = tuple[Any, ...]
Event = tuple[int, int, int, Fields, bytes | None]


class Mark(NamedTuple):
    """A mark price and its funding; prices and rate in 1e-8."""

    price_e8: int
    index_e8: int
    rate_e8: int
    next_funding_ms: int


class Liquidation(NamedTuple):
    """An order of the venue's liquidation engine; prices and quantity in the symbol's units."""

    side: int
    price: int
    qty: int
    average_price: int
    trade_ms: int
    event_ms: int


class EventSource(Protocol):
    """A market that can be played once or over and over."""

    specs: list[SymbolSpec]
    yesterdays: list[Yesterday]  # by symbol; empty when nothing is known
    marked: frozenset[int]  # markets whose marks it tells, as far as it knows beforehand

    def prepare(self) -> None:
        """Load what playing needs; optional, and without effect the second time."""

    def begin(self, start_ns: int) -> None:
        """Go to the first event, which is due at `start_ns`."""

    def next_batch(self) -> list[Event]:
        """Return the next events in order of time; an empty list means the end."""

    def begin_again(self, not_before_ns: int) -> int:
        """Go to the first event again, ids and times shifted past everything told.

        Returns:
            The venue time at which the first event is due, at or after `not_before_ns`.
        """

    def body_of(self, event: Event) -> bytes:
        """Return the payload of an event that carries none."""
