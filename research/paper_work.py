"""One parent order on recorded records and a paper account: what `research.execution` runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from engine.clock import VenueClock
from engine.domain.codes import (
    EVENT_POST_ONLY,
    EventType,
    Liquidity,
    OrderStatus,
    OrderType,
    RecordType,
    TimeInForce,
)
from engine.domain.execution.parent import Place
from engine.domain.execution.routed import Best
from engine.domain.execution.router import Table
from engine.domain.execution.work import (
    OVER,
    ChildOrder,
    Market,
    Plan,
    StopReason,
    Withdraw,
    Work,
    advance,
    forget,
    placed,
    stopped,
)
from engine.domain.instrument_row import Instrument
from engine.store.execution_costs import Costs, Execution, Mids, costs_of
from engine.venues.order_records import Command, Report
from engine.venues.paper.orders import PaperOrders
from engine.venues.paper.queue import QueueModel
from engine.venues.paper.reports import PaperTerms
from engine.venues.venue import MarketDataVenue

if TYPE_CHECKING:
    from research.tape_routes import TapeRoutes

Records = NDArray[np.void]
MS_NS: Final = 1_000_000


class Terms(NamedTuple):
    """What the paper account is like."""

    latency_ns: int = 20 * MS_NS
    queue: QueueModel = QueueModel.TRADES
    maker_fee_ppm: int = 200
    taker_fee_ppm: int = 500


class Working:
    """One parent order on its way: the account, the child that works, what was filled."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        index: int,
        plan: Plan,
        terms: Terms,
    ) -> None:
        """Prepare; nothing is sent before the first record."""
        self._index = index
        self._plan = plan
        self._work = Work()
        self._children: dict[int, ChildOrder] = {}
        self._pending: list[Records] = []
        self._sequence = 0
        self._own_lots = self._market_lots = 0
        self._touch = (0, 0)
        self.now_ns = self.began_ns = 0
        self._routes = self._asked_routes(instruments, terms)
        self.executions: list[Execution] = []
        paper = PaperTerms(
            terms.taker_fee_ppm, terms.maker_fee_ppm, terms.latency_ns, 0, "r", 1, terms.queue
        )
        self._orders = PaperOrders(
            paper,
            VenueClock(),
            instruments,
            cast(MarketDataVenue, None),  # nobody asks a recording for its time
            self,
            self._hear,
            monotonic_ns=lambda: self.now_ns,
        )

    def _asked_routes(self, instruments: Sequence[Instrument], terms: Terms) -> TapeRoutes | None:
        """Return the router's table where the algorithm asks it; None: it needs no kernels."""
        if not isinstance(self._plan.algorithm, Best):
            return None
        from research.tape_routes import TapeRoutes

        fees = (terms.maker_fee_ppm, terms.taker_fee_ppm)
        return TapeRoutes(instruments, *fees, now_ns=lambda: self.now_ns)

    def read(self) -> Iterator[tuple[Records, bool]]:
        """Yield the records that the account has not seen."""
        while self._pending:
            yield self._pending.pop(0), False

    def close(self) -> None:
        """Nothing is held."""

    @property
    def is_over(self) -> bool:
        """Return whether nothing is left to be done."""
        return self._work.state in OVER

    def feed(self, records: Records) -> None:
        """Take records in order of time; the algorithm looks after every quote of its own."""
        mine = records["instrument_index"] == self._index
        looks = np.flatnonzero(mine & (records["record_type"] == RecordType.QUOTE)) + 1
        first = 0
        for last in looks.tolist():
            self._take(records[first:last], mine[first:last])
            self._orders.advance(self.now_ns)
            self.act()
            first = last
        if first < len(records):  # seen with the next quote, wherever the records are cut
            self._take(records[first:], mine[first:])

    def _take(self, records: Records, mine: NDArray[np.bool_]) -> None:
        own = records[mine]
        trades = own[own["record_type"] == RecordType.TRADE]
        quotes = own[own["record_type"] == RecordType.QUOTE]
        self._pending.append(records)
        if self._routes is not None:
            self._routes.take(records)
        self.now_ns = int(records["receive_time_ns"][-1])
        if quotes.size:
            self._touch = int(quotes["bid_price_ticks"][-1]), int(quotes["ask_price_ticks"][-1])
            if self.now_ns >= self._plan.bounds.start_ns:
                self.began_ns = self.began_ns or self.now_ns
        if self.began_ns:
            self._market_lots += int(trades["qty_lots"].sum())

    def act(self) -> None:
        """Let the order look, and obey it."""
        bid_ticks, ask_ticks = self._touch
        market = Market(bid_ticks, ask_ticks, self._market_lots + self._own_lots, self._table())
        children = list(self._children.values())
        self._work, intent = advance(self._plan, self._work, children, market, self.now_ns)
        self._obey(intent)

    def _table(self) -> Table | None:
        algorithm = self._plan.algorithm
        if self._routes is None or not isinstance(algorithm, Best):
            return None
        return self._routes.table(self._index, algorithm.patience_ns)

    def withdraw(self) -> None:
        """End it: what works is cancelled and nothing more is sent."""
        self._work = stopped(self._work, StopReason.OPERATOR)
        for number, child in list(self._children.items()):
            if child.is_working and not child.is_cancel_asked:
                self._obey(Withdraw(number))
        self._orders.advance(1 << 62)

    def _obey(self, intent: Place | Withdraw | None) -> None:
        if isinstance(intent, Place):
            self._sequence += 1
            child = intent.child
            self._children[self._sequence] = ChildOrder(
                number=self._sequence,
                status=OrderStatus.PENDING_NEW,
                qty_lots=child.qty_lots,
                cum_qty_lots=0,
                filled_lots=0,
                price_ticks=child.price_ticks,
                placed_ns=self.now_ns,
                is_immediate=child.is_immediate,
            )
            self._work = placed(self._work)
            self._send(
                EventType.COMMAND_NEW,
                self._sequence,
                side=self._plan.parent.side,
                order_type=OrderType.LIMIT,
                time_in_force=TimeInForce.IOC if child.is_immediate else TimeInForce.GTC,
                flags=EVENT_POST_ONLY if child.is_post_only else 0,
                price_ticks=child.price_ticks,
                qty_lots=child.qty_lots,
            )
        elif isinstance(intent, Withdraw):
            child_order = self._children[intent.number]
            self._children[intent.number] = child_order._replace(is_cancel_asked=True)
            self._send(EventType.COMMAND_CANCEL, intent.number)

    def _send(self, event_type: EventType, number: int, **words: int) -> None:
        values: dict[str, Any] = dict.fromkeys(Command._fields, 0) | words
        values |= {"event_type": event_type, "order_sequence": number, "epoch_low": 1}
        values |= {"client_order_id": "", "instrument_index": self._index}
        self._orders.submit(Command(**values))

    def _hear(self, report: Report) -> None:
        child = self._children.get(report.order_sequence)
        if child is None:
            return
        if report.event_type == EventType.FILL:
            filled = child.filled_lots + report.last_qty_lots
            child = child._replace(filled_lots=filled, cum_qty_lots=max(child.cum_qty_lots, filled))
            self._note_fill(report)
        elif report.event_type == EventType.CANCEL_REJECTED:
            child = child._replace(is_cancel_asked=False)
        if report.event_type in {EventType.FILL, EventType.ORDER_UPDATE}:
            child = child._replace(status=OrderStatus(report.order_status))
        self._children[report.order_sequence] = child
        if child.is_settled:
            self._work = forget(self._work, self._children.pop(report.order_sequence))

    def _note_fill(self, report: Report) -> None:
        self._own_lots += report.last_qty_lots
        self.executions.append(
            Execution(
                self.now_ns,
                report.last_price_ticks,
                report.last_qty_lots,
                report.liquidity == Liquidity.MAKER,
                report.fee_e8,
            )
        )


def worked(
    batches: Iterable[Records],
    instruments: Sequence[Instrument],
    index: int,
    plan: Plan,
    *,
    terms: Terms | None = None,
) -> tuple[Working, Costs]:
    """Work a parent order over records to its end or theirs; return it and what it cost."""
    order = Working(instruments, index, plan, terms or Terms())
    quotes: list[Records] = []
    trades: list[tuple[int, int, int]] = []
    for records in batches:
        own = records[records["instrument_index"] == index]
        quotes.append(own[own["record_type"] == RecordType.QUOTE])
        traded = own[own["record_type"] == RecordType.TRADE]
        columns = (traded[name].tolist() for name in ("receive_time_ns", "price_ticks", "qty_lots"))
        trades.extend(zip(*columns, strict=True))
        if not order.is_over or not order.began_ns:
            order.feed(records)
    order.withdraw()
    times = [int(t) for part in quotes for t in part["receive_time_ns"]]
    halves = [
        int(half) for part in quotes for half in part["bid_price_ticks"] + part["ask_price_ticks"]
    ]
    mids = Mids(times, halves, times[-1] if times else 0)
    parent = plan.parent
    costs = costs_of(parent.side, parent.qty_lots, order.began_ns, order.executions, trades, mids)
    return order, costs
