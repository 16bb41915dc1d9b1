"""Open interest by request: whom it asks, how often, and what becomes of answers and silence."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path

import msgspec
import pytest
import uvloop

from engine.clock import VenueClock
from engine.config import SourcesConfig
from engine.domain.codes import RecordType
from engine.domain.instrument_row import FILTER_OFFSETS
from engine.processes.feed_interest import FIELD, TELL_AFTER, InterestPoll, lots_of
from engine.venues.binance.market import BinanceMarketData
from engine.venues.binance.rest import BinanceRest
from engine.venues.venue import ProtocolError, RateLimitError, VenueError, VenueUnreachableError
from exchange.marks import OPEN_LOTS
from tests.builders import make_instrument
from tests.exchange_process import PracticeExchange
from tests.feed_role import FeedRole
from tests.unit.feed.test_rest import Answer, Peer, ok


class Roster:
    """What the poll needs of a roster: carried rows, and numbers taken over."""

    def __init__(self, count: int) -> None:
        self.carried = [make_instrument(f"S{k}", instrument_index=k) for k in range(count)]
        self.changes: list[tuple[int, Mapping[str, int]]] = []

    def change(self, index: int, bounds: Mapping[str, int]) -> None:
        self.changes.append((index, bounds))
        place = next(k for k, row in enumerate(self.carried) if row.instrument_index == index)
        self.carried[place] = msgspec.structs.replace(self.carried[place], **bounds)


class Venue:
    """Answers with its number, or fails."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Decimal | VenueError = Decimal("12.5")

    async def fetch_open_interest(self, symbol: str) -> Decimal:
        self.asked.append(symbol)
        if isinstance(self.answer, VenueError):
            raise self.answer
        return self.answer


class Poll:
    """A poll, asked by hand."""

    def __init__(self, count: int) -> None:
        self.roster, self.venue = Roster(count), Venue()
        self.warnings: list[str] = []
        self.poll = InterestPoll(
            self.venue,
            self.roster,
            SourcesConfig(open_interest_s=60),
            lambda event, _reason, **_values: self.warnings.append(event),
        )

    def ask(self, times: int) -> list[str]:
        """Ask so often; return the symbols asked about."""
        first = len(self.venue.asked)
        for _ in range(times):
            asyncio.run(self.poll.ask_next())
        return self.venue.asked[first:]


def test_each_instrument_has_its_turn_and_a_new_one_comes_into_the_round() -> None:
    poll = Poll(3)
    assert poll.ask(4) == ["S0", "S1", "S2", "S0"]
    poll.roster.carried.append(make_instrument("S3", instrument_index=3))
    assert poll.ask(4) == ["S1", "S2", "S3", "S0"]


def test_an_instrument_whose_streams_were_given_up_is_not_asked_about() -> None:
    poll = Poll(3)
    del poll.roster.carried[1]
    assert poll.ask(3) == ["S0", "S2", "S0"]
    poll.roster.carried.clear()
    assert poll.ask(2) == []


def test_only_what_changed_is_written() -> None:
    poll = Poll(1)
    poll.ask(3)
    poll.venue.answer = Decimal("12.501")
    poll.ask(1)
    assert poll.roster.changes == [(0, {FIELD: 12_500}), (0, {FIELD: 12_501})]


def test_a_failure_asks_again_and_is_told_once() -> None:
    poll = Poll(2)
    poll.venue.answer = VenueUnreachableError("away")
    assert poll.ask(TELL_AFTER + 3) == ["S0"] * (TELL_AFTER + 3)
    assert poll.warnings == ["OPEN_INTEREST_UNREACHABLE"]
    assert poll.roster.changes == []
    poll.venue.answer = Decimal(1)
    assert poll.ask(2) == ["S0", "S1"]


@pytest.mark.parametrize(
    ("text", "lots"),
    [("12.5", 12_500), ("0", 0), ("-3", 0), ("1E30", 0), ("NaN", 0), ("0.0004", 0)],
)
def test_what_is_no_number_of_lots_is_as_if_it_had_not_been_told(text: str, lots: int) -> None:
    assert lots_of(make_instrument(), Decimal(text)) == lots


def waits(count: int, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return how long the poll sleeps before each of five questions."""
    poll = Poll(count)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > 5:
            raise asyncio.CancelledError

    monkeypatch.setattr("engine.processes.feed_interest.asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(poll.poll.run())
    return slept[:5]


@pytest.mark.parametrize(("count", "wait_s"), [(1, 60.0), (20, 3.0), (300, 1.0), (0, 60.0)])
def test_a_round_takes_the_period_and_never_more_than_one_request_a_second(
    count: int, wait_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert waits(count, monkeypatch) == [wait_s] * 5


# ---- over REST ----


def over_rest(answer: Answer, scene: Callable[[BinanceMarketData, Peer], Awaitable[None]]) -> None:
    async def run() -> None:
        peer = Peer(answer)
        server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        venue = BinanceMarketData(BinanceRest(url, VenueClock()))
        try:
            async with asyncio.timeout(30):
                await scene(venue, peer)
        finally:
            await venue.close()
            server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(run())


def test_half_of_the_minute_is_left_to_books() -> None:
    body = b'{"openInterest":"7.25","symbol":"BTCUSDT","time":1}'

    async def scene(venue: BinanceMarketData, peer: Peer) -> None:
        assert await venue.fetch_open_interest("BTCUSDT") == Decimal("7.25")
        with pytest.raises(RateLimitError, match="1200 of 2400"):
            await venue.fetch_open_interest("BTCUSDT")
        assert len(peer.heads) == 1, "nothing was sent"

    over_rest(lambda _: ok(body, "X-MBX-USED-WEIGHT-1M: 1200"), scene)


@pytest.mark.parametrize("body", [b"{}", b'{"serverTime":"\xff"}', b'{"serverTime":1.5}'])
def test_an_answer_that_is_no_time_is_a_protocol_error(body: bytes) -> None:
    async def scene(venue: BinanceMarketData, _peer: Peer) -> None:
        with pytest.raises(ProtocolError, match="time"):
            await venue.fetch_clock()

    over_rest(lambda _: ok(body), scene)


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b'{"openInterest":"much"}', b"\xff", b'{"openInterest":"\xff"}']
)
def test_an_answer_that_is_no_open_interest_is_a_protocol_error(body: bytes) -> None:
    async def scene(venue: BinanceMarketData, _peer: Peer) -> None:
        with pytest.raises(ProtocolError, match="open interest"):
            await venue.fetch_open_interest("BTCUSDT")

    over_rest(lambda _: ok(body), scene)


def test_a_feed_writes_what_the_practice_exchange_says(tmp_path: Path) -> None:
    exchange = PracticeExchange("--generate", "2", "--seed", "5")
    feed = FeedRole(
        "feed-interest-test", tmp_path, exchange.port, sources=SourcesConfig(open_interest_s=1)
    )

    def told(index: int) -> list[int]:
        records = feed.drain()
        mine = records[records["instrument_index"] == index]
        rows = mine[mine["record_type"] == RecordType.FILTER]
        return rows["filter_number"][rows["aux"] == FILTER_OFFSETS[FIELD]].tolist()

    try:
        for index in (0, 1):
            feed.wait(f"open interest of {index}", partial(told, index))
            assert abs(told(index)[0] / OPEN_LOTS - 1) <= 0.021
    finally:
        feed.close()
        exchange.stop()
