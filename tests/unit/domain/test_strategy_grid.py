"""The shipped grid of strategies: what expands from it, and that each row can run."""

from collections import Counter

import msgspec
import pytest

from engine.domain.features.catalogue import catalogue_text, compile_plan
from engine.domain.market_state import feature_columns, pack_strategies, timeframes_of
from engine.domain.strategy_grid import (
    FAMILY_PARAMETERS,
    Family,
    bar_word,
    expanded_rows,
    family_rows,
    parse_families,
)
from engine.domain.strategy_table import (
    DEFAULT_STRATEGIES,
    STRATEGIES_MAX,
    STRATEGY_TABLE,
    Rule,
    StrategyError,
    StrategyKind,
    StrategyRow,
    check_row,
    row_from_words,
    select_rows,
)

RULES = {"smart", "flow", "trend", "reversion", "breakout", "volatility", "carry", "cross"}
FAMILIES = RULES | {"making"}
COLUMNS = feature_columns(compile_plan(catalogue_text()))
TEXT = """
[[family]]
name = "trend.own"
rules = { entry = "with", entry_feature = "averages.ema_distance_{span}" }
grid = { span = [8, 21], entry_at = [1.0, 1.5] }
timeframes_s = [60, 3600]
parameters = { stop_atr = 2.0 }
rationale = "One more."
"""


def rules_row(**changes: object) -> StrategyRow:
    row = StrategyRow(
        name="bad",
        kind=StrategyKind.RULES,
        rules={"entry": "with", "entry_feature": "returns.change_1"},
    )
    return msgspec.structs.replace(row, **changes)


def test_at_least_five_hundred_strategies_have_a_name_of_their_own() -> None:
    names = [row.name for row in (*STRATEGY_TABLE, *expanded_rows())]
    assert len(set(names)) == len(names) >= 500
    assert (
        Counter(name.partition(".")[0] for name in names[len(STRATEGY_TABLE) :]).keys() == FAMILIES
    )


def test_every_row_is_right_says_why_it_is_there_and_differs_from_all_others() -> None:
    rows = expanded_rows()
    for row in rows:
        assert check_row(row) is row
        assert row.rationale.endswith(".")
        assert row.parameters.get("stop_atr", 0.0) > 0.0, "each has a stop"
    told = {
        msgspec.json.encode(msgspec.structs.replace(row, name="", rationale="")) for row in rows
    }
    assert len(told) == len(rows)


def test_all_rows_at_once_find_their_features_and_their_bars() -> None:
    rows = (*STRATEGY_TABLE, *expanded_rows())
    assert len(rows) <= STRATEGIES_MAX
    packed, own = pack_strategies(rows, timeframes_of(rows), COLUMNS)
    assert len(packed) == len(own) == len(rows)
    first = len(STRATEGY_TABLE)
    assert own[first, 3] == Rule.EVENT
    assert own[first, 4] == COLUMNS["smart_money.trend.side"]


def test_a_block_gives_every_combination_in_order() -> None:
    (family,) = parse_families(TEXT)
    rows = family_rows(family)
    assert [row.name for row in rows] == [
        "trend.own_8_1@1m",
        "trend.own_8_1@1h",
        "trend.own_8_1.5@1m",
        "trend.own_8_1.5@1h",
        "trend.own_21_1@1m",
        "trend.own_21_1@1h",
        "trend.own_21_1.5@1m",
        "trend.own_21_1.5@1h",
    ]
    last = rows[-1]
    own = {"stop_atr": 2.0, "entry_at": 1.5}
    assert last.parameters == FAMILY_PARAMETERS | {"expiry_s": 3600} | own
    assert last.rules["entry_feature"] == "averages.ema_distance_21"
    assert (last.timeframe_s, last.rationale) == (3600, "One more.")


@pytest.mark.parametrize(("seconds", "word"), [(1, "1s"), (90, "90s"), (300, "5m"), (7200, "2h")])
def test_a_bars_length_is_a_word(seconds: int, word: str) -> None:
    assert bar_word(seconds) == word


def test_blocks_of_another_kind_set_its_parameters() -> None:
    text = """
[[family]]
name = "making.own"
kind = "making"
grid = { width_atr = [1.0, 2.0] }
timeframes_s = [5]
parameters = { expiry_s = 2.0 }
rationale = "One more."
"""
    first, second = family_rows(parse_families(text)[0])
    assert (first.name, first.kind) == ("making.own_1@5s", StrategyKind.MAKING)
    assert first.parameters == FAMILY_PARAMETERS | {"expiry_s": 2.0, "width_atr": 1.0}
    assert second.parameters["width_atr"] == 2.0
    assert first.rules == {}
    with pytest.raises(KeyError):
        family_rows(parse_families(text.replace('"making"', '"made"'))[0])


def test_a_block_with_a_wrong_word_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        parse_families(TEXT.replace("rationale", "reason"))
    with pytest.raises(StrategyError, match="entry is none of"):
        family_rows(msgspec.convert({"name": "x", "rules": {"entry": "maybe"}, "timeframes_s": [1],
                                     "rationale": ""}, Family))  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"rules": {}}, "has an entry rule"),
        ({"kind": StrategyKind.SMC}, "has an entry rule"),
        ({"rules": {"entry": "above", "entry_feature": "a.b"}}, "entry is none of with"),
        ({"rules": {"entry": "with"}}, "go together"),
        ({"rules": {"entry": "with", "entry_feature": "a", "leave": "with"}}, "unknown rule leave"),
    ],
)
def test_wrong_rules_are_named(changes: dict, what: str) -> None:
    with pytest.raises(StrategyError, match=f"strategy bad: .*{what}"):
        check_row(rules_row(**changes))


@pytest.mark.parametrize(
    ("rules", "what"),
    [
        ({"entry": "with", "entry_feature": "returns.chang"}, "no feature is named returns.chang"),
        ({"entry": "event", "entry_feature": "returns.change_1"}, "has no age"),
    ],
)
def test_a_feature_that_is_not_there_is_named(rules: dict[str, str], what: str) -> None:
    row = rules_row(rules=rules)
    with pytest.raises(StrategyError, match=what):
        pack_strategies([row], timeframes_of([row]), COLUMNS)


def test_names_may_be_patterns_and_the_default_set_stays() -> None:
    assert [row.name for row in select_rows()] == list(DEFAULT_STRATEGIES)
    chosen = select_rows(["orderflow", "trend.macd*@1h"])
    assert [row.name for row in chosen] == [
        "orderflow",
        "trend.macd_12_26_9_0.1@1h",
        "trend.macd_12_26_9_0.25@1h",
        "trend.macd_5_35_5_0.1@1h",
        "trend.macd_5_35_5_0.25@1h",
    ]
    assert len(select_rows(["*"])) == len(STRATEGY_TABLE) + len(expanded_rows())
    with pytest.raises(StrategyError, match="no row is named trendy"):
        select_rows(["trendy*"])
    with pytest.raises(StrategyError, match="doubled"):
        select_rows(["trend.*", "trend.macd*"])


def test_words_of_a_configuration_become_a_row_of_rules() -> None:
    rules = {"entry": "against", "entry_feature": "statistics.deviation_20"}
    row = row_from_words(
        name="mine", kind="rules", timeframe_s=60, notional=75.0, parameters={}, rules=rules
    )
    assert row.rules == rules
