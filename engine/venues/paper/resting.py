"""Resting orders of a paper account, and what the market fills of them.

        a quote goes through the price      up to what is offered beyond it
        a trade goes through it             up to the trade's quantity
        a trade at it, to this side         what passes the queue (`queue`)

One trade never fills more than its own quantity over all orders it reaches, best price first, then
by arrival. An order with a date expires when the venue's time reaches it, be that by its clock or
by the stamp of a market record, which then fills it no more. What fills, and how much may be
filled, is asked of who owns the account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from engine.domain.codes import TRADE_BUYER_AGGRESSOR, RecordType, Side
from engine.venues.paper.book import PaperMarket, Seen
from engine.venues.paper.order import PaperOrder
from engine.venues.paper.queue import QueueModel, QueuePlace

NEVER_NS: Final = 2**63 - 1
NS_PER_MS: Final = 1_000_000

Fill = Callable[[PaperOrder, int], None]  # lots at the order's own price; it may leave by it
Fillable = Callable[[PaperOrder], int]  # lots; 0: nothing may be filled any more


class Owner(NamedTuple):
    """What the account says about its orders."""

    fill: Fill
    fillable_lots: Fillable
    expire: Callable[[PaperOrder], None]


class RestingOrders:
    """Orders by instrument, each with its place in the queue."""

    def __init__(self, market: PaperMarket, model: QueueModel, owner: Owner) -> None:
        """Start with none."""
        self._market = market
        self._model = model
        self._owner = owner
        self._places: dict[int, list[tuple[PaperOrder, QueuePlace]]] = {}
        self._first_date_ns = NEVER_NS  # no order expires before it

    def __iter__(self) -> Iterator[PaperOrder]:
        """Yield every resting order, by instrument in order of arrival."""
        return (order for places in self._places.values() for order, _ in places)

    def add(self, order: PaperOrder) -> None:
        """Put an order behind everything that is displayed at its price."""
        book = self._market.books[order.instrument_index]
        place = QueuePlace(self._model, book.venue_ns, book.venue_ns)
        shown = book.displayed(Side(order.side), order.price_ticks)
        if shown is not None:
            place.show(shown, book.venue_ns)
        self._places.setdefault(order.instrument_index, []).append((order, place))
        self._first_date_ns = min(self._first_date_ns, _date_ns(order))

    def remove(self, order: PaperOrder) -> None:
        """Take an order away; one that does not rest is no fault."""
        index = order.instrument_index
        kept = [row for row in self._places.get(index, []) if row[0] is not order]
        if kept:
            self._places[index] = kept
        else:
            self._places.pop(index, None)

    def pass_time(self, venue_ns: int) -> None:
        """Let every order expire whose date the venue's time has reached."""
        if venue_ns < self._first_date_ns:
            return
        for order in [each for each in self if _date_ns(each) <= venue_ns]:
            self._owner.expire(order)
        self._first_date_ns = min(map(_date_ns, self), default=NEVER_NS)

    def see(self, seen: Seen) -> None:
        """Let one market record, which the book has taken over, move the queues and fill."""
        self.pass_time(seen.venue_ns)
        rows = self._places.get(seen.instrument_index)
        if not rows:
            return
        if seen.kind == RecordType.TRADE:
            self._see_trade(sorted(rows, key=_priority), seen)
        elif seen.kind == RecordType.QUOTE:
            for order, place in list(rows):
                self._see_quote(order, place, seen)
        else:
            self._see_level(rows, seen)

    def _see_quote(self, order: PaperOrder, place: QueuePlace, seen: Seen) -> None:
        bid_ticks, ask_ticks, bid_lots, ask_lots = seen.words
        other, own = (ask_ticks, bid_ticks) if order.side > 0 else (bid_ticks, ask_ticks)
        if (order.price_ticks - other) * order.side > 0:
            place.clear()
            self._fill_beyond(order)
        elif own == order.price_ticks:
            place.show(bid_lots if order.side > 0 else ask_lots, seen.venue_ns)
        elif (order.price_ticks - own) * order.side > 0:
            place.show(0, seen.venue_ns)

    def _fill_beyond(self, order: PaperOrder) -> None:
        """Fill by what the other side offers beyond the price; it is gone for other orders."""
        book = self._market.books[order.instrument_index]
        wanted = self._owner.fillable_lots(order)
        beyond = book.take(order.side, wanted, order.price_ticks - order.side)
        self._fill(order, sum(part.qty_lots for part in beyond))

    def _see_level(self, rows: list[tuple[PaperOrder, QueuePlace]], seen: Seen) -> None:
        book = self._market.books[seen.instrument_index]
        side, price_ticks = seen.level_side, seen.words[0]
        for order, place in rows:
            if order.side == side and order.price_ticks == price_ticks:
                shown = book.displayed(side, price_ticks)
                if shown is not None and seen.venue_ns > place.shown_ns:
                    place.show(shown, seen.venue_ns)

    def _see_trade(self, rows: list[tuple[PaperOrder, QueuePlace]], seen: Seen) -> None:
        price_ticks, left_lots = seen.words[0], seen.words[1]
        aggressor = Side.BUY if seen.flags & TRADE_BUYER_AGGRESSOR else Side.SELL
        for order, place in rows:
            beyond = (order.price_ticks - price_ticks) * order.side
            reached = 0
            if beyond > 0 and seen.venue_ns >= place.arrived_ns:
                place.clear()
                reached = left_lots
            elif beyond == 0 and aggressor == -order.side:
                reached = place.trade(left_lots, seen.venue_ns)
            if reached > 0:
                left_lots -= self._fill(order, reached)

    def _fill(self, order: PaperOrder, reached_lots: int) -> int:
        wanted = self._owner.fillable_lots(order)
        lots = min(wanted, reached_lots)
        if wanted == 0:
            self._owner.expire(order)  # its position is gone
        elif lots > 0:
            self._owner.fill(order, lots)
        return lots


def _date_ns(order: PaperOrder) -> int:
    return order.good_till_ms * NS_PER_MS or NEVER_NS


def _priority(row: tuple[PaperOrder, QueuePlace]) -> tuple[int, int]:
    order = row[0]
    return -order.side * order.price_ticks, order.venue_order_id
