"""The example of docs/first_strategy.md is true: free numbers, kernels that run as written."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.domain import strategy, strategy_kinds
from engine.domain.features.catalogue import catalogue_text, compile_plan
from engine.domain.kernel import python_of
from engine.domain.strategy_table import StrategyKind, StrategyReason

PAGE = Path(__file__).resolve().parents[3] / "docs" / "first_strategy.md"
BLOCKS = [
    re.sub(r"^   ", "", block, flags=re.MULTILINE)
    for block in re.findall(r"   ```python\n(.*?)   ```", PAGE.read_text("utf-8"), re.DOTALL)
]
NUMBERS = re.findall(r"^(\w+) = (\d+) +# Strategy(Kind|Reason)", BLOCKS[0], re.MULTILINE)
FAR, HELD = 2.5, 3  # deviations; lots


@pytest.fixture
def kernels() -> dict[str, Any]:
    """What the page's second block defines, where it is to be written."""
    members = {member.name: int(member) for member in StrategyReason}
    members |= {name: int(number) for name, number, of in NUMBERS if of == "Reason"}
    names = dict(vars(strategy_kinds))
    names["StrategyReason"] = IntEnum("StrategyReason", members)
    names["side_beyond"] = python_of(strategy_kinds.side_beyond)
    names["kernel"] = lambda function: function
    exec(compile(BLOCKS[1], str(PAGE), "exec"), names)
    return names


def market(far: float, column: int) -> SimpleNamespace:
    features = np.full((1, 1, column + 1), np.nan)
    features[0, 0, column] = far
    rows = {"timeframe_index": np.zeros(1, dtype=np.int64)}
    return SimpleNamespace(strategies=rows, bar_features=features, parameters=np.array([[2.0]]))


def test_its_numbers_are_nobody_elses() -> None:
    assert len(NUMBERS) == 3
    for name, number, of in NUMBERS:
        taken: type[IntEnum] = StrategyKind if of == "Kind" else StrategyReason
        assert int(number) not in set(taken), f"{name} = {number} is {taken(int(number)).name}"
        assert (int(number) >= 50) == name.startswith("BACK")


def test_its_column_is_the_feature_it_names(kernels: dict[str, Any]) -> None:
    columns = compile_plan(catalogue_text()).bar_columns
    assert columns[kernels["DEVIATION_20"]] == "statistics.deviation_20"


@pytest.mark.parametrize(("far", "side"), [(FAR, -1), (-FAR, 1), (1.0, 0), (np.nan, 0)])
def test_its_entry_is_against_what_is_far(kernels: dict[str, Any], far: float, side: int) -> None:
    enter: Callable[..., int] = kernels["reversion_entry"]
    asked = market(far, kernels["DEVIATION_20"])
    assert enter(asked, 0, 0) == side * kernels["_FAR_FROM_MEAN"]


@pytest.mark.parametrize(
    ("far", "held", "is_back"),
    [(FAR, -HELD, False), (-0.1, -HELD, True), (-FAR, HELD, False), (0.0, HELD, True)],
)
def test_its_exit_waits_for_the_mean(
    kernels: dict[str, Any], far: float, held: int, *, is_back: bool
) -> None:
    leave: Callable[..., int] = kernels["reversion_exit"]
    asked = market(far, kernels["DEVIATION_20"])
    assert leave(asked, 0, 0, held) == (kernels["_BACK_AT_MEAN"] if is_back else 0)
    assert leave(market(np.nan, kernels["DEVIATION_20"]), 0, 0, held) == 0


def test_the_places_it_is_wired_into_are_there() -> None:
    assert ast.parse(BLOCKS[1])
    for name in ("entry_on_bar", "exit_on_bar", "enter_on_quote", "exit_on_quote", "show_inputs"):
        assert name in PAGE.read_text("utf-8")
        assert hasattr(strategy, name), name
