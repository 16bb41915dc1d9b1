"""Events of the generated market: quotes and trades of the flow model, diffs between them."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter

import numpy as np

from exchange.clock import NS_PER_MS
from exchange.events import DIFF, QUOTE, SNAPSHOT, TRADE, Event
from exchange.flow import MEAN_INTENSITY, FlowChunk, Ints, advance, grain_of, initial_state
from exchange.instruments import Instrument, NumberText, cycle_quantities
from exchange.symbols import SymbolSpec

DIFF_PERIODS_MS = (100, 250, 500)
DIFF_SHARE = 0.2  # of all messages at most
MESSAGES_PER_EVENT = 1.27  # a quote, and a trade before about every fourth; see the test
CHUNK_EVENTS = 2_000
CHUNK_MS_MIN, CHUNK_MS_MAX = 10, 500
TOUCH_NOTIONAL = 40_000.0  # USDT at the best price
POOL_SIZE = 64  # deeper quantities of an instrument are drawn from a pool

Columns = tuple[Ints, ...]  # one entry per instrument in every array


class FlowEvents:
    """The events of one generated market, chunk by chunk, without end."""

    def __init__(
        self, specs: list[SymbolSpec], prices: list[float], seed: int, rate: float
    ) -> None:
        """Set up instruments; `rate` is messages per second over all of them."""
        self.specs = specs
        self.rate = rate
        count = len(specs)
        self._random = np.random.default_rng(seed)
        anchors = [
            round(price * 10**s.price_decimals / s.tick)
            for s, price in zip(self.specs, prices, strict=True)
        ]
        base = [
            max(3.0, TOUCH_NOTIONAL / price * 10**s.qty_decimals)
            for s, price in zip(self.specs, prices, strict=True)
        ]
        spread = np.array([1 if k < 2 else 1 + k % 2 for k in range(count)], dtype=np.int64)
        self._state = initial_state(np.array(anchors, dtype=np.int64), np.array(base), spread)
        # Bursts under way from the start, so that the rate holds from the first second.
        self._state.intensity += self._random.exponential(MEAN_INTENSITY - 1.0, count)
        self._plan_rates(count)
        price_texts: dict[int, NumberText] = {}
        qty_texts: dict[int, NumberText] = {}
        self.instruments = [
            Instrument(
                spec,
                price_texts.setdefault(spec.price_decimals, NumberText(spec.price_decimals)),
                qty_texts.setdefault(spec.qty_decimals, NumberText(spec.qty_decimals)),
                self._pool(base[index]),
            )
            for index, spec in enumerate(self.specs)
        ]
        self._start_ns = 0
        self._elapsed_ns = 0
        self._snapshots_due = True

    def _plan_rates(self, count: int) -> None:
        period_ms = DIFF_PERIODS_MS[-1]
        for candidate_ms in DIFF_PERIODS_MS:
            if count * 1000 / candidate_ms <= self.rate * DIFF_SHARE:
                period_ms = candidate_ms
                break
        self._diff_period_ns = period_ms * NS_PER_MS
        diffs = min(count * 1000 / period_ms, self.rate * 0.5)
        self._event_rate = max((self.rate - diffs) / MESSAGES_PER_EVENT, 1.0)
        chunk_ms = int(CHUNK_EVENTS * 1000 / self._event_rate)
        self._chunk_ns = min(max(chunk_ms, CHUNK_MS_MIN), CHUNK_MS_MAX) * NS_PER_MS
        stagger = np.arange(count, dtype=np.int64) * self._diff_period_ns // max(count, 1)
        self._next_diff_ns = (self._diff_period_ns + stagger).tolist()

    def _pool(self, base: float) -> Iterator[int]:
        grain = grain_of(np.array([base]))
        draws = base / grain * np.exp(self._random.normal(0.0, 0.6, POOL_SIZE))
        values: list[int] = (np.ceil(draws).astype(np.int64) * grain).tolist()
        return cycle_quantities(values, int(grain[0]))

    def begin(self, start_ns: int) -> None:
        """Let the first event be due at `start_ns`."""
        self._start_ns = start_ns

    def next_batch(self) -> list[Event]:
        """Return the events of the next chunk; never empty in the long run."""
        if self._snapshots_due:
            self._snapshots_due = False
            return self._snapshots()
        batch: list[Event] = []
        while not batch:
            before = self._touches()
            chunk = advance(
                self._state, self._random, self._elapsed_ns, self._chunk_ns, self._event_rate
            )
            self._elapsed_ns += self._chunk_ns
            batch = self._quotes_and_trades(chunk)
            diffs = self._diffs(chunk, before)
            if diffs:
                batch.extend(diffs)
                batch.sort(key=itemgetter(0))
        return batch

    def _snapshots(self) -> list[Event]:
        state, start_ns = self._state, self._start_ns
        batch: list[Event] = []
        bid = np.floor(state.price).astype(np.int64)
        columns = (bid, state.bid_qty, bid + state.spread, state.ask_qty, state.update_id)
        for index, row in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
            instrument = self.instruments[index]
            bids, asks = instrument.snapshot(*row[:4])
            instrument.update_id = row[4]
            now_ms = start_ns // NS_PER_MS
            batch.append((start_ns, index, SNAPSHOT, (row[4], bids, asks, now_ms, now_ms), b""))
        return batch

    def _quotes_and_trades(self, chunk: FlowChunk) -> list[Event]:
        start_ns, instruments = self._start_ns, self.instruments
        ticks = np.array([spec.tick for spec in self.specs], dtype=np.int64)[chunk.instrument]
        due_ns = chunk.time_ns + start_ns
        batch: list[Event] = []
        add = batch.append
        for due, now_ms, index, u, bid, bid_qty, ask, ask_qty, traded, price, maker in zip(
            due_ns.tolist(),
            (due_ns // NS_PER_MS).tolist(),
            chunk.instrument.tolist(),
            chunk.update_id.tolist(),
            (chunk.bid * ticks).tolist(),
            chunk.bid_qty.tolist(),
            (chunk.ask * ticks).tolist(),
            chunk.ask_qty.tolist(),
            chunk.trade_qty.tolist(),
            (chunk.trade_price * ticks).tolist(),
            chunk.buyer_is_maker.tolist(),
            strict=True,
        ):
            if traded:
                instrument = instruments[index]
                instrument.trade_id += 1
                trade = (price, traded, maker, instrument.trade_id, now_ms, now_ms)
                add((due, index, TRADE, trade, None))
            add((due, index, QUOTE, (u, bid, bid_qty, ask, ask_qty, now_ms, now_ms), None))
        return batch

    def _touches(self) -> Columns:
        """Return the newest quotes: update id, bid and its quantity, ask and its quantity."""
        state = self._state
        bid = np.floor(state.price).astype(np.int64)
        columns = (state.update_id, bid, state.bid_qty, bid + state.spread, state.ask_qty)
        return tuple(column.copy() for column in columns)

    def _diffs(self, chunk: FlowChunk, before: Columns) -> list[Event]:
        """Return the depth diffs due in a chunk: the touch at that time and what it moved.

        A touch stands until the next quote, which may be several chunks away: `before` holds those
        that stood when the chunk began.
        """
        end_ns = self._elapsed_ns
        due = [k for k, next_ns in enumerate(self._next_diff_ns) if next_ns < end_ns]
        if not due:
            return []
        order = np.lexsort((chunk.time_ns, chunk.instrument))
        times, owners = chunk.time_ns[order], chunk.instrument[order]
        starts = np.searchsorted(owners, np.arange(len(self.instruments) + 1)).tolist()
        within = (chunk.update_id, chunk.bid, chunk.bid_qty, chunk.ask, chunk.ask_qty)
        batch: list[Event] = []
        for index in due:
            low, high = starts[index], starts[index + 1]
            while self._next_diff_ns[index] < end_ns:
                due_ns = self._next_diff_ns[index]
                self._next_diff_ns[index] = due_ns + self._diff_period_ns
                place = low + int(np.searchsorted(times[low:high], due_ns, side="right")) - 1
                if place >= low:
                    touch = [int(column[order[place]]) for column in within]
                else:
                    touch = [int(column[index]) for column in before]
                if touch[0] > self.instruments[index].update_id:
                    batch.append(self._diff(index, due_ns, *touch))
        return batch

    def _diff(
        self, index: int, due_ns: int, quote_id: int, bid: int, bid_qty: int, ask: int, ask_qty: int
    ) -> Event:
        instrument = self.instruments[index]
        update_id = quote_id + 1  # ids of quotes leave room for it
        previous = instrument.update_id
        venue_ns = self._start_ns + due_ns
        bids, asks = instrument.changes(bid, bid_qty, ask, ask_qty)
        instrument.update_id = update_id
        now_ms = venue_ns // NS_PER_MS
        fields = (previous + 1, update_id, previous, bids, asks, now_ms, now_ms)
        return (venue_ns, index, DIFF, fields, None)
