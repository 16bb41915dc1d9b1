"""How recent an extreme is: what is remembered of it, against every bar of the window."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.features.catalogue import FeatureRow
from tests.feature_bars import CATALOGUE, batch, random_bars

ROWS = [row for row in CATALOGUE.bar_rows if row.kernel == "trend.aroon"]
COUNT = 200  # more than a lap of the columns


def newest_of(extremes: np.ndarray, bars: int) -> np.ndarray:
    """Return how recent the highest of each window is, the newest of equal ones, 1 to 0."""
    found = np.full(len(extremes), np.nan)
    for number in range(bars, len(extremes)):
        window = extremes[number - bars : number + 1]
        found[number] = np.flatnonzero(window == window.max())[-1] / bars
    return found


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
@given(st.integers(0, 10_000), st.sampled_from([0, 1, 3, 40]))
def test_of_equal_extremes_the_newest_one_in_the_window_counts(
    row: FeatureRow, seed: int, step: int
) -> None:
    walk = random_bars(COUNT, seed, step=step)
    up, down = batch(walk)[:, [CATALOGUE.bar_columns.index(name) for name in row.columns]].T
    bars = int(row.params[0])
    np.testing.assert_array_equal(up, newest_of(np.array([bar.high for bar in walk]), bars))
    np.testing.assert_array_equal(down, newest_of(-np.array([bar.low for bar in walk]), bars))
