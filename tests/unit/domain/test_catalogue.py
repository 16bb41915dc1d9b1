"""The catalogue: what a row may say, and the arrays it becomes."""

import numpy as np
import pytest

from engine.domain.features.batch import batch_features
from engine.domain.features.catalogue import (
    STRUCTURE_FAMILIES,
    Catalogue,
    CatalogueError,
    FeatureRow,
    catalogue_text,
    compile_plan,
    plan_hash,
)
from engine.domain.features.micro import MICRO_COLUMNS, SPREAD_BPS, TRADE_FLOW_LONG
from engine.domain.features.plan import KERNELS, SHAPES, kernels_of
from tests.feature_bars import random_bars, random_context

TEXT = catalogue_text()
BAR_ROW = """
[[feature]]
name = "returns.change_7"
kernel = "returns.change"
trigger = "bar"
params = [7]
inputs = ["price"]
warm_up = 14
scale = "atr"
oracle = "twin"
tolerance = 1e-9
meaning = "one more"
"""
LAYER_ROW = BAR_ROW.replace('change_7"', 'change_7@7"\nevery = 7')


def test_the_shipped_catalogue_has_rows_of_both_triggers() -> None:
    catalogue = compile_plan(TEXT)
    assert len(catalogue.bar_rows) > len(KERNELS)
    assert len(set(catalogue.bar_columns)) == len(catalogue.bar_columns)
    assert len(catalogue.micro_rows) == MICRO_COLUMNS


def by_plan(catalogue: Catalogue) -> list[FeatureRow]:
    """Return the bar rows in the order in which the plan runs them."""
    rows = catalogue.bar_rows
    return sorted(rows, key=lambda row: (row.every, KERNELS.index(row.kernel)))


def base_of(catalogue: Catalogue, row: FeatureRow) -> int:
    """Return the column from which the row's own counts."""
    layers = dict(zip(catalogue.plan.coarse_bars, catalogue.plan.coarse_column, strict=True))
    return int(layers.get(row.every, 0))


def test_each_row_is_run_once_and_writes_its_own_column() -> None:
    catalogue = compile_plan(TEXT)
    taken: list[int] = []
    for row, column in zip(by_plan(catalogue), catalogue.plan.column, strict=True):
        first = base_of(catalogue, row) + column
        names = catalogue.bar_columns[first : first + len(row.columns)]
        assert names == row.columns
        taken.extend(range(first, first + len(row.columns)))
    assert sorted(taken) == list(range(len(catalogue.bar_columns)))


def test_layers_follow_the_rows_over_one_bar_and_each_other() -> None:
    plan = compile_plan(TEXT).plan
    firsts = [plan.first, *plan.coarse_first]
    assert [it[0] for it in firsts] == [0, *(it[-1] for it in firsts[:-1])]
    assert firsts[-1][-1] == len(plan.column)
    rows = compile_plan(TEXT).bar_rows
    firsts_of_layers = [
        next(row.columns[0] for row in rows if row.every == every) for every in plan.coarse_bars
    ]
    names = compile_plan(TEXT).bar_columns
    assert [names[column] for column in plan.coarse_column] == firsts_of_layers
    assert all((np.diff(it) >= 0).all() for it in firsts)
    assert plan.coarse_bars.tolist() == [5, 15, 60]
    ends = plan.coarse_column + plan.coarse_width
    assert ends.tolist()[:-1] == plan.coarse_column.tolist()[1:]


def test_every_layer_has_the_same_rows() -> None:
    rows = compile_plan(TEXT).bar_rows
    layers = {
        every: [row.name.partition("@")[0] for row in rows if row.every == every]
        for every in (5, 15, 60)
    }
    assert layers[5] == layers[15] == layers[60]
    assert len(layers[5]) == 12


def test_rows_of_a_kernel_lie_together_with_their_numbers() -> None:
    catalogue = compile_plan(TEXT)
    rows = by_plan(catalogue)
    for number, kernel in enumerate(KERNELS):
        for first in (catalogue.plan.first, *catalogue.plan.coarse_first):
            for k in range(first[number], first[number + 1]):
                row = rows[k]
                assert row.kernel == kernel
                assert list(catalogue.plan.params[k, : len(row.params)]) == row.params


def test_cells_of_state_do_not_overlap() -> None:
    catalogue = compile_plan(TEXT)
    taken: set[int] = set()
    for k, row in enumerate(by_plan(catalogue)):
        size = SHAPES[row.kernel].cells
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
        ("params = [7]", "params = [121]", "lookback"),
        ("params = [7]", "params = [7.5]", "lookback"),
        ("params = [7]", "params = [0]", "above 0"),
        ("params = [7]", "params = [nan]", "above 0"),
        ("params = [7]", "params = [1, 2]", "takes bars"),
        ('inputs = ["price"]', "inputs = []", "inputs are"),
        ('inputs = ["price"]', 'inputs = ["rumour"]', "inputs are"),
        ("warm_up = 14", "warm_up = 14\nevery = 5", "is named @5"),
        ("warm_up = 14", "warm_up = 14\nevery = 0", "is named @0"),
        ('change_7"', 'change_7@5"\nevery = 5', "lie apart"),
        ("warm_up = 14", "warm_up = -1", "out of range"),
        ("tolerance = 1e-9", "tolerance = 2.0", "out of range"),
        ('name = "returns.change_7"', 'name = "returns.change_1"', "doubled"),
    ],
)
def test_a_wrong_row_is_named(before: str, after: str, what: str) -> None:
    with pytest.raises(CatalogueError, match=what):
        compile_plan(TEXT + BAR_ROW.replace(before, after))


