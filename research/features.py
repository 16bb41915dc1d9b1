"""Windows of features for training: what the brain saw, bar by bar, with its hash checked.

    found = read_windows(home / "features", "BTCUSDT", 60, days=("2026-11-20", "2026-11-21"))
    found.values[:, found.names.index("returns.change_1")]

Rows of one instrument and bar length in order of the bar's start, session after session; where
sessions overlap the one that is stored under the later name wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.records import VECTOR_DTYPE
from engine.processes.feature_files import FeatureStoreError, Plan, present_plan, read_file
from engine.store.reader import join_records


class Windows(NamedTuple):
    """Features of one instrument and bar length."""

    plan_hash: str
    names: tuple[str, ...]
    start_ns: NDArray[np.int64]  # int64[bars], ascending, venue time
    bars: NDArray[np.void]  # VECTOR_DTYPE[bars]: prices in ticks, volume in lots
    values: NDArray[np.float64]  # float64[bars, names], NaN where unknown


def read_windows(
    root: Path, symbol: str, bars: int | str, days: Sequence[str] = (), plan: Plan | None = None
) -> Windows:
    """Return what a store holds of an instrument.

    Args:
        root: the store's folder.
        symbol: of the instrument.
        bars: length of a bar, s, or what ends it, such as `volume-2.5`.
        days: UTC, such as 2026-11-21; empty: all.
        plan: that the files must be of; None: the present version's.

    Raises:
        MissingExtraError: pyarrow is not installed.
        FeatureStoreError: a file is damaged, or of another plan.
        LookupError: nothing is stored there.
    """
    asked = plan or present_plan()
    folder = root / f"timeframe={bars}"
    paths = [
        path
        for path in sorted(folder.glob(f"day=*/instrument={symbol}/*.parquet"))
        if not days or path.parent.parent.name.removeprefix("day=") in days
    ]
    if not paths:
        raise LookupError(f"no bars of {bars} of {symbol} in {root}")
    parts = []
    for path in paths:
        told, vectors = read_file(path)
        if told["aegis.plan_hash"] != asked.plan_hash:
            raise FeatureStoreError(f"{path}: computed by plan {told['aegis.plan_hash'][:16]}")
        parts.append(vectors)
    found = join_records(parts, VECTOR_DTYPE)
    # Of rows with one start the last stays: unique keeps the first of what is turned round.
    _, places = np.unique(found["start_ns"][::-1], return_index=True)
    found = found[len(found) - 1 - places]
    values = np.ascontiguousarray(found["values"][:, : len(asked.names)])
    return Windows(asked.plan_hash, asked.names, found["start_ns"].copy(), found, values)
