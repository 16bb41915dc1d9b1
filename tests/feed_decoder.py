"""What the C decoder must say about a frame, in plain Python: JSON, Decimal, dictionaries.

Stateless: one frame in, its reason and its records out. The book keeps every level in two
dictionaries. Written from the venue's documentation, not from the C code.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import numpy as np

from engine.domain.codes import (
    BAR_FINAL,
    LEVEL_BID,
    LIQUIDATION_BUY,
    TRADE_AGGREGATED,
    TRADE_BUYER_AGGRESSOR,
    RecordType,
)
from engine.domain.instrument_row import Instrument

MS = 1_000_000
Record = dict[str, int]


def ticks(instrument: Instrument, text: str) -> int:
    """Return a price in ticks; it must be on the grid and positive."""
    count = instrument.price_ticks(text)
    assert count is not None, text
    assert count > 0, text
    return count


def lots(instrument: Instrument, text: str) -> int:
    """Return a quantity in lots; it must be on the grid."""
    count = instrument.qty_lots(text)
    assert count is not None, text
    assert count >= 0, text
    return count


def e8(text: str) -> int:
    """Return a decimal in 1e-8, cut."""
    return int(Decimal(text).scaleb(8)) if text else 0


def nearest_ticks(instrument: Instrument, text: str) -> int:
    """Return the nearest tick; halves go up. One digit beyond the tick's counts, as in C."""
    tenth = Decimal(1).scaleb(-(instrument.price_exponent + 1))
    cut = Decimal(text) // tenth * tenth
    step = Decimal(instrument.tick_scaled).scaleb(-instrument.price_exponent)
    return int((cut / step + Decimal("0.5")) // 1)


def payload_of(frame: bytes) -> dict[str, Any]:
    """Return the event of a frame, unwrapped."""
    document = json.loads(frame)
    return document.get("data", document) if "stream" in document else document


def decode_event(instruments: dict[str, Instrument], data: dict[str, Any]) -> list[Record]:
    """Return the records of a good event; depth diffs give none here."""
    name = data["e"]
    symbol = data["o"]["s"] if name == "forceOrder" else data["s"]
    instrument = instruments[symbol]
    record = DECODERS[name](instrument, data)
    if not record:
        return []
    return [{"instrument_index": instrument.instrument_index} | record]


def decode_trade(instrument: Instrument, data: dict[str, Any]) -> Record:
    """Return a TRADE."""
    aggregated = data["e"] == "aggTrade"
    return {
        "record_type": RecordType.TRADE,
        "venue_time_ns": data["T"] * MS,
        "price_ticks": ticks(instrument, data["p"]),
        "qty_lots": lots(instrument, data["q"]),
        "trade_id": data["a"] if aggregated else data["t"],
        "trade_count": data["l"] - data["f"] + 1 if aggregated else 1,
        "flags": (0 if data["m"] else TRADE_BUYER_AGGRESSOR) + aggregated * TRADE_AGGREGATED,
    }


def decode_book_ticker(instrument: Instrument, data: dict[str, Any]) -> Record:
    """Return a QUOTE."""
    low = data["u"] % 2**32
    return {
        "record_type": RecordType.QUOTE,
        "venue_time_ns": data["T"] * MS,
        "bid_price_ticks": ticks(instrument, data["b"]),
        "ask_price_ticks": ticks(instrument, data["a"]),
        "bid_qty_lots": lots(instrument, data["B"]),
        "ask_qty_lots": lots(instrument, data["A"]),
        "aux": low - 2**32 if low >= 2**31 else low,
        "flags": 0,
    }


def decode_kline(instrument: Instrument, data: dict[str, Any]) -> Record:
    """Return a BAR."""
    k = data["k"]
    opened = ticks(instrument, k["o"])
    seconds = int(k["i"][:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[k["i"][-1]]
    return {
        "record_type": RecordType.BAR,
        "venue_time_ns": k["t"] * MS,
        "aux": seconds,
        "open_ticks": opened,
        "high_offset_ticks": ticks(instrument, k["h"]) - opened,
        "low_offset_ticks": ticks(instrument, k["l"]) - opened,
        "close_offset_ticks": ticks(instrument, k["c"]) - opened,
        "bar_trade_count": k["n"],
        "volume_lots": lots(instrument, k["v"]),
        "flags": BAR_FINAL if k["x"] else 0,
    }


def decode_mark_price(instrument: Instrument, data: dict[str, Any]) -> Record:
    """Return a MARK."""
    assert instrument.symbol == data["s"]
    return {
        "record_type": RecordType.MARK,
        "venue_time_ns": data["E"] * MS,
        "mark_price_e8": e8(data["p"]),
        "index_price_e8": e8(data.get("i", "")),
        "funding_rate_e8": e8(data.get("r", "")),
        "next_funding_time_ns": data["T"] * MS,
        "flags": 0,
    }


def decode_force_order(instrument: Instrument, data: dict[str, Any]) -> Record:
    """Return a LIQUIDATION."""
    o = data["o"]
    return {
        "record_type": RecordType.LIQUIDATION,
        "venue_time_ns": o["T"] * MS,
        "price_ticks": nearest_ticks(instrument, o["p"]),
        "average_price_ticks": nearest_ticks(instrument, o["ap"]),
        "qty_lots": lots(instrument, o["q"]),
        "trade_count": 1,
        "flags": LIQUIDATION_BUY if o["S"] == "BUY" else 0,
    }


def decode_depth(instrument: Instrument, data: dict[str, Any]) -> Record:
    """Return nothing: a diff's records depend on the book."""
    assert instrument.symbol == data["s"]
    return {}


DECODERS = {
    "trade": decode_trade,
    "aggTrade": decode_trade,
    "bookTicker": decode_book_ticker,
    "kline": decode_kline,
    "markPriceUpdate": decode_mark_price,
    "forceOrder": decode_force_order,
    "depthUpdate": decode_depth,
}


class ReferenceBook:
    """Every level of one instrument in two dictionaries, price to quantity."""

    def __init__(self, instrument: Instrument) -> None:
        """Start without a snapshot."""
        self.instrument = instrument
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.update_id = -1
        self._waiting: list[dict[str, Any]] = []

    def diff(self, data: dict[str, Any]) -> None:
        """Take a diff: keep it before the snapshot, apply it after."""
        if self.update_id < 0:
            self._waiting.append(data)
            return
        self._apply(data)

    def snapshot(self, body: dict[str, Any]) -> None:
        """Start from a snapshot and replay what was kept."""
        self.bids, self.asks = self._side(body["bids"]), self._side(body["asks"])
        self.update_id = body["lastUpdateId"]
        for data in self._waiting:
            if data["u"] >= self.update_id:
                self._apply(data)
        self._waiting.clear()

    def top(self, count: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return the best levels, bids and asks."""
        bids = sorted(self.bids.items(), reverse=True)[:count]
        return bids, sorted(self.asks.items())[:count]

    def _side(self, levels: list[list[str]]) -> dict[int, int]:
        found = {ticks(self.instrument, p): lots(self.instrument, q) for p, q in levels}
        return {price: quantity for price, quantity in found.items() if quantity}

    def _apply(self, data: dict[str, Any]) -> None:
        for side, levels in ((self.bids, data["b"]), (self.asks, data["a"])):
            for price_text, qty_text in levels:
                price, quantity = (
                    ticks(self.instrument, price_text),
                    lots(self.instrument, qty_text),
                )
                if quantity:
                    side[price] = quantity
                else:
                    side.pop(price, None)
        self.update_id = data["u"]


class LevelReader:
    """A book as a reader of the ring sees it: LEVEL records applied one by one."""

    def __init__(self) -> None:
        """Start empty."""
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.snapshots = 0

    def apply(self, record: np.void, first_flag: int) -> None:
        """Apply one LEVEL record."""
        if record["flags"] & first_flag:
            self.sides[0].clear()
            self.sides[1].clear()
            self.snapshots += 1
        side = self.sides[1 if record["flags"] & LEVEL_BID else 0]
        if record["qty_lots"]:
            side[int(record["price_ticks"])] = int(record["qty_lots"])
        else:
            del side[int(record["price_ticks"])]  # only what readers have is ever removed

    def top(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return bids and asks, best first."""
        return sorted(self.sides[1].items(), reverse=True), sorted(self.sides[0].items())
