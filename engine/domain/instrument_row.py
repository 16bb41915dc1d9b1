"""An instrument: its steps, bounds and money unit as exact integers, and its 256-byte row.

The feed writes one row per instrument into the instruments segment after it fetched the venue's
list; everybody else reads them. This module needs neither numpy nor Numba, because the feed's first
record must not wait for them; `engine.domain.instrument` has the numpy dtype of the same table.

        instruments segment                          price of a record
     0  prefix of every segment                      price    = price_ticks * tick_scaled
    64  count int64, published last                             / 10 ** price_exponent
    72  capacity int64                               quantity = qty_lots * lot_scaled
    80  taken int64, the brain's own word                       / 10 ** qty_exponent
   256  rows, 256 bytes each                         notional_e8 = price_ticks * qty_lots * unit_e8

Rounding. A conversion to ticks or lots is exact or names its direction: `DOWN` towards zero, `UP`
away from zero, `NEAREST` with halves away from zero. `EXACT` returns None for what is off the grid.
"""

from __future__ import annotations

import struct
from decimal import Decimal, InvalidOperation
from enum import IntEnum, IntFlag

import msgspec

from engine.domain import typed

INSTRUMENT_BYTES = 256
LIVENESS_OFFSET = 224  # of a row: one byte per channel, the feed's, for display only
STAKE_OFFSET = 232  # of a row: one byte, the brain's: a Stake
SYMBOL_BYTES = 24
SEGMENT_COUNT_OFFSET = 64
SEGMENT_CAPACITY_OFFSET = 72
SEGMENT_TAKEN_OFFSET = 80  # rows the brain knows; before that the feed sends nothing of a row
SEGMENT_ROWS_OFFSET = 256
E8 = 100_000_000
EXPONENT_MAX = 12  # 10 ** 12 leaves six digits of headroom in an int64
POWER_MAX = 64  # a decimal further from the grid than this is no price or quantity
INT64_MAX = 2**63 - 1
NO_BOUND = INT64_MAX  # an upper bound the venue does not state


class Rounding(IntEnum):
    """Direction in which a number goes to the grid."""

    EXACT = 0
    DOWN = 1
    UP = 2
    NEAREST = 3


class InstrumentFlag(IntFlag):
    """Properties of an instrument."""

    TRADING = 1
    PERPETUAL = 2
    BOOK = 4  # the feed keeps a full book of it


class Stake(IntEnum):
    """Whether the brain has anything at stake in an instrument: a position or an open order."""

    UNTOLD = 0
    NONE = 1
    HELD = 2


class News(IntEnum):
    """The gravest event of a calendar whose window is open."""

    UNTOLD = 0  # there is no calendar
    CALM = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4


class ContractType(IntEnum):
    """Kind of contract."""

    OTHER = 0
    PERPETUAL = 1
    DATED = 2


INSTRUMENT_FIELDS: tuple[tuple[str, str, int], ...] = (
    ("symbol", "S24", 0),
    ("base", "S16", 24),
    ("quote", "S8", 40),
    ("margin", "S8", 48),
    ("instrument_index", "<i4", 56),
    ("flags", "<u4", 60),
    ("price_exponent", "<i4", 64),
    ("qty_exponent", "<i4", 68),
    ("tick_scaled", "<i8", 72),
    ("lot_scaled", "<i8", 80),
    ("min_price_ticks", "<i8", 88),
    ("max_price_ticks", "<i8", 96),
    ("min_qty_lots", "<i8", 104),
    ("max_qty_lots", "<i8", 112),
    ("market_min_qty_lots", "<i8", 120),
    ("market_max_qty_lots", "<i8", 128),
    ("market_step_lots", "<i8", 136),
    ("min_notional_e8", "<i8", 144),
    ("multiplier_up_e8", "<i8", 152),
    ("multiplier_down_e8", "<i8", 160),
    ("unit_e8", "<i8", 168),
    ("contract_multiplier", "<i8", 176),
    ("contract_type", "<i4", 184),
    ("max_open_orders", "<i4", 188),
    ("onboard_time_ns", "<i8", 192),
    ("delivery_time_ns", "<i8", 200),
    ("tick_size", "<f8", 208),  # for display and ratios, never for keys
    ("lot_size", "<f8", 216),
    ("open_interest_lots", "<i8", 240),  # behind the bytes above; 0: the venue has not said it
    ("news", "<i8", 248),  # a News
)

