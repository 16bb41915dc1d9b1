"""Positions in exact integers, against the same in unbounded Python arithmetic."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.limits import LOTS_MAX, UNBOUNDED
from engine.domain.position import (
    COST_MAX,
    HALF_LOTS_MAX,
    POSITION_DTYPE,
    apply_fill,
    fill_fits,
    marked_value,
    notional,
    share,
)

UNIT = 10_000
FILLS = st.lists(
    st.tuples(st.sampled_from([-1, 1]), st.integers(1, 50_000), st.integers(1, 2_000_000)),
    min_size=1,
    max_size=40,
)


def played(fills: list[tuple[int, int, int]]) -> np.ndarray:
    positions = np.zeros((1, 1), dtype=POSITION_DTYPE)
    for number, (side, qty, price) in enumerate(fills):
        apply_fill(positions, 0, 0, side, qty, price, UNIT, number + 1)
    return positions


@given(FILLS)
def test_lots_are_the_signed_sum_of_fills(fills: list[tuple[int, int, int]]) -> None:
    positions = played(fills)
    assert positions["lots"][0, 0] == sum(side * qty for side, qty, _ in fills)
    assert positions["fill_count"][0, 0] == len(fills)


@given(FILLS)
def test_realised_minus_cost_is_the_money_that_changed_hands(
    fills: list[tuple[int, int, int]],
) -> None:
    positions = played(fills)
    flow = -sum(side * qty * price * UNIT for side, qty, price in fills)
    assert positions["realised_e8"][0, 0] - positions["cost_e8"][0, 0] == flow


@given(FILLS)
def test_a_flat_position_costs_nothing(fills: list[tuple[int, int, int]]) -> None:
    lots = sum(side * qty for side, qty, _ in fills)
    if lots:
        fills = [*fills, (-1 if lots > 0 else 1, abs(lots), 1000)]
    positions = played(fills)
    assert positions["lots"][0, 0] == 0
    assert positions["cost_e8"][0, 0] == 0


@given(FILLS)
def test_cost_has_the_sign_of_the_position(fills: list[tuple[int, int, int]]) -> None:
    positions = played(fills)
    lots, cost = int(positions["lots"][0, 0]), int(positions["cost_e8"][0, 0])
    assert (lots > 0) == (cost > 0)
    assert (lots < 0) == (cost < 0)


@given(FILLS)
def test_cost_is_the_average_cost_to_within_a_unit_per_fill(
    fills: list[tuple[int, int, int]],
) -> None:
    lots, cost = 0, Fraction(0)
    for side, qty, price in fills:
        closed = min(abs(lots), qty) if lots * side < 0 else 0
        if closed:
            cost -= cost * closed / abs(lots)
        cost += side * (qty - closed) * price * UNIT
        lots += side * qty
    assert abs(int(played(fills)["cost_e8"][0, 0]) - cost) <= len(fills)


@given(FILLS, st.integers(2, 4_000_000))
def test_equity_is_cash_plus_position_at_any_mark(
    fills: list[tuple[int, int, int]], half_ticks: int
) -> None:
    positions = played(fills)
    lots, cost = int(positions["lots"][0, 0]), int(positions["cost_e8"][0, 0])
    realised = int(positions["realised_e8"][0, 0])
    value = marked_value(lots, half_ticks, UNIT)
    flow = -sum(side * qty * price * UNIT for side, qty, price in fills)
    assert realised + (value - cost) == flow + value
    assert value == lots * half_ticks * UNIT // 2


@given(st.integers(-COST_MAX, COST_MAX), st.integers(1, LOTS_MAX), st.data())
def test_a_share_is_exact_and_rounds_towards_zero(
    whole: int, whole_lots: int, data: st.DataObject
) -> None:
    part = data.draw(st.integers(1, whole_lots))
    exact = Fraction(abs(whole) * part, whole_lots)
    expected = int(exact) if whole >= 0 else -int(exact)
    assert share(whole, part, whole_lots) == expected
    assert share(whole, whole_lots, whole_lots) == whole


@given(st.integers(0, 2**62), st.integers(0, 2**40), st.integers(1, 2**40))
def test_a_notional_is_exact_or_refused_by_every_limit(price: int, qty: int, unit: int) -> None:
    worth = notional(price, qty, unit)
    assert worth == UNBOUNDED or worth == price * qty * unit
    if price > 0 and price * qty * unit < COST_MAX // 2:
        assert worth == price * qty * unit


@given(
    st.integers(-HALF_LOTS_MAX, HALF_LOTS_MAX),
    st.integers(-COST_MAX, COST_MAX),
    st.sampled_from([-1, 1]),
    st.integers(1, HALF_LOTS_MAX),
    st.integers(1, 2**40),
)
def test_a_fill_that_fits_cannot_leave_the_integers(
    lots: int, cost: int, side: int, qty: int, price: int
) -> None:
    positions = np.zeros((1, 1), dtype=POSITION_DTYPE)
    positions["lots"], positions["cost_e8"] = lots, abs(cost) if lots >= 0 else -abs(cost)
    if lots == 0:
        positions["cost_e8"] = 0
    before = int(positions["cost_e8"][0, 0])
    if not fill_fits(positions, 0, 0, price, qty, UNIT):
        return
    realised = apply_fill(positions, 0, 0, side, qty, price, UNIT, 1)
    after = int(positions["cost_e8"][0, 0])
    assert int(positions["lots"][0, 0]) == lots + side * qty
    assert int(realised) - after == -before - side * qty * price * UNIT


def test_what_does_not_fit_is_refused() -> None:
    positions = np.zeros((1, 1), dtype=POSITION_DTYPE)
    assert fill_fits(positions, 0, 0, 618_000, 10, UNIT)
    assert not fill_fits(positions, 0, 0, 0, 10, UNIT)
    assert not fill_fits(positions, 0, 0, 618_000, 0, UNIT)
    assert not fill_fits(positions, 0, 0, 618_000, HALF_LOTS_MAX + 1, UNIT)
    assert not fill_fits(positions, 0, 0, 2**62, 2**20, UNIT)
    positions["lots"] = HALF_LOTS_MAX + 1
    assert not fill_fits(positions, 0, 0, 618_000, 10, UNIT)


def test_a_round_trip_by_hand() -> None:
    positions = played([(1, 10, 100), (1, 10, 110), (-1, 5, 120)])
    assert positions["cost_e8"][0, 0] == 15 * 105 * UNIT
    assert positions["realised_e8"][0, 0] == 5 * (120 - 105) * UNIT
    assert positions["entry_time_ns"][0, 0] == 1
    positions = played([(1, 10, 100), (-1, 15, 90)])
    assert positions["lots"][0, 0] == -5
    assert positions["cost_e8"][0, 0] == -5 * 90 * UNIT
    assert positions["realised_e8"][0, 0] == -10 * 10 * UNIT
    assert positions["entry_time_ns"][0, 0] == 2
