"""A stop that trails: from the entry that sets it to its exit, over a restart, and what is told."""

import numpy as np
import pytest

from engine.domain.codes import EventType, OrderStatus
from engine.domain.decide import step
from engine.domain.fold import Fold
from engine.domain.market_state import TRAILS_DUE
from engine.domain.strategy_table import (
    StrategyError,
    StrategyKind,
    StrategyReason,
    StrategyRow,
    check_row,
)
from engine.domain.trailing import TOLD_PARTS
from tests.builders import START_VENUE_NS, make_quote
from tests.desk_rig import ASK, BID, GENEROUS, MS, DeskRig, make_event, of_type

T = EventType
ATR = 20.0
TRAIL = 40  # ticks: 2 ATRs
LIMITS = GENEROUS._replace(channels_needed=0)


def row(**parameters: float) -> StrategyRow:
    asked = {"threshold": 0.9, "min_hold_s": 1e6, "trail_atr": 2.0} | parameters
    return StrategyRow(name="trails", kind=StrategyKind.QUOTE_IMBALANCE, parameters=asked)


class TrailRig(DeskRig):
    """One row in one instrument, asked by quotes; what it orders is filled where it is quoted."""

    def __init__(self, asked: StrategyRow, epoch: int = 1) -> None:
        super().__init__(LIMITS, instruments=1, epoch=epoch, table=[asked])
        self.state.market.atr_ticks[:] = ATR
        self.sequence = self.trades = 0

    def see(self, bid: int, ask: int = 0, lots: tuple[int, int] = (5, 5)) -> np.ndarray:
        """Let a quote arrive; return what it caused."""
        self.now_ns += MS
        self.sequence += 1
        quote = make_quote(
            bid,
            ask or bid + 1,
            *lots,
            sequence=self.sequence,
            receive_time_ns=self.now_ns,
            venue_time_ns=START_VENUE_NS + self.sequence,
        )
        none = make_event(T.RESTORE_END)  # a place for records; none is given
        step(
            self.state,
            none, 0, 0, 0,
            none, 0, 0, 0,
            quote, 0, 1, 0,
            self.now_ns,
            self.outer,
            self.out,
        )  # fmt: skip
        return self._collect()

    def settle(self, events: np.ndarray) -> None:
        """Fill the order among the events at the touch."""
        order = of_type(events, T.ORDER_REQUEST)[0]
        number, qty = int(order["order_sequence"]), int(order["qty_lots"])
        hot = self.desk.hot
        price = hot["ask_price_ticks"] if order["side"] > 0 else hot["bid_price_ticks"]
        self.trades += 1
        self.update(number, OrderStatus.NEW)
        self.fill(number, self.trades, qty, int(price[0]), order_status=OrderStatus.FILLED)

    def enter(self, side: int) -> None:
        """Take a position by an extreme quote."""
        self.settle(self.see(BID, ASK, (99, 1) if side > 0 else (1, 99)))
        assert self.lots(0, 0) * side > 0

    def touch(self, ticks: int) -> np.ndarray:
        """Let the side that an exit would hit stand so far on its way from the entry."""
        entry = int(self.desk.exposure["entry_price_ticks"][0, 0])
        side = 1 if self.lots(0, 0) > 0 else -1
        price = entry + side * ticks
        return self.see(price if side > 0 else price - 1)

    def restarted(self) -> "TrailRig":
        """Return the next session after a kill: it knows what the events say, and no bar yet."""
        fold = Fold()
        fold.add(self.all_events())
        records = fold.restore_records()
        following = TrailRig(row(), self.epoch + 1)
        following.state.market.atr_ticks[:] = np.nan
        following.now_ns, following.trades = self.now_ns + MS, self.trades
        following.step(np.split(records, len(records)))
        following.report(T.VENUE_CONNECTED)
        net = self.desk.positions[0, -1]
        following.fetch(positions={0: (int(net["lots"]), int(net["cost_e8"]))})
        return following


def trading(side: int, **parameters: float) -> TrailRig:
    rig = TrailRig(row(**parameters))
    rig.connect()
    rig.enter(side)
    return rig


def exits(events: np.ndarray) -> list[StrategyReason]:
    asked = of_type(events, T.SIGNAL_GENERATED)["reason"]
    assert len(asked) == len(of_type(events, T.ORDER_REQUEST))
    return [StrategyReason(int(reason)) for reason in asked]


@pytest.mark.parametrize("side", [1, -1])
def test_the_stop_follows_the_best_price_and_never_goes_back(side: int) -> None:
    rig = trading(side)
    for ticks in (0, 30, 100, 70, 61):
        assert exits(rig.touch(ticks)) == []
    events = rig.touch(100 - TRAIL)
    assert exits(events) == [StrategyReason.TRAILING_STOP]
    rig.settle(events)
    assert rig.lots(0, 0) == 0
    assert rig.desk.positions["realised_e8"][0, 0] > 0


@pytest.mark.parametrize("side", [1, -1])
def test_without_a_better_price_it_stands_behind_the_entry(side: int) -> None:
    rig = trading(side)
    assert exits(rig.touch(1 - TRAIL)) == []
    assert exits(rig.touch(-TRAIL)) == [StrategyReason.TRAILING_STOP]