# What of a row may change in a run, by FILTER records (`engine.domain.filters`): flags, bounds, how
# much is open, and whether an event is near.
FILTER_FIELDS = (
    "flags", "min_price_ticks", "max_price_ticks", "min_qty_lots", "max_qty_lots",
    "market_min_qty_lots", "market_max_qty_lots", "market_step_lots", "min_notional_e8",
    "multiplier_up_e8", "multiplier_down_e8", "max_open_orders", "open_interest_lots",
    "news",
)  # fmt: skip
FILTER_OFFSETS = {name: offset for name, _, offset in INSTRUMENT_FIELDS if name in FILTER_FIELDS}

_ROW = struct.Struct("<24s16s8s8siIii" + "q" * 14 + "ii" + "qq" + "dd" + "16x" + "qq")
assert _ROW.size == INSTRUMENT_BYTES, "a row fills its place exactly"


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument. Units: prices in ticks, quantities in lots, money in 1e-8 of the quote."""

    symbol: str
    base: str = ""
    quote: str = ""
    margin: str = ""
    instrument_index: int = 0
    flags: int = InstrumentFlag.TRADING | InstrumentFlag.PERPETUAL
    price_exponent: int
    qty_exponent: int
    tick_scaled: int
    lot_scaled: int
    min_price_ticks: int = 1
    max_price_ticks: int = NO_BOUND
    min_qty_lots: int = 1
    max_qty_lots: int = NO_BOUND
    market_min_qty_lots: int = 1
    market_max_qty_lots: int = NO_BOUND
    market_step_lots: int = 1
    min_notional_e8: int = 0
    multiplier_up_e8: int = 0  # 0: the venue states none
    multiplier_down_e8: int = 0
    unit_e8: int
    contract_multiplier: int = 1
    contract_type: int = ContractType.PERPETUAL
    max_open_orders: int = 0
    onboard_time_ns: int = 0
    delivery_time_ns: int = 0
    open_interest_lots: int = 0
    news: int = 0

    @property
    def tick_size(self) -> float:
        """Return the tick size as the nearest float; for display and ratios."""
        return float(step_size(self.tick_scaled, self.price_exponent))

    @property
    def lot_size(self) -> float:
        """Return the lot size as the nearest float; for display and ratios."""
        return float(step_size(self.lot_scaled, self.qty_exponent))

    def price_text(self, price_ticks: int) -> str:
        """Return a price as the decimal the venue reads: no exponent, the tick's own digits."""
        return decimal_text(price_ticks * self.tick_scaled, self.price_exponent)

    def qty_text(self, qty_lots: int) -> str:
        """Return a quantity as the decimal the venue reads."""
        return decimal_text(qty_lots * self.lot_scaled, self.qty_exponent)

    def price_ticks(self, price: str | Decimal, rounding: Rounding = Rounding.EXACT) -> int | None:
        """Return a price in ticks; None when not finite or, EXACT, off the tick."""
        return grid_count(price, self.tick_scaled, self.price_exponent, rounding)

    def qty_lots(self, quantity: str | Decimal, rounding: Rounding = Rounding.EXACT) -> int | None:
        """Return a quantity in lots; None when not finite or, EXACT, off the lot."""
        return grid_count(quantity, self.lot_scaled, self.qty_exponent, rounding)

    def notional_e8(self, price_ticks: int, qty_lots: int) -> int:
        """Return price times quantity in 1e-8 of the quote currency, exactly."""
        return price_ticks * qty_lots * self.unit_e8


_PERPETUAL = InstrumentFlag.TRADING | InstrumentFlag.PERPETUAL


def unit_instrument(
    symbol: str, *, instrument_index: int = 0, flags: int = _PERPETUAL
) -> Instrument:
    """Return an instrument of whole ticks and lots: a row where there is, or matters, none."""
    return Instrument(
        symbol=symbol,
        instrument_index=instrument_index,
        flags=flags,
        price_exponent=0,
        qty_exponent=0,
        tick_scaled=1,
        lot_scaled=1,
        unit_e8=1,
    )


class InstrumentError(ValueError):
    """An instrument cannot be held in exact integers; the message names the field."""