@pytest.mark.parametrize("params", ["[7, 5, 3]", "[7, 3, 5]"])
def test_a_smoothing_longer_than_its_ring_is_refused(params: str) -> None:
    row = BAR_ROW.replace("returns.change", "momentum.stochastic").replace("[7]", params)
    with pytest.raises(CatalogueError, match=r"lies outside 1\.\.4"):
        compile_plan(TEXT + row)


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (LAYER_ROW.replace("[7]", "[15]"), "lookback"),
        (LAYER_ROW.replace("returns.change", "statistics.rank"), "only returns"),
        (LAYER_ROW.replace("returns.change", "volatility.parkinson_bps"), "no logarithms"),
        (LAYER_ROW + LAYER_ROW.replace("@7", "@9").replace("every = 7", "every = 9"), "too many"),
        (LAYER_ROW + "".join(LAYER_ROW.replace("_7", f"_7{k}") for k in range(40)), "more than 32"),
    ],
)
def test_a_layer_is_bounded(row: str, what: str) -> None:
    assert compile_plan(TEXT + LAYER_ROW).bar_rows[-1].every == 7
    with pytest.raises(CatalogueError, match=what):
        compile_plan(TEXT + row)


def test_a_quote_row_out_of_place_is_named() -> None:
    swapped = TEXT.replace('kernel = "micro.IMBALANCE"', 'kernel = "micro.SPREAD_BPS"')
    with pytest.raises(CatalogueError, match=r"micro\.imbalance"):
        compile_plan(swapped)


def test_a_catalogue_without_rows_is_refused() -> None:
    with pytest.raises(CatalogueError, match="misses"):
        compile_plan("")


def test_a_span_may_be_longer_than_a_window_but_has_a_bound_too() -> None:
    row = BAR_ROW.replace("change", "ema_distance").replace("returns.", "averages.")
    row = row.replace("ema_distance_7", "ema_distance_own")
    assert compile_plan(TEXT + row.replace("[7]", "[500]")).bar_rows[-1].params == [500]
    with pytest.raises(CatalogueError, match="span lies outside"):
        compile_plan(TEXT + row.replace("[7]", "[1001]"))


def test_rows_may_be_left_out_and_columns_close_up() -> None:
    catalogue = compile_plan(TEXT, lambda row: row.family == "trend")
    assert {row.family for row in catalogue.bar_rows} == {"trend"}
    assert catalogue.plan.column.max() < len(catalogue.bar_columns)


def test_the_hash_names_catalogue_and_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    first = plan_hash()
    assert first == plan_hash() == plan_hash(TEXT)
    assert len(first) == 64
    assert plan_hash(TEXT + BAR_ROW) != first
    monkeypatch.setattr("engine.domain.features.catalogue.PACKAGE", "engine.domain")
    assert plan_hash(TEXT) != first


def test_rows_that_do_not_read_the_structure_are_the_same_without_it() -> None:
    bars = np.array(random_bars(200), dtype=np.float64)

    def is_asked(row: FeatureRow) -> bool:
        return row.family in {"momentum", "trend", "returns"} and row.every == 1

    found = [
        batch_features(compile_plan(TEXT, is_asked, has_structure=has_structure), bars)
        for has_structure in (True, False)
    ]
    assert np.isfinite(found[0][-1]).mean() > 0.9
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("family", STRUCTURE_FAMILIES)
def test_rows_that_read_the_structure_need_it(family: str) -> None:
    with pytest.raises(CatalogueError, match=f"{family}.*reads the structure"):
        compile_plan(TEXT, lambda row: row.family == family, has_structure=False)


@pytest.mark.parametrize("family", sorted({row.family for row in compile_plan(TEXT).bar_rows}))
def test_the_rows_of_one_family_are_what_they_are_among_all(family: str) -> None:
    """A family without rows is passed over; one with rows computes them whatever the others do."""
    bars = np.array(random_bars(150), dtype=np.float64)
    context = random_context(len(bars))
    whole = compile_plan(TEXT)
    alone = compile_plan(TEXT, lambda row: row.family == family and row.every == 1)
    columns = [whole.bar_columns.index(name) for name in alone.bar_columns]
    expected = batch_features(whole, bars, context)[:, columns]
    np.testing.assert_array_equal(batch_features(alone, bars, context), expected)


def test_kernels_of_a_family_lie_together() -> None:
    spans = sorted(kernels_of(name) for name in {kernel.partition(".")[0] for kernel in KERNELS})
    assert [first for first, _ in spans] == [0, *(end for _, end in spans[:-1])]
    assert spans[-1][1] == len(KERNELS)
