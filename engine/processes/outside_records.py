"""Orders from outside as records of the control ring, and the brain's echo of them: bytes only.

Main writes and reads these without numpy. Offsets are those of `records.EVENT_FIELDS`; a test
compares them.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final, NamedTuple

from engine.domain.codes import (
    EVENT_APPLIED,
    EVENT_DUPLICATE,
    EVENT_POST_ONLY,
    EVENT_REDUCE_ONLY,
    EventType,
    OrderStatus,
    OrderType,
    Role,
    TimeInForce,
    TradingState,
)

SLOT_BYTES: Final = 256
SEQUENCE_BYTES: Final = 8  # of a slot: the ring's own, no part of a payload
TEXT_BYTES: Final = 40
INPUTS: Final = 5

# Offset in a slot of what is written, and its form.
FIELDS: Final = {
    "time_ns": (8, struct.Struct("<q")),
    "venue_time_ns": (16, struct.Struct("<q")),
    "event_type": (24, struct.Struct("<H")),
    "role": (26, struct.Struct("<B")),
    "flags": (27, struct.Struct("<B")),
    "instrument_index": (28, struct.Struct("<i")),
    "strategy_index": (32, struct.Struct("<i")),
    "side": (36, struct.Struct("<b")),
    "order_type": (37, struct.Struct("<B")),
    "time_in_force": (38, struct.Struct("<B")),
    "order_status": (39, struct.Struct("<B")),
    "order_sequence": (40, struct.Struct("<q")),
    "cause_sequence": (48, struct.Struct("<q")),
    "price_ticks": (56, struct.Struct("<q")),
    "qty_lots": (64, struct.Struct("<q")),
    "cum_qty_lots": (72, struct.Struct("<q")),
    "last_qty_lots": (88, struct.Struct("<q")),
    "trade_id": (104, struct.Struct("<q")),
    "reason": (128, struct.Struct("<i")),
    "liquidity": (132, struct.Struct("<B")),
    "order_status_after": (133, struct.Struct("<B")),
    "trading_state": (134, struct.Struct("<B")),
    "epoch_low": (135, struct.Struct("<B")),
    "refusal_mask": (136, struct.Struct("<Q")),
    **{f"input_{k}": (168 + 8 * k, struct.Struct("<d")) for k in range(INPUTS)},
    "good_till_ms": (192, struct.Struct("<q")),  # of a GTD order, where others have input_3
    "text": (208, struct.Struct(f"<{TEXT_BYTES}s")),
    "request_id": (248, struct.Struct("<q")),
}


class OutsideOrder(NamedTuple):
    """An order as it goes to the gates: ticks and lots of one instrument."""

    instrument_index: int
    side: int  # 1 or -1
    qty_lots: int
    price_ticks: int = 0  # 0: at the market
    time_in_force: TimeInForce = TimeInForce.GTC
    is_post_only: bool = False
    is_reduce_only: bool = False
    good_till_ms: int = 0  # of a GTD order: when it expires, on the venue's clock

    @property
    def flags(self) -> int:
        """Return the flags of its record."""
        post_only = EVENT_POST_ONLY if self.is_post_only else 0
        return post_only | (EVENT_REDUCE_ONLY if self.is_reduce_only else 0)

    def words(self) -> dict[str, int]:
        """Return its fields as a record has them."""
        date = {"good_till_ms": self.good_till_ms} if self.good_till_ms else {}
        return date | {
            "instrument_index": self.instrument_index,
            "side": self.side,
            "qty_lots": self.qty_lots,
            "price_ticks": self.price_ticks,
            "order_type": OrderType.LIMIT if self.price_ticks else OrderType.MARKET,
            "time_in_force": self.time_in_force,
            "flags": self.flags,
        }


class Echo(NamedTuple):
    """What the brain answered to a record."""

    request_id: int
    order_sequence: int
    epoch_low: int
    status: OrderStatus  # NONE: nothing is known of such an order
    refusal_mask: int
    trading_state: TradingState
    is_applied: bool
    is_known: bool  # it was answered before, with this


def pack_outside(event: EventType, role: Role, text: str, words: Mapping[str, float]) -> bytes:
    """Return a whole slot of a record from outside, its sequence 0, stamped with the time of now.

    Args:
        event: CONTROL_ORDER, CHILD_ORDER and their like.
        role: who writes.
        text: who and why, cut to 40 bytes.
        words: fields by name; `instrument_index` and `strategy_index` are -1 where not given.
    """
    slot = bytearray(SLOT_BYTES)
    given = {"instrument_index": -1, "strategy_index": -1, "time_ns": time.monotonic_ns(), **words}
    for name, word in {**given, "event_type": event, "role": role}.items():
        offset, form = FIELDS[name]
        form.pack_into(slot, offset, word)
    offset, form = FIELDS["text"]
    form.pack_into(slot, offset, text.encode("utf-8", "replace")[:TEXT_BYTES])
    return bytes(slot)


def read_echo(slot: bytes | memoryview) -> Echo:
    """Return what a slot of the brain's events says, if it is an echo of an outside record."""
    flags = _word(slot, "flags")
    return Echo(
        request_id=_word(slot, "request_id"),
        order_sequence=_word(slot, "order_sequence"),
        epoch_low=_word(slot, "epoch_low"),
        status=OrderStatus(_word(slot, "order_status_after")),
        refusal_mask=_word(slot, "refusal_mask"),
        trading_state=TradingState(_word(slot, "trading_state")),
        is_applied=bool(flags & EVENT_APPLIED),
        is_known=bool(flags & EVENT_DUPLICATE),
    )


def event_type_of(slot: bytes | memoryview) -> int:
    """Return the type of an event slot."""
    return _word(slot, "event_type")


def request_number(caller: str, request_id: str) -> int:
    """Return the number of a caller's request: 63 bits, above 0, the same for the same words."""
    digest = blake2b(f"{caller}\0{request_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1 or 1


def _word(slot: bytes | memoryview, name: str) -> int:
    offset, form = FIELDS[name]
    found: int = form.unpack_from(slot, offset)[0]
    return found
