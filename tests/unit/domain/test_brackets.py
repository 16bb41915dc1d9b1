"""Guards of a position as orders at the venue: placed once, kept fitting, one ending the others."""

from __future__ import annotations

import pytest

from engine.domain.codes import EventType, OrderStatus, TradingState
from engine.domain.reports import GUARD_PAUSE_NS, GUARD_RETRIES_MAX
from engine.domain.risk_reasons import RiskReason
from engine.domain.strategy_table import StrategyReason
from engine.domain.words import Word
from tests.bracket_rig import OPEN_TICKS, STOP, TAKE, TRAIL, WIDE, BracketRig
from tests.desk_rig import MS, S, of_type

T = EventType


def held(
    side: int, qty: int = 10, *, level_lots: int = 1_000, trail: int = 0, stops: bool = True
) -> BracketRig:
    """Return a rig whose first row holds a position, with its guards waiting at the venue."""
    rig = BracketRig(level_lots, trail=trail, stops=stops)
    rig.enter(0, side, qty)
    rig.settle()
    return rig


def entry_of(rig: BracketRig, s: int = 0) -> int:
    return int(rig.rig.desk.exposure[0, s]["entry_price_ticks"])


@pytest.mark.parametrize("side", [1, -1])
def test_an_entry_is_followed_by_both_guards_for_all_that_is_held(side: int) -> None:
    rig = held(side)
    entry = entry_of(rig)
    assert entry == OPEN_TICKS + (side > 0)
    assert rig.guards_of(0) == [
        ("STOP_MARKET", -side, 10, entry - side * STOP),
        ("TAKE_PROFIT_MARKET", -side, 10, entry + side * TAKE),
    ]
    assert all(order.reduce_only for order in rig.open_guards())
    assert rig.rig.desk.pending.sum() == 0, "they take back, so nothing is reserved"
    assert rig.rig.word(Word.NOTIONAL_E8) == rig.rig.desk.ledger["notional_e8"].sum()
    assert not rig.rig.desk.exposure[0, 0]["in_flight"], "the row may want out"


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("moves", [-STOP - 5, TAKE + 5])
def test_one_guard_fills_and_the_other_is_withdrawn(side: int, moves: int) -> None:
    rig = held(side)
    rig.trade_at(entry_of(rig) + side * moves)
    rig.settle()
    assert rig.rig.lots(0, 0) == rig.account.position(rig.market.spec).qty == 0
    assert rig.guards_of(0) == []
    states = sorted(order.status for order in rig.venue.algo_desk.of(rig.account))
    assert states == ["CANCELED", "FINISHED"]
    assert rig.rig.word(Word.OPEN_COUNT) == 0
    rig.enter(0, side, 5)
    rig.settle()
    assert [qty for _, _, qty, _ in rig.guards_of(0)] == [5, 5], "the next position has its own"


def test_an_entry_waits_until_nothing_is_left_of_the_last_positions_guards() -> None:
    rig = held(1)
    rig.trade_at(entry_of(rig) - STOP - 5)
    while rig.stream:
        rig.deliver()
    assert rig.rig.lots(0, 0) == 0
    assert rig.rig.desk.exposure[0, 0]["in_flight"], "the target is still there"
    rig.settle()
    assert not rig.rig.desk.exposure[0, 0]["in_flight"]


def test_an_entry_filled_in_part_is_guarded_for_that_part() -> None:
    rig = held(1, 25, level_lots=2)
    assert rig.rig.lots(0, 0) == 20, "all that the book had; the rest expired"
    assert [qty for _, _, qty, _ in rig.guards_of(0)] == [20, 20]


def test_a_stop_that_fills_in_part_leaves_the_rest_to_be_watched_here() -> None:
    rig = held(1, 20, level_lots=2)
    rig.level_lots = 1
    rig.trade_at(entry_of(rig) - STOP - 5)
    while rig.stream:
        rig.deliver()
    assert rig.rig.lots(0, 0) == 10
    rig.settle()
    assert rig.rig.lots(0, 0) == rig.account.position(rig.market.spec).qty == 0
    assert rig.open_guards() == []


