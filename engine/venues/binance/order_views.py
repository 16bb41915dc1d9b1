"""REST answers about orders, fills, positions and balances, as reports in integers.

Each function takes an answer's bytes and returns reports; what does not decode raises
`ProtocolError`, because an answer we cannot read proves nothing. Our own orders are recognised by
the client id; every other order keeps `order_sequence` 0 and is the kernel's to call foreign.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from engine.domain import typed
from engine.domain.client_id import EPOCH_LOW_MASK, ClientId, parse_client_id
from engine.domain.codes import (
    EVENT_POST_ONLY,
    EVENT_REDUCE_ONLY,
    EventType,
    Liquidity,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)
from engine.domain.instrument_row import Instrument, Rounding, grid_count
from engine.venues.order_records import Report
from engine.venues.venue import ProtocolError

NS_PER_MS: Final = 1_000_000
STATUS: Final[Mapping[str, OrderStatus]] = {
    "NEW": OrderStatus.NEW,
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
    "NEW_INSURANCE": OrderStatus.NEW,
    "NEW_ADL": OrderStatus.NEW,
}
# How a conditional order stands at its desk; what triggered has become an order, which tells more.
ALGO_STATUS: Final[Mapping[str, OrderStatus]] = {
    "NEW": OrderStatus.NEW,
    "TRIGGERED": OrderStatus.NEW,
    "FINISHED": OrderStatus.NEW,
    "CANCELED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
}
ORDER_TYPE: Final[Mapping[str, OrderType]] = {kind.name: kind for kind in OrderType}
TIME_IN_FORCE: Final[Mapping[str, TimeInForce]] = {
    "GTC": TimeInForce.GTC,
    "GTX": TimeInForce.GTC,
    "GTD": TimeInForce.GTD,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
}
SIDE: Final[Mapping[str, Side]] = {"BUY": Side.BUY, "SELL": Side.SELL}

View = TypeVar("View")


class OrderView(msgspec.Struct, frozen=True):
    """An order as REST describes it."""

    symbol: str
    orderId: int  # noqa: N815  the venue's spelling
    clientOrderId: str  # noqa: N815
    status: str
    side: str
    type: str
    timeInForce: str = "GTC"  # noqa: N815
    price: str = "0"
    origQty: str = "0"  # noqa: N815
    executedQty: str = "0"  # noqa: N815
    reduceOnly: bool = False  # noqa: N815
    updateTime: int = 0  # noqa: N815


class SymbolView(msgspec.Struct, frozen=True):
    """Whatever names a symbol."""

    symbol: str


class AlgoView(msgspec.Struct, frozen=True):
    """A conditional order as REST describes it."""

    symbol: str
    clientAlgoId: str  # noqa: N815  the venue's spelling
    side: str
    orderType: str = ""  # noqa: N815
    algoStatus: str = "NEW"  # noqa: N815
    quantity: str = "0"
    triggerPrice: str = "0"  # noqa: N815
    actualOrderId: str = ""  # noqa: N815  of the order that it has become; empty: of none yet
    closePosition: bool = False  # noqa: N815
    reduceOnly: bool = False  # noqa: N815
    updateTime: int = 0  # noqa: N815

    @property
    def child_id(self) -> int:
        """Return the venue's number of the order that it has become; 0: none yet."""
        return int(self.actualOrderId) if self.actualOrderId.isdecimal() else 0


class FillView(msgspec.Struct, frozen=True):
    """A row of userTrades."""

    symbol: str
    id: int
    orderId: int  # noqa: N815
    side: str
    price: str
    qty: str
    commission: str
    commissionAsset: str  # noqa: N815
    realizedPnl: str  # noqa: N815
    maker: bool
    time: int


class PositionView(msgspec.Struct, frozen=True):
    """A row of positionRisk."""

    symbol: str
    positionAmt: str  # noqa: N815
    entryPrice: str  # noqa: N815
    positionSide: str = "BOTH"  # noqa: N815
    updateTime: int = 0  # noqa: N815


class BalanceView(msgspec.Struct, frozen=True):
    """A row of balance."""

    asset: str
    balance: str
    availableBalance: str  # noqa: N815


class ListenKeyView(msgspec.Struct, frozen=True):
    """Answer to the creation of a listen key."""

    listenKey: str  # noqa: N815


class FeeBurnView(msgspec.Struct, frozen=True):
    """Whether fees are paid in BNB."""

    feeBurn: bool = False  # noqa: N815


class PositionModeView(msgspec.Struct, frozen=True):
    """Answer about one-way or hedge mode."""

    dualSidePosition: bool  # noqa: N815


