"""An order's life through the step: acks, fills and cancels in any order, and what each means."""

import itertools
from typing import Any

import numpy as np
import pytest

from engine.domain.codes import (
    EVENT_APPLIED,
    EVENT_DUPLICATE,
    EVENT_ENTRY,
    EVENT_FOREIGN,
    EventType,
    OrderStatus,
)
from engine.domain.intent import book_order
from engine.domain.risk_reasons import RiskReason
from engine.domain.words import Tally, Word
from tests.desk_rig import ASK, BID, GENEROUS, DeskRig, make_event, of_type, types

S = OrderStatus
T = EventType


@pytest.fixture
def rig() -> DeskRig:
    rig = DeskRig()
    rig.connect()
    return rig


def test_an_intent_is_recorded_before_its_command(rig: DeskRig) -> None:
    events = rig.propose(1, 10)
    assert types(events) == [T.SIGNAL_GENERATED, T.ORDER_REQUEST]
    request, command = events[1], rig.commands[-1][0]
    assert command["event_type"] == T.COMMAND_NEW
    assert command["order_sequence"] == request["order_sequence"] == 1
    for name in ("cause_sequence", "cause_receive_time_ns", "decision_time_ns", "mid_half_ticks"):
        assert command[name] == request[name]
    assert request["cause_sequence"] == 77
    assert request["mid_half_ticks"] == BID + ASK
    assert request["decision_time_ns"] == rig.now_ns
    assert request["flags"] == EVENT_ENTRY
    assert rig.status(1) == S.PENDING_NEW


def test_an_order_is_out_before_its_books_are_written(rig: DeskRig) -> None:
    rig.propose(1, 10, books=False)
    assert rig.commands[-1][0]["order_sequence"] == 1
    words = rig.desk.words
    assert (words[Word.UNBOOKED_SEQUENCE], words[Word.OPEN_COUNT]) == (1, 0)
    rates = rig.desk.rates.copy()
    book_order(rig.desk)
    assert (words[Word.UNBOOKED_SEQUENCE], words[Word.OPEN_COUNT]) == (0, 1)
    assert rig.status(1) == S.PENDING_NEW
    assert (rig.desk.rates["tat_ns"][:3] > rates["tat_ns"][:3]).all()
    before = known(rig)
    book_order(rig.desk)
    assert same(before, known(rig)), "there is nothing left to write"


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"open_orders_max": 1}, RiskReason.FILTER_OPEN_ORDERS),
        ({"entries_per_day_max": 1}, RiskReason.ENTRIES_PER_DAY),
        ({"orders_per_10s_instrument": 1}, RiskReason.RATE_INSTRUMENT),
        ({"position_qty_max": 0.015}, RiskReason.POSITION_QTY),
    ],
)
def test_an_order_counts_against_the_next_of_the_same_record(
    limits: dict[str, Any], reason: RiskReason
) -> None:
    rig = DeskRig(GENEROUS._replace(**limits))
    rig.connect()
    assert types(rig.propose(1, 10, books=False)) == [T.SIGNAL_GENERATED, T.ORDER_REQUEST]
    events = rig.propose(1, 10, s=1, books=False)
    assert types(events) == [T.SIGNAL_GENERATED, T.RISK_REFUSAL]
    assert int(events["refusal_mask"][1]) >> reason & 1


@pytest.mark.parametrize("seed", range(12))
def test_when_books_are_written_changes_no_byte(seed: int) -> None:
    """Between two opportunities, or with the second: everything that comes out is the same."""
    chance = np.random.default_rng(seed)
    limits = GENEROUS._replace(open_orders_max=6, position_qty_max=0.05, entries_per_day_max=12)
    early, late = DeskRig(limits), DeskRig(limits)
    for rig in (early, late):
        rig.connect()
    for _ in range(40):
        side, qty = int(chance.choice([-1, 1])), int(chance.integers(1, 20))
        place: dict[str, Any] = {"i": int(chance.integers(2)), "s": int(chance.integers(2))}
        place["entry"] = bool(chance.integers(3))
        first = early.propose(side, qty, **place)
        second = late.propose(side, qty, **place, books=bool(chance.integers(2)))
        assert first.tobytes() == second.tobytes()
        if chance.integers(4) == 0:
            book_order(late.desk)
            assert early.wait(0.5).tobytes() == late.wait(0.5).tobytes()
    book_order(late.desk)
    assert same(known(early), known(late))
    assert len(early.commands) == len(late.commands) > 5


