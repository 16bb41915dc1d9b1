"""The catalogue read, checked and made into a plan. Runs once, at start: no kernel is here.

`compile_plan` sorts the rows of trigger `bar` by kernel. Column and cells of a row do not depend on
that order: a row's columns follow those of the row before it in the catalogue.
"""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from enum import IntEnum
from importlib import resources
from itertools import accumulate, groupby
from typing import Final, NamedTuple

import msgspec
import numpy as np

from engine.domain import typed
from engine.domain.bars import BAR_DTYPE
from engine.domain.book import BOOK_LEVELS
from engine.domain.features import micro
from engine.domain.features.coarse import COARSE_BARS
from engine.domain.features.plan import (
    KERNELS,
    PARAMS_MAX,
    SHAPES,
    SMOOTHING_MAX,
    FeaturePlan,
    Shape,
)
from engine.domain.features.series import WINDOW_MAX
from engine.domain.features.zones import zone_tables
from engine.domain.kernel import Integers
from engine.domain.structure_state import STRUCTURE_DTYPE, Part

SCALES: Final = ("atr", "ratio", "bps", "deviations", "count", "flag")
# What a row reads. A venue that lacks one leaves the rows that read it NaN.
INPUTS: Final = (
    "price",
    "volume",
    "takers",
    "trades",
    "time",
    "mark",
    "liquidations",
    "quote",
    "book",
    "open_interest",
    "news",
    "leader",
    "others",
)
WINDOW_PARAMS: Final = ("bars", "shift", "smooth", "signal", "lag", "step")
SMOOTHING_PARAMS: Final = ("smooth", "signal")
SPAN_MAX: Final = 1_000
# Rows over bars made of several.
LAYERS_MAX: Final = 4
LAYER_COLUMNS_MAX: Final = 2 * COARSE_BARS
LAYER_WINDOW_MAX: Final = COARSE_BARS - 2
LAYER_FAMILIES: Final = ("returns", "averages", "trend", "momentum", "volatility", "volume")
LOG_KERNELS: Final = tuple(
    f"volatility.{name}_bps" for name in ("parkinson", "garman_klass", "rogers_satchell")
)
# Families that read the structure.
STRUCTURE_FAMILIES: Final = ("calendar", "sessions", "smart_money", "patterns")
PACKAGE: Final = "engine.domain.features"
# Kernels beside the package that features are computed of.
STRUCTURE_FILES: Final = ("gaps", "leg", "order_blocks", "pools", "spans", "structure", "swings")


class Unknown(IntEnum):
    """Why a feature is NaN."""

    KNOWN = 0
    INPUT_MISSING = 1  # the venue does not supply what the row reads
    WARMING = 2  # too few bars, or days, since the start or since the instrument appeared
    UNDEFINED = 3  # no such number exists of these bars: flat, without volume, without flow


class FeatureRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of the catalogue. What each field says stands in the catalogue's first lines."""

    name: str
    kernel: str
    trigger: str
    params: list[float]
    inputs: list[str]
    warm_up: int
    scale: str
    oracle: str
    tolerance: float
    meaning: str
    warm_days: int = 0
    is_sparse: bool = False
    every: int = 1

    @property
    def family(self) -> str:
        """Return the family: the name's first part."""
        return self.name.partition(".")[0]

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns it writes."""
        outputs = SHAPES[self.kernel].outputs if self.trigger == "bar" else ()
        return tuple(f"{self.name}.{output}" for output in outputs) or (self.name,)


class Catalogue(NamedTuple):
    """The catalogue's rows, and the plan made of them."""

    bar_rows: tuple[FeatureRow, ...]
    bar_columns: tuple[str, ...]  # position is the column of bar_features
    micro_rows: tuple[FeatureRow, ...]  # position is the column of micro
    plan: FeaturePlan
    cell_count: int

    @property
    def vector_names(self) -> tuple[str, ...]:
        """Return what the values of a feature vector are, in their order."""
        return self.bar_columns + tuple(row.name for row in self.micro_rows)


class CatalogueError(ValueError):
    """A row of the catalogue is wrong; the message names it."""


def check_params(row: FeatureRow, shape: Shape) -> None:
    """Check a bar row's numbers against what its kernel takes.

    Raises:
        CatalogueError: their number differs, or one is out of range.
    """
    if len(row.params) != len(shape.params):
        raise CatalogueError(f"{row.name}: {row.kernel} takes {', '.join(shape.params) or 'none'}")
    window = 0.0
    window_max = LAYER_WINDOW_MAX if row.every > 1 else WINDOW_MAX
    for name, number in zip(shape.params, row.params, strict=True):
        kind = name.partition("_")[0]
        if not math.isfinite(number) or (number <= 0 and kind != "shift"):
            raise CatalogueError(f"{row.name}: {name} must be a number above 0")
        if kind == "span" and not (number <= SPAN_MAX and number == int(number)):
            raise CatalogueError(f"{row.name}: {name} lies outside 1..{SPAN_MAX}")
        if kind == "levels" and not (number <= BOOK_LEVELS and number == int(number)):
            raise CatalogueError(f"{row.name}: {name} lies outside 1..{BOOK_LEVELS}")
        if kind == "part" and number not in set(Part):
            raise CatalogueError(f"{row.name}: {name} is no day, week, month or session")
        if kind in SMOOTHING_PARAMS and number > SMOOTHING_MAX:
            raise CatalogueError(f"{row.name}: {name} lies outside 1..{SMOOTHING_MAX}")
        if kind in WINDOW_PARAMS:
            window += number
            if number != int(number) or window > window_max:
                raise CatalogueError(f"{row.name}: a lookback lies outside 1..{window_max}")