@pytest.mark.parametrize("side", [1, -1])
def test_of_two_stops_the_nearer_one_counts(side: int) -> None:
    rig = trading(side, stop_atr=1.0)
    assert exits(rig.touch(-19)) == []
    assert exits(rig.touch(-20)) == [StrategyReason.STOP_LOSS]
    rig = trading(side, stop_atr=1.0)
    rig.touch(21)
    assert exits(rig.touch(-18)) == []
    assert exits(rig.touch(-50)) == [StrategyReason.TRAILING_STOP], "it stood at -19"


@pytest.mark.parametrize("side", [1, -1])
def test_a_target_still_ends_it(side: int) -> None:
    rig = trading(side, take_atr=3.0)
    assert exits(rig.touch(59)) == []
    assert exits(rig.touch(60)) == [StrategyReason.TAKE_PROFIT]


def test_the_distance_is_the_entrys_and_the_next_position_starts_anew() -> None:
    rig = trading(1)
    rig.touch(500)
    rig.state.market.atr_ticks[:] = 1_000.0
    rig.settle(rig.touch(500 - TRAIL))
    rig.state.market.atr_ticks[:] = ATR / 2
    rig.see(BID, ASK)
    rig.enter(-1)
    assert exits(rig.touch(1 - TRAIL // 2)) == []
    assert exits(rig.touch(-TRAIL // 2)) == [StrategyReason.TRAILING_STOP]


def test_a_row_that_trails_waits_until_its_distance_is_known() -> None:
    rig = TrailRig(row())
    rig.connect()
    rig.state.market.atr_ticks[:] = np.nan
    assert len(rig.see(BID, ASK, (99, 1))) == 0
    rig.state.market.atr_ticks[:] = ATR
    assert exits(rig.see(BID, ASK, (99, 1))) == [StrategyReason.QUOTE_IMBALANCE]


@pytest.mark.parametrize("side", [1, -1])
def test_it_is_told_at_the_first_quote_and_in_parts_of_its_distance(side: int) -> None:
    rig = trading(side)
    entry = int(rig.desk.exposure["entry_price_ticks"][0, 0])
    part = TRAIL // TOLD_PARTS
    for ticks in (0, part - 1, part, part + 1, 10 * part):
        rig.touch(ticks)
        rig.step()
    told = of_type(rig.all_events(), T.STOP_TRAILED)
    best = [0, part, 10 * part]
    assert ((told["last_price_ticks"] - entry) * side).tolist() == best
    assert ((told["price_ticks"] - entry) * side).tolist() == [it - TRAIL for it in best]
    assert set(told["reason"]) == {StrategyReason.TRAILING_STOP}
    assert set(told["side"]) == {-side}
    assert rig.state.market.progress[TRAILS_DUE] == 0


@pytest.mark.parametrize("side", [1, -1])
def test_it_goes_on_after_a_kill_where_it_stood(side: int) -> None:
    rig = trading(side)
    rig.touch(100)
    rig.step()
    rig = rig.restarted().restarted()
    assert rig.lots(0, 0) * side > 0
    assert exits(rig.touch(101 - TRAIL)) == [], "no bar is known yet, its distance is"
    assert exits(rig.touch(100 - TRAIL)) == [StrategyReason.TRAILING_STOP]


def test_a_kill_before_the_first_quote_takes_the_entry_and_the_distance_of_then() -> None:
    rig = trading(1).restarted()
    assert exits(rig.touch(-1_000)) == [], "neither is known"
    rig.state.market.atr_ticks[:] = ATR
    assert exits(rig.touch(1 - TRAIL)) == []
    assert exits(rig.touch(-TRAIL)) == [StrategyReason.TRAILING_STOP]


def test_nothing_is_kept_of_a_position_that_ended() -> None:
    rig = trading(1)
    rig.touch(100)
    rig.step()
    rig.settle(rig.touch(0))
    fold = Fold()
    fold.add(rig.all_events())
    kept = of_type(fold.restore_records(), T.RESTORE_POSITION)
    assert not kept["price_ticks"].any()
    assert not kept["last_price_ticks"].any()


def test_a_row_that_does_not_ask_says_nothing() -> None:
    rig = trading(1, trail_atr=0.0)
    assert exits(rig.touch(1_000)) == exits(rig.touch(-1_000)) == []
    rig.step()
    assert len(of_type(rig.all_events(), T.STOP_TRAILED)) == 0
    assert not rig.state.market.trails["best_ticks"].any()


@pytest.mark.parametrize(
    ("kind", "trail_atr", "what"),
    [
        (StrategyKind.SMC, -1.0, "trail_atr is a distance, 0 or above"),
        (StrategyKind.MAKING, 2.0, "making has no entry that a stop could trail"),
        (StrategyKind.SMC, float("nan"), "trail_atr is out of range"),
    ],
)
def test_a_trail_that_cannot_be_is_refused(kind: StrategyKind, trail_atr: float, what: str) -> None:
    wrong = StrategyRow(name="bad", kind=kind, parameters={"trail_atr": trail_atr})
    with pytest.raises(StrategyError, match=f"strategy bad: {what}"):
        check_row(wrong)
