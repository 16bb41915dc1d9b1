"""Bars one by one, all at once, from a copied state and peeked at: one and the same features."""

import math

import numpy as np
import pytest

from engine.domain.bar_close import update_features
from engine.domain.codes import Channel, Liveness
from engine.domain.features.batch import (
    FeatureState,
    batch_features,
    create_features,
    peek_bar,
)
from engine.domain.features.catalogue import (
    FeatureRow,
    Unknown,
    catalogue_text,
    compile_plan,
    why_unknown,
)
from engine.domain.features.series import (
    CONTEXT_WORDS,
    DEPTH_FLOW,
    OPEN_INTEREST_LOTS,
    TIMEFRAME_S,
)
from engine.domain.market_state import create_market_state
from engine.domain.strategy_table import select_rows
from tests.builders import make_instruments
from tests.feature_bars import (
    CATALOGUE,
    HOUR_S,
    Bar,
    batch,
    fresh_market,
    push_bar,
    random_bars,
    random_context,
    streamed,
)
from tests.market_runs import arrays_of

BARS = random_bars(300)
UNKNOWN = np.full((len(BARS), CONTEXT_WORDS), np.nan)
UNKNOWN[:, TIMEFRAME_S] = HOUR_S
COLUMNS = CATALOGUE.bar_columns
ALWAYS = [
    COLUMNS.index(name) for row in CATALOGUE.bar_rows if not row.is_sparse for name in row.columns
]
BY_TIME = ("calendar", "carry", "sessions", "crowd", "cross", "depth")
GIVEN = {"mark", "liquidations", "book", "open_interest", "news", "leader", "others"}
NEED_MORE = ("carry", "crowd", "cross", "depth")  # than bars
NAN = float("nan")


def copied(state: FeatureState) -> FeatureState:
    return FeatureState(
        series=state.series.copy(),
        coarse=state.coarse.copy(),
        counts=state.counts.copy(),
        atr=state.atr.copy(),
        seed=state.seed.copy(),
        memory=state.memory.copy(),
        structure=state.structure.copy(),
    )


def row_of(name: str) -> FeatureRow:
    return next(row for row in CATALOGUE.bar_rows if row.name == name)


def test_the_brain_computes_what_a_batch_does() -> None:
    np.testing.assert_array_equal(streamed(BARS), batch(BARS, UNKNOWN))


@pytest.mark.parametrize("family", sorted({row.family for row in CATALOGUE.bar_rows}))
def test_rows_of_one_family_alone_say_what_they_say_among_all(family: str) -> None:
    alone = compile_plan(catalogue_text(), lambda row: row.family == family)
    context = random_context(len(BARS))
    among = [COLUMNS.index(name) for name in alone.bar_columns]
    found = batch_features(alone, np.array(BARS, dtype=np.float64), context)
    np.testing.assert_array_equal(found, batch(BARS, context)[:, among])


def test_the_brain_knows_funding_basis_and_liquidations_at_the_end_of_a_bar() -> None:
    context = random_context(len(BARS)).round(3)
    context[:, OPEN_INTEREST_LOTS:TIMEFRAME_S] = np.nan
    context[:, DEPTH_FLOW:] = np.nan
    market = fresh_market()
    market.liveness[0, Channel.LIQUIDATION] = Liveness.LIVE
    found = []
    for bar, (funding, basis, next_s, bought, sold) in zip(BARS, context[:, :5], strict=True):
        row = market.hot[0]
        row["mark_receive_time_ns"] = 1
        row["funding_rate_e8"] = round(funding * 10_000)
        row["index_price_e8"] = 10**12
        row["mark_price_e8"] = 10**12 + round(basis * 10**8)
        row["next_funding_time_ns"] = int(next_s) * 10**9
        row["liquidation_buy_lots"] = bought
        row["liquidation_sell_lots"] = sold
        update_features(market, 0, 0, push_bar(market, bar))
        found.append(market.bar_features[0, 0].copy())
    np.testing.assert_allclose(np.array(found), batch(BARS, context), rtol=1e-6, atol=1e-6)


