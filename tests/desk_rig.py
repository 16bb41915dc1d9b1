"""A brain's order side for tests: feed it reports, propose orders, read back what came out.

`Desk` keeps every event and command of its life, so a test can ask for all events of a type, fold
them into the next session, or compare two runs byte for byte.
"""

from collections.abc import Sequence

import numpy as np

from engine.domain.codes import EventType, Liveness, OrderStatus, OrderType, TimeInForce
from engine.domain.decide import step
from engine.domain.desk import OUT_COMMANDS, OUT_EVENTS, create_out
from engine.domain.intent import book_order, decide_opportunity
from engine.domain.limits import RiskLimits
from engine.domain.market_state import create_market_state
from engine.domain.order_watch import amend_order
from engine.domain.records import EVENT_DTYPE, MARKET_DTYPE
from engine.domain.state import State, create_desk
from engine.domain.strategy_table import OUTSIDE_ROWS, STRATEGY_TABLE, StrategyRow
from engine.domain.words import Tally, Word
from engine.store.reader import join_records
from tests.builders import make_instruments

E8 = 100_000_000
MS = 1_000_000
S = 1_000_000_000
START_NS = 1_000_000_000_000
BID, ASK = 618_002, 618_003
VENUE_NS = 1_723_161_256_000_000_000
WALLET_E8 = 10_000 * E8
GENEROUS = RiskLimits(
    order_notional_max=1e9,
    position_notional_max=1e9,
    total_notional_max=1e10,
    entries_per_day_max=1_000_000,
    daily_loss_ratio_max=1.0,
    drawdown_ratio_max=1.0,
    consecutive_failures_max=1_000,
    orders_per_10s=100_000,
    orders_per_minute=100_000,
    orders_per_10s_instrument=100_000,
    open_orders_max=1_000,
    decision_latency_ms=60_000,
    price_age_ms=3_600_000,
    resting_time_ms=3_600_000,
    reconcile_interval_s=3_600,
)


