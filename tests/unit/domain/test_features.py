"""Bar features: each row of the catalogue against its oracle and its twin, and the laws of all."""

import gzip
import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine.domain.features.catalogue import FeatureRow
from engine.domain.features.plan import KERNELS
from tests.feature_bars import (
    CATALOGUE,
    DAY_S,
    FIRST_S,
    HOUR_S,
    Bar,
    batch,
    held,
    made_of,
    random_bars,
    random_context,
    scaled_bars,
    timed,
)
from tests.feature_twins import Seen
from tests.feature_twins_flow import TWINS

BARS = random_bars(160)
MANY = random_bars(6_000, seed=3)
ROWS = list(CATALOGUE.bar_rows)
NAMES = [row.name for row in ROWS]
WITH_TWIN = [row for row in ROWS if row.kernel in TWINS]
WITH_ORACLE = [row for row in ROWS if row.oracle.startswith("TA-Lib")]
Floats = np.ndarray
MINUTE_S = 60
# A reading that jumps at a threshold may fall on its other side by one rounding.
JUMPING = {"candles", "profile", "patterns"}


def of(row: FeatureRow, features: Floats) -> Floats:
    """Return float64[bars, outputs] of one row."""
    first = CATALOGUE.bar_columns.index(row.columns[0])
    return features[:, first : first + len(row.columns)]


@pytest.fixture(scope="module")
def features() -> Floats:
    return batch(BARS)


@pytest.fixture(scope="module")
def many() -> Floats:
    return batch(MANY)


def special_bars(kind: str) -> list[Bar]:
    """Return bars at which a definition may have no number."""
    walk = random_bars(130, seed=5)
    if kind == "flat":
        walk = [bar._replace(open=900, high=900, low=900, close=900) for bar in walk]
    elif kind == "no volume":
        walk = [bar._replace(volume=0, bought=0, trades=0) for bar in walk]
    elif kind == "jumps":
        walk = [*walk[:60], *scaled_bars(walk[60:90], 9.0), *walk[90:]]
    elif kind == "rising":
        walk = [
            bar._replace(open=900 + k, high=901 + k, low=900 + k, close=901 + k)
            for k, bar in enumerate(walk)
        ]
    elif kind == "small":
        walk = random_bars(130, seed=6, price=300, step=3)
    return timed(walk)


@cache
def special_features(kind: str) -> Floats:
    """Return the features of such bars."""
    return batch(special_bars(kind))


def twin_values(row: FeatureRow, bars: Sequence[Bar]) -> Floats:
    context = random_context(len(bars))
    numbers = [number if number != int(number) else int(number) for number in row.params]
    if row.every > 1:
        made = made_of(bars, row.every)
        values = twin_values(msgspec.structs.replace(row, every=1), [it.bar for it in made])
        return held(made, values, len(bars))
    found = [
        TWINS[row.kernel](Seen(bars[: k + 1], context[: k + 1]), *numbers) for k in range(len(bars))
    ]
    return np.array(found, dtype=np.float64).reshape(len(bars), -1)


# ---- definitions ----


def test_every_kernel_has_a_row_and_every_row_what_it_says_it_is_compared_with() -> None:
    assert {row.kernel for row in ROWS} == set(KERNELS)
    assert [row.name for row in ROWS if row not in WITH_TWIN and row not in WITH_ORACLE] == []
    assert {row.oracle for row in ROWS if row not in WITH_ORACLE} == {"twin"}


@pytest.mark.parametrize("row", WITH_TWIN, ids=lambda row: row.name)
def test_a_feature_equals_its_twin(row: FeatureRow, features: Floats) -> None:
    np.testing.assert_allclose(
        of(row, features), twin_values(row, BARS), rtol=1e-8, atol=1e-9, equal_nan=True
    )


