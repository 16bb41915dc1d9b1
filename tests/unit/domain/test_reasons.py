"""What a decision rests on is told by name, and of a score it adds up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.features import micro
from engine.domain.reasons import FLOW_REST, FLOW_WEIGHTS, contributions
from engine.domain.score import COLUMN, ORDERFLOW_WEIGHTS, SCALE, WEIGHT, linear_score
from engine.domain.strategy_table import (
    INPUT_NAMES,
    OUTSIDE_ROWS,
    STRATEGY_TABLE,
    StrategyKind,
    select_rows,
)

READ = st.floats(-20, 20)
NAMED = {"trade_flow": micro.TRADE_FLOW_LONG, "quote_flow": micro.QUOTE_FLOW_LONG,
         "imbalance": micro.IMBALANCE}  # fmt: skip


def row_of(kind: StrategyKind) -> object:
    return next(row for row in STRATEGY_TABLE if row.kind is kind)


@given(READ, READ, READ, READ)
def test_parts_of_a_score_add_up_and_the_greatest_is_first(
    long: float, short: float, quote: float, imbalance: float
) -> None:
    features = np.zeros(micro.MICRO_COLUMNS)
    for column, value in (
        (micro.TRADE_FLOW_LONG, long),
        (micro.TRADE_FLOW_SHORT, short),
        (micro.QUOTE_FLOW_LONG, quote),
        (micro.IMBALANCE, imbalance),
    ):
        features[column] = value
    score = float(linear_score(ORDERFLOW_WEIGHTS, features))
    inputs = {"trade_flow": long, "quote_flow": quote, "imbalance": imbalance, "spread_bps": 1.0}
    found = contributions(row_of(StrategyKind.ORDERFLOW), score, inputs)  # type: ignore[arg-type]
    assert {it.name for it in found} == {*NAMED, FLOW_REST}
    assert sum(it.value for it in found) == pytest.approx(score, abs=1e-12)
    sizes = [abs(it.value) for it in found]
    assert sizes == sorted(sizes, reverse=True)
    rest = next(it.value for it in found if it.name == FLOW_REST)
    assert rest == pytest.approx(0.25 * min(max(short / 6.0, -1), 1), abs=1e-12)


def test_the_weights_told_are_the_weights_used() -> None:
    packed = {int(row[COLUMN]): (row[SCALE], row[WEIGHT]) for row in ORDERFLOW_WEIGHTS}
    for name, scale, weight in FLOW_WEIGHTS:
        assert packed.pop(NAMED[name]) == (scale, weight)
    assert list(packed) == [micro.TRADE_FLOW_SHORT], "what is left is the rest"


def test_rules_name_their_features_and_bounds() -> None:
    (row,) = select_rows(["smart.break_discount_0.5_3@1m"])
    inputs = dict.fromkeys(INPUT_NAMES[StrategyKind.RULES], 0.0)
    inputs |= {"entry_feature": 1.0, "filter_feature": 0.61}
    entry, kept = contributions(row, 1.0, inputs)
    assert str(entry) == "smart_money.trend.side 1 (bound 3)"
    assert str(kept) == "smart_money.leg.depth 0.61 (bound 0.5)"


@pytest.mark.parametrize("kind", [StrategyKind.SMC, StrategyKind.QUOTE_IMBALANCE])
def test_every_kind_says_something(kind: StrategyKind) -> None:
    inputs = dict.fromkeys(INPUT_NAMES[kind], 0.25)
    found = contributions(row_of(kind), -0.5, inputs)  # type: ignore[arg-type]
    assert found
    assert all(it.name in str(it) for it in found)


def test_a_kind_without_a_case_here_rests_on_its_score() -> None:
    """A kind that somebody adds is told too: `aegis why` must not fail on it."""
    found = contributions(OUTSIDE_ROWS[0], 0.5, {})
    assert [str(it) for it in found] == ["score +0.500"]


def test_a_quote_rests_on_its_width_and_on_what_is_held() -> None:
    (row,) = select_rows(["making.spread_1_0.5@5s"])
    inputs = dict(zip(INPUT_NAMES[StrategyKind.MAKING], (1_000.0, 985.0, 40.0, 30.0), strict=True))
    found = contributions(row, 0.5, inputs)
    assert [str(it) for it in found] == [
        "half_ticks +40.000",
        "skew_ticks -15.000",
        "inventory +0.500",
    ]