def check_layer(row: FeatureRow) -> None:
    """Check a row over bars made of several.

    Raises:
        CatalogueError: its name does not say so, or its family reads more than those bars.
    """
    if row.every < 1 or row.trigger != "bar" or not row.name.endswith(f"@{row.every}"):
        raise CatalogueError(f"{row.name}: a row over {row.every} bars is named @{row.every}")
    if row.family not in LAYER_FAMILIES:
        raise CatalogueError(f"{row.name}: only {', '.join(LAYER_FAMILIES)} may be over several")
    if row.kernel in LOG_KERNELS:
        raise CatalogueError(f"{row.name}: bars of several have no logarithms for {row.kernel}")


def check_row(row: FeatureRow) -> None:
    """Check one row on its own.

    Raises:
        CatalogueError: unknown kernel, trigger, input or scale; wrong parameters.
    """
    if row.trigger not in {"bar", "quote"}:
        raise CatalogueError(f"{row.name}: trigger {row.trigger!r} is neither bar nor quote")
    if row.scale not in SCALES:
        raise CatalogueError(f"{row.name}: scale {row.scale!r} is none of {', '.join(SCALES)}")
    if row.trigger == "bar" and row.kernel not in SHAPES:
        raise CatalogueError(f"{row.name}: no kernel is named {row.kernel}")
    if row.trigger == "quote" and not hasattr(micro, row.kernel.removeprefix("micro.")):
        raise CatalogueError(f"{row.name}: no column of micro is named {row.kernel}")
    if row.family != row.kernel.partition(".")[0]:
        raise CatalogueError(f"{row.name}: the family differs from that of {row.kernel}")
    unknown = sorted(set(row.inputs) - set(INPUTS))
    if unknown or not row.inputs:
        raise CatalogueError(f"{row.name}: inputs are some of {', '.join(INPUTS)}")
    if row.warm_up < 0 or row.warm_days < 0 or not 0 <= row.tolerance < 1:
        raise CatalogueError(f"{row.name}: warm_up, warm_days or tolerance is out of range")
    if row.every != 1:
        check_layer(row)
    check_params(row, SHAPES[row.kernel] if row.trigger == "bar" else Shape())


def layers_of(rows: Sequence[FeatureRow]) -> list[int]:
    """Return how many bars make one, for each layer, in the order of the catalogue.

    Raises:
        CatalogueError: rows of a layer lie apart, or there are too many layers or columns in one.
    """
    found = [every for every, _ in groupby(row.every for row in rows)]
    layers = [every for every in found if every > 1]
    if len(set(layers)) < len(layers) or len(layers) > LAYERS_MAX:
        raise CatalogueError(f"rows over several bars lie apart, or in too many layers: {layers}")
    for every in layers:
        if sum(len(row.columns) for row in rows if row.every == every) > LAYER_COLUMNS_MAX:
            raise CatalogueError(f"more than {LAYER_COLUMNS_MAX} columns over {every} bars")
    return layers


def first_rows(rows: Sequence[FeatureRow], order: Sequence[int], every: int) -> Integers:
    """Return int64[kernels + 1]: where in `order` each kernel's rows over `every` bars begin."""
    places = [place for place, k in enumerate(order) if rows[k].every == every]
    numbers = [KERNELS.index(rows[order[place]].kernel) for place in places]
    begin = places[0] if places else 0
    return begin + np.searchsorted(numbers, np.arange(len(KERNELS) + 1)).astype(np.int64)


