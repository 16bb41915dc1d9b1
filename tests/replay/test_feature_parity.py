"""Features made again from a session's journal are the stored ones, bit for bit, or it is said.

Sessions run in programs of their own with NUMBA_DISABLE_JIT=1, as in test_session_replay.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.domain.records import VECTOR_DTYPE
from engine.processes.feature_check import Stored
from engine.processes.feature_files import FeatureStoreError, present_plan
from engine.store.journal import SOURCE_FEATURES, segment_paths
from engine.store.reader import read_records
from engine.store.session import read_document, write_document
from research.features import read_windows
from tests.replay.test_session_replay import Write, uncompiled, write
from tests.store_builders import as_bytes, open_features
from tests.vector_builders import PLAN, random_vectors

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
__all__ = ["write"]  # a fixture
Change = Callable[[np.ndarray], np.ndarray]


def features(action: str, directory: Path, root: Path) -> tuple[int, dict[str, Any]]:
    code, text = uncompiled("features", action, str(directory), "--store", str(root), "--json")
    return code, json.loads(text.splitlines()[-1]) if code != 3 else {"said": text}


def rewrite(directory: Path, change: Change) -> None:
    vectors = read_records(directory, SOURCE_FEATURES).copy()
    for path in segment_paths(directory, SOURCE_FEATURES):
        path.unlink()
    writer = open_features(directory)
    writer.append(0, as_bytes(change(vectors)))
    writer.close(is_end=False)


def flip(vectors: np.ndarray, row: int, column: int) -> np.ndarray:
    bits = vectors["values"].view(np.uint64)
    bits[row, column] ^= np.uint64(1)
    return vectors


def test_a_whole_session_is_equal_in_journal_and_store(write: Write, tmp_path: Path) -> None:
    directory, _ = write(3_000)
    root = tmp_path / "store"
    code, told = features("write", directory, root)
    assert code == 0
    assert told["files"] == len(list(root.rglob("*.parquet"))) > 0
    code, told = features("verify", directory, root)
    assert (code, told["sessions"][0]["differences"]) == (0, [])
    journal, store = told["sessions"][0]["places"]
    count = len(read_records(directory, SOURCE_FEATURES))
    assert journal["compared"] == store["compared"] == count > 30
    assert journal["missing"] == store["missing"] == journal["beyond"] == 0
    windows = read_windows(root, "T0USDT", 1)
    assert windows.values.shape[1] == len(present_plan().names)
    known = np.isfinite(windows.values)
    assert known.any(), "some are warm"
    assert not known.all(), "some are not"
    closes = {int(row["start_ns"]): int(row["close_ticks"]) for row in windows.bars}
    assert len(closes) == len(windows.start_ns)
    for symbol, size, lots in (("T0USDT", 2, 2_000), ("T1USDT", 1, 1_000)):
        by_volume = read_windows(root, symbol, f"volume-{size}").bars
        assert len(by_volume) > 5
        assert (by_volume["volume_lots"] >= lots).all()


def test_one_changed_bit_is_found_and_named(write: Write, tmp_path: Path) -> None:
    directory, _ = write(2_000)
    root = tmp_path / "store"
    features("write", directory, root)
    rewrite(directory, lambda vectors: flip(vectors, 12, 3))
    code, told = features("verify", directory, root)
    (difference,) = told["sessions"][0]["differences"]
    assert code == 1
    assert present_plan().names[3] in difference
    assert told["sessions"][0]["places"][1]["differences"] == [], "the store's files are as before"


def test_a_changed_file_of_the_store_is_found(write: Write, tmp_path: Path) -> None:
    directory, _ = write(2_000)
    root = tmp_path / "store"
    features("write", directory, root)
    path = max(root.rglob("*.parquet"), key=lambda it: it.stat().st_size)
    table = pq.ParquetFile(path).read()
    name = table.column_names[-1]
    column = table.column(name).to_numpy().copy()
    column[len(column) // 2] = 1234.5
    place = table.column_names.index(name)
    pq.write_table(table.set_column(place, name, [column]), path)
    code, told = features("verify", directory, root)
    (difference,) = told["sessions"][0]["differences"]
    assert code == 1
    assert f"{name} " in difference
    assert "1234.5" in difference


def test_a_restarted_brain_and_what_a_killed_one_left(write: Write, tmp_path: Path) -> None:
    directory, _ = write(3_000, brains=2)
    vectors = read_records(directory, SOURCE_FEATURES)
    starts = np.flatnonzero((vectors["number"] == 0) & (vectors["timeframe_s"] == 1))
    second = int(starts[starts > len(vectors) // 4][0])

    def leave(found: np.ndarray) -> np.ndarray:
        """Add what a first brain published for a step it never marked, and a last one too."""
        left = found[[second - 1, second - 1]].copy()
        left["number"] += 1
        order = [*found[:second], *left, *found[second:], *left]
        made = np.array(order, dtype=VECTOR_DTYPE)
        made["sequence"] = np.arange(len(made)) + 1
        return made

    rewrite(directory, leave)
    code, told = features("verify", directory, tmp_path / "none")
    (place,) = told["sessions"][0]["places"]
    assert (code, place["differences"], place["missing"]) == (0, [], 0)
    assert place["compared"] == len(vectors)
    assert place["beyond"] == 4


def test_lost_vectors_are_counted_and_hide_no_other(write: Write, tmp_path: Path) -> None:
    directory, _ = write(2_000)
    rewrite(directory, lambda vectors: np.delete(flip(vectors, 30, 0), [3, 4, 11]))
    code, told = features("verify", directory, tmp_path / "none")
    (place,) = told["sessions"][0]["places"]
    assert (code, place["missing"], len(place["differences"])) == (1, 3, 1)


def test_a_session_that_kept_none_or_by_another_version_is_not_called_equal(
    write: Write, tmp_path: Path
) -> None:
    directory, _ = write(400)
    document = read_document(directory)
    config = msgspec.convert(document.config, dict[str, Any])
    config["journal"]["features"] = "off"
    write_document(directory, msgspec.structs.replace(document, config=config))
    code, told = features("verify", directory, tmp_path / "none")
    assert code == 3
    assert "keeps no vectors" in told["said"]


def test_a_vector_of_another_bar_is_a_difference() -> None:
    made = random_vectors(50, 3)
    stored = made.copy()
    stored["number"][20] += 1
    place = Stored("journal", [stored[:7], stored[7:]], PLAN)
    for k in range(len(made)):
        place.meet(made[k : k + 1])
    found = place.result()
    assert not found.is_equal
    assert found.compared == 20
    assert "of bars that the run did not make" in found.differences[0]


def test_no_more_differences_are_told_than_somebody_reads() -> None:
    made = random_vectors(50, 3)
    stored = made.copy()
    stored["close_ticks"] += 1
    place = Stored("journal", [stored], PLAN)
    for k in range(len(made)):
        place.meet(made[k : k + 1])
    found = place.result()
    assert (found.compared, len(found.differences)) == (50, 10)
    assert "close_ticks" in found.differences[0]


def test_what_another_plan_computed_is_not_compared() -> None:
    made = random_vectors(5, 3)
    stored = made.copy()
    stored["plan"] += 1
    place = Stored("journal", [stored], PLAN)
    with pytest.raises(FeatureStoreError, match="another plan"):
        place.meet(made[:1])
