"""Claims that are learned: between nothing and the record, and never asked of who has none."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.claims import (
    LEARNING_KINDS,
    bare_chance,
    learn_claims,
    learned_claim,
    with_claim,
)
from engine.domain.strategy_grid import expanded_rows
from engine.domain.strategy_table import (
    OUTSIDE_ROWS,
    STRATEGY_TABLE,
    StrategyKind,
    StrategyRow,
    check_row,
    numbers_of,
)

ROWS = st.builds(
    lambda stop, take, claim: StrategyRow(
        name="own",
        kind=StrategyKind.ORDERFLOW,
        parameters={"stop_atr": stop, "take_atr": take, "claim": claim},
    ),
    st.sampled_from([0.0, 0.5, 1.0, 3.0, 8.0]),
    st.sampled_from([0.0, 0.5, 2.0, 6.0]),
    st.floats(0.0, 1.0),
)
RECORDS = st.integers(0, 5_000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
PRIORS = st.integers(1, 200)


def exact(row: StrategyRow, exits: int, wins: int, prior: int) -> float:
    """Return the same in fractions, from the mean of the beta distribution."""
    stop, take = Fraction(row.parameters["stop_atr"]), Fraction(row.parameters["take_atr"])
    bare = stop / (stop + take) if stop and take else Fraction(1, 2)
    mean = bare + Fraction(row.parameters["claim"]) * (1 - bare)
    alpha, beta = prior * mean + wins, prior * (1 - mean) + exits - wins
    claim = (alpha / (alpha + beta) - bare) / (1 - bare)
    return float(min(max(claim, Fraction(0)), Fraction(1)))


@given(ROWS, RECORDS, PRIORS)
def test_the_learned_claim_is_the_mean_of_a_beta_distribution(
    row: StrategyRow, record: tuple[int, int], prior: int
) -> None:
    found = learned_claim(row, *record, prior)
    assert found == pytest.approx(exact(row, *record, prior), abs=1e-9)


@given(ROWS, st.integers(1, 500), st.data(), PRIORS)
def test_one_win_more_never_claims_less(
    row: StrategyRow, exits: int, data: st.DataObject, prior: int
) -> None:
    wins = data.draw(st.integers(0, exits - 1))
    fewer, more = (learned_claim(row, exits, it, prior) for it in (wins, wins + 1))
    assert 0.0 <= fewer <= more <= 1.0


@given(ROWS, PRIORS)
def test_without_a_record_a_row_claims_what_it_said(row: StrategyRow, prior: int) -> None:
    assert learned_claim(row, 0, 0, prior) == pytest.approx(row.parameters["claim"], abs=1e-9)


def test_a_long_record_of_chance_leaves_no_claim_and_one_of_wins_all_of_it() -> None:
    row = StrategyRow(
        name="own", kind=StrategyKind.ORDERFLOW, parameters={"stop_atr": 1.0, "take_atr": 3.0}
    )
    assert bare_chance(row) == 0.25
    assert learned_claim(row, 10**6, 250_000, 30) == pytest.approx(0.0, abs=1e-4)
    assert learned_claim(row, 10**6, 100_000, 30) == 0.0, "worse than chance claims nothing"
    assert learned_claim(row, 10**6, 10**6, 30) == pytest.approx(1.0, abs=1e-4)


def test_only_long_records_of_rows_that_gain_by_a_chance_are_learned_from() -> None:
    making = next(row for row in expanded_rows() if row.kind is StrategyKind.MAKING)
    rows = (*STRATEGY_TABLE, making, *OUTSIDE_ROWS)
    records = {row.name: (20, 12) for row in rows} | {"orderflow": (19, 19), "gone": (99, 9)}
    found = learn_claims(rows, records, exits_min=20, prior_exits=30)
    assert set(found) == {"smc_fvg_bos", "quote_imbalance"}
    assert set(StrategyKind) - LEARNING_KINDS == {StrategyKind.MAKING, StrategyKind.OUTSIDE}
    assert learn_claims(rows, {}, exits_min=1, prior_exits=30) == {}


def test_a_row_with_a_learned_claim_asks_for_an_edge_and_others_stay_as_they_are() -> None:
    row = STRATEGY_TABLE[0]
    assert numbers_of(row)["edge_min_bps"] == -1.0
    told = check_row(with_claim(row, {row.name: 0.2}))
    assert told.parameters == row.parameters | {"claim": 0.2, "edge_min_bps": 0.0}
    assert with_claim(row, {"other": 0.2}) is row
    strict = StrategyRow(name="own", kind=row.kind, parameters={"edge_min_bps": 3.0})
    assert with_claim(strict, {"own": 0.2}).parameters["edge_min_bps"] == 3.0
