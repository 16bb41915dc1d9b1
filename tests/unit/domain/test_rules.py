"""Rules: what each says of a number, and strategies made of them, one alone or hundreds at once."""

import msgspec
import numpy as np
import pytest

from engine.domain.features.catalogue import catalogue_text, compile_plan
from engine.domain.market_state import MarketState, create_market_state, feature_columns
from engine.domain.opportunity import entry_notional_e8, is_warm
from engine.domain.row_bits import pack_bits
from engine.domain.rules import is_reversed, passes, rule_side, rules_entry, rules_exit
from engine.domain.strategy_grid import expanded_rows
from engine.domain.strategy_table import (
    STRATEGY_TABLE,
    Rule,
    StrategyKind,
    StrategyReason,
    StrategyRow,
)
from tests.builders import make_instruments
from tests.market_runs import PaperRun, play, synthetic_market

NAN = float("nan")
COLUMNS = feature_columns(compile_plan(catalogue_text()))


@pytest.mark.parametrize(
    ("rule", "number", "age", "bound", "side"),
    [
        (Rule.WITH, 1.5, 0, 1.5, 1),
        (Rule.WITH, 1.4, 0, 1.5, 0),
        (Rule.WITH, -1.6, 0, 1.5, -1),
        (Rule.WITH, NAN, 0, 1.5, 0),
        (Rule.AGAINST, 1.6, 0, 1.5, -1),
        (Rule.AGAINST, -1.6, 0, 1.5, 1),
        (Rule.AGAINST, NAN, 0, 1.5, 0),
        (Rule.EVENT, 1.0, 2, 2, 1),
        (Rule.EVENT, -1.0, 3, 2, 0),
        (Rule.EVENT, NAN, NAN, 2, 0),
        (Rule.EVENT_AGAINST, 1.0, 0, 2, -1),
        (Rule.EVENT_AGAINST, -1.0, 0, 2, 1),
    ],
)
def test_an_entry_rule_wants_a_side(
    rule: Rule, number: float, age: float, bound: float, side: int
) -> None:
    assert rule_side(int(rule), number, float(age), float(bound)) == side


@pytest.mark.parametrize(
    ("rule", "number", "bound", "side", "leaves"),
    [
        (Rule.WITH, 0.4, 0.5, 1, True),
        (Rule.WITH, 0.6, 0.5, 1, False),
        (Rule.WITH, -0.6, 0.5, -1, False),
        (Rule.WITH, 0.6, 0.5, -1, True),
        (Rule.AGAINST, -2.0, 0.0, 1, False),
        (Rule.AGAINST, 0.1, 0.0, 1, True),
        (Rule.EVENT, -1.0, 0.0, 1, True),
        (Rule.EVENT, 1.0, 0.0, 1, False),
        (Rule.EVENT_AGAINST, 1.0, 0.0, 1, True),
        (Rule.NONE, -9.0, 0.0, 1, False),
    ],
)
def test_an_exit_rule_gives_a_position_up(
    rule: Rule, number: float, bound: float, side: int, leaves: bool
) -> None:
    assert is_reversed(int(rule), number, bound, side) is leaves
    assert not is_reversed(int(rule), NAN, bound, side), "what is not known ends nothing"


@pytest.mark.parametrize(
    ("rule", "number", "lets"),
    [
        (Rule.NONE, NAN, True),
        (Rule.ABOVE, 2.0, True),
        (Rule.ABOVE, 1.9, False),
        (Rule.BELOW, 2.0, True),
        (Rule.BELOW, 2.1, False),
        (Rule.ABOVE, NAN, False),
        (Rule.BELOW, NAN, False),
    ],
)
def test_a_filter_lets_an_entry_through(rule: Rule, number: float, lets: bool) -> None:
    assert passes(int(rule), number, 2.0) is lets


ROW = StrategyRow(
    name="mine",
    kind=StrategyKind.RULES,
    rules={
        "entry": "against",
        "entry_feature": "statistics.deviation_20",
        "exit": "against",
        "exit_feature": "statistics.deviation_20",
        "filter": "above",
        "filter_feature": "micro.imbalance",
    },
    parameters={"entry_at": 2.0, "filter_at": 0.1},
)


def market_with(row: StrategyRow, **features: float) -> MarketState:
    """Return a market whose newest bar and quote say this."""
    market = create_market_state(make_instruments(1), [row])
    numbers = {"statistics.deviation_20": 2.5, "micro.imbalance": 0.2}
    numbers |= {name.replace("__", "."): number for name, number in features.items()}
    t = int(market.strategies["timeframe_index"][0])
    for name, number in numbers.items():
        column = COLUMNS[name]
        if name.startswith("micro."):
            market.hot["micro"][0, column - COLUMNS["micro.spread_bps"]] = number
        else:
            market.bar_features[0, t, column] = number
    return market


