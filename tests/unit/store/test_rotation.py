"""Files of lines are set aside when they are full; only so many stay."""

from pathlib import Path

from engine.store.rotation import rotate, rotated


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def test_nothing_happens_to_a_file_that_is_missing_or_not_full(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    rotate(path, 3, 2)
    write(path, "12")
    rotate(path, 3, 2)
    assert path.read_text(encoding="utf-8") == "12"
    assert rotated(path) == []


def test_full_files_are_kept_in_the_order_of_their_time_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    for text in ("one", "two", "six"):
        write(path, text)
        rotate(path, 3, 2)
        assert not path.exists()
    assert [old.read_text(encoding="utf-8") for old in rotated(path)] == ["two", "six"]


def test_another_file_beside_it_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    write(tmp_path / "others-1.jsonl", "x")
    write(path, "one")
    rotate(path, 3, 0)
    assert [left.name for left in tmp_path.iterdir()] == ["others-1.jsonl"]
