"""What the venue lists changes while we trade: what winds down, what goes on, what is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import pytest

from engine.clock import VenueClock
from engine.config import Config
from engine.domain.codes import Channel, EventType, Liveness, RecordType, Role
from engine.domain.instrument_row import Instrument
from engine.domain.limits import CHANNELS_NEEDED
from engine.processes.control import RoleState
from engine.processes.feed_faults import FeedFault, FeedFaults
from engine.processes.feed_holds import HELD_CHANNEL
from engine.processes.feed_instruments import InstrumentChoice
from engine.processes.feed_listing import SPACING_S, TELL_AFTER, ListingWatch
from engine.processes.feed_roster import Roster
from engine.venues.binance.attempts import ConnectionAttempts
from engine.venues.binance.contract_stream import ContractStream
from engine.venues.binance.exchange_info import ExchangeInfo, instrument_of
from engine.venues.binance.market import BinanceMarketData
from engine.venues.venue import VenueError, VenueUnreachableError
from native_ext._feed import Core
from tests.exchange_process import PracticeExchange
from tests.feed_role import FeedRole
from tests.unit.feed.test_listing_rules import (
    DAY_MS,
    HOUR_MS,
    LISTED,
    NOTIONAL,
    NOW_MS,
    NOW_NS,
    listed,
    with_filter,
)


def test_what_is_held_is_needed_by_every_entry() -> None:
    assert CHANNELS_NEEDED >> HELD_CHANNEL & 1


class Holds:
    """A core that keeps what it was told."""

    def __init__(self) -> None:
        self.held: dict[tuple[int, int], int] = {}
        self.calls = 0

    def hold(self, index: int, channel: int, now_ns: int, is_held: int) -> None:
        assert now_ns > 0
        self.held[index, channel] = is_held
        self.calls += 1

    def flush(self, _now_ns: int) -> int:
        return 0


class Lists(BinanceMarketData):
    """Answers one list after another, then the last one again; None: it cannot be had."""

    def __init__(self, *answers: ExchangeInfo | None) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def fetch_list(self) -> ExchangeInfo:
        self.asked += 1
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if found is None:
            raise VenueUnreachableError("nobody there")
        return found

    async def fetch_day_volumes(self, info: ExchangeInfo) -> dict[str, Any]:
        return {row.symbol: 1 for row in info.symbols}


class Rows(Roster):
    """Keeps what it was told; symbols of `taken` are traded already."""

    def __init__(self, *taken: str, room: int = 9) -> None:
        self.taken = list(taken)
        self.places = room
        self.closed: list[tuple[int, bool]] = []
        self.bounds: dict[int, dict[str, int]] = {}
        self.added: list[str] = []
        self.gone: set[str] = set()
        self.is_named = False

    @property
    def is_fixed(self) -> bool:
        return self.is_named

    @property
    def active(self) -> list[str]:
        return [name for name in self.taken if name not in self.gone]

    @property
    def room(self) -> int:
        return self.places

    def index_of(self, symbol: str) -> int:
        return self.taken.index(symbol) if symbol in self.taken else -1

    def close(self, index: int, now_ns: int, *, is_closed: bool) -> None:
        assert now_ns > 0
        self.closed.append((index, is_closed))

    def change(self, index: int, bounds: Mapping[str, int]) -> None:
        self.bounds[index] = dict(bounds)

    def add(self, listed: Instrument) -> bool:
        self.added.append(listed.symbol)
        self.taken.append(listed.symbol)
        return True


class Told(FeedFaults):
    """Keeps what was told instead of publishing it."""

    def __init__(self) -> None:
        self.faults: list[tuple[FeedFault, str, int]] = []

    def tell(self, fault: FeedFault, text: str, instrument_index: int = -1) -> None:
        self.faults.append((fault, text, instrument_index))


def contracts(on_change: Callable[[], None]) -> ContractStream:
    """Return a stream of contract messages that is not opened."""
    return ContractStream("ws://127.0.0.1:1", ["BTCUSDT"], ConnectionAttempts(), on_change)


class Watched:
    """A watch over two instruments, and everything it touches."""

    def __init__(self, *answers: ExchangeInfo | None, period_s: float = 3_600) -> None:
        both = listed(LISTED, LISTED | {"symbol": "ETHUSDT"})
        self.core, self.told, self.venue = Holds(), Told(), Lists(*answers)
        clock = VenueClock()
        now_ns = time.monotonic_ns()
        clock.learn(now_ns, now_ns, NOW_NS)
        self.choice = InstrumentChoice(Config(instruments_top=2), self.venue, clock, self.told)
        self.choice.info = both
        self.roster = Rows("BTCUSDT", "ETHUSDT")
        self.watch = ListingWatch(
            cast("Core", self.core),
            self.venue,
            clock,
            self.choice,
            self.told,
            instruments=[
                msgspec.structs.replace(instrument_of(row), instrument_index=index)
                for index, row in enumerate(both.symbols)
            ],
            roster=self.roster,
            period_s=period_s,
        )
        self.both = both

    async def until(self, done: Callable[[], bool]) -> None:
        task = asyncio.create_task(self.watch.run())
        for _ in range(20_000):
            if done():
                break
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert done()


def test_an_instrument_winds_down_once_and_comes_back() -> None:
    settling = listed(LISTED | {"status": "SETTLING"}, LISTED | {"symbol": "ETHUSDT"})
    both = listed(LISTED, LISTED | {"symbol": "ETHUSDT"})
    rig = Watched(settling, settling, settling, both)

    async def scene() -> None:
        await rig.watch.begin()
        assert (rig.core.calls, rig.told.faults) == (0, [])
        for _ in range(3):
            await rig.watch.refresh()
        assert rig.core.held == {(0, Channel.QUOTE): 1}
        assert rig.watch.held == {0: "status SETTLING"}
        await rig.watch.refresh()

    asyncio.run(scene())
    assert rig.core.held == {(0, Channel.QUOTE): 0}
    assert rig.core.calls == 2, "told the core of changes alone"
    assert rig.roster.closed == [(0, True), (0, False)]
    assert [(fault, index) for fault, _, index in rig.told.faults] == [
        (FeedFault.WIND_DOWN, 0),
        (FeedFault.WIND_DOWN_OVER, 0),
    ]
    assert "BTCUSDT: status SETTLING" in rig.told.faults[0][1]


def test_an_end_comes_near_while_the_list_stays_the_same() -> None:
    ending = listed(
        LISTED | {"deliveryDate": NOW_MS + DAY_MS + HOUR_MS}, LISTED | {"symbol": "ETHUSDT"}
    )
    rig = Watched(ending)

    async def scene() -> None:
        await rig.watch.refresh()
        assert rig.watch.held == {}
        rig.watch._clock.restart()
        now_ns = time.monotonic_ns()
        rig.watch._clock.learn(now_ns, now_ns, NOW_NS + 2 * HOUR_MS * 1_000_000)
        await rig.watch.refresh()

    asyncio.run(scene())
    assert list(rig.watch.held) == [0]


def test_a_list_that_cannot_be_had_changes_nothing_and_is_told_once() -> None:
    rig = Watched(None, period_s=0.001)
    asyncio.run(rig.until(lambda: rig.watch.failure_count >= TELL_AFTER + 2))
    assert rig.core.calls == 0
    assert [fault for fault, _, _ in rig.told.faults] == [FeedFault.LISTING_UNREACHABLE]


def test_a_feed_that_continues_another_ones_asks_before_it_goes_on() -> None:
    rig = Watched(listed(LISTED))
    rig.choice.info = None
    asyncio.run(rig.watch.begin())
    assert rig.watch.held == {1: "no longer listed"}
    rig = Watched(None)
    rig.choice.info = None
    with pytest.raises(VenueError):
        asyncio.run(rig.watch.begin())


def test_a_ranking_that_is_back_is_told_once() -> None:
    rig = Watched(listed(LISTED, LISTED | {"symbol": "ETHUSDT"}), period_s=0.001)
    rig.choice.fallback_count = 2

    async def scene() -> None:
        await rig.watch.begin()
        assert rig.told.faults == []
        await rig.until(lambda: rig.venue.asked >= 3 and bool(rig.told.faults))

    asyncio.run(scene())
    assert [fault for fault, _, _ in rig.told.faults] == [FeedFault.DISCOVERY_BACK]


def all_of(*symbols: str) -> ExchangeInfo:
    return listed(*(LISTED | {"symbol": symbol} for symbol in symbols))


def test_who_comes_to_stand_comes_in_and_who_fell_behind_drops_out_and_may_return() -> None:
    names = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
    rig = Watched(all_of(*names), period_s=0.0)
    volumes = dict(zip(names, (1, 9, 8, 7), strict=True))

    async def day_volumes(info: ExchangeInfo) -> dict[str, Any]:
        assert info.symbols
        return volumes

    rig.venue.fetch_day_volumes = day_volumes  # type: ignore[method-assign]

    async def scene() -> None:
        await rig.watch.refresh()
        assert rig.roster.added == ["SOLUSDT"], "the two most traded stand"
        assert rig.roster.closed == [(0, True)], "fourth: behind what may stay"
        assert "no longer among" in rig.watch.held[0]
        volumes["BTCUSDT"] = 8.5  # type: ignore[assignment]
        await rig.watch.refresh()

    asyncio.run(scene())
    assert rig.roster.closed == [(0, True), (0, False)]
    assert rig.roster.added == ["SOLUSDT"], "third: not among the two, and not driven out"


def test_a_place_that_is_taken_is_not_given_back_to_one_that_went() -> None:
    rig = Watched(all_of("BTCUSDT", "ETHUSDT"), period_s=0.0)
    rig.watch._dropped[0] = "went"
    rig.roster.gone.add("BTCUSDT")
    rig.roster.places = 0
    asyncio.run(rig.watch.refresh())
    assert rig.roster.closed == [(0, True)]
    rig.roster.places = 1
    asyncio.run(rig.watch.refresh())
    assert rig.roster.closed == [(0, True), (0, False)]


def named(*symbols: str) -> Watched:
    """Return a watch over two named instruments, where the venue lists `symbols`."""
    rig = Watched(all_of(*symbols), period_s=0.0)
    config = Config(instruments=("BTCUSDT", "ETHUSDT"))
    rig.choice = rig.watch._choice = InstrumentChoice(config, rig.venue, rig.watch._clock, rig.told)
    rig.roster.is_named = True
    return rig


def test_named_instruments_stay_whoever_else_is_traded() -> None:
    rig = named("BTCUSDT", "ETHUSDT", "SOLUSDT")
    asyncio.run(rig.watch.refresh())
    assert rig.roster.added == []


@pytest.mark.parametrize("is_named", [True, False])
def test_what_is_onboarded_comes_at_the_next_look_not_when_the_ranking_is_due(
    *, is_named: bool
) -> None:
    symbols = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    rig = named(*symbols) if is_named else Watched(all_of(*symbols))
    rig.choice.onboarded = ("SOLUSDT", "XRPUSDT")
    for _ in range(2):
        asyncio.run(rig.watch.refresh())
    assert rig.roster.added == ["SOLUSDT"]
    absent = [(fault, text) for fault, text, _ in rig.told.faults]
    assert absent == [(FeedFault.ONBOARDED_ABSENT, "XRPUSDT: not listed")], "once"


def test_among_named_ones_what_is_offboarded_goes_and_may_return_under_its_index() -> None:
    rig = named("BTCUSDT", "ETHUSDT", "SOLUSDT")
    rig.choice.onboarded = ("SOLUSDT",)
    asyncio.run(rig.watch.refresh())
    cast("Any", rig.watch._instruments).append(
        msgspec.structs.replace(
            instrument_of(rig.both.symbols[0]), symbol="SOLUSDT", instrument_index=2
        )
    )
    rig.choice.onboarded = ()
    asyncio.run(rig.watch.refresh())
    assert rig.watch.held == {2: "no longer onboarded"}
    rig.roster.gone.add("SOLUSDT")
    rig.choice.onboarded = ("SOLUSDT",)
    asyncio.run(rig.watch.refresh())
    assert rig.roster.closed == [(2, True), (2, False)]
    assert rig.roster.added == ["SOLUSDT"]


def test_new_bounds_reach_the_roster_and_are_told() -> None:
    cheaper = with_filter(NOTIONAL, notional="5")
    rig = Watched(listed(cheaper, LISTED | {"symbol": "ETHUSDT"}))
    asyncio.run(rig.watch.refresh())
    assert rig.roster.bounds == {0: {"min_notional_e8": 5 * 10**8}}
    assert [fault for fault, _, _ in rig.told.faults] == [FeedFault.FILTERS_CHANGED]


def test_a_word_of_the_venue_brings_the_look_forward_but_not_a_storm_of_looks() -> None:
    rig = Watched(listed(LISTED, LISTED | {"symbol": "ETHUSDT"}))

    async def scene() -> float:
        stream = contracts(rig.watch.hurry)
        task = asyncio.create_task(rig.watch.run())
        started_s = asyncio.get_running_loop().time()
        for message in (
            b'{"e":"contractInfo","s":"OTHERUSDT"}',
            b'{"e":"serverShutdown"}',
            b'{"e":"somethingElse","s":"BTCUSDT"}',
        ):
            stream.heard(message)
        await asyncio.sleep(0.05)
        assert rig.venue.asked == 0, "not about us"
        while rig.venue.asked < 2 and asyncio.get_running_loop().time() < started_s + 30:
            stream.heard(b'{"e":"contractInfo","s":"BTCUSDT","cs":"SETTLING"}')
            await asyncio.sleep(0.002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return asyncio.get_running_loop().time() - started_s

    lasted_s = asyncio.run(scene())
    assert rig.venue.asked == 2
    assert lasted_s >= SPACING_S, "hundreds of words, and one look in that time"


@pytest.mark.parametrize("message", [b"", b"{", b"\xff", b"[]", b'{"e":"contractInfo"}'])
def test_a_word_that_cannot_be_read_is_as_good_as_a_change(message: bytes) -> None:
    said: list[int] = []
    contracts(lambda: said.append(1)).heard(message)
    assert said == [1]


# With sockets: the practice exchange changes its list while a feed reads it.


def last_liveness(feed: FeedRole, index: int) -> int:
    records = feed.drain()
    mine = records[
        (records["record_type"] == RecordType.LIVENESS)
        & (records["instrument_index"] == index)
        & (records["aux"] == Channel.QUOTE)
    ]
    return int(mine["liveness"][-1]) if len(mine) else -1


def quotes(feed: FeedRole, index: int) -> int:
    records = feed.drain()
    return int(
        (
            (records["record_type"] == RecordType.QUOTE) & (records["instrument_index"] == index)
        ).sum()
    )


def test_a_feed_winds_down_what_the_exchange_delists_and_lets_it_go_again(tmp_path: Path) -> None:
    exchange = PracticeExchange("--generate", "2", "--seed", "5")
    feed = FeedRole(
        "feed-listing-test",
        tmp_path,
        exchange.port,
        instruments=("BTCUSDT", "ETHUSDT"),
        listing_refresh_s=1,
    )
    seen: list[np.void] = []

    def heard(fault: FeedFault) -> bool:
        seen.extend(feed.events())
        return any(e["event_type"] == EventType.ROLE_FAULT and e["reason"] == fault for e in seen)

    try:
        feed.wait("live quotes", lambda: last_liveness(feed, 0) == Liveness.LIVE)
        exchange.fault("symbol_status", symbol="BTCUSDT", streams=True)
        feed.wait("the wind-down", lambda: last_liveness(feed, 0) == Liveness.INVALID)
        feed.wait("its event", lambda: heard(FeedFault.WIND_DOWN))
        feed.wait("its count", lambda: feed.counter("instruments_winding_down") == 1)
        before = quotes(feed, 0)
        feed.wait("its quotes go on", lambda: quotes(feed, 0) > before + 3)
        assert last_liveness(feed, 0) == Liveness.INVALID
        assert last_liveness(feed, 1) == Liveness.LIVE
        exchange.fault("clear")
        feed.wait("live quotes again", lambda: last_liveness(feed, 0) == Liveness.LIVE)
        exchange.fault("filter_change", symbol="ETHUSDT", tick_size="5")
        feed.wait("the other one", lambda: last_liveness(feed, 1) == Liveness.INVALID)
        feed.wait("that it is over", lambda: heard(FeedFault.WIND_DOWN_OVER))
        down = [e for e in seen if e["reason"] == FeedFault.WIND_DOWN]
        feed.wait("both events", lambda: heard(FeedFault.WIND_DOWN) and len(down) >= 1)
        assert down[0]["role"] == Role.FEED
        assert down[0]["instrument_index"] == 0
        assert down[0]["text"].startswith(b"BTCUSDT: status SETTLING")
        feed.process.kill()
        feed.process.wait()
        feed.start()
        feed.wait("held in its next life too", lambda: last_liveness(feed, 1) == Liveness.INVALID)
        assert feed.stop() == 0
    finally:
        feed.close()
        exchange.stop()


def test_a_feed_hears_of_a_delisting_long_before_its_next_look(tmp_path: Path) -> None:
    exchange = PracticeExchange("--generate", "2", "--seed", "5")
    feed = FeedRole("feed-contract-test", tmp_path, exchange.port, listing_refresh_s=86_400)
    try:
        feed.wait("live quotes", lambda: last_liveness(feed, 0) == Liveness.LIVE)
        feed.wait("the role", lambda: feed.state is RoleState.READY)

        def delisted() -> bool:  # the listener may still be connecting when it is first said
            exchange.fault("symbol_status", symbol="BTCUSDT", streams=True, duration_ms=50)
            exchange.fault("filter_change", symbol="BTCUSDT", min_notional="1000")
            return last_liveness(feed, 0) == Liveness.INVALID

        feed.wait("the wind-down", delisted)
        assert last_liveness(feed, 1) == Liveness.LIVE
    finally:
        feed.close()
        exchange.stop()
