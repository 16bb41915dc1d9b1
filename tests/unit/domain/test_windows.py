"""What stands in a window: the four lanes against plain numpy, for any number of bars."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.features import windows
from engine.domain.features.series import WINDOW_MAX, log_ratio
from engine.domain.kernel import python_of

Form = Callable[[Callable[..., Any]], Callable[..., Any]]
PLACE = 200
SERIES = np.random.default_rng(7).uniform(1.0, 9.0, (3, 256))
LENGTHS = st.integers(1, WINDOW_MAX)
FORMS = pytest.mark.parametrize(
    "form", [lambda kernel: kernel, python_of], ids=["compiled", "plain"]
)


def newest(column: int, bars: int, back: int = 0) -> np.ndarray:
    return SERIES[column, PLACE - bars + 1 - back : PLACE + 1 - back]


@FORMS
@given(bars=LENGTHS)
def test_a_reading_of_one_column_equals_numpys(form: Form, bars: int) -> None:
    x = newest(1, bars)
    of = {
        name: form(getattr(windows, name))(SERIES, 1, PLACE, bars)
        for name in ("window_sum", "window_spread")
    }
    assert of["window_sum"] == pytest.approx(x.sum(), rel=1e-13)
    assert of["window_spread"] == pytest.approx(((x - x[-1]).mean(), x.var()), rel=1e-9, abs=1e-12)
    way = np.abs(x - newest(1, bars, 1)).sum()
    assert windows.window_way(SERIES, 1, PLACE, bars) == pytest.approx(way, rel=1e-13)
    away = form(windows.distance_from)(SERIES, 1, PLACE, bars, 2.0)
    assert away == pytest.approx(np.abs(x - 2.0).sum(), rel=1e-13)
    along = ((np.arange(bars) - 4.5) * (x - 2.0)).sum()
    found = form(windows.along_of)(SERIES, 1, PLACE, bars, 2.0, 4.5)
    assert found == pytest.approx(along, rel=1e-12, abs=1e-9)
    powers = [((x - 3.0) ** power).sum() for power in (2, 3, 4)]
    found = form(windows.powers_of)(SERIES, 1, PLACE, bars, 3.0)
    assert found == pytest.approx(powers, rel=1e-12, abs=1e-9)


@FORMS
@given(bars=LENGTHS, back=st.integers(0, 80))
def test_a_reading_of_two_windows_equals_numpys(form: Form, bars: int, back: int) -> None:
    x, y, before = newest(1, bars), newest(2, bars, back), newest(1, bars, back)
    there = PLACE - back
    distance = form(windows.distance_between)(SERIES, 1, PLACE, 2, there, bars)
    assert distance == pytest.approx(np.abs(x - y).sum(), rel=1e-12)
    found = form(windows.window_range)(SERIES, 1, 2, PLACE, bars)
    assert found == (newest(2, bars).min(), x.max())
    squares = form(windows.squares_between)(SERIES, 1, PLACE, bars, back)
    assert squares == pytest.approx(((x - before) ** 2).sum(), rel=1e-12)
    found = form(windows.products_of)(SERIES, 1, PLACE, 2.0, 2, there, 5.0, bars)
    assert found == pytest.approx(((x - 2.0) * (y - 5.0)).sum(), rel=1e-11, abs=1e-9)


@FORMS
@given(bars=LENGTHS)
def test_weighted_squares_equal_numpys(form: Form, bars: int) -> None:
    x, y = newest(1, bars), newest(2, bars)
    found = form(windows.weighted_squares_of)(SERIES, 1, 2, PLACE, bars, 4.0)
    assert found == pytest.approx(((x - 4.0) ** 2 * y).sum(), rel=1e-12)


@FORMS
@given(bars=LENGTHS)
def test_of_equal_numbers_the_newest_place_is_found(form: Form, bars: int) -> None:
    rounded = np.round(SERIES)
    x = rounded[1, PLACE - bars + 1 : PLACE + 1]
    found = form(windows.newest_at)(rounded, 1, PLACE, bars, x.max())
    assert found == np.flatnonzero(x == x.max())[-1]


@given(base=st.floats(1e-6, 1e9), change=st.floats(-0.5, 1.0))
def test_a_log_of_near_prices_is_as_exact_as_the_library_says_it(
    base: float, change: float
) -> None:
    price = base * (1.0 + change)
    difference = (price - base) / base
    assert log_ratio(price, base) == pytest.approx(math.log1p(difference), rel=2e-15, abs=1e-300)
