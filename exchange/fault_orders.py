"""What can be asked of the practice exchange's faults: one typed shape per kind of fault.

The same shapes are read from the control routes (JSON) and from scenario files (TOML): an unknown
word, a wrong type and a number out of bounds are refused in a sentence, never ignored. Nothing
here acts. UNITS: milliseconds are real ones, since sockets and clients live in real time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from exchange.errors import ApiError

DAY_MS = 86_400_000
MAX_SPAN = 1_024  # frames a rule may hold
UNBOUNDED = 2**62

Millis = Annotated[int, Meta(ge=0, le=2 * DAY_MS)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Span = Annotated[int, Meta(ge=1, le=MAX_SPAN)]
Share = Annotated[float, Meta(gt=0.0, le=1.0)]
Status = Annotated[int, Meta(ge=400, le=599)]


class Order(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fault that acts at once and is over."""


class Lasting(Order, frozen=True, kw_only=True):
    """A fault that begins, lasts and ends."""

    after_ms: Millis = 0
    duration_ms: Millis = 0  # 0: until its count is used up, or it is ended by hand
    seed: int = 1


# Frames of one stream -----------------------------------------------------------------------


class StreamOrder(Lasting, frozen=True, kw_only=True):
    """A stream, and which of its frames: `stream` may be `*@bookTicker`, `symbol` means its depth.

    `account` names the user data of an account instead.
    """

    stream: str = ""
    symbol: str = ""
    account: str = ""
    count: Count = 0  # 0: one, or every frame while a duration lasts
    after_frames: Count = 0
    share: Share = 1.0


class CopiesOrder(StreamOrder, frozen=True, kw_only=True):
    """Frames sent several times."""

    copies: Span = 1


class SpanOrder(StreamOrder, frozen=True, kw_only=True):
    """Frames held or remembered, at most `span` of them."""

    span: Span = 1


class ValueOrder(StreamOrder, frozen=True, kw_only=True):
    """A number replaced by a text."""

    value: str = "NaN"


class QuantityOrder(StreamOrder, frozen=True, kw_only=True):
    """A quantity replaced by a text."""

    value: str = "-1.000"


class FieldOrder(StreamOrder, frozen=True, kw_only=True):
    """Any field replaced by any JSON value."""

    field: str
    value: Any = None


class FactorOrder(StreamOrder, frozen=True, kw_only=True):
    """Prices multiplied."""

    factor: Annotated[int, Meta(ge=2, le=1_000)] = 10


class OffsetOrder(StreamOrder, frozen=True, kw_only=True):
    """Ids or times moved."""

    offset: Annotated[int, Meta(ge=-(2**53), le=2**53)] = 1


class SymbolOrder(StreamOrder, frozen=True, kw_only=True):
    """Frames that name another symbol."""

    to: str = "NOSUCHUSDT"


class SizeOrder(StreamOrder, frozen=True, kw_only=True):
    """Frames blown up with white space."""

    size_bytes: Annotated[int, Meta(ge=1, le=1_048_576)] = 65_536


class FrameOrder(Order, frozen=True, kw_only=True):
    """One made-up frame."""

    stream: str
    text: str = ""


class PoisonOrder(Order, frozen=True, kw_only=True):
    """One extra quote with exactly one thing wrong."""

    symbol: str


# Connections --------------------------------------------------------------------------------


class ConnectionOrder(Lasting, frozen=True, kw_only=True):
    """Which connections: of a category, or with a stream, or one by its number.

    Categories are public, market, private, orders (the order API), `` (un-routed), rest, stream
    (any but rest) and *.
    """

    category: str = "*"
    stream: str = ""
    connection: Count = 0
    future: bool = False  # connections made while the fault lasts are meant too


class DisconnectOrder(Order, frozen=True, kw_only=True):
    """Cut connections: without a word, or with a close code."""

    category: str = "*"
    stream: str = ""
    connection: Count = 0
    code: Annotated[int, Meta(ge=0, le=4_999)] = 0


class ShutdownOrder(Order, frozen=True, kw_only=True):
    """Announce a shutdown, and close after a while if asked to."""

    category: str = "*"
    close_after_ms: Millis | None = None


class HalfFrameOrder(ConnectionOrder, frozen=True, kw_only=True):
    """The next frame stops half-way; then the connection hangs or is cut."""

    cut: bool = False


class ShapeOrder(ConnectionOrder, frozen=True, kw_only=True):
    """Latency and bandwidth of what we send; a full buffer cuts the connection."""

    future: bool = True
    latency_ms: Annotated[float, Meta(ge=0, le=60_000)] = 0.0
    jitter_ms: Annotated[float, Meta(ge=0, le=60_000)] = 0.0
    bytes_per_s: Annotated[int, Meta(ge=0, le=10**10)] = 0  # 0: no limit
    buffer_bytes: Annotated[int, Meta(ge=1_024, le=67_108_864)] = 4_194_304


class PingsOrder(Lasting, frozen=True, kw_only=True):
    """Another rhythm of pings: a period of 0 means none at all."""

    period_ms: Millis = 0
    timeout_ms: Millis = 600_000


class LifeOrder(Lasting, frozen=True, kw_only=True):
    """Stream connections are closed at an age: the 24 hours, shortened."""

    life_ms: Annotated[int, Meta(ge=1, le=DAY_MS)]
    announce_ms: Millis = 0  # serverShutdown this long before


class RefuseOrder(Lasting, frozen=True, kw_only=True):
    """Nobody listens on the port, except on the control port."""

    duration_ms: Annotated[int, Meta(ge=1, le=600_000)]


