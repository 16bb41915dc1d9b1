"""One market for every engine of the replay bench, as plain integers: `int64[n, COLUMNS]`.

numpy and the standard library only: the peers read it under interpreters of their own.

    KIND  RECEIVE_NS  SIDE  ID  then for a quote: bid ticks, ask ticks, bid lots, ask lots
                                then for a trade: price ticks, lots, 0, 0

The strategy that each engine runs over it, in its own words and its own API:

    imbalance = (bid size - ask size) / (bid size + ask size), at every quote
    flat:      imbalance >= THRESHOLD buys QTY_LOTS at market, imbalance <= -THRESHOLD sells them
    long:      imbalance <= -THRESHOLD sells what it holds, at market
    short:     imbalance >= THRESHOLD buys it back
    trades are received and change nothing
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

KIND, RECEIVE_NS, SIDE, ID, FIRST, SECOND, THIRD, FOURTH = range(8)
COLUMNS: Final = 8
QUOTE, TRADE = 0, 1
THRESHOLD: Final = 0.995
QTY_LOTS: Final = 8
TICK, LOT = 0.1, 0.001
PRICE_DIGITS, QTY_DIGITS = 1, 3
FEED_LATENCY_NS: Final = 1_000_000  # venue time is this long before the receive time
GENERATED_ROWS: Final = 87_402
SEED: Final = 20_240_808

Rows = NDArray[np.int64]


def _integer(text: str, digits: int) -> int:
    whole, _, fraction = text.partition(".")
    assert not fraction[digits:].strip("0"), f"{text} is finer than {digits} digits"
    return int(whole) * 10**digits + int(fraction[:digits].ljust(digits, "0"))


def _row(stamp_ns: int, frame: dict[str, Any]) -> list[int] | None:
    def ticks(name: str) -> int:
        return _integer(frame[name], PRICE_DIGITS)

    def lots(name: str) -> int:
        return _integer(frame[name], QTY_DIGITS)

    if frame.get("e") == "bookTicker":
        return [QUOTE, stamp_ns, 0, 0, ticks("b"), ticks("a"), lots("B"), lots("A")]
    if frame.get("e") == "trade":
        return [TRADE, stamp_ns, -1 if frame["m"] else 1, 0, ticks("p"), lots("q"), 0, 0]
    return None


def read_capture(path: Path) -> Rows:
    """Return the quotes and trades of a raw capture, in the order received."""
    found = []
    with gzip.open(path) as lines:
        for line in lines:
            stamp, _, text = line.partition(b" ")
            frame = json.loads(text)
            row = _row(int(stamp), frame.get("data", frame))
            if row is not None:
                found.append(row)
    return in_order(np.array(found, dtype=np.int64))


def generated(count: int = GENERATED_ROWS, seed: int = SEED) -> Rows:
    """Return a seeded market like the recorded one: three quotes to a trade, one tick of spread."""
    chance = np.random.default_rng(seed)
    rows = np.zeros((count, COLUMNS), dtype=np.int64)
    rows[:, KIND] = chance.random(count) < 0.25
    rows[:, RECEIVE_NS] = 1_723_161_255_000_000_000 + np.cumsum(
        chance.integers(1, 8_000_000, count)
    )
    bid = 618_000 + np.cumsum(chance.integers(-1, 2, count) * (chance.random(count) < 0.05))
    sizes = np.ceil(chance.lognormal(7.0, 1.2, (count, 2))).astype(np.int64)
    is_trade = rows[:, KIND] == TRADE
    rows[:, SIDE] = np.where(is_trade, chance.choice([-1, 1], count), 0)
    rows[:, FIRST] = np.where(is_trade & (rows[:, SIDE] > 0), bid + 1, bid)
    rows[:, SECOND] = np.where(is_trade, sizes[:, 0], bid + 1)
    rows[:, THIRD] = np.where(is_trade, 0, sizes[:, 0])
    rows[:, FOURTH] = np.where(is_trade, 0, sizes[:, 1])
    return in_order(rows)


def in_order(rows: Rows) -> Rows:
    """Return the rows with receive times that rise strictly and ids from 1, by kind."""
    made = rows.copy()
    order = np.arange(len(made))
    made[:, RECEIVE_NS] = np.maximum.accumulate(made[:, RECEIVE_NS] - order) + order
    for kind in (QUOTE, TRADE):
        chosen = made[:, KIND] == kind
        made[chosen, ID] = np.arange(1, chosen.sum() + 1)
    return made


def laps(rows: Rows, count: int) -> Rows:
    """Return the market `count` times over, 1 ms between two laps, ids and times rising."""
    span_ns = int(rows[-1, RECEIVE_NS] - rows[0, RECEIVE_NS]) + 1_000_000
    made = np.tile(rows, (count, 1))
    made[:, RECEIVE_NS] += np.repeat(np.arange(count), len(rows)) * span_ns
    return in_order(made)


def crossings(rows: Rows) -> int:
    """Return how many orders the strategy sends when each is filled before the next quote."""
    quotes = rows[rows[:, KIND] == QUOTE]
    bid, ask = quotes[:, THIRD].astype(np.float64), quotes[:, FOURTH].astype(np.float64)
    imbalance = (bid - ask) / (bid + ask)
    position = orders = 0
    for side in np.where(imbalance >= THRESHOLD, 1, np.where(imbalance <= -THRESHOLD, -1, 0)):
        if side and side != position:
            position = side if position == 0 else 0
            orders += 1
    return orders
