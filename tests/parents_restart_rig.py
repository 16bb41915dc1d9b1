"""Parent orders over the death of their session: a venue that remembers, a journal that is read.

The venue of `tests.parents_rig` forgets nothing: what it did and nobody heard is told by the next
session's fetch and lookups. The journal is what the kernel wrote; what was sent to it and not taken
dies with the session.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.domain.codes import EVENT_POST_ONLY, EventType, OrderStatus, TimeInForce
from engine.domain.execution.kept import KeptParents
from engine.domain.execution.work import StopReason, WorkState
from engine.domain.fold import Fold
from engine.domain.market_state import CLOCK_OFFSET_NS, MAKER_FEE_PPM, TAKER_FEE_PPM
from engine.domain.records import EVENT_DTYPE
from engine.domain.words import Word
from engine.processes.brain_words import STEP_REPORTS_MAX
from engine.processes.parents import Parents
from engine.processes.routes import Routes
from engine.processes.volume_profiles import VolumeProfiles
from engine.store.reader import join_records
from ringbuffer.ring import Producer, Ring
from tests.desk_rig import GENEROUS, MS, DeskRig, make_event
from tests.parents_rig import ParentsRig

S = 1_000_000_000
FEES = 200, 500  # maker's and taker's, parts of a million
WALL_NS = 1_790_000_000 * S
ROUNDS = 12  # of fetches and lookups until a session agrees with the venue
Key = tuple[int, int]  # number and epoch_low
CLOSED = {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.EXPIRED}


def end_untraded(states: np.ndarray) -> None:
    """End what is handed on as a start does whose session does not trade any of it, in place."""
    states["order_status"], states["reason"] = WorkState.ENDED, StopReason.UNTRADED
    states["instrument_index"], states["text"] = -1, b"GONEUSDT"


class Truth:
    """One order at the venue."""

    def __init__(self, command: np.void) -> None:
        self.command = command.copy()
        self.status = OrderStatus.NEW
        self.filled = 0
        self.fills: list[tuple[int, int]] = []  # trade id, lots


class RestartRig(ParentsRig):
    """Sessions one after the other of one account."""

    def __init__(self, profile: Path | None = None, wall_ns: int = WALL_NS) -> None:
        """Begin the first session, with a file of day profiles and a wall clock at boot."""
        self.profile = profile
        self.venue: dict[Key, Truth] = {}
        self.deaf = False  # the venue acts and nobody hears of it
        self.doubted = 0  # orders in doubt in the instrument when a session begins
        self.strange_lots = 0  # held at the venue by nobody's order
        self.wall_ns = wall_ns
        super().__init__()
        self._listen(self.desk)

    def wall(self) -> int:
        """Return the wall clock, which lasts over a boot."""
        return self.wall_ns + self.desk.now_ns

    def restart(
        self, away_s: float = 1.0, *, is_heard: bool = True, is_traded: bool = True
    ) -> None:
        """Kill the session and start the next, on a machine that booted meanwhile.

        Args:
            away_s: how long nobody is there.
            is_heard: whether the parents hear what the kernel's last step said.
            is_traded: whether the next session trades what the parents work in.
        """
        if is_heard:
            self.parents.look()
        wall_ns = self.wall() + round(away_s * S)
        events = self.desk.all_events()
        fold, kept = Fold(), KeptParents()
        fold.add(events)
        kept.add(events, self.wall_ns)
        restored = fold.restore_records()
        states = kept.records(fold.known.orders, restored, frozenset())
        if not is_traded:
            end_untraded(states)
        self._sent.clear()
        self.close()
        self.deaf = self.silent = False
        self._begin_session(DeskRig(GENEROUS, outside=2, orders_max=512, epoch=self.desk.epoch + 1))
        self.wall_ns = wall_ns - self.desk.now_ns
        self._listen(self.desk)
        records = join_records([restored[:1], states, restored[1:]], EVENT_DTYPE)
        self._step_alone([])  # the loop runs before anything was read
        for k in range(0, len(records), STEP_REPORTS_MAX):
            batch = records[k : k + STEP_REPORTS_MAX]
            self._step_alone([batch[j : j + 1].copy() for j in range(len(batch))])
        self.desk.desk.ledger["unknown_count"][0] += self.doubted
        self._agree()

    def truth_lots(self, number: int) -> int:
        """Return what the venue filled of the children of a parent."""
        return sum(
            one.filled for one in self.venue.values() if one.command["cause_sequence"] == number
        )

    # The sessions.

    def _begin_session(self, desk: DeskRig) -> None:
        self.desk = desk
        self._events = Ring.local("events", 4096, 256, gating=())
        self._market = Ring.local("market", 4096, 64, gating=())
        self._publish, self._quotes = Producer(self._events), Producer(self._market)
        self._taken = 0

    def _listen(self, desk: DeskRig) -> None:
        if desk.epoch == 1:
            self.parents.close()
        desk.state.market.progress[CLOCK_OFFSET_NS] = self.wall_ns
        desk.state.market.progress[MAKER_FEE_PPM], desk.state.market.progress[TAKER_FEE_PPM] = FEES
        desk.state.market.hot["bid_qty_lots"], desk.state.market.hot["ask_qty_lots"] = 40, 60
        self.profiles = VolumeProfiles(desk.state, self.profile)
        self.routes = Routes(
            "practice", desk.state, self.page, self._show_table, lambda: self.desk.now_ns
        )
        self.parents = Parents(
            self._events, self._market, desk.state, self._sent.append, self._show,
            self.profiles, self.routes.table, lambda: self.desk.now_ns, self.wall,
        )  # fmt: skip

    def _agree(self) -> None:
        """Connect, and answer fetches and lookups until books and venue agree."""
        self._step_alone([make_event(EventType.VENUE_CONNECTED)])
        for _ in range(ROUNDS):
            if self.desk.word(Word.SYNCED):
                break
            self._fetch()
            self._answer_all()
            self._step_alone([], after_ns=S)
            self.parents.look()
        assert self.desk.word(Word.SYNCED) == 1, "books and venue agree after a few rounds"

    def _fetch(self) -> None:
        own = (one.filled * int(one.command["side"]) for one in self.venue.values())
        net = sum(own) + self.strange_lots
        now_ns = self.wall()
        begin = make_event(EventType.FETCH_BEGIN, venue_time_ns=now_ns)
        self._step_alone([begin])
        position = {"position_lots": net, "position_cost_e8": self._cost_e8(net)}
        wallet = {"wallet_e8": self.desk.word(Word.CASH_E8)}
        told = [
            make_event(EventType.VENUE_POSITION, instrument_index=0, **position),
            make_event(EventType.VENUE_BALANCE, **wallet),
        ]
        for key, one in self.venue.items():
            told += [self._fill_of(key, one, *fill) for fill in one.fills]
            if one.status not in CLOSED:
                told.append(self._said(key, one, EventType.VENUE_ORDER))
        told.append(make_event(EventType.FETCH_END))
        self._step_alone(told)

    def _cost_e8(self, lots: int) -> int:
        unit = int(self.desk.state.market.instruments["unit_e8"][0])
        return lots * self.touch[0] * unit

    # The venue.

    def _step_alone(self, reports: list[np.ndarray], after_ns: int = MS) -> np.ndarray:
        return self._published(self.desk.step(reports, after_ns=after_ns))

    def _report(self, record: np.ndarray) -> None:
        if not self.deaf:
            super()._report(record)

    def _answer(self, command: np.void) -> None:
        key = int(command["order_sequence"]), int(command["epoch_low"])
        kind = int(command["event_type"])
        one = self.venue.get(key)
        if kind == EventType.COMMAND_NEW:
            self.venue[key] = Truth(command)
            self._take_order(command, key[0])
        elif kind == EventType.COMMAND_CANCEL and one is not None:
            if one.status not in CLOSED:
                one.status = OrderStatus.CANCELED
            self.resting.pop(key[0], None)
            self._report(self._said(key, one))
        elif kind == EventType.COMMAND_FETCH and key[0] > 0:
            if one is None:
                nothing = {"order_sequence": key[0], "epoch_low": key[1]}
                self._report(make_event(EventType.ORDER_UPDATE, **nothing))
            else:
                for fill in one.fills:
                    self._report(self._fill_of(key, one, *fill))
                self._report(self._said(key, one))

    def _answer_all(self) -> None:
        while len(self.desk.commands) > self._taken:
            batch, self._taken = self.desk.commands[self._taken], self._taken + 1
            for command in batch:
                self._answer(command)

    def _take_order(self, command: np.void, number: int) -> None:
        key = number, int(command["epoch_low"])
        one, side = self.venue[key], int(command["side"])
        far = self.touch[1] if side > 0 else self.touch[0]
        crosses = (int(command["price_ticks"]) - far) * side >= 0
        would_rest = not crosses and command["time_in_force"] != TimeInForce.IOC
        if (crosses and command["flags"] & EVENT_POST_ONLY) or not (crosses or would_rest):
            one.status = OrderStatus.EXPIRED
        self._report(self._said(key, one))
        if one.status is OrderStatus.NEW:
            self.resting[number] = command.copy()
            if crosses:
                self._fill(number, int(command["qty_lots"]))

    def _fill(self, number: int, lots: int) -> int:
        order = self.resting[number]
        key = number, int(order["epoch_low"])
        one = self.venue[key]
        one.fills.append((next(self._trades), lots))
        one.filled += lots
        is_whole = one.filled == one.command["qty_lots"]
        one.status = OrderStatus.FILLED if is_whole else OrderStatus.PARTIALLY_FILLED
        self._report(self._fill_of(key, one, *one.fills[-1]))
        order["qty_lots"] -= lots
        if is_whole:
            del self.resting[number]
        return lots

    def _fill_of(self, key: Key, one: Truth, trade_id: int, lots: int) -> np.ndarray:
        words = {"trade_id": trade_id, "last_qty_lots": lots,
                 "last_price_ticks": one.command["price_ticks"]}  # fmt: skip
        return self._said(key, one, EventType.FILL, **words)

    def _said(
        self, key: Key, one: Truth, kind: EventType = EventType.ORDER_UPDATE, **words: int
    ) -> np.ndarray:
        names = ("instrument_index", "strategy_index", "cause_sequence", "side", "order_type",
                 "time_in_force", "price_ticks", "qty_lots")  # fmt: skip
        own = {name: int(one.command[name]) for name in names}
        given = {"order_status": one.status, "cum_qty_lots": one.filled} | words
        return make_event(
            kind, order_sequence=key[0], epoch_low=key[1], venue_order_id=9_000 + key[0],
            **own, **given,
        )  # fmt: skip