class HandshakeOrder(Lasting, frozen=True, kw_only=True):
    """Upgrades are answered late, or never while it lasts."""

    category: str = "*"
    delay_ms: Annotated[int, Meta(ge=1, le=60_000)] = 60_000
    count: Count = 0


class SubscriptionOrder(Lasting, frozen=True, kw_only=True):
    """Subscriptions are acknowledged and never deliver."""

    stream: str
    count: Count = 0


# Requests -----------------------------------------------------------------------------------


class RequestOrder(Lasting, frozen=True, kw_only=True):
    """Which requests, and how many of them."""

    path: str = "*"
    method: str = "*"
    count: Count = 0


class RestOrder(RequestOrder, frozen=True, kw_only=True):
    """Any answer instead of the real one; the status -1 is a dead socket, 0 the real answer."""

    status: int = 0
    body: Any = ""
    execute: bool = True
    delay_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0
    headers: dict[str, str | int] = {}
    half: bool = False  # half of the body, then the connection closes


class HttpStatusOrder(RequestOrder, frozen=True, kw_only=True):
    """A refusal as the venue words it, on requests and, if asked, on stream handshakes."""

    status: Status
    retry_after_s: Annotated[int, Meta(ge=0, le=259_200)] | None = None
    streams: bool = False


class SlowOrder(RequestOrder, frozen=True, kw_only=True):
    """Answers that were right when they were computed."""

    path: str = "/fapi/v1/depth"
    delay_ms: Annotated[int, Meta(ge=1, le=60_000)] = 1_000


class HalfAnswerOrder(RequestOrder, frozen=True, kw_only=True):
    """Answers that stop in the middle of their body."""

    path: str = "/fapi/v1/depth"


class SnapshotOrder(Lasting, frozen=True, kw_only=True):
    """Snapshots of a symbol (or of all) that do not fit the stream."""

    symbol: str = ""
    count: Count = 0


class SnapshotIdOrder(SnapshotOrder, frozen=True, kw_only=True):
    """Snapshots whose id is moved."""

    ids: Annotated[int, Meta(ge=1, le=2**50)] = 1_000_000


class SkewOrder(Lasting, frozen=True, kw_only=True):
    """The venue's request clock runs beside the client's."""

    offset_ms: Annotated[int, Meta(ge=-(2**50), le=2**50)]
    hidden: bool = False  # the time request does not show it


class WeightOrder(Lasting, frozen=True, kw_only=True):
    """Another request weight per minute; the end lifts bans."""

    weight_1m: Annotated[int, Meta(ge=1, le=1_000_000)]


class TimeOffsetOrder(Order, frozen=True, kw_only=True):
    """The whole venue clock steps."""

    offset_ms: int = 0


# Instruments --------------------------------------------------------------------------------


class SymbolStatusOrder(Lasting, frozen=True, kw_only=True):
    """Another status; streams fall silent unless it is TRADING or they are told to go on."""

    symbol: str
    status: str = "SETTLING"
    streams: bool = False
    delivery_in_ms: Millis | None = None  # the end of the contract, announced
    listed: bool = True  # False: exchangeInfo no longer names it


class FilterOrder(Lasting, frozen=True, kw_only=True):
    """Other filters, in exchangeInfo and for orders; absent ones stay."""

    symbol: str
    tick_size: str = ""
    step_size: str = ""
    min_quantity: str = ""
    min_notional: str = ""


class NamesOrder(Lasting, frozen=True, kw_only=True):
    """What the name server of the exchange answers instead of an address."""

    failure: Annotated[str, Meta(pattern="^(nxdomain|servfail|silent)$")] = "nxdomain"
    name: str = ""  # one host name; empty means all


# User data ----------------------------------------------------------------------------------


class AccountOrder(Order, frozen=True, kw_only=True):
    """Something that happens to an account's listen key."""

    account: str = ""


class UserEventOrder(Order, frozen=True, kw_only=True):
    """A made-up user-data event."""

    account: str = ""
    event: dict[str, Any]


# Themselves ---------------------------------------------------------------------------------


class PartialOrder(Lasting, frozen=True, kw_only=True):
    """Orders that take liquidity find part of it; with `cut` the user streams die just then."""

    share: Share = 0.5
    count: Count = 0
    cut: bool = False


class FundingOrder(AccountOrder, frozen=True, kw_only=True):
    """A funding payment on every open position of an account."""

    rate_ppm: Annotated[int, Meta(ge=-30_000, le=30_000)] = 100  # of the notional; longs pay


class ForcedOrder(AccountOrder, frozen=True, kw_only=True):
    """Trades on an account that its owner's programs did not ask for."""

    symbol: str = ""  # empty: every symbol with a position
    qty: str = ""  # empty: the whole position
    side: Annotated[str, Meta(pattern="^(BUY|SELL|)$")] = ""  # empty: against the position


class EndOrder(Order, frozen=True, kw_only=True):
    """End one fault before its time."""

    id: int


class ClearOrder(Order, frozen=True, kw_only=True):
    """End everything."""


def parse(shape: type[Order], order: Mapping[str, Any]) -> Order:
    """Return an order in its shape; `kind` has been read already.

    Raises:
        ApiError: -1000 with a sentence naming the word that does not fit.
    """
    words = {name: word for name, word in order.items() if name != "kind"}
    try:
        return msgspec.convert(words, shape)
    except msgspec.ValidationError as fault:
        raise ApiError(-1000, f"fault {order.get('kind')!r}: {fault}") from fault
