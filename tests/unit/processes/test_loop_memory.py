"""A million records through the compiled loop: nothing is allocated, no collector runs."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numba
import numpy as np
import pytest

from engine.domain.codes import (
    LEVEL_BID,
    LEVEL_LAST_OF_DIFF,
    LEVEL_SNAPSHOT_FIRST,
    TRADE_BUYER_AGGRESSOR,
)
from engine.processes.brain_words import LoopWord
from tests.builders import START_VENUE_NS, make_records
from tests.loop_rig import LoopRig

RECORDS = 1_000_000
RING_SLOTS = 65_536
TURN = 50_000  # records published at a time
SLICE_MS = 2.0
STEP_NS = 1_000_000  # of venue time from one record to the next: a bar of 1 s takes 1,000 of them
DEADLINE_S = 120.0
EMPTY_SLICES = 5  # what Python itself allocates around a call shows where no record waits
SLACK_BLOCKS = 8  # more than around an empty slice, over tens of thousands of records
SLACK_BYTES = 4_096


class _Mallinfo(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]


_mallinfo = ctypes.CDLL(None).mallinfo2
_mallinfo.restype = _Mallinfo


def malloc_bytes() -> int:
    """Return the bytes that the C library has given out."""
    found = _mallinfo()
    return int(found.uordblks + found.hblkhd)


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def market(first: int, count: int) -> np.ndarray:
    """Return quotes, trades and levels of one instrument, the k-th of the whole run at k."""
    k = np.arange(first, first + count)
    kind = np.choose(k % 5, [1, 3, 1, 2, 3])  # quote, level, quote, trade, level
    wave = (2_000 * np.sin(k / 3_000.0)).astype(np.int64) + k % 7
    bid = 618_000 + wave
    records = make_records(count)
    records["record_type"] = kind
    records["receive_time_ns"] = time.monotonic_ns()
    records["venue_time_ns"] = START_VENUE_NS + k * STEP_NS
    is_quote, is_trade, is_level = (kind == code for code in (1, 2, 3))
    records["aux"][is_quote] = k[is_quote] + 1
    for name, values in (
        ("bid_price_ticks", bid),
        ("ask_price_ticks", bid + 1 + k % 2),
        ("bid_qty_lots", 1_000 + k % 997),
        ("ask_qty_lots", 1_000 + k % 991),
    ):
        records[name][is_quote] = values[is_quote]
    side = (k // 400) % 2
    for name, values in (("price_ticks", bid + side), ("qty_lots", 1 + k % 50), ("trade_id", k)):
        records[name][is_trade] = values[is_trade]
    records["flags"][is_trade] = np.where(side[is_trade] > 0, TRADE_BUYER_AGGRESSOR, 0)
    is_bid = (k % 2 == 0)[is_level]
    records["price_ticks"][is_level] = np.where(is_bid, bid[is_level] - 5, bid[is_level] + 9)
    records["qty_lots"][is_level] = k[is_level] % 3 * 100
    records["flags"][is_level] = np.where(is_bid, LEVEL_BID, 0) | LEVEL_LAST_OF_DIFF
    if first == 0:
        records["flags"][1] |= LEVEL_SNAPSHOT_FIRST
    return records


@contextmanager
def collections() -> Iterator[list[int]]:
    """Note the generation of every run of the collector."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(info["generation"])

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)


def growth_of(measure: Callable[[], int], run: Callable[[], object]) -> int:
    """Return by how much a measure rose during a call."""
    before = measure()
    run()
    return measure() - before


def play(rig: LoopRig, first: int, count: int, run: Callable[[], object]) -> None:
    """Publish records and run slices until they are taken."""
    for row in market(first, count).view(np.uint8).reshape(count, 64):
        assert rig.market.try_publish(row[8:].tobytes()) >= 0
    deadline = time.monotonic() + DEADLINE_S
    while rig.rings.market.lag() > 0:
        assert time.monotonic() < deadline, "market records are left"
        run()
    rig.drain_events()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc and /proc")
@pytest.mark.skipif(bool(vars(numba.config)["DISABLE_JIT"]), reason="about the compiled loop")
def test_a_million_records_allocate_nothing_and_wake_no_collector() -> None:
    rig = LoopRig(market_slots=RING_SLOTS)
    rig.run()
    play(rig, 0, TURN, lambda: rig.run(SLICE_MS))
    grown: list[tuple[int, int]] = []
    collected = 0

    def watched() -> None:
        nonlocal collected
        with collections() as seen:
            before = malloc_bytes(), sys.getallocatedblocks()
            rig.run(SLICE_MS)
            after = malloc_bytes(), sys.getallocatedblocks()
        grown.append((after[0] - before[0], after[1] - before[1]))
        collected += len(seen)

    for _ in range(EMPTY_SLICES):
        watched()
    empty_bytes, empty_blocks = (max(column) for column in zip(*grown, strict=True))
    grown.clear()
    resident = resident_bytes()
    first = TURN
    while first < RECORDS + TURN:
        play(rig, first, TURN, watched)
        first += TURN
    taken, rejected = rig.word(LoopWord.RECORD_COUNT), int(rig.state.market.reject_counts.sum())
    bars = int(rig.state.market.closed_count[0, 0])
    rig.stop()
    rig.close()
    assert taken == RECORDS + TURN
    assert rejected < taken // 1_000, "records were used, not refused"
    assert bars > RECORDS // 2_000, "bars were closed on the way"
    assert collected == 0
    assert max(blocks for _, blocks in grown) <= empty_blocks + SLACK_BLOCKS, (grown, empty_blocks)
    assert max(size for size, _ in grown) <= empty_bytes + SLACK_BYTES, (grown, empty_bytes)
    assert resident_bytes() - resident < 16 * 1024 * 1024, "of the test's own records"


def test_what_is_measured_would_show_an_allocation() -> None:
    kept: list[object] = []
    assert growth_of(sys.getallocatedblocks, lambda: kept.append([object()])) >= 1
    assert growth_of(malloc_bytes, lambda: kept.append(bytearray(1_000_000))) > 900_000
    with collections() as seen:
        gc.collect()
    assert seen == [2]
