"""User-data events, as reports. One decoder over all event types; unknown types are ignored.

ORDER_TRADE_UPDATE   a fill (x TRADE or CALCULATED, with a trade id): FILL; else ORDER_UPDATE
ACCOUNT_UPDATE       reason FUNDING_FEE: one FUNDING per asset, without a number: announced, and
                     booked when the venue's income rows are read (`engine.venues.binance.funding`)
ALGO_UPDATE          a conditional order at its desk: ORDER_UPDATE without a number of the venue;
                     once it has become an order: the name that order goes by
listenKeyExpired     `expired`: the stream is dead, make a new key and reconcile
TRADE_LITE           ignored: the same trade follows with its fee
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from engine.domain.codes import (
    EVENT_POST_ONLY,
    EVENT_REDUCE_ONLY,
    EventType,
    Liquidity,
    OrderStatus,
    Side,
)
from engine.venues.binance.order_views import (
    ALGO_STATUS,
    NS_PER_MS,
    ORDER_TYPE,
    SIDE,
    STATUS,
    TIME_IN_FORCE,
    AccountReader,
    AlgoView,
    money_e8,
    price_ticks,
    qty_lots,
)
from engine.venues.order_records import Report
from engine.venues.venue import ProtocolError

EXECUTION_FILL: Final = frozenset({"TRADE", "CALCULATED"})
# What the desk tells of a conditional order that is told by what it has become.
ALGO_BECOMES: Final = frozenset({"TRIGGERED", "FINISHED"})


class OrderBody(msgspec.Struct, frozen=True):
    """`o` of ORDER_TRADE_UPDATE."""

    s: str
    c: str
    S: str
    o: str
    x: str
    X: str
    i: int
    T: int
    f: str = "GTC"
    q: str = "0"
    p: str = "0"
    l: str = "0"  # noqa: E741  the venue's spelling
    L: str = "0"
    z: str = "0"
    N: str = ""
    n: str = "0"
    t: int = 0
    m: bool = False
    R: bool = False
    rp: str = "0"


class BalanceBody(msgspec.Struct, frozen=True):
    """A row of `a.B` of ACCOUNT_UPDATE."""

    a: str
    wb: str
    bc: str = "0"


class PositionBody(msgspec.Struct, frozen=True):
    """A row of `a.P` of ACCOUNT_UPDATE."""

    s: str
    pa: str


class AccountBody(msgspec.Struct, frozen=True):
    """`a` of ACCOUNT_UPDATE."""

    m: str
    B: list[BalanceBody] = []
    P: list[PositionBody] = []


class AlgoBody(msgspec.Struct, frozen=True):
    """`o` of ALGO_UPDATE."""

    s: str = ""
    caid: str = ""
    aid: int = 0
    S: str = ""
    o: str = ""
    X: str = ""
    q: str = "0"
    tp: str = "0"
    ai: str = ""
    cp: bool = False
    R: bool = False


class Head(msgspec.Struct, frozen=True):
    """What every event has; `data` holds the event itself in the combined form of a stream."""

    e: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


class OrderEvent(msgspec.Struct, frozen=True):
    """ORDER_TRADE_UPDATE."""

    o: OrderBody


class AlgoEvent(msgspec.Struct, frozen=True):
    """ALGO_UPDATE."""

    o: AlgoBody
    T: int = 0


class AccountEvent(msgspec.Struct, frozen=True):
    """ACCOUNT_UPDATE."""

    a: AccountBody
    E: int


class Child(NamedTuple):
    """An order that a conditional order has become: it goes by that one's name."""

    symbol: str
    venue_order_id: int
    client_order_id: str


class UserEvents(msgspec.Struct, frozen=True):
    """What one frame said."""

    reports: tuple[Report, ...] = ()
    child: Child | None = None
    expired: bool = False
    ignored: bool = False


_HEAD: Final = msgspec.json.Decoder(Head)
_ORDER: Final = msgspec.json.Decoder(OrderEvent)
_ALGO: Final = msgspec.json.Decoder(AlgoEvent)
_ACCOUNT: Final = msgspec.json.Decoder(AccountEvent)


def decode_user_frame(frame: bytes | msgspec.Raw, reader: AccountReader) -> UserEvents:
    """Return the reports of one frame.

    Raises:
        ProtocolError: the frame does not decode, or a number in it is not of its instrument.
    """
    try:
        return _decode(frame, reader)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolError(f"unreadable user event: {error}: {bytes(frame)[:120]!r}") from error


