"""Quote and order-flow features: their formulas, their windows, and what makes them unknown."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from engine.domain.codes import Channel
from engine.domain.features import micro
from engine.domain.market_state import MarketState
from engine.domain.strategy_table import select_rows
from tests.builders import (
    START_VENUE_NS,
    joined,
    make_gap,
    make_instruments,
    make_quote,
    make_trade,
)
from tests.market_runs import play

BUCKET_NS = 1 << micro.BUCKET_SHIFT
FIRST_NS = -(-START_VENUE_NS // BUCKET_NS) * BUCKET_NS  # the start of a bucket


def played(records: Sequence[np.ndarray]) -> MarketState:
    return play(joined(records), make_instruments(1), select_rows(["quote_imbalance"])).market


def at(bucket: float) -> int:
    return FIRST_NS + int(bucket * BUCKET_NS)


def trade(bucket: float, qty: int, *, buy: bool = True) -> np.ndarray:
    return make_trade(1_000, qty, buy=buy, venue_time_ns=at(bucket))


def quote(bucket: float, bid: int, ask: int, bid_qty: int, ask_qty: int) -> np.ndarray:
    return make_quote(bid, ask, bid_qty, ask_qty, venue_time_ns=at(bucket))


def noise_ratio(signed: Sequence[float]) -> float:
    return sum(signed) / math.sqrt(sum(number * number for number in signed))


def test_the_quote_features_follow_their_formulas() -> None:
    values = played([quote(0, 999, 1_001, 30, 10)]).hot["micro"][0]
    assert values[micro.SPREAD_BPS] == pytest.approx(20.0, rel=1e-12)
    assert values[micro.IMBALANCE] == pytest.approx(0.5, rel=1e-12)
    microprice = (999 * 10 + 1_001 * 30) / 40
    expected = (microprice - 1_000) / 1_000 * 10_000
    assert values[micro.MICROPRICE_BPS] == pytest.approx(expected, rel=1e-12)


def test_before_anything_arrived_every_feature_is_unknown() -> None:
    values = played([make_gap(Channel.BAR)]).hot["micro"][0]
    assert np.isnan(values).all()


def test_trade_flow_is_measured_against_random_signs() -> None:
    market = played([trade(0, 9), trade(0.1, 4, buy=False), trade(0.2, 25)])
    expected = noise_ratio([3.0, -2.0, 5.0])
    assert market.hot["micro"][0, micro.TRADE_FLOW_SHORT] == pytest.approx(expected, rel=1e-12)
    assert market.hot["micro"][0, micro.TRADE_FLOW_LONG] == pytest.approx(expected, rel=1e-12)


def test_one_sided_flow_grows_with_the_root_of_its_count() -> None:
    for count in (1, 4, 16, 64):
        market = played([trade(k / 1_000, 7, buy=False) for k in range(count)])
        flow = market.hot["micro"][0, micro.TRADE_FLOW_LONG]
        assert flow == pytest.approx(-math.sqrt(count), rel=1e-12)


def test_the_short_window_forgets_before_the_long_one() -> None:
    records = [trade(0, 100), trade(micro.SHORT_BUCKETS, 4, buy=False)]
    values = played(records).hot["micro"][0]
    assert values[micro.TRADE_FLOW_SHORT] == -1.0
    assert values[micro.TRADE_FLOW_LONG] == pytest.approx(noise_ratio([10.0, -2.0]), rel=1e-12)


def test_the_long_window_forgets_after_its_buckets() -> None:
    last_in = played([trade(0, 4), trade(micro.FLOW_BUCKETS - 1, 4)]).hot["micro"][0]
    assert last_in[micro.TRADE_FLOW_LONG] == pytest.approx(math.sqrt(2), rel=1e-12)
    first_out = played([trade(0, 4), trade(micro.FLOW_BUCKETS, 4)]).hot["micro"][0]
    assert first_out[micro.TRADE_FLOW_LONG] == 1.0


def test_a_long_silence_empties_both_windows() -> None:
    values = played([trade(0, 4), quote(1_000, 999, 1_001, 5, 5)]).hot["micro"][0]
    assert math.isnan(values[micro.TRADE_FLOW_SHORT])
    assert math.isnan(values[micro.TRADE_FLOW_LONG])


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ((999, 1_001, 50, 20), 20),  # the bid grew
        ((999, 1_001, 30, 5), 15),  # the ask shrank
        ((1_000, 1_001, 7, 20), 7),  # the bid rose: all of it is fresh
        ((998, 1_001, 9, 20), -30),  # the bid fell: all of it is gone
        ((999, 1_000, 30, 8), -8),  # the ask fell: all of it is fresh
        ((999, 1_002, 30, 6), 20),  # the ask rose: all of it is gone
    ],
)
def test_quote_flow_is_what_a_change_adds_to_the_bid_minus_the_ask(
    after: tuple[int, int, int, int], expected: int
) -> None:
    market = played([quote(0, 999, 1_001, 30, 20), quote(0.1, *after)])
    assert market.hot["flow_sums"][0, micro.QUOTE_SUM] == expected
    assert market.hot["flow_sums"][0, micro.QUOTE_SQUARES] == expected**2


def test_the_first_quote_and_an_unchanged_quote_are_no_flow() -> None:
    first = quote(0, 999, 1_001, 30, 20)
    assert math.isnan(played([first]).hot["micro"][0, micro.QUOTE_FLOW_LONG])
    assert math.isnan(played([first, first]).hot["micro"][0, micro.QUOTE_FLOW_LONG])


@pytest.mark.parametrize("channel", [Channel.TRADE, Channel.QUOTE])
def test_a_gap_makes_the_flow_unknown(channel: Channel) -> None:
    records = [quote(0, 999, 1_001, 30, 20), quote(0.1, 999, 1_001, 40, 20), trade(0.2, 4)]
    before = played(records).hot["micro"][0]
    assert not np.isnan(before[[micro.TRADE_FLOW_LONG, micro.QUOTE_FLOW_LONG]]).any()
    after = played([*records, make_gap(channel)]).hot["micro"][0]
    assert np.isnan(after[[micro.TRADE_FLOW_LONG, micro.QUOTE_FLOW_LONG]]).all()


def test_a_record_older_than_the_bucket_counts_into_the_newest() -> None:
    market = played([quote(5, 999, 1_001, 30, 20), trade(4.5, 16)])
    assert market.hot["flow_buckets"][0, market.hot["flow_bucket"][0] & micro.BUCKET_MASK, 0] == 4.0
    assert market.hot["micro"][0, micro.TRADE_FLOW_SHORT] == 1.0


def test_window_sums_equal_the_sum_of_their_buckets() -> None:
    random = np.random.default_rng(5)
    records = []
    bucket = 0.0
    for _ in range(400):
        bucket += float(random.exponential(0.4))
        qty = int(random.integers(1, 500))
        records.append(trade(bucket, qty, buy=bool(random.random() < 0.5)))
    market = played(records)
    newest = int(market.hot["flow_bucket"][0])
    for offset, count in ((0, micro.SHORT_BUCKETS), (micro.LONG, micro.FLOW_BUCKETS)):
        places = [(newest - back) & micro.BUCKET_MASK for back in range(count)]
        for column in (micro.TRADE_SUM, micro.TRADE_SQUARES):
            total = float(market.hot["flow_buckets"][0, places, column].sum())
            assert market.hot["flow_sums"][0, offset + column] == pytest.approx(total, rel=1e-12)


def test_random_signs_rarely_reach_four_deviations() -> None:
    random = np.random.default_rng(11)
    reached = 0
    for _ in range(200):
        signs = random.random(60) < 0.5
        records = [
            trade(k / 100, int(random.integers(1, 300)), buy=bool(signs[k])) for k in range(60)
        ]
        flow = played(records).hot["micro"][0, micro.TRADE_FLOW_LONG]
        reached += abs(flow) > 4.0
    assert reached == 0
