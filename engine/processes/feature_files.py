"""The feature store: the vectors of journals as Parquet, by bar length, day and instrument.

    features/timeframe=60/day=2026-11-21/instrument=BTCUSDT/20261121t103205-1.0.parquet

One row per bar that ended: the bar, then every column under its name in the catalogue, exactly the
bits that strategies read. Bars that do not end by the clock are called by what ends them, such as
`timeframe=volume-2.5`. `aegis.plan_hash` in every file says what computed them; nobody reads a
file under another hash. A day is one of the bar's start, UTC. A session is taken in windows, each
partition of a window is one file, written under another name and renamed when whole: doing it
again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.bar_sizes import bar_size
from engine.domain.records import VECTOR_DTYPE, VECTOR_VALUES_MAX
from engine.domain.strategy_table import bars_of
from engine.store.journal import SOURCE_FEATURES
from engine.store.reader import first_kept, join_records, read_batches
from engine.store.session import SessionDocument
from engine.tapes.parquet import DAY_NS, pyarrow, steps_text, write_table

Vectors = NDArray[np.void]
WINDOW_VECTORS: Final = 32_768  # 100 MB while they are sorted
BAR_COLUMNS: Final = (
    "sequence",
    "number",
    "start_ns",
    "open_ticks",
    "high_ticks",
    "low_ticks",
    "close_ticks",
    "volume_lots",
    "buy_lots",
)


class Plan(NamedTuple):
    """What computed the vectors of a store."""

    plan_hash: str
    word: int  # as each vector carries it
    names: tuple[str, ...]  # of the values, in their order


class FeatureStoreError(Exception):
    """Vectors cannot be stored or read; the message names the file or the session."""


def present_plan() -> Plan:
    """Return the plan of this version of the engine; reads its sources."""
    from engine.domain.features.catalogue import (
        catalogue_text,
        compile_plan,
        plan_hash,
        plan_word,
    )

    found = plan_hash()
    return Plan(found, plan_word(found), compile_plan(catalogue_text()).vector_names)


def journaled_vectors(directory: Path, first_sequence: int = 0) -> Iterator[Vectors]:
    """Yield the vectors of a session's journal, VECTOR_DTYPE[n], in order; lost ones are missing.

    Args:
        directory: of the session's journal.
        first_sequence: the first frame is the one that holds it, or the first that is kept.

    Raises:
        JournalError: the journal is damaged.
    """
    first = max(first_sequence, first_kept(directory, SOURCE_FEATURES))
    for batch in read_batches(directory, SOURCE_FEATURES, first):
        if len(batch.records):
            yield batch.records


def write_features(
    directory: Path, document: SessionDocument, root: Path, plan: Plan
) -> list[Path]:
    """Write the vectors of a session below the store's root; return the files.

    Raises:
        MissingExtraError: pyarrow is not installed.
        FeatureStoreError: another plan computed them, or the disk refuses.
        JournalError: the journal cannot be read.
    """
    arrow = pyarrow()
    written = []
    for window, vectors in enumerate(_windows(journaled_vectors(directory))):
        check_plan(vectors, plan, document.session_id)
        for timeframe_s, index, day, chosen in _partitions(vectors):
            symbol = document.symbol(index) or str(index)
            bars = bars_label(document, timeframe_s, symbol)
            folder = root / f"timeframe={bars}" / f"day={day}" / f"instrument={symbol}"
            instrument = document.instruments[index] if symbol != str(index) else None
            about = {
                "aegis.plan_hash": plan.plan_hash,
                "aegis.session": document.session_id,
                "aegis.instrument_index": str(index),
                "aegis.timeframe_s": str(timeframe_s),
                "aegis.steps": steps_text(instrument),
            }
            table = _table(arrow, vectors[chosen], plan.names).replace_schema_metadata(about)
            path = folder / f"{document.session_id}.{window}.parquet"
            try:
                write_table(arrow, table, path)
            except OSError as error:
                raise FeatureStoreError(f"{path}: {error.strerror or error}") from error
            written.append(path)
    return written


def bars_label(document: SessionDocument, timeframe_s: int, symbol: str) -> str:
    """Return what the bars of a vector are called: seconds, or what ends them.

    Args:
        document: of the session.
        timeframe_s: as the vector says.
        symbol: of its instrument.
    """
    if timeframe_s > 0:
        return str(timeframe_s)
    return bar_size(bars_of(document.strategies)[-timeframe_s - 1]).label(symbol)


def check_plan(vectors: Vectors, plan: Plan, place: str) -> None:
    """Check that these columns are the ones this version computes.

    Raises:
        FeatureStoreError: another plan computed some of them.
    """
    if not ((vectors["plan"] == plan.word) & (vectors["value_count"] == len(plan.names))).all():
        raise FeatureStoreError(
            f"{place}: features were computed by another plan than {plan.plan_hash[:16]}; "
            "only the version that computed them knows their names"
        )


def read_file(path: Path) -> tuple[dict[str, str], Vectors]:
    """Return what a file says of itself, and the vectors it was made of.

    Raises:
        MissingExtraError: pyarrow is not installed.
        FeatureStoreError: it is no file of a feature store, or damaged.
    """
    arrow = pyarrow()
    try:
        # One file, not a data set: folders above it name no columns of it.
        table = arrow.parquet.ParquetFile(path).read()
    except (OSError, arrow.ArrowException) as error:
        raise FeatureStoreError(f"{path}: {error}") from error
    told = {key.decode(): text.decode() for key, text in (table.schema.metadata or {}).items()}
    names = [name for name in table.column_names if name not in BAR_COLUMNS]
    if "aegis.plan_hash" not in told or len(names) > VECTOR_VALUES_MAX:
        raise FeatureStoreError(f"{path}: no file of a feature store")
    made = np.zeros(table.num_rows, dtype=VECTOR_DTYPE)
    made["instrument_index"] = int(told["aegis.instrument_index"])
    made["timeframe_s"] = int(told["aegis.timeframe_s"])
    made["plan"] = int.from_bytes(
        bytes.fromhex(told["aegis.plan_hash"][:16]), "little", signed=True
    )
    made["value_count"] = len(names)
    for name in BAR_COLUMNS:
        made[name] = table.column(name).to_numpy()
    for place, name in enumerate(names):
        made["values"][:, place] = table.column(name).to_numpy()
    return told, made


def session_files(root: Path, session_id: str) -> list[Path]:
    """Return the files a store holds of a session."""
    return sorted(root.glob(f"timeframe=*/day=*/instrument=*/{session_id}.*.parquet"))


def stored_vectors(paths: Sequence[Path]) -> Vectors:
    """Return the vectors of files in the order in which the brain wrote them.

    Raises:
        FeatureStoreError: a file is none, or damaged.
    """
    found = join_records((read_file(path)[1] for path in paths), VECTOR_DTYPE)
    return found[np.argsort(found["sequence"], kind="stable")]


def _windows(batches: Iterator[Vectors]) -> Iterator[Vectors]:
    waiting: list[Vectors] = []
    count = 0
    for records in batches:
        waiting.append(records)
        count += len(records)
        if count >= WINDOW_VECTORS:
            yield join_records(waiting, VECTOR_DTYPE)
            waiting, count = [], 0
    if waiting:
        yield join_records(waiting, VECTOR_DTYPE)


def _partitions(vectors: Vectors) -> Iterator[tuple[int, int, str, NDArray[np.int64]]]:
    """Yield (timeframe_s, instrument, day, places of its vectors in order)."""
    keys = np.stack(
        [
            vectors["timeframe_s"].astype(np.int64),
            vectors["instrument_index"].astype(np.int64),
            vectors["start_ns"] // DAY_NS,
        ]
    )
    order = np.lexsort(keys[::-1])
    changes = (np.diff(keys[:, order], axis=1) != 0).any(axis=0)
    for chosen in np.split(order, np.flatnonzero(changes) + 1):
        timeframe_s, index, day = keys[:, chosen[0]].tolist()
        yield timeframe_s, index, str(np.datetime64(day, "D")), chosen


def _table(arrow: Any, vectors: Vectors, names: Sequence[str]) -> Any:  # noqa: ANN401  pyarrow's
    columns = {name: arrow.array(np.ascontiguousarray(vectors[name])) for name in BAR_COLUMNS}
    values = np.ascontiguousarray(vectors["values"][:, : len(names)].T)
    columns |= {name: arrow.array(column) for name, column in zip(names, values, strict=True)}
    return arrow.table(columns)
