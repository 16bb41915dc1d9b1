"""Plays an event source on the venue clock: to the books, to resting orders, to subscribers.

At a finite speed events leave when they are due, all that are due in one write per connection. At
unlimited speed they leave as fast as the slowest subscriber reads; nothing is ever dropped.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable

import orjson

from exchange.book import BUY, SELL, Book
from exchange.clock import VirtualClock
from exchange.derived import DerivedStreams
from exchange.errors import ApiError, TapeError
from exchange.events import DIFF, LIQUIDATION, MARK, QUOTE, SNAPSHOT, TRADE, Event, EventSource
from exchange.matching import Market
from exchange.streams import TOLD_PERIOD, Hub
from exchange.venue import Venue

TURN_EVENTS = 2_048  # at most this many per turn, so that requests are served in between
UNLIMITED_TURN_EVENTS = 128
REPEAT_PAUSE_S = 1.0  # before a tape nobody need subscribe to plays again
MIN_WAIT_S = 0.001  # resolution of the event loop's timers
MAX_WAIT_S = 0.1
SUBSCRIBE_SETTLE_S = 0.05  # play starts when nobody subscribed for this long ...
SUBSCRIBE_SETTLE_MAX_S = 1.0  # ... but not later than this after the first subscriber
FURTHEST_PART = 10  # of the last price: a trade by hand is no further from it
NS_PER_MS = 1_000_000


class Player:
    """The only writer of market state."""

    def __init__(
        self,
        venue: Venue,
        source: EventSource,
        hub: Hub,
        derived: DerivedStreams,
        *,
        loop_tape: bool,
        autostart: bool,
        hold: bool = False,
    ) -> None:
        """Wire the player; nothing plays before `start` or the first subscriber."""
        self._venue = venue
        self._source = source
        self._hub = hub
        self._derived = derived
        self._clock: VirtualClock = venue.clock
        self._markets = list(venue.markets.values())
        for index in source.marked:
            self._markets[index].tells_marks = True
        self._loop_tape = loop_tape
        self._autostart = autostart
        self._hold = hold  # until POST /practice/play
        self._batch: list[Event] = []
        self._position = 0
        self._first_subscriber_s = 0.0
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self.started = False
        self.ended = False
        self.failure = ""
        self.passes = 0
        self.event_count = 0
        self.lag_ns_max = 0
        self.on_start: Callable[[], None] = lambda: None  # the first pass begins
        self.on_turn: Callable[[], None] | None = None  # None: nobody counts events
        self.on_end: Callable[[], None] = lambda: None

    def subscriber_came(self) -> None:
        """Start to play soon: when subscriptions have settled."""
        held = self._hold and self.passes == 0
        if held or self.started or self._timer is not None:
            return
        self._first_subscriber_s = asyncio.get_running_loop().time()
        self._wait(MIN_WAIT_S, self._start_when_settled)

    def _wait(self, delay_s: float, action: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, action)

    def _start_when_settled(self) -> None:
        now_s = asyncio.get_running_loop().time()
        settled = now_s - self._hub.last_subscribe_s >= SUBSCRIBE_SETTLE_S
        if settled or now_s - self._first_subscriber_s >= SUBSCRIBE_SETTLE_MAX_S:
            self.start()
        else:
            self._wait(MIN_WAIT_S, self._start_when_settled)

    def start(self) -> None:
        """Play from the first event, or the next pass of a loop."""
        if self.started:
            return
        self.started = True
        if self.passes == 0:
            self._source.begin(self._clock.play())
            self.on_start()
        else:
            self._source.begin_again(self._clock.now_ns())
        self.passes += 1
        self._turn()

    def stop(self) -> None:
        """Stop playing for good."""
        if self._timer is not None:
            self._timer.cancel()
        self.ended = True

    def print_trade(self, market: Market, price: int, qty: int, *, is_sell: bool) -> int:
        """Let somebody else's trade happen now, as a trade of the source does; return its time, ms.

        It has the id of the last trade, so that ids of the source stay what they are; aggregated
        trades are numbered here.

        Args:
            market: on which it happens.
            price: in the units of the market's prices, a whole tick.
            qty: in the units of its quantities, a whole step.
            is_sell: whether who took sold.

        Raises:
            ApiError: the market does not play, has not traded, or is more than a tenth away.
        """
        day = self._derived.series[market.index].day()
        if not self.started or self.ended or day is None or day.last_id < 0:
            raise ApiError(-1000, "nothing trades now")
        if abs(price - market.last_price) * FURTHEST_PART > market.last_price:
            raise ApiError(-1000, "the price is more than a tenth away from the last trade")
        now_ns = self._clock.now_ns()
        now_ms = now_ns // NS_PER_MS
        spec = market.spec
        body = orjson.dumps(
            {
                "e": "trade",
                "E": now_ms,
                "T": now_ms,
                "s": spec.symbol,
                "t": day.last_id,
                "p": spec.price_text(price),
                "q": spec.qty_text(qty),
                "X": "MARKET",
                "m": is_sell,
            }
        )
        fields = (price, qty, is_sell, day.last_id, now_ms, now_ms)
        self._play([(now_ns, market.index, TRADE, fields, body)])
        self.deliver()
        return now_ms

    def _turn(self) -> None:
        if self.ended:
            return
        loop = asyncio.get_running_loop()
        if self._clock.unlimited:
            if self._hub.congested:
                self._wait(MIN_WAIT_S, self._turn)
                return
            playing = self._play_due(UNLIMITED_TURN_EVENTS)
        else:
            playing = self._play_due(TURN_EVENTS)
        if self.on_turn is not None:
            self.on_turn()
        self._derived.advance(self._clock.now_ms())
        self.deliver()
        if not playing:
            self._finish()
        elif self._clock.unlimited or self._overdue():
            self._timer = loop.call_soon(self._turn)
        else:
            delay_s = self._clock.real_delay_s(self._batch[self._position][0])
            self._wait(min(max(delay_s, MIN_WAIT_S), MAX_WAIT_S), self._turn)

    def _overdue(self) -> bool:
        return self._batch[self._position][0] <= self._clock.now_ns()

    def deliver(self) -> None:
        """Send queued user-data events and frames."""
        outbox = self._venue.outbox
        if outbox:
            for account, event in outbox:
                self._hub.tell(account, event)
            outbox.clear()
        self._hub.flush()

    def _play_due(self, limit: int) -> bool:
        """Play events that are due; return False at the end of the source."""
        now_ns = self._clock.now_ns()
        unlimited = self._clock.unlimited
        left = limit
        while left > 0:
            if self._position >= len(self._batch):
                self._load()
                if not self._batch:
                    return False
            batch, start = self._batch, self._position
            stop = min(start + left, len(batch))
            if not unlimited and batch[stop - 1][0] > now_ns:
                stop = bisect_right(batch, now_ns, start, stop, key=_due_ns)
                left = 0
            else:
                left -= stop - start
            self._position = stop
            if stop > start:
                self._play(batch[start:stop])
                if unlimited:
                    self._clock.peg(batch[stop - 1][0])
                else:
                    self.lag_ns_max = max(self.lag_ns_max, now_ns - batch[start][0])
        if self._position >= len(self._batch):
            self._load()
        return bool(self._batch)

    def _load(self) -> None:
        """Take the next batch; a tape that breaks ends here, with its reason kept."""
        self._position = 0
        try:
            self._batch = self._source.next_batch()
        except TapeError as fault:
            self.failure = str(fault)
            self._loop_tape = False
            self._batch = []

    def _play(self, events: list[Event]) -> None:
        """Let each event change its market, then queue it for who listens."""
        markets, hot, body_of = self._markets, self._hub.hot, self._source.body_of
        on_trade = self._derived.on_trade
        faults = self._hub.faults
        tampering = faults is not None and bool(faults.rules)
        self.event_count += len(events)
        for event in events:
            due_ns, index, kind, fields, body = event
            market = markets[index]
            if kind == QUOTE:
                if market.resting or market.book.taken:
                    market.on_quote(fields)
                else:
                    market.book.quote = fields
                if market.algos:
                    self._venue.algo_desk.watch(market)
            elif kind == TRADE:
                market.last_price = fields[0]
                if market.resting:
                    self._clock.peg(due_ns)  # fills carry the time of the trade that made them
                    aggressor = SELL if fields[2] else BUY
                    self._venue.public_trade(market, fields[0], fields[1], aggressor)
                if market.algos:
                    self._venue.algo_desk.watch(market)
                on_trade(index, fields)
            elif kind == DIFF:
                market.on_diff(fields[:5])
            elif kind == SNAPSHOT:
                market.book.apply_snapshot(fields[0], fields[1], fields[2])
                continue
            else:
                self._play_rare(market, event)
                continue
            outlets = hot[kind][index]
            if outlets:
                payload = body_of(event) if body is None else body
                if tampering:
                    self._hub.emit((kind, index, ""), payload)
                    continue
                for outlet in outlets:
                    outlet.send(payload)

    def _play_rare(self, market: Market, event: Event) -> None:
        """Tell a mark or a liquidation; a mark is the market's from here on."""
        _, index, kind, fields, body = event
        argument = ""
        if kind == MARK:
            argument = TOLD_PERIOD
            market.told_mark, market.tells_marks = fields[0], True
            if market.algos:
                self._venue.algo_desk.watch(market)
        else:
            assert kind == LIQUIDATION, kind
        key = (kind, index, argument)
        if self._hub.cold.get(key):
            self._hub.emit(key, self._source.body_of(event) if body is None else body)

    def _finish(self) -> None:
        """End of the tape: orders are cancelled, market streams close, perhaps it starts again."""
        for account in self._venue.accounts.values():
            self._venue.cancel_all(account)
            self._venue.algo_desk.cancel_all(account)
        self.deliver()
        self.on_end()
        if not self._loop_tape:
            self.ended = True
            self._clock.end()
            return
        for market in self._markets:
            market.book = Book()
            market.told_mark = None
        self.started = False
        self._timer = None
        if self._autostart:
            self._wait(REPEAT_PAUSE_S, self.start)


def _due_ns(event: Event) -> int:
    return event[0]
