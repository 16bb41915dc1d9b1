"""A desk whose strategies make markets, quotes as records, and a venue that answers at once.

`PlainMaker` is the twin of the quoting law: plain numbers, no arrays, no kernels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.domain.codes import EVENT_ENTRY, EVENT_POST_ONLY, EventType, OrderStatus
from engine.domain.decide import step
from engine.domain.features.micro import MICROPRICE_BPS
from engine.domain.limits import RiskLimits
from engine.domain.market_state import LOSS_USED_PPM, MAKER_FEE_PPM
from engine.domain.records import EVENT_DTYPE
from engine.domain.strategy_table import StrategyKind, StrategyRow, numbers_of
from engine.domain.words import Word
from tests.builders import START_VENUE_NS, make_instruments, make_quote
from tests.desk_rig import GENEROUS, MS, START_NS, WALLET_E8, DeskRig, S, of_type
from tests.venue_model import Venue

T = EventType
FEE_PPM = 20
IN_FLIGHT = (OrderStatus.PENDING_NEW, OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_REPLACE)
UNIT_E8 = 10_000  # of tests.builders' instruments
NOTIONAL = 625.0  # ten lots at 62,000


def maker_row(name: str = "maker", /, **parameters: float) -> StrategyRow:
    """Return a row that makes a market: asks for an edge of 0 unless told otherwise."""
    told = {"edge_min_bps": 0.0, "expiry_s": 60.0, "requote_s": 1.0} | parameters
    return StrategyRow(
        name=name, kind=StrategyKind.MAKING, timeframe_s=1, notional=NOTIONAL, parameters=told
    )


class MakingRig(DeskRig):
    """One session: quotes come as market records, commands go to a venue of plain objects."""

    def __init__(
        self,
        table: Sequence[StrategyRow] = (),
        limits: RiskLimits = GENEROUS,
        *,
        instruments: int = 1,
        epoch: int = 1,
    ) -> None:
        table = table or (maker_row(),)
        rows = make_instruments(instruments)
        super().__init__(limits, strategies=len(table), rows=rows, table=table, epoch=epoch)
        self.market = self.state.market
        self.market.progress[MAKER_FEE_PPM] = FEE_PPM
        self.market.atr_ticks[:] = 300.0
        self.venue = Venue(WALLET_E8)
        self.records = 0
        self.connect()
        self._read = len(self.commands)

    def show(self, bid: int, ask: int, i: int = 0, *, after_ns: int = MS, **qty: int) -> np.ndarray:
        """Let a quote arrive; return the events of its step."""
        self.now_ns += after_ns
        self.records += 1
        slot = make_quote(
            bid,
            ask,
            instrument_index=i,
            sequence=self.records,
            receive_time_ns=self.now_ns,
            venue_time_ns=START_VENUE_NS + self.now_ns - START_NS,
            **qty,
        )
        none = np.zeros(1, dtype=EVENT_DTYPE)
        taken = step(
            self.state, none, 0, 0, 0, none, 0, 0, 0, slot, 0, 1, 0,
            self.now_ns, self.outer, self.out,
        )  # fmt: skip
        assert taken == 1, "the record fits"
        return self._collect()

    def serve(self) -> list[np.void]:
        """Let the venue have what was commanded since, its answers come back, and again what
        these cause; return all of it.
        """
        self.step()
        served: list[np.void] = []
        while asked := self._asked():
            served += asked
            self._answer(asked)
        return served

    def _asked(self) -> list[np.void]:
        found = [command for batch in self.commands[self._read :] for command in batch]
        self._read = len(self.commands)
        return found

    def _answer(self, asked: Sequence[np.void]) -> None:
        for command in asked:
            if command["event_type"] == T.COMMAND_NEW:
                self.venue.receive(command)
                self.step([self.venue.told(self.venue.orders[int(command["order_sequence"])])])
            elif command["event_type"] == T.COMMAND_CANCEL:
                self.step([self.venue.answer_cancel(command)])
            elif command["event_type"] == T.COMMAND_REPLACE:
                self.step([self.venue.answer_amend(command)])

    def hit(self, number: int, qty: int) -> None:
        """Fill part of a resting order at its price."""
        order = self.venue.orders[number]
        self.step([self.venue.fill(order, qty, order.price)])

    def resting(self, s: int = 0, i: int = 0) -> dict[int, tuple[int, int]]:
        """Return what rests of a strategy: {side: (order number, price)}."""
        rows = self.open_orders()
        own = [row for row in rows if row["column"] == s and row["instrument_index"] == i]
        return {int(r["side"]): (int(r["order_sequence"]), int(r["price_ticks"])) for r in own}

    def open_orders(self) -> np.ndarray:
        """Return the rows of the orders that are not settled."""
        rows: np.ndarray = self.desk.orders[self.desk.open_rows[: self.word(Word.OPEN_COUNT)]]
        return rows

    def wanted_away(self) -> set[int]:
        """Return the numbers of open orders that are to be cancelled."""
        orders = self.open_orders()
        return set(orders["order_sequence"][orders["cancel_wanted"] != 0].tolist())


@dataclass(frozen=True)
class Order:
    """What a quote's order must be."""

    side: int
    price: int
    lots: int
    is_entry: bool


