"""A plain decoder of raw captures, slow and simple on purpose.

It shares no code with the engine's, so that the two can be compared. It turns `<ns> <frame>`
lines into MARKET_DTYPE records as the feed would: quotes, trades (aggregated when asked, as in the
venue's aggTrade stream), and the changes of the best twenty levels of a book kept from
snapshot and diffs.
"""

import bisect
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.domain.codes import (
    LEVEL_BID,
    LEVEL_LAST_OF_DIFF,
    LEVEL_SNAPSHOT_FIRST,
    TRADE_AGGREGATED,
    TRADE_BUYER_AGGRESSOR,
    RecordType,
)
from engine.domain.records import MARKET_DTYPE
from engine.store.reader import join_records
from tests.builders import MS, joined, make_records

TOP_LEVELS = 20


def scaled(text: str, exponent: int) -> int:
    """Return a decimal as an integer of 10 ** -exponent; asserts that it is exact."""
    whole, _, fraction = text.partition(".")
    digits = fraction.rstrip("0")
    assert len(digits) <= exponent, f"{text} has more than {exponent} digits"
    return int(whole) * 10**exponent + int(digits.ljust(exponent, "0") or "0")


class TopOfBook:
    """A book as two sorted lists; answers what changed in its best levels."""

    def __init__(self) -> None:
        """Start empty."""
        self.quantities: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.prices: tuple[list[int], list[int]] = ([], [])

    def set(self, side: int, price: int, qty: int) -> None:
        """Set one level; 0 removes it. Side 0 is the bid, kept as negative prices: best first."""
        key = -price if side == 0 else price
        known = key in self.quantities[side]
        if qty == 0:
            if known:
                del self.quantities[side][key]
                del self.prices[side][bisect.bisect_left(self.prices[side], key)]
            return
        if not known:
            bisect.insort(self.prices[side], key)
        self.quantities[side][key] = qty

    def top(self, side: int) -> dict[int, int]:
        """Return price -> quantity of the best levels of a side."""
        return {abs(key): self.quantities[side][key] for key in self.prices[side][:TOP_LEVELS]}


class CaptureDecoder:
    """Turns the frames of one instrument's capture into records."""

    def __init__(self, instrument_index: int, price_exponent: int, qty_exponent: int) -> None:
        """Remember whose frames these are and how its decimals scale."""
        self.instrument_index = instrument_index
        self.price_exponent = price_exponent
        self.qty_exponent = qty_exponent
        self.book = TopOfBook()
        self.book_update_id = 0

    def row(
        self, record_type: int, receive_ns: int, venue_ms: int, flags: int, aux: int
    ) -> list[int]:
        """Return the header of a record as a row of integers."""
        return [receive_ns, venue_ms * MS, self.instrument_index, int(record_type), flags, aux]

    def price(self, text: str) -> int:
        """Return a price in ticks."""
        return scaled(text, self.price_exponent)

    def qty(self, text: str) -> int:
        """Return a quantity in lots."""
        return scaled(text, self.qty_exponent)

    def quote(self, receive_ns: int, frame: dict[str, Any]) -> list[list[int]]:
        """Decode a bookTicker."""
        low = (frame["u"] + 2**31) % 2**32 - 2**31
        header = self.row(RecordType.QUOTE, receive_ns, frame["T"], 0, low)
        sides = [self.price(frame["b"]), self.price(frame["a"])]
        return [[*header, *sides, self.qty(frame["B"]), self.qty(frame["A"])]]

    def trade(self, receive_ns: int, frame: dict[str, Any]) -> list[list[int]]:
        """Decode a trade."""
        flags = 0 if frame["m"] else TRADE_BUYER_AGGRESSOR
        header = self.row(RecordType.TRADE, receive_ns, frame["T"], flags, 0)
        return [[*header, self.price(frame["p"]), self.qty(frame["q"]), frame["t"], 1]]

    def levels(
        self, receive_ns: int, venue_ms: int, update_id: int, bids: list, asks: list, snapshot: bool
    ) -> list[list[int]]:
        """Apply levels to the book; return what changed among the best ones."""
        before = ({}, {}) if snapshot else (self.book.top(0), self.book.top(1))
        for side, changes in ((0, bids), (1, asks)):
            for price, qty in changes:
                self.book.set(side, self.price(price), self.qty(qty))
        rows = []
        for side in (0, 1):
            after = self.book.top(side)
            flags = LEVEL_BID if side == 0 else 0
            changed = [(p, 0) for p in before[side] if p not in after]
            changed += [(p, q) for p, q in after.items() if before[side].get(p) != q]
            for price, qty in changed:
                header = self.row(RecordType.LEVEL, receive_ns, venue_ms, flags, 0)
                rows.append([*header, price, qty, update_id, 0])
        if rows:
            rows[-1][4] |= LEVEL_LAST_OF_DIFF
            rows[0][4] |= LEVEL_SNAPSHOT_FIRST if snapshot else 0
        return rows

    def frame(self, receive_ns: int, frame: dict[str, Any]) -> list[list[int]]:
        """Decode any frame of the capture; diffs before the snapshot are dropped."""
        kind = frame.get("e")
        if kind == "bookTicker":
            return self.quote(receive_ns, frame)
        if kind == "trade":
            return self.trade(receive_ns, frame)
        if kind == "depthUpdate":
            if self.book_update_id == 0 or frame["u"] < self.book_update_id:
                return []
            return self.levels(receive_ns, frame["T"], frame["u"], frame["b"], frame["a"], False)
        self.book_update_id = frame["lastUpdateId"]
        bids, asks = frame["bids"], frame["asks"]
        return self.levels(receive_ns, frame["T"], self.book_update_id, bids, asks, True)