def test_a_market_that_was_copied_midway_goes_on_the_same() -> None:
    market = fresh_market()
    streamed(BARS[:170], market)
    restored = fresh_market()
    source = arrays_of(market)
    for name, part in arrays_of(restored).items():
        part[...] = source[name]
    np.testing.assert_array_equal(streamed(BARS[170:], restored), batch(BARS, UNKNOWN)[170:])


@pytest.mark.parametrize("cut", [1, 14, 127, 128, 200])
def test_a_batch_goes_on_from_a_copied_state(cut: int) -> None:
    bars = np.array(BARS, dtype=np.float64)
    context = random_context(len(bars))
    state = create_features(CATALOGUE)
    batch_features(CATALOGUE, bars[:cut], context[:cut], state)
    rest = batch_features(CATALOGUE, bars[cut:], context[cut:], copied(state))
    np.testing.assert_array_equal(rest, batch(BARS, context)[cut:])


def test_a_peek_says_what_the_bar_will_and_changes_nothing() -> None:
    """Before each bar another one is peeked at, as a forming bar is, and then the bar itself."""
    bars = np.array(BARS, dtype=np.float64)
    other = np.array(random_bars(len(BARS), seed=9), dtype=np.float64)
    context = random_context(len(bars))
    expected = batch(BARS, context)
    state, scratch = create_features(CATALOGUE), create_features(CATALOGUE)
    features = np.empty(len(COLUMNS))
    for k, bar in enumerate(bars):
        for peeked in (other[k], bar):
            peek_bar(CATALOGUE.plan, state, scratch, peeked, context[k], features)
        np.testing.assert_array_equal(features, expected[k])
        committed = batch_features(CATALOGUE, bars[k : k + 1], context[k : k + 1], state=state)
        np.testing.assert_array_equal(committed[0], expected[k])


BROKEN = {
    "a price is missing": {"close": NAN},
    "the volume is missing": {"volume": NAN},
    "the time is missing": {"start_s": NAN},
    "a price of zero": {"low": 0.0},
    "an infinite price": {"high": math.inf},
    "high below low": {"high": 1.0},
    "close outside": {"close": 1e9},
    "more bought than traded": {"bought": 1e9},
    "a doubled bar": {"start_s": BARS[99].start_s},
    "an older bar": {"start_s": BARS[50].start_s},
}


