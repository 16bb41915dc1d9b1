"""The feature store holds what the journal holds, bit for bit, under the names of its plan."""

from pathlib import Path

import numpy as np
import pytest

from engine.domain.features.catalogue import catalogue_text, compile_plan, plan_hash, plan_word
from engine.domain.records import VECTOR_DTYPE, VECTOR_SLOT_BYTES, VECTOR_VALUES_MAX
from engine.processes import feature_files
from engine.processes.feature_files import (
    FeatureStoreError,
    journaled_vectors,
    present_plan,
    read_file,
    session_files,
    stored_vectors,
    write_features,
)
from engine.store.journal import SOURCE_FEATURES, segment_paths
from engine.store.session import read_document
from research.features import read_windows
from tests.store_builders import as_bytes, open_features, write_session
from tests.vector_builders import DAY_NS, PLAN, random_vectors

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")


def journal_of(folder: Path, vectors: np.ndarray, session_id: str = "20260101T000000-1") -> Path:
    directory = write_session(folder / "state" / "practice-x-paper", session_id=session_id)
    writer = open_features(directory)
    for first in range(0, len(vectors), 37):
        writer.append(first, as_bytes(vectors[first : first + 37]))
    writer.close(is_end=False)
    return directory


def stored(directory: Path, root: Path) -> list[Path]:
    return write_features(directory, read_document(directory), root, PLAN)


def test_a_slot_has_room_for_every_column_that_is_shipped() -> None:
    assert VECTOR_DTYPE.itemsize == VECTOR_SLOT_BYTES
    names = compile_plan(catalogue_text()).vector_names
    assert len(set(names)) == len(names) <= VECTOR_VALUES_MAX
    plan = present_plan()
    assert plan == (plan_hash(), plan_word(plan_hash()), names)
    assert plan.word.to_bytes(8, "little", signed=True).hex() == plan.plan_hash[:16]


@pytest.mark.parametrize("seed", range(3))
def test_what_is_stored_are_the_journal_s_bits(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_files, "WINDOW_VECTORS", 150)
    vectors = random_vectors(500, seed)
    directory = journal_of(tmp_path, vectors)
    written = stored(directory, tmp_path / "store")
    assert stored_vectors(written).tobytes() == vectors.tobytes()
    assert session_files(tmp_path / "store", directory.name) == sorted(written)
    folders = {path.parent.relative_to(tmp_path / "store").as_posix() for path in written}
    days = [str(np.datetime64(20_000 + k, "D")) for k in range(3)]
    assert folders == {
        f"timeframe={timeframe}/day={day}/instrument={symbol}"
        for timeframe in (1, 60)
        for day in days
        for symbol in ("BTCUSDT", "ETHUSDT")
    }
    assert not list((tmp_path / "store").rglob("*.partial"))


def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    directory = journal_of(tmp_path, random_vectors(90, 5))
    before = {path: path.read_bytes() for path in stored(directory, tmp_path / "store")}
    assert {path: path.read_bytes() for path in stored(directory, tmp_path / "store")} == before


def test_every_file_names_its_plan_and_its_session(tmp_path: Path) -> None:
    directory = journal_of(tmp_path, random_vectors(60, 1))
    for path in stored(directory, tmp_path / "store"):
        told, vectors = read_file(path)
        assert told["aegis.plan_hash"] == PLAN.plan_hash
        assert told["aegis.session"] == directory.name
        assert told["aegis.steps"] == "1e-1 1e-3"
        assert set(vectors["timeframe_s"]) == {int(told["aegis.timeframe_s"])}
        assert pq.ParquetFile(path).schema_arrow.names[-len(PLAN.names) :] == list(PLAN.names)