def decode_capture(
    path: Path, instrument_index: int, price_exponent: int, qty_exponent: int
) -> np.ndarray:
    """Return the records of one raw capture in the order received."""
    decoder = CaptureDecoder(instrument_index, price_exponent, qty_exponent)
    rows: list[list[int]] = []
    with gzip.open(path) as lines:
        for line in lines:
            stamp, _, text = line.partition(b" ")
            frame = json.loads(text)
            rows += decoder.frame(int(stamp), frame.get("data", frame))
    return from_rows(np.array(rows, dtype=np.int64))


def from_rows(rows: np.ndarray) -> np.ndarray:
    """Return records from rows of (receive, venue, instrument, type, flags, aux, four numbers)."""
    records = make_records(len(rows))
    names = ("receive_time_ns", "venue_time_ns", "instrument_index", "record_type", "flags", "aux")
    for k, name in enumerate(names):
        records[name] = rows[:, k]
    payload = ("bid_price_ticks", "ask_price_ticks", "bid_qty_lots", "ask_qty_lots")
    for k, name in enumerate(payload):  # the four numbers at 32, whatever their names
        records[name] = rows[:, len(names) + k]
    return records


def merged(captures: Sequence[np.ndarray]) -> np.ndarray:
    """Return several captures as one, by receive time, numbered from 0."""
    records = join_records(captures, MARKET_DTYPE)
    order = np.argsort(records["receive_time_ns"], kind="stable")
    return joined([records[order]])


def aggregated(records: np.ndarray) -> np.ndarray:
    """Return the records with trades folded as in an aggTrade stream.

    Consecutive trades of one instrument with one price, side and 100 ms become one record, at the
    place of the last of them.
    """
    is_trade = records["record_type"] == RecordType.TRADE
    keep = np.ones(len(records), dtype=bool)
    out = records.copy()
    open_at: dict[int, int] = {}
    for k in np.flatnonzero(is_trade):
        i = int(records["instrument_index"][k])
        j = open_at.get(i, -1)
        same = (
            j >= 0
            and records["price_ticks"][j] == records["price_ticks"][k]
            and records["flags"][j] == records["flags"][k]
            and records["venue_time_ns"][j] // (100 * MS)
            == records["venue_time_ns"][k] // (100 * MS)
        )
        if same:
            out["qty_lots"][k] += out["qty_lots"][j]
            out["trade_count"][k] += out["trade_count"][j]
            keep[j] = False
        open_at[i] = int(k)
    out["flags"][is_trade] |= TRADE_AGGREGATED
    return joined([out[keep]])
