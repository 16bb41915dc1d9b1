"""A full portfolio and what may replace whom: a desk that is handed entries with their figures.

`PlainPortfolio` is the twin of the law: plain numbers, no arrays, no kernels.
"""

from dataclasses import dataclass, field

import numpy as np

from engine.domain.codes import EventType, OrderStatus, OrderType, TimeInForce
from engine.domain.fold import Fold
from engine.domain.intent import book_order
from engine.domain.limits import RiskLimits
from engine.domain.market_state import TAKER_FEE_PPM
from engine.domain.rotation import take_opportunity
from engine.domain.words import Word
from tests.desk_rig import GENEROUS, DeskRig, S, of_type

T = EventType
PLACES = 3
HOLD_S = 10
BETTER_BPS = 5.0
FEE_BPS = 5.0
QTY = 10
BID, ASK = 620_000, 620_002
CLAIM = 0.5
ROTATING = GENEROUS._replace(
    positions_max=PLACES, rotates=True, rotate_bps=BETTER_BPS, rotate_hold_s=HOLD_S
)
Place = tuple[int, int]  # instrument, strategy


@dataclass(frozen=True)
class Signal:
    """An entry that a strategy wants."""

    i: int
    s: int
    side: int = 1
    move_bps: float = 60.0
    confidence: float = 1.0
    edge_bps: float = 20.0


class RotationRig(DeskRig):
    """Instruments with two strategies each; the venue answers when it is told to."""

    def __init__(
        self,
        limits: RiskLimits = ROTATING,
        *,
        instruments: int = 4,
        earlier: "RotationRig | None" = None,
    ) -> None:
        """Begin with an empty account, or with what an earlier session left, its orders settled."""
        epoch = 1 if earlier is None else earlier.epoch + 1
        super().__init__(limits, instruments=instruments, epoch=epoch)
        self.state.market.progress[TAKER_FEE_PPM] = int(FEE_BPS * 100)
        self.state.market.strategies["claim"] = CLAIM
        self.trades = 0
        if earlier is not None:
            self.now_ns = earlier.now_ns + S
        for i in range(instruments):
            self.show(i)
        if earlier is None:
            self.connect()
        else:
            self._go_on(earlier)

    def _go_on(self, earlier: "RotationRig") -> None:
        self.trades = earlier.trades
        fold = Fold()
        fold.add(earlier.all_events())
        records = fold.restore_records()
        self.step(np.split(records, len(records)))
        self.report(T.VENUE_CONNECTED)
        net = earlier.desk.positions[:, -1]
        held = {i: (int(row["lots"]), int(row["cost_e8"])) for i, row in enumerate(net)}
        self.fetch(positions={i: position for i, position in held.items() if position[0]})
        assert self.word(Word.SYNCED) == 1

    def show(self, i: int, bid: int = BID, ask: int = ASK) -> None:
        """Let an instrument be quoted, with more at the touch than any order here takes."""
        self.quote(i, bid, ask)
        self.desk.hot["bid_qty_lots"][i] = self.desk.hot["ask_qty_lots"][i] = 1_000

    def want(self, signal: Signal) -> np.ndarray:
        """Hand an entry to the portfolio; return the events."""
        rows = self.desk.opportunities
        rows[0] = np.zeros((), dtype=rows.dtype)
        rows["instrument_index"][0], rows["strategy_index"][0] = signal.i, signal.s
        rows["side"][0], rows["is_entry"][0] = signal.side, 1
        rows["order_type"][0], rows["time_in_force"][0] = OrderType.MARKET, TimeInForce.GTC
        rows["qty_lots"][0] = QTY
        rows["expected_move_bps"][0] = signal.move_bps
        rows["confidence"][0] = signal.confidence
        rows["edge_bps"][0] = signal.edge_bps
        self._slots["receive_time_ns"] = self.now_ns
        self._slots["instrument_index"] = signal.i
        self.desk.words[Word.NOW_NS] = self.now_ns
        self.out.counts[:] = 0
        take_opportunity(self.state, self.out, 0, self._slots, 0)
        book_order(self.desk)
        return self._collect()

    def settle(self, order: int, price: int = 0) -> np.ndarray:
        """Let the venue fill an order whole; return the events."""
        row = self.row(order)
        i, side = int(row["instrument_index"]), int(row["side"])
        at = int(self.desk.hot["ask_price_ticks" if side > 0 else "bid_price_ticks"][i])
        self.trades += 1
        qty = int(row["qty_lots"])
        return self.fill(
            order, self.trades, qty, price or at, side=side, instrument_index=i,
            order_status=OrderStatus.FILLED, cum_qty_lots=qty,
        )  # fmt: skip

    def hold(self, signal: Signal) -> int:
        """Enter and let it fill; return the order's number."""
        order = requested(self.want(signal))[-1]
        self.settle(order)
        return order

    def places(self) -> set[Place]:
        """Return which strategies hold or have an order open, where."""
        rows = self.desk.exposure
        taken = (rows["position_lots"] != 0) | (rows["in_flight"] != 0)
        return {(int(i), int(s)) for i, s in np.argwhere(taken)}


def requested(events: np.ndarray) -> list[int]:
    """Return the numbers of the orders that were asked for."""
    return of_type(events, T.ORDER_REQUEST)["order_sequence"].tolist()


@dataclass
class Holding:
    """A position as the twin knows it."""

    signal: Signal
    entry: int  # price
    since_ns: int


@dataclass
class PlainPortfolio:
    """Who is replaced by whom."""

    held: dict[Place, Holding] = field(default_factory=dict)

    def value_bps(self, rig: RotationRig, place: Place) -> float:
        """Return what an entry must bring to be worth as much as a position."""
        held = self.held[place]
        bid = int(rig.desk.hot["bid_price_ticks"][place[0]])
        ask = int(rig.desk.hot["ask_price_ticks"][place[0]])
        long = held.signal.side > 0
        gained = (bid - held.entry if long else held.entry - ask) / held.entry * 10_000
        move = held.signal.move_bps
        belief = min(max(1 + gained / move, 0), 1)
        left = min(max(move - gained, 0), move)
        spread = (ask - bid) / ((ask + bid) / 2) * 10_000
        leaving = (2 * FEE_BPS + spread) / 2
        return CLAIM * held.signal.confidence * belief * left + leaving

    def victim(self, rig: RotationRig, signal: Signal) -> Place | None:
        """Return the position that an entry replaces, None: none."""
        due = {
            place: self.value_bps(rig, place)
            for place, held in sorted(self.held.items())
            if rig.now_ns - held.since_ns >= HOLD_S * S
        }
        least = min(due, key=lambda place: due[place], default=None)
        if least is None or due[least] > signal.edge_bps - BETTER_BPS:
            return None
        return least
