"""docs/gates.md says which gates there are: all of them, in their order, with their settings."""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

import pytest

from engine.config import ArmingConfig, LimitsConfig
from engine.config_bounds import ApprovalConfig, BoundsConfig, PortfolioConfig
from engine.domain import intent
from engine.domain.fetch import FETCH_OUTAGE_NS, VENUE_OUTAGE_NS
from engine.domain.risk import TRIPPED_GATES
from engine.domain.risk_reasons import GATES, RISK_REASON_TEXT, reasons_of
from engine.processes.shed import BACK_SHARE, SCORED, SHED_SHARE
from engine.telemetry import BRAIN_COUNTERS
from tests.architecture.tree import ROOT

ROW = re.compile(
    r"^\| (\d+) \| ([A-Z_]+) \| ([a-z, ]+) \| (.+) \| (?:\u2013|`(.+)`) \|$", re.MULTILINE
)
SOURCES = [ROOT / "engine" / "domain" / f"{name}.py" for name in ("risk", "bounds")]
GROUPS = {
    "gate_permission": "all",
    "gate_size": "growth",
    "gate_history": "entries",
    "gate_exit": "exits",
    "gate_rate": "all",
    "gate_filters": "all",
    "gate_bounds": "entries",
    "gate_own": "entries",
    "gate_notionals": "entries",
    "refresh_blocked": "entries",
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
    bodies = [ast.parse(path.read_text(encoding="utf-8")).body for path in SOURCES]
    nodes = [node for body in bodies for node in body if isinstance(node, ast.FunctionDef)]
    (found,) = [node for node in nodes if node.name == function]
    names = [node for node in ast.walk(found) if isinstance(node, ast.Attribute)]
    reasons = [n for n in names if isinstance(n.value, ast.Name) and n.value.id == "RiskReason"]
    return [n.attr for n in sorted(reasons, key=lambda n: (n.lineno, n.col_offset))]


def test_every_gate_has_one_row_in_order_with_its_own_words() -> None:
    rows = [(gate.number, gate.reason, gate.text) for gate in gates()]
    assert rows == sorted((int(r), r.name, RISK_REASON_TEXT[r]) for r in GATES)


@pytest.mark.parametrize("function", GROUPS)
def test_a_gate_guards_what_its_row_says(function: str) -> None:
    guards = {gate.reason: gate.guards for gate in gates()}
    for reason in named_in(function):
        assert EXCEPTIONS.get(reason, GROUPS[function]) in guards[reason].split(", "), reason


def test_every_row_is_a_gate_of_the_kernel() -> None:
    functions = (*GROUPS, "gate_market", "gate_collar")
    named = {reason for function in functions for reason in named_in(function)}
    kept = TRIPPED_GATES | intent._APPROVAL_MASK  # bits that are worked out, not named
    named |= {reason.name for reason in reasons_of(kept)}
    assert named == {gate.reason for gate in gates()}


def test_every_gate_has_a_counter_and_its_setting_exists() -> None:
    counters = {counter.name for counter in BRAIN_COUNTERS}
    fields = {
        *(f"limits.{name}" for name in LimitsConfig.__struct_fields__),
        *(f"arming.{name}" for name in ArmingConfig.__struct_fields__),
        *(f"bounds.{name}" for name in BoundsConfig.__struct_fields__),
        *(f"approval.{name}" for name in ApprovalConfig.__struct_fields__),
        *(f"portfolio.{name}" for name in PortfolioConfig.__struct_fields__),
    }
    for gate in gates():
        assert f"refused_{gate.reason.lower()}_total" in counters
        assert not gate.setting or gate.setting in fields, gate.setting


def test_every_limit_that_is_set_is_in_the_page() -> None:
    shown = {gate.setting for gate in gates()}
    limits = {f"limits.{name}" for name in LimitsConfig.__struct_fields__}
    assert limits <= shown


def shed_rows() -> list[list[str]]:
    """Return the rows of the table of what is given up: trigger, action, way back, test."""
    page = (ROOT / "docs" / "gates.md").read_text(encoding="utf-8")
    table = page.split("## What is given up, in order")[1].split("## Not built")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_what_is_given_up_is_what_the_code_gives_up() -> None:
    text = "\n".join(" | ".join(row) for row in shed_rows())
    assert f"at {SHED_SHARE:.0%} of".replace("%", " %") in text
    assert f"below {BACK_SHARE:.0%}".replace("%", " %") in text
    assert f"`{SCORED}`" in text
    assert f"no order connection for {VENUE_OUTAGE_NS // 10**9} s" in text
    assert f"for {FETCH_OUTAGE_NS // 10**9} s while connected" in text


def test_each_row_of_it_names_a_test_that_exists() -> None:
    rows = shed_rows()
    assert len(rows) >= 8
    for row in rows:
        assert len(row) == 4, row
        assert (ROOT / row[3].strip("`")).is_file(), row
        assert all(row), row
