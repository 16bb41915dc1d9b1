"""Parent orders at work in the brain process, beside the kernel thread (ADR 0025, ADR 0028).

        event ring   --CONTROL_EXECUTE--> a parent; what is said of its children --> it hears
        market ring  --quotes, trades of its instrument, while a parent works--> it looks
        it decides   --CHILD_ORDER, CHILD_CANCEL, PARENT_STATE--> report ring --> gates, journal

Called by the brain's main thread, some fifty times a second. It observes both rings and holds
nobody back. Without a parent it costs one look at the event ring.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import (
    EVENT_APPLIED,
    EventType,
    RecordType,
    Role,
    TimeInForce,
    TradingState,
)
from engine.domain.execution.asked import NS_PER_S, PARENTS_MAX, Asked, Least, Method
from engine.domain.execution.parent import Child, Place
from engine.domain.execution.profile import Shape
from engine.domain.execution.routed import reasoned
from engine.domain.execution.router import Table
from engine.domain.execution.work import Market, StopReason, Withdraw
from engine.domain.records import EVENT_DTYPE, MARKET_DTYPE
from engine.domain.state import State
from engine.domain.words import Word
from engine.processes.outside_records import OutsideOrder, pack_outside
from engine.processes.parent_order import Identity, ParentOrder, Progress
from engine.processes.volume_profiles import Expected, VolumeProfiles
from ringbuffer.ring import Observer, Ring

SHOWN_MAX: Final = 32  # parents that are shown, the newest
EVENTS_PER_LOOK: Final = 2_048
RECORDS_PER_LOOK: Final = 4_096
LOOKS_MAX: Final = 16  # pieces of a ring taken in one turn
TOLD_NS: Final = 500_000_000  # between two words about one parent's progress
BARS_EXPECTED: Final = 10  # closed minutes that say what volume to expect
MINUTE_NS: Final = 60_000_000_000
ABOVE_LEAST: Final = 1.05  # a price may move before a child of the least worth is sent
Records = NDArray[np.void]


class MarketWatch:
    """Quotes and traded lots of the instruments that parents work in."""

    def __init__(self, market: Ring, state: State) -> None:
        """Begin with what the brain knows; trades count from here on."""
        self._observer = Observer(market)
        self._buffer = np.zeros(RECORDS_PER_LOOK, dtype=MARKET_DTYPE)
        self._state = state
        self._touch: dict[int, tuple[int, int]] = {}
        self._traded: dict[int, int] = {}

    def watch(self, index: int) -> None:
        """Follow one instrument too."""
        if index not in self._touch:
            hot = self._state.market.hot
            bid, ask = int(hot["bid_price_ticks"][index]), int(hot["ask_price_ticks"][index])
            self._touch[index], self._traded[index] = (bid, ask), 0

    def poll(self) -> None:
        """Take what came since."""
        for _ in range(LOOKS_MAX):
            _, count, _ = self._observer.poll_into(self._buffer)
            records = self._buffer[:count]
            for index in self._touch:
                self._take(index, records[records["instrument_index"] == index])
            if count < RECORDS_PER_LOOK:
                return

    def _take(self, index: int, own: Records) -> None:
        kinds = own["record_type"]
        quotes = own[kinds == RecordType.QUOTE]
        if len(quotes):
            last = quotes[-1]
            self._touch[index] = int(last["bid_price_ticks"]), int(last["ask_price_ticks"])
        self._traded[index] += int(own["qty_lots"][kinds == RecordType.TRADE].sum())

    def market(self, index: int, before_lots: int = 0) -> Market:
        """Return what is known of an instrument; `before_lots` were traded before."""
        bid, ask = self._touch[index]
        return Market(bid, ask, self._traded[index] - before_lots)

    def close(self) -> None:
        """Let go of the ring."""
        self._observer.close()


class Parents:
    """Every parent order of one brain; its main thread only."""

    def __init__(
        self,
        events: Ring,
        market: Ring,
        state: State,
        send: Callable[[bytes], None],
        show: Callable[[bytes], object],
        profiles: VolumeProfiles,
        table: Callable[[int, int], Table],
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Listen from now on.

        Args:
            events: the brain's event ring.
            market: the market ring.
            state: what the kernel thread works on; words and quotes are read while it does.
            send: hands a record of 256 bytes to the report ring.
            show: takes a JSON document for whoever looks.
            profiles: what a day's volume looks like, for VWAP; looked after here.
            table: returns the router's table for an instrument and a patience, ns.
            now_ns: the clock of the records.
        """
        self._events = Observer(events)
        self._buffer = np.zeros(EVENTS_PER_LOOK, dtype=EVENT_DTYPE)
        self._market_ring = market
        self._state = state
        self._send = send
        self._show = show
        self._profiles = profiles
        self._table = table
        self._now_ns = now_ns
        self._watch: MarketWatch | None = None
        self._at_work: OrderedDict[int, ParentOrder] = OrderedDict()
        self._before: dict[int, int] = {}  # lots traded when a parent began
        self._told: dict[int, tuple[int, Progress]] = {}
        self._shown: OrderedDict[int, dict[str, Any]] = OrderedDict()

    def look(self) -> None:
        """Hear, look and act once."""
        self._profiles.look(self._now_ns())
        for _ in range(LOOKS_MAX):
            _, count, lost = self._events.poll_into(self._buffer)
            if lost and self._at_work:
                self._go_blind()
            self._hear(self._buffer[:count])
            if count < EVENTS_PER_LOOK:
                break
        if not self._at_work:
            return
        assert self._watch is not None, "whoever works is watched for"
        self._watch.poll()
        state = TradingState(int(self._state.desk.words[Word.EFFECTIVE_STATE]))
        for parent in list(self._at_work.values()):
            self._act(parent, state)
        if not self._at_work:
            self._watch.close()
            self._watch = None

    def end(self) -> None:
        """End every parent: the engine stops, and settles their children as any order."""
        for parent in list(self._at_work.values()):
            parent.end(StopReason.SESSION)
            self._tell(parent)
        self._profiles.save()
        self.close()

    def close(self) -> None:
        """Let go of the rings."""
        self._at_work.clear()
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        self._events.close()

    # -- hearing -----------------------------------------------------------------------------------

    def _hear(self, events: Records) -> None:
        kinds = events["event_type"]
        for event in events[kinds == EventType.CONTROL_EXECUTE]:
            if event["flags"] & EVENT_APPLIED:
                self._begin(event)
        if not self._at_work:
            return
        for event in events[kinds == EventType.CONTROL_CANCEL]:
            parent = self._at_work.get(int(event["order_sequence"]))
            if parent is not None and parent.identity.epoch_low == event["epoch_low"]:
                parent.stop(StopReason.OPERATOR)
        for parent in self._at_work.values():
            parent.hear(events)

    def _begin(self, event: np.void) -> None:
        identity = Identity(
            number=int(event["order_sequence"]),
            epoch_low=int(event["epoch_low"]),
            instrument_index=int(event["instrument_index"]),
            column=int(event["strategy_index"]),
        )
        asked = Asked(
            method=Method(int(event["order_type"])),
            side=int(event["side"]),
            qty_lots=int(event["qty_lots"]),
            limit_ticks=int(event["price_ticks"]),
            span_s=float(event["input_0"]),
            detail=float(event["input_1"]),
            patience_s=float(event["input_2"]),
            cap=float(event["input_3"]),
        )
        if self._watch is None:
            self._watch = MarketWatch(self._market_ring, self._state)
        index = identity.instrument_index
        self._watch.watch(index)
        market = self._watch.market(index)
        mid_ticks = (market.bid_ticks + market.ask_ticks) / 2
        now_ns, expected = self._now_ns(), Expected(Shape.NOT_ASKED, None, 0)
        try:
            if asked.method is Method.VWAP:
                span_ns = round(asked.span_s * NS_PER_S)
                paced = expected_lots(self._state, index, asked.span_s)
                expected = self._profiles.expected(index, now_ns, span_ns, paced)
            least = least_of(self._state, index, mid_ticks)
            plan = asked.plan(least, now_ns, curve=expected.curve, expected_lots=expected.lots)
        except ValueError:  # as the market is now it cannot be done
            plan = None
        parent = ParentOrder(identity, asked, plan, mid_ticks, expected.shape)
        if len(self._at_work) >= PARENTS_MAX:
            parent.end(StopReason.CROWDED)
        self._at_work[identity.number] = parent
        self._before[identity.number] = market.traded_lots
        self._tell(parent)

    def _go_blind(self) -> None:
        for parent in list(self._at_work.values()):
            for number in parent.open_numbers():
                self._withdraw(parent.identity, number)
            parent.end(StopReason.BLIND)
            self._tell(parent)

    # -- acting ------------------------------------------------------------------------------------

    def _act(self, parent: ParentOrder, state: TradingState) -> None:
        assert self._watch is not None, "whoever works is watched for"
        identity = parent.identity
        market = self._watch.market(identity.instrument_index, self._before[identity.number])
        if parent.best is not None:
            index, patience_ns = identity.instrument_index, parent.best.patience_ns
            market = market._replace(table=self._table(index, patience_ns))
        intent = parent.look(market, state, self._now_ns())
        if isinstance(intent, Place):
            self._place(parent, intent.child, market)
        elif isinstance(intent, Withdraw):
            self._withdraw(identity, intent.number)
        self._tell(parent)

    def _place(self, parent: ParentOrder, child: Child, market: Market) -> None:
        identity = parent.identity
        order = OutsideOrder(
            identity.instrument_index,
            parent.asked.side,
            child.qty_lots,
            child.price_ticks,
            TimeInForce.IOC if child.is_immediate else TimeInForce.GTC,
            child.is_post_only,
        )
        words = order.words() | {
            "strategy_index": identity.column,
            "cause_sequence": identity.number,
            "request_id": parent.draft_id,
        }
        route, reasons = reasoned(parent.routed, market.table, parent.asked.side)
        self._send(pack_outside(EventType.CHILD_ORDER, Role.BRAIN, route, words | reasons))

    def _withdraw(self, identity: Identity, number: int) -> None:
        words = {
            "instrument_index": identity.instrument_index,
            "strategy_index": identity.column,
            "cause_sequence": identity.number,
            "order_sequence": number,
            "epoch_low": identity.epoch_low,
        }
        self._send(pack_outside(EventType.CHILD_CANCEL, Role.BRAIN, "", words))

    # -- telling -----------------------------------------------------------------------------------

    def _tell(self, parent: ParentOrder) -> None:
        """Journal and show how far a parent is: each state at once, its fills twice a second."""
        identity, progress = parent.identity, parent.progress()
        now_ns = self._now_ns()
        then_ns, before = self._told.get(identity.number, (0, None))
        is_due = before is None or before.state != progress.state or now_ns - then_ns >= TOLD_NS
        if progress != before and is_due:
            self._told[identity.number] = (now_ns, progress)
            self._send(_record_of(parent, progress))
            self._show_row(parent, progress)
        if parent.is_over:
            for kept in (self._at_work, self._before, self._told):
                kept.pop(identity.number, None)

    def _show_row(self, parent: ParentOrder, progress: Progress) -> None:
        identity, asked = parent.identity, parent.asked
        self._shown[identity.number] = {
            "number": identity.number,
            "instrument_index": identity.instrument_index,
            "method": asked.method.name.lower(),
            "side": "buy" if asked.side > 0 else "sell",
            "qty_lots": asked.qty_lots,
            "filled_lots": progress.filled_lots,
            "children": progress.child_count,
            "state": progress.state.name,
            "reason": progress.reason.name,
            "route": progress.route,
            "in_doubt": progress.is_doubted,
            "curve": parent.shape.name,
        }
        while len(self._shown) > SHOWN_MAX:
            over = next((key for key in self._shown if key not in self._at_work), None)
            self._shown.pop(next(iter(self._shown)) if over is None else over)
        self._show(msgspec.json.encode(list(self._shown.values())))