def step_size(scaled: int, exponent: int) -> Decimal:
    """Return scaled / 10 ** exponent as an exact decimal."""
    return Decimal(scaled).scaleb(-exponent)


def step_parts(text: str) -> tuple[int, int]:
    """Return (scaled, exponent) of a step such as "0.10": (1, 1); trailing zeros go.

    Raises:
        InstrumentError: not a positive decimal, or finer than EXPONENT_MAX digits.
    """
    try:
        step = Decimal(text)
    except InvalidOperation:
        raise InstrumentError(f"{text!r} is not a decimal") from None
    if not step.is_finite() or step <= 0:
        raise InstrumentError(f"step {text!r} is not positive")
    exponent = max(0, -int(step.normalize().as_tuple().exponent))
    if exponent > EXPONENT_MAX:
        raise InstrumentError(f"step {text!r} is finer than {EXPONENT_MAX} digits")
    return int(step.scaleb(exponent)), exponent


def unit_e8(tick: str, lot: str, contract_multiplier: int = 1) -> int:
    """Return the money of one tick times one lot, in 1e-8 of the quote currency.

    Raises:
        InstrumentError: it is not a whole number, so exact money is impossible.
    """
    unit = Decimal(tick) * Decimal(lot) * contract_multiplier * E8
    if unit != unit.to_integral_value() or unit < 1:
        raise InstrumentError(f"tick {tick} times lot {lot} is not a multiple of 1e-8")
    return int(unit)


def grid_count(number: str | Decimal, scaled: int, exponent: int, rounding: Rounding) -> int | None:
    """Return how many steps a number is; None when not finite or, EXACT, between two steps."""
    try:
        exact = Decimal(number)
    except InvalidOperation:
        return None
    if not exact.is_finite():
        return None
    sign, digits, shift = exact.as_tuple()
    mantissa = int("".join(map(str, digits)) or "0")
    power = int(shift) + exponent
    if abs(power) > POWER_MAX:
        return None
    numerator: int = mantissa * 10 ** max(0, power)
    denominator: int = scaled * 10 ** max(0, -power)
    count, rest = divmod(numerator, denominator)
    if rest:
        if rounding is Rounding.EXACT:
            return None
        half_or_more = 2 * rest >= denominator
        if rounding is Rounding.UP or (rounding is Rounding.NEAREST and half_or_more):
            count += 1
    return -count if sign else count


def decimal_text(scaled: int, exponent: int) -> str:
    """Return scaled / 10 ** exponent written out, with `exponent` digits after the point."""
    sign = "-" if scaled < 0 else ""
    digits = str(abs(scaled))
    if exponent == 0:
        return sign + digits
    digits = digits.rjust(exponent + 1, "0")
    return f"{sign}{digits[:-exponent]}.{digits[-exponent:]}"


def pack_row(instrument: Instrument, buffer: bytearray | memoryview, row: int) -> None:
    """Write an instrument as row number `row` of an instruments segment, in place."""
    symbol = instrument.symbol.encode()
    assert 0 < len(symbol) <= SYMBOL_BYTES, instrument.symbol
    numbers = [getattr(instrument, name) for name, _, _ in INSTRUMENT_FIELDS[4:]]
    texts = (instrument.base, instrument.quote, instrument.margin)
    _ROW.pack_into(
        buffer,
        SEGMENT_ROWS_OFFSET + row * INSTRUMENT_BYTES,
        symbol,
        *(text.encode() for text in texts),
        *numbers,
    )


def unpack_row(buffer: bytes | bytearray | memoryview, row: int) -> Instrument:
    """Return row number `row` of an instruments segment."""
    cells = _ROW.unpack_from(buffer, SEGMENT_ROWS_OFFSET + row * INSTRUMENT_BYTES)
    fields = {
        name: cell.rstrip(b"\0").decode() if isinstance(cell, bytes) else cell
        for (name, _, _), cell in zip(INSTRUMENT_FIELDS, cells, strict=True)
        if name not in {"tick_size", "lot_size"}
    }
    return typed.convert(fields, Instrument)


def segment_bytes(capacity: int) -> int:
    """Return the bytes an instruments segment for `capacity` rows needs."""
    assert capacity > 0, capacity
    return SEGMENT_ROWS_OFFSET + capacity * INSTRUMENT_BYTES
