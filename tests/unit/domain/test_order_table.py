"""Laws of the transition table, over every status and every stimulus."""

import itertools

import numpy as np
import pytest

from engine.domain.codes import OrderStatus
from engine.domain.orders import (
    ORDER_DTYPE,
    STIMULUS_OF_STATUS,
    TERMINAL,
    TRANSITIONS,
    Stimulus,
    is_settled,
    merge,
    next_status,
    reserved_lots,
)

S = OrderStatus
LIVE = [s for s in OrderStatus if s != S.NONE and not TERMINAL[s]]
CLOSED = [S.FILLED, S.CANCELED, S.REJECTED, S.EXPIRED]
ACCEPTED = {S.NEW, S.PARTIALLY_FILLED, S.PENDING_REPLACE}
PAIRS = list(itertools.product([s for s in OrderStatus if s != S.NONE], Stimulus))


def make_order(status: OrderStatus, qty: int = 10, cum: int = 0, filled: int = 0) -> np.ndarray:
    orders = np.zeros(1, dtype=ORDER_DTYPE)
    orders["status"], orders["qty_lots"] = status, qty
    orders["cum_qty_lots"], orders["filled_lots"] = cum, filled
    orders["acknowledged"] = status in ACCEPTED
    return orders


def test_every_status_meets_every_stimulus_with_a_status() -> None:
    assert TRANSITIONS.shape == (len(OrderStatus), len(Stimulus))
    assert {int(s) for s in TRANSITIONS.ravel()} <= set(OrderStatus)
    assert (TRANSITIONS[1:] != S.NONE).all()


def test_a_row_without_an_order_stays_without_one() -> None:
    assert (TRANSITIONS[S.NONE] == S.NONE).all()


def test_filled_opens_again_only_by_proof_that_there_is_more_of_it() -> None:
    moves = {s: S(int(TRANSITIONS[S.FILLED, s])) for s in Stimulus}
    assert moves.pop(Stimulus.PROVEN_OPEN) == S.NEW
    assert set(moves.values()) == {S.FILLED}
    assert next_status(S.FILLED, Stimulus.PROVEN_OPEN, 10, 10) == S.FILLED
    assert next_status(S.FILLED, Stimulus.PROVEN_OPEN, 10, 12) == S.PARTIALLY_FILLED


@pytest.mark.parametrize("status", LIVE)
def test_what_was_amended_to_less_is_filled_at_the_venues_total(status: OrderStatus) -> None:
    orders = make_order(status, qty=10, cum=3, filled=3)
    merge(orders, 0, Stimulus.VENUE_FILLED, 5, 2, 1)
    assert (orders["qty_lots"][0], orders["cum_qty_lots"][0]) == (5, 5)
    assert orders["status"][0] == S.FILLED
    assert is_settled(orders, 0)


@pytest.mark.parametrize("status", [S.CANCELED, S.EXPIRED])
def test_closed_orders_open_only_by_proof(status: OrderStatus) -> None:
    moves = {s: S(int(TRANSITIONS[status, s])) for s in Stimulus}
    assert moves.pop(Stimulus.PROVEN_OPEN) == S.NEW
    assert moves.pop(Stimulus.VENUE_FILLED) == S.FILLED
    assert set(moves.values()) == {status}


def test_a_fill_of_a_rejected_order_is_a_contradiction_to_look_into() -> None:
    assert next_status(S.REJECTED, Stimulus.VENUE_PARTIALLY_FILLED, 3, 10) == S.UNKNOWN


@pytest.mark.parametrize("status", [S.NEW, S.PARTIALLY_FILLED])
def test_a_reject_of_an_accepted_order_is_a_contradiction(status: OrderStatus) -> None:
    assert TRANSITIONS[status, Stimulus.VENUE_REJECTED] == S.UNKNOWN


@pytest.mark.parametrize("status", LIVE)
@pytest.mark.parametrize(
    ("stimulus", "after"),
    [
        (Stimulus.VENUE_FILLED, S.FILLED),
        (Stimulus.VENUE_CANCELED, S.CANCELED),
        (Stimulus.VENUE_EXPIRED, S.EXPIRED),
    ],
)
def test_the_venues_last_word_closes_any_live_order(
    status: OrderStatus, stimulus: Stimulus, after: OrderStatus
) -> None:
    assert TRANSITIONS[status, stimulus] == after


@pytest.mark.parametrize("status", [S.PENDING_NEW, S.PENDING_CANCEL, S.PENDING_REPLACE])
def test_silence_makes_what_awaits_an_answer_unknown(status: OrderStatus) -> None:
    assert TRANSITIONS[status, Stimulus.LOST] == S.UNKNOWN


@pytest.mark.parametrize("status", [S.NEW, S.PARTIALLY_FILLED])
def test_silence_about_an_answered_request_says_nothing(status: OrderStatus) -> None:
    assert TRANSITIONS[status, Stimulus.LOST] == status


