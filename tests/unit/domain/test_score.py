"""The linear score: bounded, unknown when an input is, and the shipped weights."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engine.domain.features import micro
from engine.domain.score import ORDERFLOW_WEIGHTS, WEIGHT, linear_score, pack_linear

NUMBERS = st.floats(-1e6, 1e6)


def test_a_score_sums_clipped_inputs_by_weight() -> None:
    weights = pack_linear(((0, 2.0, 0.75), (2, 10.0, -0.25)))
    inputs = np.array([[1.0, 99.0, 40.0]])
    assert linear_score(weights, inputs[0]) == pytest.approx(0.75 * 0.5 - 0.25)


@given(hnp.arrays(np.float64, (1, micro.MICRO_COLUMNS), elements=NUMBERS))
def test_a_score_lies_within_one_and_turns_with_its_inputs(inputs: np.ndarray) -> None:
    score = linear_score(ORDERFLOW_WEIGHTS, inputs[0])
    assert -1.0 <= score <= 1.0
    assert linear_score(ORDERFLOW_WEIGHTS, -inputs[0]) == -score


@pytest.mark.parametrize("row", range(len(ORDERFLOW_WEIGHTS)))
def test_an_unknown_input_makes_the_score_unknown(row: int) -> None:
    inputs = np.ones((1, micro.MICRO_COLUMNS))
    inputs[0, int(ORDERFLOW_WEIGHTS[row, 0])] = np.nan
    assert math.isnan(linear_score(ORDERFLOW_WEIGHTS, inputs[0]))


def test_no_single_input_reaches_the_entry_threshold() -> None:
    assert np.abs(ORDERFLOW_WEIGHTS[:, WEIGHT]).max() < 0.5


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (((0, 1.0, 0.5),), "sum to 1"),
        (((0, 0.0, 1.0),), "positive"),
        ((), "inputs of a score"),
    ],
)
def test_wrong_weights_are_refused(rows: tuple, what: str) -> None:
    with pytest.raises(AssertionError, match=what):
        pack_linear(rows)