def requested(events: np.ndarray) -> list[Order]:
    """Return the orders that a step asked for."""
    found = of_type(events, T.ORDER_REQUEST)
    assert ((found["flags"] & EVENT_POST_ONLY) != 0).all(), "a quote never takes"
    return [
        Order(int(e["side"]), int(e["price_ticks"]), int(e["qty_lots"]),
              bool(e["flags"] & EVENT_ENTRY))
        for e in found
    ]  # fmt: skip


def amended(events: np.ndarray) -> dict[int, int]:
    """Return the orders that a step asked to move, and where to: {number: price}."""
    found = of_type(events, T.COMMAND_REPLACE)
    return {int(e["order_sequence"]): int(e["price_ticks"]) for e in found}


@dataclass
class Side:
    """What the twin remembers of one side."""

    number: int = 0
    price: int = 0
    price_before: int = 0  # of the last move
    asked_ns: int = 0


@dataclass
class PlainMaker:
    """The quoting law for one strategy and instrument."""

    row: StrategyRow
    sides: dict[int, Side] = field(default_factory=lambda: {1: Side(), -1: Side()})
    rows: dict[int, np.void] = field(default_factory=dict)

    def look(self, rig: MakingRig) -> None:
        """Keep how the orders of both sides stand before the next quote."""
        numbers = [side.number for side in self.sides.values() if side.number]
        self.rows = {number: rig.row(number).copy() for number in numbers}

    def number_of(self, name: str) -> float:
        """Return a parameter of the row."""
        return numbers_of(self.row)[name]

    def lots(self, ask: int) -> int:
        """Return the lots of a whole quote, away from any loss limit."""
        return int(round(self.row.notional * 1e8) // (ask * UNIT_E8))

    def stress(self, rig: MakingRig) -> float:
        """Return how far losses are on their way to a limit, 0 to 1."""
        used = float(rig.market.progress[LOSS_USED_PPM]) / 1e6
        start = self.number_of("safe_from")
        return max(used - start, 0.0) / (1.0 - start) if start < 1.0 else 0.0

    def lots_now(self, rig: MakingRig, bid: int, ask: int) -> int:
        """Return the lots of a quote as losses leave it; 0: less than the venue takes."""
        whole = self.lots(ask)
        kept = 1.0 - self.stress(rig) * (1.0 - self.number_of("safe_least"))
        lots, rows = int(whole * kept), rig.desk.instruments
        least_e8 = int(rows["min_notional_e8"][0])
        takes = lots >= int(rows["min_qty_lots"][0]) and lots * bid * UNIT_E8 >= least_e8
        return lots if takes or lots == whole else 0

    def fair(self, bid: int, ask: int, micro_bps: float) -> float:
        """Return mid, leant towards the microprice."""
        mid = (bid + ask) * 0.5
        return mid * (1 + self.number_of("micro_lean") * micro_bps / 10_000)

    def prices(self, rig: MakingRig, bid: int, ask: int) -> dict[int, int]:
        """Return the wanted price of each side; a side without one is not wanted."""
        atr = float(rig.market.atr_ticks[0, 0])
        most_bps = self.number_of("atr_bps_max")
        if not atr > 0 or (most_bps > 0 and atr / bid * 10_000 > most_bps):
            return {}
        held, lots = rig.lots(0, 0), self.lots_now(rig, bid, ask)
        most = int(self.number_of("inventory") * lots)
        if self.lots(ask) <= 0 or (most <= 0 and held == 0):
            return {}
        self.size = lots if most > 0 else self.lots(ask)
        fair = self.fair(bid, ask, float(rig.market.hot["micro"][0, MICROPRICE_BPS]))
        share = min(max(held / max(most, 1), -1.0), 1.0)
        middle = fair - self.number_of("skew_atr") * atr * share
        claim = self.number_of("claim")
        asked_bps = max(self.number_of("edge_min_bps"), 0.0)
        asked_bps += self.stress(rig) * self.number_of("safe_edge_bps")
        pays_bps = (FEE_PPM / 100 + asked_bps) / claim
        least = max(self.number_of("width_bps_min"), pays_bps) / 10_000 * fair
        half = max(self.number_of("width_atr") * atr, least)
        half = max(min(half, self.number_of("width_bps_max") / 10_000 * fair), 0.5)
        found = {}
        if held < 0 or (most > 0 and held + lots <= most):
            found[1] = min(math.floor(middle - half), ask - 1)
        if held > 0 or (most > 0 and held - lots >= -most):
            found[-1] = max(math.ceil(middle + half), bid + 1)
        self.half = half
        return found

    def stays(self, rig: MakingRig, side: int, price: int) -> bool:
        """Return whether a resting quote may stay where another price is wanted."""
        mine = self.sides[side]
        if rig.now_ns - mine.asked_ns < self.number_of("requote_s") * S:
            return True
        return abs(price - self.foremost(side)) <= self.number_of("requote_share") * self.half

    def foremost(self, side: int) -> int:
        """Return where a side's order is, or of two places it may be at the bolder one."""
        mine = self.sides[side]
        if self.rows[mine.number]["status"] != OrderStatus.PENDING_REPLACE:
            return mine.price
        return side * max(side * mine.price, side * mine.price_before)

    def moves(self, rig: MakingRig, side: int, price: int) -> bool:
        """Return whether a side's order is amended to a price: the same order but for that."""
        row = self.rows[self.sides[side].number]
        if row["status"] not in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED):
            return False
        if row["cancel_wanted"] or self.meets(rig, side, price):
            return False
        wanted = self.order(rig, side, price, self.size)
        left = int(row["qty_lots"] - row["cum_qty_lots"])
        is_entry = bool(row["flags"] & EVENT_ENTRY)
        return wanted.is_entry == is_entry and abs(wanted.lots - left) * 20 <= wanted.lots

    def meets(self, rig: MakingRig, side: int, price: int) -> bool:
        """Return whether a price would meet the other side's order."""
        other = self.sides[-side]
        if not other.number or not is_open(rig, other.number):
            return False
        return (price - self.foremost(-side)) * side >= 0

    def react(
        self, rig: MakingRig, bid: int, ask: int
    ) -> tuple[list[Order], dict[int, int], set[int]]:
        """Return what a quote must cause: orders asked for, moved and to be cancelled."""
        prices = self.prices(rig, bid, ask)
        orders: list[Order] = []
        moved: dict[int, int] = {}
        away: set[int] = set()
        for side, mine in self.sides.items():
            price = prices.get(side)
            if mine.number and is_open(rig, mine.number):
                if price is not None and self.stays(rig, side, price):
                    continue
                row = self.rows[mine.number]
                if price is not None and row["status"] in IN_FLIGHT:
                    continue
                if price is not None and self.moves(rig, side, price):
                    moved[mine.number], row["status"] = price, OrderStatus.PENDING_REPLACE
                    mine.price_before, mine.price = mine.price, price
                    mine.asked_ns = rig.now_ns
                else:
                    away.add(mine.number)
                continue
            mine.number = 0
            pause_ns = self.number_of("requote_s") * S
            if price is None or (mine.asked_ns and rig.now_ns - mine.asked_ns < pause_ns):
                continue
            if self.meets(rig, side, price):
                continue
            orders.append(self.order(rig, side, price, self.size))
            mine.asked_ns, mine.price = rig.now_ns, price
        return orders, moved, away

    def order(self, rig: MakingRig, side: int, price: int, lots: int) -> Order:
        """Return the order of a quote: an exit where it closes what is held."""
        held = rig.lots(0, 0)
        closing = min(abs(held), lots) if held * side < 0 else 0
        if closing * price * UNIT_E8 < 5 * 100_000_000:
            closing = 0
        return Order(side, price, closing or lots, closing == 0)


def is_open(rig: MakingRig, number: int) -> bool:
    """Return whether an order's fate is open, as far as our side knows."""
    row = rig.row(number)
    return bool(row["open_place"] >= 0)
