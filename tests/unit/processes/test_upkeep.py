"""Journals stay inside their bound by losing market segments, oldest first, and nothing else."""

import os
from pathlib import Path

from engine.processes.upkeep import REMOVED_MAX, bound_journals, free_bytes, resident_bytes


def segment(home: Path, session: str, name: str, *, age: int, size: int = 100) -> Path:
    path = home / "state" / "practice-a-paper" / "journal" / session / f"{name}.segment"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, ns=(10**18 - age, 10**18 - age))
    return path


def test_the_oldest_market_segments_go_first(tmp_path: Path) -> None:
    oldest = segment(tmp_path, "one", "market-000000", age=50)
    second = segment(tmp_path, "one", "market-000001", age=40)
    kept = segment(tmp_path, "one", "market-000002", age=30)
    events = segment(tmp_path, "one", "events-brain-000000", age=60)

    size = bound_journals(tmp_path, 250)

    assert (size.total_bytes, size.removed_bytes, size.removed_count) == (200, 200, 2)
    assert not oldest.exists()
    assert not second.exists()
    assert kept.exists()
    assert events.exists()


def test_segments_of_a_source_go_by_number_when_the_clock_was_set_back(tmp_path: Path) -> None:
    first = segment(tmp_path, "one", "market-000000", age=10)
    second = segment(tmp_path, "one", "market-000001", age=7_200)  # written later
    third = segment(tmp_path, "one", "market-000002", age=7_100)

    assert bound_journals(tmp_path, 200).removed_count == 1
    assert [path.exists() for path in (first, second, third)] == [False, True, True]


def test_drain_marks_go_with_the_market_and_events_stay(tmp_path: Path) -> None:
    marks = segment(tmp_path, "one", "marks-000000", age=50)
    kept = [
        segment(tmp_path, "one", "marks-000001", age=40),
        segment(tmp_path, "one", "market-000000", age=45),
        segment(tmp_path, "one", "events-brain-000000", age=90),
        segment(tmp_path, "one", "events-brain-000001", age=80),
    ]

    size = bound_journals(tmp_path, 1)

    assert (size.removed_count, marks.exists()) == (1, False)
    assert all(path.exists() for path in kept)


def test_events_and_the_newest_market_segment_stay_whatever_the_bound(tmp_path: Path) -> None:
    kept = [
        segment(tmp_path, "one", "market-000003", age=9),
        segment(tmp_path, "two", "market-000000", age=8),
        segment(tmp_path, "two", "events-brain-000000", age=99),
        segment(tmp_path, "two", "control-000000", age=99),
    ]

    size = bound_journals(tmp_path, 1)

    assert size.removed_count == 0
    assert all(path.exists() for path in kept)


def test_journals_inside_the_bound_are_left_alone(tmp_path: Path) -> None:
    segment(tmp_path, "one", "market-000000", age=2)
    segment(tmp_path, "one", "market-000001", age=1)

    assert bound_journals(tmp_path, 200) == (200, 0, 0, 0)


def test_a_home_without_state_holds_nothing(tmp_path: Path) -> None:
    assert bound_journals(tmp_path, 1) == (0, 0, 0, 0)


def test_free_bytes_is_what_the_file_system_says(tmp_path: Path) -> None:
    stat = os.statvfs(tmp_path)

    assert 0 < free_bytes(tmp_path) <= stat.f_blocks * stat.f_frsize


def test_resident_bytes_counts_the_living_and_forgives_the_dead() -> None:
    ours = resident_bytes([os.getpid()])

    assert ours > 1_000_000
    assert resident_bytes([2**22 + 1]) == 0
    assert resident_bytes([os.getpid(), 2**22 + 1]) >= ours // 2


def test_no_more_than_so_many_files_go_at_once(tmp_path: Path) -> None:
    for number in range(REMOVED_MAX + 5):
        segment(tmp_path, "one", f"market-{number:06d}", age=100 - number)
    found = [bound_journals(tmp_path, 1).removed_count for _ in range(3)]
    assert found == [REMOVED_MAX, 4, 0], "the newest stays"