def decode_view(body: bytes, kind: type[View]) -> View:
    """Return an answer as a typed view.

    Raises:
        ProtocolError: it is not one.
    """
    try:
        return typed.decode(body, kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolError(f"unreadable answer: {error}: {body[:120]!r}") from error


def money_e8(text: str) -> int:
    """Return an amount in 1e-8 units; more digits than that are rounded to the nearest.

    Raises:
        ProtocolError: not a number.
    """
    amount = grid_count(text, 1, 8, Rounding.NEAREST)
    if amount is None:
        raise ProtocolError(f"not an amount: {text!r}")
    return amount


class AccountReader:
    """Turns views into reports with this engine's instruments and order numbers."""

    def __init__(self, instruments: Sequence[Instrument], engine_tag: str, epoch: int) -> None:
        """Index the instruments by the venue's symbol.

        Args:
            instruments: those of this session.
            engine_tag: begins every client id of ours.
            epoch: of this session; names orders of this one and of the 255 before it.
        """
        self.instruments = instruments
        self.engine_tag = engine_tag
        self.epoch = epoch
        self._by_symbol = {instrument.symbol: instrument for instrument in instruments}
        self.on_other_fee: Callable[[str], object] = str  # hears of fees in an asset not counted

    def learn(self, instruments: Sequence[Instrument]) -> None:
        """Know these from now on; those known before are among them."""
        self.instruments = instruments
        self._by_symbol = {instrument.symbol: instrument for instrument in instruments}

    def instrument(self, symbol: str) -> Instrument | None:
        """Return the instrument of a symbol, None for one that we do not trade."""
        return self._by_symbol.get(symbol)

    def identity(self, client_order_id: str) -> ClientId | None:
        """Return what a client id of ours says, None for a foreign one.

        Records carry the low byte of an epoch. An id from further back would be taken for an order
        of this journal, so it is foreign: the home that knew it was lost.
        """
        identity = parse_client_id(self.engine_tag, client_order_id)
        if identity is None or not 0 <= self.epoch - identity.epoch <= EPOCH_LOW_MASK:
            return None
        return identity

    def is_forgotten(self, client_order_id: str) -> bool:
        """Return whether an engine of this tag wrote an id before any session known here."""
        identity = parse_client_id(self.engine_tag, client_order_id)
        return identity is not None and self.epoch - identity.epoch > EPOCH_LOW_MASK

    def order_report(self, view: OrderView, event_type: EventType) -> Report | None:
        """Return an order as ORDER_UPDATE or VENUE_ORDER; None for a symbol we do not trade."""
        instrument = self.instrument(view.symbol)
        if instrument is None:
            return None
        return self.named(
            Report(
                event_type,
                instrument.instrument_index,
                venue_time_ns=view.updateTime * NS_PER_MS,
                flags=(EVENT_REDUCE_ONLY if view.reduceOnly else 0)
                | (EVENT_POST_ONLY if view.timeInForce == "GTX" else 0),
                side=SIDE.get(view.side, Side.NONE),
                order_type=ORDER_TYPE.get(view.type, 0),
                time_in_force=TIME_IN_FORCE.get(view.timeInForce, 0),
                order_status=STATUS.get(view.status, OrderStatus.UNKNOWN),
                price_ticks=price_ticks(instrument, view.price),
                qty_lots=qty_lots(instrument, view.origQty),
                cum_qty_lots=qty_lots(instrument, view.executedQty),
                venue_order_id=view.orderId,
            ),
            view.clientOrderId,
        )

    def algo_report(self, view: AlgoView) -> Report | None:
        """Return a conditional order as a VENUE_ORDER; None: a symbol not traded.

        The venue numbers them apart from orders: `venue_order_id` stays 0. One that closes a
        position has no quantity of its own; the engine places none of those, so they are somebody
        else's whatever their id looks like. One that trails has a rate and no price.
        """
        instrument = self.instrument(view.symbol)
        if instrument is None:
            return None
        report = Report(
            EventType.VENUE_ORDER,
            instrument.instrument_index,
            venue_time_ns=view.updateTime * NS_PER_MS,
            flags=EVENT_REDUCE_ONLY if view.reduceOnly or view.closePosition else 0,
            side=SIDE.get(view.side, Side.NONE),
            order_type=ORDER_TYPE.get(view.orderType, 0),
            order_status=ALGO_STATUS.get(view.algoStatus, OrderStatus.UNKNOWN),
            qty_lots=qty_lots(instrument, view.quantity),
            text=view.clientAlgoId,
        )
        if view.closePosition or report.order_type < OrderType.STOP_MARKET:
            return report
        named = self.named(report, view.clientAlgoId)
        if named.order_sequence == 0 or report.order_type == OrderType.TRAILING_STOP_MARKET:
            return named
        return named._replace(price_ticks=price_ticks(instrument, view.triggerPrice))

    def fill_report(self, view: FillView, client_order_id: str) -> Report | None:
        """Return a row of userTrades as FILL; None for a symbol we do not trade."""
        instrument = self.instrument(view.symbol)
        if instrument is None:
            return None
        return self.named(
            Report(
                EventType.FILL,
                instrument.instrument_index,
                venue_time_ns=view.time * NS_PER_MS,
                side=SIDE.get(view.side, Side.NONE),
                last_price_ticks=price_ticks(instrument, view.price),
                last_qty_lots=qty_lots(instrument, view.qty),
                venue_order_id=view.orderId,
                trade_id=view.id,
                fee_e8=self.fee_e8(instrument, view.commission, view.commissionAsset),
                venue_realised_pnl_e8=money_e8(view.realizedPnl),
                liquidity=Liquidity.MAKER if view.maker else Liquidity.TAKER,
            ),
            client_order_id,
        )

    def fee_e8(self, instrument: Instrument, commission: str, asset: str) -> int:
        """Return a fee in the quote currency.

        One in another asset is 0: the wallet that the books are compared with did not pay it. A
        fill is booked whatever it cost, since a position that nobody knows of costs more.
        """
        amount = money_e8(commission)
        if amount == 0 or asset in {instrument.quote, instrument.margin}:
            return amount
        self.on_other_fee(asset)
        return 0

    def position_report(self, view: PositionView) -> Report | None:
        """Return a position; None for a symbol we do not trade.

        Raises:
            ProtocolError: a hedge-mode position, which this engine does not keep.
        """
        if view.positionSide != "BOTH":
            raise ProtocolError(f"{view.symbol}: hedge-mode position {view.positionSide}")
        instrument = self.instrument(view.symbol)
        if instrument is None:
            return None
        lots = qty_lots(instrument, view.positionAmt)
        entry_ticks_e8 = grid_count(
            view.entryPrice, instrument.tick_scaled, instrument.price_exponent + 8, Rounding.NEAREST
        )
        if entry_ticks_e8 is None:
            raise ProtocolError(f"{view.symbol}: entry price {view.entryPrice!r}")
        cost = round_half_away(lots * entry_ticks_e8 * instrument.unit_e8, 10**8)
        return Report(
            EventType.VENUE_POSITION,
            instrument.instrument_index,
            venue_time_ns=view.updateTime * NS_PER_MS,
            position_lots=lots,
            position_cost_e8=cost,
        )

    def balance_report(self, views: Sequence[BalanceView]) -> Report:
        """Return the balance of the quote currency; zero when the account never held any."""
        asset = self.instruments[0].margin or self.instruments[0].quote
        for view in views:
            if view.asset == asset:
                return Report(
                    EventType.VENUE_BALANCE,
                    word_0=money_e8(view.balance),
                    word_1=money_e8(view.availableBalance),
                    text=asset,
                )
        return Report(EventType.VENUE_BALANCE, text=asset)

    def named(self, report: Report, client_order_id: str) -> Report:
        """Return a report with the client id and, if it is ours, the numbers in it."""
        identity = self.identity(client_order_id)
        if identity is None:
            return report._replace(text=client_order_id)
        return report._replace(
            text=client_order_id,
            strategy_index=identity.strategy_index,
            order_sequence=identity.order_sequence,
            cause_sequence=identity.cause_sequence,
            epoch_low=identity.epoch & EPOCH_LOW_MASK,
        )


def price_ticks(instrument: Instrument, text: str) -> int:
    """Return a price of ours in ticks.

    Raises:
        ProtocolError: off the grid, so not a price of this instrument.
    """
    ticks = instrument.price_ticks(text)
    if ticks is None:
        raise ProtocolError(f"{instrument.symbol}: price {text!r} is off the tick")
    return ticks


def qty_lots(instrument: Instrument, text: str) -> int:
    """Return a quantity in lots.

    Raises:
        ProtocolError: off the grid, so not a quantity of this instrument.
    """
    lots = instrument.qty_lots(text)
    if lots is None:
        raise ProtocolError(f"{instrument.symbol}: quantity {text!r} is off the lot")
    return lots


def round_half_away(numerator: int, denominator: int) -> int:
    """Return the quotient rounded to the nearest, halves away from zero."""
    assert denominator > 0, denominator
    quotient = (2 * abs(numerator) + denominator) // (2 * denominator)
    return quotient if numerator >= 0 else -quotient
