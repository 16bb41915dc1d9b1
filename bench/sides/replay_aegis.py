"""Our side of the replay bench: the market in a ring, the brain's own loop over it.

Everything a record meets in a running brain is in: the ring, both firewalls' second layer, book
top, bars of every timeframe, flow, features, strategy, risk gates, order state, positions, events
and drain marks published, lag recorded. What is not: a simulated exchange. Orders are filled at
the quote when their step is over; a step takes up to 256 records.
"""

from __future__ import annotations

import time
from typing import Final

import numpy as np

from bench.sides.brain_side import BrainSide, load_image
from bench.sides.replay_rows import (
    FEED_LATENCY_NS,
    FIRST,
    FOURTH,
    ID,
    KIND,
    PRICE_DIGITS,
    QTY_DIGITS,
    QTY_LOTS,
    QUOTE,
    RECEIVE_NS,
    SECOND,
    SIDE,
    THIRD,
    THRESHOLD,
    Rows,
)
from engine.domain.codes import TRADE_BUYER_AGGRESSOR, RecordType
from engine.domain.instrument import instrument_rows
from engine.domain.instrument_row import Instrument, InstrumentFlag, unit_e8
from engine.domain.records import MARKET_DTYPE
from engine.domain.strategy_table import StrategyKind, StrategyRow
from ringbuffer.ring import Producer, Ring

INSTRUMENT: Final = Instrument(
    symbol="BTCUSDT",
    flags=int(InstrumentFlag.TRADING | InstrumentFlag.PERPETUAL),
    price_exponent=PRICE_DIGITS,
    qty_exponent=QTY_DIGITS,
    tick_scaled=1,
    lot_scaled=1,
    unit_e8=unit_e8("0.1", "0.001"),
)
BLOCK: Final = 65_536
PAST_NS: Final = 1_000_000_000  # the market ends this long before the pass, by the loop's clock


def imbalance_row(notional: float, threshold: float) -> tuple[StrategyRow, ...]:
    """Return the one row of the strategy table that the benches run."""
    return (
        StrategyRow(
            name="bench",
            kind=StrategyKind.QUOTE_IMBALANCE,
            notional=notional,
            parameters={"threshold": threshold},
        ),
    )


def strategy(rows: Rows) -> tuple[StrategyRow, ...]:
    """Return the strategy as a row of the table; its notional buys QTY_LOTS at every price here."""
    quotes = rows[rows[:, KIND] == QUOTE]
    dearest = float(quotes[:, SECOND].max()) * 10.0**-PRICE_DIGITS * 10.0**-QTY_DIGITS
    return imbalance_row(dearest * (QTY_LOTS + 0.5), THRESHOLD)


def records_of(rows: Rows) -> np.ndarray:
    """Return the market as MARKET_DTYPE."""
    made = np.zeros(len(rows), dtype=MARKET_DTYPE)
    is_quote = rows[:, KIND] == QUOTE
    made["receive_time_ns"] = rows[:, RECEIVE_NS]
    made["venue_time_ns"] = rows[:, RECEIVE_NS] - FEED_LATENCY_NS
    made["record_type"] = np.where(is_quote, RecordType.QUOTE, RecordType.TRADE)
    made["flags"] = np.where(rows[:, SIDE] > 0, TRADE_BUYER_AGGRESSOR, 0)
    made["aux"] = np.where(is_quote, rows[:, ID], 0)
    made["bid_price_ticks"] = rows[:, FIRST]  # a trade's price too: the same bytes
    made["ask_price_ticks"] = rows[:, SECOND]  # and its quantity
    made["bid_qty_lots"] = np.where(is_quote, rows[:, THIRD], rows[:, ID])  # and its id
    made["ask_qty_lots"] = np.where(is_quote, rows[:, FOURTH], 1)  # and its count
    return made


class Side:
    """The market as records, and a fresh brain over a fresh ring for every pass."""

    def __init__(self, rows: Rows) -> None:
        """Convert; load or compile the loop."""
        self.records = records_of(rows)
        self.rows = strategy(rows)
        self.image = load_image()
        self.capacity = 1 << (len(rows) - 1).bit_length()

    def play(self, step_records: int) -> dict[str, float]:
        """Run the market in steps of at most so many records; only the run is timed."""
        records = self.records.copy()
        now_ns = time.monotonic_ns() - PAST_NS
        shift_ns = now_ns - int(records["receive_time_ns"][-1])
        records["receive_time_ns"] += shift_ns
        ring = Ring.local("market", self.capacity, MARKET_DTYPE.itemsize, gating=(0,))
        side = BrainSide(ring, instrument_rows([INSTRUMENT]), self.rows)
        side.sync(self.image, -shift_ns - FEED_LATENCY_NS)
        producer = Producer(ring)
        for first in range(0, len(records), BLOCK):
            assert producer.try_publish_many(records[first : first + BLOCK]) >= 0
        cpu_ns, wall_ns = time.process_time_ns(), time.monotonic_ns()
        side.run(len(records), is_tape=True, step_records=step_records)
        cpu_ns, wall_ns = time.process_time_ns() - cpu_ns, time.monotonic_ns() - wall_ns
        found: dict[str, float] = {
            "records": side.record_count,
            "rows": len(records),
            "orders": side.order_count,
            "refused": side.refused_count,
            "cpu_ns": cpu_ns,
            "wall_ns": wall_ns,
        }
        producer.close()
        side.close()
        return found