def test_another_exit_withdraws_both_and_only_then_closes() -> None:
    rig = held(1)
    rig.leave(0, StrategyReason.MAX_HOLD)
    decided = of_type(rig.rig.events[-1], T.SIGNAL_GENERATED)
    assert decided["reason"].tolist() == [StrategyReason.MAX_HOLD]
    assert rig.commands == [], "nothing closes while guards wait"
    rig.wait(0.001)
    assert [c["event_type"] for c in rig.commands] == [T.COMMAND_CANCEL, T.COMMAND_CANCEL]
    rig.leave(0, StrategyReason.MAX_HOLD)
    assert len(of_type(rig.rig.events[-1], T.SIGNAL_GENERATED)) == 0, "it is decided already"
    rig.serve()
    rig.wait(0.2)
    news = [c for c in rig.commands if c["event_type"] == T.COMMAND_NEW]
    assert news == [], "one guard is still there"
    rig.settle()
    assert rig.rig.lots(0, 0) == rig.account.position(rig.market.spec).qty == 0
    last = of_type(rig.rig.all_events(), T.ORDER_REQUEST)[-1]
    assert last["reason"] == StrategyReason.MAX_HOLD


def test_stop_is_the_venues_while_it_may_still_answer_and_ours_after_that() -> None:
    rig = held(1)
    timeout_ns = int(rig.rig.desk.limits["order_timeout_ns"][0])
    rig.bid = entry_of(rig) - STOP  # our quotes see it, the venue's trades do not
    rig.quote()
    assert rig.commands == []
    rig.rig.step(after_ns=timeout_ns - MS)
    rig.quote()
    rig.collect()
    assert rig.commands == []
    rig.rig.step(after_ns=2 * MS)
    rig.quote()
    rig.settle()
    assert rig.rig.lots(0, 0) == 0
    assert rig.guards_of(0) == []
    last = of_type(rig.rig.all_events(), T.ORDER_REQUEST)[-1]
    assert (last["reason"], last["order_type"]) == (StrategyReason.STOP_LOSS, 1)


def guards_asked(rig: BracketRig) -> None:
    """Let a position of ten come in, and its guards be asked for but not arrive."""
    rig.enter(0, 1, 10)
    rig.serve()
    while rig.stream:
        rig.deliver()
    rig.wait(0.001)
    assert [c["order_type"] for c in rig.commands] == [3, 4]


def refuse(rig: BracketRig, reason: int) -> None:
    """Let what is asked for be refused, without a request at the venue."""
    asked, rig.commands = rig.commands, []
    for command in asked:
        rig.tell(rig.about(command, T.ORDER_UPDATE, OrderStatus.REJECTED, reason))


def test_a_guard_the_venue_refuses_is_watched_here_meanwhile() -> None:
    rig = BracketRig()
    guards_asked(rig)
    rig.trade_at(OPEN_TICKS + 1 - STOP - 1)  # beyond the stop before the request is there
    failures = rig.rig.word(Word.FAILURE_COUNT)
    while rig.commands:
        rig.serve()
    assert rig.refused == [-2021]
    assert rig.rig.word(Word.FAILURE_COUNT) == failures, "no failure of ours"
    asked = len(rig.sent)
    rig.wait(0.5)
    assert [c["event_type"] for c in rig.commands] == []
    rig.settle()  # our quotes see the stop: the target is withdrawn, then the position closed
    assert rig.rig.lots(0, 0) == rig.account.position(rig.market.spec).qty == 0
    assert len(rig.sent) == asked + 1
    assert not any(rig.rig.desk.brackets[0, 0]), "the next position is asked for again"


@pytest.mark.parametrize("reason", [-2021, -1003, -1015, 9004, 9006])
def test_what_may_pass_is_asked_for_again_after_a_pause(reason: int) -> None:
    rig = BracketRig()
    guards_asked(rig)
    refuse(rig, reason)
    rig.wait(GUARD_PAUSE_NS / S - 1)
    assert news_of(rig) == []
    rig.quote()
    rig.wait(2)
    assert news_of(rig) == [3, 4]
    rig.settle()
    assert len(rig.guards_of(0)) == 2
    assert len(rig.sent) == len(set(rig.sent))


