"""Which passes of a bench count."""

import pytest

from bench.harness import Bench, counted, rows, table

BENCH = Bench("made up", "?", "none", "any", {"p50": "ns"}, baseline="them")


def passes(*values: tuple[float, float]) -> list[dict[str, float]]:
    return [{"p50": value, "foreign cores": foreign} for value, foreign in values]


QUIET_AND_NOT = passes((100, 0.0), (110, 0.05), (90, 0.1), (9_000, 1.5), (8_000, 1.2))
DISTURBED = passes((100, 0.0), (110, 0.05), (9_000, 1.5), (8_000, 1.2), (7_000, 1.2))


@pytest.mark.parametrize(
    ("found", "median"), [(QUIET_AND_NOT, 100), (DISTURBED, 7_000), (QUIET_AND_NOT[:3], 100)]
)
def test_disturbed_passes_are_left_out_where_enough_others_are_left(
    found: list[dict[str, float]], median: float
) -> None:
    (row, _) = rows(BENCH, {"them": found})
    assert (row.case, row.metric, row.value) == ("them", "p50", median)


def test_a_case_without_enough_quiet_passes_is_called_no_measurement() -> None:
    for found, is_said in ((DISTURBED, True), (QUIET_AND_NOT, False)):
        results = {"them": found}
        assert ("NOT A MEASUREMENT" in table(BENCH, rows(BENCH, results), results)) == is_said


def test_a_ratio_is_between_what_counts_on_both_sides() -> None:
    results = {"them": QUIET_AND_NOT, "us": passes((50, 0.0), (50, 0.0), (50, 0.0), (900, 1.9))}
    ratios = {(row.case, row.metric): row.ratio for row in rows(BENCH, results)}
    assert ratios["us", "p50"] == pytest.approx(0.5)
    assert len(counted(results["us"])) == 3