def _decode(frame: bytes | msgspec.Raw, reader: AccountReader) -> UserEvents:
    head = _HEAD.decode(frame)
    if not head.e and bytes(head.data):
        frame = head.data
        head = _HEAD.decode(frame)
    if head.e == "ORDER_TRADE_UPDATE":
        report = order_report(_ORDER.decode(frame).o, reader)
        return UserEvents((report,)) if report else UserEvents(ignored=True)
    if head.e == "ACCOUNT_UPDATE":
        event = _ACCOUNT.decode(frame)
        if event.a.m == "FUNDING_FEE":
            return UserEvents(_funding_reports(event.a, event.E, reader))
    if head.e == "ALGO_UPDATE":
        return algo_events(_ALGO.decode(frame), reader)
    if head.e == "listenKeyExpired":
        return UserEvents(expired=True)
    return UserEvents(ignored=True)


def order_report(body: OrderBody, reader: AccountReader) -> Report | None:
    """Return what one change of an order means; None for a symbol we do not trade.

    Raises:
        ProtocolError: a number in it is not of its instrument.
    """
    instrument = reader.instrument(body.s)
    if instrument is None:
        return None
    is_fill = body.x in EXECUTION_FILL and body.t > 0
    report = Report(
        EventType.FILL if is_fill else EventType.ORDER_UPDATE,
        instrument.instrument_index,
        venue_time_ns=body.T * NS_PER_MS,
        flags=(EVENT_REDUCE_ONLY if body.R else 0) | (EVENT_POST_ONLY if body.f == "GTX" else 0),
        side=SIDE.get(body.S, Side.NONE),
        order_type=ORDER_TYPE.get(body.o, 0),
        time_in_force=TIME_IN_FORCE.get(body.f, 0),
        order_status=STATUS.get(body.X, OrderStatus.UNKNOWN),
        price_ticks=price_ticks(instrument, body.p),
        qty_lots=qty_lots(instrument, body.q),
        cum_qty_lots=qty_lots(instrument, body.z),
        venue_order_id=body.i,
    )
    if is_fill:
        report = report._replace(
            last_price_ticks=price_ticks(instrument, body.L),
            last_qty_lots=qty_lots(instrument, body.l),
            trade_id=body.t,
            fee_e8=reader.fee_e8(instrument, body.n, body.N),
            venue_realised_pnl_e8=money_e8(body.rp),
            liquidity=Liquidity.MAKER if body.m else Liquidity.TAKER,
        )
    return reader.named(report, body.c)


def algo_events(event: AlgoEvent, reader: AccountReader) -> UserEvents:
    """Return what one change of a conditional order means.

    Raises:
        ProtocolError: a number in it is not of its instrument.
    """
    body = event.o
    view = AlgoView(
        symbol=body.s,
        clientAlgoId=body.caid,
        side=body.S,
        orderType=body.o,
        algoStatus=body.X,
        quantity=body.q,
        triggerPrice=body.tp,
        actualOrderId=body.ai,
        closePosition=body.cp,
        reduceOnly=body.R,
        updateTime=event.T,
    )
    if view.child_id > 0:
        return UserEvents(child=Child(body.s, view.child_id, body.caid))
    if body.X in ALGO_BECOMES or body.X not in ALGO_STATUS:
        return UserEvents(ignored=True)
    report = reader.algo_report(view)
    if report is None:
        return UserEvents(ignored=True)
    told = report._replace(event_type=EventType.ORDER_UPDATE, request_id=body.aid)
    return UserEvents((told,))


def _funding_reports(body: AccountBody, event_ms: int, reader: AccountReader) -> tuple[Report, ...]:
    # Cross margin names no position, isolated margin exactly one: then the amount is its own.
    instrument = reader.instrument(body.P[0].s) if len(body.P) == 1 else None
    index = instrument.instrument_index if instrument else -1
    return tuple(
        Report(
            EventType.FUNDING,
            index,
            venue_time_ns=event_ms * NS_PER_MS,
            venue_realised_pnl_e8=money_e8(balance.bc),
            text=balance.a,
        )
        for balance in body.B
        if money_e8(balance.bc) != 0
    )
