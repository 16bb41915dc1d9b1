"""Numbers of the practice exchange are exact and refuse everything that is not a plain number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.errors import ApiError
from exchange.symbols import (
    format_units,
    infer_spec,
    known_spec,
    money_text,
    parse_money,
    parse_units,
    spec_for,
)
from tests.exchange_rig import btc


@given(units=st.integers(min_value=0, max_value=10**17), decimals=st.integers(0, 8))
def test_text_and_units_are_inverse(units: int, decimals: int) -> None:
    assert parse_units(format_units(units, decimals), decimals) == units


@given(units=st.integers(min_value=-(10**17), max_value=10**17))
def test_money_keeps_its_sign(units: int) -> None:
    assert parse_money(money_text(units)) == units


@pytest.mark.parametrize(
    "text",
    ["NaN", "nan", "Infinity", "-1", "+1", "1e3", "1,5", "", ".5", " 1", "1 ", "0x1", "\u0661"],
)
def test_unusable_numbers_are_refused(text: str) -> None:
    with pytest.raises(ApiError) as refusal:
        parse_units(text, 3)
    assert refusal.value.code == -1013


def test_too_many_decimals_are_a_precision_fault() -> None:
    with pytest.raises(ApiError) as refusal:
        parse_units("0.0011", 3)
    assert refusal.value.code == -1111


def test_trailing_zeros_are_no_precision_fault() -> None:
    assert parse_units("0.00100000", 3) == 1


def test_whole_numbers_and_a_bare_point_are_plain() -> None:
    assert parse_units("12", 2) == 1200
    assert parse_units("12.", 2) == 1200


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [(0, 2, "0.00"), (5, 3, "0.005"), (-5, 3, "-0.005"), (12345, 2, "123.45"), (7, 0, "7")],
)
def test_units_are_written_with_all_their_decimals(units: int, decimals: int, text: str) -> None:
    assert format_units(units, decimals) == text


def test_notional_is_exact() -> None:
    # 61800.20 * 0.014 = 865.2028 USDT
    assert btc().notional(6_180_020, 14) == 86_520_280_000


def test_known_symbols_have_the_venues_filters() -> None:
    spec = known_spec("ETHUSDT")
    assert spec is not None
    assert (spec.price_text(spec.tick), spec.qty_text(spec.step)) == ("0.01", "0.001")
    assert money_text(spec.min_notional) == "20.00000000"
    assert btc().price_text(btc().tick) == "0.10"
    assert known_spec("XYZUSDT") is None


def test_filters_are_inferred_from_numbers_seen() -> None:
    spec = infer_spec("XYZUSDT", ["0.5010", "0.5050", "0.6000"], ["100", "30", "7"])
    assert (spec.price_decimals, spec.tick) == (4, 10)
    assert (spec.qty_decimals, spec.step) == (0, 1)


def test_inferred_step_is_a_power_of_ten_even_for_few_samples() -> None:
    spec = infer_spec("XYZUSDT", ["0.50", "1.50"], ["4.00", "8.00"])
    assert spec.tick == 10
    assert spec.step == 100


def test_symbol_whose_products_do_not_fit_money_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit exact money"):
        spec_for("XYZUSDT", price_decimals=7, qty_decimals=2)
