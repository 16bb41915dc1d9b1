"""A person's order with a date: told in the record, refused by a sentence, answered again."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from engine.domain.codes import EVENT_QUESTION, TimeInForce
from engine.processes.outside_orders import OTHER_USE, OutsideOrders
from engine.web.bodies import OrderBody
from tests.unit.main.test_outside_orders import (
    DATE_MS,
    DATED,
    EPOCH,
    ORDER,
    Brain,
    accept,
    orders_of,
    repeat,
)

NEAR_S = 600


@pytest.fixture
def brain() -> Iterator[Brain]:
    made = Brain()
    yield made
    made.close()


def orders_at(brain: Brain, now_ms: int) -> OutsideOrders:
    """Return the way in on a machine whose clock stands."""
    return orders_of(brain, wall_ns=lambda: now_ms * 1_000_000)


def dated(**words: object) -> OrderBody:
    """Return an order that rests until its date."""
    said = {"symbol": "BTCUSDT", "side": "buy", "quantity": "0.01", "request_id": "r1"}
    return msgspec.convert({**said, **DATED, **words}, OrderBody)


def test_a_date_is_in_the_record(brain: Brain) -> None:
    told = orders_at(brain, DATE_MS - NEAR_S * 1_000 - 1).submit(dated(), "ana")
    assert told.status == 200
    assert told.effect.endswith("; good till 2027-01-15T08:00:00Z")
    (record,) = brain.seen
    assert record["time_in_force"] == TimeInForce.GTD
    assert record["good_till_ms"] == DATE_MS
    assert not record["flags"] & EVENT_QUESTION
    again = orders_of(brain).submit(ORDER, "ana")
    assert (again.status, brain.seen[-1]["good_till_ms"]) == (200, 0)


@pytest.mark.parametrize(
    ("ahead_ms", "why"),
    [
        (NEAR_S * 1_000, "good till 2027-01-15T08:00:00Z is too near"),
        (1, "is too near: the venue takes dates over 600 s ahead"),
        (0, "good till 2027-01-15T08:00:00Z is in the past"),
        (-5, "is in the past"),
    ],
)
def test_a_date_the_venue_would_not_take_is_refused(brain: Brain, ahead_ms: int, why: str) -> None:
    brain.answer = lambda _: None  # nothing is known of it
    orders = orders_at(brain, DATE_MS - ahead_ms)
    told = orders.submit(dated(), "ana")
    assert (told.status, why in told.effect) == (400, True), told
    assert brain.seen[-1]["flags"] & EVENT_QUESTION, "no order can come of it"
    assert orders.check(dated(), "ana").effect == told.effect
    assert len(brain.seen) == 1
    brain.answer = accept
    later = dated(good_till_ms=DATE_MS + 3_600_000)
    assert orders.submit(later, "ana").status == 200, "the id is not used up"


def test_who_asks_again_is_answered_when_the_date_has_come_near(brain: Brain) -> None:
    brain.answer = repeat
    told = orders_at(brain, DATE_MS - 1).submit(dated(), "ana")
    assert (told.status, told.order, told.is_known) == (200, f"{EPOCH - 3}-7", True)


def test_another_date_is_another_order(brain: Brain) -> None:
    orders = orders_at(brain, DATE_MS - 3_600_000)
    assert orders.submit(dated(), "ana").status == 200
    other = orders.submit(dated(good_till_ms=DATE_MS + 1_000), "ana")
    assert (other.status, other.effect) == (409, OTHER_USE)
    assert orders.submit(dated(), "ana").status == 200
    assert len(brain.seen) == 2
