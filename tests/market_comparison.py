"""What readers of a feed's ring know, against the practice exchange's own answers."""

from __future__ import annotations

import numpy as np

from engine.domain.codes import LEVEL_SNAPSHOT_FIRST, RecordType
from engine.domain.instrument import read_instruments
from engine.domain.instrument_row import Instrument, unpack_row
from engine.processes.depth_view import DepthView
from tests.exchange_process import PracticeExchange
from tests.feed_decoder import LevelReader
from tests.feed_role import FeedRole

Side = list[tuple[int | None, int | None]]


def end_market(feed: FeedRole, exchange: PracticeExchange) -> None:
    """End the market for good and read everything there is."""
    exchange.call("POST", "/practice/end")
    feed.wait("silence", lambda: feed.counter("frames_total") >= delivered(exchange))
    # The core's counters are stored a few times a second.
    feed.wait("what waited", lambda: len(feed.drain()) == feed.counter("records_total"))


def delivered(exchange: PracticeExchange) -> int:
    """Return the frames the exchange wrote to its subscribers."""
    return int(exchange.call("GET", "/practice/state")["frames_delivered"])


def compare_markets(feed: FeedRole, exchange: PracticeExchange) -> None:
    """Compare quote, top levels and whole book of every instrument with the exchange's own."""
    buffer = feed.segments.instruments.buffer
    view = DepthView(feed.segments.instruments, feed.segments.depth)
    for index in range(len(read_instruments(buffer))):
        row = unpack_row(buffer, index)
        mine = feed.seen[feed.seen["instrument_index"] == index]
        reader = LevelReader()
        for record in mine[mine["record_type"] == RecordType.LEVEL]:
            reader.apply(record, LEVEL_SNAPSHOT_FIRST)
        depth = exchange.call("GET", f"/fapi/v1/depth?symbol={row.symbol}&limit=1000")
        wanted = [levels_of(row, depth[side]) for side in ("bids", "asks")]
        assert list(reader.top()) == [side[:20] for side in wanted], row.symbol
        status, whole = view.answer(row.symbol, 1_000)
        assert (status, whole["valid"]) == (200, True), row.symbol
        assert [levels_of(row, whole[side]) for side in ("bids", "asks")] == wanted, row.symbol
        compare_quote(row, mine[mine["record_type"] == RecordType.QUOTE][-1], exchange)


def compare_quote(row: Instrument, quote: np.void, exchange: PracticeExchange) -> None:
    """Compare the last quote of an instrument with the exchange's own."""
    shown = exchange.call("GET", f"/fapi/v1/ticker/bookTicker?symbol={row.symbol}")
    wanted = levels_of(
        row, [[shown[f"{side}Price"], shown[f"{side}Qty"]] for side in ("bid", "ask")]
    )
    assert [
        (int(quote["bid_price_ticks"]), int(quote["bid_qty_lots"])),
        (int(quote["ask_price_ticks"]), int(quote["ask_qty_lots"])),
    ] == wanted, row.symbol


def levels_of(row: Instrument, levels: list[list[str]]) -> Side:
    """Return levels of the API in ticks and lots."""
    return [(row.price_ticks(price), row.qty_lots(quantity)) for price, quantity in levels]
