"""From the catalogue to plain arrays: which kernel computes which column with which numbers.

`compile_plan` sorts the rows of trigger `bar` by kernel, so that each kernel is one loop over its
own rows (a family loop): `for k in range(first[KERNEL], first[KERNEL + 1])`. Column and cells of a
row do not depend on that order: a column is the row's position in the catalogue.

    first[kernel]        first row of a kernel in the arrays below; length kernels + 1
    params[k, 4]         numbers of row k
    column[k]            where row k writes
    cell[k]              where row k keeps its state, in a memory of `cell_count` numbers
"""

from __future__ import annotations

import hashlib
import tomllib
from importlib import resources
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.domain.bars import BAR_DTYPE, BAR_RING_BARS
from engine.domain.features import micro
from engine.domain.kernel import Floats, Integers

PARAMS_MAX = 4
SCALES = ("atr", "ratio", "bps", "deviations")

# Kernels of bar features; the position is the kernel's number.
KERNELS = (
    "returns.change",
    "returns.body",
    "returns.close_place",
    "averages.ema_distance",
    "momentum.rsi",
    "volatility.atr_bps",
    "volatility.range_atr",
    "volatility.deviation_bps",
    "volume.relative",
    "volume.taker_balance",
    "statistics.deviation",
)
(
    CHANGE,
    BODY,
    CLOSE_PLACE,
    EMA_DISTANCE,
    RSI,
    ATR_BPS,
    RANGE_ATR,
    DEVIATION_BPS,
    RELATIVE_VOLUME,
    TAKER_BALANCE,
    DEVIATION,
) = range(len(KERNELS))

CELLS = {"averages.ema_distance": 1, "momentum.rsi": 2}  # numbers of state; others keep none
FAMILY_FILES = ("returns", "averages", "momentum", "volatility", "volume", "statistics", "micro")


class FeatureRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of the catalogue."""

    name: str
    kernel: str
    trigger: str
    params: list[float]
    warm_up: int
    scale: str
    meaning: str


class FeaturePlan(NamedTuple):
    """The catalogue's bar rows as arrays, for kernels. See the module's picture."""

    first: Integers
    params: Floats
    column: Integers
    cell: Integers


class Catalogue(NamedTuple):
    """The catalogue's rows, and the plan made of them."""

    bar_rows: tuple[FeatureRow, ...]  # position is the column of bar_features
    micro_rows: tuple[FeatureRow, ...]  # position is the column of micro
    plan: FeaturePlan
    cell_count: int


class CatalogueError(ValueError):
    """A row of the catalogue is wrong; the message names it."""


def check_row(row: FeatureRow) -> None:
    """Check one row on its own.

    Raises:
        CatalogueError: unknown kernel, trigger or scale; too many or too large parameters.
    """
    if row.trigger not in {"bar", "quote"}:
        raise CatalogueError(f"{row.name}: trigger {row.trigger!r} is neither bar nor quote")
    if row.scale not in SCALES:
        raise CatalogueError(f"{row.name}: scale {row.scale!r} is none of {', '.join(SCALES)}")
    if row.trigger == "bar" and row.kernel not in KERNELS:
        raise CatalogueError(f"{row.name}: no kernel is named {row.kernel}")
    if row.trigger == "quote" and not hasattr(micro, row.kernel.removeprefix("micro.")):
        raise CatalogueError(f"{row.name}: no column of micro is named {row.kernel}")
    if row.name.partition(".")[0] != row.kernel.partition(".")[0]:
        raise CatalogueError(f"{row.name}: the family differs from that of {row.kernel}")
    if len(row.params) > PARAMS_MAX:
        raise CatalogueError(f"{row.name}: at most {PARAMS_MAX} parameters")
    if any(not 1 <= param < BAR_RING_BARS for param in row.params):
        raise CatalogueError(f"{row.name}: a lookback lies outside 1..{BAR_RING_BARS - 1}")


def pack_plan(rows: tuple[FeatureRow, ...]) -> tuple[FeaturePlan, int]:
    """Return the arrays of the bar rows, and how many cells of state they need."""
    order = sorted(range(len(rows)), key=lambda k: KERNELS.index(rows[k].kernel))
    numbers = [KERNELS.index(rows[k].kernel) for k in order]
    params = np.zeros((len(rows), PARAMS_MAX))
    cell: NDArray[np.int64] = np.zeros(len(rows), dtype=np.int64)
    cell_count = 0
    for position, k in enumerate(order):
        params[position, : len(rows[k].params)] = rows[k].params
        cell[position] = cell_count
        cell_count += CELLS.get(rows[k].kernel, 0)
    plan = FeaturePlan(
        first=np.searchsorted(numbers, np.arange(len(KERNELS) + 1)).astype(np.int64),
        params=params,
        column=np.array(order, dtype=np.int64),
        cell=cell,
    )
    return plan, max(cell_count, 1)


def compile_plan(catalogue_text: str) -> Catalogue:
    """Return the catalogue of a TOML text.

    Raises:
        CatalogueError: a row is wrong, a name is doubled, or a quote row is out of its place.
    """
    rows = msgspec.convert(tomllib.loads(catalogue_text).get("feature", []), list[FeatureRow])
    names = [row.name for row in rows]
    for row in rows:
        check_row(row)
        if names.count(row.name) > 1:
            raise CatalogueError(f"{row.name}: the name is doubled")
    bar_rows = tuple(row for row in rows if row.trigger == "bar")
    micro_rows = tuple(row for row in rows if row.trigger == "quote")
    for column, row in enumerate(micro_rows):
        if getattr(micro, row.kernel.removeprefix("micro.")) != column:
            raise CatalogueError(f"{row.name}: its kernel writes another column than {column}")
    if not bar_rows or len(micro_rows) != micro.MICRO_COLUMNS:
        raise CatalogueError("the catalogue misses rows of a trigger")
    plan, cell_count = pack_plan(bar_rows)
    return Catalogue(bar_rows, micro_rows, plan, cell_count)


def catalogue_text() -> str:
    """Return the text of the catalogue that is shipped; read once, at start."""
    return resources.files("engine.domain.features").joinpath("catalogue.toml").read_text("utf-8")


def plan_hash() -> str:
    """Return SHA-256 over catalogue, kernel sources and bar layout: names the features exactly.

    For whoever stores a feature or a model, which nothing here does yet: a reader must refuse
    another hash. It stands beside what it is made of, so that no source is forgotten.
    """
    digest = hashlib.sha256(catalogue_text().encode())
    for name in FAMILY_FILES:
        digest.update(resources.files("engine.domain.features").joinpath(f"{name}.py").read_bytes())
    digest.update(repr(BAR_DTYPE.descr).encode())
    return digest.hexdigest()
