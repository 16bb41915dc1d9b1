"""A feed core over a private ring, for tests: frames in, records out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import Channel, Liveness, RecordType
from engine.domain.instrument_row import (
    INSTRUMENT_BYTES,
    SEGMENT_ROWS_OFFSET,
    Instrument,
    InstrumentFlag,
    pack_row,
    step_parts,
    unit_e8,
)
from engine.domain.records import MARKET_DTYPE
from engine.venues.binance.market import SPIKE_SIGMAS, cadence_words, laws
from native_ext import _feed
from ringbuffer.ring import Consumer, Ring

S = 1_000_000_000
MS = 1_000_000
VENUE_START_MS = 1_723_161_255_000
NAMES = itertools.count()

Levels = Sequence[Sequence[str]]
Frame = dict[str, Any]


def instrument(
    symbol: str, tick: str, lot: str, index: int = 0, *, book: bool = True
) -> Instrument:
    """Return an instrument with the given steps."""
    tick_scaled, price_exponent = step_parts(tick)
    lot_scaled, qty_exponent = step_parts(lot)
    flags = InstrumentFlag.TRADING | InstrumentFlag.PERPETUAL
    return Instrument(
        symbol=symbol,
        instrument_index=index,
        flags=int(flags | (InstrumentFlag.BOOK if book else InstrumentFlag(0))),
        price_exponent=price_exponent,
        qty_exponent=qty_exponent,
        tick_scaled=tick_scaled,
        lot_scaled=lot_scaled,
        unit_e8=unit_e8(tick, lot),
    )


BTC = instrument("BTCUSDT", "0.10", "0.001", 0)
ETH = instrument("ETHUSDT", "0.01", "0.001", 1)


def packed(instruments: list[Instrument]) -> bytes:
    """Return the rows of instruments as one block."""
    raw = bytearray(SEGMENT_ROWS_OFFSET + len(instruments) * INSTRUMENT_BYTES)
    for row, entry in enumerate(instruments):
        pack_row(entry, raw, row)
    return bytes(raw[SEGMENT_ROWS_OFFSET:])


class FeedRig:
    """A core, its ring, and a gating reader that a test may hold back."""

    def __init__(
        self,
        instruments: list[Instrument] | None = None,
        *,
        capacity: int = 4096,
        channels: bool = True,
        error_ns: int = 0,
        plays_tapes: bool = False,
        spike_sigmas: int = SPIKE_SIGMAS,
    ) -> None:
        """Start with the venue's clock at VENUE_START_MS and every channel enabled."""
        self.instruments = instruments or [BTC, ETH]
        self.ring = Ring.local(f"feed-rig-{next(NAMES)}", capacity, 64, gating=(0,))
        self.consumer = Consumer(self.ring, 0)
        self.core = _feed.Core(
            packed(self.instruments),
            laws(plays_tapes=plays_tapes, spike_sigmas=spike_sigmas),
            cadence_words(may_lack_channels=True),
        )
        self.core.attach(self.ring.segment.buffer, 1, 1)
        self.now_ns = 1_000 * S
        self.core.set_clock(self.now_ns, VENUE_START_MS * MS, 0, error_ns)
        if channels:
            for index, channel in itertools.product(range(len(self.instruments)), Channel):
                self.core.enable(index, channel, self.now_ns)
        self.core.flush(self.now_ns)
        self.records()

    @property
    def venue_ms(self) -> int:
        """Return the venue's time now."""
        return VENUE_START_MS + (self.now_ns - 1_000 * S) // MS

    def decode(self, frame: bytes | str | Frame) -> int:
        """Decode one frame and return what the core said."""
        if isinstance(frame, dict):
            frame = json.dumps(frame, separators=(",", ":"))
        raw = frame.encode() if isinstance(frame, str) else frame
        return self.core.decode(raw, self.now_ns)

    def snapshot(self, index: int, body: Frame | bytes, limit: int = 1000) -> int:
        """Load an answer of the depth endpoint."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.core.load_snapshot(index, raw, limit, self.now_ns)

    def records(self, *record_types: RecordType) -> NDArray[np.void]:
        """Return what was published since the last call; of some types, or all."""
        slots = np.zeros(self.ring.capacity, MARKET_DTYPE)
        first, count = self.consumer.read_into(slots)
        assert count >= 0, count
        if count:
            self.consumer.advance(first + count)
        found = slots[:count]
        if record_types:
            found = found[np.isin(found["record_type"], record_types)]
        return found

    def liveness(self, index: int, channel: Channel) -> Liveness:
        """Return a channel's state."""
        return Liveness(self.core.channel(index, channel)[0])

    def rejects(self) -> dict[int, int]:
        """Return the non-zero reject counts by reason."""
        return {reason: count for reason, count in enumerate(self.core.rejects()) if count}

    def close(self) -> None:
        """Let go of the ring."""
        self.core.detach()
        self.consumer.close()
        self.ring.close()


