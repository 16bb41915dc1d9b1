"""One market, two venues: the practice exchange's matching and the paper account, order by order.

Both see every event at the same moment, without latency, and take the same orders: limits at the
touch or a few ticks off it, cancelled after a while if they rest. The exchange matches in its own
code; the paper account hears records as a feed would write them.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.clock import NS_PER_MS, VenueClock
from engine.domain.codes import (
    LEVEL_BID,
    LEVEL_LAST_OF_DIFF,
    LEVEL_SNAPSHOT_FIRST,
    TRADE_BUYER_AGGRESSOR,
    EventType,
    OrderType,
    RecordType,
    TimeInForce,
)
from engine.domain.instrument_row import Instrument
from engine.domain.records import MARKET_DTYPE
from engine.venues.binance.exchange_info import instrument_of, parse_exchange_info
from engine.venues.order_records import Command, Report
from engine.venues.paper.orders import PaperOrders
from engine.venues.paper.queue import QueueModel
from engine.venues.paper.reports import PaperTerms
from engine.venues.venue import MarketDataVenue
from exchange.book import BUY, SELL
from exchange.clock import VirtualClock
from exchange.errors import ApiError
from exchange.events import DIFF, QUOTE, SNAPSHOT, TRADE, Event, EventSource
from exchange.matching import Market
from exchange.rest_market import symbol_view
from exchange.venue import Venue

ACCOUNT: Final = "practice"
WALLET: Final = 10**18  # no order is refused for want of money
START_NS: Final = 1_800_000_000_000_000_000
LIFE_MS: Final = (500, 8_000)  # of a resting order
OFFSETS: Final = (0, 0, 0, 1, 2, -1)  # ticks behind the touch; -1: inside the spread where it fits
SIZE: Final = (0.05, 0.5)  # of what is displayed at the touch


@dataclass(slots=True)
class Twin:
    """One order at both venues; lots."""

    qty_lots: int
    side: int
    placed_ns: int
    cancel_ns: int
    name: str  # at the exchange
    sequence: int  # at the paper account
    index: int
    exchange_lots: int = 0
    paper_lots: int = 0
    exchange_ns: int = 0  # first fill; 0: none
    paper_ns: int = 0


class PaperSide:
    """The paper account: what it reads next and what it said."""

    def __init__(self, instruments: list[Instrument], model: QueueModel) -> None:
        """Start flat."""
        self.rows: list[tuple[int, ...]] = []
        self.fills: dict[int, Report] = {}  # by number: a cancel that comes too late repeats them
        self._heard = 0
        terms = PaperTerms(0, 0, 0, WALLET, "a", 1, model)
        no_data = cast(MarketDataVenue, None)  # only the clock would be asked
        self.orders = PaperOrders(terms, VenueClock(), instruments, no_data, self, self._hear)

    def _hear(self, report: Report) -> None:
        if report.event_type == EventType.FILL and report.trade_id > self._heard:
            self._heard = report.trade_id
            self.fills[report.trade_id] = report

    def read(self) -> Iterator[tuple[NDArray[np.void], bool]]:
        """Yield the records noted since the last time."""
        if self.rows:
            words = np.array(self.rows, dtype=np.int64)
            self.rows.clear()
            yield words.view(MARKET_DTYPE).reshape(-1), False

    def close(self) -> None:
        """Nothing is held."""

    def note(self, event: Event, ticks: int, step: int) -> None:
        """Take one event as the records of a feed; prices and sizes in units of the exchange.

        Marks and liquidations fill nothing, and are left out.
        """
        _, index, kind, fields, _ = event
        if kind == QUOTE:
            _, bid, bid_qty, ask, ask_qty, sent_ms, _ = fields
            numbers = (bid // ticks, ask // ticks, bid_qty // step, ask_qty // step)
            self._add(RecordType.QUOTE, 0, index, sent_ms, numbers)
        elif kind == TRADE:
            price, qty, maker, trade_id, sent_ms, _ = fields
            flags = 0 if maker else TRADE_BUYER_AGGRESSOR
            numbers = (price // ticks, qty // step, trade_id, 1)
            self._add(RecordType.TRADE, flags, index, sent_ms, numbers)
        elif kind in {DIFF, SNAPSHOT}:
            update_id = fields[0] if kind == SNAPSHOT else fields[1]
            bids, asks, sent_ms, _ = fields[-4:]
            levels = [(LEVEL_BID, *level) for level in bids] + [(0, *level) for level in asks]
            for place, (flags, price, qty) in enumerate(levels):
                first = LEVEL_SNAPSHOT_FIRST if kind == SNAPSHOT and place == 0 else 0
                last = LEVEL_LAST_OF_DIFF if place == len(levels) - 1 else 0
                numbers = (price // ticks, qty // step, update_id, 0)
                self._add(RecordType.LEVEL, flags | first | last, index, sent_ms, numbers)

    def _add(
        self, kind: int, flags: int, index: int, sent_ms: int, numbers: tuple[int, ...]
    ) -> None:
        head = index | kind << 16 | flags << 24
        self.rows.append((0, 0, sent_ms * NS_PER_MS, head, *numbers))

    def send(self, event_type: EventType, sequence: int, **words: int) -> None:
        """Send a command that acts at once."""
        values: dict[str, Any] = dict.fromkeys(Command._fields, 0)
        values |= {"client_order_id": "", "epoch_low": 1, "order_sequence": sequence}
        self.orders.submit(Command(**(values | {"event_type": event_type} | words)))
        self.orders.advance(1 << 62)


class TwoVenues:
    """Both sides of one market, and the orders they share."""

    def __init__(self, source: EventSource, model: QueueModel, seed: int) -> None:
        """Wire both around a source that has not begun."""
        self._source = source
        self._venue = Venue(VirtualClock(speed=1.0, start_ms=START_NS // NS_PER_MS), WALLET)
        self._venue.add_account(ACCOUNT, ACCOUNT)
        self._markets = [self._venue.add_market(spec) for spec in source.specs]
        rows = [symbol_view(market.spec, market.listing) for market in self._markets]
        listed = parse_exchange_info(json.dumps({"symbols": rows}).encode()).symbols
        self.instruments = [
            msgspec.structs.replace(instrument_of(row), instrument_index=index)
            for index, row in enumerate(listed)
        ]
        self.paper = PaperSide(self.instruments, model)
        self._chance = random.Random(seed)
        self._open: dict[str, Twin] = {}
        self._of_paper: dict[int, Twin] = {}
        self.twins: list[Twin] = []
        self.event_count = 0

    def play(self, span_s: float, orders_per_s: float) -> list[Twin]:
        """Play so much of the market; return every order, with what both sides filled of it."""
        self._source.prepare()
        self._source.begin(START_NS)
        end_ns = START_NS + round(span_s * 1e9)
        pause_ns = round(1e9 / orders_per_s)
        next_ns = START_NS + 1_000_000_000
        while batch := self._source.next_batch():
            for event in batch:
                if event[0] >= min(next_ns, end_ns):
                    self._act(event[0])
                    next_ns = event[0] + pause_ns
                if event[0] >= end_ns:
                    return self.twins
                self._exchange_event(event)
                spec = self._markets[event[1]].spec
                self.paper.note(event, spec.tick, spec.step)
                self.event_count += 1
        return self.twins

    def _exchange_event(self, event: Event) -> None:
        due_ns, index, kind, fields, _ = event
        market = self._markets[index]
        if kind == QUOTE:
            market.on_quote(fields)
        elif kind == TRADE:
            before = len(self._account.fills)
            aggressor = SELL if fields[2] else BUY
            self._venue.public_trade(market, fields[0], fields[1], aggressor)
            self._hear_exchange(before, due_ns)
        elif kind == DIFF:
            market.on_diff(fields[:5])
        elif kind == SNAPSHOT:
            market.book.apply_snapshot(*fields[:3])

    @property
    def _account(self) -> Any:  # noqa: ANN401  the exchange's own
        return self._venue.accounts[ACCOUNT]

    def _hear_exchange(self, first: int, now_ns: int) -> None:
        for fill in self._account.fills[first:]:
            twin = self._open.get(fill.order.client_order_id)
            if twin is not None:
                step = self._markets[twin.index].spec.step
                twin.exchange_lots += fill.qty // step
                twin.exchange_ns = twin.exchange_ns or now_ns

    def _act(self, now_ns: int) -> None:
        """Let the paper account catch up, withdraw what is old, and place one order."""
        self._catch_up(now_ns)
        for twin in [twin for twin in self._open.values() if twin.cancel_ns <= now_ns]:
            self._cancel(twin)
        self._venue.outbox.clear()
        market = self._chance.choice(self._markets)
        side = self._chance.choice((BUY, SELL))
        top = market.book.best(side)
        if not top or not market.book.best(-side):
            return
        price = top - side * self._chance.choice(OFFSETS) * market.spec.tick
        if market.would_take(side, price):
            price = top
        shown = market.book.displayed(side, top) // market.spec.step
        qty_lots = max(1, round(shown * self._chance.uniform(*SIZE)))
        spec = market.spec
        least = max(spec.min_qty, -(-spec.min_notional // (price * spec.money_factor)))
        qty_lots = max(qty_lots, -(-least // spec.step))
        self._place(market, side, price, qty_lots, now_ns)

    def _place(self, market: Market, side: int, price: int, lots: int, now_ns: int) -> None:
        spec = market.spec
        name = f"twin-{len(self.twins)}"
        words = {"symbol": spec.symbol, "side": "BUY" if side == BUY else "SELL", "type": "LIMIT"}
        words |= {"timeInForce": "GTC", "price": spec.price_text(price), "newClientOrderId": name}
        words["quantity"] = spec.qty_text(lots * spec.step)
        try:
            self._venue.place(self._account, words)
        except ApiError:
            return  # a filter; the paper account is not asked either
        life_ns = self._chance.randint(*LIFE_MS) * NS_PER_MS
        twin = Twin(lots, side, now_ns, now_ns + life_ns, name, len(self.twins) + 1, market.index)
        self.twins.append(twin)
        self._open[name] = twin
        self._of_paper[twin.sequence] = twin
        self.paper.send(
            EventType.COMMAND_NEW,
            twin.sequence,
            instrument_index=market.index,
            side=side,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.GTC,
            price_ticks=price // spec.tick,
            qty_lots=lots,
        )

    def _cancel(self, twin: Twin) -> None:
        del self._open[twin.name]
        words = {"symbol": self._markets[twin.index].spec.symbol, "origClientOrderId": twin.name}
        with contextlib.suppress(ApiError):  # it was filled
            self._venue.cancel(self._account, words)
        self.paper.send(EventType.COMMAND_CANCEL, twin.sequence, instrument_index=twin.index)

    def _catch_up(self, now_ns: int) -> None:
        self.paper.orders.advance(now_ns)
        for fill in self.paper.fills.values():
            twin = self._of_paper[fill.order_sequence]
            twin.paper_lots += fill.last_qty_lots
            twin.paper_ns = twin.paper_ns or now_ns
        self.paper.fills.clear()