def test_a_row_enters_where_its_rule_and_its_filter_agree() -> None:
    assert rules_entry(market_with(ROW), 0, 0) == -StrategyReason.RULE_AGAINST
    below = market_with(ROW, statistics__deviation_20=-2.5)
    assert rules_entry(below, 0, 0) == StrategyReason.RULE_AGAINST
    assert rules_entry(market_with(ROW, statistics__deviation_20=1.9), 0, 0) == 0
    assert rules_entry(market_with(ROW, micro__imbalance=0.05), 0, 0) == 0
    assert rules_entry(market_with(ROW, micro__imbalance=NAN), 0, 0) == 0


def test_a_row_leaves_when_its_feature_is_back() -> None:
    assert rules_exit(market_with(ROW), 0, 0, -5) == 0
    back = market_with(ROW, statistics__deviation_20=-0.1)
    assert rules_exit(back, 0, 0, -5) == StrategyReason.RULE_REVERSED
    assert rules_exit(back, 0, 0, 5) == 0


def test_an_event_counts_while_it_is_young() -> None:
    rules = {"entry": "event", "entry_feature": "smart_money.trend.side"}
    row = msgspec.structs.replace(ROW, rules=rules, parameters={"entry_at": 3.0})
    names = {"smart_money__trend__side": -1.0, "smart_money__trend__age": 3.0}
    assert rules_entry(market_with(row, **names), 0, 0) == -StrategyReason.RULE_EVENT
    names["smart_money__trend__age"] = 4.0
    assert rules_entry(market_with(row, **names), 0, 0) == 0


def test_entries_are_smaller_where_bars_range_further() -> None:
    market = market_with(msgspec.structs.replace(ROW, parameters={"size_atr_bps": 50.0}))
    assert not is_warm(market, 0, 0), "the range is not known yet"
    for atr_ticks, worth in ((20.0, 200), (50.0, 200), (100.0, 100), (400.0, 25)):
        market.atr_ticks[:] = atr_ticks
        assert is_warm(market, 0, 0)
        assert entry_notional_e8(market, 0, 0, 10_000) == worth * 10**8
    market.strategies["size_atr_bps"][0] = 0.0
    assert entry_notional_e8(market, 0, 0, 10_000) == 200 * 10**8


# ---- many at once ----


def fast(rows: list[StrategyRow]) -> list[StrategyRow]:
    """Return the rows on bars of one second, so that a short market has many."""
    return [msgspec.structs.replace(row, timeframe_s=1) for row in rows]


def decisions(run: PaperRun, strategy: int) -> bytes:
    """Return what a strategy decided, whatever its number."""
    rows = run.log[run.log["strategy_index"] == strategy].copy()
    rows["strategy_index"] = 0
    return rows.tobytes()


def test_a_strategy_decides_the_same_alone_and_among_hundreds() -> None:
    records = synthetic_market(12_000)
    instruments = make_instruments(2)
    alone = list(STRATEGY_TABLE[:2])
    every = [*alone, *fast(list(expanded_rows())[::5])]
    among = play(records, instruments, every, (1, 5, 60))
    few = play(records, instruments, alone, (1, 5, 60))
    for k in range(len(alone)):
        assert decisions(among, k) == decisions(few, k)
    for k in (2, 9, 30, 55):
        one = play(records, instruments, [every[k]], (1, 5, 60))
        assert decisions(among, k) == decisions(one, 0)
    acted = np.unique(among.log["strategy_index"])
    assert len(acted) > 20, "there was something to compare"


def test_every_strategy_runs_at_once_and_has_a_position_of_its_own() -> None:
    rows = [*STRATEGY_TABLE, *fast(list(expanded_rows()))]
    run = play(synthetic_market(3_000), make_instruments(2), rows, (1, 5, 60))
    assert run.exposure.shape == (2, len(rows))
    for s in np.unique(run.log["strategy_index"]):
        mine = run.log[run.log["strategy_index"] == s]
        held = run.exposure["position_lots"][:, s]
        assert int((mine["side"] * mine["qty_lots"]).sum()) == int(held.sum())
    assert len(np.unique(run.log["strategy_index"])) > 100


def test_asking_every_strategy_at_every_quote_would_decide_the_same() -> None:
    """Who is not asked has nothing to say: neither kind nor position, whatever the market does."""
    rows = [*STRATEGY_TABLE, *fast(list(expanded_rows())[::4]), *STRATEGY_TABLE]
    records, instruments = synthetic_market(6_000), make_instruments(3)
    usual = play(records, instruments, rows, (1, 5, 60))
    every = play(records, instruments, rows, (1, 5, 60), asks_all=True)
    assert usual.log.tobytes() == every.log.tobytes()
    assert len(np.unique(usual.log["strategy_index"])) > 30, "there was something to compare"
    by_quotes = usual.reasons(0).keys() | usual.reasons(1).keys() | usual.reasons(2).keys()
    assert by_quotes, "kinds for quotes decided too"


def test_the_strategies_that_hold_a_position_are_marked() -> None:
    rows = [*STRATEGY_TABLE, *fast(list(expanded_rows())[::3])]
    run = play(synthetic_market(3_000), make_instruments(2), rows, (1, 5, 60))
    holds = run.exposure["position_lots"] != 0
    assert holds.any()
    assert not holds.all()
    for marked, held in zip(run.market.held_rows, holds, strict=True):
        assert marked.tolist() == pack_bits(held.tolist()).tolist()