def news_of(rig: BracketRig) -> list[int]:
    """Return the kinds of the orders that are asked for; what else is, is forgotten."""
    rig.commands = [c for c in rig.commands if c["event_type"] == T.COMMAND_NEW]
    return [int(c["order_type"]) for c in rig.commands]


def test_no_venue_is_asked_for_ever() -> None:
    rig = BracketRig()
    guards_asked(rig)
    asked = 0
    for _ in range(3 * GUARD_RETRIES_MAX):
        asked += len(news_of(rig))
        refuse(rig, -1015)
        rig.quote()
        rig.wait(GUARD_PAUSE_NS / S + 1)
    assert asked == 2 * (GUARD_RETRIES_MAX + 1)
    assert news_of(rig) == []
    assert rig.rig.desk.brackets["refused"][0, 0] == 1


@pytest.mark.parametrize("reason", [-2022, -4045, 9007, 9014, -4120])
def test_what_does_not_pass_is_asked_for_once(reason: int) -> None:
    rig = BracketRig()
    guards_asked(rig)
    refuse(rig, reason)
    rig.quote()
    rig.wait(10 * GUARD_PAUSE_NS / S)
    assert news_of(rig) == []
    assert rig.rig.desk.brackets["refused"][0, 0] == 1


def test_no_other_row_enters_an_instrument_that_is_guarded() -> None:
    rig = held(1)
    rig.enter(1, 1, 7)
    assert rig.commands == []
    assert rig.rig.refusals(RiskReason.GUARDED) == 1
    rig.leave(0, StrategyReason.MAX_HOLD)
    rig.settle()
    rig.enter(1, 1, 7)
    rig.settle()
    assert [qty for _, _, qty, _ in rig.guards_of(1)] == [7, 7]


def test_rows_that_came_in_together_are_watched_here_until_one_is_left() -> None:
    rig = BracketRig()
    rig.enter(0, 1, 10)
    rig.enter(1, 1, 7)
    rig.settle()
    assert (rig.rig.lots(0, 0), rig.rig.lots(0, 1)) == (10, 7)
    assert rig.sent[2:] == [], "the venue reduces the net position, not a row's"
    rig.leave(1, StrategyReason.MAX_HOLD)
    rig.settle()
    assert [qty for _, _, qty, _ in rig.guards_of(0)] == [10, 10]


def test_guards_follow_a_position_that_somebody_changed() -> None:
    rig = held(1)
    rig.hand_trades("SELL", "0.004")
    rig.settle()
    assert rig.rig.lots(0, 0) == 6
    assert [qty for _, _, qty, _ in rig.guards_of(0)] == [6, 6]


def test_guards_outlive_the_engine_and_are_found_again() -> None:
    rig = held(-1)
    before = rig.guards_of(0)
    rig.crash()
    rig.settle()
    assert rig.guards_of(0) == before
    assert rig.rig.word(Word.FOREIGN_OPEN) == 0
    assert rig.rig.word(Word.OPEN_COUNT) == 2
    rig.wait(5.0)
    rig.settle()
    assert rig.guards_of(0) == before, "they may rest as long as the position lasts"


def test_a_guard_that_filled_while_nobody_listened_is_booked_once() -> None:
    rig = held(1)
    rig.trade_at(entry_of(rig) - STOP - 5)
    rig.crash()
    rig.settle()
    assert rig.rig.lots(0, 0) == rig.account.position(rig.market.spec).qty == 0
    assert rig.open_guards() == []
    assert rig.rig.word(Word.CASH_E8) == rig.account.wallet
    assert rig.rig.lots(0, -1) == 0, "nothing of it is taken for somebody else's"


