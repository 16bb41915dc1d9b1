"""Bar features: each row of the catalogue against its twin, its warm-up, and the laws of all."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from engine.domain.bar_close import update_features
from engine.domain.features.plan import KERNELS, FeatureRow
from engine.domain.market_state import create_market_state
from engine.domain.strategy_table import select_rows
from tests.builders import make_instruments
from tests.feature_twins import (
    TWINS,
    Bar,
    fresh_market,
    push_bar,
    random_bars,
    scaled_bars,
    shipped_catalogue,
    streamed,
)
from tests.market_runs import arrays_of

CATALOGUE = shipped_catalogue()
BARS = random_bars(160)
ROWS = list(enumerate(CATALOGUE.bar_rows))
NAMES = [row.name for row in CATALOGUE.bar_rows]


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return streamed(BARS)


def twin_values(row: FeatureRow, bars: Sequence[Bar]) -> np.ndarray:
    twin = TWINS[row.kernel]
    numbers = [int(number) for number in row.params]
    return np.array([twin(bars[: k + 1], *numbers) for k in range(len(bars))])


def test_every_kernel_has_a_twin_and_a_row() -> None:
    assert set(TWINS) == set(KERNELS)
    assert {row.kernel for row in CATALOGUE.bar_rows} == set(KERNELS)


@pytest.mark.parametrize(("column", "row"), ROWS, ids=NAMES)
def test_a_feature_equals_its_twin(column: int, row: FeatureRow, features: np.ndarray) -> None:
    np.testing.assert_allclose(
        features[:, column], twin_values(row, BARS), rtol=1e-9, atol=1e-12, equal_nan=True
    )


@pytest.mark.parametrize(("column", "row"), ROWS, ids=NAMES)
def test_a_feature_is_nan_exactly_as_long_as_its_row_says(
    column: int, row: FeatureRow, features: np.ndarray
) -> None:
    assert np.isnan(features[: row.warm_up, column]).all()
    assert not np.isnan(features[row.warm_up :, column]).any()


@pytest.mark.parametrize("cut", [1, 15, 40, 63, 64, 65, 128, 159])
def test_a_feature_of_a_bar_does_not_depend_on_later_bars(cut: int, features: np.ndarray) -> None:
    np.testing.assert_array_equal(streamed(BARS[:cut]), features[:cut])


def test_a_bar_fed_early_is_noticed(features: np.ndarray) -> None:
    # The test above would notice a leak: with the next bar's close the features differ.
    early = [*BARS[:79], BARS[79]._replace(close=BARS[80].close), *BARS[80:]]
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(streamed(early)[:80], features[:80])


@pytest.mark.parametrize("factor", [10, 100, 1_000])
def test_no_feature_depends_on_the_level_of_prices(factor: int, features: np.ndarray) -> None:
    np.testing.assert_allclose(
        streamed(scaled_bars(BARS, factor)), features, rtol=1e-9, atol=1e-9, equal_nan=True
    )


def test_a_state_that_was_copied_midway_goes_on_the_same(features: np.ndarray) -> None:
    market = fresh_market()
    streamed(BARS[:70], market)
    restored = fresh_market()
    source = arrays_of(market)
    for name, part in arrays_of(restored).items():
        part[...] = source[name]
    np.testing.assert_array_equal(streamed(BARS[70:], restored), features[70:])


def test_a_flat_market_gives_no_number_out_of_nothing() -> None:
    flat = [Bar(1_000, 1_000, 1_000, 1_000, 10, 5)] * 80
    last = dict(zip(NAMES, streamed(flat)[-1], strict=True))
    unknown = {
        "returns.change_1",
        "returns.body",
        "returns.close_place",
        "averages.ema_distance_8",
        "momentum.rsi_14",
        "volatility.range_atr",
        "statistics.deviation_20",
    }
    for name in unknown:
        assert math.isnan(last[name]), name
    assert last["volatility.atr_bps"] == 0.0
    assert last["volatility.deviation_bps_30"] == 0.0
    assert last["volume.relative_20"] == 1.0
    assert last["volume.taker_balance_5"] == 0.0


def test_bars_without_volume_have_no_balance() -> None:
    empty = [bar._replace(volume=0, bought=0) for bar in BARS[:40]]
    last = dict(zip(NAMES, streamed(empty)[-1], strict=True))
    assert math.isnan(last["volume.taker_balance_1"])
    assert math.isnan(last["volume.relative_20"])


def test_no_feature_is_infinite_after_a_jump(features: np.ndarray) -> None:
    jump = [*BARS[:60], *(bar._replace() for bar in scaled_bars(BARS[60:], 9))]
    values = streamed(jump)
    assert not np.isinf(values).any()
    assert np.isnan(values[-1]).sum() == np.isnan(features[-1]).sum() == 0


def test_timeframes_and_instruments_do_not_share_state() -> None:
    market = create_market_state(make_instruments(2), select_rows(["quote_imbalance"]), (1, 5))
    for bar in BARS[:80]:
        update_features(market, 0, 0, push_bar(market, bar))
    assert not np.isnan(market.bar_features[0, 0]).any()
    for i, t in ((0, 1), (1, 0), (1, 1)):
        assert np.isnan(market.bar_features[i, t]).all()
        assert (market.feature_memory[i, t] == 0.0).all()
        assert np.isnan(market.atr_ticks[i, t])
