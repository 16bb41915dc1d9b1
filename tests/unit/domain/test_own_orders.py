"""No trade with ourselves: entries and quotes wait, exits that only take clear their way."""

import numpy as np
import pytest

from engine.domain.codes import EVENT_POST_ONLY, EventType, OrderStatus, TimeInForce
from engine.domain.risk_reasons import RiskReason, reasons_of
from tests.desk_rig import ASK, BID, DeskRig, of_type, types

T = EventType
R = RiskReason
OFFERED = 50  # lots at either touch


def rigged(**resting: int) -> DeskRig:
    """Return a rig with one order of ours at the venue, of the first strategy."""
    rig = DeskRig()
    rig.connect()
    rig.desk.hot["bid_qty_lots"] = rig.desk.hot["ask_qty_lots"] = OFFERED
    if resting:
        rig.update(rig.order(**resting), OrderStatus.NEW)
    return rig


def quote(price: int, side: int = -1, **options: int) -> dict[str, int]:
    return {"side": side, "price": price, "flags": EVENT_POST_ONLY, **options}


def refused(rig: DeskRig, **order: int) -> tuple[RiskReason, ...]:
    """Return which gates refuse an order of the second strategy."""
    events = rig.propose(s=1, **order)
    return reasons_of(int(events[0]["refusal_mask"]))


@pytest.mark.parametrize(
    ("resting", "order", "meets"),
    [
        (quote(ASK), {"side": 1}, True),  # at the touch, a market order takes it there
        (quote(ASK + 1), {"side": 1}, False),  # behind it, and the touch offers all
        (quote(ASK + 1), {"side": 1, "qty": OFFERED + 1}, True),  # a spread further
        (quote(ASK + 2), {"side": 1, "qty": OFFERED + 1}, False),
        (quote(ASK + 10), {"side": 1, "qty": 500 * OFFERED}, True),
        (quote(ASK + 11), {"side": 1, "qty": 500 * OFFERED}, False),  # ten spreads at most
        (quote(ASK + 5), {"side": 1, "price": ASK + 5}, True),
        (quote(ASK + 5), {"side": 1, "price": ASK + 4}, False),
        (quote(ASK + 5), {"side": 1, "price": ASK + 5, "tif": TimeInForce.IOC}, True),
        (quote(BID, 1), {"side": -1}, True),
        (quote(BID - 1, 1), {"side": -1}, False),
        (quote(BID - 1, 1), {"side": -1, "qty": OFFERED + 1}, True),
        (quote(BID - 5, 1), {"side": -1, "price": BID - 5}, True),
        (quote(BID - 5, 1), {"side": -1, "price": BID - 4}, False),
        (quote(ASK), {"side": -1}, False),  # the same side
        (quote(ASK, i=1), {"side": 1}, False),  # another instrument
        ({"side": -1, "price": ASK}, {"side": 1}, True),  # rests, though not post-only
        ({"side": -1, "price": ASK, "tif": TimeInForce.GTD}, {"side": 1}, True),  # until its date
        ({"side": -1}, {"side": 1, "price": BID, "tif": TimeInForce.GTD}, True),
        ({"side": -1, "price": ASK, "tif": TimeInForce.IOC}, {"side": 1}, False),  # never rests
        ({"side": -1}, {"side": 1}, False),  # two that take
        (quote(ASK), quote(ASK, 1), False),  # two that rest
        ({"side": -1}, quote(BID, 1), True),  # a taker in flight may come behind the quote
        ({"side": -1, "price": BID, "tif": TimeInForce.IOC}, quote(BID, 1), True),
        ({"side": -1, "price": BID + 1, "tif": TimeInForce.IOC}, quote(BID, 1), False),
    ],
)  # fmt: skip
def test_an_entry_is_refused_that_could_trade_with_an_order_of_ours(
    resting: dict[str, int], order: dict[str, int], *, meets: bool
) -> None:
    assert refused(rigged(**resting), **order) == ((R.SELF_TRADE,) if meets else ())


def test_without_a_quote_any_price_may_be_reached() -> None:
    rig = rigged(**quote(ASK + 400))
    rig.desk.hot["ask_price_ticks"][0] = 0
    assert R.SELF_TRADE in refused(rig, side=1)


@pytest.mark.parametrize("end", [OrderStatus.CANCELED, OrderStatus.EXPIRED])
def test_what_is_over_is_in_nobodys_way(end: OrderStatus) -> None:
    rig = rigged(**quote(ASK))
    rig.update(1, end)
    assert refused(rig, side=1) == ()


@pytest.mark.parametrize(("before", "asked"), [(ASK + 5, ASK), (ASK, ASK + 5)])
def test_either_price_of_an_amendment_under_way_is_in_the_way(before: int, asked: int) -> None:
    rig = rigged(**quote(before))
    rows = np.flatnonzero(rig.desk.orders["price_ticks"] == before)
    rig.desk.orders["amended_ticks"][rows] = asked
    assert refused(rig, side=1) == (R.SELF_TRADE,)


def test_what_is_in_doubt_still_is() -> None:
    rig = rigged()
    order = rig.order(**quote(ASK))
    rig.report(T.ORDER_UNKNOWN, order_sequence=order, epoch_low=1)
    assert refused(rig, side=1) == (R.ORDER_UNKNOWN, R.SELF_TRADE)


def holding(rig: DeskRig, side: int = -1) -> DeskRig:
    """Let the second strategy hold ten lots."""
    order = rig.order(side, 10, s=1)
    rig.fill(order, 90 + order, 10, ASK, side=side, order_status=4, cum_qty_lots=10)
    return rig


def test_an_exit_goes_and_has_what_rests_in_its_way_withdrawn() -> None:
    rig = holding(rigged())
    near = rig.order(**quote(ASK, s=0))
    far = rig.order(**quote(ASK + 400, s=0))
    for number in (near, far):
        rig.update(number, OrderStatus.NEW)
    assert types(rig.propose(1, 10, s=1, entry=False)) == [T.SIGNAL_GENERATED, T.ORDER_REQUEST]
    cancels = of_type(rig.step(), T.COMMAND_CANCEL)
    assert cancels["order_sequence"].tolist() == [near]


@pytest.mark.parametrize("flags", [0, EVENT_POST_ONLY])
def test_an_exit_that_rests_waits_like_an_entry(flags: int) -> None:
    rig = holding(rigged(), side=1)
    rig.order(1, 10, s=0)
    events = rig.propose(-1, 10, s=1, entry=False, price=ASK, flags=flags)
    assert reasons_of(int(events[0]["refusal_mask"])) == (R.SELF_TRADE,)
