"""Feature vectors as rows: each of them once, on every database, however often it is projected."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.processes.projector import Projector, present_names
from engine.store import feature_rows
from engine.store.database import Database, migrate
from engine.store.errors import ProjectionError
from engine.store.feature_rows import BAR, FeatureProjection, VectorNames, vector_text
from engine.store.journal import SOURCE_FEATURES, segment_paths
from engine.store.session import read_document
from engine.store.sqlite import SqliteDatabase
from engine.store.tables import FEATURE_COLUMNS, FEATURE_VECTORS
from tests.store_builders import as_bytes, open_features, write_session
from tests.vector_builders import PLAN, random_vectors

Open = Callable[[], Database]
NAMES = VectorNames(PLAN.word, PLAN.names)
COLUMNS = ("sequence", "instrument", *BAR, "plan", "vector")
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_session(tmp_path / "practice-practice-paper", session_id="s1")


@pytest.fixture
def database(open_database: Open) -> Database:
    opened = open_database()
    migrate(opened, 1)
    return opened


def write(directory: Path, vectors: np.ndarray, *, is_end: bool = False) -> None:
    writer = open_features(directory)
    writer.append(writer.next_sequence, as_bytes(vectors))
    writer.close(is_end=is_end)


def projection(database: Database, directory: Path) -> FeatureProjection:
    return FeatureProjection(database, directory, read_document(directory), NAMES)


def stored(database: Database) -> list[tuple[Any, ...]]:
    return database.query(f"SELECT {', '.join(COLUMNS)} FROM feature_vectors ORDER BY sequence")


def wanted(vectors: np.ndarray) -> list[tuple[Any, ...]]:
    """Return the rows of vectors, made from the records alone."""
    return [
        (
            int(row["sequence"]) - 1,
            SYMBOLS[row["instrument_index"]],
            *(int(row[name]) for name in BAR),
            int(row["plan"]),
            vector_text(row["values"][: len(PLAN.names)]),
        )
        for row in vectors
    ]


def test_every_vector_is_a_row_and_its_columns_have_names(
    database: Database, directory: Path
) -> None:
    vectors = random_vectors(300, 1)
    write(directory, vectors)
    assert projection(database, directory).project() == 300
    assert stored(database) == wanted(vectors)
    names = database.query("SELECT plan, place, name FROM feature_columns ORDER BY place")
    assert names == [(PLAN.word, place, name) for place, name in enumerate(PLAN.names)]


def test_a_column_is_read_by_its_name_as_the_bits_that_were_journaled(
    database: Database, directory: Path
) -> None:
    vectors = random_vectors(40, 2)
    write(directory, vectors)
    projection(database, directory).project()
    ((place,),) = database.query("SELECT place FROM feature_columns WHERE name = ?", ("trend.adx",))
    found = [json.loads(row[-1])[int(str(place))] for row in stored(database)]
    column = vectors["values"][:, 2].tolist()
    assert [math.nan if value is None else value for value in found] == pytest.approx(
        column, rel=0, abs=0, nan_ok=True
    )


def test_projecting_again_and_going_on_changes_nothing_that_stands(
    database: Database, directory: Path
) -> None:
    first, second = random_vectors(50, 3), random_vectors(70, 4, first_sequence=50)
    write(directory, first)
    projection(database, directory).project()
    assert projection(database, directory).project() == 0
    write(directory, second, is_end=True)
    assert projection(database, directory).project() == 70
    assert stored(database) == wanted(first) + wanted(second)
    ended = projection(database, directory)
    assert ended.project() == 0


def test_rows_and_cursor_that_were_deleted_are_made_again(
    database: Database, directory: Path
) -> None:
    write(directory, random_vectors(30, 5), is_end=True)
    projection(database, directory).project()
    before = stored(database)
    for table in (FEATURE_VECTORS.name, FEATURE_COLUMNS.name, "journal_cursors"):
        database.execute(f"DELETE FROM {table}")
    projection(database, directory).project()
    assert stored(database) == before


def test_a_database_that_refuses_keeps_nothing_of_the_batch(
    database: Database, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ProjectionError("away")

    vectors = random_vectors(30, 6)
    write(directory, vectors)
    made = projection(database, directory)
    with monkeypatch.context() as context:
        context.setattr(feature_rows, "write_cursor", refuse)
        with pytest.raises(ProjectionError):
            made.project()
    assert stored(database) == []
    assert made.project() == 30
    assert stored(database) == wanted(vectors)


def test_vectors_of_another_plan_are_rows_without_names(
    database: Database, directory: Path
) -> None:
    vectors = random_vectors(20, 7)
    vectors["plan"] = 1
    write(directory, vectors)
    projection(database, directory).project()
    assert stored(database) == wanted(vectors)
    assert database.query("SELECT * FROM feature_columns") == []


def test_what_retention_removed_is_missing_and_the_rest_stands(
    database: Database, directory: Path
) -> None:
    vectors = random_vectors(60, 8)
    for first in (0, 20, 40):
        writer = open_features(directory)
        writer._segment_bytes = 1
        writer.append(writer.next_sequence, as_bytes(vectors[first : first + 20]))
        writer.close(is_end=False)
    paths = segment_paths(directory, SOURCE_FEATURES)
    assert len(paths) == 3
    paths[0].unlink()
    made = projection(database, directory)
    while made.project():
        pass
    assert stored(database) == wanted(vectors[20:])


@pytest.mark.parametrize("is_wanted", [False, True])
def test_the_thread_projects_them_where_they_are_asked_for(
    tmp_path: Path, directory: Path, is_wanted: bool
) -> None:
    vectors = random_vectors(25, 9)
    write(directory, vectors)
    said: list[str] = []
    opened = partial(SqliteDatabase, tmp_path / "aegis.db")
    names = (lambda: NAMES) if is_wanted else None
    thread = Projector(opened, directory, on_alarm=said.append, vector_names=names)
    thread.start()
    assert thread.stop(30.0)
    assert said == []
    with closing(opened()) as database:
        assert stored(database) == (wanted(vectors) if is_wanted else [])


def test_this_version_names_its_columns() -> None:
    names = present_names()
    assert len(set(names.names)) == len(names.names) > 100


@given(st.lists(st.floats(allow_infinity=True, allow_nan=True), max_size=8))
def test_a_vector_comes_back_from_its_text(numbers: list[float]) -> None:
    found = json.loads(vector_text(np.array(numbers, dtype=np.float64)))
    assert found == [number if math.isfinite(number) else None for number in numbers]
