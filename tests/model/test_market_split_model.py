"""A position beyond the venue's largest market order, closed in turn against its own filter.

The kernel's commands are placed at a venue of the practice exchange, whose filters refuse what is
too much or off the step; what that venue tells over its user stream is decoded and fed back.
Answers may be lost although the order was executed. Every child has an id of its own, none is
refused, and what is left at the end is the same on both sides: nothing, or less than a step.
"""

import json
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.client_id import ClientId, encode_client_id
from engine.domain.codes import EVENT_REDUCE_ONLY, EventType, OrderStatus
from engine.domain.records import EVENT_DTYPE
from engine.domain.risk_reasons import RiskReason, reasons_of
from engine.domain.words import Word
from engine.venues.binance.order_views import AccountReader
from engine.venues.binance.user_events import decode_user_frame
from engine.venues.order_records import Report, pack_report
from exchange.errors import ApiError
from tests.builders import make_instruments
from tests.desk_rig import ASK, DeskRig, of_type
from tests.exchange_rig import KEY, USDT, btc, fill_book, quiet_venue
from tests.store_builders import instrument

TAG = "a"
ROUNDS_MAX = 400
HELD_MAX = 120
MARK = 60_000_00


class Split:
    """A desk that holds too much for one order, and the venue that it is held at."""

    def __init__(self, held: int, side: int, most: int, step: int) -> None:
        rows = make_instruments(1)
        rows["market_max_qty_lots"], rows["market_step_lots"] = most, step
        rows["market_min_qty_lots"] = step
        self.rig = DeskRig(rows=rows, strategies=1)
        self.rig.connect()
        self.held_by_desk(held, side)
        self.venue, market = quiet_venue(deposit=10**9 * USDT)
        market.spec = replace(btc(), market_max_qty=most, step=step, min_qty=step, min_notional=0)
        self.market = market
        self.account = self.venue.accounts[KEY]
        fill_book(market)
        self.venue.set_position(self.account, "BTCUSDT", side * held, MARK)
        self.venue.outbox.clear()
        self.reader = AccountReader([instrument("BTCUSDT")], TAG, self.rig.epoch)
        self.seen = len(self.rig.all_commands())
        self.refusals: list[ApiError] = []
        self.children: list[tuple[str, int]] = []
        self.late: list[Report] = []

    def held_by_desk(self, held: int, side: int) -> None:
        """Let a limit order, which may be larger, bring the position."""
        order = self.rig.order(side, held, price=ASK)
        fields = {"order_status": OrderStatus.FILLED, "cum_qty_lots": held, "side": side}
        self.rig.fill(order, 1, held, **fields)

    def new_orders(self) -> np.ndarray:
        """Return the orders commanded since the last look."""
        commands = self.rig.all_commands()
        fresh, self.seen = commands[self.seen :], len(commands)
        return of_type(fresh, EventType.COMMAND_NEW)

    def place(self, command: np.void) -> list[Report]:
        """Place one order as the order side would write it; return what the stream tells."""
        identity = ClientId(
            self.rig.epoch,
            int(command["strategy_index"]),
            int(command["order_sequence"]),
            int(command["cause_sequence"]),
        )
        params = {
            "symbol": "BTCUSDT",
            "side": "BUY" if command["side"] > 0 else "SELL",
            "type": "MARKET",
            "quantity": self.market.spec.qty_text(int(command["qty_lots"])),
            "newClientOrderId": encode_client_id(TAG, identity),
        }
        if command["flags"] & EVENT_REDUCE_ONLY:
            params["reduceOnly"] = "true"
        self.children.append((params["newClientOrderId"], int(command["qty_lots"])))
        fill_book(self.market)
        try:
            self.venue.place(self.account, params)
        except ApiError as refusal:
            self.refusals.append(refusal)
        events = [event for _, event in self.venue.outbox]
        self.venue.outbox.clear()
        frames = [json.dumps(event).encode() for event in events]
        return [r for text in frames for r in decode_user_frame(text, self.reader).reports]

    def hear(self, reports: list[Report]) -> None:
        """Feed reports to the desk, each in a step of its own."""
        for report in reports:
            packed = np.frombuffer(pack_report(report, self.rig.now_ns), EVENT_DTYPE)
            self.rig.step([packed])

    def lose(self, command: np.void) -> None:
        """Say that no answer to an order came."""
        self.rig.report(
            EventType.ORDER_UNKNOWN,
            order_sequence=int(command["order_sequence"]),
            epoch_low=int(command["epoch_low"]),
        )


@settings(max_examples=60, deadline=None)
@given(
    held=st.integers(1, HELD_MAX),
    side=st.sampled_from([-1, 1]),
    steps=st.integers(1, 12),
    step=st.sampled_from([1, 1, 2, 5]),
    lost=st.lists(st.booleans(), min_size=1, max_size=5),
)
def test_what_is_too_much_for_one_order_is_closed_by_several(
    held: int, side: int, steps: int, step: int, lost: list[bool]
) -> None:
    split = Split(held, side, steps * step, step)
    split.rig.control(EventType.CONTROL_FLATTEN)
    for number in range(ROUNDS_MAX):
        if abs(split.rig.lots()) < step:
            break
        for command in split.new_orders():
            told = split.place(command)
            if lost[number % len(lost)]:
                split.lose(command)
                split.rig.wait(0.2)
                assert not len(split.new_orders()), "nothing more while one is in doubt"
            split.hear(told)
        split.rig.quote()
        split.rig.wait(0.2)
    names = [name for name, _ in split.children]
    sizes = [lots for _, lots in split.children]
    assert split.refusals == []
    assert len(set(names)) == len(names)
    assert max(sizes, default=0) <= steps * step
    assert sum(sizes) == held // step * step
    left = side * (held % step)
    assert split.rig.lots() == split.account.position(split.market.spec).qty == left
    assert split.rig.word(Word.UNKNOWN_COUNT) == 0


def test_an_entry_beyond_the_largest_market_order_is_refused_and_not_cut() -> None:
    """Half an entry is another decision than the one that was weighed."""
    rows = make_instruments(1)
    rows["market_max_qty_lots"] = 9
    rig = DeskRig(rows=rows, strategies=1)
    rig.connect()
    refusal = rig.propose(1, 10)[1]
    assert reasons_of(int(refusal["refusal_mask"])) == (RiskReason.FILTER_QTY,)
    assert not len(of_type(rig.all_commands(), EventType.COMMAND_NEW))
    rig.order(1, 9)