@pytest.mark.parametrize("arrives", [True, False])
def test_a_guard_without_an_answer_is_looked_up_and_never_sent_twice(arrives: bool) -> None:
    rig = BracketRig()
    rig.enter(0, 1, 10)
    rig.serve()
    while rig.stream:
        rig.deliver()
    rig.wait(0.001)
    assert [c["order_type"] for c in rig.commands] == [3, 4]
    rig.serve(arrives=arrives, answered=False)
    rig.stream.clear()
    assert rig.rig.status(2) == OrderStatus.UNKNOWN
    rig.settle()
    rig.wait(6.0)
    rig.settle()
    kinds = [kind for kind, _, _, _ in rig.guards_of(0)]
    assert kinds == (["STOP_MARKET", "TAKE_PROFIT_MARKET"] if arrives else ["TAKE_PROFIT_MARKET"])
    assert len(set(rig.sent)) == len(rig.sent)


def test_cancel_all_withdraws_guards_and_they_are_not_put_back() -> None:
    rig = held(1)
    rig.rig.control(T.CONTROL_CANCEL_ALL)
    rig.collect()
    rig.settle()
    assert rig.open_guards() == []
    rig.wait(1.0)
    rig.settle()
    assert rig.open_guards() == []
    assert rig.rig.lots(0, 0) == 10


def test_flatten_closes_once_the_guards_are_gone() -> None:
    rig = held(1)
    rig.rig.control(T.CONTROL_FLATTEN)
    rig.collect()
    news = [c for c in rig.commands if c["event_type"] == T.COMMAND_NEW]
    assert news == []
    rig.settle()
    assert rig.rig.lots(0, 0) == rig.account.position(rig.market.spec).qty == 0
    assert rig.open_guards() == []


def test_nothing_is_placed_while_halted_and_both_again_after_it() -> None:
    rig = BracketRig()
    rig.enter(0, 1, 10)
    rig.rig.control(T.CONTROL_HALT)
    rig.settle()
    assert rig.rig.word(Word.EFFECTIVE_STATE) == TradingState.HALTED
    assert rig.open_guards() == []
    assert rig.rig.refusals(RiskReason.TRADING_STATE) == 0, "it is not even asked"
    rig.rig.control(T.CONTROL_RESUME)
    rig.collect()
    rig.settle()
    assert len(rig.guards_of(0)) == 2


@pytest.mark.parametrize("side", [1, -1])
def test_a_stop_that_trails_is_a_guard_beside_the_others(side: int) -> None:
    rig = held(side, trail=TRAIL)
    entry = entry_of(rig)
    assert rig.guards_of(0) == [
        ("STOP_MARKET", -side, 10, entry - side * STOP * WIDE),
        ("TAKE_PROFIT_MARKET", -side, 10, entry + side * TAKE * WIDE),
        ("TRAILING_STOP_MARKET", -side, 10, 0),
    ]
    (trails,) = (o for o in rig.open_guards() if o.callback)
    assert (trails.callback, trails.reduce_only, trails.activate_price) == (1, True, 0)
    asked = of_type(rig.rig.all_events(), T.ORDER_REQUEST)[-1]
    assert asked["reason"] == StrategyReason.TRAILING_STOP
    touch = OPEN_TICKS + (side < 0)
    assert asked["price_ticks"] == touch - side * TRAIL, "where it stands at first"
    assert rig.rig.desk.brackets["trail_open"][0, 0] == 1
    assert rig.rig.desk.pending.sum() == 0


def test_without_a_stop_that_stays_it_has_its_place() -> None:
    rig = held(1, trail=TRAIL, stops=False)
    kinds = [kind for kind, _, _, _ in rig.guards_of(0)]
    assert kinds == ["TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"]


