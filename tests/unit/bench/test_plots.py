"""Pictures of recorded benches: what is drawn, in which unit, and that a picture comes out."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import plots

STEPS = plots.STEPS


def report(*cases: str, unit: str = "ns", metrics: tuple[str, ...] = STEPS) -> dict[str, Any]:
    numbers = {metric: 1_000.0 * (k + 1) for k, metric in enumerate(metrics)}
    rows = [
        {"case": case, "metric": metric, "unit": unit, "value": number}
        for case in cases
        for metric, number in numbers.items()
    ]
    half = {metric: number / 2 for metric, number in numbers.items()}
    passes = {case: [half, numbers] for case in cases}
    about = {"cpu": "a processor", "cores": [0, 1]}
    named = {"name": "bench", "commit": "abc", "question": "how long?", "machine": about}
    return {**named, "rows": rows, "passes": passes}


def test_a_curve_is_in_microseconds_with_its_range() -> None:
    (curve,) = plots.curves(report("us"))
    assert curve.median == [1, 2, 3, 4, 5]
    assert (curve.least[0], curve.most[0]) == (0.5, 1)
    (curve,) = plots.curves(report("us", unit="ms"))
    assert curve.median[0] == 1_000_000


def test_a_case_without_every_percentile_is_no_curve() -> None:
    assert plots.curves(report("rate", metrics=("p50", "p90"))) == []


def test_rates_get_a_panel_each() -> None:
    found = plots.curves(report("1,000/s, ours", "1,000/s, theirs", "10,000/s, ours"))
    shown = {title: [curve.case for curve in part] for title, part in plots.panels(found).items()}
    assert shown == {"1,000 a second": ["ours", "theirs"], "10,000 a second": ["ours"]}
    assert list(plots.panels(plots.curves(report("pipe")))) == [""]


def test_without_percentiles_nothing_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rate.json").write_text(json.dumps(report("rate", metrics=("p50",))), "utf-8")
    (tmp_path / "fuzz.json").write_text('{"executions": 1}', "utf-8")
    assert plots.main(["--results", str(tmp_path)]) == 3
    assert "nothing with percentiles" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.png"))


def test_a_picture_lies_beside_its_result(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "one.json").write_text(json.dumps(report("1/s, ours", "2/s, ours")), "utf-8")
    assert plots.main(["--results", str(tmp_path), "one"]) == 0
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
