"""What a size is judged with, and each limit at its very edge."""

from collections.abc import Callable

import numpy as np
import pytest

from engine.domain.codes import EventType
from engine.domain.limits import RiskLimits
from engine.domain.risk_reasons import RiskReason, reasons_of
from tests.desk_rig import GENEROUS, MS, DeskRig, S, make_event

R = RiskReason
T = EventType
LOT = 65.0  # about what a lot of the rig's instrument is worth


def connected(**changes: float) -> DeskRig:
    rig = DeskRig(RiskLimits(**(GENEROUS._asdict() | changes)))
    rig.connect()
    return rig


def with_foreign(rig: DeskRig, side: int, qty_lots: int) -> DeskRig:
    """Let somebody else's order rest on the account."""
    rig.control(T.CONTROL_RECONCILE)
    words = {"qty_lots": qty_lots, "order_status": 2, "venue_order_id": 5}
    rig.fetch(extra=[make_event(T.VENUE_ORDER, side=side, **words)])
    return rig


def refused_by(rig: DeskRig, side: int, qty_lots: int) -> tuple[RiskReason, ...]:
    return tuple(reasons_of(int(rig.propose(side, qty_lots)[1]["refusal_mask"])))


def test_open_orders_count_as_if_they_had_filled() -> None:
    rig = connected(position_qty_max=0.025)
    rig.order(1, 10)
    rig.order(1, 10)
    assert refused_by(rig, 1, 10) == (R.POSITION_QTY,)
    rig.order(-1, 20, s=1)
    rig.order(1, 5)


def test_a_quantity_exactly_at_its_limit_passes() -> None:
    connected(order_qty_max=0.010, position_qty_max=0.010).order(1, 10)


@pytest.mark.parametrize("side", [1, -1])
def test_foreign_orders_count_into_the_position(side: int) -> None:
    rig = with_foreign(connected(position_qty_max=0.025), side, 20)
    assert refused_by(rig, side, 10) == (R.POSITION_QTY,)


def test_what_the_account_may_reach_counts_the_worse_side_of_an_instrument() -> None:
    """An order against what rests there makes the worst case of the account no better."""
    rig = with_foreign(connected(total_notional_max=30 * LOT), 1, 40)
    assert refused_by(rig, -1, 10) == (R.TOTAL_NOTIONAL,)
    connected(total_notional_max=30 * LOT).order(-1, 10)


def worth_e8(lots: int) -> int:
    """Return what an order at market for so many lots is worth."""
    rig = connected()
    rig.order(1, 1)
    return lots * int(rig.desk.draft["lot_notional_e8"][0])


Limit = Callable[[DeskRig], "tuple[np.ndarray, str, int]"]
NOTIONALS: dict[RiskReason, Limit] = {
    R.ORDER_NOTIONAL: lambda rig: (rig.desk.instrument_limits, "order_notional_e8_max", 0),
    R.POSITION_NOTIONAL: lambda rig: (rig.desk.instrument_limits, "position_notional_e8_max", 0),
    R.TOTAL_NOTIONAL: lambda rig: (rig.desk.limits, "total_notional_e8_max", 0),
    R.VENUE_TOTAL_NOTIONAL: lambda rig: (rig.desk.bounds, "position_e8_max", -1),
}


@pytest.mark.parametrize("gate", NOTIONALS)
def test_money_exactly_at_its_limit_passes_and_the_least_more_is_refused(gate: RiskReason) -> None:
    for less_e8, gates in ((0, ()), (1, (gate,))):
        rig = connected()
        table, name, place = NOTIONALS[gate](rig)
        table[name][place] = worth_e8(10) - less_e8
        assert refused_by(rig, 1, 10) == gates


@pytest.mark.parametrize(("age_ns", "gates"), [(5 * S, ()), (5 * S + 1, (R.PRICE_AGE,))])
def test_a_quote_as_old_as_it_may_be_passes(age_ns: int, gates: tuple[RiskReason, ...]) -> None:
    rig = connected(price_age_ms=5_000)
    rig.quote()
    rig.now_ns += age_ns
    assert refused_by(rig, 1, 10) == gates


@pytest.mark.parametrize(("age_ns", "gates"), [(100 * MS, ()), (100 * MS + 1, (R.DECISION_AGE,))])
def test_a_decision_as_late_as_it_may_be_passes(age_ns: int, gates: tuple[RiskReason, ...]) -> None:
    rig = connected(decision_latency_ms=100)
    event = rig.propose(1, 10, cause_age_ns=age_ns)[1]
    assert tuple(reasons_of(int(event["refusal_mask"]))) == gates


@pytest.mark.parametrize(("price", "gates"), [(101_000, ()), (101_001, (R.PRICE_COLLAR,))])
@pytest.mark.parametrize("side", [1, -1])
def test_a_price_exactly_at_the_collar_passes(
    price: int, gates: tuple[RiskReason, ...], side: int
) -> None:
    rig = connected(price_collar_bps=100)
    rig.quote(bid=99_999, ask=100_001)
    event = rig.propose(side, 10, price=price if side > 0 else 200_000 - price)[1]
    assert tuple(reasons_of(int(event["refusal_mask"]))) == gates


@pytest.mark.parametrize(("left_ns", "gates"), [(0, ()), (1, (R.INSTRUMENT_STATUS,))])
def test_an_instrument_is_closed_until_the_moment_it_opens(
    left_ns: int, gates: tuple[RiskReason, ...]
) -> None:
    rig = connected()
    rig.desk.ledger["closed_until_ns"][0] = rig.now_ns + left_ns
    assert refused_by(rig, 1, 10) == gates
