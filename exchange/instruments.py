"""The generated symbols: filters, published depth and payload templates. Loads no numpy."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from exchange.book import Level
from exchange.events import QUOTE, TRADE, Event
from exchange.listing import Yesterday, busy_yesterday
from exchange.symbols import MONEY_SCALE, SymbolSpec, format_units, known_spec, spec_for

DEPTH_LEVELS = 100  # published per side
TEXT_CACHE_CAPACITY = 200_000
BUSIEST_DAY_USDT = 20_000_000_000  # yesterday's volume of the first rank; the others divide it
POOL_STRIDE = 29  # shares no factor with the usual pool sizes

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

    def __init__(self, decimals: int, capacity: int = TEXT_CACHE_CAPACITY) -> None:
        """Start empty."""
        super().__init__()
        self._decimals = decimals
        self._capacity = capacity

    def __missing__(self, units: int) -> bytes:
        """Write a number for the first time."""
        if len(self) >= self._capacity:
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


def generated_yesterdays(
    specs: list[SymbolSpec], prices: list[float], seed: int
) -> list[Yesterday]:
    """Return what each symbol traded the day before: its rank by volume is not its place."""
    ranks = list(range(2, len(specs)))
    Random(seed).shuffle(ranks)
    found: list[Yesterday] = []
    for place, (spec, price) in enumerate(zip(specs, prices, strict=True)):
        rank = place if place < 2 else ranks[place - 2]
        quote = BUSIEST_DAY_USDT * MONEY_SCALE // (rank + 1)
        found.append(busy_yesterday(spec, round(price * 10**spec.price_decimals), quote))
    return found


def cycle_quantities(values: list[int], grain: int) -> Iterator[int]:
    """Yield values for ever, with a stride that shares no factor with their number."""
    size, place = len(values), 0
    lap = 0
    while True:
        yield values[place] + lap % 7 * grain
        place += POOL_STRIDE
        if place >= size:
            place -= size
            lap += 1
