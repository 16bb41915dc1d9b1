"""A desk whose rows guard their positions at the venue, and a venue of the practice exchange.

Commands are placed as the order side would write them, at the exchange's own desks; what these tell
is decoded as the order side decodes it. Requests and stream events wait on a wire of their own, so
that a test may deliver, lose or repeat them. Prices are ticks, quantities are lots.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.domain.client_id import ClientId, encode_client_id, whole_epoch
from engine.domain.codes import EVENT_REDUCE_ONLY, EventType, OrderStatus, OrderType
from engine.domain.fold import Fold
from engine.domain.records import EVENT_DTYPE
from engine.domain.strategy_table import STRATEGY_TABLE, StrategyReason, StrategyRow
from engine.venues.binance.conditional import trigger_of
from engine.venues.binance.order_views import AccountReader, AlgoView, OrderView, decode_view
from engine.venues.binance.user_events import decode_user_frame
from engine.venues.order_records import SEQUENCE_BYTES, Report, pack_report, read_command
from exchange.algo import AlgoOrder
from exchange.book import Book
from exchange.errors import ApiError
from tests.desk_rig import GENEROUS, DeskRig
from tests.exchange_rig import KEY, USDT, quiet_venue
from tests.store_builders import instrument

T = EventType
TAG = "a"
SYMBOL = "BTCUSDT"
UNITS_PER_TICK = 10  # the venue counts prices in cents
OPEN_TICKS = 600_000
STOP, TAKE = 40, 60
WIDE = 20  # times as far where stops trail: the least rate is far more than `STOP` here
TRAIL = 500  # and 600 at the venue
WIRE_MAX = 100  # deliveries of one round


def bracket_rows(count: int = 2, *, trails: bool = False) -> tuple[StrategyRow, ...]:
    """Return rows that ask for guards at the venue, also for a stop that trails."""
    row = STRATEGY_TABLE[2]
    asked = {**row.parameters, "venue_bracket": 1.0, "trail_atr": float(trails)}
    return tuple(
        StrategyRow(name=f"row_{k}", kind=row.kind, parameters=asked) for k in range(count)
    )


class BracketRig:
    """One engine after another on one account, and the wire between them and the venue."""

    def __init__(
        self, level_lots: int = 1_000, strategies: int = 2, *, trail: int = 0, stops: bool = True
    ) -> None:
        """Start flat.

        Args:
            level_lots: on each of the ten levels of a side.
            strategies: rows.
            trail: distance of the rows' trailing stop; 0: none. With one, the others are WIDE.
            stops: whether they have a stop that stays, too.
        """
        self.level_lots, self.trail = level_lots, trail
        self.scale = WIDE if trail else 1
        self.stop, self.take = STOP * self.scale * stops, TAKE * self.scale
        self.rows = bracket_rows(strategies, trails=trail > 0)
        self.instrument = instrument(SYMBOL)
        self.venue, self.market = quiet_venue(deposit=10**6 * USDT)
        self.account = self.venue.accounts[KEY]
        self.journal: list[np.ndarray] = []
        self.sent: list[str] = []
        self.refused: list[int] = []  # codes
        self.seen = 0
        self.commands: list[np.void] = []  # asked, not yet at the venue
        self.stream: list[Report] = []  # told, not yet heard
        self.epoch = 1
        self.bid = OPEN_TICKS
        self.best: dict[int, tuple[int, int]] = {}  # by row: of the position since then
        self.rig = self._engine()
        self.trade_at(OPEN_TICKS)
        self.rig.connect(wallet_e8=10**6 * USDT)
        self.seen = len(self.rig.commands)  # its first fetch is answered

    def _engine(self) -> DeskRig:
        rig = DeskRig(
            GENEROUS._replace(resting_time_ms=1_000),
            instruments=1,
            epoch=self.epoch,
            table=self.rows,
        )
        memory = rig.state.market.strategy_memory
        memory["stop_ticks"], memory["take_ticks"] = self.stop, self.take
        rig.state.market.trails["distance_ticks"] = self.trail
        self.reader = AccountReader([self.instrument], TAG, self.epoch)
        return rig

    # What the market does.

    def trade_at(self, bid: int) -> None:
        """Move the market: its book and its last price, and what waits for that price."""
        self.bid = bid
        self.fill_levels()
        self.market.last_price = bid * UNITS_PER_TICK
        self.venue.algo_desk.watch(self.market)
        self.hear_venue()

    def fill_levels(self) -> None:
        """Put ten levels on each side, as the market has them now."""
        units, step, lots = self.bid * UNITS_PER_TICK, UNITS_PER_TICK, self.level_lots
        bids = [(units - step * k, lots) for k in range(10)]
        asks = [(units + step * (k + 1), lots) for k in range(10)]
        self.market.book = Book()  # what was taken is offered again
        self.market.book.apply_snapshot(100, bids, asks)

    def quote(self) -> None:
        """Show the engine the market as it is, and let its rows watch stop and target."""
        self.rig.quote(0, self.bid, self.bid + 1)
        for s in range(len(self.rows)):
            held = self.rig.desk.exposure[0, s]
            lots, entry = int(held["position_lots"]), int(held["entry_price_ticks"])
            if lots == 0 or held["in_flight"]:
                continue
            touch, side = (self.bid, 1) if lots > 0 else (self.bid + 1, -1)
            move = (touch - entry) * side
            if self.stop and move <= -self.stop:
                self.leave(s, StrategyReason.STOP_LOSS)
            elif self.trails_back(s, touch, side):
                self.leave(s, StrategyReason.TRAILING_STOP)
            elif move >= self.take:
                self.leave(s, StrategyReason.TAKE_PROFIT)

    def trails_back(self, s: int, touch: int, side: int) -> bool:
        """Let a row's best price follow; return whether its trailing stop is reached."""
        held = self.rig.desk.exposure[0, s]
        since_ns, entry = int(held["entry_time_ns"]), int(held["entry_price_ticks"])
        known_ns, best = self.best.get(s, (0, 0))
        best = max(touch * side, best if known_ns == since_ns else entry * side)
        self.best[s] = since_ns, best
        return best - touch * side >= self.trail > 0

    # What the engine does.

    def enter(self, s: int, side: int, qty: int) -> None:
        """Let a row that is flat enter at the market."""
        if self.rig.lots(0, s) == 0 and not self.rig.desk.exposure[0, s]["in_flight"]:
            self.rig.quote(0, self.bid, self.bid + 1)
            self.rig.propose(side, qty, s=s)
            self.collect()

    def leave(self, s: int, reason: StrategyReason) -> None:
        """Let a row want out."""
        lots = self.rig.lots(0, s)
        if lots and not self.rig.desk.exposure[0, s]["in_flight"]:
            side = -1 if lots > 0 else 1
            self.rig.propose(side, abs(lots), s=s, entry=False, reason=reason)
            self.collect()

    def wait(self, seconds: float) -> None:
        """Let time pass in the engine."""
        self.rig.wait(seconds)
        self.collect()

    def collect(self) -> None:
        """Put what was commanded on the wire."""
        for batch in self.rig.commands[self.seen :]:
            self.commands += list(batch)
        self.seen = len(self.rig.commands)

    def crash(self) -> None:
        """Kill the engine; the next one knows what its events say, and asks the venue."""
        self.journal.append(self.rig.all_events())
        fold = Fold()
        for events in self.journal:
            fold.add(events)
        now_ns = self.rig.now_ns
        self.epoch += 1
        self.rig = self._engine()
        self.rig.now_ns = now_ns
        self.rig.quote(0, self.bid, self.bid + 1)
        restored = fold.restore_records()
        self.rig.step(np.split(restored, len(restored)))
        self.commands, self.seen = [], 0
        self.reconnect()

    def reconnect(self) -> None:
        """Lose the stream with all that was under way, and open it again."""
        self.stream.clear()
        self.rig.report(T.VENUE_DISCONNECTED)
        self.rig.report(T.VENUE_CONNECTED)
        self.collect()

    # The wire.

    def hear_venue(self) -> None:
        """Decode what the venue's stream tells, in order."""
        for _, event in self.venue.outbox:
            frame = json.dumps(event).encode()
            self.stream += decode_user_frame(frame, self.reader).reports
        self.venue.outbox.clear()

    def deliver(self, count: int = 1) -> None:
        """Let the engine hear the next events of the stream."""
        for report in self.stream[:count]:
            self.tell(report)
        del self.stream[:count]

    def tell(self, *reports: Report) -> None:
        """Let the engine hear reports in one step."""
        packed = [np.frombuffer(pack_report(r, self.rig.now_ns), EVENT_DTYPE) for r in reports]
        self.rig.step(packed)
        self.collect()

    def serve(self, *, answered: bool = True, arrives: bool = True) -> None:
        """Let the venue act on the next command; its answer, or the command, may be lost."""
        command = self.commands.pop(0)
        if not arrives:
            self.unknown(command)
            return
        answer = self.act(command)
        self.hear_venue()
        if answered:
            self.tell(*answer)
        elif command["event_type"] == T.COMMAND_NEW:
            self.unknown(command)

    def unknown(self, command: np.void) -> None:
        """Say that no answer came; of a fetch nothing is said."""
        if command["order_sequence"] > 0:
            self.tell(self.about(command, T.ORDER_UNKNOWN))

    def about(self, command: np.void, kind: EventType, status: int = 0, reason: int = 0) -> Report:
        """Return a report about a command's order."""
        bare = Report(kind, 0, order_status=status, reason=reason)
        return self.reader.named(bare, self.name_of(command))._replace(
            order_type=int(command["order_type"]), side=int(command["side"])
        )

    def name_of(self, command: np.void) -> str:
        """Return the client id of a command's order."""
        epoch = whole_epoch(self.epoch, int(command["epoch_low"]))
        numbers = ("strategy_index", "order_sequence", "cause_sequence")
        return encode_client_id(TAG, ClientId(epoch, *(int(command[n]) for n in numbers)))

    def act(self, command: np.void) -> list[Report]:
        """Do what a command says; return the answer."""
        kind = command["event_type"]
        if kind == T.COMMAND_NEW:
            return self.place(command)
        if kind == T.COMMAND_CANCEL:
            return self.cancel(command)
        if kind == T.COMMAND_FETCH and command["order_sequence"] > 0:
            return self.look_up(command)
        assert kind == T.COMMAND_FETCH, kind
        return self.picture(int(command["request_id"]))

    def place(self, command: np.void) -> list[Report]:
        """Place an order, or a conditional one at its desk."""
        name, waits = self.name_of(command), command["order_type"] >= OrderType.STOP_MARKET
        params = {
            "symbol": SYMBOL,
            "side": "BUY" if command["side"] > 0 else "SELL",
            "type": OrderType(int(command["order_type"])).name,
            "quantity": self.instrument.qty_text(int(command["qty_lots"])),
            "clientAlgoId" if waits else "newClientOrderId": name,
        }
        if command["flags"] & EVENT_REDUCE_ONLY:
            params["reduceOnly"] = "true"
        self.sent.append(name)
        self.fill_levels()
        try:
            if waits:
                whole = read_command(command.tobytes()[SEQUENCE_BYTES:])
                params |= {"algoType": "CONDITIONAL", **trigger_of(whole, self.instrument)}
                return [self.algo_report(self.venue.algo_desk.place(self.account, params))]
            return [self.order_report(self.venue.place(self.account, params).view())]
        except ApiError as refusal:
            self.refused.append(refusal.code)
            return [self.about(command, T.ORDER_UPDATE, OrderStatus.REJECTED, refusal.code)]

    def algo_report(self, order: AlgoOrder) -> Report:
        """Return what an answer about a conditional order says."""
        report = self.reader.algo_report(view_of(order))
        assert report is not None
        return report._replace(event_type=T.ORDER_UPDATE)

    def order_report(self, view: Mapping[str, Any]) -> Report:
        """Return what an answer about an order says."""
        body = decode_view(json.dumps(view).encode(), OrderView)
        report = self.reader.order_report(body, T.ORDER_UPDATE)
        assert report is not None
        return report

    def cancel(self, command: np.void) -> list[Report]:
        """Withdraw an order; one that is not open any more is looked up."""
        name = self.name_of(command)
        try:
            if command["order_type"] >= OrderType.STOP_MARKET and command["venue_order_id"] == 0:
                self.venue.algo_desk.cancel(self.account, {"clientAlgoId": name})
                return [self.about(command, T.ORDER_UPDATE, OrderStatus.CANCELED)]
            which = {"symbol": SYMBOL, "origClientOrderId": name}
            return [self.order_report(self.venue.cancel(self.account, which).view())]
        except ApiError as refusal:
            rejected = self.about(command, T.CANCEL_REJECTED, reason=refusal.code)
            return [rejected, *self.look_up(command)]

    def look_up(self, command: np.void) -> list[Report]:
        """Say what became of an order, its fills first."""
        name = self.name_of(command)
        which = {"symbol": SYMBOL, "origClientOrderId": name}
        try:
            if command["order_type"] >= OrderType.STOP_MARKET and command["venue_order_id"] == 0:
                desk = self.venue.algo_desk
                waiting = desk.find(self.account, {"clientAlgoId": name}, code=-2013)
                if waiting.order_id == 0:
                    return [self.algo_report(waiting)]
                which = {"symbol": SYMBOL, "orderId": str(waiting.order_id)}
            order = self.venue.find_order(self.account, which, code=-2013)
        except ApiError as absent:
            return [self.about(command, T.ORDER_UPDATE, OrderStatus.NONE, absent.code)]
        return [*self.fills_of(order.order_id), self.order_report(order.view())]

    def fills_of(self, order_id: int = 0) -> list[Report]:
        """Return the fills of an order, or of all, as a list of trades names them."""
        names = {o.order_id: o.client_order_id for o in self.account.orders.values()}
        reports: list[Report] = []
        for fill in self.account.fills:
            view = fill.view()
            if order_id in {0, view["orderId"]}:
                row = {"s": SYMBOL, "c": names[int(str(view["orderId"]))], "S": view["side"]}
                row |= {"o": "MARKET", "x": "TRADE", "X": "PARTIALLY_FILLED", "i": view["orderId"]}
                row |= {"T": view["time"], "l": view["qty"], "L": view["price"], "t": view["id"]}
                row |= {"n": view["commission"], "N": "USDT", "rp": view["realizedPnl"]}
                event = {"e": "ORDER_TRADE_UPDATE", "o": row}
                reports += decode_user_frame(json.dumps(event).encode(), self.reader).reports
        return [report._replace(order_status=0, qty_lots=0) for report in reports]

    def picture(self, request_id: int) -> list[Report]:
        """Return the whole account, conditional orders first."""
        told = [self.algo_report(o)._replace(event_type=T.VENUE_ORDER) for o in self.open_guards()]
        told += [
            self.order_report(order.view())._replace(event_type=T.VENUE_ORDER)
            for order in self.account.open_orders.values()
        ]
        position = self.account.position(self.market.spec)
        if position.qty:
            told.append(
                Report(
                    T.VENUE_POSITION,
                    0,
                    position_lots=position.qty,
                    position_cost_e8=position.cost,
                )
            )
        told.append(Report(T.VENUE_BALANCE, word_0=self.account.wallet))
        whole = [Report(T.FETCH_BEGIN), *told, *self.fills_of(), Report(T.FETCH_END)]
        return [report._replace(request_id=request_id) for report in whole]

    # What is looked at.

    def open_guards(self) -> list[AlgoOrder]:
        """Return the conditional orders that wait at the venue."""
        return self.venue.algo_desk.open_orders(self.account)

    def guards_of(self, s: int) -> list[tuple[str, int, int, int]]:
        """Return a row's waiting guards: kind, side, quantity, price in ticks; by kind."""
        found = []
        for order in self.open_guards():
            identity = self.reader.identity(order.client_id)
            if identity is not None and identity.strategy_index == s:
                ticks = order.trigger_price // UNITS_PER_TICK
                found.append((order.order_type, order.side, order.qty, ticks))
        return sorted(found)

    def settle(self, rounds: int = 60) -> None:
        """Let the wire be whole until nothing is under way."""
        for _ in range(rounds):
            for _ in range(WIRE_MAX):
                if self.stream:
                    self.deliver()
                elif self.commands:
                    self.serve()
            self.quote()
            self.wait(0.3)
            if not self.commands and not self.stream:
                return
        raise AssertionError(f"still under way: {self.commands}")

    def hand_trades(self, side: str, quantity: str) -> None:
        """Let somebody trade on the same account."""
        params = {"symbol": SYMBOL, "side": side, "type": "MARKET", "quantity": quantity}
        self.venue.place(self.account, params)
        self.hear_venue()


def view_of(order: AlgoOrder) -> AlgoView:
    """Return a conditional order as an answer of the venue describes it."""
    return decode_view(json.dumps(order.view()).encode(), AlgoView)
