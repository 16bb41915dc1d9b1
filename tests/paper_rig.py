"""A paper account that a test feeds records and commands, and what it said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from engine.clock import VenueClock
from engine.domain.codes import (
    EventType,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)
from engine.domain.records import MARKET_DTYPE
from engine.venues.order_records import Command, Report
from engine.venues.paper.orders import PaperOrders
from engine.venues.paper.reports import PaperTerms
from engine.venues.venue import ClockSample, MarketDataVenue
from tests.builders import (
    START_VENUE_NS,
    make_instrument,
    make_quote,
)

E8 = 100_000_000
WALLET_E8 = 10_000 * E8
LATENCY_NS = 20_000_000
BID, ASK = 60_000, 60_001
FOREVER_NS = 2**62


class Data:
    """Market data whose clock reads one fixed time."""

    name = "binance"

    async def fetch_clock(self) -> ClockSample:
        return ClockSample(1_000, 1_001, 1_700_000_000_000_000_000)

    async def close(self) -> None:
        return


class Paper:
    """A paper account, the records it will read next, and what it said."""

    def __init__(
        self,
        *,
        epoch: int = 1,
        wallet_e8: int = WALLET_E8,
        clock: VenueClock | None = None,
        **terms: object,
    ) -> None:
        self.batches: list[tuple[np.ndarray, bool]] = []
        self.said: list[Report] = []
        self.instruments = [make_instrument(f"T{k}USDT", instrument_index=k) for k in range(2)]
        self.orders = PaperOrders(
            PaperTerms(500, 200, LATENCY_NS, wallet_e8, "a", epoch)._replace(**cast("Any", terms)),
            clock or VenueClock(),
            self.instruments,
            cast(MarketDataVenue, Data()),  # only the clock is asked
            self,
            self.said.append,
        )
        self.next_sequence = 1
        self.venue_ns = START_VENUE_NS
        self.is_closed = False

    def read(self) -> Iterator[tuple[np.ndarray, bool]]:
        while self.batches:
            yield self.batches.pop(0)

    def close(self) -> None:
        self.is_closed = True

    def market(self, *records: np.ndarray, lost: bool = False) -> None:
        """Let the account read these, and act on nothing that is not due."""
        for record in records:
            self.venue_ns += 1_000_000  # each news is younger than the one before
            record["venue_time_ns"] = self.venue_ns
        rows = b"".join(record.tobytes() for record in records)
        self.batches.append((np.frombuffer(rows, dtype=MARKET_DTYPE), lost))
        self.orders.advance(0)

    def quote(self, bid: int = BID, ask: int = ASK, qty: int = 10, index: int = 0) -> None:
        self.market(
            make_quote(bid, ask, qty, qty, instrument_index=index),
        )

    def ask(self, event_type: EventType, sequence: int = 0, **changes: int) -> Command:
        values: dict[str, Any] = dict.fromkeys(Command._fields, 0)
        values |= {"client_order_id": "", "epoch_low": 1, "order_sequence": sequence}
        command = Command(**(values | {"event_type": event_type} | changes))
        self.orders.submit(command)
        self.orders.advance(FOREVER_NS)
        return command

    def new(
        self, side: Side, qty_lots: int, price_ticks: int = 0, *, flags: int = 0, **changes: int
    ) -> int:
        """Send an order, wait out the latency, return its number."""
        sequence = self.next_sequence
        self.next_sequence += 1
        kind = OrderType.LIMIT if price_ticks else OrderType.MARKET
        words = {"order_type": kind, "time_in_force": TimeInForce.GTC, "side": side} | changes
        self.ask(
            EventType.COMMAND_NEW,
            sequence,
            qty_lots=qty_lots,
            price_ticks=price_ticks,
            flags=flags,
            **words,
        )
        return sequence

    def cancel(self, sequence: int) -> None:
        self.ask(EventType.COMMAND_CANCEL, sequence)

    def amend(self, sequence: int, qty_lots: int, price_ticks: int) -> None:
        words = {"qty_lots": qty_lots, "price_ticks": price_ticks}
        self.ask(EventType.COMMAND_REPLACE, sequence, **words)

    def of(self, event_type: EventType) -> list[Report]:
        return [report for report in self.said if report.event_type == event_type]

    def fills(self) -> list[tuple[int, int]]:
        return [(r.last_price_ticks, r.last_qty_lots) for r in self.of(EventType.FILL)]

    def last_status(self) -> OrderStatus:
        return OrderStatus(self.said[-1].order_status)
