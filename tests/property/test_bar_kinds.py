"""Bars by ticks, volume, dollars and imbalance against a plain model, on any order of trades."""

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.bar_kinds import (
    START_STEP_NS,
    TradeColumns,
    add_to_kind,
    collect_bars,
    create_kind_state,
)
from engine.domain.bar_sizes import BarKind
from engine.domain.bars import BAR_DTYPE, BAR_MASK, BAR_RING_BARS
from engine.domain.features.batch import batch_features
from engine.domain.features.series import BAR_INPUTS, read_bar
from engine.domain.market_state import MarketState
from engine.domain.strategy_table import StrategyKind, StrategyRow, select_rows
from tests.builders import (
    START_RECEIVE_NS,
    START_VENUE_NS,
    joined,
    make_instruments,
    make_quote,
    make_trade,
)
from tests.feature_bars import CATALOGUE
from tests.market_runs import PaperRun, play

KINDS = [kind for kind in BarKind if kind is not BarKind.CLOCK]
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


@pytest.mark.parametrize("kind", KINDS)
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


@pytest.mark.parametrize("kind", KINDS)
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
        assert add_to_kind(*state, 1, 0, int(BarKind.TICK), 1, START_NS, 100 + k, 1, True)
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


# ---- in the brain ----

LOTS, TICKS_LOTS = 0.001, 0.0001  # of the instruments here: a lot, and a lot's worth a tick
UNITS = {BarKind.TICK: 1, BarKind.DOLLAR: TICKS_LOTS}
CLOCKS = 3
ROW = select_rows(["quote_imbalance"])[0]


def words_of(kind: BarKind, threshold: int) -> str:
    return f"{kind.name.lower()}:{threshold * UNITS.get(kind, LOTS):.10g}"


def brain_run(trades: list[Trade], words: list[str]) -> PaperRun:
    """Give the brain's market side the trades of two instruments, and quotes between them."""
    rows = [msgspec.structs.replace(ROW, name=f"by {it}", bars=it) for it in words]
    records = []
    for at_ns, price, qty, buy in trades:
        for i in (0, 1):
            common = {"instrument_index": i, "venue_time_ns": START_VENUE_NS + at_ns - START_NS}
            records.append(make_quote(998 + price, 1_002 + price, **common))
            records.append(make_trade(1_000 + price, qty + i, buy=buy, **common))
    return play(joined(records), make_instruments(2), [ROW, *rows])


def given_bars(kind: BarKind, threshold: int, trades: list[Trade], i: int) -> np.ndarray:
    shift = START_VENUE_NS - START_NS
    moved = [(at + shift, 1_000 + price, qty + i, buy) for at, price, qty, buy in trades]
    return found_bars(kind, threshold, moved)


def assert_newest_bars_equal(market: MarketState, i: int, t: int, bars: np.ndarray) -> None:
    assert market.closed_count[i, t] == len(bars)
    for number in range(max(0, len(bars) - BAR_RING_BARS), len(bars)):
        assert market.closed[i, t, number & BAR_MASK].tobytes() == bars[number].tobytes()


def without_first_repeats(steps: list[Trade]) -> list[Trade]:
    """Return trades whose times only rise: an older one is refused before it meets a bar."""
    return absolute([(max(step[0], 0), *step[1:]) for step in steps])


@given(steps=TRADES, thresholds=st.lists(st.integers(1, 400), min_size=4, max_size=4))
def test_the_brain_makes_the_bars_of_every_kind_at_once(
    steps: list[Trade], thresholds: list[int]
) -> None:
    trades = without_first_repeats(steps)
    asked = dict(zip(KINDS, thresholds, strict=True))
    market = brain_run(trades, [words_of(*pair) for pair in asked.items()]).market
    assert len(market.bar_kinds) == CLOCKS + len(asked)
    for k, (kind, threshold) in enumerate(asked.items()):
        assert list(market.thresholds[:, CLOCKS + k]) == [threshold, threshold]
        for i in (0, 1):
            bars = given_bars(kind, threshold, trades, i)
            assert_newest_bars_equal(market, i, CLOCKS + k, bars)


