"""The tables of bench/README.md are those of the recorded results."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import tables

TEXT = "# Benches\n\n<!-- one -->\nstale\n<!-- /one -->\n\nend\n"


def report(value: float, ratio: float | None) -> dict[str, Any]:
    rows = [
        {"case": "us", "metric": "p50", "unit": "ns", "value": value, "ratio": ratio},
        {"case": "us", "metric": "foreign cores", "unit": "cores", "value": 0.04, "ratio": None},
        {"case": "rate", "metric": "records per second", "unit": "1/s", "value": 9.0, "ratio": 1},
    ]
    about = {"cpu": "a processor", "cores": [0], "virtual": True, "kernel": "6", "python": "3.11"}
    passes: dict[str, list[dict[str, float]]] = {"us": [{}] * 7, "rate": [{}]}
    return {"name": "one", "commit": "abc", "machine": about, "rows": rows, "passes": passes}


def test_a_table_has_the_cases_with_all_its_metrics() -> None:
    made = tables.table(report(1_234.5, 0.5), ["p50"])
    assert made.splitlines()[2:] == ["| us | 1,234 | 0.5 |"]
    assert "p50, ns" in made
    assert tables.table(report(1, 1), ["p99"]) == ""


def test_a_case_without_a_baseline_has_no_ratio() -> None:
    assert tables.table(report(12.345, None), ["p50"]).endswith("| us | 12.3 |  |\n")


def test_a_section_says_where_its_numbers_come_from() -> None:
    made = tables.section(report(1, 1), [["p50"], ["records per second"]])
    for word in ("python -m bench.one", "commit abc", "a processor", "7 passes", "0.04 cores"):
        assert word in made
    assert made.count("| case |") == 2


def test_what_stands_between_the_marks_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "COLUMNS", {"one": [["p50"]]})
    assert tables.updated(TEXT, tmp_path) == TEXT
    (tmp_path / "one.json").write_text(json.dumps(report(5, 1)), "utf-8")
    once = tables.updated(TEXT, tmp_path)
    assert "stale" not in once
    assert "| us | 5 | 1 |" in once
    assert once.endswith("<!-- /one -->\n\nend\n")
    assert tables.updated(once, tmp_path) == once


def test_the_recorded_tables_are_in_the_readme() -> None:
    text = tables.README.read_text("utf-8")
    assert tables.updated(text, tables.FOLDER / "results") == text
    marked = {found["name"] for found in tables.MARKED.finditer(text)}
    assert marked == set(tables.COLUMNS)
