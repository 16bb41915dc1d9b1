"""Instruments hold prices, quantities and money as exact integers."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.instrument import (
    INSTRUMENT_DTYPE,
    Instrument,
    InstrumentError,
    Rounding,
    instrument_rows,
    read_instruments,
)
from engine.domain.instrument_row import (
    INSTRUMENT_BYTES,
    NO_BOUND,
    SEGMENT_COUNT_OFFSET,
    decimal_text,
    pack_row,
    segment_bytes,
    step_parts,
    unit_e8,
    unpack_row,
)


def btcusdt() -> Instrument:
    return Instrument(
        symbol="BTCUSDT",
        base="BTC",
        quote="USDT",
        margin="USDT",
        price_exponent=1,
        qty_exponent=3,
        tick_scaled=1,
        lot_scaled=1,
        min_price_ticks=5568,
        max_price_ticks=45_293_640,
        unit_e8=unit_e8("0.10", "0.001"),
    )


@pytest.mark.parametrize(
    ("text", "scaled", "exponent"),
    [
        ("0.10", 1, 1),
        ("0.01000000", 1, 2),
        ("1", 1, 0),
        ("5", 5, 0),
        ("0.025", 25, 3),
        ("10", 10, 0),
    ],
)
def test_a_step_keeps_its_digits_and_loses_trailing_zeros(
    text: str, scaled: int, exponent: int
) -> None:
    assert step_parts(text) == (scaled, exponent)


@pytest.mark.parametrize("text", ["0", "-0.1", "NaN", "abc", "", "1e-13", "Infinity"])
def test_a_step_that_is_no_step_is_refused(text: str) -> None:
    with pytest.raises(InstrumentError):
        step_parts(text)


def test_money_of_a_tick_and_a_lot_is_exact() -> None:
    assert unit_e8("0.10", "0.001") == 10_000
    with pytest.raises(InstrumentError):
        unit_e8("0.0000001", "0.01")


@pytest.mark.parametrize(
    ("text", "rounding", "ticks"),
    [
        ("61800.20", Rounding.EXACT, 618_002),
        ("61800.25", Rounding.EXACT, None),
        ("61800.25", Rounding.DOWN, 618_002),
        ("61800.25", Rounding.UP, 618_003),
        ("61800.25", Rounding.NEAREST, 618_003),
        ("61800.24", Rounding.NEAREST, 618_002),
        ("-61800.25", Rounding.DOWN, -618_002),
        ("NaN", Rounding.DOWN, None),
        ("Infinity", Rounding.UP, None),
        ("ten", Rounding.UP, None),
        ("1e400", Rounding.UP, None),
    ],
)
def test_a_price_goes_to_the_grid_in_the_stated_direction(
    text: str, rounding: Rounding, ticks: int | None
) -> None:
    assert btcusdt().price_ticks(text, rounding) == ticks


def test_numbers_leave_without_an_exponent() -> None:
    instrument = btcusdt()
    assert instrument.price_text(618_002) == "61800.2"
    assert instrument.qty_text(1) == "0.001"
    assert decimal_text(-5, 3) == "-0.005"
    assert decimal_text(7, 0) == "7"


@given(
    ticks=st.integers(-(10**12), 10**12),
    scaled=st.sampled_from([1, 2, 5, 25]),
    exponent=st.integers(0, 8),
)
def test_a_price_survives_the_way_to_text_and_back(ticks: int, scaled: int, exponent: int) -> None:
    instrument = Instrument(
        symbol="X",
        price_exponent=exponent,
        qty_exponent=0,
        tick_scaled=scaled,
        lot_scaled=1,
        unit_e8=1,
    )
    text = instrument.price_text(ticks)
    assert "e" not in text.lower()
    assert Decimal(text) == ticks * Decimal(scaled).scaleb(-exponent)
    assert instrument.price_ticks(text) == ticks


def test_a_row_survives_the_segment() -> None:
    assert INSTRUMENT_DTYPE.itemsize == INSTRUMENT_BYTES
    segment = bytearray(segment_bytes(4))
    pack_row(btcusdt(), segment, 1)
    assert unpack_row(segment, 1) == btcusdt()
    segment[SEGMENT_COUNT_OFFSET : SEGMENT_COUNT_OFFSET + 8] = (2).to_bytes(8, "little")
    rows = read_instruments(memoryview(segment))
    assert len(rows) == 2
    assert rows["symbol"][1] == b"BTCUSDT"
    assert rows["max_qty_lots"][1] == NO_BOUND
    assert rows["tick_size"][1] == 0.1


def test_every_field_of_a_numpy_row_is_the_instruments_own() -> None:
    instrument = btcusdt()
    row = instrument_rows([instrument])[0]
    names = INSTRUMENT_DTYPE.names or ()
    for name in names:
        ours = getattr(instrument, name)
        theirs = row[name].decode() if isinstance(row[name], bytes) else row[name]
        assert theirs == ours, name


def test_notional_is_price_times_quantity() -> None:
    instrument = btcusdt()
    exact = Decimal(instrument.price_text(618_002)) * Decimal(instrument.qty_text(14))
    assert Decimal(instrument.notional_e8(618_002, 14)).scaleb(-8) == exact
    assert np.int64(instrument.notional_e8(618_002, 14)) == 86_520_280_000
