"""Markets for the brain's benches, as the feed would put them into the ring.

`recorded_market` is both recorded captures merged. `interleaved` is a market of any number of
instruments made of them: every instrument plays a window of one of the captures that begins at a
place of its own, opened by a snapshot of the book as it stood there, all windows at once and at
the recorded pace. So every instrument is as busy as BTCUSDT and ETHUSDT were, its book, ids and
prices are consistent, diffs arrive whole, and a record of one instrument is followed by one of any
other: nothing is kinder to a cache than a real market of that many instruments.
"""

from __future__ import annotations

import sys
import types
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench import harness

# WHY: an installed distribution also calls itself `tests`; ours is the folder of this checkout.
_ours = types.ModuleType("tests")
_ours.__path__ = [str(harness.ROOT / "tests")]
sys.modules.setdefault("tests", _ours)

from engine.domain.codes import (  # noqa: E402 - only now can its builders be imported
    LEVEL_BID,
    LEVEL_LAST_OF_DIFF,
    LEVEL_SNAPSHOT_FIRST,
    RecordType,
)
from engine.domain.instrument import instrument_rows  # noqa: E402
from engine.domain.instrument_row import unit_e8  # noqa: E402
from engine.domain.market_state import (  # noqa: E402
    CLOCK_ANCHOR_NS,
    CLOCK_OFFSET_NS,
    CLOCK_VALID,
    MarketState,
)
from engine.domain.records import MARKET_DTYPE  # noqa: E402
from engine.store.reader import join_records  # noqa: E402
from tests.builders import joined, make_instrument  # noqa: E402
from tests.captures import aggregated, decode_capture, merged  # noqa: E402
from tests.market_runs import synthetic_market  # noqa: E402

CAPTURES: Final = harness.ROOT.parent / "shared/data/hftbacktest"
KEPT: Final = harness.ROOT / ".pytest_cache" / "brain_tape.bin"  # decoding takes seconds
SYNTHETIC_RECORDS: Final = 200_000
SEED: Final = 3
BOOK_LEVELS: Final = 20
Records = NDArray[np.void]


def recorded_market() -> tuple[Records, bool]:
    """Return the captures as records of instruments 0 and 1, and True; else a synthetic market."""
    paths = [CAPTURES / f"usdm_{name}_20240808.gz" for name in ("btcusdt", "ethusdt")]
    if not all(path.exists() for path in paths):
        sys.stderr.write("no captures: a synthetic market instead\n")
        return synthetic_market(SYNTHETIC_RECORDS), False
    newest = max(path.stat().st_mtime for path in paths)
    if KEPT.exists() and KEPT.stat().st_mtime > newest:
        return np.frombuffer(bytearray(KEPT.read_bytes()), MARKET_DTYPE), True
    captures = [decode_capture(paths[0], 0, 1, 3), decode_capture(paths[1], 1, 2, 3)]
    records = aggregated(merged(captures))
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_bytes(records.tobytes())
    return records, True


def instruments_of(count: int) -> Records:
    """Return `count` rows, alternately like the two recorded instruments."""
    rows = []
    for k in range(count):
        exponent, unit = (
            (1, unit_e8("0.1", "0.001")) if k % 2 == 0 else (2, unit_e8("0.01", "0.001"))
        )
        name = f"T{k}USDT"
        rows.append(
            make_instrument(name, instrument_index=k, price_exponent=exponent, unit_e8=unit)
        )
    return instrument_rows(rows)


def diff_ends(records: Records) -> NDArray[np.int64]:
    """Return the places after which a window may begin: no diff is half applied there."""
    is_level = records["record_type"] == RecordType.LEVEL
    is_last = (records["flags"] & LEVEL_LAST_OF_DIFF) != 0
    return np.flatnonzero(~is_level | is_last) + 1


def books_at(records: Records, places: set[int]) -> dict[int, list[tuple[int, int, int]]]:
    """Return the best levels (flags, price, quantity) of one instrument before those records."""
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    found = {}
    kinds, flags = records["record_type"].tolist(), records["flags"].tolist()
    prices, quantities = records["price_ticks"].tolist(), records["qty_lots"].tolist()
    for place, kind in enumerate(kinds):
        if place in places:
            best = (sorted(sides[0], reverse=True), sorted(sides[1]))
            found[place] = [
                (LEVEL_BID if side == 0 else 0, price, sides[side][price])
                for side in (0, 1)
                for price in best[side][:BOOK_LEVELS]
            ]
        if kind != RecordType.LEVEL:
            continue
        if flags[place] & LEVEL_SNAPSHOT_FIRST:
            sides[0].clear()
            sides[1].clear()
        side = sides[0 if flags[place] & LEVEL_BID else 1]
        if quantities[place] == 0:
            side.pop(prices[place], None)
        else:
            side[prices[place]] = quantities[place]
    return found


def snapshot(levels: list[tuple[int, int, int]], after: np.void) -> Records:
    """Return a book as the LEVEL records of a snapshot, at the time of the record it precedes."""
    records = np.zeros(len(levels), dtype=after.dtype)
    records["record_type"] = RecordType.LEVEL
    for name in ("receive_time_ns", "venue_time_ns"):
        records[name] = after[name]
    for k, (side, price, qty) in enumerate(levels):
        records["flags"][k] = side
        records["price_ticks"][k] = price
        records["qty_lots"][k] = qty
    if len(records) > 0:
        records["flags"][0] |= LEVEL_SNAPSHOT_FIRST
        records["flags"][-1] |= LEVEL_LAST_OF_DIFF
    return records


def interleaved(recorded: Records, instruments: int, total: int) -> Records:
    """Return a market of so many instruments and about `total` records; see the module."""
    chance = np.random.default_rng(SEED)
    own = [recorded[recorded["instrument_index"] == side] for side in (0, 1)]
    length = min(total // instruments, *(len(records) * 9 // 10 for records in own))
    starts: list[list[int]] = [[], []]
    for k in range(instruments):
        records = own[k % 2]
        ends = diff_ends(records)
        last = int(np.searchsorted(ends, len(records) - length))
        starts[k % 2].append(int(ends[chance.integers(0, max(last, 1))]))
    books = [books_at(own[side], set(starts[side])) for side in (0, 1)]
    parts = []
    for k in range(instruments):
        side, place = k % 2, starts[k % 2][k // 2]
        window = own[side][place : place + length]
        part = join_records([snapshot(books[side][place], window[0]), window], MARKET_DTYPE)
        early_ns = int(window["receive_time_ns"][0]) - int(recorded["receive_time_ns"][0])
        for name in ("receive_time_ns", "venue_time_ns"):
            part[name] -= early_ns - int(chance.integers(0, 50_000_000))
        part["instrument_index"] = k
        parts.append(part)
    market = join_records(parts, MARKET_DTYPE)
    order = np.argsort(market["receive_time_ns"], kind="stable")
    return joined([market[order]])


def with_clock(market: MarketState, records: Records) -> MarketState:
    """Return the state, told the venue's clock as it is in a live run; in place."""
    market.progress[CLOCK_VALID] = 1
    market.progress[CLOCK_OFFSET_NS : CLOCK_ANCHOR_NS + 1] = clock_of(records)
    return market


def clock_of(records: Records) -> NDArray[np.int64]:
    """Return offset, rate and anchor of the venue's clock as the first record shows it."""
    received_ns = int(records["receive_time_ns"][0])
    offset_ns = int(records["venue_time_ns"][0]) - received_ns
    return np.array([offset_ns, 0, received_ns], dtype=np.int64)
