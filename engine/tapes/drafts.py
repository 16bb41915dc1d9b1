"""Foreign market data on its way to a tape: columns of plain numbers, then exact records.

A format yields drafts: one kind of record of one symbol, prices and quantities as floats. The steps
of an instrument are found from all its numbers together, so that every price and quantity is a
whole count of them. Where that is impossible (money needs tick times lot in whole 1e-8) quantities
are rounded to the finest lot that fits, and how many changed by it is told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import RecordType
from engine.domain.instrument_row import (
    SYMBOL_BYTES,
    Instrument,
    InstrumentError,
    step_parts,
    unit_e8,
)
from engine.domain.records import MARKET_DTYPE
from engine.tapes.errors import ImportFormatError
from engine.tapes.reader import joined

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
Records = NDArray[np.void]
DIGITS_MAX: Final = 8
STEP_SAMPLE_MIN: Final = 500  # values before a step such as 0.25 is believed
UNEVEN_STEPS: Final = (5, 25)  # of the last digits: ticks of futures
E8: Final = 1e8


class Draft(NamedTuple):
    """Records of one kind of one symbol, before they are counted in steps."""

    symbol: str
    kind: RecordType
    receive_ns: Times
    venue_ns: Times
    prices: Mapping[str, Floats] = {}
    quantities: Mapping[str, Floats] = {}
    plain: Mapping[str, NDArray[np.int64]] = {}  # fields that are whole numbers already


class Steps(NamedTuple):
    """Price and quantity step of a symbol, as decimal text; empty: to be found."""

    tick: str = ""
    lot: str = ""


class Imported(NamedTuple):
    """What drafts became."""

    instruments: list[Instrument]
    records: Records  # in order of receipt, numbered
    rounded: int  # quantities that changed by rounding


def join(drafts: Iterable[Draft], steps: Steps = Steps()) -> Imported:  # noqa: B008  immutable
    """Turn drafts into the records of one market.

    Raises:
        ImportFormatError: no record, or numbers that no step fits.
    """
    by_symbol: dict[str, list[Draft]] = {}
    for draft in drafts:
        if len(draft.receive_ns):
            by_symbol.setdefault(draft.symbol, []).append(draft)
    if not by_symbol:
        raise ImportFormatError("no record in it")
    instruments: list[Instrument] = []
    parts: list[Records] = []
    rounded = 0
    for index, (symbol, mine) in enumerate(by_symbol.items()):
        instrument = _instrument(symbol, index, mine, steps)
        instruments.append(instrument)
        for draft in mine:
            made, changed = _records(draft, instrument)
            parts.append(made)
            rounded += changed
    records = joined(parts)
    records = records[np.argsort(records["receive_time_ns"], kind="stable")]
    records["sequence"] = np.arange(1, len(records) + 1)
    return Imported(instruments, records, rounded)


def _instrument(symbol: str, index: int, drafts: list[Draft], steps: Steps) -> Instrument:
    prices = _joined(draft.prices for draft in drafts)
    quantities = _joined(draft.quantities for draft in drafts)
    tick = steps.tick or step_of(prices)
    lot = steps.lot or step_of(quantities)
    try:
        tick_scaled, price_exponent = step_parts(tick)
        finest = Decimal(1).scaleb(-(DIGITS_MAX - price_exponent))
        if Decimal(lot) < finest:
            lot = str(finest)
        lot_scaled, qty_exponent = step_parts(lot)
        money = unit_e8(tick, lot)
    except InstrumentError as error:
        raise ImportFormatError(f"{symbol}: {error}") from error
    if len(symbol.encode()) > SYMBOL_BYTES:
        raise ImportFormatError(f"{symbol}: longer than {SYMBOL_BYTES} bytes; give --symbol")
    return Instrument(
        symbol=symbol,
        instrument_index=index,
        price_exponent=price_exponent,
        qty_exponent=qty_exponent,
        tick_scaled=tick_scaled,
        lot_scaled=lot_scaled,
        unit_e8=money,
    )


def _joined(columns: Iterable[Mapping[str, Floats]]) -> Floats:
    # What is kept in 1e-8 of the quote needs no step, and may be finer than any price traded.
    found = [
        column for each in columns for name, column in each.items() if not name.endswith("_e8")
    ]
    return np.concatenate(found) if found else np.zeros(0)


def step_of(numbers: Floats) -> str:
    """Return the largest likely step that every number is a multiple of; "1" without numbers."""
    numbers = numbers[np.isfinite(numbers) & (numbers != 0)]
    is_enough = len(numbers) >= STEP_SAMPLE_MIN
    numbers = np.unique(numbers)
    digits = digits_of(numbers)
    step = Decimal(1).scaleb(-digits)
    if is_enough:
        counts = np.rint(numbers * 10.0**digits).astype(np.int64)
        common = math.gcd(*np.abs(counts).tolist())
        if common in UNEVEN_STEPS:
            step *= common
    return str(step)


def digits_of(numbers: Floats) -> int:
    """Return how many decimal digits the numbers have, DIGITS_MAX at most."""
    for digits in range(DIGITS_MAX):
        scaled = numbers * 10.0**digits
        if np.isclose(scaled, np.rint(scaled), rtol=4e-15, atol=1e-9).all():
            return digits
    return DIGITS_MAX


def _records(draft: Draft, instrument: Instrument) -> tuple[Records, int]:
    made = np.zeros(len(draft.receive_ns), dtype=MARKET_DTYPE)
    made["receive_time_ns"] = draft.receive_ns
    made["venue_time_ns"] = draft.venue_ns
    made["instrument_index"] = instrument.instrument_index
    made["record_type"] = draft.kind
    changed = 0
    for name, numbers in draft.prices.items():
        if name.endswith("_e8"):
            made[name] = np.rint(numbers * E8)
            continue
        counts, off = _counts(numbers, instrument.tick_scaled, instrument.price_exponent)
        if off:
            raise ImportFormatError(f"{instrument.symbol}: {off} prices are off the tick")
        if name.endswith("_offset_ticks"):
            counts -= made["open_ticks"]  # a bar's other prices come after its open
        made[name] = counts
    for name, numbers in draft.quantities.items():
        made[name], off = _counts(numbers, instrument.lot_scaled, instrument.qty_exponent)
        changed += off
    for name, column in draft.plain.items():
        made[name] = column
    return made, changed


def _counts(numbers: Floats, scaled: int, exponent: int) -> tuple[NDArray[np.int64], int]:
    """Return numbers as counts of a step, and how many of them are not whole counts."""
    exact = numbers * 10.0**exponent / scaled
    counts = np.rint(exact)
    off = int((~np.isclose(exact, counts, rtol=1e-13, atol=1e-6)).sum())
    return counts.astype(np.int64), off
