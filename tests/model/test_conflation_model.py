"""A reader that falls behind by any amount, at any time, ends with the latest state of everything.

The model is told what the feed accepted and forgets nothing; the reader sees only what found room
in a ring of a few slots. When it has caught up, it must know what the model does:
the last quote and mark, the running bar and the last final one, sums of trades by side, the book,
and the liveness of every channel.
"""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import (
    BAR_FINAL,
    CONFLATED,
    LEVEL_SNAPSHOT_FIRST,
    LIQUIDATION_BUY,
    TRADE_BUYER_AGGRESSOR,
    Channel,
    RecordType,
)
from engine.telemetry import CORE_COUNTERS
from tests.feed_decoder import LevelReader
from tests.feed_rig import BTC, ETH, MS, FeedRig, Frame, Frames

MINUTE_MS = 60_000
SLOTS = 256  # the least that holds two whole books: a diff of the top is all or none
CONFLATED_COUNT = [counter.name for counter in CORE_COUNTERS].index("conflated_total")
Seen = dict[tuple[object, ...], object]


class Model:
    """What was accepted, by its meaning; and the frames of one instrument."""

    def __init__(self, rig: FeedRig, index: int) -> None:
        self.rig, self.index = rig, index
        self.frames = Frames(rig.instruments[index].symbol, 61_800.0 if index == 0 else 2_681.6)
        self.quotes = Frames(self.frames.symbol, self.frames.mid)
        self.quotes.update_id += 5  # no id that a diff has
        self.volume = 1
        self.minute = rig.venue_ms // MINUTE_MS * MINUTE_MS
        self.latest: Seen = {}
        self.sums: dict[tuple[int, int], list[int]] = {}

    def take(self, frame: Frame) -> None:
        assert self.rig.decode(frame) == 0, frame

    def quote(self, size: int) -> None:
        self.take(self.quotes.book_ticker(self.rig.venue_ms, B=f"{size}.000"))
        self.latest[RecordType.QUOTE, 0] = size * 1_000

    def trade(self, size: int) -> None:
        is_buy = size % 2 == 0
        self.take(self.frames.trade(self.rig.venue_ms, m=not is_buy, q=f"{size}.000"))
        self.add(RecordType.TRADE, int(is_buy), size)

    def liquidation(self, size: int) -> None:
        is_buy = size % 3 == 0
        side = "BUY" if is_buy else "SELL"
        price = f"{self.frames.mid:.2f}"
        frame = self.frames.force_order(self.rig.venue_ms, S=side, q=f"{size}.000", p=price)
        self.take(frame)
        self.add(RecordType.LIQUIDATION, int(is_buy), size)

    def add(self, record_type: int, side: int, size: int) -> None:
        total = self.sums.setdefault((int(record_type), side), [0, 0])
        total[0] += size * 1_000
        total[1] += 1

    def bar(self, size: int) -> None:
        minute = self.rig.venue_ms // MINUTE_MS * MINUTE_MS
        if minute > self.minute:
            self.volume, self.minute = 0, minute
        self.volume += size
        is_final = size % 5 == 0
        frame = self.frames.kline(
            self.rig.venue_ms,
            None,
            t=self.minute,
            T=self.minute + MINUTE_MS - 1,
            v=f"{self.volume}.000",
            n=self.volume,
            x=is_final,
            **dict.fromkeys("ohlc", f"{self.frames.mid:.2f}"),
        )
        self.take(frame)
        self.latest[RecordType.BAR, int(is_final)] = self.volume * 1_000
        if is_final:
            self.volume, self.minute = 1, self.minute + MINUTE_MS
            self.rig.now_ns += MINUTE_MS * MS

    def mark(self, size: int) -> None:
        price = self.frames.mid + size / 100
        frame = self.frames.mark_price(self.rig.venue_ms, p=f"{price:.8f}")
        self.take(frame)
        self.latest[RecordType.MARK, 0] = round(price * 100) * 1_000_000

    def depth(self, size: int) -> None:
        tick = self.rig.instruments[self.index]
        mid = round(self.frames.mid * 10**tick.price_exponent)
        bids = [(tick.price_text(mid - 1 - size % 40), f"{size % 4}.000")]
        asks = [(tick.price_text(mid + 1 + size % 37), f"{size % 3}.000")]
        self.take(self.frames.depth(self.rig.venue_ms, bids, asks))

    def load(self) -> None:
        tick = self.rig.instruments[self.index]
        mid = round(self.frames.mid * 10**tick.price_exponent)
        self.take(self.frames.depth(self.rig.venue_ms))
        body = {
            "lastUpdateId": self.frames.update_id,
            "bids": [[tick.price_text(mid - 50 - k), "1"] for k in range(30)],
            "asks": [[tick.price_text(mid + 50 + k), "1"] for k in range(30)],
        }
        assert self.rig.snapshot(self.index, body) == 0


