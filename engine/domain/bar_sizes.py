"""What ends a bar of a strategy's row, in words: the clock, or so much traded.

    ""                      the clock, every `timeframe_s` of the row
    tick:500                so many trades
    volume:2.5              so much quantity, base currency
    dollar:250000           so much worth, quote currency
    imbalance:4             bought minus sold, either way, base currency
    volume:2.5 DOGEUSDT=90000       the same, with another size for some instruments

No numpy here, as in `strategy_table`. Kernels: `engine.domain.bar_kinds`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

E8 = 100_000_000
THRESHOLD_MAX = 1 << 61  # a measure below it takes one more trade without leaving an int64


class BarKind(IntEnum):
    """What ends a bar."""

    CLOCK = 0
    TICK = 1
    VOLUME = 2
    DOLLAR = 3
    IMBALANCE = 4


class BarSizeError(ValueError):
    """Words that name no bar; the message says why."""


class BarSize(NamedTuple):
    """Bars that end by what was traded."""

    kind: BarKind
    size: float  # trades, base currency or quote currency, by the kind
    own_sizes: Mapping[str, float]  # of instruments that have another one, by symbol

    def size_of(self, symbol: str) -> float:
        """Return how much ends a bar of an instrument, in the kind's unit."""
        return self.own_sizes.get(symbol, self.size)

    def label(self, symbol: str) -> str:
        """Return what these bars of an instrument are called, such as `volume-2.5`."""
        return f"{self.kind.name.lower()}-{self.size_of(symbol):g}"

    def threshold(self, symbol: str, lot_size: float, unit_e8: int) -> int:
        """Return where a bar of an instrument ends: trades, lots or ticks * lots, at least 1.

        Args:
            symbol: of the instrument.
            lot_size: base currency.
            unit_e8: what one lot is worth a tick, 1e-8 of the quote currency.
        """
        unit = {BarKind.TICK: 1.0, BarKind.DOLLAR: unit_e8 / E8}.get(self.kind, lot_size)
        return min(max(round(self.size_of(symbol) / unit), 1), THRESHOLD_MAX)


def bar_size(words: str) -> BarSize:
    """Return what the words of a row name.

    Raises:
        BarSizeError: an unknown kind, or a size that is no number above 0.
    """
    first, *others = words.split() or [""]
    name, colon, size = first.partition(":")
    kinds = {kind.name.lower(): kind for kind in BarKind if kind is not BarKind.CLOCK}
    if not colon or name not in kinds:
        raise BarSizeError(f"bars {words!r}: not kind:size with a kind of {', '.join(kinds)}")
    own = {}
    for other in others:
        symbol, _, own_size = other.partition("=")
        own[symbol] = _size(words, own_size)
    return BarSize(kinds[name], _size(words, size), own)


def _size(words: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.0 < number < math.inf:
        raise BarSizeError(f"bars {words!r}: {text!r} is no size above 0")
    return number
