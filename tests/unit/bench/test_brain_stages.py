"""The stages that a bench puts together are the engine's: they leave the state it leaves."""

import numpy as np
import pytest

from bench.sides import brain_stages as stages
from engine.domain.instrument import instrument_rows
from engine.domain.market_state import MarketState, create_market_state
from engine.domain.strategy_table import select_rows
from tests.builders import make_instrument
from tests.market_runs import arrays_of, synthetic_market

COUNT = 20_000
RECORDS = synthetic_market(COUNT)


def fresh() -> MarketState:
    names = [f"T{k}USDT" for k in range(int(RECORDS["instrument_index"].max()) + 1)]
    rows = [make_instrument(name, instrument_index=k) for k, name in enumerate(names)]
    return create_market_state(instrument_rows(rows), select_rows())


@pytest.mark.slow
def test_only_all_stages_together_leave_the_state_that_production_leaves() -> None:
    """A whole seeded market, with bars closed, trades late and records refused."""
    expected = fresh()
    stages.production(expected, RECORDS)
    assert expected.closed_count.sum() > 0, "bars were closed"
    same = []
    for depth in (stages.BOOK, stages.BARS, stages.STRUCTURE, stages.FEATURES, stages.SCORE):
        state = fresh()
        stages.up_to(state, RECORDS, depth)
        same.append(stages.same_state(arrays_of(state), arrays_of(expected)))
    assert same == [False, False, False, True, True]


def test_a_state_that_differs_in_one_byte_is_not_the_same() -> None:
    one = {"whole": np.arange(3), "floats": np.array([1.0, np.nan])}
    assert stages.same_state(one, {name: part.copy() for name, part in one.items()})
    for name in one:
        other = {key: part.copy() for key, part in one.items()}
        other[name][0] += 1
        assert not stages.same_state(one, other)
