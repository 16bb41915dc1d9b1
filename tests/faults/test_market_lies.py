"""Lasting lies of an exchange about its market: refused by name, and over when they are over.

One feed as main starts it takes every case. Each fault lasts a while on one stream of the first
instrument; it must be refused for the reason it is, the other instruments must not notice, and when
it is over every channel is live again. At the end quotes and books are the exchange's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from engine.domain.codes import Channel, Liveness, RecordType
from engine.domain.firewall_reasons import FirewallReason
from engine.domain.instrument_row import INSTRUMENT_BYTES, LIVENESS_OFFSET, SEGMENT_ROWS_OFFSET
from engine.processes.control import RoleState
from tests.exchange_process import PracticeExchange
from tests.feed_role import FeedRole
from tests.market_comparison import compare_markets, end_market

pytestmark = pytest.mark.slow  # a minute of market

R = FirewallReason
QUOTE, DEPTH, TRADE, MARK = "bookTicker", "depth@100ms", "aggTrade", "markPrice@1s"
WATCHED = (Channel.QUOTE, Channel.TRADE, Channel.BOOK)
DAY_MS = 86_400_000


class Lie(NamedTuple):
    """One lasting fault, and the counters of which at least one must move."""

    stream: str
    kind: str
    counters: frozenset[str]
    words: dict[str, object]
    duration_ms: int


def lie(stream: str, kind: str, *told: R | str, duration_ms: int = 1_000, **words: object) -> Lie:
    names = [row if isinstance(row, str) else f"rejected_{row.name.lower()}_total" for row in told]
    return Lie(stream, kind, frozenset(names), words, duration_ms)


LIES = [
    lie(QUOTE, "frozen", R.QUOTE_FROZEN, R.BOOK_DIVERGED, duration_ms=4_000),
    lie(QUOTE, "crossed", R.QUOTE_CROSSED),
    lie(QUOTE, "locked", R.QUOTE_LOCKED),
    lie(QUOTE, "bad_price", R.NOT_FINITE, value="Infinity"),
    lie(QUOTE, "bad_price", R.PRICE_NOT_POSITIVE, value="0"),
    lie(QUOTE, "bad_quantity", R.QTY_NEGATIVE),
    lie(QUOTE, "off_grid", R.OFF_TICK),
    lie(QUOTE, "price_factor", R.PRICE_JUMP, factor=2),
    lie(QUOTE, "wrong_id", R.ID_JUMP, offset=10**12),
    lie(QUOTE, "wrong_time", R.TIME_FUTURE, offset=DAY_MS),
    lie(QUOTE, "wrong_time", R.TIME_PAST, offset=-DAY_MS),
    lie(QUOTE, "wrong_symbol", R.SYMBOL_UNKNOWN, R.SYMBOL_MISMATCH, to="DOGEUSDT"),
    lie(QUOTE, "mixed_product", R.PRODUCT_OTHER, R.SYMBOL_UNKNOWN),
    lie(QUOTE, "other_product", R.PRODUCT_OTHER),
    lie(QUOTE, "replayed", R.ID_OUT_OF_ORDER, R.ID_DUPLICATE, span=20),
    lie(QUOTE, "garbage", R.MALFORMED),
    lie(QUOTE, "half", R.MALFORMED),
    lie(QUOTE, "empty", R.MALFORMED),
    lie(TRADE, "price_factor", R.PRICE_SPIKE, R.PRICE_JUMP, factor=2),
    lie(TRADE, "bad_quantity", R.OFF_LOT, R.NOT_FINITE, value="0.00000001"),
    lie(DEPTH, "frozen", "book_resyncs_total", duration_ms=5_000),
    lie(DEPTH, "crossed", R.BOOK_CROSSED, R.BOOK_DIVERGED),
    lie(DEPTH, "wrong_pu", R.DEPTH_GAP, R.DEPTH_RANGE, offset=-7),
    lie(DEPTH, "drop", R.DEPTH_GAP, share=0.5, seed=3),
    lie(DEPTH, "off_grid", R.OFF_TICK),
    lie(DEPTH, "bad_quantity", R.QTY_NEGATIVE),
    lie(DEPTH, "replayed", R.ID_OUT_OF_ORDER, R.ID_DUPLICATE, span=5),
    lie(MARK, "bad_price", R.PRICE_NOT_POSITIVE, value="-1", duration_ms=2_500),
]
IDS = [f"{row.stream}-{row.kind}-{number}" for number, row in enumerate(LIES)]


class World:
    """One exchange and one feed."""

    def __init__(self, home: Path) -> None:
        words = ("--generate", "3", "--seed", "7", "--rate", "600")
        self.exchange = PracticeExchange(*words)
        self.feed = FeedRole("feed-lies-test", home, self.exchange.port)
        self.symbol = "btcusdt"

    def close(self) -> None:
        self.feed.close()
        self.exchange.stop()

    def counts(self) -> dict[str, int]:
        return {name: self.feed.counter(name) for row in LIES for name in row.counters}

    def liveness(self, index: int) -> list[Liveness]:
        first = SEGMENT_ROWS_OFFSET + index * INSTRUMENT_BYTES + LIVENESS_OFFSET
        buffer = self.feed.segments.instruments.buffer
        return [Liveness(buffer[first + channel]) for channel in WATCHED]

    def is_live(self) -> bool:
        return all(self.liveness(index) == [Liveness.LIVE] * len(WATCHED) for index in range(3))

    def records(self, index: int, record_type: RecordType) -> int:
        seen = self.feed.drain()
        of = (seen["instrument_index"] == index) & (seen["record_type"] == record_type)
        return int(of.sum())

    def tell(self, row: Lie) -> int:
        words = row.words | {"duration_ms": row.duration_ms}
        answer = self.exchange.fault(row.kind, stream=f"{self.symbol}@{row.stream}", **words)
        return int(answer["id"])

    def is_over(self, fault_id: int) -> bool:
        rows = self.exchange.call("GET", "/practice/faults")["armed"]
        return fault_id not in {row["id"] for row in rows}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("home"))
    try:
        made.feed.wait("ready", lambda: made.feed.state is RoleState.READY)
        made.feed.wait("every channel", made.is_live)
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("row", LIES, ids=IDS)
def test_a_lasting_lie_is_refused_by_name_and_over_when_it_is_over(world: World, row: Lie) -> None:
    feed = world.feed
    before, others = world.counts(), world.records(1, RecordType.QUOTE)
    fault_id = world.tell(row)
    feed.wait(f"{row.kind} over", lambda: world.is_over(fault_id))
    feed.wait("every channel live", world.is_live)
    quotes = world.records(0, RecordType.QUOTE)
    feed.wait("quotes", lambda: world.records(0, RecordType.QUOTE) > quotes)

    def moved() -> set[str]:  # counters are stored a few times a second
        return {name for name, count in world.counts().items() if count > before[name]}

    feed.wait(f"one of {set(row.counters)}, not {moved()}", lambda: moved() & row.counters)
    assert world.records(1, RecordType.QUOTE) > others, "the others did not notice"


def test_afterwards_quotes_and_books_are_the_exchanges_own(world: World) -> None:
    end_market(world.feed, world.exchange)
    records = world.feed.seen
    assert (np.diff(records["sequence"]) == 1).all()
    quotes = records[records["record_type"] == RecordType.QUOTE]
    assert (quotes["bid_price_ticks"] < quotes["ask_price_ticks"]).all()
    assert (quotes["bid_qty_lots"] > 0).all()
    first = quotes[quotes["instrument_index"] == 0]["bid_price_ticks"]
    assert first.max() < 1.1 * first.min(), "no price that was made up was ever believed"
    compare_markets(world.feed, world.exchange)
