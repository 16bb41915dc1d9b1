"""Stream names, their categories, and who receives what.

A stream is delivered only on a connection of its own category. Anything else (a wrong category, an
un-routed path, an unknown name) is acknowledged and stays silent, as at the venue.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import orjson

from exchange.account import Account
from exchange.events import DIFF, HOT_KINDS, LIQUIDATION, MARK, QUOTE, TRADE
from exchange.frames import HEADERS_KEPT, TEXT, TEXT_HEADERS, frame_header

if TYPE_CHECKING:
    from exchange.stream_faults import RuleKey, StreamFaults

AGG_TRADE = 4
KLINE = 5
CONTINUOUS_KLINE = 6
MARK_PRICE = MARK
FORCE_ORDER = LIQUIDATION
PARTIAL_DEPTH = 9
MINI_TICKER = 10
CONTRACT_INFO = 11
MARK_ARRAY = 12
MINI_ARRAY = 13
EVERY_MARKET = -1  # stands where a market index would

PUBLIC_KINDS = frozenset({QUOTE, DIFF, PARTIAL_DEPTH})
USER_STREAM = "user"  # names an account's user data where a kind of market stream could stand
MAX_STREAMS = 1024  # per connection
INTERVAL_MS: dict[str, int] = {
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
}
TOLD_PERIOD = "1000"  # of the stream that carries a source's marks as they are told
MARK_PERIODS = ("3000", TOLD_PERIOD)
PARTIAL_LEVELS = (5, 10, 20)
PARTIAL_PERIODS = (100, 250, 500)
_DIFF_NAME = re.compile(r"depth(@\d+ms)?\Z")
_PARTIAL_NAME = re.compile(r"depth(5|10|20)(?:@(100|250|500)ms)?\Z")

StreamKey = tuple[int, int, str]  # kind, market index, argument
CONTRACT_INFO_KEY: StreamKey = (CONTRACT_INFO, EVERY_MARKET, "")
ARRAY_NAMES: dict[str, StreamKey] = {
    "!contractInfo": CONTRACT_INFO_KEY,
    "!markPrice@arr": (MARK_ARRAY, EVERY_MARKET, "3000"),
    "!markPrice@arr@1s": (MARK_ARRAY, EVERY_MARKET, "1000"),
    "!miniTicker@arr": (MINI_ARRAY, EVERY_MARKET, ""),
}


class StreamConnection(Protocol):
    """What the hub needs of a WebSocket connection."""

    out: list[bytes]
    combined: bool
    category: str
    names: dict[str, Outlet | None]
    descriptor: int

    def write(self, payload: bytes) -> None:
        """Write bytes now."""

    def flush(self) -> int:
        """Write what was queued; return how many frames left."""

    @property
    def congested(self) -> bool:
        """Tell whether the peer reads slower than we write."""

    @property
    def idle(self) -> bool:
        """Tell whether every byte written has left for the kernel."""


class Outlet:
    """One stream on one connection: frame parts that do not change."""

    __slots__ = ("connection", "extra", "key", "out", "prefix", "suffix")

    def __init__(self, connection: StreamConnection, name: str, key: StreamKey | None) -> None:
        """Prepare the wrapper a combined connection needs."""
        self.connection = connection
        self.out = connection.out
        self.key = key
        self.prefix = b'{"stream":"%b","data":' % name.encode() if connection.combined else b""
        self.suffix = b"}" if connection.combined else b""
        self.extra = len(self.prefix) + len(self.suffix)

    def send(self, body: bytes) -> None:
        """Queue one payload as a text frame."""
        size = len(body) + self.extra
        header = TEXT_HEADERS[size] if size < HEADERS_KEPT else frame_header(TEXT, size)
        self.out.append(header + self.prefix + body + self.suffix)


@dataclass(slots=True, eq=False)
class Mute:
    """Streams whose subscriptions are accepted and never deliver."""

    keys: frozenset[StreamKey]
    use: Callable[[], None]


def parse_stream(name: str, index_of: dict[str, int]) -> StreamKey | None:
    """Return the key of a stream name, or None when this venue has no such stream."""
    if name.startswith("!"):
        return ARRAY_NAMES.get(name)
    symbol, _, channel = name.partition("@")
    if channel.startswith("continuousKline_") and symbol.endswith("_perpetual"):
        index = index_of.get(symbol.removesuffix("_perpetual").upper())
        interval = channel.removeprefix("continuousKline_")
        known = index is not None and interval in INTERVAL_MS
        return (CONTINUOUS_KLINE, index, interval) if known and index is not None else None
    index = index_of.get(symbol.upper()) if symbol == symbol.lower() else None
    if index is None:
        return None
    plain = {
        "bookTicker": (QUOTE, index, ""),
        "trade": (TRADE, index, ""),
        "aggTrade": (AGG_TRADE, index, ""),
        "markPrice": (MARK_PRICE, index, "3000"),
        "markPrice@1s": (MARK_PRICE, index, "1000"),
        "forceOrder": (FORCE_ORDER, index, ""),
        "miniTicker": (MINI_TICKER, index, ""),
    }.get(channel)
    if plain is not None:
        return plain
    if _DIFF_NAME.match(channel):
        return (DIFF, index, "")
    partial = _PARTIAL_NAME.match(channel)
    if partial:
        return (PARTIAL_DEPTH, index, f"{partial.group(1)}@{partial.group(2) or '250'}")
    interval = channel.removeprefix("kline_")
    if channel.startswith("kline_") and interval in INTERVAL_MS:
        return (KLINE, index, interval)
    return None


def keys_of_market(index: int) -> list[StreamKey]:
    """Return the key of every stream that one market can have."""
    plain = [*HOT_KINDS, AGG_TRADE, FORCE_ORDER, MINI_TICKER]
    partial = [f"{levels}@{period}" for levels in PARTIAL_LEVELS for period in PARTIAL_PERIODS]
    return [
        *((kind, index, "") for kind in plain),
        *((kind, index, name) for kind in (KLINE, CONTINUOUS_KLINE) for name in INTERVAL_MS),
        *((MARK_PRICE, index, period) for period in MARK_PERIODS),
        *((PARTIAL_DEPTH, index, name) for name in partial),
    ]


def category_of(key: StreamKey) -> str:
    """Return the routed path on which a stream is delivered."""
    return "public" if key[0] in PUBLIC_KINDS else "market"


class Hub:
    """All WebSocket connections and the outlets that lead to them."""

    def __init__(self, symbols: list[str]) -> None:
        """Prepare one list of outlets per instrument and hot kind."""
        self.index_of = {symbol: index for index, symbol in enumerate(symbols)}
        # Looked up once per frame: hot[kind][market index] -> outlets.
        self.hot: list[list[list[Outlet]]] = [[[] for _ in symbols] for _ in HOT_KINDS]
        self.cold: dict[StreamKey, list[Outlet]] = {}
        self.connections: set[StreamConnection] = set()
        self.private: dict[str, list[Outlet]] = {}
        self.accounts_by_listen_key: dict[str, Account] = {}
        self.faults: StreamFaults | None = None
        self.muted: list[Mute] = []
        self.live_count = 0  # outlets that market data reaches
        self.delivered_count = 0  # frames of public and market streams written
        self.last_subscribe_s = 0.0

    def outlets(self, key: StreamKey) -> list[Outlet]:
        """Return the outlets of a stream; the list is the hub's own."""
        if key[0] in HOT_KINDS:
            return self.hot[key[0]][key[1]]
        return self.cold.setdefault(key, [])

    def subscribe(self, connection: StreamConnection, name: str, now_s: float) -> None:
        """Subscribe a connection; silent when name and category do not belong together."""
        if name in connection.names:
            return
        key = parse_stream(name, self.index_of)
        muted = self.muted and self.mutes(key)
        if key is None or muted or category_of(key) != connection.category:
            connection.names[name] = None
            return
        outlet = Outlet(connection, name, key)
        connection.names[name] = outlet
        self.outlets(key).append(outlet)
        self.live_count += 1
        self.last_subscribe_s = now_s

    def mutes(self, key: StreamKey | None) -> bool:
        """Tell whether a fault lets this subscription stay silent; that is one use of it."""
        for mute in self.muted:
            if key in mute.keys:
                mute.use()
                return True
        return False

    def unsubscribe(self, connection: StreamConnection, name: str) -> None:
        """Undo a subscription; unknown names are no fault."""
        outlet = connection.names.pop(name, None)
        if outlet is not None and outlet.key is not None:
            self.outlets(outlet.key).remove(outlet)
            self.live_count -= 1

    def open_private(self, connection: StreamConnection, listen_key: str) -> None:
        """Attach a connection to the account behind a listen key; silent when there is none."""
        account = self.accounts_by_listen_key.get(listen_key)
        if account is None:
            connection.names[listen_key] = None
            return
        outlet = Outlet(connection, listen_key, None)
        connection.names[listen_key] = outlet
        self.private.setdefault(account.key, []).append(outlet)

    def expire_listen_key(self, account: Account, event: dict[str, object] | None = None) -> None:
        """End the account's listen key: its connections hear `event` and then nothing more."""
        if event is not None:
            self.tell(account, event)
        self.accounts_by_listen_key.pop(account.listen_key, None)
        account.listen_key = ""
        self.private.pop(account.key, None)

    def close(self, connection: StreamConnection) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        for name, outlet in list(connection.names.items()):
            if outlet is None:
                continue
            if outlet.key is not None:
                self.unsubscribe(connection, name)
            else:
                for outlets in self.private.values():
                    if outlet in outlets:
                        outlets.remove(outlet)

    def emit(self, key: StreamKey, body: bytes) -> None:
        """Queue a payload on every outlet of a stream."""
        outlets = self.outlets(key)
        if not outlets:
            return
        if self.faults is not None and self.faults.rules:
            self.send_to(outlets, self.faults.tamper(key, body))
            return
        for outlet in outlets:
            outlet.send(body)

    def send_to(self, outlets: list[Outlet], bodies: Iterable[bytes]) -> None:
        """Queue payloads on outlets as they are."""
        for body in bodies:
            for outlet in outlets:
                outlet.send(body)

    def send_held(self, key: RuleKey, bodies: Iterable[bytes]) -> None:
        """Queue payloads that a fault gave back on whom they were meant for."""
        if key[0] == USER_STREAM:
            self.send_to(self.private.get(str(key[1]), []), bodies)
        else:
            self.send_to(self.outlets((int(key[0]), int(key[1]), key[2])), bodies)

    def tell(self, account: Account, event: dict[str, object]) -> None:
        """Queue a user-data event on the account's private connections."""
        outlets = self.private.get(account.key)
        if outlets:
            bodies: Sequence[bytes] = (orjson.dumps(event),)
            if self.faults is not None and self.faults.rules:
                bodies = self.faults.tamper((USER_STREAM, account.key, ""), bodies[0])
            self.send_to(outlets, bodies)

    def flush(self) -> None:
        """Write everything queued, one write per connection."""
        for connection in list(self.connections):
            if connection.out:
                count = connection.flush()
                if connection.category != "private":
                    self.delivered_count += count

    @property
    def congested(self) -> bool:
        """Tell whether any subscriber is behind."""
        return any(connection.congested for connection in self.connections)
