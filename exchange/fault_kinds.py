"""The table of faults: each name, the shape of its order, and what it does in a sentence.

Control routes, scenario files and docs/practice_exchange.md all speak of this table.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from exchange import fault_orders as orders
from exchange.fault_orders import Order
from exchange.poison import POISON


class FaultKind(NamedTuple):
    """One row of the table."""

    shape: type[Order]
    says: str


STREAM_KINDS: dict[str, FaultKind] = {
    "gap": FaultKind(orders.StreamOrder, "diffs never leave: the next `pu` does not fit"),
    "drop": FaultKind(orders.StreamOrder, "frames never leave"),
    "silent": FaultKind(orders.StreamOrder, "one stream is silent while it lasts"),
    "duplicate": FaultKind(orders.CopiesOrder, "frames leave `copies` times more"),
    "reorder": FaultKind(orders.SpanOrder, "a frame leaves after the `span` that follow it"),
    "replayed": FaultKind(orders.SpanOrder, "the last `span` frames leave once more"),
    "burst": FaultKind(orders.SpanOrder, "a stall of `span` frames, then all at once"),
    "lag": FaultKind(orders.SpanOrder, "the stream runs `span` frames behind, then catches up"),
    "frozen": FaultKind(orders.StreamOrder, "prices stand still; ids and times go on"),
    "crossed": FaultKind(orders.StreamOrder, "bid and ask change places; so do a diff's levels"),
    "locked": FaultKind(orders.StreamOrder, "the bid equals the ask"),
    "bad_price": FaultKind(orders.ValueOrder, "the first price is `value`: NaN, Infinity, -1, 0"),
    "bad_quantity": FaultKind(orders.QuantityOrder, "the first quantity is `value`"),
    "off_grid": FaultKind(orders.StreamOrder, "the first price lies between two ticks"),
    "price_factor": FaultKind(orders.FactorOrder, "every price times `factor`"),
    "set_field": FaultKind(orders.FieldOrder, "`field` is `value`, whatever JSON that is"),
    "wrong_pu": FaultKind(orders.OffsetOrder, "`pu` moves by `offset`; nothing is lost"),
    "wrong_id": FaultKind(orders.OffsetOrder, "update or trade ids move by `offset`"),
    "wrong_time": FaultKind(orders.OffsetOrder, "E and T move by `offset` milliseconds"),
    "wrong_symbol": FaultKind(orders.SymbolOrder, "frames name the symbol `to`"),
    "mixed_product": FaultKind(orders.StreamOrder, "each frame is followed by its COIN-M cousin"),
    "other_product": FaultKind(orders.StreamOrder, "`st` is 2 and nothing else tells"),
    "tagged": FaultKind(orders.StreamOrder, "good frames with `st` 1 and `ps`: not a lie"),
    "garbage": FaultKind(orders.StreamOrder, "random bytes, the same for the same seed"),
    "half": FaultKind(orders.StreamOrder, "half a payload in a whole frame"),
    "empty": FaultKind(orders.StreamOrder, "frames without payload"),
    "padded": FaultKind(orders.SizeOrder, "the same JSON, blown up to `size_bytes`"),
}
CONNECTION_KINDS: dict[str, FaultKind] = {
    "silent_connection": FaultKind(orders.ConnectionOrder, "no data; pings and pongs go on"),
    "dead_connection": FaultKind(orders.ConnectionOrder, "open, and nothing goes either way"),
    "no_pong": FaultKind(orders.ConnectionOrder, "pings of the client stay unanswered"),
    "lost_pongs": FaultKind(orders.ConnectionOrder, "pongs of the client count as missed"),
    "half_frame": FaultKind(
        orders.HalfFrameOrder, "half a frame, then a hang, or with `cut` the end"
    ),
    "shape": FaultKind(orders.ShapeOrder, "latency, jitter, bandwidth, a bounded buffer"),
    "pings": FaultKind(
        orders.PingsOrder, "pings every `period_ms` (0: none), `timeout_ms` to answer"
    ),
    "life_limit": FaultKind(
        orders.LifeOrder, "streams close at `life_ms`: the 24 hours, shortened"
    ),
    "refuse_connections": FaultKind(orders.RefuseOrder, "nobody listens: connection refused"),
    "slow_handshake": FaultKind(orders.HandshakeOrder, "upgrades wait `delay_ms` for their answer"),
    "accepted_silent": FaultKind(
        orders.SubscriptionOrder, "subscriptions are acknowledged and never deliver"
    ),
    "names": FaultKind(orders.NamesOrder, "the name server knows no address"),
    "disconnect": FaultKind(orders.DisconnectOrder, "connections are cut, or closed with `code`"),
    "server_shutdown": FaultKind(
        orders.ShutdownOrder, "serverShutdown, and the close that follows"
    ),
}
REQUEST_KINDS: dict[str, FaultKind] = {
    "rest": FaultKind(orders.RestOrder, "any answer, done or not, late or never"),
    "http_status": FaultKind(orders.HttpStatusOrder, "451, 403, 418, 429, 5xx in the venue's form"),
    "slow_answer": FaultKind(
        orders.SlowOrder, "answers right when computed, sent `delay_ms` later"
    ),
    "half_answer": FaultKind(orders.HalfAnswerOrder, "the connection breaks in the body"),
    "stale_snapshot": FaultKind(orders.SnapshotOrder, "books as they were when it was armed"),
    "snapshot_behind": FaultKind(orders.SnapshotIdOrder, "older than the whole stream by `ids`"),
    "snapshot_ahead": FaultKind(orders.SnapshotIdOrder, "newer than the stream by `ids`"),
    "crossed_snapshot": FaultKind(orders.SnapshotOrder, "bids and asks change places"),
    "empty_snapshot": FaultKind(orders.SnapshotOrder, "a book without levels"),
    "clock_skew": FaultKind(
        orders.SkewOrder, "requests are judged by a clock `offset_ms` off: -1021"
    ),
    "weight_limit": FaultKind(orders.WeightOrder, "a smaller weight per minute: 429, then 418"),
    "time_offset": FaultKind(orders.TimeOffsetOrder, "the whole venue clock steps"),
}
MARKET_KINDS: dict[str, FaultKind] = {
    "partial_fill": FaultKind(
        orders.PartialOrder, "orders find a `share` of the book; `cut`: user streams die first"
    ),
    "symbol_status": FaultKind(
        orders.SymbolStatusOrder, "delisting: another status, -4108 for orders, silence"
    ),
    "filter_change": FaultKind(orders.FilterOrder, "other filters in exchangeInfo and for orders"),
}
SINGLE_KINDS: dict[str, FaultKind] = {
    "frame": FaultKind(orders.FrameOrder, "one made-up frame"),
    **{kind: FaultKind(orders.PoisonOrder, "one extra bad quote") for kind in sorted(POISON)},
    "listen_key_expired": FaultKind(orders.AccountOrder, "the account's listen key ends"),
    "user_event": FaultKind(orders.UserEventOrder, "a made-up user-data event"),
    "funding": FaultKind(orders.FundingOrder, "every position pays or receives `rate_ppm`"),
    "liquidation": FaultKind(orders.ForcedOrder, "the venue closes positions: `autoclose-...`"),
    "deleveraging": FaultKind(orders.ForcedOrder, "ADL takes positions away: `adl_autoclose`"),
    "settlement": FaultKind(orders.ForcedOrder, "delivery: `settlement_autoclose-...`"),
    "manual_trade": FaultKind(orders.ForcedOrder, "a market order of the account's, by hand"),
}
SELF_KINDS: dict[str, FaultKind] = {
    "end": FaultKind(orders.EndOrder, "end the fault `id`"),
    "clear": FaultKind(orders.ClearOrder, "end every fault"),
}
KINDS: dict[str, FaultKind] = {
    **STREAM_KINDS,
    **CONNECTION_KINDS,
    **REQUEST_KINDS,
    **MARKET_KINDS,
    **SINGLE_KINDS,
    **SELF_KINDS,
}


def kinds_view() -> list[dict[str, object]]:
    """Return the table as the control routes tell it."""
    return [
        {
            "kind": name,
            "says": row.says,
            "words": [entry.name for entry in msgspec.structs.fields(row.shape)],
        }
        for name, row in KINDS.items()
    ]
