"""Tapes and markets for tests: records of every kind, books that change, tapes that hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import (
    LEVEL_BID,
    LEVEL_LAST_OF_DIFF,
    LEVEL_SNAPSHOT_FIRST,
    LIQUIDATION_BUY,
    TRADE_AGGREGATED,
    TRADE_BUYER_AGGRESSOR,
    Channel,
    RecordType,
)
from engine.domain.instrument_row import Instrument
from engine.domain.records import MARKET_DTYPE
from engine.tapes.writer import TapeWriter
from tests.feed_rig import BTC, ETH

Records = NDArray[np.void]
WALL_NS = 1_790_000_000_000_000_000  # of the first record: in September 2026
START_NS = 5_000_000_000  # the recording host's monotonic clock at the first record
STEP_NS = 1_000_000


def market(count: int, seed: int = 1, *, first: int = 0) -> Records:
    """Return a market of BTC and ETH: quotes, trades, books, marks, as a feed would write it."""
    chance = np.random.default_rng(seed)
    records = np.zeros(count, dtype=MARKET_DTYPE)
    places = np.arange(first, first + count)
    records["sequence"] = places + 1
    records["receive_time_ns"] = START_NS + places * STEP_NS
    records["venue_time_ns"] = WALL_NS + places * STEP_NS
    records["instrument_index"] = places % 2
    mids = np.where(places % 2 == 0, 618_000, 268_000)
    shares = np.array([0.5, 0.2, 0.25, 0.05])
    kinds = chance.choice([RecordType.QUOTE, RecordType.TRADE, RecordType.LEVEL, RecordType.MARK],
                          count, p=shares)  # fmt: skip
    kinds[:4] = RecordType.LEVEL
    records["record_type"] = kinds
    for kind, write in ((RecordType.QUOTE, _quotes), (RecordType.TRADE, _trades),
                        (RecordType.LEVEL, _levels), (RecordType.MARK, _marks)):  # fmt: skip
        at = kinds == kind
        records[at] = write(records[at], mids[at], chance)
    if first == 0:
        records["flags"][:2] |= LEVEL_SNAPSHOT_FIRST
    return records


def _quotes(records: Records, mids: NDArray[np.int64], chance: np.random.Generator) -> Records:
    records["bid_price_ticks"] = mids - chance.integers(1, 20, len(records))
    records["ask_price_ticks"] = mids + chance.integers(1, 20, len(records))
    records["bid_qty_lots"] = chance.integers(1, 5_000, len(records))
    records["ask_qty_lots"] = chance.integers(1, 5_000, len(records))
    records["aux"] = (1_000 + records["sequence"]).astype(np.int32)
    return records


def _trades(records: Records, mids: NDArray[np.int64], chance: np.random.Generator) -> Records:
    records["price_ticks"] = mids + chance.integers(-20, 20, len(records))
    records["qty_lots"] = chance.integers(1, 900, len(records))
    records["trade_id"] = np.arange(1, len(records) + 1)
    records["trade_count"] = 1
    records["flags"] = TRADE_AGGREGATED + chance.integers(0, 2, len(records)) * (
        TRADE_BUYER_AGGRESSOR
    )
    return records


def _levels(records: Records, mids: NDArray[np.int64], chance: np.random.Generator) -> Records:
    is_bid = chance.integers(0, 2, len(records))
    distance = chance.integers(1, 15, len(records))
    records["price_ticks"] = np.where(is_bid, mids - distance, mids + distance)
    records["qty_lots"] = chance.integers(1, 9_000, len(records))
    records["update_id"] = 1_000 + records["sequence"]
    records["flags"] = is_bid * LEVEL_BID + LEVEL_LAST_OF_DIFF
    return records


def _marks(records: Records, mids: NDArray[np.int64], _chance: np.random.Generator) -> Records:
    records["mark_price_e8"] = mids * 10**7
    records["index_price_e8"] = mids * 10**7 - 5
    records["funding_rate_e8"] = 10_000
    return records


def liquidation(place: int, *, is_buy: bool, price: int, qty: int, average: int) -> Records:
    """Return one LIQUIDATION record of BTC, in its ticks and lots."""
    record = np.zeros(1, dtype=MARKET_DTYPE)
    record["sequence"] = place + 1
    record["receive_time_ns"] = START_NS + place * STEP_NS
    record["venue_time_ns"] = WALL_NS + place * STEP_NS
    record["record_type"] = RecordType.LIQUIDATION
    record["flags"] = LIQUIDATION_BUY * is_buy
    record["price_ticks"], record["qty_lots"] = price, qty
    record["average_price_ticks"] = average
    return record


def gap(instrument_index: int = 0, channel: Channel = Channel.BOOK) -> Records:
    """Return one GAP record."""
    record = np.zeros(1, dtype=MARKET_DTYPE)
    record["record_type"] = RecordType.GAP
    record["instrument_index"] = instrument_index
    record["aux"] = channel
    return record


def write_tape(
    path: Path,
    *parts: Records,
    instruments: tuple[Instrument, ...] = (BTC, ETH),
    is_ended: bool = True,
    tape_index: int = 0,
) -> Path:
    """Write each part as an append of its own; return the path."""
    with TapeWriter(path, source="test", tape_index=tape_index) as writer:
        writer.put_instruments(instruments)
        for part in parts:
            writer.append(part, WALL_NS - START_NS)
        if is_ended:
            writer.end()
    return path
