"""CloudWatch lines: what counts up is told once, each metric has its unit, the format is theirs."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.processes import status
from engine.processes.emf import LATENCIES, STANDING, TOTALS, EmfLines
from engine.processes.role_counters import PAGES, Counters, exposed
from ringbuffer.counters import CountersSegment
from tests.architecture.tree import ROOT
from tests.ring_builders import unique_name
from tests.unit.processes.test_attendant import InProcess

METRICS_MAX = 100  # of one line, by CloudWatch
UNITS = {"Count", "None", "Megabytes", "Microseconds"}


@pytest.fixture
def segment() -> Iterator[CountersSegment]:
    made = CountersSegment.create(unique_name("counters"), len(PAGES))
    yield made
    made.unlink()
    made.close()


class Numbers(Counters):
    """Counters that a test sets."""

    def __init__(self, segment: CountersSegment) -> None:
        self.pages = {role: segment.page(page) for role, (page, _, _) in PAGES.items()}
        super().__init__(self.pages)

    def set(self, role: str, name: str, number: int) -> None:
        self.pages[role].store(self._words[role][name], number)

    def release(self) -> None:
        for page in self.pages.values():
            page.release()


def told(lines: EmfLines, state: int = 0) -> dict[str, Any]:
    return dict(json.loads(lines.line(1_700_000_000_000, state)))


def test_a_line_is_what_cloudwatch_reads(segment: CountersSegment) -> None:
    numbers = Numbers(segment)
    line = told(EmfLines(numbers, "main", "binance-main-live"), 3)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert line["_aws"]["Timestamp"] == 1_700_000_000_000
    assert directive["Namespace"] == "Aegis"
    assert directive["Dimensions"] == [["instance", "account"]]
    assert (line["instance"], line["account"]) == ("main", "binance-main-live")
    names = [metric["Name"] for metric in directive["Metrics"]]
    assert len(names) == len(set(names)) == 1 + len(TOTALS) + len(STANDING) + len(LATENCIES)
    assert 14 <= len(names) <= METRICS_MAX
    assert all(isinstance(line[name], int | float) for name in names)
    assert {metric["Unit"] for metric in directive["Metrics"]} <= UNITS
    assert line["trading_state"] == 3
    numbers.release()


def listed() -> list[list[str]]:
    """Return the cells of each headline metric in the runbook."""
    section = (ROOT / "docs/runbook.md").read_text("utf-8").split("## Headline metrics\n")[1]
    rows = [row for row in section.split("\n## ")[0].splitlines() if row.startswith("| `")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return [row for row in cells if row[0] != "CloudWatch"]


def test_the_runbook_lists_each_headline_metric_and_no_other(segment: CountersSegment) -> None:
    numbers = Numbers(segment)
    line = told(EmfLines(numbers, "main", "a"))
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert [row[0].strip("`") for row in listed()] == [row["Name"] for row in directive["Metrics"]]
    assert all(len(row) == 5 and all(row) for row in listed())
    numbers.release()


def test_each_headline_metric_is_shown_to_prometheus(segment: CountersSegment) -> None:
    numbers = Numbers(segment)
    shown = numbers.exposition()
    numbers.release()
    want = ["aegis_trading_state", *(exposed(name)[0] for _, name in TOTALS)]
    want += [exposed(name)[0] for _, name, _, _ in STANDING]
    want += [f"aegis_{name.removesuffix('_ns')}_seconds" for _, name in LATENCIES]
    roles = ["", *(row[0] for row in (*TOTALS, *STANDING, *LATENCIES))]
    assert [row[1].strip("`") for row in listed()] == want
    for role, name in zip(roles[1:], want[1:], strict=True):
        assert any(re.match(rf'{name}(_count)?{{role="{role}"}} ', line) for line in shown), name
    assert "aegis_trading_state {state}" in inspect.getsource(status)


@given(steps=st.lists(st.integers(0, 1_000), min_size=1, max_size=12), first=st.integers(0, 50))
def test_differences_sum_to_what_was_counted(steps: list[int], first: int) -> None:
    segment = CountersSegment.create(unique_name("counters"), len(PAGES))
    try:
        numbers = Numbers(segment)
        numbers.set("brain", "fills_total", first)
        lines, total, told_sum = EmfLines(numbers, "main", "a"), first, 0
        for step in steps:
            total += step
            numbers.set("brain", "fills_total", total)
            told_sum += told(lines)["brain_fills"]
        assert told_sum == sum(steps), "what was there before is not told again"
        numbers.set("brain", "fills_total", 2)
        assert told(lines)["brain_fills"] == (2 if total > 2 else 2 - total), "it began again"
        numbers.release()
    finally:
        segment.unlink()
        segment.close()


def test_what_stands_is_in_the_unit_people_read(segment: CountersSegment) -> None:
    numbers = Numbers(segment)
    numbers.set("brain", "equity_e8", 12_345_000_000)
    numbers.set("orchestrator", "memory_mb", 512)
    for _ in range(100):
        numbers.pages["brain"].record(0, 100_000)
    line = told(EmfLines(numbers, "main", "a"))
    assert (line["brain_equity"], line["orchestrator_memory_mb"]) == (123.45, 512)
    assert line["brain_lag_p99"] == pytest.approx(100, rel=0.2)
    numbers.release()


@pytest.mark.parametrize("asked", [True, False])
def test_an_orchestrator_tells_it_once_a_minute_when_asked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], *, asked: bool
) -> None:
    role = InProcess(tmp_path, cloudwatch_metrics=asked)
    try:
        for _ in range(3):
            role.attendant._upkeep_due = 0.0
            role.orchestrator.do_work()
    finally:
        role.close()
    lines = [line for line in capfd.readouterr().err.splitlines() if '"_aws"' in line]
    assert len(lines) == asked
    if asked:
        assert json.loads(lines[0])["account"] == "practice-practice-paper"