@pytest.mark.parametrize("stimulus", list(Stimulus))
def test_unknown_is_left_only_on_the_venues_word(stimulus: Stimulus) -> None:
    ours = {
        Stimulus.SENT, Stimulus.CANCEL_ASKED, Stimulus.REPLACE_ASKED, Stimulus.CANCEL_REJECTED,
        Stimulus.LOST, Stimulus.UNSEEN,
    }  # fmt: skip
    stays = S(int(TRANSITIONS[S.UNKNOWN, stimulus])) == S.UNKNOWN
    assert stays == (stimulus in ours)


def test_a_whole_fetch_never_closes_an_order_by_itself() -> None:
    for status in LIVE:
        assert not TERMINAL[TRANSITIONS[status, Stimulus.UNSEEN]]


@pytest.mark.parametrize(("status", "stimulus"), PAIRS)
def test_a_status_agrees_with_what_was_filled(status: OrderStatus, stimulus: Stimulus) -> None:
    assert next_status(status, stimulus, 10, 10) == S.FILLED
    partly = next_status(status, stimulus, 4, 10)
    assert partly not in (S.NEW, S.REJECTED)


@pytest.mark.parametrize(("status", "stimulus"), PAIRS)
def test_saying_it_twice_changes_nothing_more(status: OrderStatus, stimulus: Stimulus) -> None:
    once = make_order(status)
    merge(once, 0, stimulus, 0, 0, 1)
    twice = once.copy()
    merge(twice, 0, stimulus, 0, 0, 2)
    settles = {Stimulus.PROVEN_ABSENT, Stimulus.PROVEN_GONE}  # doubt first, then a verdict
    doubted = (status, stimulus) == (S.REJECTED, Stimulus.VENUE_PARTIALLY_FILLED)
    if stimulus not in settles and not doubted:
        assert twice["status"][0] == once["status"][0]


def test_totals_only_grow_and_never_pass_the_order() -> None:
    orders = make_order(S.NEW)
    merge(orders, 0, Stimulus.VENUE_PARTIALLY_FILLED, 6, 0, 1)
    merge(orders, 0, Stimulus.VENUE_PARTIALLY_FILLED, 4, 0, 2)
    assert orders["cum_qty_lots"][0] == 6
    merge(orders, 0, Stimulus.VENUE_PARTIALLY_FILLED, 99, 0, 3)
    assert (orders["cum_qty_lots"][0], orders["status"][0]) == (10, S.FILLED)


def test_a_closed_order_is_settled_only_with_all_its_fills() -> None:
    orders = make_order(S.NEW)
    merge(orders, 0, Stimulus.VENUE_FILLED, 10, 0, 1)
    assert not is_settled(orders, 0)
    assert reserved_lots(orders, 0) == 10
    merge(orders, 0, Stimulus.VENUE_FILLED, 10, 10, 2)
    assert is_settled(orders, 0)
    assert reserved_lots(orders, 0) == 0


def test_a_cancel_frees_what_was_not_filled() -> None:
    orders = make_order(S.PARTIALLY_FILLED, cum=4, filled=4)
    assert reserved_lots(orders, 0) == 6
    merge(orders, 0, Stimulus.VENUE_CANCELED, 4, 0, 1)
    assert reserved_lots(orders, 0) == 0


def test_a_fill_beyond_the_order_is_kept_because_the_venue_is_right() -> None:
    orders = make_order(S.PARTIALLY_FILLED, cum=8, filled=8)
    merge(orders, 0, Stimulus.VENUE_FILLED, 10, 5, 1)
    assert orders["filled_lots"][0] == orders["qty_lots"][0] == orders["cum_qty_lots"][0] == 13


def test_merge_says_whether_anything_changed() -> None:
    orders = make_order(S.PENDING_NEW)
    assert merge(orders, 0, Stimulus.VENUE_WORKING, 0, 0, 5)
    assert orders["changed_ns"][0] == 5
    assert not merge(orders, 0, Stimulus.VENUE_WORKING, 0, 0, 6)
    assert orders["changed_ns"][0] == 5


def test_a_reject_of_an_accepted_order_is_doubted_until_a_lookup_says_so() -> None:
    orders = make_order(S.NEW)
    for _ in range(3):
        merge(orders, 0, Stimulus.VENUE_REJECTED, 0, 0, 1)
        assert orders["status"][0] == S.UNKNOWN
    orders["query_count"] = 1
    merge(orders, 0, Stimulus.VENUE_REJECTED, 0, 0, 1)
    assert orders["status"][0] == S.REJECTED


def test_only_acceptance_acknowledges() -> None:
    orders = make_order(S.PENDING_NEW)
    merge(orders, 0, Stimulus.SENT, 0, 0, 1)
    merge(orders, 0, Stimulus.LOST, 0, 0, 2)
    assert orders["acknowledged"][0] == 0
    merge(orders, 0, Stimulus.VENUE_WORKING, 0, 0, 3)
    assert orders["acknowledged"][0] == 1


def test_every_venue_status_has_a_stimulus() -> None:
    assert len(STIMULUS_OF_STATUS) == len(OrderStatus)
    for status in CLOSED:
        after = TRANSITIONS[S.PENDING_NEW, STIMULUS_OF_STATUS[status]]
        assert after == status
