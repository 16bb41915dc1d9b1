"""What an event source gives the player: one tuple per frame, and the source's protocol.

An event is `(due_ns, market_index, kind, fields, body)`: venue time, instrument, kind below, the
numbers the matching needs, and the frame's payload as bytes (None: the player asks `body_of`).

fields of QUOTE: u, bid, bid quantity, ask, ask quantity, T ms, E ms
fields of TRADE: price, quantity, buyer is maker, trade id, T ms, E ms
fields of DIFF: U, u, pu, bids, asks, T ms, E ms
fields of SNAPSHOT: lastUpdateId, bids, asks, T ms, E ms
"""

from __future__ import annotations

from typing import Any, Protocol

from exchange.listing import Yesterday
from exchange.symbols import SymbolSpec

QUOTE = 0
TRADE = 1
DIFF = 2
SNAPSHOT = 3
HOT_KINDS = (QUOTE, TRADE, DIFF)

# The fields are heterogeneous by kind; the comment above is their type.
Fields = tuple[Any, ...]
Event = tuple[int, int, int, Fields, bytes | None]


class EventSource(Protocol):
    """A market that can be played once or over and over."""

    specs: list[SymbolSpec]
    yesterdays: list[Yesterday]  # by symbol; empty when nothing is known

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