class DeskRig:
    """One session of the order side, without a market: quotes are set, opportunities handed in."""

    def __init__(
        self,
        limits: RiskLimits = GENEROUS,
        *,
        instruments: int = 2,
        strategies: int = 2,
        outside: int = 0,
        epoch: int = 1,
        orders_max: int = 64,
        trades_max: int = 256,
        rows: np.ndarray | None = None,
        table: Sequence[StrategyRow] = (),
    ) -> None:
        rows = make_instruments(instruments) if rows is None else rows
        table = table or STRATEGY_TABLE[:strategies]
        market = create_market_state(rows, table)
        columns = (*table, *OUTSIDE_ROWS[:outside])
        self.desk = create_desk(rows, columns, limits, market, epoch, orders_max, trades_max)
        self.state = State(market, self.desk)
        self.out = create_out()
        self.epoch = epoch
        self.now_ns = START_NS
        self.outer = 0
        self.regime = 0  # of the entries that are proposed
        self.events: list[np.ndarray] = []
        self.commands: list[np.ndarray] = []
        self._slots = np.zeros(1, dtype=MARKET_DTYPE)
        for i in range(len(rows)):
            self.quote(i)

    # What the market is.

    def quote(self, i: int = 0, bid: int = BID, ask: int = ASK) -> None:
        """Set an instrument's quote as of now, every channel live."""
        self.desk.hot["bid_price_ticks"][i] = bid
        self.desk.hot["ask_price_ticks"][i] = ask
        self.desk.hot["quote_receive_time_ns"][i] = self.now_ns
        self.desk.liveness[i, :] = Liveness.LIVE

    # One step.

    def step(
        self,
        reports: Sequence[np.ndarray] = (),
        controls: Sequence[np.ndarray] = (),
        after_ns: int = MS,
    ) -> np.ndarray:
        """Run one step `after_ns` later; return its events."""
        self.now_ns += after_ns
        padded = [_padded(controls), _padded(reports)]
        step(
            self.state,
            padded[0], 0, len(controls), len(padded[0]) - 1,
            padded[1], 0, len(reports), len(padded[1]) - 1,
            self._slots, 0, 0, 0,
            self.now_ns,
            self.outer,
            self.out,
        )  # fmt: skip
        return self._collect()

    def report(self, event_type: EventType, **fields: int) -> np.ndarray:
        """Run one step with one report; return the step's events, the echo first."""
        return self.step([make_event(event_type, **fields)])

    def control(self, event_type: EventType, **fields: int) -> np.ndarray:
        """Run one step with one control record; return the step's events."""
        return self.step(controls=[make_event(event_type, **fields)])

    def wait(self, seconds: float) -> np.ndarray:
        """Run one step after a pause; return its events."""
        return self.step(after_ns=round(seconds * S))

    # An opportunity.

    def propose(
        self,
        side: int = 1,
        qty: int = 10,
        *,
        i: int = 0,
        s: int = 0,
        entry: int = True,
        price: int = 0,
        cause_age_ns: int = 0,
        flags: int = 0,
        tif: int = TimeInForce.GTC,
        books: int = True,
        reason: int = 0,
        wanted: int = 0,
        size_reasons: int = 0,
    ) -> np.ndarray:
        """Take an opportunity through the gates; LIMIT when it has a price. Return the events."""
        rows = self.desk.opportunities
        rows[0] = np.zeros((), dtype=rows.dtype)
        rows["instrument_index"][0] = i
        rows["strategy_index"][0] = s
        rows["side"][0] = side
        rows["is_entry"][0] = entry
        rows["order_type"][0] = OrderType.LIMIT if price else OrderType.MARKET
        rows["time_in_force"][0] = tif
        rows["price_ticks"][0] = price
        rows["qty_lots"][0] = qty
        rows["flags"][0] = flags
        rows["reason"][0] = reason
        rows["wanted_lots"][0] = wanted
        rows["size_reasons"][0] = size_reasons
        rows["score"][0] = 0.5
        rows["regime"][0] = self.regime
        self._slots["sequence"] = 77
        self._slots["receive_time_ns"] = self.now_ns - cause_age_ns
        self._slots["instrument_index"] = i
        self.desk.words[Word.NOW_NS] = self.now_ns
        self.out.counts[:] = 0
        decide_opportunity(self.desk, self.out, 0, self._slots, 0)
        if books:
            book_order(self.desk)
        return self._collect()

    def order(self, side: int = 1, qty: int = 10, **options: int) -> int:
        """Propose and expect an order; return its order_sequence."""
        events = self.propose(side, qty, **options)
        assert types(events) == [EventType.SIGNAL_GENERATED, EventType.ORDER_REQUEST], types(events)
        return int(events["order_sequence"][1])

    def amend(self, row: int, price_ticks: int) -> np.ndarray:
        """Ask for another price of the order in a row; return the events."""
        self.desk.words[Word.NOW_NS] = self.now_ns
        self.out.counts[:] = 0
        amend_order(self.desk, self.out, row, price_ticks, self.now_ns)
        return self._collect()

    # What the venue says.

    def connect(self, wallet_e8: int = WALLET_E8) -> None:
        """Restore nothing, connect, and reconcile an account without orders or positions."""
        self.report(EventType.RESTORE_END)
        self.report(EventType.VENUE_CONNECTED)
        self.fetch(wallet_e8)
        assert self.word(Word.SYNCED) == 1, "the first fetch of an empty account reconciles"

    def fetch(
        self,
        wallet_e8: int | None = None,
        positions: dict[int, tuple[int, int]] | None = None,
        extra: Sequence[np.ndarray] = (),
        venue_time_ns: int = 0,
    ) -> np.ndarray:
        """Answer the fetch that was asked for; positions are {instrument: (lots, cost_e8)}."""
        wallet = self.word(Word.CASH_E8) if wallet_e8 is None else wallet_e8
        told = [
            make_event(
                EventType.VENUE_POSITION,
                instrument_index=i,
                position_lots=lots,
                position_cost_e8=cost,
            )
            for i, (lots, cost) in (positions or {}).items()
        ]
        begin = make_event(EventType.FETCH_BEGIN, venue_time_ns=venue_time_ns)
        self.step([begin])
        balance = make_event(EventType.VENUE_BALANCE, wallet_e8=wallet)
        return self.step([*told, balance, *extra, make_event(EventType.FETCH_END)])

    def update(self, order_sequence: int, status: OrderStatus, **fields: int) -> np.ndarray:
        """Report an order's status; return the step's events."""
        return self.step([self.update_record(order_sequence, status, **fields)])

    def update_record(self, order_sequence: int, status: OrderStatus, **fields: int) -> np.ndarray:
        """Return an ORDER_UPDATE of this session's order."""
        fields = {"epoch_low": self.epoch % 256, "venue_order_id": 9000 + order_sequence} | fields
        return make_event(
            EventType.ORDER_UPDATE, order_sequence=order_sequence, order_status=status, **fields
        )

    def fill_record(
        self, order_sequence: int, trade_id: int, qty: int, price: int, **fields: int
    ) -> np.ndarray:
        """Return a FILL of this session's order."""
        fields = {"epoch_low": self.epoch % 256, "venue_order_id": 9000 + order_sequence} | fields
        return make_event(
            EventType.FILL,
            order_sequence=order_sequence,
            trade_id=trade_id,
            last_qty_lots=qty,
            last_price_ticks=price,
            **fields,
        )

    def fill(
        self, order_sequence: int, trade_id: int, qty: int, price: int = ASK, **fields: int
    ) -> np.ndarray:
        """Report a fill; return the step's events."""
        return self.step([self.fill_record(order_sequence, trade_id, qty, price, **fields)])

    # What is known.

    def word(self, word: Word) -> int:
        """Return one scalar of the state."""
        return int(self.desk.words[word])

    def tally(self, tally: int) -> int:
        """Return one counter."""
        return int(self.desk.counts[tally])

    def refusals(self, reason: int) -> int:
        """Return how often a gate refused."""
        return self.tally(Tally.REFUSAL_FIRST + reason)

    def row(self, order_sequence: int, epoch: int | None = None) -> np.void:
        """Return an order's row."""
        key = order_sequence * 256 + (self.epoch if epoch is None else epoch) % 256
        found = self.desk.orders[self.desk.orders["key"] == key]
        assert len(found) == 1, f"order {order_sequence}: {len(found)} rows"
        return found[0]

    def status(self, order_sequence: int) -> OrderStatus:
        """Return an order's status."""
        return OrderStatus(int(self.row(order_sequence)["status"]))

    def lots(self, i: int = 0, s: int = -2) -> int:
        """Return a position in lots: a strategy's, -1 external, -2 net."""
        columns = self.desk.positions.shape[1]
        column = {-1: columns - 2, -2: columns - 1}.get(s, s)
        return int(self.desk.positions["lots"][i, column])

    def all_events(self) -> np.ndarray:
        """Return every event so far."""
        return join_records(self.events, EVENT_DTYPE)

    def all_commands(self) -> np.ndarray:
        """Return every command so far."""
        return join_records(self.commands, EVENT_DTYPE)

    def _collect(self) -> np.ndarray:
        events = self.out.events[: self.out.counts[OUT_EVENTS]].copy()
        self.events.append(events)
        self.commands.append(self.out.commands[: self.out.counts[OUT_COMMANDS]].copy())
        return events


def make_event(event_type: EventType, **fields: int) -> np.ndarray:
    """Return one event record as an array of length 1."""
    record = np.zeros(1, dtype=EVENT_DTYPE)
    record["event_type"] = event_type
    for name, number in fields.items():
        record[name] = number
    return record


def types(events: np.ndarray) -> list[EventType]:
    """Return the types of events, in order."""
    return [EventType(int(kind)) for kind in events["event_type"]]


def of_type(events: np.ndarray, event_type: EventType) -> np.ndarray:
    """Return the events of one type."""
    return events[events["event_type"] == event_type]


def _padded(records: Sequence[np.ndarray]) -> np.ndarray:
    size = 1 << max(len(records) - 1, 0).bit_length()
    padding = np.zeros(size - len(records), dtype=EVENT_DTYPE)
    return join_records([*records, padding], EVENT_DTYPE)
