"""Instruments beside each other: a leader's price and who rose, as they are when a bar ends."""

from itertools import pairwise

import numpy as np
import pytest

from engine.domain.bar_close import update_features
from engine.domain.features.series import BREADTH, CONTEXT_WORDS, LEADER_PRICE, TIMEFRAME_S
from engine.domain.market_state import LEADER
from tests.feature_bars import CATALOGUE, HOUR_S, Bar, batch, fresh_market, push_bar, random_bars

COUNT = 120
MARKETS = [random_bars(COUNT, seed=seed) for seed in (21, 22, 23)]
NAN = float("nan")


class Crowd:
    """Three instruments whose bars end one after another, and what a plain model knows of them."""

    def __init__(self, leader: int) -> None:
        """Start before the first bar; `leader` is an index, -1: none."""
        self.market = fresh_market(len(MARKETS))
        self.market.progress[LEADER] = leader
        self.leader = leader
        self.sides: dict[int, int] = {}
        self.prices = [0.0] * len(MARKETS)

    def close(self, i: int, bar: Bar) -> tuple[np.ndarray, np.ndarray]:
        """End a bar of one instrument; return its features and what was known beside it."""
        self.prices[i] = bar.close
        self.market.hot["last_price_ticks"][i] = bar.close
        self.sides[i] = int(np.sign(bar.close - bar.open))
        update_features(self.market, i, 0, push_bar(self.market, bar, i))
        context = np.full(CONTEXT_WORDS, NAN)
        context[TIMEFRAME_S] = HOUR_S
        if self.leader >= 0 and self.prices[self.leader]:
            context[LEADER_PRICE] = self.prices[self.leader]
        if len(self.sides) > 1:
            context[BREADTH] = sum(self.sides.values()) / len(self.sides)
        return self.market.bar_features[i, 0].copy(), context


def run(leader: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return features and contexts of each instrument, after all bars in turn."""
    crowd = Crowd(leader)
    told = [[crowd.close(i, MARKETS[i][k]) for i in range(len(MARKETS))] for k in range(COUNT)]
    return [
        (np.array([row[i][0] for row in told]), np.array([row[i][1] for row in told]))
        for i in range(len(MARKETS))
    ]


def columns(name: str) -> list[int]:
    return [k for k, column in enumerate(CATALOGUE.bar_columns) if column.startswith(name)]


@pytest.mark.parametrize("leader", [-1, 0, 2])
def test_the_brain_reads_leader_and_breadth_as_they_are_when_a_bar_ends(leader: int) -> None:
    for i, (features, context) in enumerate(run(leader)):
        np.testing.assert_array_equal(features, batch(MARKETS[i], context))


def test_without_a_leader_what_is_read_beside_it_is_unknown() -> None:
    features, _ = run(-1)[0]
    assert np.isnan(features[:, columns("cross.leader")]).all()
    assert not np.isnan(features[-1, columns("cross.breadth")]).any()


def test_the_leader_beside_itself_has_a_beta_of_one() -> None:
    features, _ = run(1)[1]
    beta, correlation, residual, *_ = (features[-1, k] for k in columns("cross.leader_60"))
    assert beta == pytest.approx(1.0)
    assert correlation == pytest.approx(1.0)
    assert residual == pytest.approx(0.0, abs=1e-9)


def test_a_follower_is_told_by_the_leaders_return_before() -> None:
    """One instrument repeats what the other did a bar before."""
    leader = MARKETS[0]
    moves = [
        0,
        *(bar.close / before.close for before, bar in pairwise(leader)),
    ]
    follower = [leader[0]]
    for k in range(1, COUNT):
        price = follower[-1].close * (moves[k - 1] or 1.0)
        bar = leader[k]
        follower.append(
            bar._replace(open=price, high=price * 1.001, low=price / 1.001, close=price)
        )
    context = np.full((COUNT, CONTEXT_WORDS), NAN)
    context[:, LEADER_PRICE] = [bar.close for bar in leader]
    last = batch(follower, context)[-1]
    _, _, _, lead, follow = (last[k] for k in columns("cross.leader_60"))
    assert lead > 0.95
    assert abs(follow) < 0.5


def test_a_leader_that_stops_trading_leaves_no_return_across_the_gap() -> None:
    context = np.full((COUNT, CONTEXT_WORDS), NAN)
    context[:, LEADER_PRICE] = [bar.close for bar in MARKETS[1]]
    whole = batch(MARKETS[0], context)
    context[90:93, LEADER_PRICE] = NAN
    found = batch(MARKETS[0], context)
    at = columns("cross.leader_60")
    assert np.isnan(found[90:94, at]).all(), "three bars without it, and one with nothing before"
    assert not np.isnan(found[94:, at]).any()
    np.testing.assert_array_equal(found[:90, at], whole[:90, at])


def test_breadth_of_one_instrument_is_unknown_and_a_flat_bar_counts_for_neither_side() -> None:
    crowd = Crowd(-1)
    flat = Bar(open=100, high=101, low=99, close=100, volume=5, bought=1, start_s=HOUR_S)
    crowd.close(0, flat)
    assert np.isnan(crowd.market.bar_context[BREADTH])
    crowd.close(1, flat._replace(close=101))
    assert crowd.market.bar_context[BREADTH] == 0.5
    crowd.close(2, flat._replace(close=99))
    assert crowd.market.bar_context[BREADTH] == 0.0
    crowd.close(1, flat._replace(close=99, start_s=2 * HOUR_S))
    assert crowd.market.bar_context[BREADTH] == pytest.approx(-2 / 3)
    assert crowd.market.breadth.tolist() == [[-2, 3]]