@pytest.mark.parametrize(("field", "value"), [("plan", 7), ("value_count", 2)])
def test_columns_of_another_plan_are_not_given_names(
    tmp_path: Path, field: str, value: int
) -> None:
    vectors = random_vectors(40, 1)
    vectors[field][25] = value
    directory = journal_of(tmp_path, vectors)
    with pytest.raises(FeatureStoreError, match="another plan"):
        stored(directory, tmp_path / "store")
    assert not list((tmp_path / "store").rglob("*.parquet"))


def test_what_a_killed_writer_left_is_readable_to_its_last_whole_frame(tmp_path: Path) -> None:
    vectors = random_vectors(300, 2)
    directory = journal_of(tmp_path, vectors)
    (path,) = segment_paths(directory, SOURCE_FEATURES)
    path.write_bytes(path.read_bytes()[:-1_000])  # in the middle of the last frame
    kept = np.frombuffer(
        b"".join(it.tobytes() for it in journaled_vectors(directory)), VECTOR_DTYPE
    )
    assert 0 < len(kept) < 300
    assert kept.tobytes() == vectors[: len(kept)].tobytes()
    written = stored(directory, tmp_path / "store")
    assert stored_vectors(written).tobytes() == kept.tobytes()


def test_a_file_that_was_not_finished_or_is_none_is_no_part_of_the_store(tmp_path: Path) -> None:
    directory = journal_of(tmp_path, random_vectors(60, 1))
    first = stored(directory, tmp_path / "store")[0]
    before = len(session_files(tmp_path / "store", directory.name))
    first.with_suffix(".partial").write_bytes(first.read_bytes()[:100])
    assert len(session_files(tmp_path / "store", directory.name)) == before
    first.write_bytes(first.read_bytes()[:100])
    with pytest.raises(FeatureStoreError, match=first.name):
        stored_vectors([first])
    pq.write_table(pq.ParquetFile(session_files(tmp_path / "store", directory.name)[-1]).read()
                   .replace_schema_metadata({}), first)  # fmt: skip
    with pytest.raises(FeatureStoreError, match="no file of a feature store"):
        read_file(first)


def test_a_window_is_one_instrument_in_order_of_time_and_once(tmp_path: Path) -> None:
    root = tmp_path / "store"
    early, late = random_vectors(400, 1), random_vectors(400, 2)
    late["start_ns"][:200] = early["start_ns"][:200]  # both sessions saw these bars
    late["instrument_index"][:200] = early["instrument_index"][:200]
    late["timeframe_s"][:200] = early["timeframe_s"][:200]
    for vectors, name in ((early, "20260101T000000-1"), (late, "20260102T000000-1")):
        stored(journal_of(tmp_path, vectors, name), root)
    expected: dict[int, bytes] = {}
    for row in (*early, *late):
        if row["instrument_index"] == 1 and row["timeframe_s"] == 60:
            expected[int(row["start_ns"])] = row["values"][:3].tobytes()
    found = read_windows(root, "ETHUSDT", 60, plan=PLAN)
    assert found.names == PLAN.names
    assert found.start_ns.tolist() == sorted(expected)
    assert [row.tobytes() for row in found.values] == [expected[it] for it in sorted(expected)]
    assert found.bars["start_ns"].tolist() == found.start_ns.tolist()
    day = str(np.datetime64(20_001, "D"))
    of_a_day = read_windows(root, "ETHUSDT", 60, days=(day,), plan=PLAN)
    assert set(of_a_day.start_ns // DAY_NS) == {20_001}
    assert len(of_a_day.values) == sum(it // DAY_NS == 20_001 for it in expected)


def test_training_refuses_another_plan_and_says_what_is_missing(tmp_path: Path) -> None:
    root = tmp_path / "store"
    stored(journal_of(tmp_path, random_vectors(60, 1)), root)
    with pytest.raises(FeatureStoreError, match="computed by plan abababab"):
        read_windows(root, "BTCUSDT", 60)
    with pytest.raises(LookupError, match="no bars of 300 of BTCUSDT"):
        read_windows(root, "BTCUSDT", 300, plan=PLAN)
