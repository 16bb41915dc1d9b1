"""Sizes and orders of opportunities: rounded down, at least the least, never above the most."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import EVENT_REDUCE_ONLY, OrderType, TimeInForce
from engine.domain.decide import create_room, create_state, events_least
from engine.domain.instrument import instrument_rows
from engine.domain.limits import RiskLimits
from engine.domain.market_state import MarketState, create_market_state
from engine.domain.opportunity import (
    OPPORTUNITIES_PER_RECORD_MAX,
    OPPORTUNITY_DTYPE,
    acted_already,
    entry_qty_lots,
    propose_entry,
    propose_exit,
)
from engine.domain.strategy_table import (
    STRATEGIES_MAX,
    STRATEGY_TABLE,
    StrategyKind,
    StrategyReason,
    StrategyRow,
)
from tests.builders import make_instrument, make_instruments

E8 = 100_000_000
PRICE = 600_000  # 60,000 at a tick of 0.1: one lot of 0.001 is 60 USDT


def rows(**changes: int) -> np.ndarray:
    return instrument_rows([make_instrument("BTCUSDT", **changes)])


def market_of(**parameters: float) -> MarketState:
    row = StrategyRow(
        name="under_test", kind=StrategyKind.QUOTE_IMBALANCE, notional=200.0, parameters=parameters
    )
    market = create_market_state(make_instruments(1), [row])
    market.hot["bid_price_ticks"][0] = PRICE - 1
    market.hot["ask_price_ticks"][0] = PRICE
    return market


def opportunities() -> np.ndarray:
    return np.zeros(OPPORTUNITIES_PER_RECORD_MAX, dtype=OPPORTUNITY_DTYPE)


def test_a_notional_is_rounded_down_to_lots() -> None:
    assert entry_qty_lots(rows(), 0, PRICE, 200 * E8) == 3
    assert entry_qty_lots(rows(), 0, PRICE, 180 * E8) == 3
    assert entry_qty_lots(rows(), 0, PRICE, 179 * E8) == 2


def test_a_small_notional_buys_the_least_the_venue_accepts() -> None:
    assert entry_qty_lots(rows(min_notional_e8=100 * E8), 0, PRICE, 10 * E8) == 2
    assert entry_qty_lots(rows(min_qty_lots=5), 0, PRICE, 10 * E8) == 5
    assert entry_qty_lots(rows(market_min_qty_lots=7), 0, PRICE, 10 * E8) == 7


def test_a_quantity_is_a_multiple_of_the_market_step() -> None:
    assert entry_qty_lots(rows(market_step_lots=2), 0, PRICE, 200 * E8) == 2
    least = rows(market_step_lots=4, min_notional_e8=100 * E8)
    assert entry_qty_lots(least, 0, PRICE, 10 * E8) == 4


def test_a_quantity_never_exceeds_the_largest_market_order() -> None:
    assert entry_qty_lots(rows(market_max_qty_lots=2), 0, PRICE, 10_000 * E8) == 2
    assert entry_qty_lots(rows(max_qty_lots=3), 0, PRICE, 10_000 * E8) == 3


@given(
    price=st.integers(1, 2_000),
    notional_e8=st.integers(0, 20_000),
    step=st.integers(0, 5),
    least=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    most=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    min_notional_e8=st.integers(0, 20_000),
)
def test_a_quantity_is_that_of_trying_every_number_of_lots(
    price: int,
    notional_e8: int,
    step: int,
    least: tuple[int, int],
    most: tuple[int, int],
    min_notional_e8: int,
) -> None:
    """The most that the notional pays of what the venue accepts, else the least it accepts."""
    row = rows()
    row["unit_e8"] = 1
    row["market_step_lots"] = step
    row["min_qty_lots"], row["market_min_qty_lots"] = least
    row["max_qty_lots"], row["market_max_qty_lots"] = most
    row["min_notional_e8"] = min_notional_e8
    accepted = [
        qty
        for qty in range(max(least), min(most) + 1)
        if qty % max(step, 1) == 0 and qty * price >= min_notional_e8
    ]
    paid = [qty for qty in accepted if qty * price <= notional_e8]
    expected = max(paid) if paid else min(accepted, default=0)
    assert entry_qty_lots(row, 0, price, notional_e8) == expected


def test_when_the_least_is_above_the_most_there_is_no_quantity() -> None:
    assert entry_qty_lots(rows(market_max_qty_lots=1, min_qty_lots=2), 0, PRICE, 200 * E8) == 0


@given(
    price=st.integers(1, 2_000_000),
    notional_e8=st.integers(1, 100_000 * E8),
    step=st.integers(1, 50),
    least=st.integers(1, 500),
    min_notional_e8=st.integers(0, 500 * E8),
)
def test_a_quantity_obeys_every_filter(
    price: int, notional_e8: int, step: int, least: int, min_notional_e8: int
) -> None:
    instruments = rows(market_step_lots=step, min_qty_lots=least, min_notional_e8=min_notional_e8)
    qty = entry_qty_lots(instruments, 0, price, notional_e8)
    lot_e8 = price * int(instruments["unit_e8"][0])
    assert qty % step == 0
    assert qty >= least
    assert qty * lot_e8 >= min_notional_e8
    smallest = max(least, -(-min_notional_e8 // lot_e8))
    within = qty * lot_e8 <= notional_e8
    assert within or qty < smallest + step, "above the notional only to reach the least"


def test_a_market_entry_has_no_price() -> None:
    found = opportunities()
    assert propose_entry(market_of(), found, 0, 0, 0, 1, int(StrategyReason.FLOW_SCORE)) == 1
    assert found["order_type"][0] == OrderType.MARKET
    assert found["price_ticks"][0] == 0
    assert found["flags"][0] == 0
    assert found["is_entry"][0] == 1
    assert found["qty_lots"][0] == 3


@pytest.mark.parametrize(("side", "price"), [(1, PRICE + 2), (-1, PRICE - 1 - 2)])
def test_a_limit_entry_goes_through_the_quote_and_rests_never(side: int, price: int) -> None:
    found = opportunities()
    propose_entry(market_of(limit_slip_ticks=2.0), found, 0, 0, 0, side, 1)
    assert found["order_type"][0] == OrderType.LIMIT
    assert found["time_in_force"][0] == TimeInForce.IOC
    assert found["price_ticks"][0] == price


@pytest.mark.parametrize("position", [5, -7])
def test_an_exit_closes_the_whole_position_and_can_only_reduce(position: int) -> None:
    found = opportunities()
    assert propose_exit(market_of(limit_slip_ticks=2.0), found, 0, 0, 0, position, 50) == 1
    assert found["side"][0] * position < 0
    assert found["qty_lots"][0] == abs(position)
    assert found["flags"][0] == EVENT_REDUCE_ONLY
    assert found["order_type"][0] == OrderType.MARKET
    assert found["is_entry"][0] == 0


def test_without_a_quote_there_is_no_entry() -> None:
    market = market_of()
    market.hot["ask_price_ticks"][0] = 0
    assert propose_entry(market, opportunities(), 0, 0, 0, 1, 1) == 0


def test_when_there_is_no_room_nothing_is_written() -> None:
    found = opportunities()
    full = OPPORTUNITIES_PER_RECORD_MAX
    assert propose_entry(market_of(), found, full, 0, 0, 1, 1) == full
    assert propose_exit(market_of(), found, full, 0, 0, 5, 50) == full
    assert (found["qty_lots"] == 0).all()


def test_what_one_record_causes_fits_what_a_step_hands_back() -> None:
    instruments = make_instruments(1)
    for count in (1, 16, STRATEGIES_MAX):
        rows = [msgspec.structs.replace(STRATEGY_TABLE[0], name=f"s{k}") for k in range(count)]
        state = create_state(instruments, rows, RiskLimits(), epoch=1)
        desk, out = state.desk, create_room(state)
        assert len(desk.opportunities) == min(count, OPPORTUNITIES_PER_RECORD_MAX)
        assert events_least(desk) <= len(out.events)
        assert len(desk.opportunities) < len(out.commands)


def test_a_strategy_acts_once_per_record() -> None:
    found = opportunities()
    found["strategy_index"][:3] = [4, 0, 2]
    assert acted_already(found, 3, 2)
    assert not acted_already(found, 2, 2), "rows beyond the count are of an earlier record"


def test_stop_and_target_are_distances_of_the_entry() -> None:
    market = market_of(stop_atr=1.5, take_atr=3.0)
    market.atr_ticks[0, 0] = 20.0
    propose_entry(market, opportunities(), 0, 0, 0, 1, 1)
    assert market.strategy_memory["stop_ticks"][0, 0] == 30.0
    assert market.strategy_memory["take_ticks"][0, 0] == 60.0
