"""One parent order on recorded records and a paper account: what `research.execution` runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, cast

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
from engine.domain.execution.parent import (
    Algorithm,
    Cancel,
    Child,
    Intent,
    Look,
    Parent,
    Place,
    is_over,
    step,
)
from engine.domain.instrument_row import Instrument
from engine.store.execution_costs import Costs, Execution, Mids, costs_of
from engine.venues.order_records import Command, Report
from engine.venues.paper.order import OPEN
from engine.venues.paper.orders import PaperOrders
from engine.venues.paper.queue import QueueModel
from engine.venues.paper.reports import PaperTerms
from engine.venues.venue import MarketDataVenue

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
        parent: Parent,
        algorithm: Algorithm,
        terms: Terms,
    ) -> None:
        """Prepare; nothing is sent before the first record."""
        self._index = index
        self._parent = parent.checked()
        self._algorithm = algorithm
        self._pending: list[Records] = []
        self._working: Child | None = None
        self._is_cancelled = False
        self._sequence = 0
        self._own_lots = self._market_lots = 0
        self._touch = (0, 0)
        self.now_ns = self.began_ns = 0
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

    def read(self) -> Iterator[tuple[Records, bool]]:
        """Yield the records that the account has not seen."""
        while self._pending:
            yield self._pending.pop(0), False

    def close(self) -> None:
        """Nothing is held."""

    @property
    def is_over(self) -> bool:
        """Return whether nothing is left to be done."""
        return is_over(self._parent, self._look())

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
        self.now_ns = int(records["receive_time_ns"][-1])
        if quotes.size:
            self._touch = int(quotes["bid_price_ticks"][-1]), int(quotes["ask_price_ticks"][-1])
            self.began_ns = self.began_ns or self.now_ns
        if self.began_ns:
            self._market_lots += int(trades["qty_lots"].sum())

    def _look(self) -> Look:
        bid_ticks, ask_ticks = self._touch
        traded = self._market_lots + self._own_lots
        return Look(self.now_ns, bid_ticks, ask_ticks, self._own_lots, traded, self._working)

    def act(self) -> None:
        """Let the algorithm look, and obey it."""
        if not self._is_cancelled:
            self._obey(step(self._parent, self._algorithm, self._look()))

    def withdraw(self) -> None:
        """End it: what works is cancelled and nothing more is sent."""
        if self._working is not None and not self._is_cancelled:
            self._obey(Cancel())
        self._orders.advance(1 << 62)

    def _obey(self, intent: Intent | None) -> None:
        if isinstance(intent, Place):
            self._sequence += 1
            child = intent.child
            self._working = child._replace(placed_ns=self.now_ns)
            is_ioc = child.is_immediate
            self._send(
                EventType.COMMAND_NEW,
                side=self._parent.side,
                order_type=OrderType.LIMIT,
                time_in_force=TimeInForce.IOC if is_ioc else TimeInForce.GTC,
                flags=EVENT_POST_ONLY if child.is_post_only else 0,
                price_ticks=child.price_ticks,
                qty_lots=child.qty_lots,
            )
        elif isinstance(intent, Cancel):
            self._is_cancelled = True
            self._send(EventType.COMMAND_CANCEL)

    def _send(self, event_type: EventType, **words: int) -> None:
        values: dict[str, Any] = dict.fromkeys(Command._fields, 0) | words
        values |= {"event_type": event_type, "order_sequence": self._sequence, "epoch_low": 1}
        values |= {"client_order_id": "", "instrument_index": self._index}
        self._orders.submit(Command(**values))

    def _hear(self, report: Report) -> None:
        if report.order_sequence != self._sequence or self._working is None:
            return
        if report.event_type == EventType.FILL:
            self._own_lots += report.last_qty_lots
            left = self._working.qty_lots - report.last_qty_lots
            self._working = self._working._replace(qty_lots=left)
            is_maker = report.liquidity == Liquidity.MAKER
            self.executions.append(
                Execution(
                    self.now_ns,
                    report.last_price_ticks,
                    report.last_qty_lots,
                    is_maker,
                    report.fee_e8,
                )
            )
        closes = report.event_type in {EventType.FILL, EventType.ORDER_UPDATE}
        if closes and OrderStatus(report.order_status) not in OPEN:
            self._working, self._is_cancelled = None, False


def worked(
    batches: Iterable[Records],
    instruments: Sequence[Instrument],
    index: int,
    parent: Parent,
    algorithm: Algorithm,
    *,
    terms: Terms | None = None,
) -> tuple[Working, Costs]:
    """Work a parent order over records to its end or theirs; return it and what it cost."""
    order = Working(instruments, index, parent, algorithm, terms or Terms())
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
    costs = costs_of(parent.side, parent.qty_lots, order.began_ns, order.executions, trades, mids)
    return order, costs