def known(rig: DeskRig) -> dict[str, np.ndarray]:
    """Return a copy of everything the order side knows; quotes are the market's."""
    return {name: it.copy() for name, it in rig.desk._asdict().items() if name != "hot"}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Return whether two order sides know the same, whatever lies between their fields."""
    return all(np.array_equal(array, other[name]) for name, array in one.items())


def test_order_sequences_are_never_reused(rig: DeskRig) -> None:
    numbers = [rig.order(1, 1) for _ in range(40)]
    assert numbers == list(range(1, 41))


def test_a_fill_before_the_ack_counts_once(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    rig.fill(order, 501, 4, order_status=S.PARTIALLY_FILLED, cum_qty_lots=4)
    assert rig.status(order) == S.PARTIALLY_FILLED
    events = rig.update(order, S.NEW)
    assert events["flags"][0] & EVENT_DUPLICATE
    assert rig.status(order) == S.PARTIALLY_FILLED
    assert rig.lots() == 4


def test_the_same_fill_twice_changes_nothing(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    fill = rig.fill_record(order, 501, 4, ASK, order_status=S.PARTIALLY_FILLED, cum_qty_lots=4)
    rig.step([fill])
    before = rig.desk.positions.tobytes()
    events = rig.step([fill, fill])
    assert [bool(f & EVENT_DUPLICATE) for f in of_type(events, T.FILL)["flags"]] == [True, True]
    assert rig.desk.positions.tobytes() == before
    assert rig.tally(Tally.FILLS_DUPLICATE) == 2
    assert of_type(events, T.POSITION_CHANGED).size == 0


REPORTS = ("new", "fill_a", "fill_b", "canceled")


@pytest.mark.parametrize("order_of_reports", list(itertools.permutations(REPORTS)))
def test_any_order_of_reports_ends_the_same(order_of_reports: tuple[str, ...]) -> None:
    rig = DeskRig()
    rig.connect()
    order = rig.order(1, 10)
    records = {
        "new": rig.update_record(order, S.NEW),
        "fill_a": rig.fill_record(order, 1, 3, ASK, order_status=3, cum_qty_lots=3, fee_e8=7),
        "fill_b": rig.fill_record(order, 2, 4, ASK + 1, order_status=3, cum_qty_lots=7, fee_e8=9),
        "canceled": rig.update_record(order, S.CANCELED, cum_qty_lots=7),
    }
    for name in order_of_reports:
        rig.step([records[name]])
    assert rig.status(order) == S.CANCELED
    assert rig.row(order)["filled_lots"] == rig.row(order)["cum_qty_lots"] == 7
    assert rig.lots() == rig.lots(0, 0) == 7
    assert rig.word(Word.FEE_E8) == 16
    assert rig.word(Word.OPEN_COUNT) == 0
    assert rig.desk.pending.sum() == 0


def test_a_filled_status_without_its_fill_is_not_settled(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    rig.update(order, S.FILLED, cum_qty_lots=10)
    assert rig.status(order) == S.FILLED
    assert rig.lots() == 0
    assert rig.word(Word.OPEN_COUNT) == 1
    assert rig.desk.exposure["in_flight"][0, 0] == 1
    rig.fill(order, 9, 10, order_status=S.FILLED, cum_qty_lots=10)
    assert rig.word(Word.OPEN_COUNT) == 0
    assert rig.desk.exposure["in_flight"][0, 0] == 0
    assert rig.lots() == 10


def test_a_stale_answer_does_not_move_the_order_back(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    rig.fill(order, 1, 6, order_status=3, cum_qty_lots=6)
    rig.update(order, S.PARTIALLY_FILLED, cum_qty_lots=2)
    assert rig.row(order)["cum_qty_lots"] == 6


def test_the_echo_says_what_the_report_meant(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    echo = rig.fill(order, 1, 10, ASK, order_status=S.FILLED, cum_qty_lots=10)[0]
    assert echo["event_type"] == T.FILL
    assert echo["flags"] & EVENT_APPLIED
    assert echo["order_status_after"] == S.FILLED
    assert echo["position_lots"] == 10
    assert echo["position_cost_e8"] == 10 * ASK * 10_000


def test_exposure_shows_the_strategy_its_position(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    assert rig.desk.exposure["in_flight"].tolist() == [[1, 0], [0, 0]]
    rig.fill(order, 1, 10, ASK, order_status=S.FILLED, cum_qty_lots=10)
    shown = rig.desk.exposure[0, 0]
    assert (shown["position_lots"], shown["entry_price_ticks"], shown["in_flight"]) == (10, ASK, 0)
    assert shown["entry_time_ns"] == rig.now_ns
    exit_order = rig.order(-1, 10, entry=False)
    rig.fill(exit_order, 2, 10, BID, order_status=S.FILLED, cum_qty_lots=10)
    shown = rig.desk.exposure[0, 0]
    assert (shown["position_lots"], shown["entry_price_ticks"]) == (0, 0)
    assert shown["last_exit_time_ns"] == rig.now_ns
    assert rig.tally(Tally.ROUND_TRIPS) == 1


def test_a_foreign_order_is_counted_and_changes_nothing(rig: DeskRig) -> None:
    events = rig.report(T.ORDER_UPDATE, order_status=S.NEW, qty_lots=5, side=1, venue_order_id=4)
    assert events["flags"][0] & EVENT_FOREIGN
    assert rig.word(Word.OPEN_COUNT) == 0
    assert rig.tally(Tally.REPORTS_FOREIGN) == 1


def test_a_foreign_fill_moves_the_net_position(rig: DeskRig) -> None:
    events = rig.report(
        T.FILL, side=1, trade_id=5, last_qty_lots=3, last_price_ticks=ASK, fee_e8=11, order_status=4
    )
    assert events["flags"][0] & EVENT_FOREIGN
    assert events["flags"][0] & EVENT_APPLIED
    assert (rig.lots(), rig.lots(0, -1), rig.lots(0, 0)) == (3, 3, 0)
    assert rig.word(Word.FEE_E8) == 11


def test_a_sale_by_hand_takes_from_the_strategy_that_held_it(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    rig.fill(order, 1, 10, order_status=S.FILLED, cum_qty_lots=10)
    rig.report(T.FILL, side=-1, trade_id=5, last_qty_lots=12, last_price_ticks=BID)
    assert (rig.lots(), rig.lots(0, 0), rig.lots(0, -1)) == (-2, 0, -2)
    assert rig.desk.exposure["position_lots"][0, 0] == 0


def test_a_nameless_fill_waits_while_an_own_order_awaits_its_number(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    events = rig.report(T.FILL, side=1, trade_id=5, last_qty_lots=10, last_price_ticks=ASK)
    assert not events["flags"][0] & EVENT_APPLIED
    assert rig.lots() == 0
    assert rig.word(Word.RECONCILE_REQUIRED) == 0, "taken up by the fetch it asked for"
    assert types(rig.commands[-1]) == [T.COMMAND_FETCH]
    rig.fill(order, 5, 10, order_status=S.FILLED, cum_qty_lots=10)
    assert rig.lots(0, 0) == 10


def test_a_fill_that_names_only_the_venues_number_finds_its_order(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    rig.update(order, S.NEW, venue_order_id=4242)
    rig.report(
        T.FILL, side=1, trade_id=5, last_qty_lots=10, last_price_ticks=ASK, venue_order_id=4242
    )
    assert rig.status(order) == S.FILLED
    assert rig.lots(0, 0) == 10


def test_an_own_order_nobody_remembers_is_adopted_and_withdrawn(rig: DeskRig) -> None:
    record = make_event(
        T.VENUE_ORDER, order_sequence=7, epoch_low=200, strategy_index=1, side=-1, qty_lots=8,
        price_ticks=ASK + 50, order_type=2, time_in_force=1, order_status=S.NEW, venue_order_id=77,
    )  # fmt: skip
    rig.control(T.CONTROL_RECONCILE)
    rig.step([make_event(T.FETCH_BEGIN), record])
    assert rig.row(7, epoch=200)["status"] in (S.NEW, S.PENDING_CANCEL)
    assert rig.tally(Tally.ORDERS_ADOPTED) == 1
    cancels = of_type(rig.all_commands(), T.COMMAND_CANCEL)
    assert cancels["venue_order_id"].tolist() == [77]
    assert cancels["epoch_low"].tolist() == [200]


@pytest.mark.parametrize("status", [S.NEW, S.PARTIALLY_FILLED, S.CANCELED, S.FILLED])
def test_a_late_word_about_a_forgotten_order_is_not_adopted(
    rig: DeskRig, status: OrderStatus
) -> None:
    """Once it was: the order counted as open, was cancelled, and its old fills were missing."""
    rig.report(
        T.ORDER_UPDATE, order_sequence=900, epoch_low=1, side=1, qty_lots=5, order_status=status,
        cum_qty_lots=5,
    )  # fmt: skip
    assert rig.word(Word.OPEN_COUNT) == 0
    assert rig.tally(Tally.ORDERS_ADOPTED) == 0


def test_an_old_list_does_not_bring_a_forgotten_order_back() -> None:
    rig = DeskRig(orders_max=8)
    rig.connect()
    for trade in range(1, 12):
        order = rig.order(1, 1)
        rig.fill(order, trade, 1, order_status=S.FILLED, cum_qty_lots=1)
    stale = rig.update_record(1, S.NEW, side=1, qty_lots=1)
    stale["event_type"] = T.VENUE_ORDER
    rig.control(T.CONTROL_RECONCILE)
    rig.fetch(positions={0: (11, 0)}, extra=[stale])
    assert rig.tally(Tally.ORDERS_ADOPTED) == 0
    assert rig.word(Word.FOREIGN_OPEN) == 1, "it is shown, as an order that is not ours"


def test_an_overfill_is_applied_and_looked_into(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    rig.fill(order, 1, 10, order_status=S.FILLED, cum_qty_lots=10)
    rig.fill(order, 2, 3, order_status=S.FILLED, cum_qty_lots=10)
    assert rig.lots() == 13
    assert rig.tally(Tally.OVERFILLS) == 1
    assert rig.row(order)["filled_lots"] == rig.row(order)["cum_qty_lots"] == 13


def test_a_fill_outside_the_integers_is_refused_and_halts(rig: DeskRig) -> None:
    order = rig.order(1, 10)
    rig.fill(order, 1, 10, price=2**60, order_status=S.FILLED, cum_qty_lots=10)
    assert rig.lots() == 0
    assert rig.word(Word.EFFECTIVE_STATE) == 3
    assert rig.tally(Tally.REPORTS_INVALID) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"instrument_index": -1},
        {"instrument_index": 99},
        {"order_status": 11},
        {"last_qty_lots": -1},
        {"cum_qty_lots": -1},
        {"qty_lots": -5},
    ],
)
def test_an_unreadable_report_changes_nothing(rig: DeskRig, fields: dict[str, int]) -> None:
    order = rig.order(1, 10)
    before = rig.desk.orders.tobytes(), rig.desk.positions.tobytes()
    record = rig.fill_record(order, 1, 4, ASK, cum_qty_lots=4)
    for name, number in fields.items():
        record[name] = number
    rig.step([record])
    assert (rig.desk.orders.tobytes(), rig.desk.positions.tobytes()) == before
    assert rig.tally(Tally.REPORTS_INVALID) == 1


def test_a_fill_in_another_instrument_than_its_order_is_refused(rig: DeskRig) -> None:
    order = rig.order(1, 10, i=0)
    events = rig.fill(order, 1, 10, order_status=S.FILLED, instrument_index=1)
    assert events["flags"][0] & EVENT_FOREIGN
    assert (rig.lots(0), rig.lots(1)) == (0, 0)
    assert rig.tally(Tally.REPORTS_INVALID) == 1


def test_a_full_store_reuses_settled_rows_and_refuses_when_all_are_open() -> None:
    rig = DeskRig(orders_max=8)
    rig.connect()
    for trade in range(1, 30):
        order = rig.order(1, 1)
        rig.fill(order, trade, 1, order_status=S.FILLED, cum_qty_lots=1)
    open_orders = [rig.order(1, 1) for _ in range(8)]
    events = rig.propose(1, 1)
    assert types(events) == [T.SIGNAL_GENERATED, T.RISK_REFUSAL]
    assert sorted(rig.desk.orders["order_sequence"]) == open_orders
    rig.update(open_orders[3], S.CANCELED)
    rig.order(1, 1)


def test_trade_ids_stay_exact_past_the_rings_capacity() -> None:
    rig = DeskRig(trades_max=8)
    rig.connect()
    order = rig.order(1, 1000)
    for trade in range(1, 40):
        rig.fill(order, trade, 1, order_status=3, cum_qty_lots=trade)
    for trade in (1, 20, 31, 39):
        rig.fill(order, trade, 1, order_status=3)
    assert rig.lots() == 39
    assert rig.desk.ledger["trade_floor"][0] == 31
    rig.fill(order, 40, 1, order_status=3)
    assert rig.lots() == 40


def test_trade_ids_are_per_instrument() -> None:
    rig = DeskRig()
    rig.connect()
    for i in (0, 1):
        order = rig.order(1, 10, i=i)
        rig.fill(order, 1, 10, order_status=S.FILLED, cum_qty_lots=10, instrument_index=i)
    assert (rig.lots(0), rig.lots(1)) == (10, 10)


def test_open_orders_sum_to_what_they_may_still_do(rig: DeskRig) -> None:
    first, second = rig.order(1, 10), rig.order(-1, 7, s=1)
    rig.fill(first, 1, 4, order_status=3, cum_qty_lots=4)
    assert rig.desk.pending[0].tolist() == [[6, 0], [0, 7], [0, 0]]
    assert (rig.desk.ledger["buy_lots"][0], rig.desk.ledger["sell_lots"][0]) == (6, 7)
    rig.update(second, S.REJECTED, reason=-2019)
    assert rig.desk.ledger["sell_lots"][0] == 0
    assert rig.row(second)["reason"] == -2019
    assert np.all(rig.desk.pending >= 0)
