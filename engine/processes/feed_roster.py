"""Which instruments a run has, while they come, go and change their bounds.

        the list says         published row -> the brain has taken it -> core -> streams, book
          one more            (an index is never given to another instrument)
          it is back          the streams again, then open
          another bound       FILTER records; a whole change goes out between two reads of a socket

Named instruments stay those that were named: of them only bounds and closing are followed, and
what is onboarded comes beside them. What the ring has no room for waits here, the newest number of
each bound, and is tried again every cycle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

import msgspec

from engine.config import Config
from engine.domain.codes import Channel
from engine.domain.instrument_row import (
    FILTER_OFFSETS,
    INSTRUMENT_BYTES,
    SEGMENT_CAPACITY_OFFSET,
    SEGMENT_COUNT_OFFSET,
    SEGMENT_ROWS_OFFSET,
    SEGMENT_TAKEN_OFFSET,
    STAKE_OFFSET,
    Instrument,
    InstrumentFlag,
    Stake,
    pack_row,
)
from engine.processes.feed_faults import FeedFault, FeedFaults
from engine.processes.feed_sources import FeedSources
from engine.processes.instrument_room import row_capacity
from engine.venues.binance.routing import Subscription, subscriptions_of
from native_ext import _native
from native_ext._feed import Core
from ringbuffer.segment import Segment

SETTLE_NS: Final = 5_000_000_000  # closed for so long before "nothing at stake" is believed


class Roster:
    """Changes the instruments of one core; `step` is called every cycle."""

    def __init__(
        self,
        core: Core,
        config: Config,
        segment: Segment,
        known: tuple[list[Instrument], list[str]],
        sources: FeedSources,
        faults: FeedFaults,
    ) -> None:
        """Follow `known`, which `segment` has and `sources` carry; appends to it.

        Args:
            core: learns instruments and publishes bounds.
            config: whether instruments were named, and which channels each has.
            segment: the instruments segment; its rows and their count are this process's.
            known: instruments and their symbols, by index; shared with whoever needs them.
            sources: carry the streams.
            faults: what the journal hears.
        """
        self._core = core
        self._config = config
        self._segment = segment
        self._instruments, self._symbols = known
        self._sources = sources
        self._faults = faults
        self._coming: deque[Instrument] = deque()  # published, not yet taken by the brain
        self._closed_ns: dict[int, int] = {}  # since when an instrument is closed
        self._gone: set[int] = set()  # whose streams were given up
        self._leaving: deque[tuple[int, Channel]] = deque()  # channels readers are to hear of
        self._filters: dict[tuple[int, str], int] = {}  # numbers that wait for room

    @property
    def is_fixed(self) -> bool:
        """Return whether the instruments are those that were named."""
        return bool(self._config.instruments)

    @property
    def is_settled(self) -> bool:
        """Return whether nothing is on its way: no row, no bound, no channel."""
        return not (self._coming or self._filters or self._leaving)

    @property
    def active(self) -> list[str]:
        """Return the symbols that are open or on their way, by index."""
        return [row.symbol for row in (*self.carried, *self._coming)]

    @property
    def carried(self) -> list[Instrument]:
        """Return the instruments whose streams are carried, by index."""
        return [row for row in self._instruments if row.instrument_index not in self._gone]

    @property
    def room(self) -> int:
        """Return how many instruments may still come: rows, and channels of the run."""
        first = SEGMENT_CAPACITY_OFFSET
        published = int.from_bytes(self._segment.buffer[first : first + 8], "little")
        known = len(self._instruments)
        rows = min(published, row_capacity(self._config, known)) - known - len(self._coming)
        return min(rows, self._config.instruments_max - len(self.active))

    def index_of(self, symbol: str) -> int:
        """Return the index a symbol has or had; -1: none."""
        found = (row.instrument_index for row in self._instruments if row.symbol == symbol)
        return next(found, -1)

    def close(self, index: int, now_ns: int, *, is_closed: bool) -> None:
        """Close an instrument to entries, or open it again; its streams come back with it."""
        if is_closed:
            self._closed_ns.setdefault(index, now_ns)
        else:
            self._closed_ns.pop(index, None)
            self._come_back(index, now_ns)
        flags = self._instruments[index].flags
        trading = int(InstrumentFlag.TRADING)
        self._set(index, "flags", flags & ~trading if is_closed else flags | trading)

    def change(self, index: int, bounds: Mapping[str, int]) -> None:
        """Take over new bounds of an instrument, by field of its row."""
        for name, number in bounds.items():
            self._set(index, name, number)
        self._instruments[index] = msgspec.structs.replace(self._instruments[index], **bounds)

    def add(self, listed: Instrument) -> bool:
        """Publish one more instrument under the next index; False: there is no room for it."""
        if self.room <= 0:
            return False
        index = len(self._instruments) + len(self._coming)
        keeps_book = self._book_count() < self._config.depth_instruments_max
        flags = listed.flags | (InstrumentFlag.BOOK if keeps_book else 0)
        instrument = msgspec.structs.replace(listed, instrument_index=index, flags=int(flags))
        pack_row(instrument, self._segment.buffer, index)
        # MEMORY: release; the row is complete before the count covers it. Pairs with the acquire
        # in every reader of the segment.
        _native.store_release(self._segment.address + SEGMENT_COUNT_OFFSET, index + 1)
        self._coming.append(instrument)
        return True

    def step(self, now_ns: int) -> None:
        """Do what has become possible."""
        if self._filters:
            self._emit_filters(now_ns)
        if self._coming:
            self._let_in(now_ns)
        if self._leaving:
            self._tell_leaving(now_ns)
        if len(self._closed_ns) > len(self._gone):
            self._let_go(now_ns)

    def _set(self, index: int, name: str, number: int) -> None:
        self._filters[index, name] = number

    def _emit_filters(self, now_ns: int) -> None:
        for (index, name), number in list(self._filters.items()):
            if not self._core.emit_filter(index, FILTER_OFFSETS[name], number, now_ns):
                break
            del self._filters[index, name]
        self._core.flush(now_ns)

    def _let_in(self, now_ns: int) -> None:
        # MEMORY: acquire; the brain has the row before the word covers it. Pairs with its release.
        taken = _native.load_acquire(self._segment.address + SEGMENT_TAKEN_OFFSET)
        rows: list[Subscription] = []
        while self._coming and self._coming[0].instrument_index < taken:
            instrument = self._coming.popleft()
            index = instrument.instrument_index
            first = SEGMENT_ROWS_OFFSET + index * INSTRUMENT_BYTES
            added = self._core.add(self._segment.buffer[first : first + INSTRUMENT_BYTES])
            assert added == index, f"row {index} became {added}"
            self._instruments.append(instrument)
            self._symbols.append(instrument.symbol)
            rows += self._subscribe(instrument, now_ns)
            self._faults.tell(FeedFault.INSTRUMENT_ADDED, f"{instrument.symbol} comes in", index)
        if rows:
            self._sources.carry(rows)

    def _subscribe(self, instrument: Instrument, now_ns: int) -> list[Subscription]:
        """Enable an instrument's channels; return what is to be carried for them."""
        keeps_book = bool(instrument.flags & InstrumentFlag.BOOK)
        index = instrument.instrument_index
        rows = subscriptions_of(instrument.symbol, index, self._config.channels, keeps_book)
        for row in rows:
            self._core.enable(index, row.channel, now_ns)
        return rows

    def _come_back(self, index: int, now_ns: int) -> None:
        if index not in self._gone:
            return
        self._gone.discard(index)
        self._leaving = deque(place for place in self._leaving if place[0] != index)
        self._sources.carry(self._subscribe(self._instruments[index], now_ns))

    def _let_go(self, now_ns: int) -> None:
        """Give up the streams of what is closed and left."""
        left = [
            index
            for index, since_ns in self._closed_ns.items()
            if index not in self._gone and now_ns - since_ns > SETTLE_NS and self._is_left(index)
        ]
        for index in left:
            self._gone.add(index)
            symbol = self._instruments[index].symbol
            self._faults.tell(FeedFault.INSTRUMENT_GONE, f"{symbol}: nothing at stake", index)
        if left:
            self._leaving += [place for place in self._sources.drop(left) if place[0] in left]

    def _is_left(self, index: int) -> bool:
        stake_at = SEGMENT_ROWS_OFFSET + index * INSTRUMENT_BYTES + STAKE_OFFSET
        return self._segment.buffer[stake_at] == Stake.NONE

    def _tell_leaving(self, now_ns: int) -> None:
        while self._leaving and self._core.disable(*self._leaving[0], now_ns):
            self._leaving.popleft()
        self._core.flush(now_ns)

    def _book_count(self) -> int:
        if "depth" not in self._config.channels:
            return self._config.depth_instruments_max
        rows = (*self.carried, *self._coming)
        return sum(bool(row.flags & InstrumentFlag.BOOK) for row in rows)