class Reader:
    """What a reader of the ring knows of one instrument."""

    def __init__(self) -> None:
        self.latest: Seen = {}
        self.sums: dict[tuple[int, int], list[int]] = {}
        self.book = LevelReader()
        self.liveness: dict[int, int] = {}

    def apply(self, record: dict[str, int]) -> None:
        kind, flags = record["record_type"], record["flags"] & ~CONFLATED
        if kind == RecordType.LEVEL:
            self.book.apply(record, LEVEL_SNAPSHOT_FIRST)  # type: ignore[arg-type]
        elif kind == RecordType.QUOTE:
            self.latest[kind, 0] = record["bid_qty_lots"]
        elif kind == RecordType.MARK:
            self.latest[kind, 0] = record["mark_price_e8"]
        elif kind == RecordType.BAR:
            self.latest[kind, flags & BAR_FINAL] = record["volume_lots"]
        elif kind == RecordType.LIVENESS:
            self.liveness[record["aux"]] = record["liveness"]
        elif kind in {RecordType.TRADE, RecordType.LIQUIDATION}:
            buy = TRADE_BUYER_AGGRESSOR if kind == RecordType.TRADE else LIQUIDATION_BUY
            total = self.sums.setdefault((kind, int(bool(flags & buy))), [0, 0])
            total[0] += record["qty_lots"]
            total[1] += record["trade_count"]


KINDS = ("quote", "trade", "liquidation", "mark", "depth", "bar")


def play(steps: list[tuple[int, str, int]], reads: list[int]) -> int:
    """Play a market into the core and compare at its end; return how many records were merged."""
    rig = FeedRig([BTC, ETH], capacity=SLOTS)
    models = [Model(rig, index) for index in (0, 1)]
    readers = [Reader(), Reader()]

    def read() -> int:
        records = rig.records()
        for record in records:
            named = {name: int(record[name]) for name in record.dtype.names}
            readers[named["instrument_index"]].apply(named)
        return len(records)

    for model in models:
        model.load()
    for number, (index, kind, size) in enumerate(steps):
        rig.now_ns += 1_100 * MS if kind == "mark" else MS
        getattr(models[index], kind)(size)
        if number in reads:
            read()
    while rig.core.flush(rig.now_ns) + read():
        pass
    for index, (model, reader) in enumerate(zip(models, readers, strict=True)):
        assert reader.latest == model.latest
        assert reader.sums == model.sums
        _, _, bids, asks = rig.core.book(index)
        assert reader.book.top() == (bids[:20], asks[:20])
        wanted = {int(channel): int(rig.liveness(index, channel)) for channel in Channel}
        assert {**wanted, **reader.liveness} == wanted
    merged = rig.core.counters()[CONFLATED_COUNT]
    rig.close()
    return merged


def market_of(seed: int, count: int) -> list[tuple[int, str, int]]:
    """Return what happens in a market: instrument, kind, size."""
    rng = random.Random(seed)
    return [(rng.randrange(2), rng.choice(KINDS), rng.randint(1, 90)) for _ in range(count)]


@given(seed=st.integers(0, 2**32), reads=st.lists(st.integers(0, 700), max_size=8))
def test_a_reader_that_fell_behind_ends_with_the_latest_state(seed: int, reads: list[int]) -> None:
    play(market_of(seed, 700), reads)


def test_such_a_market_is_merged_indeed() -> None:
    assert play(market_of(1, 700), []) > 300
    assert play(market_of(1, 700), [100, 400]) > 100
    assert play(market_of(1, 700), list(range(700))) == 0