class Frames:
    """Good frames of the venue, with running ids; a test changes the members it is about."""

    def __init__(
        self, symbol: str = "BTCUSDT", mid: float = 61_800.0, *, wrapped: bool = True
    ) -> None:
        """Start ids at arbitrary numbers."""
        self.symbol = symbol
        self.mid = mid
        self.wrapped = wrapped
        self.update_id = 5_123_107_839_020
        self.trade_id = 5_266_583_935

    def book_ticker(self, ms: int, **changed: object) -> Frame:
        """Return the next quote."""
        self.update_id += 10
        data = {
            "e": "bookTicker",
            "u": self.update_id,
            "s": self.symbol,
            "b": f"{self.mid:.2f}",
            "B": "2.507",
            "a": f"{self.mid + 0.1:.2f}",
            "A": "2.510",
            "T": ms,
            "E": ms,
        }
        return self._wrap("bookTicker", data | changed)

    def trade(self, ms: int, **changed: object) -> Frame:
        """Return the next trade."""
        self.trade_id += 1
        data = {
            "e": "trade",
            "E": ms,
            "T": ms,
            "s": self.symbol,
            "t": self.trade_id,
            "p": f"{self.mid:.2f}",
            "q": "0.006",
            "X": "MARKET",
            "m": False,
        }
        return self._wrap("trade", data | changed)

    def agg_trade(self, ms: int, **changed: object) -> Frame:
        """Return the next aggregated trade."""
        self.trade_id += 1
        data = {
            "e": "aggTrade",
            "E": ms,
            "s": self.symbol,
            "a": self.trade_id,
            "p": f"{self.mid:.2f}",
            "q": "0.100",
            "nq": "0.100",
            "f": 100,
            "l": 105,
            "T": ms,
            "m": True,
            "st": 1,
        }
        return self._wrap("aggTrade", data | changed)

    def depth(self, ms: int, bids: Levels = (), asks: Levels = (), **changed: object) -> Frame:
        """Return the next diff; it follows the one before."""
        before = self.update_id
        self.update_id += 100
        data = {
            "e": "depthUpdate",
            "E": ms,
            "T": ms,
            "s": self.symbol,
            "U": before + 1,
            "u": self.update_id,
            "pu": before,
            "b": [list(level) for level in bids],
            "a": [list(level) for level in asks],
        }
        return self._wrap("depth@100ms", data | changed)

    def kline(self, ms: int, outer: Frame | None = None, **changed: object) -> Frame:
        """Return an update of the running minute."""
        start = ms // 60_000 * 60_000
        k = {
            "t": start,
            "T": start + 59_999,
            "s": self.symbol,
            "i": "1m",
            "f": 100,
            "L": 200,
            "o": "61800.00",
            "c": "61810.00",
            "h": "61820.00",
            "l": "61790.00",
            "v": "100.000",
            "n": 100,
            "x": False,
            "q": "6180000.0000",
            "V": "50.000",
            "Q": "3090000.00",
            "B": "0",
        }
        data = {"e": "kline", "E": ms, "s": self.symbol, "k": k | changed}
        return self._wrap("kline_1m", data | (outer or {}))

    def mark_price(self, ms: int, **changed: object) -> Frame:
        """Return a mark price."""
        data = {
            "e": "markPriceUpdate",
            "E": ms,
            "s": self.symbol,
            "p": "61794.15000000",
            "ap": "61794.15000000",
            "i": "61784.62659091",
            "P": "61784.25641265",
            "r": "0.00038167",
            "T": ms + 3_600_000,
            "st": 1,
        }
        return self._wrap("markPrice@1s", data | changed)

    def force_order(self, ms: int, outer: Frame | None = None, **changed: object) -> Frame:
        """Return a liquidation."""
        o = {
            "s": self.symbol,
            "S": "SELL",
            "o": "LIMIT",
            "f": "IOC",
            "q": "0.014",
            "p": "61000.37",
            "ap": "61000.12345678",
            "X": "FILLED",
            "l": "0.014",
            "z": "0.014",
            "T": ms,
        }
        return self._wrap(
            "forceOrder", {"e": "forceOrder", "E": ms, "o": o | changed} | (outer or {})
        )

    def _wrap(self, stream: str, data: Frame) -> Frame:
        if not self.wrapped:
            return data
        return {"stream": f"{self.symbol.lower()}@{stream}", "data": data}