@pytest.mark.parametrize("side", [1, -1])
def test_of_both_that_trail_the_one_here_is_nearer_and_leaves_by_itself(side: int) -> None:
    rig = held(side, trail=TRAIL)
    entry = entry_of(rig)
    for ticks in (0, 900, 900 - TRAIL + 2):
        rig.trade_at(entry + side * ticks)
        rig.quote()
    assert rig.commands == []
    rig.trade_at(entry + side * (900 - TRAIL - 2))
    assert len(rig.open_guards()) == 3, "the venue's is further"
    rig.quote()
    rig.settle()
    assert rig.rig.lots(0, 0) == rig.account.position(rig.market.spec).qty == 0
    assert rig.open_guards() == []
    last = of_type(rig.rig.all_events(), T.ORDER_REQUEST)[-1]
    assert (last["reason"], last["order_type"]) == (StrategyReason.TRAILING_STOP, 1)


@pytest.mark.parametrize("side", [1, -1])
def test_a_stop_trails_at_the_venue_while_nobody_watches_here(side: int) -> None:
    rig = held(side, trail=TRAIL)
    entry = entry_of(rig)
    for ticks in (0, 1_000, 300):  # far back from the best price, and nowhere near the stop
        rig.trade_at(entry + side * ticks)
    assert rig.account.position(rig.market.spec).qty == 0
    rig.crash()
    rig.settle()
    assert rig.rig.lots(0, 0) == 0
    assert rig.open_guards() == []
    assert rig.rig.word(Word.CASH_E8) == rig.account.wallet
    assert rig.rig.desk.positions["realised_e8"][0, 0] > 0
    assert not rig.rig.desk.brackets["trail_open"].any()


def test_a_stop_that_trails_is_found_again_and_goes_on_from_its_best_price() -> None:
    rig = held(-1, trail=TRAIL)
    rig.trade_at(OPEN_TICKS - 800)
    rig.quote()
    best = next(o for o in rig.open_guards() if o.callback).extreme
    rig.crash()
    rig.settle()
    assert rig.rig.word(Word.FOREIGN_OPEN) == 0
    assert rig.rig.word(Word.OPEN_COUNT) == len(rig.open_guards()) == 3
    assert next(o for o in rig.open_guards() if o.callback).extreme == best
    assert len(rig.sent) == len(set(rig.sent)) == 4, "the entry and its guards, none again"


def test_a_stop_that_trails_follows_a_position_that_somebody_changed() -> None:
    rig = held(1, trail=TRAIL)
    rig.hand_trades("SELL", "0.004")
    rig.settle()
    assert [qty for _, _, qty, _ in rig.guards_of(0)] == [6, 6, 6]


def test_a_distance_that_the_venue_does_not_trail_at_is_watched_here() -> None:
    rig = held(1, trail=OPEN_TICKS // 4)
    assert rig.refused == [-2007]
    assert [kind for kind, _, _, _ in rig.guards_of(0)] == ["STOP_MARKET", "TAKE_PROFIT_MARKET"]
    assert rig.rig.desk.brackets["refused"][0, 0] == 1
    assert rig.rig.word(Word.FAILURE_COUNT) == 0


def test_a_stop_that_trails_waits_until_its_distance_is_known() -> None:
    rig = BracketRig(trail=TRAIL)
    rig.rig.state.market.trails["distance_ticks"] = 0
    rig.enter(0, 1, 10)
    rig.settle()
    assert len(rig.guards_of(0)) == 2
    rig.rig.state.market.trails["distance_ticks"] = TRAIL
    rig.rig.wait(0.2)
    rig.collect()
    rig.settle()
    assert len(rig.guards_of(0)) == 3


def test_a_stop_that_trails_waits_for_both_sides_of_the_quote() -> None:
    rig = BracketRig(trail=TRAIL)
    rig.enter(0, 1, 10)
    rig.rig.quote(0, rig.bid, 0)
    rig.serve()
    while rig.stream:
        rig.deliver()
    rig.wait(0.001)
    assert [c["order_type"] for c in rig.commands] == [3, 4]
    rig.settle()
    assert len(rig.guards_of(0)) == 3


def test_rows_that_do_not_ask_have_no_guards() -> None:
    rig = BracketRig()
    rig.rig.state.market.strategies["venue_bracket"] = 0
    rig.enter(0, 1, 10)
    rig.settle()
    assert rig.rig.lots(0, 0) == 10
    assert rig.open_guards() == []
