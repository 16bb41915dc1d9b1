"""A trailing stop's callback rate: its distance as a share of the price, in the venue's steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import OrderType
from engine.venues.binance.conditional import (
    CALLBACK_TENTHS_MAX,
    TENTHS,
    callback_tenths,
    trigger_of,
)
from engine.venues.order_records import Command
from tests.builders import make_instrument

NUMBERS = dict.fromkeys(Command._fields, 0) | {"client_order_id": ""}


def trailing(mid_half: int, price: int) -> Command:
    fields = {"order_type": OrderType.TRAILING_STOP_MARKET, "price_ticks": price}
    return Command(**(NUMBERS | fields | {"mid_half_ticks": mid_half}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mid_half", "price", "expected"),
    [
        (20_000, 9_990, 1),
        (20_000, 9_989, 2),
        (20_000, 10_010, 1),
        (20_000, 10_011, 2),
        (20_000, 9_999, 1),
        (20_000, 8_000, CALLBACK_TENTHS_MAX),
        (20_000, 12_000, CALLBACK_TENTHS_MAX),
        (20_000, 7_999, 0),
        (20_000, 12_001, 0),
        (20_000, 10_000, 0),
        (0, 10_000, 0),
    ],
)
def test_it_is_rounded_away_from_the_position(mid_half: int, price: int, expected: int) -> None:
    assert callback_tenths(trailing(mid_half, price)) == expected


@given(st.integers(2, 2**40), st.integers(1, 2**40))
def test_it_is_the_least_that_reaches_as_far(mid_half: int, price: int) -> None:
    tenths = callback_tenths(trailing(mid_half, price))
    distance = abs(2 * price - mid_half) * TENTHS
    if tenths == 0:
        assert distance == 0 or distance > CALLBACK_TENTHS_MAX * mid_half
    else:
        assert (tenths - 1) * mid_half < distance <= tenths * mid_half


def test_a_request_says_a_rate_or_a_price() -> None:
    instrument = make_instrument()
    rate = trailing(20_000, 9_900)
    assert trigger_of(rate, instrument) == {"callbackRate": "1.0"}
    assert trigger_of(trailing(20_000, 9_990), instrument) == {"callbackRate": "0.1"}
    stop = rate._replace(order_type=OrderType.STOP_MARKET)
    assert trigger_of(stop, instrument) == {"triggerPrice": instrument.price_text(9_900)}
