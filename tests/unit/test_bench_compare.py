"""Fresh bench ratios against recorded ones."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.compare import RUNS_MAX, Report, changes, judge, machine_differences, main
from bench.harness import Row


def report(unit: str, baseline: float, values: list[float], metric: str = "p50") -> Report:
    median = sorted(values)[len(values) // 2]
    rows = [
        Row("them", metric, unit, baseline, baseline, 1.0),
        Row("us", metric, unit, median, baseline, median / baseline),
        Row("us", "count", "", 400, None, None),
    ]
    passes = {"them": [{metric: baseline}], "us": [{metric: one} for one in values]}
    return Report("ring", "abc", rows, passes)


def worse(recorded: Report, fresh: Report) -> list[bool]:
    return [change.worse for change in changes(recorded, fresh)]


def test_a_slower_ratio_is_worse_and_a_slower_machine_is_not() -> None:
    recorded = report("us", 100, [50, 51, 52])
    assert worse(recorded, report("us", 100, [60, 61, 62])) == [True]
    assert worse(recorded, report("us", 200, [100, 102, 104])) == [False]


def test_less_of_a_rate_is_worse_and_more_is_not() -> None:
    recorded = report("1/s", 100, [500, 510, 520])
    assert worse(recorded, report("1/s", 100, [400, 410, 420])) == [True]
    assert worse(recorded, report("1/s", 100, [700, 710, 720])) == [False]


def test_one_pass_as_good_as_the_record_acquits() -> None:
    recorded = report("us", 100, [50, 51, 52])
    assert worse(recorded, report("us", 100, [51, 70, 71])) == [False]


@pytest.mark.parametrize(("unit", "by"), [("us", 1.0), ("1/s", -1.0)])
@pytest.mark.parametrize(("lost", "is_worse"), [(0.09, False), (0.11, True)])
def test_a_tenth_is_where_worse_begins(unit: str, by: float, lost: float, is_worse: bool) -> None:
    values = [500 * (1 + lost) ** by] * 7
    assert worse(report(unit, 100, [500] * 7), report(unit, 100, values)) == [is_worse]


def test_a_row_that_is_gone_is_told_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh = report("us", 100, [50])
    fresh.rows = [row for row in fresh.rows if row.case != "us"]
    (change,) = changes(report("us", 100, [50]), fresh)
    assert (change.case, change.fresh, change.worse) == ("us", None, True)
    for name, made in (("then", report("us", 100, [50])), ("now", fresh)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ring.json").write_bytes(msgspec.json.encode(made))
    words = ["--recorded", str(tmp_path / "then"), "--fresh", str(tmp_path / "now")]
    assert main(words) == 1
    assert "MISSING" in capsys.readouterr().out


def test_another_machine_is_told_and_a_passing_load_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    then, now = report("us", 100, [50]), report("us", 100, [50])
    then.machine = {"cpu": "A", "cores": [0, 1], "load_1min_at_start": 0.1}
    now.machine = {"cpu": "B", "cores": [0, 1], "load_1min_at_start": 2.1}
    assert machine_differences(then, now) == ["ring: cpu was A, is B"]
    assert machine_differences(then, then) == []
    for name, made in (("then", then), ("now", now)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ring.json").write_bytes(msgspec.json.encode(made))
    assert main(["--recorded", str(tmp_path / "then"), "--fresh", str(tmp_path / "now")]) == 0
    assert "another machine: ring: cpu was A, is B" in capsys.readouterr().out


def test_a_disturbed_case_is_marked() -> None:
    fresh = report("us", 100, [50])
    fresh.passes["us"][0]["foreign cores"] = 0.4
    assert changes(report("us", 100, [50]), fresh)[0].disturbed
    assert not changes(report("us", 100, [50]), report("us", 100, [50]))[0].disturbed


@pytest.mark.parametrize(
    ("medians", "runs", "is_worse"),
    [
        ((51.0, 90.0, 90.0), 1, False),
        ((90.0, 51.0, 51.0), 3, False),
        ((90.0, 51.0, 90.0), 3, True),
        ((90.0, 90.0, 51.0), 3, True),
    ],
)
def test_a_bench_that_looks_worse_is_run_again_and_most_runs_decide(
    medians: tuple[float, ...], runs: int, is_worse: bool
) -> None:
    left = [report("us", 100, [median] * 3) for median in reversed(medians)]
    judged, _ = judge(report("us", 100, [50, 51, 52]), left.pop)
    assert judged[0].worse == is_worse
    assert len(medians) - len(left) == runs


def test_a_bench_is_not_run_for_ever() -> None:
    calls = []

    def run() -> Report:
        calls.append(1)
        return report("us", 100, [90, 91, 92])

    judged, _ = judge(report("us", 100, [50, 51, 52]), run)
    assert judged[0].worse
    assert len(calls) == RUNS_MAX


def test_tails_counts_and_the_baseline_itself_are_not_judged() -> None:
    assert changes(report("us", 100, [50], "p99"), report("us", 100, [90], "p99")) == []
    assert len(changes(report("us", 100, [50]), report("us", 100, [50]))) == 1


@given(
    st.lists(st.floats(1, 1e6), min_size=1, max_size=9),
    st.floats(1, 1e6),
    st.sampled_from(["us", "1/s"]),
)
def test_a_result_is_never_worse_than_itself(
    values: list[float], baseline: float, unit: str
) -> None:
    same = report(unit, baseline, values)
    assert not any(worse(same, same))


@pytest.mark.parametrize(("fresh_us", "code"), [([50.0, 51.0], 0), ([80.0, 81.0], 1)])
def test_the_exit_code_says_whether_something_is_worse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fresh_us: list[float], code: int
) -> None:
    for name, values in (("then", [50.0, 51.0]), ("now", fresh_us)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ring.json").write_bytes(msgspec.json.encode(report("us", 100, values)))
    words = ["--recorded", str(tmp_path / "then"), "--fresh", str(tmp_path / "now")]
    assert main(words) == code
    assert ("WORSE" in capsys.readouterr().out) == bool(code)


def test_without_a_record_there_is_nothing_to_compare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--recorded", str(tmp_path)]) == 3
    assert "no recorded result" in capsys.readouterr().out


def test_a_result_without_rows_is_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fuzz_decode.json").write_text('{"executions": 1}', "utf-8")
    assert main(["--recorded", str(tmp_path)]) == 3
    assert "no recorded result" in capsys.readouterr().out
