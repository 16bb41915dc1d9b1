"""docs/gates.md says which gates there are: all of them, in their order, with their settings."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.config import ArmingConfig, LimitsConfig
from engine.domain.risk_reasons import RISK_REASON_TEXT, RiskReason
from engine.telemetry import BRAIN_COUNTERS
from tests.architecture.tree import ROOT

ROW = re.compile(
    r"^\| (\d+) \| ([A-Z_]+) \| ([a-z, ]+) \| (.+) \| (?:\u2013|`(.+)`) \|$", re.MULTILINE
)
RISK = Path("engine/domain/risk.py")
GROUPS = {
    "gate_permission": "all",
    "gate_size": "growth",
    "gate_history": "entries",
    "gate_exit": "exits",
    "gate_rate": "all",
    "gate_filters": "all",
}
EXCEPTIONS = {"ORDER_UNKNOWN": "entries"}  # the one of its group that exits skip


class Gate(NamedTuple):
    """One row of the page."""

    number: int
    reason: str
    guards: str
    text: str
    setting: str


def gates() -> list[Gate]:
    page = (ROOT / "docs" / "gates.md").read_text(encoding="utf-8")
    return [Gate(int(row[0]), *row[1:]) for row in ROW.findall(page)]


def named_in(function: str) -> list[str]:
    """Return the reasons that a gate's function names, in its order."""
    tree = ast.parse((ROOT / RISK).read_text(encoding="utf-8"))
    (found,) = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function]
    names = [node for node in ast.walk(found) if isinstance(node, ast.Attribute)]
    reasons = [n for n in names if isinstance(n.value, ast.Name) and n.value.id == "RiskReason"]
    return [n.attr for n in sorted(reasons, key=lambda n: (n.lineno, n.col_offset))]


def test_every_gate_has_one_row_in_order_with_its_own_words() -> None:
    rows = [(gate.number, gate.reason, gate.text) for gate in gates()]
    known = [r for r in RiskReason if 0 < r < RiskReason.RECONCILE_FAILED]
    assert rows == [(int(r), r.name, RISK_REASON_TEXT[r]) for r in known]


@pytest.mark.parametrize("function", GROUPS)
def test_a_gate_guards_what_its_row_says(function: str) -> None:
    guards = {gate.reason: gate.guards for gate in gates()}
    for reason in named_in(function):
        assert EXCEPTIONS.get(reason, GROUPS[function]) in guards[reason].split(", "), reason


def test_every_row_is_a_gate_of_the_kernel() -> None:
    functions = (*GROUPS, "gate_market", "gate_collar")
    named = {reason for function in functions for reason in named_in(function)}
    assert named == {gate.reason for gate in gates()}


def test_every_gate_has_a_counter_and_its_setting_exists() -> None:
    counters = {counter.name for counter in BRAIN_COUNTERS}
    fields = {
        *(f"limits.{name}" for name in LimitsConfig.__struct_fields__),
        *(f"arming.{name}" for name in ArmingConfig.__struct_fields__),
    }
    for gate in gates():
        assert f"refused_{gate.reason.lower()}_total" in counters
        assert not gate.setting or gate.setting in fields, gate.setting


def test_every_limit_that_is_set_is_in_the_page() -> None:
    shown = {gate.setting for gate in gates()}
    limits = {f"limits.{name}" for name in LimitsConfig.__struct_fields__}
    assert limits <= shown
