"""Three hundred books lose everything at once and come back within the venue's weight budget."""

from __future__ import annotations

import asyncio

import msgspec

from engine.domain.instrument_row import Instrument
from engine.processes.feed_books import BURST_WEIGHT, FETCHES_MAX, WEIGHT_PER_S, BookSnapshots
from engine.venues.binance.market import snapshot_limit
from engine.venues.venue import ClockSample
from tests.feed_rig import BTC, FeedRig, Frames

BOOKS = 300
VENUE_WEIGHT_1M = 2_400
DEADLINE_S = 30


class Venue:
    """A depth endpoint that counts who asks at once."""

    name = "test"

    def __init__(self, ids: dict[str, int]) -> None:
        self.ids = ids
        self.asked: list[str] = []
        self.limits: set[int] = set()
        self.running = self.running_max = 0

    async def fetch_book_snapshot(self, symbol: str, limit: int) -> bytes:
        self.asked.append(symbol)
        self.limits.add(limit)
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        await asyncio.sleep(0.001)
        self.running -= 1
        levels = b'"bids":[["61800.00","1"]],"asks":[["61801.00","1"]]'
        return b'{"lastUpdateId":%d,%s}' % (self.ids[symbol], levels)

    async def fetch_instruments(self) -> list[Instrument]:
        return []

    async def fetch_clock(self) -> ClockSample:
        return ClockSample(0, 0, 0)

    async def close(self) -> None:
        return


def test_every_book_comes_back_with_one_request_a_few_at_a_time() -> None:
    rows = [
        msgspec.structs.replace(BTC, symbol=f"T{k}USDT", instrument_index=k) for k in range(BOOKS)
    ]
    rig = FeedRig(rows, capacity=32_768)
    streams = [Frames(row.symbol) for row in rows]
    for frames in streams:
        rig.decode(frames.depth(rig.venue_ms))
    venue = Venue({frames.symbol: frames.update_id for frames in streams})

    async def run() -> None:
        books = BookSnapshots(rig.core, venue, [row.symbol for row in rows], BOOKS, lambda *_: None)
        task = asyncio.create_task(books.run())
        async with asyncio.timeout(DEADLINE_S):
            while books.fetched_count < BOOKS:  # noqa: ASYNC110  the state is in C
                await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert sorted(venue.asked) == sorted(frames.symbol for frames in streams)
    assert venue.running_max <= FETCHES_MAX
    limit, weight = snapshot_limit(BOOKS)
    assert venue.limits == {limit}
    assert BOOKS * weight <= BURST_WEIGHT, "none of them waited for the budget"
    assert BURST_WEIGHT + 60 * WEIGHT_PER_S <= VENUE_WEIGHT_1M, "the worst minute there can be"
    assert all(rig.core.book(index)[0] == 3 for index in range(BOOKS))
    rig.close()