@pytest.mark.parametrize(
    "row", [row for row in WITH_TWIN if row.every > 1], ids=lambda row: row.name
)
def test_a_feature_of_bars_made_of_several_equals_its_twin(row: FeatureRow) -> None:
    bars = MANY[: 40 * row.every]
    expected = twin_values(row, bars)
    assert (~np.isnan(expected)).any(), "there is something to compare"
    np.testing.assert_allclose(of(row, batch(bars)), expected, rtol=1e-8, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("kind", ["flat", "no volume", "jumps", "rising", "small"])
@pytest.mark.parametrize("row", WITH_TWIN, ids=lambda row: row.name)
def test_a_feature_equals_its_twin_where_there_may_be_no_number(row: FeatureRow, kind: str) -> None:
    bars = special_bars(kind)
    np.testing.assert_allclose(
        of(row, special_features(kind)),
        twin_values(row, bars),
        rtol=1e-7,
        atol=1e-8,
        equal_nan=True,
    )


def assert_equals_oracle(
    row: FeatureRow, bars: Sequence[Bar], found: Floats, timeframe_s: float = HOUR_S
) -> None:
    """Compare every bar after the row's warm-up within its tolerance."""
    pytest.importorskip("talib", reason="TA-Lib, the oracle, is not installed")
    from tests.feature_oracles import ORACLES, Tape

    made = made_of(bars, row.every, timeframe_s) if row.every > 1 else []
    tape = Tape([it.bar for it in made] or bars)
    expected = ORACLES[row.kernel](tape, *row.params)
    columns = expected if isinstance(expected, list) else [expected]
    assert len(columns) == len(row.columns)
    after = row.warm_up
    if row.every > 1:
        after += 2 * row.every
        columns = [held(made, column, len(bars)) for column in columns]
        if len(made) < row.warm_up // row.every + 5:
            pytest.skip(f"{len(bars)} bars make {len(made)} of {row.every}")
    for output, column in enumerate(columns):
        known = ~np.isnan(found[after:, output])
        assert known.mean() > 0.95, "there is something to compare"
        np.testing.assert_allclose(
            found[after:, output][known],
            column[after:][known],
            rtol=row.tolerance,
            atol=row.tolerance,
        )


@pytest.mark.parametrize("row", WITH_ORACLE, ids=lambda row: row.name)
def test_a_feature_equals_its_oracle(row: FeatureRow, many: Floats) -> None:
    assert_equals_oracle(row, MANY, of(row, many))


@pytest.fixture(scope="module")
def recorded(shared_data: Path) -> tuple[list[Bar], Floats]:
    """Return a recorded day of BTCUSDT minutes, and its features."""
    path = shared_data / "klines" / "binance_usdm_BTCUSDT-1m-2024-03-30.csv.gz"
    with gzip.open(path, "rt") as lines:
        rows = [line.split(",") for line in lines]
    numbers = [[float(word) for word in row[:11]] for row in rows if row[0].strip().isdigit()]
    bars = [Bar._make([*row[1:6], row[9], row[8], row[0] / 1_000]) for row in numbers]
    return bars, batch(bars, timeframe_s=MINUTE_S)


@pytest.mark.parametrize("row", WITH_ORACLE, ids=lambda row: row.name)
def test_a_feature_equals_its_oracle_on_recorded_bars(
    row: FeatureRow, recorded: tuple[list[Bar], Floats]
) -> None:
    bars, found = recorded
    assert_equals_oracle(row, bars, of(row, found), MINUTE_S)


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.scale == "flag" and row.family == "candles"], ids=str
)
def test_a_pattern_is_there_sometimes_and_mostly_not(row: FeatureRow, many: Floats) -> None:
    found = of(row, many)[row.warm_up :, 0]
    assert set(found) <= {-1.0, 0.0, 1.0}
    assert 0 < np.count_nonzero(found) < len(found) // 2