def least_of(state: State, index: int, mid_ticks: float) -> Least:
    """Return the smallest order of an instrument the venue takes, by quantity and by worth."""
    row = state.market.instruments[index]
    lots = max(int(row["min_qty_lots"]), 1)
    lot_e8 = mid_ticks * int(row["unit_e8"])
    if lot_e8 > 0:
        lots = max(lots, int(-(-ABOVE_LEAST * int(row["min_notional_e8"]) // lot_e8)))
    return Least(lots)


def expected_lots(state: State, index: int, span_s: float) -> int:
    """Return what the market may trade in a span, by its last closed minutes; 0: none closed."""
    minute = state.market.timeframes_ns.tolist().index(MINUTE_NS)
    closed = int(state.market.closed_count[index, minute])
    if closed == 0:
        return 0
    ring = state.market.closed.shape[2]
    places = [(closed - 1 - k) % ring for k in range(min(closed, BARS_EXPECTED, ring))]
    lots = [int(state.market.closed["volume_lots"][index, minute, place]) for place in places]
    return round(sum(lots) / len(lots) * span_s * NS_PER_S / MINUTE_NS)


def _record_of(parent: ParentOrder, progress: Progress) -> bytes:
    identity, asked = parent.identity, parent.asked
    words: dict[str, float] = {
        "order_sequence": identity.number,
        "epoch_low": identity.epoch_low,
        "instrument_index": identity.instrument_index,
        "strategy_index": identity.column,
        "cause_sequence": progress.child_count,
        "side": asked.side,
        "order_type": asked.method,
        "qty_lots": asked.qty_lots,
        "cum_qty_lots": progress.filled_lots,
        "price_ticks": asked.limit_ticks,
        "order_status": progress.state,
        "reason": progress.reason,
        "input_0": parent.mid_ticks,
        "input_1": parent.shape,
    }
    return pack_outside(EventType.PARENT_STATE, Role.BRAIN, progress.route, words)
