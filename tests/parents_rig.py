"""Parent orders beside a brain's order side and a venue of a few sentences, on one clock."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np

from engine.domain.codes import EVENT_POST_ONLY, EventType, OrderStatus, RecordType, TimeInForce
from engine.domain.execution.asked import Method
from engine.domain.execution.work import StopReason, WorkState
from engine.domain.limits import RiskLimits
from engine.domain.records import EVENT_DTYPE, MARKET_DTYPE
from engine.processes.parents import Parents
from engine.processes.routes import Routes
from engine.processes.volume_profiles import VolumeProfiles
from ringbuffer.counters import PAGE_WORDS, CounterPage
from ringbuffer.ring import Producer, Ring
from tests.desk_rig import ASK, BID, GENEROUS, MS, DeskRig, make_event, of_type

EXECUTION = 3


class ParentsRig:
    """A kernel that steps when told, a market that is said, a venue that fills what crosses."""

    def __init__(self, limits: RiskLimits = GENEROUS) -> None:
        """Connect the order side and let parents listen."""
        self.desk = DeskRig(limits, outside=2, orders_max=512)
        self.desk.connect()
        self._events = Ring.local("events", 4096, 256, gating=())
        self._market = Ring.local("market", 4096, 64, gating=())
        self._publish = Producer(self._events)
        self._quotes = Producer(self._market)
        self._trades = itertools.count(1)
        self._requests = itertools.count(900)
        self._sent: list[bytes] = []
        self._taken = len(self.desk.commands)
        self.shown: list[dict[str, Any]] = []
        self.resting: dict[int, np.void] = {}  # at the venue, by number
        self.silent = False  # the venue answers nothing
        self.touch = (BID, ASK)
        self.profiles = VolumeProfiles(self.desk.state, None)
        self.page = CounterPage(memoryview(bytearray(8 * PAGE_WORDS)).cast("q"))
        self.table_shown: list[dict[str, Any]] = []
        self.routes = Routes(
            "practice", self.desk.state, self.page, self._show_table, lambda: self.desk.now_ns
        )
        self.parents = Parents(
            self._events, self._market, self.desk.state, self._sent.append, self._show,
            self.profiles, self.routes.table, lambda: self.desk.now_ns,
        )  # fmt: skip

    def close(self) -> None:
        """Let go of the rings."""
        self.parents.close()
        for end in (self._publish, self._quotes):
            end.close()
        for ring in (self._events, self._market):
            ring.close()

    # What a person and the market do.

    def execute(self, method: Method, qty: int, side: int = 1, **words: float) -> int:
        """Ask for a parent order; return its number."""
        given = {
            "strategy_index": EXECUTION, "order_type": method, "side": side, "qty_lots": qty,
            "request_id": next(self._requests), "input_0": 10.0, "input_2": 1.0,
        } | words  # fmt: skip
        record = make_event(EventType.CONTROL_EXECUTE, **given)  # type: ignore[arg-type]
        events = self._step(controls=[record])
        self.parents.look()
        return int(of_type(events, EventType.CONTROL_EXECUTE)["order_sequence"][0])

    def cancel(self, number: int) -> None:
        """Ask for the end of a parent."""
        record = make_event(EventType.CONTROL_CANCEL, order_sequence=number, epoch_low=1)
        self._step(controls=[record])

    def quote(self, bid: int = BID, ask: int = ASK) -> None:
        """Move the touch."""
        self.touch = (bid, ask)
        self.desk.quote(0, bid, ask)
        record = np.zeros(1, dtype=MARKET_DTYPE)
        record["record_type"] = RecordType.QUOTE
        record["bid_price_ticks"], record["ask_price_ticks"] = bid, ask
        self._quotes.try_publish(record.tobytes()[8:])

    def trade(self, lots: int, price: int = BID) -> None:
        """Trade in the market; what rests at the price or better fills, first come first."""
        record = np.zeros(1, dtype=MARKET_DTYPE)
        record["record_type"] = RecordType.TRADE
        record["price_ticks"], record["qty_lots"] = price, lots
        self._quotes.try_publish(record.tobytes()[8:])
        for number, order in list(self.resting.items()):
            beyond = (int(order["price_ticks"]) - price) * int(order["side"])
            if beyond >= 0 and lots > 0:
                lots -= self._fill(number, min(lots, int(order["qty_lots"])))

    def run(self, seconds: float, step_s: float = 0.05, traded: int = 0) -> None:
        """Let time pass: looks, steps and the venue's answers; `traded` lots each step."""
        for _ in range(round(seconds / step_s)):
            self.quote(*self.touch)
            if traded:
                self.trade(traded)
            self.parents.look()
            self._step(after_ns=round(step_s * 1000) * MS)

    def lose(self, number: int) -> None:
        """Say that nobody knows what became of an order."""
        self._published(
            self.desk.report(EventType.ORDER_UNKNOWN, order_sequence=number, epoch_low=1)
        )

    # What is known.

    def row(self, number: int) -> dict[str, Any]:
        """Return what is shown of a parent."""
        (found,) = (row for row in self.shown if row["number"] == number)
        return found

    def told(self, number: int) -> list[tuple[WorkState, StopReason, int]]:
        """Return each journaled state of a parent: state, reason, filled lots."""
        events = of_type(self.desk.all_events(), EventType.PARENT_STATE)
        return [
            (
                WorkState(int(e["order_status"])),
                StopReason(int(e["reason"])),
                int(e["cum_qty_lots"]),
            )
            for e in events[events["order_sequence"] == number]
        ]

    def children(self, number: int) -> np.ndarray:
        """Return the requests of a parent's children."""
        requests = of_type(self.desk.all_events(), EventType.ORDER_REQUEST)
        return requests[requests["cause_sequence"] == number]

    def filled(self) -> int:
        """Return the lots that parents hold."""
        return self.desk.lots(s=EXECUTION)

    # The kernel and the venue.

    def _show_table(self, text: bytes) -> None:
        self.table_shown = json.loads(text)

    def _show(self, text: bytes) -> None:
        self.shown = json.loads(text)

    def _step(self, **options: Any) -> np.ndarray:  # noqa: ANN401  of the desk's step
        sent, self._sent[:] = list(self._sent), []
        reports = [np.frombuffer(record, EVENT_DTYPE).copy() for record in sent]
        events = self._published(self.desk.step(reports, **options))
        while not self.silent and len(self.desk.commands) > self._taken:
            batch, self._taken = self.desk.commands[self._taken], self._taken + 1
            for command in batch:
                self._answer(command)
        return events

    def _published(self, events: np.ndarray) -> np.ndarray:
        for k in range(len(events)):
            self._publish.try_publish(events[k : k + 1].tobytes()[8:])
        return events

    def _report(self, record: np.ndarray) -> None:
        self._published(self.desk.step([record]))

    def _answer(self, command: np.void) -> None:
        number, kind = int(command["order_sequence"]), int(command["event_type"])
        if kind == EventType.COMMAND_CANCEL:
            self.resting.pop(number, None)
            self._report(self.desk.update_record(number, OrderStatus.CANCELED))
        elif kind == EventType.COMMAND_NEW:
            self._take_order(command, number)

    def _take_order(self, command: np.void, number: int) -> None:
        side, price = int(command["side"]), int(command["price_ticks"])
        far = self.touch[1] if side > 0 else self.touch[0]
        crosses = (price - far) * side >= 0
        if crosses and command["flags"] & EVENT_POST_ONLY:
            self._report(self.desk.update_record(number, OrderStatus.EXPIRED))
            return
        self._report(self.desk.update_record(number, OrderStatus.NEW))
        self.resting[number] = command.copy()
        if crosses:
            self._fill(number, int(command["qty_lots"]))
        elif command["time_in_force"] == TimeInForce.IOC:
            del self.resting[number]
            self._report(self.desk.update_record(number, OrderStatus.EXPIRED))

    def _fill(self, number: int, lots: int) -> int:
        order = self.resting[number]
        self._report(
            self.desk.fill_record(number, next(self._trades), lots, int(order["price_ticks"]))
        )
        order["qty_lots"] -= lots
        if order["qty_lots"] == 0:
            del self.resting[number]
        return lots
