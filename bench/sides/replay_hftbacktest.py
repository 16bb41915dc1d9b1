"""hftbacktest's side of the replay bench; runs under the interpreter that has it.

    python -m bench.sides.replay_hftbacktest ROWS.npy

Prints one JSON line when its kernels are compiled, then one per line of standard input: `roi` or
`hash` runs the whole market through a fresh backtest with that book. Quotes become the rows of its
own `FuseMarketDepth` (what changed at the best prices); a quote that repeats the one before becomes
one row that repeats its bid, so that every quote wakes the strategy, as it does in the other
engines. Orders reach the exchange and are answered without latency, fees are nil, last trades are
not kept: whatever costs time and is not asked for is off.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import hftbacktest
import numpy as np
from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest, ROIVectorMarketDepthBacktest
from hftbacktest.data import FuseMarketDepth
from hftbacktest.order import GTC, MARKET
from hftbacktest.types import (
    BUY_EVENT,
    DEPTH_BBO_EVENT,
    DEPTH_EVENT,
    EXCH_EVENT,
    LOCAL_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    event_dtype,
)
from numba import njit
from numpy.typing import NDArray

from bench.sides.replay_rows import (
    FEED_LATENCY_NS,
    FIRST,
    FOURTH,
    KIND,
    LOT,
    QTY_LOTS,
    QUOTE,
    RECEIVE_NS,
    SECOND,
    SIDE,
    THIRD,
    THRESHOLD,
    TICK,
    Rows,
)

FEED, END_OF_DATA = 2, 1  # answers of wait_next_feed
LONG_NS = 3_600_000_000_000  # longer than any silence
WARM_UP_ROWS = 2_000
ROI_MARGIN = 0.02  # of the price, on both sides


@njit
def run(hbt: Any, threshold: float, qty: float) -> tuple[int, int]:  # noqa: ANN401  a jitclass
    """Run the strategy to the end of the data; return the feeds it was woken by and its orders."""
    feeds = 0
    orders = 0
    while True:
        answer = hbt.wait_next_feed(False, LONG_NS)
        if answer == END_OF_DATA:
            return feeds, orders
        if answer != FEED:
            continue
        feeds += 1
        depth = hbt.depth(0)
        # WHY: in 2.4.4 best_bid_qty of the ROI book is a price.
        bid = depth.bid_qty_at_tick(depth.best_bid_tick)
        ask = depth.ask_qty_at_tick(depth.best_ask_tick)
        total = bid + ask
        if not total > 0:
            continue
        imbalance = (bid - ask) / total
        if imbalance >= threshold:
            if hbt.position(0) <= 0:
                orders += 1
                hbt.submit_buy_order(0, orders, depth.best_ask, qty, GTC, MARKET, False)
                hbt.clear_inactive_orders(0)
        elif imbalance <= -threshold and hbt.position(0) >= 0:
            orders += 1
            hbt.submit_sell_order(0, orders, depth.best_bid, qty, GTC, MARKET, False)
            hbt.clear_inactive_orders(0)


def fuse_all(quotes: NDArray[np.void]) -> NDArray[np.void]:
    """Return the book rows that hftbacktest makes of best bids and asks."""
    depth = FuseMarketDepth(TICK, LOT)
    for k in range(len(quotes)):
        depth.process_event(quotes, k, True)
    made = depth.fused_events.copy()
    depth.close()
    return made


fuse: Any = njit(fuse_all)


def blank(rows: Rows, flags: int) -> NDArray[np.void]:
    """Return an event at the time of each row, its first price and no quantity."""
    made = np.zeros(len(rows), dtype=event_dtype)
    made["local_ts"] = rows[:, RECEIVE_NS]
    made["exch_ts"] = rows[:, RECEIVE_NS] - FEED_LATENCY_NS
    made["px"] = rows[:, FIRST] * TICK
    made["ev"] = EXCH_EVENT | LOCAL_EVENT | flags
    return made


def events_of(rows: Rows) -> NDArray[np.void]:
    """Return the market as hftbacktest's events; every row of ours has one or more."""
    quotes, trades = rows[rows[:, KIND] == QUOTE], rows[rows[:, KIND] != QUOTE]
    bids = blank(quotes, DEPTH_BBO_EVENT | BUY_EVENT)
    bids["qty"] = quotes[:, THIRD] * LOT
    asks = blank(quotes, DEPTH_BBO_EVENT | SELL_EVENT)
    asks["px"], asks["qty"] = quotes[:, SECOND] * TICK, quotes[:, FOURTH] * LOT
    fused = fuse(np.stack([bids, asks], axis=1).reshape(-1))
    repeats = bids[~np.isin(bids["local_ts"], fused["local_ts"])]
    repeats["ev"] = EXCH_EVENT | LOCAL_EVENT | DEPTH_EVENT | BUY_EVENT
    taken = blank(trades, TRADE_EVENT)
    taken["qty"] = trades[:, SECOND] * LOT
    taken["ev"] |= np.where(trades[:, SIDE] > 0, BUY_EVENT, SELL_EVENT).astype(np.uint64)
    # The first event only starts its clock: no strategy is woken by it.
    start = bids[:1].copy()
    start["ev"] = EXCH_EVENT | LOCAL_EVENT | DEPTH_EVENT | BUY_EVENT
    for clock in ("exch_ts", "local_ts"):
        start[clock] -= 1_000
    made = np.concatenate([start, fused, repeats, taken])
    return made[np.argsort(made["local_ts"], kind="stable")]


class Side:
    """The market as events, and a fresh backtest for every pass."""

    def __init__(self, rows: Rows) -> None:
        """Convert, then compile over the first rows."""
        prices = rows[rows[:, KIND] == QUOTE][:, FIRST] * TICK
        self.bounds = prices.min() * (1 - ROI_MARGIN), prices.max() * (1 + ROI_MARGIN)
        self.events = events_of(rows)
        for book in ("roi", "hash"):
            self.play(book, self.events[:WARM_UP_ROWS])

    def play(self, book: str, events: NDArray[np.void]) -> dict[str, float]:
        """Run one backtest; only the run is timed."""
        asset = (
            BacktestAsset()
            .data(events)
            .linear_asset(1.0)
            .constant_order_latency(0, 0)
            .risk_adverse_queue_model()
            .no_partial_fill_exchange()
            .trading_value_fee_model(0.0, 0.0)
            .tick_size(TICK)
            .lot_size(LOT)
            .last_trades_capacity(0)
        )
        if book == "roi":
            hbt = ROIVectorMarketDepthBacktest(
                [asset.roi_lb(self.bounds[0]).roi_ub(self.bounds[1])]
            )
        else:
            hbt = HashMapMarketDepthBacktest([asset])
        cpu_ns, wall_ns = time.process_time_ns(), time.monotonic_ns()
        feeds, orders = run(hbt, THRESHOLD, QTY_LOTS * LOT)
        cpu_ns, wall_ns = time.process_time_ns() - cpu_ns, time.monotonic_ns() - wall_ns
        hbt.close()
        return {
            "records": feeds,
            "rows": len(events),
            "orders": orders,
            "cpu_ns": cpu_ns,
            "wall_ns": wall_ns,
        }


def main() -> None:
    """Answer one line per pass until standard input ends."""
    side = Side(np.load(Path(sys.argv[1])))
    print(json.dumps({"version": hftbacktest.__version__}), flush=True)
    for line in sys.stdin:
        print(json.dumps(side.play(line.strip(), side.events)), flush=True)


if __name__ == "__main__":
    main()
