"""The C++ twin of the brain's market side: built with the engine's numbers, run on its records.

Flags: as optimised as Numba's target (-O3, this CPU), and no contraction of a multiplication and an
addition into one rounding, because the kernels have none: otherwise decisions could not be equal.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench import harness
from engine.domain import (
    bars,
    book,
    codes,
    edge,
    firewall,
    firewall_lanes,
    firewall_memory,
    market_state,
    structure_state,
)
from engine.domain.arrays import aligned_zeros
from engine.domain.features import micro, plan, series
from engine.domain.features.catalogue import Catalogue, FeatureRow, catalogue_text, compile_plan
from engine.domain.features.plan import FeaturePlan
from engine.domain.features.volatility import ATR_BARS
from engine.domain.features.zones import CHANGES_MAX
from engine.domain.firewall_reasons import FIREWALL_REASON_COUNT, FirewallReason
from engine.domain.leg import OTE_FAR, OTE_NEAR
from engine.domain.market_state import MarketState
from engine.domain.pools import POOL_ATR
from engine.domain.score import ORDERFLOW_WEIGHTS
from engine.domain.spans import SESSION_CLOSES_S, SESSION_OPENS_S
from engine.domain.strategy_kinds import (
    ENTER_SCORE,
    EXIT_SCORE,
    FLOW_MIN,
    GAP_ATR_MIN,
    QUOTE_FLOW_MIN,
    TRADE_BREAKS,
    WAIT_BARS,
)
from engine.domain.strategy_rows import STRATEGY_DTYPE
from engine.domain.strategy_table import PARAMETERS_MAX, StrategyKind, StrategyReason

FOLDER: Final = harness.ROOT / "bench" / "native" / "twin"
FLAGS: Final = ("-std=c++20", "-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno")
COMPILERS: Final = ("g++", "clang++")
SIZES: Final = (
    "unit_e8",
    "market_step_lots",
    "min_qty_lots",
    "market_min_qty_lots",
    "min_notional_e8",
    "max_qty_lots",
    "market_max_qty_lots",
)


EDGE_NUMBERS: Final = ("SURE_AT", "SLIPPAGE_SPREADS_MAX", "PPM_PER_BPS")
C_KINDS: Final = {"i8": "i64", "i4": "i32", "f8": "double"}

# Bar features that the twin computes too, of windows below TWIN_WINDOW_MAX; a market that is
# compared with it computes no others.
TWIN_WINDOW_MAX: Final = 64
TWIN_KERNELS: Final = (
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


def twin_catalogue() -> Catalogue:
    """Return the rows of the catalogue that both sides compute."""

    def is_shared(row: FeatureRow) -> bool:
        fits = all(number < TWIN_WINDOW_MAX for number in row.params)
        return row.kernel in TWIN_KERNELS and row.every == 1 and fits

    return compile_plan(catalogue_text(), is_shared)


def constants() -> Iterator[tuple[str, float]]:
    """Yield every number that the engine and its twin share."""
    enums = {
        "RECORD": codes.RecordType,
        "CHANNEL": codes.Channel,
        "REASON": FirewallReason,
        "KIND": structure_state.StructureKind,
        "PART": structure_state.Part,
        "BLOCK": structure_state.BlockState,
    }
    for word, enum in enums.items():
        yield from ((f"{word}_{member.name}", int(member)) for member in enum)
    yield from ((f"REASON_{it.name}", int(it)) for it in StrategyReason if it > 0)
    yield from ((f"KIND_{it.name}", int(it)) for it in StrategyKind)
    laws = (firewall, firewall_lanes, firewall_memory)
    for module in (codes, bars, book, *laws, structure_state, micro, series, market_state):
        for name, value in vars(module).items():
            if name.isupper() and not name.startswith("_") and type(value) is int:
                yield name, value
    yield from ((name, getattr(edge, name)) for name in EDGE_NUMBERS)
    yield from (("ATR_BARS", ATR_BARS), ("SERIES_BARS", series.SERIES_BARS))
    yield from (("WINDOW_MAX", series.WINDOW_MAX), ("DAY_S", series.DAY_S))
    yield from (("CHANGES_MAX", CHANGES_MAX), ("POOL_ATR", POOL_ATR))
    yield from (("OTE_NEAR", OTE_NEAR), ("OTE_FAR", OTE_FAR))
    for zone, (opens_s, closes_s) in enumerate(zip(SESSION_OPENS_S, SESSION_CLOSES_S, strict=True)):
        yield f"SESSION_OPENS_S_{zone}", opens_s
        yield f"SESSION_CLOSES_S_{zone}", closes_s
    for name in TWIN_KERNELS:
        yield f"FEATURE_{name.partition('.')[2].upper()}", plan.kernel_number(name)
    yield "FEATURE_KERNELS", len(plan.KERNELS)
    catalogue = twin_catalogue()
    yield "BAR_FEATURES", len(catalogue.bar_columns)
    yield "MEMORY_CELLS", catalogue.cell_count
    yield "PARAMETERS_MAX", PARAMETERS_MAX
    yield "SCORE_INPUTS", len(ORDERFLOW_WEIGHTS)
    yield "FIREWALL_REASONS", FIREWALL_REASON_COUNT
    yield "CHANNELS", len(codes.Channel)
    yield "LIVENESS_MAX", max(codes.Liveness)
    yield from (("ENTER_SCORE", ENTER_SCORE), ("EXIT_SCORE", EXIT_SCORE), ("FLOW_MIN", FLOW_MIN))
    yield from (("QUOTE_FLOW_MIN", QUOTE_FLOW_MIN), ("GAP_ATR_MIN", GAP_ATR_MIN))
    yield from (("WAIT_BARS", WAIT_BARS), ("TRADE_BREAKS", TRADE_BREAKS))


def codes_header() -> str:
    """Return the header that names the shared numbers."""
    lines = ["#pragma once"]
    numbers: dict[str, float] = {}
    for name, value in constants():
        assert numbers.setdefault(name, value) == value, f"{name} has two values"
    for name, value in numbers.items():
        kind = "int" if abs(value) < 1 << 31 else "long"
        kind = "double" if isinstance(value, float) else kind
        lines.append(f"constexpr {kind} {name} = {value};")
    return "\n".join(lines) + "\n"


def rows_header() -> str:
    """Return the header with the rows that both sides lay out alike, field by field."""
    rows = {"Structure": structure_state.STRUCTURE_DTYPE, "StrategyRow": STRATEGY_DTYPE}
    lines = ["#pragma once"]
    for name, dtype in rows.items():
        lines.append(f"struct {name} {{")
        fields: Mapping[str, Any] = dtype.fields or {}
        for field, (kind, _) in fields.items():
            bounds = "".join(f"[{length}]" for length in kind.shape)
            lines.append(f"    {C_KINDS[kind.base.str[1:]]} {field}{bounds};")
        lines += ["};", f"static_assert(sizeof({name}) == {dtype.itemsize});"]
    return "\n".join(lines) + "\n"


class _Plan(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in FeaturePlan._fields]


class _Member(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("offset", ctypes.c_int64),
        ("size", ctypes.c_int64),
        ("stride", ctypes.c_int64),
        ("count", ctypes.c_int64),
        ("is_shared", ctypes.c_int64),
    ]


class Twin:
    """The twin as built by one compiler."""

    def __init__(self, compiler: str) -> None:
        """Build and load it; the folder it was built in is not needed any more."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "codes.h").write_text(codes_header(), encoding="ascii")
            (folder / "rows.h").write_text(rows_header(), encoding="ascii")
            library = folder / "brain_twin.so"
            words = [compiler, *FLAGS, "-Wall", "-Wextra", "-fPIC", "-shared", "-I", name]
            words += ["-fno-semantic-interposition", "-o", str(library)]
            subprocess.run([*words, str(FOLDER / "brain_twin.cpp")], check=True)
            self._library = ctypes.CDLL(str(library))
        for name in ("twin_instrument_bytes", "twin_market_bytes", "twin_run"):
            getattr(self._library, name).restype = ctypes.c_int64
        self._library.twin_member.restype = ctypes.POINTER(_Member)

    def start(self, like: MarketState) -> TwinState:
        """Return the twin's state before the first record, set up as a fresh market state is."""
        return TwinState(self._library, like)


