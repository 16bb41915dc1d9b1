"""Recorded tapes: the market as an engine saw it, in records of 64 bytes, played as frames again.

The format is described in docs/tapes.md; this reader is its own, so that what an engine wrote is
read by somebody who shares no code with it. Several tapes are one market, merged by receive time.
What is played: quotes, trades, the best levels of the books, marks and liquidations. Bars and mini
tickers are derived from those as for every market here; so are marks where a tape has none.

A record keeps the low 32 bits of a quote's update id; the rest comes from the book's ids beside it.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from exchange.book import BUY, SELL, Level
from exchange.clock import NS_PER_MS
from exchange.errors import TapeError
from exchange.events import (
    DIFF,
    LIQUIDATION,
    MARK,
    QUOTE,
    SNAPSHOT,
    TRADE,
    Event,
    EventSource,
    Liquidation,
    Mark,
)
from exchange.instruments import Instrument, NumberText
from exchange.listing import Yesterday
from exchange.marks import liquidation_body, mark_body
from exchange.recorded_file import (
    RECORD_LEVEL,
    RECORD_LIQUIDATION,
    RECORD_MARK,
    RECORD_QUOTE,
    RECORD_TRADE,
    RecordedFile,
    Row,
    is_recorded,
)
from exchange.symbols import MONEY_SCALE, SymbolSpec, known_spec, spec_for
from exchange.tape import LOOP_PAUSE_NS, Tape, find_tapes

BATCH_RECORDS = 256
INSPECT_RECORDS = 20_000  # read at start to learn where update ids stand
BUYER_AGGRESSOR = 1
LIQUIDATION_BUY = 1
LEVEL_BID, LEVEL_LAST, LEVEL_FIRST = 1, 2, 4
ID_SPAN = 1 << 32
ID_MAX = 1 << 62


class Steps(NamedTuple):
    """What a tape's ticks and lots are in a symbol's own units."""

    market_index: int
    tick: int
    lot: int


def open_source(paths: list[str]) -> EventSource:
    """Return the source that plays these files: recorded tapes, or raw captures.

    Raises:
        TapeError: when a file cannot be used, or the two kinds are mixed.
    """
    found = find_tapes(paths)
    recorded = [path for path in found if is_recorded(path)]
    if not recorded:
        return Tape(paths)
    if len(recorded) != len(found):
        raise TapeError("recorded tapes and raw captures cannot be played together")
    return RecordedMarket(recorded)


class Played:
    """Where one symbol stands in a pass: ids told, and the levels told."""

    def __init__(self) -> None:
        """Start before the first record."""
        self.update_id = 0  # of the last diff
        self.quote_id = 0
        self.trade_id = 0
        self.is_known = False
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})  # asks, bids
        self.changes: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.is_fresh = False

    def take_level(self, flags: int, price: int, qty: int) -> None:
        """Note a level; the first of a fresh book puts every level told before out."""
        if flags & LEVEL_FIRST:
            self.is_fresh = True
            for changes, told in zip(self.changes, self.sides, strict=True):
                changes.clear()
                changes.update(dict.fromkeys(told, 0))
        self.changes[flags & LEVEL_BID][price] = qty

    def end_diff(self) -> tuple[list[Level], list[Level]]:
        """Tell what was noted: changed bids and asks."""
        for told, changes in zip(self.sides, self.changes, strict=True):
            told.update(changes)
            for price in [price for price, qty in changes.items() if not qty]:
                del told[price]
        asks, bids = (sorted(changes.items()) for changes in self.changes)
        for changes in self.changes:
            changes.clear()
        self.is_fresh = False
        return bids, asks


class RecordedMarket:
    """Recorded tapes as an event source."""

    def __init__(self, paths: list[Path]) -> None:
        """Read what the tapes hold.

        Raises:
            TapeError: when one cannot be played.
        """
        self.files = [RecordedFile(path) for path in sorted(paths)]
        self.specs: list[SymbolSpec] = []
        self.yesterdays: list[Yesterday] = []  # a tape knows nothing of the day before
        self._steps: list[list[Steps | None]] = []
        for file in self.files:
            self._steps.append([self._place(file, n) for n in range(len(file.rows))])
        self._texts = [_texts_of(spec) for spec in self.specs]
        seen = list(itertools.islice(self._merged(), INSPECT_RECORDS))
        if not seen:
            raise TapeError(f"{self.files[0].path}: no quote, trade or book of a USD-M instrument")
        self._first_wall_ns = seen[0][0]
        self._first_ids = {row[1]: row[11] for row in reversed(seen) if row[6] == RECORD_LEVEL}
        self.marked = frozenset(row[1] for row in seen if row[6] == RECORD_MARK)
        # The quickest record stands for no latency: no other is stamped later than it is due.
        leads_ns = ((row[4] or row[0]) - row[0] for row in seen)
        self._first_venue_ms = (self._first_wall_ns + max(leads_ns)) // NS_PER_MS
        self._rows: Iterator[Row] = iter(())
        self._played = [Played() for _ in self.specs]
        self._base_ns = 0
        self._due_ns = 0
        self._shift_ms = 0
        self._id_shift = 0
        self._trade_shift = 0
        self._high_ids = [0, 0]  # update ids, trade ids, as a pass without a shift tells them
        self._low_ids = [ID_MAX, ID_MAX]
        self._last_wall_ns = self._first_wall_ns

    def _place(self, file: RecordedFile, number: int) -> Steps | None:
        symbol = file.symbols[number]
        if not symbol.endswith(("USDT", "USDC")):
            return None
        price_exponent, qty_exponent, tick_scaled, lot_scaled = file.rows[number][:4]
        spec = known_spec(symbol)
        if spec is None or not _same_grid(spec, *file.rows[number][:4]):
            try:
                spec = spec_for(
                    symbol,
                    price_decimals=price_exponent,
                    qty_decimals=qty_exponent,
                    tick=tick_scaled,
                    step=lot_scaled,
                    min_notional=max(5, file.rows[number][-1] // MONEY_SCALE),
                )
            except ValueError as fault:
                raise TapeError(f"{file.path}: {fault}") from fault
        names = [known.symbol for known in self.specs]
        if symbol not in names:
            self.specs.append(spec)
            names.append(symbol)
        elif self.specs[names.index(symbol)] != spec:
            raise TapeError(f"{file.path}: {symbol} has other steps than in another tape")
        return Steps(names.index(symbol), spec.tick, spec.step)

    def _merged(self) -> Iterator[Row]:
        return heapq.merge(
            *(
                file.records([-1 if step is None else step.market_index for step in steps])
                for file, steps in zip(self.files, self._steps, strict=True)
            ),
            key=_wall_ns,
        )

    def prepare(self) -> None:
        """Load nothing: a tape is read while it plays."""

    def begin(self, start_ns: int) -> None:
        """Go to the first event, which is due and stamped at `start_ns`."""
        self._base_ns = self._due_ns = start_ns
        self._shift_ms = start_ns // NS_PER_MS - self._first_venue_ms
        self._rows = self._merged()
        self._played = [Played() for _ in self.specs]

    def begin_again(self, not_before_ns: int) -> int:
        """Start the next pass: times move by the span or more, ids past all that were told."""
        span_ns = self._last_wall_ns - self._first_wall_ns + LOOP_PAUSE_NS
        span_ns -= span_ns % NS_PER_MS
        updates, trades = (
            max(0, high - low) + 1 for high, low in zip(self._high_ids, self._low_ids, strict=True)
        )
        self._id_shift += updates
        self._trade_shift += trades
        start_ns = max(self._base_ns + span_ns, not_before_ns)
        self.begin(start_ns - start_ns % NS_PER_MS)
        return self._base_ns

    def next_batch(self) -> list[Event]:
        """Return the next events, or an empty list at the end.

        Raises:
            TapeError: a block in the middle of a tape is damaged.
        """
        batch: list[Event] = []
        while not batch:
            rows = list(itertools.islice(self._rows, BATCH_RECORDS))
            if not rows:
                return batch
            for row in rows:
                event = self._event(row)
                if event is not None:
                    batch.append(event)
        return batch

    def body_of(self, event: Event) -> bytes:
        """Return the payload of an event."""
        if event[2] == MARK:
            return mark_body(self.specs[event[1]], event)
        if event[2] == LIQUIDATION:
            return liquidation_body(self.specs[event[1]], event)
        return self._texts[event[1]].body(event)

    def _event(self, row: Row) -> Event | None:
        wall_ns, index, _, _, venue_ns, _, kind, flags, aux, first, second, third, fourth = row
        spec, played = self.specs[index], self._played[index]
        # Receive times of two tapes may cross by a little; the player wants them in order.
        due_ns = max(self._due_ns, self._base_ns + wall_ns - self._first_wall_ns)
        self._due_ns = due_ns
        self._last_wall_ns = max(self._last_wall_ns, wall_ns)
        stamp_ms = (venue_ns or wall_ns) // NS_PER_MS + self._shift_ms
        if kind == RECORD_QUOTE:
            update_id = self._next_quote_id(index, aux)
            numbers = (first * spec.tick, third * spec.step, second * spec.tick, fourth * spec.step)
            return (due_ns, index, QUOTE, (update_id, *numbers, stamp_ms, stamp_ms), None)
        price, qty = first * spec.tick, second * spec.step
        if kind == RECORD_TRADE:
            maker = not flags & BUYER_AGGRESSOR
            told = (price, qty, maker, self._next_trade_id(index, third), stamp_ms, stamp_ms)
            return (due_ns, index, TRADE, told, None)
        if kind == RECORD_MARK:
            next_ms = fourth // NS_PER_MS + self._shift_ms if fourth else 0
            return (due_ns, index, MARK, (Mark(first, second, third, next_ms), stamp_ms), None)
        if kind == RECORD_LIQUIDATION:
            side = BUY if flags & LIQUIDATION_BUY else SELL
            order = Liquidation(side, price, qty, third * spec.tick, stamp_ms, stamp_ms)
            return (due_ns, index, LIQUIDATION, order, None)
        played.take_level(flags, price, qty)
        if not flags & LEVEL_LAST:
            return None
        return self._book_event(due_ns, index, third, stamp_ms)

    def _next_quote_id(self, index: int, low_bits: int) -> int:
        played = self._played[index]
        near = max(played.quote_id, played.update_id) or self._first_ids.get(index, 0)
        found = _unwrapped(low_bits, near)
        played.quote_id = found if found > played.quote_id else played.quote_id + 1
        self._note(0, played.quote_id)
        return played.quote_id + self._id_shift

    def _next_trade_id(self, index: int, recorded_id: int) -> int:
        played = self._played[index]
        played.trade_id = max(recorded_id, played.trade_id + 1)
        self._note(1, played.trade_id)
        return played.trade_id + self._trade_shift

    def _book_event(self, due_ns: int, index: int, update_id: int, stamp_ms: int) -> Event | None:
        played, shift = self._played[index], self._id_shift
        was_known, is_fresh = played.is_known, played.is_fresh
        if not was_known and not is_fresh:
            played.end_diff()
            for side in played.sides:
                side.clear()
            return None  # changes of a book nobody knows
        bids, asks = played.end_diff()
        previous = played.update_id
        played.update_id = update_id if update_id > previous else previous + 1
        played.is_known = True
        self._note(0, played.update_id)
        last = played.update_id + shift
        if not was_known:
            return (due_ns, index, SNAPSHOT, (last, bids, asks, stamp_ms, stamp_ms), b"")
        before = previous + shift
        fields = (before + 1, last, before, bids, asks, stamp_ms, stamp_ms)
        return (due_ns, index, DIFF, fields, None)

    def _note(self, which: int, number: int) -> None:
        self._high_ids[which] = max(self._high_ids[which], number)
        self._low_ids[which] = min(self._low_ids[which], number)


def _texts_of(spec: SymbolSpec) -> Instrument:
    """Return what writes a symbol's payloads; it makes up no depth."""
    prices, quantities = NumberText(spec.price_decimals), NumberText(spec.qty_decimals)
    return Instrument(spec, prices, quantities, iter(()))


def _wall_ns(row: Row) -> int:
    return row[0]


def _unwrapped(low: int, near: int) -> int:
    """Return the id with these low 32 bits that lies nearest to another id."""
    found = near - near % ID_SPAN + low % ID_SPAN
    if found < near - ID_SPAN // 2:
        return found + ID_SPAN
    return found - ID_SPAN if found > near + ID_SPAN // 2 and found >= ID_SPAN else found


def _same_grid(
    spec: SymbolSpec, price_exponent: int, qty_exponent: int, tick_scaled: int, lot_scaled: int
) -> bool:
    """Return whether built-in filters have the steps that a tape was recorded with."""
    same_tick: bool = spec.tick * 10**price_exponent == tick_scaled * 10**spec.price_decimals
    same_lot: bool = spec.step * 10**qty_exponent == lot_scaled * 10**spec.qty_decimals
    return same_tick and same_lot