@given(steps=TRADES, threshold=st.integers(1, 200))
def test_bars_by_the_clock_do_not_change_beside_others(steps: list[Trade], threshold: int) -> None:
    trades = without_first_repeats(steps)
    alone = brain_run(trades, []).market
    beside = brain_run(trades, [words_of(BarKind.VOLUME, threshold)]).market
    for name in ("closed", "forming", "closed_count", "series", "bar_features", "structure"):
        mine, theirs = getattr(beside, name)[:, :CLOCKS], getattr(alone, name)
        for field in mine.dtype.names or (...,):
            np.testing.assert_array_equal(mine[field], theirs[field], err_msg=name)


def test_features_of_the_brain_are_those_of_a_batch_over_the_same_bars() -> None:
    random = np.random.default_rng(7)
    prices = 500 + np.cumsum(random.integers(-3, 4, 1_500))
    trades = [
        (START_NS + k * 3_000_000, int(price), int(random.integers(1, 30)), k % 3 == 0)
        for k, price in enumerate(prices)
    ]
    market = brain_run(trades, ["tick:10"]).market
    bars = given_bars(BarKind.TICK, 10, trades, 0)
    inputs = np.empty((len(bars), BAR_INPUTS))
    for bar, row in zip(bars, inputs, strict=True):
        read_bar(bar, row)
    known = batch_features(CATALOGUE, inputs)[-1]
    own = [not name.startswith("cross.breadth") for name in CATALOGUE.bar_columns]
    np.testing.assert_array_equal(market.bar_features[0, CLOCKS][own], known[own])
    assert np.isfinite(known[own]).sum() > 150
    by_layers = [k for k, name in enumerate(CATALOGUE.bar_columns) if "@" in name]
    assert np.isnan(known[by_layers]).all(), "these bars make no bars of several by the clock"


def test_an_instrument_may_have_its_own_size_and_a_gap_of_data_ends_no_bar() -> None:
    trades = [(START_NS + k * 10**9, 5, 10, True) for k in range(40)]
    market = brain_run(trades, ["volume:0.1 T1USDT=0.055"]).market
    assert market.thresholds[:, CLOCKS].tolist() == [100, 55]
    assert market.closed_count[:, CLOCKS].tolist() == [4, 8]
    assert (market.closed["is_final"][0, CLOCKS, :4] == 1).all()
    assert market.forming["is_final"][0, CLOCKS] == 0


def test_a_strategy_is_asked_when_its_own_bar_ends_and_at_once() -> None:
    """Every fifth trade ends a bar; the trade before it was an hour ago, the bar began earlier."""
    trades = [(START_NS + k * 3_600 * 10**9, 5 + k % 5, 10, k % 2 == 0) for k in range(60)]
    row = StrategyRow(
        name="by ticks",
        kind=StrategyKind.RULES,
        bars="tick:5",
        parameters={"entry_at": 0.5, "expiry_s": 1.0, "max_hold_s": 1e-3, "claim": 1.0},
        rules={"entry": "with", "entry_feature": "returns.body"},
    )
    records = []
    for at_ns, price, qty, buy in trades:
        since_ns = at_ns - START_NS
        common = {
            "venue_time_ns": START_VENUE_NS + since_ns,
            "receive_time_ns": START_RECEIVE_NS + since_ns,
        }
        records.append(make_quote(998 + price, 1_002 + price, **common))
        records.append(make_trade(1_000 + price, qty, buy=buy, **common))
    run = play(joined(records), make_instruments(1), [row])
    ends = {2 * k + 1 for k in range(4, 60, 5)}
    entries = run.entries(0)
    assert len(entries) > 5
    assert set(entries["record"]) <= ends, "only the trade that ends its bar"
    assert (entries["side"] == 1).all(), "every bar rose"