def pack_plan(rows: Sequence[FeatureRow], *, has_structure: bool) -> tuple[FeaturePlan, int]:
    """Return the arrays of the bar rows, and how many cells of state they need."""
    layers = layers_of(rows)
    order = sorted(range(len(rows)), key=lambda k: (rows[k].every, KERNELS.index(rows[k].kernel)))
    widths = [len(row.columns) for row in rows]
    starts = [0, *accumulate(widths)]
    begins = {row.every: starts[k] for k, row in reversed(list(enumerate(rows)))} | {1: 0}
    sizes = [SHAPES[rows[k].kernel].cells for k in order]
    params = np.zeros((len(rows), PARAMS_MAX))
    for position, k in enumerate(order):
        params[position, : len(rows[k].params)] = rows[k].params
    zone_from_s, zone_offset_s = zone_tables()
    coarse_first = np.zeros((len(layers), len(KERNELS) + 1), dtype=np.int64)
    for layer, every in enumerate(layers):
        coarse_first[layer] = first_rows(rows, order, every)
    plan = FeaturePlan(
        first=first_rows(rows, order, 1),
        params=params,
        column=np.array([starts[k] - begins[rows[k].every] for k in order], dtype=np.int64),
        cell=np.array([0, *accumulate(sizes)][:-1], dtype=np.int64),
        zone_from_s=zone_from_s,
        zone_offset_s=zone_offset_s,
        coarse_first=coarse_first,
        coarse_bars=np.array(layers, dtype=np.int64),
        coarse_column=np.array([begins[every] for every in layers], dtype=np.int64),
        coarse_width=np.array(
            [
                sum(width for row, width in zip(rows, widths, strict=True) if row.every == every)
                for every in layers
            ],
            dtype=np.int64,
        ),
        has_structure=np.array([has_structure], dtype=np.int64),
    )
    return plan, max(sum(sizes), 1)


def compile_plan(
    text: str,
    keep: Callable[[FeatureRow], bool] | None = None,
    *,
    has_structure: bool = True,
) -> Catalogue:
    """Return the catalogue of a TOML text.

    Args:
        text: the catalogue.
        keep: which of the bar rows to take; None: all.
        has_structure: False leaves the structure out, for rows alone that do not read it.

    Raises:
        CatalogueError: a row is wrong, a name is doubled, a quote row is out of its place, or a row
            reads the structure that is left out.
    """
    rows = typed.convert(tomllib.loads(text).get("feature", []), list[FeatureRow])
    counts = Counter(row.name for row in rows)
    for row in rows:
        check_row(row)
        if counts[row.name] > 1:
            raise CatalogueError(f"{row.name}: the name is doubled")
    bar_rows = tuple(row for row in rows if row.trigger == "bar" and (keep is None or keep(row)))
    micro_rows = tuple(row for row in rows if row.trigger == "quote")
    for column, row in enumerate(micro_rows):
        if getattr(micro, row.kernel.removeprefix("micro.")) != column:
            raise CatalogueError(f"{row.name}: its kernel writes another column than {column}")
    if not bar_rows or len(micro_rows) != micro.MICRO_COLUMNS:
        raise CatalogueError("the catalogue misses rows of a trigger")
    for row in bar_rows:
        if row.family in STRUCTURE_FAMILIES and not has_structure:
            raise CatalogueError(f"{row.name}: reads the structure, which is left out")
    plan, cell_count = pack_plan(bar_rows, has_structure=has_structure)
    columns = tuple(name for row in bar_rows for name in row.columns)
    return Catalogue(bar_rows, columns, micro_rows, plan, cell_count)


def catalogue_text() -> str:
    """Return the text of the catalogue that is shipped; read once, at start."""
    return resources.files(PACKAGE).joinpath("catalogue.toml").read_text("utf-8")


def why_unknown(
    row: FeatureRow, value: float, bars: int, days: int, missing: Sequence[str] = ()
) -> Unknown:
    """Return why a feature is NaN.

    Args:
        row: the feature's row.
        value: what it is.
        bars: bars taken so far, the newest among them.
        days: changes of the UTC day among them.
        missing: inputs the venue does not supply.
    """
    if not math.isnan(value):
        return Unknown.KNOWN
    if set(row.inputs) & set(missing):
        return Unknown.INPUT_MISSING
    if bars <= row.warm_up or days < row.warm_days:
        return Unknown.WARMING
    return Unknown.UNDEFINED


def plan_hash(text: str | None = None) -> str:
    """Return SHA-256 over rows, kernel sources, number formats and clock changes of time zones.

    It names the features exactly and travels with every stored feature and model; a reader must
    refuse another hash.

    Args:
        text: the catalogue; None: the one that is shipped.
    """
    digest = hashlib.sha256((catalogue_text() if text is None else text).encode())
    files = [it for it in resources.files(PACKAGE).iterdir() if it.name.endswith(".py")]
    domain = resources.files("engine.domain")
    files += [domain.joinpath(f"{name}.py") for name in STRUCTURE_FILES]
    for source in sorted(files, key=lambda it: it.name):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    formats = (BAR_DTYPE.descr, STRUCTURE_DTYPE.descr, np.dtype(np.float64).str)
    digest.update(repr(formats).encode())
    for table in zone_tables():
        digest.update(table.tobytes())
    return digest.hexdigest()


def plan_word(plan: str) -> int:
    """Return the first eight bytes of a plan's hash as the int64 that every vector carries."""
    return int.from_bytes(bytes.fromhex(plan[:16]), "little", signed=True)
