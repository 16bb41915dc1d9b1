"""The order side of a paper account: commands in, reports out, filled against our own records.

        submit(command) -> ORDER_SENT -> after `latency` -> matched against the book as it is then
        MARKET, IOC, FOK     take what is offered, best price first; the rest expires
        LIMIT that crosses   takes up to its price; the rest rests (GTC, GTD)
        resting LIMIT        waits behind what was displayed at its price (`queue`), and is filled
                             by what trades there after that, or through it (`resting`);
                             a GTD order expires at its date, by the venue's time
        a position           pays or receives funding (`funding`), and is closed (`margin`)

Reports are those of a real venue, in its order, so the kernel cannot tell the difference: it
reconciles with this account as with any other. Everything due is done in one turn, in the order it
was asked for, after the market records that were there before it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.clock import VenueClock
from engine.domain.codes import (
    EVENT_POST_ONLY,
    EVENT_REDUCE_ONLY,
    EventType,
    Liquidity,
    OrderStatus,
    OrderType,
    RecordType,
    TimeInForce,
)
from engine.domain.instrument_row import Instrument
from engine.domain.records import EVENT_DTYPE
from engine.venues.order_records import Command, LocalReason, Report, clock_report
from engine.venues.paper.account import PaperAccount
from engine.venues.paper.book import PaperMarket, Taken
from engine.venues.paper.funding import Funding, FundingWatch, mark_of, payment_e8, payment_report
from engine.venues.paper.latency import LineLatency
from engine.venues.paper.margin import MarginWatch, closing_order
from engine.venues.paper.order import (
    OPEN,
    STRATEGY_NET,
    OrderKey,
    PaperOrder,
    key_of,
    order_of,
)
from engine.venues.paper.reports import PaperReports, PaperTerms, picture
from engine.venues.paper.resting import Owner, RestingOrders
from engine.venues.venue import MarketDataVenue

POLL_S: Final = 0.005  # how often market and commands are looked at; adds to the latency
KEPT_MAX: Final = 4_096  # closed orders, fills and payments that can still be asked for
OPENING_SAMPLES: Final = 8  # of the line, before the first order
TAKEN_TYPES: Final = frozenset({OrderType.MARKET, OrderType.LIMIT})
CODE_ABSENT: Final = -2013
CODE_CANCEL_ABSENT: Final = -2011

Emit = Callable[[Report], None]


class MarketRecords(Protocol):
    """Where the market records come from that orders are matched against."""

    def read(self) -> Iterable[tuple[NDArray[np.void], bool]]:
        """Return what is new: (MARKET_DTYPE[n], whether records were lost before them)."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class PaperOrders:
    """The order side of one paper account. One event loop; not for use from several threads."""

    def __init__(
        self,
        terms: PaperTerms,
        clock: VenueClock,
        instruments: Sequence[Instrument],
        market_data: MarketDataVenue,
        records: MarketRecords,
        emit: Emit,
        *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Prepare.

        Args:
            terms: fees, latency, opening wallet and names.
            clock: learns the time of the venue whose data this is.
            instruments: by instrument index.
            market_data: asked for the time; `records`: the market; `emit` takes every report.
            monotonic_ns: the time commands are sent at; a recorded market has its own.
        """
        self.account = PaperAccount(instruments, terms.wallet_e8)
        self.market = PaperMarket(len(instruments))
        self._instruments = list(instruments)
        self._terms = terms
        self._clock = clock
        self._market_data = market_data
        self._records = records
        self._emit = emit
        self._monotonic_ns = monotonic_ns
        self._reports = PaperReports(terms, clock)
        self._due: deque[tuple[int, Command]] = deque()
        self._orders: OrderedDict[OrderKey, PaperOrder] = OrderedDict()
        self._resting = RestingOrders(
            self.market,
            terms.queue,
            Owner(self._fill_resting, self._fillable_lots, self._expire_resting),
        )
        self._fills: deque[Report] = deque(maxlen=KEPT_MAX)  # and payments of funding
        self._funding = FundingWatch()
        self._margin = MarginWatch(instruments, terms.maintenance_ppm)
        self._latency = LineLatency(
            terms.latency_ns, is_measured=terms.is_latency_measured, seed=terms.epoch
        )

    def learn(self, instruments: Sequence[Instrument]) -> None:
        """Take up more instruments, the next ones by index."""
        self.account.learn(instruments)
        self.market.learn(len(instruments))
        self._margin.learn(instruments)
        self._instruments += instruments

    @property
    def name(self) -> str:
        """Return the venue's name, as state is keyed by it."""
        return "paper"

    @property
    def in_flight_count(self) -> int:
        """Return how many orders await their first answer."""
        return sum(command.event_type == EventType.COMMAND_NEW for _, command in self._due)

    async def open(self) -> None:
        """Learn the clock, and how long the line is.

        Raises:
            VenueError: the market data's venue does not answer.
        """
        for _ in range(OPENING_SAMPLES - 1):
            await self._sample()
        await self.sample_clock()

    async def run_stream(self) -> None:
        """Match until cancelled."""
        self._emit(Report(EventType.VENUE_CONNECTED))
        while True:
            self.advance(self._monotonic_ns())
            await asyncio.sleep(POLL_S)

    async def sample_clock(self) -> None:
        """Ask the venue for its time, and report the clock.

        Raises:
            VenueError: by kind.
        """
        await self._sample()
        self._emit(clock_report(self._clock))

    async def _sample(self) -> None:
        sample = await self._market_data.fetch_clock()
        self._clock.learn(sample.sent_ns, sample.received_ns, sample.venue_ns)
        self._latency.note(sample.received_ns - sample.sent_ns)

    async def keep_warm(self) -> None:
        """Nothing to keep: there is no connection for orders."""

    def expire(self, now_ns: int) -> None:
        """Nothing expires: every command is answered when it is due."""

    async def close(self) -> None:
        """Forget what was not accepted yet, and close what is read from."""
        self._due.clear()
        self._records.close()
        await self._market_data.close()

    def submit(self, command: Command) -> None:
        """Take one command; it is acted on when the latency has passed."""
        if command.event_type == EventType.COMMAND_NEW:
            self._emit(self._reports.of(order_of(command), EventType.ORDER_SENT, command))
        due_ns = self._monotonic_ns() + self._latency.draw_ns()
        if self._due:
            due_ns = max(due_ns, self._due[-1][0])  # one connection: nothing overtakes
        self._due.append((due_ns, command))

    def restore(self, records: Sequence[bytes]) -> None:
        """Take over wallet, positions and resting orders from RESTORE_* records of 256 bytes."""
        for row in np.frombuffer(b"".join(records), dtype=EVENT_DTYPE):
            kind, index = int(row["event_type"]), int(row["instrument_index"])
            self.account.keep_above(max(int(row["trade_id"]), int(row["venue_order_id"])))
            if kind == EventType.RESTORE_LIMITS and row["qty_lots"]:
                self.account.wallet_e8 = int(row["cash_e8"])
            elif kind == EventType.RESTORE_POSITION and row["strategy_index"] == STRATEGY_NET:
                position = self.account.position(index)
                position.lots = int(row["position_lots"])
                position.cost_e8 = int(row["position_cost_e8"])
            elif kind == EventType.RESTORE_ORDER and row["trade_id"] == 0:
                order = PaperOrder.restored(row)
                if order is not None:
                    self._keep(order)
                    self._resting.add(order)

    def advance(self, now_ns: int) -> None:
        """Take over the market records that are there, then act on every command that is due."""
        for records, is_lost in self._records.read():
            if is_lost:
                self.market.forget()
            for seen in self.market.apply(records):
                if seen.kind == RecordType.MARK:
                    self._see_mark(seen.instrument_index, *mark_of(seen))
                else:
                    self._resting.see(seen)
        self._resting.pass_time(self._reports.venue_ns)
        while self._due and self._due[0][0] <= now_ns:
            self._act(self._due.popleft()[1])

    def _act(self, command: Command) -> None:
        if command.event_type == EventType.COMMAND_NEW:
            self._accept(order_of(command))
        elif command.event_type == EventType.COMMAND_CANCEL:
            self._cancel(command)
        elif command.event_type == EventType.COMMAND_REPLACE:
            self._amend(command)
        elif command.event_type == EventType.COMMAND_CANCEL_ALL:
            for order in list(self._resting):
                if command.instrument_index in {-1, order.instrument_index}:
                    self._close(order, OrderStatus.CANCELED)
        elif command.event_type == EventType.COMMAND_FETCH and command.order_sequence > 0:
            self._answer_query(command)
        else:
            self._tell_account(command)

    # New orders

    def _accept(self, order: PaperOrder) -> None:
        book = self.market.books[order.instrument_index]
        if order.order_type not in TAKEN_TYPES:
            self._refuse(order, LocalReason.UNSUPPORTED)
            return
        if not book.is_tradable:
            self._refuse(order, LocalReason.NO_MARKET)
            return
        if self._fillable_lots(order) == 0:
            self._refuse(order, LocalReason.NOTHING_TO_REDUCE)
            return
        order.venue_order_id = self.account.next_id(self._clock.now_ms())
        self._keep(order)
        self._rest(order)

    def _rest(self, order: PaperOrder) -> None:
        """Tell an order, fill what can be filled at once, and let the rest rest."""
        self._emit(self._reports.of(order, EventType.ORDER_UPDATE))
        book = self.market.books[order.instrument_index]
        is_market = order.order_type == OrderType.MARKET
        if is_market or book.crosses(order.side, order.price_ticks):
            if order.flags & EVENT_POST_ONLY:
                self._close(order, OrderStatus.EXPIRED)
                return
            limit_ticks = 0 if is_market else order.price_ticks
            is_whole = order.time_in_force == TimeInForce.FOK
            wanted = self._fillable_lots(order)
            for part in book.take(order.side, wanted, limit_ticks, all_or_none=is_whole):
                self._fill(order, part, Liquidity.TAKER)
        if order.order_status in OPEN and order.may_wait:
            self._resting.add(order)
        elif order.order_status in OPEN:
            self._close(order, OrderStatus.EXPIRED)

    def _refuse(self, order: PaperOrder, reason: LocalReason) -> None:
        order.order_status = OrderStatus.REJECTED
        self._emit(self._reports.of(order, EventType.ORDER_UPDATE)._replace(reason=int(reason)))

    def _fill_resting(self, order: PaperOrder, qty_lots: int) -> None:
        self._fill(order, Taken(order.price_ticks, qty_lots), Liquidity.MAKER)

    def _expire_resting(self, order: PaperOrder) -> None:
        self._close(order, OrderStatus.EXPIRED)

    def _see_mark(self, index: int, mark_price_e8: int, rate_e8: int, next_ns: int) -> None:
        self._pay(self._funding.see(index, mark_price_e8, rate_e8, next_ns))
        self._margin.see(index, mark_price_e8)
        if self._margin.is_spent(self.account):
            self._liquidate()

    def _liquidate(self) -> None:
        """Close the account as the venue does: orders first, then every position at its mark."""
        for order in list(self._resting):
            self._close(order, OrderStatus.CANCELED)
        for index, position in self.account.positions.items():
            if position.lots:
                number = self.account.next_id(self._clock.now_ms())
                part = Taken(self._margin.closing_ticks(index), abs(position.lots))
                self._fill(closing_order(index, position.lots, number), part, Liquidity.TAKER)

    def _pay(self, funding: Funding | None) -> None:
        """Book a payment of funding on the position held, if there is one."""
        if funding is None:
            return
        index = funding.instrument_index
        amount_e8 = payment_e8(funding, self.account.position(index).lots, self._instruments)
        if amount_e8 == 0:
            return
        self.account.wallet_e8 += amount_e8
        trade_id = self.account.next_id(self._clock.now_ms())
        report = payment_report(funding, amount_e8, trade_id, self._instruments[index].margin)
        self._fills.append(report)
        self._emit(report)

    def _fillable_lots(self, order: PaperOrder) -> int:
        """Return how much of an order may be filled now: reduce-only, what there is to reduce."""
        if not order.flags & EVENT_REDUCE_ONLY:
            return order.leaves_lots
        lots = self.account.position(order.instrument_index).lots
        return min(order.leaves_lots, abs(lots)) if lots * order.side < 0 else 0

    def _fill(self, order: PaperOrder, part: Taken, liquidity: Liquidity) -> None:
        price_ticks, qty_lots = part
        index, terms = order.instrument_index, self._terms
        is_maker = liquidity is Liquidity.MAKER
        ppm = terms.maker_fee_ppm if is_maker else terms.taker_fee_ppm
        fee_e8 = self.account.fee_e8(index, price_ticks, qty_lots, ppm)
        realised_e8 = self.account.fill(index, order.side, price_ticks, qty_lots, fee_e8)
        order.cum_qty_lots += qty_lots
        is_filled = order.cum_qty_lots == order.qty_lots
        order.order_status = OrderStatus.FILLED if is_filled else OrderStatus.PARTIALLY_FILLED
        report = self._reports.of(order, EventType.FILL)._replace(
            last_price_ticks=price_ticks,
            last_qty_lots=qty_lots,
            trade_id=self.account.next_id(self._clock.now_ms()),
            fee_e8=fee_e8,
            venue_realised_pnl_e8=realised_e8,
            liquidity=liquidity,
        )
        self._fills.append(report)
        self._emit(report)
        if is_filled:
            self._resting.remove(order)

    # Cancels and questions

    def _cancel(self, command: Command) -> None:
        if (order := self._working(command)) is not None:
            self._close(order, OrderStatus.CANCELED)

    def _amend(self, command: Command) -> None:
        """Move an order; its place in the queue is lost, and it may fill at once."""
        if (order := self._working(command)) is not None:
            self._resting.remove(order)
            order.price_ticks = command.price_ticks
            self._rest(order)

    def _working(self, command: Command) -> PaperOrder | None:
        """Return the open order a command is about; without one, say what is known instead."""
        if (order := self._orders.get(key_of(command))) and order.order_status in OPEN:
            return order
        rejected = self._reports.of(order_of(command), EventType.CANCEL_REJECTED)
        self._emit(rejected._replace(reason=CODE_CANCEL_ABSENT))
        self._answer_query(command)
        return None

    def _answer_query(self, command: Command) -> None:
        order = self._orders.get(key_of(command))
        if order is None:
            about = order_of(command)
            about.order_status = OrderStatus.NONE
            nothing = self._reports.of(about, EventType.ORDER_UPDATE)
            self._emit(nothing._replace(reason=CODE_ABSENT))
            return
        for fill in self._fills:
            if fill.venue_order_id == order.venue_order_id:
                self._emit(fill)
        self._emit(self._reports.of(order, EventType.ORDER_UPDATE))

    def _tell_account(self, command: Command) -> None:
        for report in picture(self.account, self._reports, self._resting, self._fills, command):
            self._emit(report._replace(request_id=command.request_id))

    # Orders

    def _keep(self, order: PaperOrder) -> None:
        self._orders[order.key] = order
        if len(self._orders) > KEPT_MAX:
            oldest = next((k for k, o in self._orders.items() if o.order_status not in OPEN), None)
            if oldest is not None:
                del self._orders[oldest]

    def _close(self, order: PaperOrder, status: OrderStatus) -> None:
        order.order_status = status
        self._resting.remove(order)
        self._emit(self._reports.of(order, EventType.ORDER_UPDATE))
