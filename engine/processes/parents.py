"""Parent orders at work in the brain process, beside the kernel thread (ADR 0025, ADR 0028).

        event ring   --CONTROL_EXECUTE--> a parent; what is said of its children --> it hears
        market ring  --quotes, trades of its instrument, while a parent works--> it looks
        it decides   --CHILD_ORDER, CHILD_CANCEL, PARENT_STATE--> report ring --> gates, journal

What an earlier session left at work is in the journal before RESTORE_END, a PARENT_STATE each; it
is set to work again once books and venue agree (ADR 0039). One that this session cannot work is
over there already, and only shown.

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

from engine.domain.codes import EVENT_APPLIED, EventType, Role, TimeInForce, TradingState
from engine.domain.execution.asked import NS_PER_S, PARENTS_MAX, Method, least_of
from engine.domain.execution.curve import Curve
from engine.domain.execution.kept import Identity, Kept, begun, told
from engine.domain.execution.parent import Child, Place
from engine.domain.execution.profile import Shape
from engine.domain.execution.routed import reasoned
from engine.domain.execution.router import Table
from engine.domain.execution.work import Market, StopReason, Withdraw, WorkState
from engine.domain.kernel import python_of
from engine.domain.order_store import EPOCH_PLACES
from engine.domain.records import EVENT_DTYPE
from engine.domain.risk import channels_live
from engine.domain.state import State
from engine.domain.words import Word
from engine.processes.outside_records import OutsideOrder, pack_outside
from engine.processes.parent_market import LOOKS_MAX, MarketWatch, expected_lots
from engine.processes.parent_order import ParentOrder, Progress
from engine.processes.volume_profiles import VolumeProfiles
from engine.store.event_names import text_of
from ringbuffer.ring import Observer, Ring

SHOWN_MAX: Final = 32  # parents that are shown, the newest
EVENTS_PER_LOOK: Final = 2_048
TOLD_NS: Final = 500_000_000  # between two words about one parent's progress
HEARD_NS: Final = 10_000_000_000  # when nothing happened: what the market traded is kept too
Records = NDArray[np.void]


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
        wall_ns: Callable[[], int] = time.time_ns,
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
            wall_ns: the clock that lasts from one session to the next.
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
        self._to_wall_ns = wall_ns() - now_ns()
        # From RESTORE_END on what is told of parents are our own words.
        self._is_restored = bool(state.desk.words[Word.RESTORED])
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
            if lost:
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
            if parent.is_waiting and self._may_work(parent, state):
                self._set_to_work(parent)
            if parent.is_over:
                self._end(parent, StopReason.SESSION)
            elif not parent.is_waiting:
                self._act(parent, state)
        if not self._at_work:
            self._watch.close()
            self._watch = None

    def leave(self) -> None:
        """Say how far each parent is: the engine stops, and its next session takes them up."""
        for parent in list(self._at_work.values()):
            self._tell(parent, is_last=True)
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
        if not self._is_restored:
            for event in events[kinds == EventType.PARENT_STATE]:
                self._take_over(event)
            self._is_restored = bool((kinds == EventType.RESTORE_END).any())
        if not self._at_work:
            return
        for event in events[kinds == EventType.CONTROL_CANCEL]:
            parent = self._at_work.get(int(event["order_sequence"]))
            if parent is not None and parent.identity.epoch_low == event["epoch_low"]:
                parent.stop(StopReason.OPERATOR)
        for parent in self._at_work.values():
            parent.hear(events)

    def _begin(self, event: np.void) -> None:
        parent = ParentOrder(begun(event, self._now_ns() + self._to_wall_ns))
        self._list(parent)
        self._set_to_work(parent)
        if len(self._at_work) > PARENTS_MAX:
            parent.end(StopReason.CROWDED)
        self._tell(parent)

    def _take_over(self, event: np.void) -> None:
        parent = ParentOrder(told(event))
        progress = parent.progress()
        if parent.is_over:  # of its children none is restored
            progress = progress._replace(filled_lots=parent.kept.filled_lots)
        else:
            self._list(parent)
        self._show_row(parent, progress, text_of(event))

    def _list(self, parent: ParentOrder) -> None:
        """Follow its market from now on; what it heard before counts."""
        identity = parent.identity
        if self._watch is None:
            self._watch = MarketWatch(self._market_ring, self._state)
        self._watch.watch(identity.instrument_index)
        market = self._watch.market(identity.instrument_index)
        self._before[identity.number] = market.traded_lots - parent.kept.traded_lots
        self._at_work[identity.number] = parent

    def _may_work(self, parent: ParentOrder, state: TradingState) -> bool:
        """Return whether one that waits may go on: a gate that a start shuts refuses no child."""
        desk, kept = self._state.desk, parent.kept
        if desk.words[Word.SYNCED] == 0:
            return False
        end_ns = kept.start_ns + round(kept.asked.span_s * NS_PER_S)
        is_past = self._now_ns() + self._to_wall_ns >= end_ns
        if is_past or state is TradingState.HALTED or parent.work.state is not WorkState.WORKING:
            return True
        index = kept.identity.instrument_index
        is_live = python_of(channels_live)(desk, index)
        return bool(is_live and desk.ledger["unknown_count"][index] == 0)

    def _set_to_work(self, parent: ParentOrder) -> None:
        """Give it its plan: from when it began on, whoever worked it then."""
        kept, index = parent.kept, parent.identity.instrument_index
        market = self._market(parent)
        kept = kept._replace(mid_ticks=kept.mid_ticks or (market.bid_ticks + market.ask_ticks) / 2)
        # A wall clock that was set back meanwhile lets nothing wait for its beginning.
        start_ns = min(kept.start_ns - self._to_wall_ns, self._now_ns())
        try:
            curve = None
            if kept.asked.method is Method.VWAP:
                kept, curve = self._with_volume(kept, start_ns)
            least = least_of(self._state.market.instruments[index], kept.mid_ticks)
            expected = kept.expected_lots
            plan = kept.asked.plan(least, start_ns, curve=curve, expected_lots=expected)
        except ValueError:  # as the market is now it cannot be done
            plan = None
        parent.set_to_work(kept, plan, self._now_ns())

    def _with_volume(self, kept: Kept, start_ns: int) -> tuple[Kept, Curve | None]:
        """Return a VWAP with what it expects of the market, and the curve; None: even."""
        if kept.shape in {Shape.EVEN_UNKNOWN, Shape.EVEN_SILENT}:
            return kept, None  # it began so: what was learned meanwhile is no reason to hurry
        index, span_s = kept.identity.instrument_index, kept.asked.span_s
        paced = kept.expected_lots or expected_lots(self._state, index, span_s)
        expected = self._profiles.expected(index, start_ns, round(span_s * NS_PER_S), paced)
        lots = kept.expected_lots or expected.lots
        return kept._replace(shape=expected.shape, expected_lots=lots), expected.curve

    def _go_blind(self) -> None:
        self._is_restored = True
        for parent in list(self._at_work.values()):
            self._end(parent, StopReason.BLIND)

    def _end(self, parent: ParentOrder, reason: StopReason) -> None:
        """End it at once, whatever rests of it."""
        for key in parent.open_keys():
            self._withdraw(parent.identity, key)
        parent.end(reason)
        self._tell(parent)

    # -- acting ------------------------------------------------------------------------------------

    def _market(self, parent: ParentOrder) -> Market:
        assert self._watch is not None, "whoever is listed is watched for"
        identity = parent.identity
        market = self._watch.market(identity.instrument_index, self._before[identity.number])
        if parent.best is not None:
            index, patience_ns = identity.instrument_index, parent.best.patience_ns
            market = market._replace(table=self._table(index, patience_ns))
        return market

    def _act(self, parent: ParentOrder, state: TradingState) -> None:
        market = self._market(parent)
        intent = parent.look(market, state, self._now_ns())
        if isinstance(intent, Place):
            self._place(parent, intent.child, market)
        elif isinstance(intent, Withdraw):
            self._withdraw(parent.identity, intent.number)
        self._tell(parent)

    def _place(self, parent: ParentOrder, child: Child, market: Market) -> None:
        identity = parent.identity
        order = OutsideOrder(
            identity.instrument_index,
            parent.kept.asked.side,
            child.qty_lots,
            child.price_ticks,
            TimeInForce.IOC if child.is_immediate else TimeInForce.GTC,
            child.is_post_only,
        )
        words = order.words() | {
            "strategy_index": identity.column,
            "cause_sequence": identity.number,
            "trade_id": identity.number * EPOCH_PLACES + identity.epoch_low,
            "request_id": parent.draft_id,
        }
        route, reasons = reasoned(parent.routed, market.table, parent.kept.asked.side)
        self._send(pack_outside(EventType.CHILD_ORDER, Role.BRAIN, route, words | reasons))

    def _withdraw(self, identity: Identity, key: int) -> None:
        words = {
            "instrument_index": identity.instrument_index,
            "strategy_index": identity.column,
            "cause_sequence": identity.number,
            "order_sequence": key // EPOCH_PLACES,
            "epoch_low": key % EPOCH_PLACES,
        }
        self._send(pack_outside(EventType.CHILD_CANCEL, Role.BRAIN, "", words))

    # -- telling -----------------------------------------------------------------------------------

    def _tell(self, parent: ParentOrder, *, is_last: bool = False) -> None:
        """Journal and show how far a parent is: each state at once, its fills twice a second."""
        number, progress = parent.identity.number, parent.progress()
        now_ns = self._now_ns()
        then_ns, before = self._told.get(number, (0, None))
        is_new = before is None or before.state != progress.state
        is_due = progress != before and now_ns - then_ns >= TOLD_NS
        if is_new or is_due or is_last or now_ns - then_ns >= HEARD_NS:
            self._told[number] = (now_ns, progress)
            words = parent.journaled(progress, self._market(parent).traded_lots).words()
            self._send(pack_outside(EventType.PARENT_STATE, Role.BRAIN, progress.route, words))
            self._show_row(parent, progress)
        if parent.is_over:
            for kept in (self._at_work, self._before, self._told):
                kept.pop(number, None)

    def _show_row(self, parent: ParentOrder, progress: Progress, symbol: str = "") -> None:
        """Show how far one is; `symbol`: of an instrument that this session does not trade."""
        identity, asked = parent.identity, parent.kept.asked
        self._shown[identity.number] = {
            "number": identity.number,
            "epoch_low": identity.epoch_low,
            "instrument_index": identity.instrument_index,
            "symbol": symbol,
            "method": asked.method.name.lower(),
            "side": "buy" if asked.side > 0 else "sell",
            "qty_lots": asked.qty_lots,
            "filled_lots": progress.filled_lots,
            "children": progress.child_count,
            "state": progress.state.name,
            "reason": progress.reason.name,
            "route": progress.route,
            "in_doubt": progress.is_doubted,
            "curve": parent.kept.shape.name,
            "taken_up": parent.kept.taken_up,
        }
        while len(self._shown) > SHOWN_MAX:
            over = next((key for key in self._shown if key not in self._at_work), None)
            self._shown.pop(next(iter(self._shown)) if over is None else over)
        self._show(msgspec.json.encode(list(self._shown.values())))