@pytest.mark.parametrize("wrong", BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_a_bar_is_unknown_and_leaves_no_trace(wrong: dict[str, float]) -> None:
    with_hole = [*BARS[:100], BARS[100]._replace(**wrong), *BARS[100:]]
    context = random_context(len(BARS))
    found = batch(with_hole, np.insert(context, 100, context[100], axis=0))
    assert np.isnan(found[100]).all()
    np.testing.assert_array_equal(np.delete(found, 100, axis=0), batch(BARS, context))


def test_a_market_of_broken_bars_alone_knows_nothing() -> None:
    assert np.isnan(batch([bar._replace(open=NAN) for bar in BARS])).all()


def test_an_instrument_that_returns_goes_on_with_what_it_knew() -> None:
    away = [
        bar._replace(start_s=bar.start_s + (HOUR_S * 240 if number >= 150 else 0))
        for number, bar in enumerate(BARS)
    ]
    found, expected = batch(away), batch(BARS)
    same = [k for k, name in enumerate(COLUMNS) if not name.startswith(BY_TIME)]
    same = [k for k in same if "day_" not in COLUMNS[k] and "@" not in COLUMNS[k]]
    np.testing.assert_array_equal(found[:, same], expected[:, same])
    assert not np.isnan(found[-1, ALWAYS]).any()


def test_extreme_ratios_give_numbers_or_nan() -> None:
    wild = [
        bar._replace(open=1, high=1e15, low=1e-9, close=1e15 if number % 2 else 1e-9)
        for number, bar in enumerate(BARS)
    ]
    found = batch(wild)
    assert not np.isnan(found[-1, COLUMNS.index("returns.close_place")])
    assert np.isfinite(found[200:, COLUMNS.index("volatility.channel_20.place")]).all()


def test_timeframes_and_instruments_do_not_share_state() -> None:
    market = create_market_state(make_instruments(2), select_rows(["quote_imbalance"]), (1, 5))
    for bar in BARS:
        update_features(market, 0, 0, push_bar(market, bar))
    known = [k for k in ALWAYS if not COLUMNS[k].startswith(NEED_MORE)]
    assert not np.isnan(market.bar_features[0, 0, known]).any()
    for i, t in ((0, 1), (1, 0), (1, 1)):
        assert np.isnan(market.bar_features[i, t]).all()
        assert (market.feature_memory[i, t] == 0.0).all()
        assert (market.series[i, t] == 0.0).all()
        assert np.isnan(market.atr_ticks[i, t])


def test_an_instrument_and_timeframe_takes_at_most_64_kb() -> None:
    market = fresh_market()
    parts = (market.series, market.coarse, market.bar_features, market.feature_memory)
    assert sum(part.nbytes for part in (*parts, market.closed, market.structure)) <= 64 * 1024


@pytest.mark.parametrize(
    ("name", "bars", "days", "missing", "why"),
    [
        ("carry.funding_bps", 500, 5, ["mark"], Unknown.INPUT_MISSING),
        ("impact.vpin_20", 500, 5, ["takers"], Unknown.INPUT_MISSING),
        ("crowd.open_interest_60", 500, 5, ["open_interest"], Unknown.INPUT_MISSING),
        ("depth.slope_10", 500, 5, ["book"], Unknown.INPUT_MISSING),
        ("crowd.news", 500, 5, ["open_interest", "news"], Unknown.INPUT_MISSING),
        ("crowd.greed_50", 500, 5, ["mark"], Unknown.INPUT_MISSING),
        ("cross.leader_60", 500, 5, ["leader"], Unknown.INPUT_MISSING),
        ("cross.breadth_20", 500, 5, ["others"], Unknown.INPUT_MISSING),
        ("cross.breadth_20", 20, 5, ["leader"], Unknown.WARMING),
        ("momentum.rsi_14@60", 840, 30, [], Unknown.WARMING),
        ("momentum.rsi_14@60", 841, 30, [], Unknown.UNDEFINED),
        ("momentum.rsi_14", 14, 0, [], Unknown.WARMING),
        ("momentum.rsi_14", 15, 0, [], Unknown.UNDEFINED),
        ("calendar.day_before", 500, 1, [], Unknown.WARMING),
        ("calendar.day_before", 500, 2, [], Unknown.UNDEFINED),
    ],
)
def test_a_nan_has_a_reason(
    name: str, bars: int, days: int, missing: list[str], why: Unknown
) -> None:
    assert why_unknown(row_of(name), NAN, bars, days, missing) is why
    assert why_unknown(row_of(name), 0.5, bars, days, missing) is Unknown.KNOWN


def test_a_venue_without_a_mark_leaves_the_rows_that_read_it_unknown_and_no_others() -> None:
    last = batch(BARS, UNKNOWN)[-1]
    for row in CATALOGUE.bar_rows:
        is_unknown = bool(GIVEN & set(row.inputs))
        if row.is_sparse:
            continue
        for name in row.columns:
            assert math.isnan(last[COLUMNS.index(name)]) == is_unknown, name


def test_bars_of_another_shape_are_refused() -> None:
    with pytest.raises(AssertionError, match="bars of 3 numbers"):
        batch_features(CATALOGUE, np.zeros((4, 3)))


def test_a_bar_is_eight_numbers() -> None:
    assert len(Bar._fields) == np.array(BARS, dtype=np.float64).shape[1] == 8
