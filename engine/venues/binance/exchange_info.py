"""The venue's list of instruments as exact rows.

Steps come from the filters; `pricePrecision` and `quantityPrecision` are for display and are never
read. An instrument whose steps or money are no exact integers is left out, with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

import msgspec

from engine.domain.instrument_row import (
    E8,
    NO_BOUND,
    SYMBOL_BYTES,
    ContractType,
    Instrument,
    InstrumentError,
    InstrumentFlag,
    Rounding,
    grid_count,
    step_parts,
    unit_e8,
)
from engine.venues.venue import ProtocolError

NS_PER_MS = 1_000_000
_DATED = frozenset(
    {"CURRENT_QUARTER", "NEXT_QUARTER", "CURRENT_MONTH", "NEXT_MONTH", "CURRENT_QUARTER_DELIVERING"}
)


class FilterRow(msgspec.Struct):
    """One filter; only the keys of its own kind are set."""

    filterType: str  # noqa: N815  the venue's spelling
    minPrice: str = "0"  # noqa: N815
    maxPrice: str = "0"  # noqa: N815
    tickSize: str = "0"  # noqa: N815
    minQty: str = "0"  # noqa: N815
    maxQty: str = "0"  # noqa: N815
    stepSize: str = "0"  # noqa: N815
    notional: str = "0"
    multiplierUp: str = "0"  # noqa: N815
    multiplierDown: str = "0"  # noqa: N815
    limit: int = 0


class SymbolRow(msgspec.Struct):
    """One instrument as the venue lists it."""

    symbol: str
    filters: list[FilterRow]
    status: str = "TRADING"
    contractType: str = "PERPETUAL"  # noqa: N815
    baseAsset: str = ""  # noqa: N815
    quoteAsset: str = ""  # noqa: N815
    marginAsset: str = ""  # noqa: N815
    onboardDate: int = 0  # noqa: N815
    deliveryDate: int = 0  # noqa: N815
    st: int = 0  # product family: 1 USD-M, 2 COIN-M; 0: not said


class RateLimitRow(msgspec.Struct):
    """A budget the venue announces."""

    rateLimitType: str = ""  # noqa: N815
    interval: str = ""
    intervalNum: int = 1  # noqa: N815
    limit: int = 0


class ExchangeInfo(msgspec.Struct):
    """What of the answer is used."""

    symbols: list[SymbolRow]
    rateLimits: list[RateLimitRow] = []  # noqa: N815


_DECODER = msgspec.json.Decoder(ExchangeInfo)
USD_M = frozenset({0, 1})  # `st` of this product family; 0: not said
END_AHEAD_NS = 24 * 3_600_000_000_000  # an instrument that ends this soon takes no entries


def parse_exchange_info(body: bytes) -> ExchangeInfo:
    """Return the answer of the instrument endpoint.

    Raises:
        ProtocolError: not that answer.
    """
    try:
        return _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolError(f"exchangeInfo: {error}") from error


def instrument_of(row: SymbolRow) -> Instrument:
    """Return an instrument as listed, with index 0.

    Raises:
        InstrumentError: it cannot be held in exact integers, or a filter is missing.
    """
    filters = {filter_row.filterType: filter_row for filter_row in row.filters}
    price, lot = filters.get("PRICE_FILTER"), filters.get("LOT_SIZE")
    if price is None or lot is None:
        raise InstrumentError(f"{row.symbol}: PRICE_FILTER or LOT_SIZE is missing")
    if not 0 < len(row.symbol.encode()) <= SYMBOL_BYTES:
        raise InstrumentError(f"symbol {row.symbol!r} is longer than {SYMBOL_BYTES} bytes")
    tick_scaled, price_exponent = step_parts(price.tickSize)
    lot_scaled, qty_exponent = step_parts(lot.stepSize)
    market = filters.get("MARKET_LOT_SIZE", lot)
    percent = filters.get("PERCENT_PRICE", FilterRow("PERCENT_PRICE"))
    orders = filters.get("MAX_NUM_ORDERS", FilterRow("MAX_NUM_ORDERS"))
    notional = filters.get("MIN_NOTIONAL", FilterRow("MIN_NOTIONAL"))

    def ticks(text: str, rounding: Rounding, *, none: int) -> int:
        return _bound(text, tick_scaled, price_exponent, rounding, none)

    def lots(text: str, rounding: Rounding, *, none: int) -> int:
        return _bound(text, lot_scaled, qty_exponent, rounding, none)

    return Instrument(
        symbol=row.symbol,
        base=row.baseAsset[:16],
        quote=row.quoteAsset[:8],
        margin=row.marginAsset[:8],
        flags=_flags(row),
        price_exponent=price_exponent,
        qty_exponent=qty_exponent,
        tick_scaled=tick_scaled,
        lot_scaled=lot_scaled,
        min_price_ticks=ticks(price.minPrice, Rounding.UP, none=1),
        max_price_ticks=ticks(price.maxPrice, Rounding.DOWN, none=NO_BOUND),
        min_qty_lots=lots(lot.minQty, Rounding.UP, none=1),
        max_qty_lots=lots(lot.maxQty, Rounding.DOWN, none=NO_BOUND),
        market_min_qty_lots=lots(market.minQty, Rounding.UP, none=1),
        market_max_qty_lots=lots(market.maxQty, Rounding.DOWN, none=NO_BOUND),
        market_step_lots=lots(market.stepSize, Rounding.UP, none=1),
        min_notional_e8=_scaled_e8(notional.notional),
        multiplier_up_e8=_scaled_e8(percent.multiplierUp),
        multiplier_down_e8=_scaled_e8(percent.multiplierDown),
        unit_e8=unit_e8(price.tickSize, lot.stepSize),
        contract_type=_contract_type(row.contractType),
        max_open_orders=orders.limit,
        onboard_time_ns=row.onboardDate * NS_PER_MS,
        delivery_time_ns=row.deliveryDate * NS_PER_MS,
    )


def select_instruments(
    info: ExchangeInfo,
    wanted: Sequence[str],
    count_max: int,
    book_count: int,
    *,
    is_ranking: bool = False,
) -> tuple[list[Instrument], dict[str, str]]:
    """Return the instruments of a run, indexed in order, and why others were left out.

    Args:
        info: the venue's list.
        wanted: symbols in the order they are to have; empty: all that trade, in the venue's order.
        count_max: bound on how many.
        book_count: the first so many keep a book.
        is_ranking: `wanted` goes on beyond the bound; what lies there was not left out.
    """
    listed = {row.symbol: row for row in info.symbols}
    symbols = list(wanted) or [row.symbol for row in info.symbols if is_offered(row)]
    chosen: list[Instrument] = []
    left_out: dict[str, str] = {}
    for symbol in dict.fromkeys(symbols):
        row = listed.get(symbol)
        if row is None:
            left_out[symbol] = "the venue does not list it"
        elif len(chosen) == count_max and is_ranking:
            break
        elif len(chosen) == count_max:
            left_out[symbol] = f"beyond instruments_max = {count_max}"
        else:
            try:
                instrument = instrument_of(row)
            except InstrumentError as error:
                left_out[symbol] = str(error)
                continue
            flags = instrument.flags | (InstrumentFlag.BOOK if len(chosen) < book_count else 0)
            chosen.append(
                msgspec.structs.replace(instrument, instrument_index=len(chosen), flags=int(flags))
            )
    return chosen, left_out


def ends_soon(row: SymbolRow, now_ns: int) -> bool:
    """Return whether an instrument's last day has begun, or is over, at the venue's time."""
    return 0 < row.deliveryDate * NS_PER_MS < now_ns + END_AHEAD_NS


def is_offered(row: SymbolRow) -> bool:
    """Return whether a row is a perpetual of this product family that trades."""
    is_perpetual = _contract_type(row.contractType) == ContractType.PERPETUAL
    return row.status == "TRADING" and is_perpetual and row.st in USD_M


def _flags(row: SymbolRow) -> int:
    trading = InstrumentFlag.TRADING if row.status == "TRADING" else InstrumentFlag(0)
    perpetual = _contract_type(row.contractType) == ContractType.PERPETUAL
    return int(trading | (InstrumentFlag.PERPETUAL if perpetual else InstrumentFlag(0)))


def _contract_type(name: str) -> ContractType:
    if name in {"PERPETUAL", "TRADIFI_PERPETUAL"}:
        return ContractType.PERPETUAL
    return ContractType.DATED if name in _DATED else ContractType.OTHER


def _bound(text: str, scaled: int, exponent: int, rounding: Rounding, none: int) -> int:
    count = grid_count(text, scaled, exponent, rounding)
    if count is None:
        raise InstrumentError(f"{text!r} is not a decimal")
    return count if 0 < count <= NO_BOUND else none


def _scaled_e8(text: str) -> int:
    try:
        scaled = Decimal(text) * E8
    except InvalidOperation:
        raise InstrumentError(f"{text!r} is not a decimal") from None
    if not scaled.is_finite() or not 0 <= scaled <= NO_BOUND:
        raise InstrumentError(f"{text!r} is out of range")
    return int(scaled)
