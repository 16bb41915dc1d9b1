"""FILTER records: bounds that change in a run, and entries withdrawn where an instrument closes."""

import numpy as np
import pytest

from engine.domain.codes import EventType, OrderStatus, RecordType
from engine.domain.firewall_reasons import FirewallReason as R
from engine.domain.instrument_row import (
    FILTER_FIELDS,
    FILTER_OFFSETS,
    NO_BOUND,
    InstrumentFlag,
)
from engine.domain.market_state import MarketState, create_market_state
from engine.domain.risk_reasons import RiskReason
from engine.domain.strategy_table import select_rows
from tests.builders import make_instruments, make_record
from tests.desk_rig import BID, DeskRig, of_type
from tests.unit.domain.test_firewall_lanes import feed

ZERO_ALLOWED = frozenset(
    {
        "flags",
        "min_notional_e8",
        "multiplier_up_e8",
        "multiplier_down_e8",
        "max_open_orders",
        "open_interest_lots",
        "news",
    }
)
CLOSED = int(InstrumentFlag.PERPETUAL)
OPEN = CLOSED | int(InstrumentFlag.TRADING)


def make_filter(field: str, number: int, index: int = 0) -> np.ndarray:
    return make_record(
        RecordType.FILTER,
        aux=FILTER_OFFSETS[field],
        instrument_index=index,
        filter_number=number,
    )


@pytest.fixture
def market() -> MarketState:
    return create_market_state(make_instruments(2), select_rows(["quote_imbalance"]))


@pytest.mark.parametrize("field", FILTER_FIELDS)
def test_a_bound_is_taken_over_for_its_instrument_alone(market: MarketState, field: str) -> None:
    before = market.instruments.copy()
    assert feed(market, make_filter(field, 3, index=1)) == [R.NONE]
    assert market.instruments[field][1] == 3
    market.instruments[field][1] = before[field][1]
    np.testing.assert_array_equal(market.instruments, before)


@pytest.mark.parametrize("field", FILTER_FIELDS)
def test_what_is_no_number_for_a_bound_is_refused(market: MarketState, field: str) -> None:
    before = market.instruments.copy()
    assert feed(market, make_filter(field, -1)) == [R.NUMBER_RANGE]
    zero = feed(market, make_filter(field, 0))
    assert zero == [R.NONE if field in ZERO_ALLOWED else R.NUMBER_RANGE]
    if field not in ZERO_ALLOWED:
        np.testing.assert_array_equal(market.instruments, before)


@pytest.mark.parametrize(
    ("field", "number"), [("flags", 8), ("max_open_orders", 1 << 31), ("news", 5)]
)
def test_a_number_its_field_cannot_hold_is_refused(
    market: MarketState, field: str, number: int
) -> None:
    assert feed(market, make_filter(field, number)) == [R.NUMBER_RANGE]


@pytest.mark.parametrize("offset", [0, 24, 72, 80, 168, 176, 208, 255, -1, 1 << 20])
def test_the_grid_and_the_rest_of_the_row_cannot_be_written(
    market: MarketState, offset: int
) -> None:
    before = market.instruments.copy()
    record = make_record(RecordType.FILTER, aux=offset, filter_number=1)
    assert feed(market, record) == [R.NUMBER_RANGE]
    np.testing.assert_array_equal(market.instruments, before)


def test_no_bound_is_a_number_too(market: MarketState) -> None:
    assert feed(market, make_filter("max_qty_lots", NO_BOUND)) == [R.NONE]


# ---- what the order side makes of it


@pytest.fixture
def rig() -> DeskRig:
    rig = DeskRig()
    rig.connect()
    return rig


def cancels(rig: DeskRig) -> list[int]:
    return of_type(rig.all_commands(), EventType.COMMAND_CANCEL)["order_sequence"].tolist()


def test_resting_entries_leave_the_venue_when_their_instrument_closes(rig: DeskRig) -> None:
    here = rig.order(1, 10, price=BID)
    there = rig.order(1, 10, price=BID, i=1)
    for order in (here, there):
        rig.update(order, OrderStatus.NEW)
    rig.desk.instruments["flags"][0] = CLOSED
    rig.wait(0.2)
    assert cancels(rig) == [here]
    rig.update(here, OrderStatus.CANCELED)
    rig.wait(0.5)
    assert cancels(rig) == [here], "once"
    assert rig.status(there) == OrderStatus.NEW


def test_an_instrument_that_is_closed_is_left_but_not_entered(rig: DeskRig) -> None:
    entry = rig.order(1, 10)
    rig.fill(entry, 1, 10)
    rig.desk.instruments["flags"][0] = CLOSED
    refused = rig.refusals(RiskReason.INSTRUMENT_STATUS)
    rig.propose(1, 10)
    assert rig.refusals(RiskReason.INSTRUMENT_STATUS) == refused + 1
    exit_order = rig.order(-1, 10, price=BID + 50, entry=False)
    rig.update(exit_order, OrderStatus.NEW)
    rig.wait(0.5)
    assert cancels(rig) == []
    assert rig.status(exit_order) == OrderStatus.NEW
    rig.desk.instruments["flags"][0] = OPEN
    rig.propose(1, 10)
    assert rig.refusals(RiskReason.INSTRUMENT_STATUS) == refused + 1
