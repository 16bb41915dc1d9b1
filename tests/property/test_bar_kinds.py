"""Bars by ticks, volume, dollars and imbalance against a plain model, on any order of trades."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.bar_kinds import (
    START_STEP_NS,
    BarKind,
    TradeColumns,
    add_to_kind,
    collect_bars,
    create_kind_state,
)
from engine.domain.bars import BAR_DTYPE, BAR_RING_BARS
from engine.domain.features.batch import batch_features
from engine.domain.features.series import BAR_INPUTS, read_bar
from tests.feature_bars import CATALOGUE

START_NS = 1_700_000_000_000_000_000

# ns since the trade before, which may be none or negative; price; quantity; bought
TRADES = st.lists(
    st.tuples(
        st.sampled_from([-500_000, 0, 0, 1, 1_000_000, 10**9]),
        st.integers(1, 40),
        st.integers(1, 50),
        st.booleans(),
    ),
    min_size=1,
    max_size=80,
)
Trade = tuple[int, int, int, bool]


def absolute(steps: list[Trade]) -> list[Trade]:
    times = itertools.accumulate((step[0] for step in steps), initial=START_NS)
    return [
        (at, *step[1:]) for at, step in zip(itertools.islice(times, 1, None), steps, strict=True)
    ]


def columns_of(trades: list[Trade]) -> TradeColumns:
    times, prices, quantities, sides = (list(column) for column in zip(*trades, strict=True))
    return TradeColumns(
        venue_time_ns=np.array(times, dtype=np.int64),
        price_ticks=np.array(prices, dtype=np.int64),
        qty_lots=np.array(quantities, dtype=np.int64),
        is_buy=np.array(sides, dtype=np.uint8),
    )


def found_bars(kind: BarKind, threshold: int, trades: list[Trade]) -> np.ndarray:
    bars = np.zeros(len(trades), dtype=BAR_DTYPE)
    state = create_kind_state(1)
    return bars[: collect_bars(state, int(kind), threshold, columns_of(trades), bars)]


def reached(kind: BarKind, group: list[Trade]) -> int:
    """Measure a group of trades by the table in the module."""
    signed = sum(qty if buy else -qty for _, _, qty, buy in group)
    return {
        BarKind.TICK: len(group),
        BarKind.VOLUME: sum(qty for _, _, qty, _ in group),
        BarKind.DOLLAR: sum(price * qty for _, price, qty, _ in group),
        BarKind.IMBALANCE: abs(signed),
    }[kind]


def plain_groups(kind: BarKind, threshold: int, trades: list[Trade]) -> list[list[Trade]]:
    """Return the trades of each closed bar."""
    groups: list[list[Trade]] = [[]]
    for trade in trades:
        groups[-1].append(trade)
        if reached(kind, groups[-1]) >= threshold:
            groups.append([])
    return groups[:-1]


@pytest.mark.parametrize("kind", BarKind)
@given(steps=TRADES, threshold=st.integers(1, 400))
def test_bars_equal_a_plain_model(kind: BarKind, steps: list[Trade], threshold: int) -> None:
    trades = absolute(steps)
    bars = found_bars(kind, threshold, trades)
    groups = plain_groups(kind, threshold, trades)
    assert len(bars) == len(groups)
    earliest = 0
    for bar, group in zip(bars, groups, strict=True):
        prices = [price for _, price, _, _ in group]
        expected = (prices[0], max(prices), min(prices), prices[-1])
        names = ("open_ticks", "high_ticks", "low_ticks", "close_ticks")
        assert tuple(int(bar[name]) for name in names) == expected
        assert bar["volume_lots"] == sum(qty for _, _, qty, _ in group)
        assert bar["buy_lots"] == sum(qty for _, _, qty, buy in group if buy)
        assert bar["trade_count"] == len(group)
        assert bar["is_final"] == 1
        assert bar["start_ns"] == max(group[0][0], earliest)
        earliest = int(bar["start_ns"]) + START_STEP_NS


@pytest.mark.parametrize("kind", BarKind)
@given(steps=TRADES, threshold=st.integers(1, 400), cut=st.integers(0, 80))
def test_a_bar_does_not_depend_on_later_trades(
    kind: BarKind, steps: list[Trade], threshold: int, cut: int
) -> None:
    trades = absolute(steps)
    early = found_bars(kind, threshold, trades[: max(cut, 1)])
    assert early.tobytes() == found_bars(kind, threshold, trades)[: len(early)].tobytes()


def test_one_large_trade_ends_one_bar() -> None:
    bars = found_bars(BarKind.VOLUME, 10, [(START_NS, 5, 95, True), (START_NS, 6, 4, False)])
    assert list(bars["volume_lots"]) == [95]


def test_an_imbalance_that_turns_back_ends_no_bar() -> None:
    to_and_fro = [(START_NS + k, 5, 9, k % 2 == 0) for k in range(50)]
    assert len(found_bars(BarKind.IMBALANCE, 10, to_and_fro)) == 0
    assert len(found_bars(BarKind.IMBALANCE, 9, to_and_fro)) == 50


def test_instruments_do_not_share_bars_and_the_ring_keeps_the_newest() -> None:
    state = create_kind_state(2)
    for k in range(BAR_RING_BARS + 5):
        assert add_to_kind(state, 1, int(BarKind.TICK), 1, START_NS, 100 + k, 1, True)
    assert list(state.closed_count[:, 0]) == [0, BAR_RING_BARS + 5]
    assert state.closed["close_ticks"][1, 0].max() == 100 + BAR_RING_BARS + 4
    assert state.closed["close_ticks"][1, 0].min() == 105
    assert (state.closed["close_ticks"][0] == 0).all()


def test_features_take_bars_of_any_kind_although_trades_share_a_time() -> None:
    random = np.random.default_rng(4)
    prices = 5_000 + np.cumsum(random.integers(-3, 4, 4_000))
    trades = [
        (START_NS + (k // 9) * 1_000_000, int(price), int(random.integers(1, 30)), k % 3 == 0)
        for k, price in enumerate(prices)
    ]
    bars = found_bars(BarKind.VOLUME, 200, trades)
    inputs = np.empty((len(bars), BAR_INPUTS))
    for bar, row in zip(bars, inputs, strict=True):
        read_bar(bar, row)
    last = batch_features(CATALOGUE, inputs)
    assert len(bars) > 250
    known = CATALOGUE.bar_columns.index("statistics.rank_100")
    assert not np.isnan(last[100:, known]).any()
