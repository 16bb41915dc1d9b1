"""What trades here: one frozen record per symbol, and exact conversion of its numbers.

UNITS: a price is an int in steps of 10**-price_decimals, a quantity an int in steps of
10**-qty_decimals, money an int in steps of 1e-8 USDT. No float holds money anywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from exchange.errors import ApiError

MONEY_DECIMALS = 8
MONEY_SCALE = 10**MONEY_DECIMALS
PERCENT_PRICE_UP = 105  # per cent of the mark price
PERCENT_PRICE_DOWN = 95
WHOLE_DIGITS_MAX = 18  # whatever fits an int64
MAX_OPEN_ORDERS = 200  # per symbol, as in the venue's MAX_NUM_ORDERS filter

_PLAIN_NUMBER = re.compile(r"([0-9]{1,18})(?:\.([0-9]{0,18}))?\Z")


def is_whole(text: str) -> bool:
    """Tell whether a text is a plain whole number of at most 18 digits."""
    return text.isascii() and text.isdigit() and len(text) <= WHOLE_DIGITS_MAX


def format_units(units: int, decimals: int) -> str:
    """Return an integer number of units as plain decimal text with exactly `decimals` digits."""
    if decimals == 0:
        return str(units)
    sign = "-" if units < 0 else ""
    digits = str(abs(units)).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"


def nearest_units(value_e8: int, decimals: int) -> int:
    """Return a positive number of 1e-8 as the nearest number of a symbol's units, halves up."""
    scale: int = 10 ** (MONEY_DECIMALS - decimals)
    return (value_e8 + scale // 2) // scale


def parse_units(text: str, decimals: int) -> int:
    """Return plain decimal text as units; trailing zeros beyond the precision are allowed.

    Raises:
        ApiError: -1013 when the text is not a plain non-negative number (NaN, 1e5, -3),
            -1111 when it has more significant decimals than the symbol.
    """
    match = _PLAIN_NUMBER.match(text)
    if match is None:
        raise ApiError(-1013)
    whole, fraction = match.group(1), (match.group(2) or "").rstrip("0")
    if len(fraction) > decimals:
        raise ApiError(-1111)
    scale: int = 10**decimals
    return int(whole) * scale + int(fraction.ljust(decimals, "0") or "0")


def money_text(money: int) -> str:
    """Return an amount of 1e-8 USDT as text."""
    return format_units(money, MONEY_DECIMALS)


def parse_money(text: str) -> int:
    """Return text as 1e-8 USDT, keeping the sign.

    Raises:
        ApiError: as `parse_units`.
    """
    if text.startswith("-"):
        return -parse_units(text[1:], MONEY_DECIMALS)
    return parse_units(text, MONEY_DECIMALS)


@dataclass(frozen=True, slots=True)
class SymbolSpec:
    """One symbol's precision and filters, all in its own integer units."""

    symbol: str
    price_decimals: int
    qty_decimals: int
    tick: int
    step: int
    min_qty: int
    max_qty: int
    market_max_qty: int
    min_notional: int  # 1e-8 USDT
    min_price: int
    max_price: int

    @property
    def money_factor(self) -> int:
        """Return what price units times quantity units must be multiplied by to give money."""
        return int(10 ** (MONEY_DECIMALS - self.price_decimals - self.qty_decimals))

    def price_text(self, price: int) -> str:
        """Return a price as the venue writes it."""
        return format_units(price, self.price_decimals)

    def qty_text(self, qty: int) -> str:
        """Return a quantity as the venue writes it."""
        return format_units(qty, self.qty_decimals)

    def notional(self, price: int, qty: int) -> int:
        """Return price times quantity in 1e-8 USDT, exactly."""
        return price * qty * self.money_factor


# symbol: price decimals, quantity decimals, tick, step, minimum notional in USDT
KNOWN_SYMBOLS: dict[str, tuple[int, int, int, int, int]] = {
    "BTCUSDT": (2, 3, 10, 1, 100),
    "ETHUSDT": (2, 3, 1, 1, 20),
}
DEFAULT_MIN_NOTIONAL = 5  # USDT


def spec_for(
    symbol: str,
    *,
    price_decimals: int,
    qty_decimals: int,
    tick: int = 1,
    step: int = 1,
    min_notional: int = DEFAULT_MIN_NOTIONAL,
) -> SymbolSpec:
    """Return a symbol with the usual limits around its precision.

    Raises:
        ValueError: when money of 1e-8 USDT cannot hold the symbol's products exactly.
    """
    if price_decimals + qty_decimals > MONEY_DECIMALS:
        message = f"{symbol}: {price_decimals} + {qty_decimals} decimals do not fit exact money"
        raise ValueError(message)
    one = 10**qty_decimals
    return SymbolSpec(
        symbol=symbol,
        price_decimals=price_decimals,
        qty_decimals=qty_decimals,
        tick=tick,
        step=step,
        min_qty=step,
        max_qty=max(1000 * one, 1000 * step),
        market_max_qty=max(500 * one, 500 * step),
        min_notional=min_notional * MONEY_SCALE,
        min_price=tick,
        max_price=10**9 * 10**price_decimals,
    )


def known_spec(symbol: str) -> SymbolSpec | None:
    """Return the built-in filters of a symbol, or None when they must be inferred."""
    row = KNOWN_SYMBOLS.get(symbol)
    if row is None:
        return None
    price_decimals, qty_decimals, tick, step, min_notional = row
    return spec_for(
        symbol,
        price_decimals=price_decimals,
        qty_decimals=qty_decimals,
        tick=tick,
        step=step,
        min_notional=min_notional,
    )


def infer_spec(symbol: str, prices: Iterable[str], quantities: Iterable[str]) -> SymbolSpec:
    """Return filters inferred from numbers seen on a tape: decimals, then common divisors."""
    price_decimals, tick = _grid(prices)
    qty_decimals, step = _grid(quantities)
    return spec_for(
        symbol,
        price_decimals=price_decimals,
        qty_decimals=qty_decimals,
        tick=tick,
        step=step,
    )


def _grid(texts: Iterable[str]) -> tuple[int, int]:
    """Return the decimals written and the largest step that divides every number."""
    numbers = list(texts)
    decimals = max((len(text.partition(".")[2]) for text in numbers), default=0)
    divisor = 0
    for text in numbers:
        divisor = math.gcd(divisor, parse_units(text, decimals))
    # A divisor that is not a power of ten comes from too few samples; take the power below it.
    power = 1
    while divisor and divisor % (power * 10) == 0 and power < 10**decimals:
        power *= 10
    return decimals, power