class TwinState:
    """The twin's memory of one market."""

    def __init__(self, library: ctypes.CDLL, like: MarketState) -> None:
        """Allocate it and fill it as `like` is, which no record has changed."""
        self._library = library
        self.count = len(like.instruments)
        self.instrument_bytes = library.twin_instrument_bytes()
        self.memory = aligned_zeros((self.count,), np.dtype([("b", "V", self.instrument_bytes)]))
        self._market = aligned_zeros((1,), np.dtype([("b", "V", library.twin_market_bytes())]))
        sizes = np.stack([like.instruments[name] for name in SIZES], axis=1).astype(np.int64)
        weights = np.ascontiguousarray(like.score_weights)
        plan_ = _Plan(*(array.ctypes.data for array in like.plan))
        self._kept = (like.plan, sizes, weights)
        library.twin_start(
            _address(self._market),
            _address(self.memory),
            ctypes.c_int64(self.count),
            _address(sizes),
            _address(like.timeframes_ns),
            _address(like.strategies),
            _address(like.parameters),
            _address(weights),
            _address(like.progress),
            ctypes.byref(plan_),
        )

    @property
    def entry(self) -> int:
        """Return the address of the function that `run` calls."""
        return int(ctypes.cast(self._library.twin_run, ctypes.c_void_p).value or 0)

    def run(self, records: NDArray[np.void], log: NDArray[np.void]) -> int:
        """Apply the records; return how many decisions were written to the log."""
        count = ctypes.c_int64(len(records))
        return int(
            self._library.twin_run(_address(self._market), _address(records), count, _address(log))
        )

    def members(self) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """Yield every member of the state as bytes: a row per instrument, of what is shared one."""
        own = self.memory.view(np.uint8).reshape(self.count, self.instrument_bytes)
        shared = self._market.view(np.uint8).reshape(1, -1)
        k = 0
        while found := self._library.twin_member(ctypes.c_int64(k)):
            it = found.contents
            raw = shared if it.is_shared else own
            starts = [it.offset + part * it.stride for part in range(it.count)]
            pieces = [raw[:, start : start + it.size] for start in starts]
            yield it.name.decode(), np.concatenate(pieces, axis=1)
            k += 1


def _address(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def built_twins() -> dict[str, Twin]:
    """Return the twin from every compiler that is installed."""
    return {name: Twin(name) for name in COMPILERS if shutil.which(name)}


def flags_text(compiler: str) -> str:
    """Return compiler, version and flags."""
    done = subprocess.run([compiler, "-dumpversion"], capture_output=True, text=True, check=True)
    return f"{compiler} {done.stdout.strip()} {' '.join(FLAGS)}"
