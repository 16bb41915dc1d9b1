"""Rows do not know each other: any choice of them computes what all of them together do."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.features.batch import batch_features
from engine.domain.features.catalogue import Catalogue, FeatureRow, catalogue_text, compile_plan
from tests.feature_bars import CATALOGUE, batch, random_bars, random_context

BARS = random_bars(150, seed=51)
CONTEXT = random_context(len(BARS))
TEXT = catalogue_text()
ROWS = CATALOGUE.bar_rows
WHOLE = {"features": np.empty((0, 0))}
CHOICES = st.sets(st.integers(0, len(ROWS) - 1), min_size=1, max_size=30)


def whole() -> np.ndarray:
    """Return every column, computed once."""
    if not WHOLE["features"].size:
        WHOLE["features"] = batch(BARS, CONTEXT)
    return WHOLE["features"]


def chosen(rows: Sequence[FeatureRow]) -> Catalogue:
    names = {row.name for row in rows}
    return compile_plan(TEXT, lambda row: row.name in names)


def columns(catalogue: Catalogue) -> list[int]:
    return [CATALOGUE.bar_columns.index(name) for name in catalogue.bar_columns]


def computed(catalogue: Catalogue) -> np.ndarray:
    return batch_features(catalogue, np.array(BARS, dtype=np.float64), CONTEXT)


@given(CHOICES)
def test_some_rows_compute_what_all_do(numbers: set[int]) -> None:
    catalogue = chosen([ROWS[number] for number in numbers])
    np.testing.assert_array_equal(computed(catalogue), whole()[:, columns(catalogue)])


@given(CHOICES)
def test_rows_keep_their_order_and_their_names(numbers: set[int]) -> None:
    catalogue = chosen([ROWS[number] for number in numbers])
    expected = [ROWS[number].name for number in sorted(numbers)]
    assert [row.name for row in catalogue.bar_rows] == expected
    assert columns(catalogue) == sorted(columns(catalogue))


@given(CHOICES)
def test_only_layers_that_a_row_asks_for_are_kept(numbers: set[int]) -> None:
    rows = [ROWS[number] for number in sorted(numbers)]
    plan = chosen(rows).plan
    assert plan.coarse_bars.tolist() == sorted({row.every for row in rows} - {1})
    widths = [
        sum(len(row.columns) for row in rows if row.every == every) for every in plan.coarse_bars
    ]
    assert plan.coarse_width.tolist() == widths


@given(st.sampled_from(sorted({row.family for row in ROWS})))
def test_a_family_needs_no_other(family: str) -> None:
    catalogue = compile_plan(TEXT, lambda row: row.family == family)
    np.testing.assert_array_equal(computed(catalogue), whole()[:, columns(catalogue)])
