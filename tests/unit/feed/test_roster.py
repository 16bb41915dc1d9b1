"""Instruments come, go and change while a feed runs, without a restart and without a break.

The test plays the brain: it takes rows over and says what is at stake.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.domain.codes import EventType, Liveness, RecordType
from engine.domain.instrument import read_instruments
from engine.domain.instrument_row import (
    FILTER_OFFSETS,
    INSTRUMENT_BYTES,
    SEGMENT_ROWS_OFFSET,
    SEGMENT_TAKEN_OFFSET,
    STAKE_OFFSET,
    InstrumentFlag,
    Stake,
)
from engine.processes.feed_faults import FeedFault
from native_ext import _native
from tests.exchange_process import PracticeExchange
from tests.feed_role import FeedRole

TRADING = int(InstrumentFlag.TRADING)


class Market:
    """An exchange of three symbols of which the feed is first offered two."""

    def __init__(self, home: Path) -> None:
        self.exchange = PracticeExchange("--generate", "3", "--seed", "5")
        url = f"http://127.0.0.1:{self.exchange.port}/fapi/v1/exchangeInfo"
        with urllib.request.urlopen(url, timeout=10) as answer:
            self.symbols = [row["symbol"] for row in json.load(answer)["symbols"]]
        self.exchange.fault("symbol_status", symbol=self.symbols[2], status="PENDING_TRADING")
        self.feed = FeedRole("feed-roster-test", home, self.exchange.port, listing_refresh_s=1)
        self.told: list[tuple[FeedFault, int, str]] = []

    def of(self, index: int, kind: RecordType) -> np.ndarray:
        records = self.feed.drain()
        return records[(records["instrument_index"] == index) & (records["record_type"] == kind)]

    def liveness(self, index: int) -> dict[int, int]:
        """Return the last liveness of each channel."""
        rows = self.of(index, RecordType.LIVENESS)
        return {int(row["aux"]): int(row["liveness"]) for row in rows}

    def filters(self, index: int, field: str) -> list[int]:
        rows = self.of(index, RecordType.FILTER)
        return rows["filter_number"][rows["aux"] == FILTER_OFFSETS[field]].tolist()

    def heard(self, fault: FeedFault, index: int) -> bool:
        for event in self.feed.events():
            if event["event_type"] == EventType.ROLE_FAULT:
                place = (FeedFault(int(event["reason"])), int(event["instrument_index"]))
                self.told.append((*place, event["text"].decode()))
        return any(row[:2] == (fault, index) for row in self.told)

    def published(self) -> list[str]:
        rows = read_instruments(self.feed.segments.instruments.buffer)
        return [name.decode() for name in rows["symbol"].tolist()]

    def take(self, count: int) -> None:
        """As the brain does when its threads know the rows."""
        segment = self.feed.segments.instruments
        _native.store_release(segment.address + SEGMENT_TAKEN_OFFSET, count)

    def stake(self, index: int, stake: Stake) -> None:
        place = SEGMENT_ROWS_OFFSET + index * INSTRUMENT_BYTES + STAKE_OFFSET
        self.feed.segments.instruments.buffer[place] = stake

    def is_live(self, index: int) -> bool:
        states = self.liveness(index)
        return bool(states) and {states.get(channel) for channel in (0, 1, 2)} == {Liveness.LIVE}

    def close(self) -> None:
        self.feed.close()
        self.exchange.stop()


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    made = Market(tmp_path)
    made.feed.wait("two live", lambda: made.is_live(0) and made.is_live(1))
    yield made
    made.close()


def gaps(market: Market, index: int) -> int:
    return len(market.of(index, RecordType.GAP))


def test_a_pair_that_is_listed_comes_in_without_a_break_of_the_others(market: Market) -> None:
    wait = market.feed.wait
    assert market.published() == market.symbols[:2]
    market.exchange.fault("clear")
    wait("a third row", lambda: market.published() == market.symbols)
    before = [len(market.of(index, RecordType.QUOTE)) for index in (0, 1)]
    wait("quotes go on", lambda: len(market.of(0, RecordType.QUOTE)) > before[0] + 50)
    assert len(market.of(2, RecordType.QUOTE)) == 0, "not before the brain has its row"
    market.take(3)
    wait("the third live, its book too", lambda: market.is_live(2))
    wait("its event", lambda: market.heard(FeedFault.INSTRUMENT_ADDED, 2))
    for index in (0, 1):
        assert gaps(market, index) == 0, "replaced, not broken"
        trades = market.of(index, RecordType.TRADE)
        assert (np.diff(trades["trade_id"]) == 1).all(), "no trade was missed or doubled"
        assert Liveness.CONNECTING not in market.of(index, RecordType.LIVENESS)["liveness"][6:]
    assert (np.diff(market.feed.seen["sequence"]) == 1).all()


def test_what_is_delisted_closes_is_left_goes_and_comes_back_under_its_index(
    market: Market,
) -> None:
    wait = market.feed.wait
    market.exchange.fault("clear")
    market.exchange.fault(
        "symbol_status", symbol=market.symbols[0], status="SETTLING", streams=True
    )
    market.stake(0, Stake.HELD)
    wait("closed to entries", lambda: market.filters(0, "flags") != [])
    assert market.filters(0, "flags")[-1] & TRADING == 0
    assert market.liveness(0)[0] == Liveness.INVALID
    before = len(market.of(0, RecordType.QUOTE))
    wait("quotes for the exits", lambda: len(market.of(0, RecordType.QUOTE)) > before + 50)
    assert not market.heard(FeedFault.INSTRUMENT_GONE, 0), "something is at stake"
    market.stake(0, Stake.NONE)
    wait("given up", lambda: market.heard(FeedFault.INSTRUMENT_GONE, 0))
    wait("no channel", lambda: market.liveness(0).get(1) == Liveness.UNSUPPORTED)
    wait("the other goes on", lambda: market.is_live(1))
    market.exchange.fault("clear")
    wait("open again", lambda: market.filters(0, "flags")[-1] & TRADING)
    wait("live again", lambda: market.is_live(0))
    assert market.published()[0] == market.symbols[0], "an index is never another instrument's"


def test_bounds_that_change_hold_at_once_and_nothing_winds_down(market: Market) -> None:
    wait = market.feed.wait
    old = int(read_instruments(market.feed.segments.instruments.buffer)["min_notional_e8"][1])
    market.exchange.fault("filter_change", symbol=market.symbols[1], min_notional="1000")
    wait("the bound", lambda: market.filters(1, "min_notional_e8") == [1000 * 100_000_000])
    wait("its event", lambda: market.heard(FeedFault.FILTERS_CHANGED, 1))
    assert market.is_live(1)
    market.exchange.fault("clear")
    wait("the old one", lambda: market.filters(1, "min_notional_e8") == [1000 * 100_000_000, old])
    assert market.filters(1, "flags") == []


def test_another_tick_winds_down_with_its_reason(market: Market) -> None:
    market.exchange.fault("filter_change", symbol=market.symbols[1], tick_size="0.5")
    market.feed.wait("closed", lambda: market.filters(1, "flags") != [])
    market.feed.wait("its event", lambda: market.heard(FeedFault.WIND_DOWN, 1))
    (text,) = (row[2] for row in market.told if row[0] is FeedFault.WIND_DOWN and row[1] == 1)
    assert "tickSize" in text
    assert market.filters(1, "min_notional_e8") == [], "bounds of another grid are no numbers here"
