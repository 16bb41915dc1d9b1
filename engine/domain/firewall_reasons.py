"""Why a market record was refused: one table for both firewall layers.

The feed's layer is C and takes the same numbers from `native_ext/records.h`, which is generated
from this file; the brain's layer is `engine/domain/firewall.py`. A code is stable: it is stored in
journals. A code is never reused, and a further law takes the next free number.
"""

from __future__ import annotations

from enum import IntEnum

# What either layer takes for a number of its kind, whatever the venue's own bounds are: so large
# that no instrument reaches it, so small that a price times a quantity of it fits the arithmetic.
PRICE_TICKS_MAX = 1 << 40
QTY_LOTS_MAX = 1 << 50


class FirewallReason(IntEnum):
    """The law that a frame or record broke. 0: it broke none."""

    NONE = 0
    # The bytes.
    MALFORMED = 1
    FRAME_OVERSIZE = 2
    FRAME_KIND = 3
    EVENT_UNKNOWN = 4
    FIELD_MISSING = 5
    # Numbers.
    NOT_FINITE = 6
    NUMBER_RANGE = 7
    PRICE_NOT_POSITIVE = 8
    QTY_NEGATIVE = 9
    QTY_ZERO = 10
    OFF_TICK = 11
    OFF_LOT = 12
    # Whose record it is.
    SYMBOL_UNKNOWN = 13
    SYMBOL_MISMATCH = 14
    PRODUCT_OTHER = 15
    # Quotes.
    QUOTE_CROSSED = 16
    QUOTE_LOCKED = 17
    SPREAD_WIDE = 18
    # Time and order.
    TIME_FUTURE = 19
    TIME_PAST = 20
    ID_DUPLICATE = 21
    ID_OUT_OF_ORDER = 22
    ID_JUMP = 23
    PRICE_JUMP = 24
    # Bars.
    BAR_RANGE = 25
    BAR_OPEN_CLOSE = 26
    BAR_TIME = 27
    BAR_VOLUME = 28
    # Books.
    DEPTH_GAP = 29
    DEPTH_RANGE = 30
    BOOK_CROSSED = 31
    LEVEL_COUNT = 32
    # The rest of the channels.
    SIDE_UNKNOWN = 33
    FUNDING_RANGE = 34
    # Brain only: a record that C wrote, but that no producer should have.
    RECORD_TYPE_UNKNOWN = 35
    INSTRUMENT_UNKNOWN = 36
    SEQUENCE_BROKEN = 37
    # What a record says against those before it.
    QUOTE_FROZEN = 38
    PRICE_SPIKE = 39
    BAR_HISTORY = 40
    BOOK_DIVERGED = 41


FIREWALL_REASON_COUNT = 42  # one above the highest code: length of every reject counter array

FIREWALL_REASON_TEXT: dict[FirewallReason, str] = {
    FirewallReason.NONE: "accepted",
    FirewallReason.MALFORMED: "the bytes are not the JSON this stream sends",
    FirewallReason.FRAME_OVERSIZE: "the frame is longer than a frame may be",
    FirewallReason.FRAME_KIND: "the frame is neither text nor a control frame",
    FirewallReason.EVENT_UNKNOWN: "the event type is not one that was subscribed",
    FirewallReason.FIELD_MISSING: "a field this event needs is absent",
    FirewallReason.NOT_FINITE: "a number is NaN, infinite or not a decimal",
    FirewallReason.NUMBER_RANGE: "a number does not fit its field",
    FirewallReason.PRICE_NOT_POSITIVE: "a price is zero or negative",
    FirewallReason.QTY_NEGATIVE: "a quantity is negative",
    FirewallReason.QTY_ZERO: "a quantity is zero where one must be",
    FirewallReason.OFF_TICK: "a price is not a multiple of the tick size",
    FirewallReason.OFF_LOT: "a quantity is not a multiple of the lot size",
    FirewallReason.SYMBOL_UNKNOWN: "the symbol is not one that was subscribed",
    FirewallReason.SYMBOL_MISMATCH: "the symbol is not the one its stream is named for",
    FirewallReason.PRODUCT_OTHER: "the record belongs to another product family",
    FirewallReason.QUOTE_CROSSED: "the best bid is above the best ask",
    FirewallReason.QUOTE_LOCKED: "the best bid equals the best ask",
    FirewallReason.SPREAD_WIDE: "the spread is wider than its bound",
    FirewallReason.TIME_FUTURE: "the venue time lies ahead of the venue clock",
    FirewallReason.TIME_PAST: "the venue time lies too far behind the venue clock",
    FirewallReason.ID_DUPLICATE: "the id was seen already",
    FirewallReason.ID_OUT_OF_ORDER: "the id is below the last one",
    FirewallReason.ID_JUMP: "the id is further ahead than ids advance",
    FirewallReason.PRICE_JUMP: "the price is further from the last one than its bound",
    FirewallReason.BAR_RANGE: "the bar's high is below its low",
    FirewallReason.BAR_OPEN_CLOSE: "the bar's open or close lies outside high and low",
    FirewallReason.BAR_TIME: "the bar's times do not match its interval",
    FirewallReason.BAR_VOLUME: "the bar's volume and trade count contradict each other",
    FirewallReason.DEPTH_GAP: "a book diff does not follow the one before it",
    FirewallReason.DEPTH_RANGE: "the update ids of a book diff contradict each other",
    FirewallReason.BOOK_CROSSED: "the book is crossed after the diff",
    FirewallReason.LEVEL_COUNT: "more levels than a frame may carry",
    FirewallReason.SIDE_UNKNOWN: "the side is neither BUY nor SELL",
    FirewallReason.FUNDING_RANGE: "the funding rate is outside its bound",
    FirewallReason.RECORD_TYPE_UNKNOWN: "the record type is none that is written",
    FirewallReason.INSTRUMENT_UNKNOWN: "the instrument index is none that was published",
    FirewallReason.SEQUENCE_BROKEN: "the record's sequence does not follow the one before it",
    FirewallReason.QUOTE_FROZEN: "ids and times go on while the quote stands still",
    FirewallReason.PRICE_SPIKE: "the price moved further than its own recent moves allow",
    FirewallReason.BAR_HISTORY: "the bar contradicts what its stream said of it before",
    FirewallReason.BOOK_DIVERGED: "the book and the quote of the same update id differ",
}

assert max(FirewallReason) + 1 == FIREWALL_REASON_COUNT, "counter arrays cover every reason"
assert set(FIREWALL_REASON_TEXT) == set(FirewallReason), "every reason says what it means"
