"""What a size is judged with: the order, what is open, what is somebody else's."""

import pytest

from engine.domain.codes import EventType
from engine.domain.limits import RiskLimits
from engine.domain.risk_reasons import RiskReason, reasons_of
from tests.desk_rig import GENEROUS, DeskRig, make_event

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
