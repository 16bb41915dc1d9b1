"""The strategy table: what a row may say, which rows run, and how they are packed."""

import pytest

from engine.domain.market_state import (
    DEFAULT_TIMEFRAMES_S,
    TIMEFRAMES_MAX,
    pack_strategies,
    timeframes_of,
)
from engine.domain.strategy_table import (
    COMMON_PARAMETERS,
    DEFAULT_STRATEGIES,
    INPUT_NAMES,
    KIND_PARAMETERS,
    PARAMETERS_MAX,
    STRATEGIES_MAX,
    STRATEGY_TABLE,
    StrategyError,
    StrategyKind,
    StrategyReason,
    StrategyRow,
    check_row,
    parameters_of,
    row_from_words,
    select_rows,
)
from tests.builders import S
from tests.ring_builders import ROOT

OWN = StrategyRow(name="mine", kind=StrategyKind.ORDERFLOW, parameters={"enter_score": 0.9})


def test_every_shipped_row_is_right_and_says_why_it_is_there() -> None:
    names = [row.name for row in STRATEGY_TABLE]
    assert len(set(names)) == len(names)
    for row in STRATEGY_TABLE:
        assert check_row(row) is row
        assert row.rationale.endswith(".")


def test_the_default_set_is_in_the_table_and_leaves_the_benchs_row_out() -> None:
    assert [row.name for row in select_rows()] == list(DEFAULT_STRATEGIES)
    assert "quote_imbalance" not in DEFAULT_STRATEGIES
    assert select_rows(["quote_imbalance"])[0].kind is StrategyKind.QUOTE_IMBALANCE


def test_names_choose_rows_in_their_order() -> None:
    rows = select_rows(["orderflow", "smc_fvg_bos"])
    assert [row.name for row in rows] == ["orderflow", "smc_fvg_bos"]


def test_an_own_row_runs_beside_the_default_set() -> None:
    assert [row.name for row in select_rows((), [OWN])] == [*DEFAULT_STRATEGIES, "mine"]


def test_an_own_row_replaces_the_tables_row_of_its_name() -> None:
    own = StrategyRow(name="orderflow", kind=StrategyKind.ORDERFLOW, notional=50.0)
    chosen = {row.name: row for row in select_rows((), [own])}
    assert chosen["orderflow"].notional == 50.0
    assert len(chosen) == len(DEFAULT_STRATEGIES)


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["orderfow"], "no row is named orderfow"),
        (["orderflow", "orderflow"], "doubled"),
    ],
)
def test_a_wrong_choice_is_named(names: list[str], what: str) -> None:
    with pytest.raises(StrategyError, match=what):
        select_rows(names)


def test_too_many_rows_are_refused() -> None:
    many = [StrategyRow(name=f"own{k}", kind=StrategyKind.ORDERFLOW) for k in range(STRATEGIES_MAX)]
    with pytest.raises(StrategyError, match="at most"):
        select_rows((), many)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"parameters": {"enter_scor": 0.5}}, "unknown parameter enter_scor"),
        ({"parameters": {"enter_score": float("nan")}}, "out of range"),
        ({"parameters": {"threshold": 0.5}}, "unknown parameter threshold"),
        ({"timeframe_s": 0}, "timeframe_s"),
        ({"notional": 0.0}, "notional"),
        ({"notional": float("inf")}, "notional"),
    ],
)
def test_a_wrong_row_is_named(changes: dict, what: str) -> None:
    row = StrategyRow(**({"name": "bad", "kind": StrategyKind.ORDERFLOW} | changes))
    with pytest.raises(StrategyError, match=f"strategy bad: .*{what}"):
        check_row(row)


def test_words_of_a_configuration_become_a_row() -> None:
    row = row_from_words(
        name="mine",
        kind="orderflow",
        timeframe_s=5,
        notional=75.0,
        parameters={"enter_score": 0.9},
    )
    assert row.kind is StrategyKind.ORDERFLOW
    assert row.parameters == {"enter_score": 0.9}
    with pytest.raises(StrategyError, match="is none of smc, orderflow, quote_imbalance"):
        row_from_words(name="mine", kind="magic", timeframe_s=5, notional=75.0, parameters={})


def test_packed_rows_hold_defaults_and_units() -> None:
    timeframes = timeframes_of([OWN])
    packed, own = pack_strategies([OWN], timeframes)
    assert packed["notional_e8"][0] == 200 * 10**8
    assert packed["timeframe_index"][0] == timeframes.index(1)
    assert own[0, 0] == 0.9
    assert own[0, 1] == KIND_PARAMETERS[StrategyKind.ORDERFLOW][1].default
    row = StrategyRow(
        name="timed", kind=StrategyKind.SMC, parameters={"max_hold_s": 2.5, "cooldown_s": 1.0}
    )
    packed, _ = pack_strategies([row], timeframes)
    assert packed["max_hold_ns"][0] == 5 * S // 2
    assert packed["cooldown_ns"][0] == S
    assert packed["limit_slip_ticks"][0] == -1


def test_a_rows_timeframe_is_built_beside_the_default_ones() -> None:
    assert timeframes_of([OWN]) == DEFAULT_TIMEFRAMES_S
    other = StrategyRow(name="other", kind=StrategyKind.SMC, timeframe_s=15)
    assert timeframes_of([other]) == (1, 5, 15, 60)
    assert len(timeframes_of([OWN, other])) <= TIMEFRAMES_MAX


@pytest.mark.parametrize("kind", list(StrategyKind))
def test_a_kinds_parameters_fit_and_are_named_once(kind: StrategyKind) -> None:
    names = [parameter.name for parameter in parameters_of(kind)]
    assert len(set(names)) == len(names)
    assert len(KIND_PARAMETERS[kind]) <= PARAMETERS_MAX
    assert parameters_of(kind)[: len(COMMON_PARAMETERS)] == COMMON_PARAMETERS
    assert len(INPUT_NAMES[kind]) == 4
    assert all(parameter.description.endswith(".") for parameter in parameters_of(kind))


def test_every_parameter_and_reason_is_in_the_guide() -> None:
    guide = (ROOT / "docs" / "first_strategy.md").read_text("utf-8")
    for kind in StrategyKind:
        for parameter in parameters_of(kind):
            assert f"`{parameter.name}`" in guide, parameter.name
    for reason in StrategyReason:
        if reason is not StrategyReason.NONE and not reason.name.endswith("REVERSED"):
            assert f"`{reason.name}`" in guide, reason.name


def test_entry_reasons_are_told_from_exit_reasons_by_number() -> None:
    exits = {StrategyReason.STOP_LOSS, StrategyReason.TAKE_PROFIT, StrategyReason.MAX_HOLD}
    exits |= {reason for reason in StrategyReason if reason.name.endswith("REVERSED")}
    exits |= {StrategyReason.ROTATED, StrategyReason.TRAILING_STOP}
    assert {reason for reason in StrategyReason if reason >= 50} == exits
