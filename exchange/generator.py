"""A seeded market for when no tape is at hand: 1 to 500 instruments, endless, the same each time.

The flow model gives quotes and trades; this module turns them into events, keeps a published
depth of book per instrument, and writes payloads only for streams somebody listens to.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter

import numpy as np

from exchange.book import Level
from exchange.clock import NS_PER_MS
from exchange.events import DIFF, QUOTE, SNAPSHOT, TRADE, Event
from exchange.flow import MEAN_INTENSITY, FlowChunk, advance, grain_of, initial_state
from exchange.symbols import SymbolSpec, format_units, known_spec, spec_for

DEPTH_LEVELS = 100  # published per side
DIFF_PERIODS_MS = (100, 250, 500)
DIFF_SHARE = 0.2  # of all messages at most
MESSAGES_PER_EVENT = 1.27  # a quote, and a trade before about every fourth; see the test
DEFAULT_RATE_PER_INSTRUMENT = 150.0  # messages per second
DEFAULT_RATE_MAX = 20_000.0
CHUNK_EVENTS = 2_000
CHUNK_MS_MIN, CHUNK_MS_MAX = 10, 500
TOUCH_NOTIONAL = 40_000.0  # USDT at the best price
TEXT_CACHE_CAPACITY = 200_000
POOL_SIZE = 64  # deeper quantities of an instrument are drawn from a pool
POOL_STRIDE = 29  # shares no factor with the size

# price, price decimals, quantity decimals of the generated symbols, in turn
_SHAPES = (
    (148.35, 2, 2),
    (0.5312, 4, 0),
    (23.117, 3, 1),
    (7.214, 4, 1),
    (612.3, 2, 3),
    (0.08123, 5, 0),
)


class NumberText(dict[int, bytes]):
    """Decimal text of integers, remembered."""

    def __init__(self, decimals: int) -> None:
        """Start empty."""
        super().__init__()
        self._decimals = decimals

    def __missing__(self, units: int) -> bytes:
        """Write a number for the first time."""
        if len(self) >= TEXT_CACHE_CAPACITY:
            self.clear()
        text = self[units] = format_units(units, self._decimals).encode()
        return text


class Instrument:
    """What one generated symbol publishes: its depth and its payload templates."""

    def __init__(
        self, spec: SymbolSpec, prices: NumberText, quantities: NumberText, pool: Iterator[int]
    ) -> None:
        """Prepare templates; the depth comes with the first quote."""
        self.spec = spec
        self._prices = prices
        self._quantities = quantities
        self._pool = pool
        self._bid = self._ask = 0  # best published prices in ticks
        self.update_id = 0
        self.trade_id = 1_000_000
        symbol = spec.symbol.encode()
        self._quote = (
            b'{"e":"bookTicker","u":%%d,"s":"%b","b":"%%b","B":"%%b","a":"%%b","A":"%%b",'
            b'"T":%%d,"E":%%d}' % symbol
        )
        self._trade = (
            b'{"e":"trade","E":%%d,"T":%%d,"s":"%b","t":%%d,"p":"%%b","q":"%%b",'
            b'"X":"MARKET","m":%%b}' % symbol
        )
        self._diff = (
            b'{"e":"depthUpdate","E":%%d,"T":%%d,"s":"%b","U":%%d,"u":%%d,"pu":%%d,'
            b'"b":[%%b],"a":[%%b]}' % symbol
        )

    def snapshot(
        self, bid: int, bid_qty: int, ask: int, ask_qty: int
    ) -> tuple[list[Level], list[Level]]:
        """Publish a whole depth around a touch; prices in ticks."""
        tick, pool = self.spec.tick, self._pool
        self._bid, self._ask = bid, ask
        bids = [((bid - k) * tick, next(pool)) for k in range(DEPTH_LEVELS)]
        asks = [((ask + k) * tick, next(pool)) for k in range(DEPTH_LEVELS)]
        bids[0], asks[0] = (bid * tick, bid_qty), (ask * tick, ask_qty)
        return bids, asks

    def changes(
        self, bid: int, bid_qty: int, ask: int, ask_qty: int
    ) -> tuple[list[Level], list[Level]]:
        """Publish what changed since the last diff; prices in ticks."""
        bids = self._side(1, self._bid, bid, bid_qty)
        asks = self._side(-1, self._ask, ask, ask_qty)
        self._bid, self._ask = bid, ask
        return bids, asks

    def _side(self, side: int, was: int, best: int, best_qty: int) -> list[Level]:
        """Return changed levels of one side; `side` is the way the best price improves."""
        tick, pool = self.spec.tick, self._pool
        levels: dict[int, int] = {}
        moved = (best - was) * side
        for k in range(1, abs(moved) + 1):
            if moved > 0:  # improved: levels appear at the touch, the furthest disappear
                levels[was + side * k] = next(pool)
                levels[was - side * (DEPTH_LEVELS - k)] = 0
            else:  # worsened: levels disappear at the touch, further ones appear
                levels[was - side * (k - 1)] = 0
                levels[was - side * (DEPTH_LEVELS - 1 + k)] = next(pool)
        for _ in range(2):
            levels[best - side * (1 + next(pool) % (DEPTH_LEVELS - 2))] = next(pool)
        levels[best] = best_qty
        return [(ticks * tick, qty) for ticks, qty in sorted(levels.items())]

    def body(self, event: Event) -> bytes:
        """Return the payload of an event."""
        kind, fields = event[2], event[3]
        price, qty = self._prices, self._quantities
        if kind == QUOTE:
            u, bid, bid_qty, ask, ask_qty, sent_ms, event_ms = fields
            return self._quote % (
                u, price[bid], qty[bid_qty], price[ask], qty[ask_qty], sent_ms, event_ms
            )  # fmt: skip
        if kind == TRADE:
            traded, traded_qty, maker, trade_id, sent_ms, event_ms = fields
            return self._trade % (
                event_ms, sent_ms, trade_id, price[traded], qty[traded_qty],
                b"true" if maker else b"false",
            )  # fmt: skip
        first, last, previous, bids, asks, sent_ms, event_ms = fields
        sides = [
            b",".join([b'["%b","%b"]' % (price[p], qty[q]) for p, q in levels])
            for levels in (bids, asks)
        ]
        return self._diff % (event_ms, sent_ms, first, last, previous, sides[0], sides[1])


def generated_specs(count: int) -> tuple[list[SymbolSpec], list[float]]:
    """Return symbols and their first prices: two familiar ones, then numbered ones."""
    specs: list[SymbolSpec] = []
    prices: list[float] = []
    for index in range(count):
        familiar = (("BTCUSDT", 61_800.0), ("ETHUSDT", 2_680.0))
        if index < len(familiar):
            symbol, price = familiar[index]
            known = known_spec(symbol)
            assert known is not None, symbol
            specs.append(known)
        else:
            price, price_decimals, qty_decimals = _SHAPES[index % len(_SHAPES)]
            price *= 1.0 + 0.002 * (index % 97)
            specs.append(
                spec_for(
                    f"GEN{index + 1:03d}USDT",
                    price_decimals=price_decimals,
                    qty_decimals=qty_decimals,
                )
            )
        prices.append(price)
    return specs, prices


class Generator:
    """An endless event source."""

    def __init__(self, count: int, seed: int, rate: float | None = None) -> None:
        """Set up `count` instruments; `rate` is messages per second over all of them."""
        self.specs, prices = generated_specs(count)
        default = min(DEFAULT_RATE_PER_INSTRUMENT * count, DEFAULT_RATE_MAX)
        self.rate = default if rate is None or rate <= 0 else rate
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
        self._instruments = [
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
        return _cycle(values, int(grain[0]))

    def begin(self, start_ns: int) -> None:
        """Go to the first event."""
        self._start_ns = start_ns

    def begin_again(self, not_before_ns: int) -> int:
        """Refuse: a generated market has no end after which it could begin again."""
        raise AssertionError(f"a generated market does not end ({not_before_ns})")

    def body_of(self, event: Event) -> bytes:
        """Return the payload of an event."""
        return self._instruments[event[1]].body(event)

    def next_batch(self) -> list[Event]:
        """Return the events of the next chunk; never empty in the long run."""
        if self._snapshots_due:
            self._snapshots_due = False
            return self._snapshots()
        batch: list[Event] = []
        while not batch:
            chunk = advance(
                self._state, self._random, self._elapsed_ns, self._chunk_ns, self._event_rate
            )
            self._elapsed_ns += self._chunk_ns
            batch = self._quotes_and_trades(chunk)
            diffs = self._diffs(chunk)
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
            instrument = self._instruments[index]
            bids, asks = instrument.snapshot(*row[:4])
            instrument.update_id = row[4]
            now_ms = start_ns // NS_PER_MS
            batch.append((start_ns, index, SNAPSHOT, (row[4], bids, asks, now_ms, now_ms), b""))
        return batch

    def _quotes_and_trades(self, chunk: FlowChunk) -> list[Event]:
        start_ns, instruments = self._start_ns, self._instruments
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

    def _diffs(self, chunk: FlowChunk) -> list[Event]:
        """Return the depth diffs due in a chunk: the touch at that time and what it moved."""
        end_ns = self._elapsed_ns
        due = [k for k, next_ns in enumerate(self._next_diff_ns) if next_ns < end_ns]
        if not due:
            return []
        order = np.lexsort((chunk.time_ns, chunk.instrument))
        times, owners = chunk.time_ns[order], chunk.instrument[order]
        starts = np.searchsorted(owners, np.arange(len(self._instruments) + 1)).tolist()
        batch: list[Event] = []
        for index in due:
            low, high = starts[index], starts[index + 1]
            while self._next_diff_ns[index] < end_ns:
                due_ns = self._next_diff_ns[index]
                self._next_diff_ns[index] = due_ns + self._diff_period_ns
                place = low + int(np.searchsorted(times[low:high], due_ns, side="right")) - 1
                if place >= low:
                    batch.append(self._diff(index, due_ns, chunk, int(order[place])))
        return [event for event in batch if event[3]]

    def _diff(self, index: int, due_ns: int, chunk: FlowChunk, place: int) -> Event:
        instrument = self._instruments[index]
        update_id = int(chunk.update_id[place]) + 1  # ids of quotes leave room for it
        previous = instrument.update_id
        venue_ns = self._start_ns + due_ns
        if update_id == previous:
            return (venue_ns, index, DIFF, (), None)
        bids, asks = instrument.changes(
            int(chunk.bid[place]),
            int(chunk.bid_qty[place]),
            int(chunk.ask[place]),
            int(chunk.ask_qty[place]),
        )
        instrument.update_id = update_id
        now_ms = venue_ns // NS_PER_MS
        fields = (previous + 1, update_id, previous, bids, asks, now_ms, now_ms)
        return (venue_ns, index, DIFF, fields, None)


def _cycle(values: list[int], grain: int) -> Iterator[int]:
    """Yield values for ever, with a stride that shares no factor with their number."""
    size, place = len(values), 0
    lap = 0
    while True:
        yield values[place] + lap % 7 * grain
        place += POOL_STRIDE
        if place >= size:
            place -= size
            lap += 1
