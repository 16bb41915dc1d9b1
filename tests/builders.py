"""Market records for tests: one function per record type, prices in ticks, quantities in lots."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from engine.domain.codes import (
    BAR_FINAL,
    LEVEL_BID,
    LEVEL_LAST_OF_DIFF,
    LEVEL_SNAPSHOT_FIRST,
    TRADE_BUYER_AGGRESSOR,
    Channel,
    GapReason,
    Liveness,
    RecordType,
)
from engine.domain.instrument import Instrument, instrument_rows
from engine.domain.instrument_row import unit_e8
from engine.domain.records import MARKET_DTYPE
from engine.store.reader import join_records

START_VENUE_NS = 1_723_161_600_000_000_000  # a whole hour: every bar of a test starts on it
START_RECEIVE_NS = 1_000_000_000_000
S = 1_000_000_000
MS = 1_000_000


def make_instrument(symbol: str = "BTCUSDT", **changes: int) -> Instrument:
    """Return a perpetual with tick 0.10 and lot 0.001, least order 5 USDT."""
    fields: dict[str, Any] = {
        "symbol": symbol,
        "price_exponent": 1,
        "qty_exponent": 3,
        "tick_scaled": 1,
        "lot_scaled": 1,
        "unit_e8": unit_e8("0.1", "0.001"),
        "min_notional_e8": 5 * 100_000_000,
    }
    return Instrument(**(fields | changes))


def make_instruments(count: int = 1) -> np.ndarray:
    """Return INSTRUMENT_DTYPE rows of `count` like instruments."""
    return instrument_rows([make_instrument(f"T{k}USDT", instrument_index=k) for k in range(count)])


def make_records(count: int) -> np.ndarray:
    """Return zeroed records."""
    return np.zeros(count, dtype=MARKET_DTYPE)


def make_record(
    record_type: int,
    *,
    instrument_index: int = 0,
    sequence: int = 0,
    receive_time_ns: int = START_RECEIVE_NS,
    venue_time_ns: int = START_VENUE_NS,
    flags: int = 0,
    aux: int = 0,
    **fields: int,
) -> np.ndarray:
    """Return one record as an array of length 1."""
    record = make_records(1)
    record["record_type"] = record_type
    record["instrument_index"] = instrument_index
    record["sequence"] = sequence
    record["receive_time_ns"] = receive_time_ns
    record["venue_time_ns"] = venue_time_ns
    record["flags"] = flags
    record["aux"] = aux
    for name, number in fields.items():
        record[name] = number
    return record


def make_quote(
    bid: int = 618_002,
    ask: int = 618_003,
    bid_qty: int = 2_000,
    ask_qty: int = 2_000,
    **common: int,
) -> np.ndarray:
    """Return a QUOTE; prices in ticks, quantities in lots."""
    return make_record(
        RecordType.QUOTE,
        bid_price_ticks=bid,
        ask_price_ticks=ask,
        bid_qty_lots=bid_qty,
        ask_qty_lots=ask_qty,
        **common,
    )


def make_trade(
    price: int = 618_003, qty: int = 10, *, buy: bool = True, trade_id: int = 0, **common: int
) -> np.ndarray:
    """Return a TRADE whose aggressor bought or sold."""
    flags = TRADE_BUYER_AGGRESSOR if buy else 0
    return make_record(
        RecordType.TRADE,
        flags=flags,
        price_ticks=price,
        qty_lots=qty,
        trade_id=trade_id,
        trade_count=1,
        **common,
    )


def make_level(
    price: int,
    qty: int,
    *,
    bid: bool,
    last: bool = True,
    first_of_snapshot: bool = False,
    **common: int,
) -> np.ndarray:
    """Return a LEVEL: absolute quantity, 0 removes."""
    flags = LEVEL_BID if bid else 0
    flags |= LEVEL_LAST_OF_DIFF if last else 0
    flags |= LEVEL_SNAPSHOT_FIRST if first_of_snapshot else 0
    return make_record(RecordType.LEVEL, flags=flags, price_ticks=price, qty_lots=qty, **common)


def make_book(
    bids: Sequence[tuple[int, int]], asks: Sequence[tuple[int, int]], **common: int
) -> np.ndarray:
    """Return the LEVEL records of a whole snapshot, best levels first."""
    sides = [(True, level) for level in bids] + [(False, level) for level in asks]
    return joined(
        make_level(
            price,
            qty,
            bid=bid,
            last=k == len(sides) - 1,
            first_of_snapshot=k == 0,
            **common,
        )
        for k, (bid, (price, qty)) in enumerate(sides)
    )


def make_bar(
    open_ticks: int = 618_000,
    high: int = 5,
    low: int = -5,
    close: int = 2,
    *,
    volume: int = 100,
    trades: int = 10,
    interval_s: int = 60,
    final: bool = True,
    **common: int,
) -> np.ndarray:
    """Return a BAR of the venue; high, low and close are offsets from the open."""
    common.setdefault("venue_time_ns", START_VENUE_NS // (60 * S) * 60 * S)
    return make_record(
        RecordType.BAR,
        flags=BAR_FINAL if final else 0,
        aux=interval_s,
        open_ticks=open_ticks,
        high_offset_ticks=high,
        low_offset_ticks=low,
        close_offset_ticks=close,
        bar_trade_count=trades,
        volume_lots=volume,
        **common,
    )


def make_mark(price_e8: int = 6_180_000_000_000, **common: int) -> np.ndarray:
    """Return a MARK with its index at the same price."""
    fields = {"funding_rate_e8": 10_000, "next_funding_time_ns": START_VENUE_NS + 3600 * S}
    return make_record(
        RecordType.MARK, mark_price_e8=price_e8, index_price_e8=price_e8, **(fields | common)
    )


def make_liveness(
    channel: Channel = Channel.QUOTE, state: Liveness = Liveness.LIVE, **common: int
) -> np.ndarray:
    """Return a LIVENESS change of one channel."""
    return make_record(RecordType.LIVENESS, aux=int(channel), liveness=int(state), **common)


def make_gap(channel: Channel = Channel.TRADE, lost: int = 1, **common: int) -> np.ndarray:
    """Return a GAP of one channel."""
    reason = int(GapReason.SEQUENCE)
    return make_record(
        RecordType.GAP, aux=int(channel), lost_count=lost, gap_reason=reason, **common
    )


def joined(parts: Iterator[np.ndarray] | Sequence[np.ndarray]) -> np.ndarray:
    """Return records one after the other, numbered from 0."""
    records = join_records(parts, MARKET_DTYPE)
    records["sequence"] = np.arange(len(records))
    return records
