"""The catalogue: what a row may say, and the arrays it becomes."""

import numpy as np
import pytest

from engine.domain.features.micro import MICRO_COLUMNS, SPREAD_BPS, TRADE_FLOW_LONG
from engine.domain.features.plan import (
    CELLS,
    KERNELS,
    CatalogueError,
    catalogue_text,
    compile_plan,
    plan_hash,
)

TEXT = catalogue_text()
BAR_ROW = """
[[feature]]
name = "returns.change_7"
kernel = "returns.change"
trigger = "bar"
params = [7]
warm_up = 14
scale = "atr"
meaning = "one more"
"""


def test_the_shipped_catalogue_has_at_least_a_dozen_features_of_each_trigger_kind() -> None:
    catalogue = compile_plan(TEXT)
    assert len(catalogue.bar_rows) >= 12
    assert len(catalogue.micro_rows) == MICRO_COLUMNS


def test_each_row_is_run_once_and_writes_its_own_column() -> None:
    catalogue = compile_plan(TEXT)
    assert sorted(catalogue.plan.column) == list(range(len(catalogue.bar_rows)))
    assert catalogue.plan.first[0] == 0
    assert catalogue.plan.first[-1] == len(catalogue.bar_rows)
    assert (np.diff(catalogue.plan.first) >= 0).all()


def test_rows_of_a_kernel_lie_together_with_their_numbers() -> None:
    catalogue = compile_plan(TEXT)
    for number, kernel in enumerate(KERNELS):
        for k in range(catalogue.plan.first[number], catalogue.plan.first[number + 1]):
            row = catalogue.bar_rows[catalogue.plan.column[k]]
            assert row.kernel == kernel
            assert list(catalogue.plan.params[k, : len(row.params)]) == row.params


def test_cells_of_state_do_not_overlap() -> None:
    catalogue = compile_plan(TEXT)
    taken: set[int] = set()
    for k in range(len(catalogue.bar_rows)):
        size = CELLS.get(catalogue.bar_rows[catalogue.plan.column[k]].kernel, 0)
        cells = set(range(catalogue.plan.cell[k], catalogue.plan.cell[k] + size))
        assert not cells & taken
        taken |= cells
    assert len(taken) == catalogue.cell_count


def test_a_column_is_the_rows_place_in_the_file_whatever_its_kernel() -> None:
    more = compile_plan(TEXT + BAR_ROW)
    assert more.bar_rows[-1].name == "returns.change_7"
    assert [row.name for row in more.bar_rows[:-1]] == [
        row.name for row in compile_plan(TEXT).bar_rows
    ]


def test_quote_rows_stand_where_their_kernel_writes() -> None:
    names = [row.name for row in compile_plan(TEXT).micro_rows]
    assert names[SPREAD_BPS] == "micro.spread_bps"
    assert names[TRADE_FLOW_LONG] == "micro.trade_flow_long"


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ('kernel = "returns.change"', 'kernel = "returns.chang"', "no kernel"),
        ('kernel = "returns.change"', 'kernel = "momentum.rsi"', "family"),
        ('trigger = "bar"', 'trigger = "tick"', "trigger"),
        ('scale = "atr"', 'scale = "price"', "scale"),
        ("params = [7]", "params = [64]", "lookback"),
        ("params = [7]", "params = [0]", "lookback"),
        ("params = [7]", "params = [1, 2, 3, 4, 5]", "at most"),
        ('name = "returns.change_7"', 'name = "returns.change_1"', "doubled"),
    ],
)
def test_a_wrong_row_is_named(before: str, after: str, what: str) -> None:
    with pytest.raises(CatalogueError, match=what):
        compile_plan(TEXT + BAR_ROW.replace(before, after))


def test_a_quote_row_out_of_place_is_named() -> None:
    swapped = TEXT.replace('kernel = "micro.IMBALANCE"', 'kernel = "micro.SPREAD_BPS"')
    with pytest.raises(CatalogueError, match=r"micro\.imbalance"):
        compile_plan(swapped)


def test_a_catalogue_without_rows_is_refused() -> None:
    with pytest.raises(CatalogueError, match="misses"):
        compile_plan("")


def test_the_hash_names_catalogue_and_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    first = plan_hash()
    assert first == plan_hash()
    assert len(first) == 64
    monkeypatch.setattr("engine.domain.features.plan.catalogue_text", lambda: TEXT + BAR_ROW)
    assert plan_hash() != first