# ---- laws ----


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_a_feature_is_nan_exactly_as_long_as_its_row_says(
    row: FeatureRow, features: Floats
) -> None:
    days = np.array([(bar.start_s - FIRST_S) // DAY_S for bar in BARS])
    warm = (np.arange(len(BARS)) >= row.warm_up) & (days >= row.warm_days)
    unknown = np.isnan(of(row, features))
    assert unknown[~warm].all()
    assert row.is_sparse or not unknown[warm].any()


@pytest.mark.parametrize("row", [row for row in ROWS if row.is_sparse], ids=str)
def test_a_sparse_feature_is_known_often_enough_to_be_compared(
    row: FeatureRow, many: Floats
) -> None:
    assert (~np.isnan(of(row, many))).sum(axis=0).min() > 100


def assert_causal(compute: Callable[[Sequence[Bar]], Floats], cut: int, whole: Floats) -> None:
    """Compare what was known at the cut with what a run over all bars says of it."""
    np.testing.assert_array_equal(compute(MANY[:cut]), whole[:cut])


@pytest.mark.parametrize("cut", [1, 15, 40, 63, 64, 65, 127, 128, 129, 256, 1_117])
def test_a_feature_of_a_bar_does_not_depend_on_later_bars(cut: int, many: Floats) -> None:
    context = random_context(len(MANY))
    assert_causal(lambda bars: batch(bars, context[: len(bars)]), cut, many)


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_a_bar_fed_early_is_noticed(row: FeatureRow, many: Floats) -> None:
    """Each bar is given what the bar after it says: the law above must fail."""
    found = of(row, many)[:, 0]
    changes = np.flatnonzero((found[:-1] != found[1:]) & ~np.isnan(found[1:]))
    cut = int(changes[len(changes) // 2]) + 1

    def early(bars: Sequence[Bar]) -> Floats:
        return found[np.minimum(np.arange(len(bars)) + 1, len(bars) - 1)]

    with pytest.raises(AssertionError):
        assert_causal(early, cut, early(MANY))


@pytest.mark.parametrize("factor", [1e-6, 1e6, 2.0**-20, 2.0**20])
def test_no_feature_depends_on_the_level_of_prices(factor: float, features: Floats) -> None:
    is_exact = math.frexp(factor)[0] == 0.5  # powers of two round nothing
    rows = [row for row in ROWS if is_exact or row.family not in JUMPING]
    scaled = batch(scaled_bars(BARS, factor))
    for row in rows:
        np.testing.assert_allclose(
            of(row, scaled), of(row, features), rtol=1e-6, atol=1e-8, err_msg=row.name
        )


def test_a_flat_market_gives_no_number_out_of_nothing() -> None:
    last = dict(zip(CATALOGUE.bar_columns, batch(special_bars("flat"))[-1], strict=True))
    in_atrs = [
        name for row in ROWS if row.scale == "atr" for name in row.columns if ".side" not in name
    ]
    for name in (*in_atrs, "momentum.rsi_14", "momentum.cci_20", "statistics.moments_20.skew"):
        assert math.isnan(last[name]), name
    assert last["volatility.atr_bps"] == last["volatility.deviation_bps_30"] == 0.0
    assert not any(math.isinf(value) for value in last.values())


@pytest.mark.parametrize("kind", ["flat", "no volume", "jumps", "rising", "small"])
def test_no_feature_is_infinite(kind: str) -> None:
    assert not np.isinf(batch(special_bars(kind))).any()


def test_bars_without_volume_have_no_balance() -> None:
    last = dict(zip(CATALOGUE.bar_columns, batch(special_bars("no volume"))[-1], strict=True))
    for row in ROWS:
        if {"volume", "trades"} & set(row.inputs) and row.family != "carry" and row.every == 1:
            assert all(math.isnan(last[name]) for name in row.columns), row.name


def test_features_are_known_again_after_a_jump() -> None:
    last = batch(timed([*special_bars("jumps"), *BARS]))[-1]
    for row in ROWS:
        assert row.is_sparse or not np.isnan(of(row, last[None])).any(), row.name
