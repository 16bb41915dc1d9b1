"""Which connection a stream belongs on: the venue is silent on the wrong one.

A stream subscribed under another category still gets a handshake and an acknowledgement, and then
nothing, ever. So every name goes through this table, and a connection has one category.

        /public    bookTicker, depth and partial depth
        /market    trades, klines, mark prices, liquidations, tickers
        /private   user data, never through here
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from engine.domain.codes import Channel

STREAMS_PER_CONNECTION = 200  # fewer share one silence
STREAMS_PER_CONNECTION_MAX = 1_024  # the venue takes no more

_PUBLIC = "public"
_MARKET = "market"
_ROWS: tuple[tuple[str, str], ...] = (
    (r"bookTicker", _PUBLIC),
    (r"depth(5|10|20)?(@(100|250|500)ms)?", _PUBLIC),
    (r"rpiDepth(@\d+ms)?", _PUBLIC),
    (r"trade", _MARKET),
    (r"aggTrade", _MARKET),
    (r"kline_\d+[smhdwM]", _MARKET),
    (r"continuousKline_\d+[smhdwM]", _MARKET),
    (r"markPrice(@1s)?", _MARKET),
    (r"ticker|miniTicker", _MARKET),
    (r"forceOrder", _MARKET),
    (r"contractInfo|compositeIndex|assetIndex|tradingSession", _MARKET),
)
_CATEGORY = tuple((re.compile(pattern), category) for pattern, category in _ROWS)
_ALL_MARKET = {
    "!bookTicker": _PUBLIC,
    "!markPrice@arr": _MARKET,
    "!markPrice@arr@1s": _MARKET,
    "!forceOrder@arr": _MARKET,
    "!ticker@arr": _MARKET,
    "!miniTicker@arr": _MARKET,
    "!contractInfo": _MARKET,
    "!assetIndex@arr": _MARKET,
}

# A configured channel: its record channel, and what follows `symbol@`.
_CHANNELS: dict[str, tuple[Channel, str]] = {
    "bookTicker": (Channel.QUOTE, "bookTicker"),
    "depth": (Channel.BOOK, "depth@100ms"),
    "trade": (Channel.TRADE, "trade"),
    "aggTrade": (Channel.TRADE, "aggTrade"),
    "markPrice": (Channel.MARK, "markPrice@1s"),
    "forceOrder": (Channel.LIQUIDATION, "forceOrder"),
}
_KLINE = re.compile(r"kline_(1m|3m|5m|15m|30m|1h|2h|4h|6h|8h|12h|1d)")


class RoutingError(ValueError):
    """A stream or channel that no connection may carry; the message names it."""


class Subscription(msgspec.Struct, frozen=True):
    """One stream of one instrument."""

    stream: str
    instrument_index: int
    channel: Channel


class ConnectionPlan(msgspec.Struct, frozen=True):
    """One connection: a category and the streams it carries."""

    category: str
    subscriptions: tuple[Subscription, ...]

    @property
    def streams(self) -> list[str]:
        """Return the stream names in order."""
        return [subscription.stream for subscription in self.subscriptions]


def category_of(stream: str) -> str:
    """Return the category a stream is delivered under.

    Raises:
        RoutingError: no table row knows it.
    """
    if stream.startswith("!"):
        category = _ALL_MARKET.get(stream)
    else:
        _, _, suffix = stream.partition("@")
        category = next((name for rule, name in _CATEGORY if rule.fullmatch(suffix)), None)
    if category is None:
        raise RoutingError(f"no connection carries the stream {stream!r}")
    return category


def check_category(category: str, streams: Iterable[str]) -> None:
    """Refuse a connection that mixes categories.

    Raises:
        RoutingError: a stream of another category, which would stay silent.
    """
    for stream in streams:
        found = category_of(stream)
        if found != category:
            raise RoutingError(f"{stream!r} is delivered under /{found}, not under /{category}")


def channel_stream(name: str) -> tuple[Channel, str]:
    """Return the record channel of a configured channel, and its stream's suffix.

    Raises:
        RoutingError: no such channel.
    """
    found = _CHANNELS.get(name)
    if found is not None:
        return found
    if _KLINE.fullmatch(name):
        return Channel.BAR, name
    known = ", ".join([*_CHANNELS, "kline_<interval>"])
    raise RoutingError(f"unknown channel {name!r}; known: {known}")


def subscriptions_of(
    symbol: str, index: int, channels: Sequence[str], keeps_book: bool
) -> list[Subscription]:
    """Return the streams of one instrument, in the order of the channels.

    Raises:
        RoutingError: an unknown channel.
    """
    found = []
    for name in channels:
        channel, suffix = channel_stream(name)
        if keeps_book or channel is not Channel.BOOK:
            found.append(Subscription(f"{symbol.lower()}@{suffix}", index, channel))
    return found


def plan_connections(
    symbols: Sequence[str],
    channels: Sequence[str],
    book_count: int,
    streams_max: int = STREAMS_PER_CONNECTION,
) -> list[ConnectionPlan]:
    """Return the connections that carry the channels of the instruments.

    Args:
        symbols: by instrument index.
        channels: as configured.
        book_count: the first so many instruments keep a book; the others get no depth.
        streams_max: on one connection.

    Raises:
        RoutingError: an unknown channel.
    """
    assert 0 < streams_max <= STREAMS_PER_CONNECTION_MAX, streams_max
    rows: list[Subscription] = []
    for name in channels:
        channel, suffix = channel_stream(name)
        count = min(book_count, len(symbols)) if channel is Channel.BOOK else len(symbols)
        rows += [
            Subscription(f"{symbols[index].lower()}@{suffix}", index, channel)
            for index in range(count)
        ]
    return plans_of(rows, streams_max)


def plans_of(rows: Iterable[Subscription], streams_max: int) -> list[ConnectionPlan]:
    """Return the connections that carry some streams, at most `streams_max` on each."""
    by_category: dict[str, list[Subscription]] = {_PUBLIC: [], _MARKET: []}
    for row in rows:
        by_category[category_of(row.stream)].append(row)
    plans = []
    for category, subscriptions in by_category.items():
        for first in range(0, len(subscriptions), streams_max):
            part = tuple(subscriptions[first : first + streams_max])
            check_category(category, (subscription.stream for subscription in part))
            plans.append(ConnectionPlan(category, part))
    return plans
