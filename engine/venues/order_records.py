"""Commands as an order venue reads them and reports as it writes them: 256-byte event records.

The rooms of venues know no ring. An executor hands over the bytes of a command slot and takes the
bytes of a report; both are rows of `engine.domain.records.EVENT_DTYPE`, read by `native_ext` and
packed here with `struct`, so that the order side starts without numpy. A test compares every field
with the dtype.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import Final, NamedTuple

from engine.clock import VenueClock
from engine.domain.codes import EventType, Role
from native_ext import _native

RECORD_BYTES = 256
SEQUENCE_BYTES = 8  # in front of a slot's payload; the ring stamps them
TEXT_BYTES = 40

# A command is read from its slot's payload by C, its time is ignored; a report is a whole record.
_REPORT = struct.Struct("<qqqHBBiibBBBqqqqqqqqqqqiBBBBQqqqqqqqq40sq")
KIND_PLACE, INDEX_PLACE, TRADE_PLACE, REASON_PLACE = 3, 6, 20, 23  # of the fields above
# As in engine.domain.trade_ids, which needs Numba; a test compares.
KIND_FILL: Final = 0
KIND_FUNDING: Final = 1
PAYMENTS_MAX: Final = 4096
_INSTRUMENT = struct.Struct("<i")
INSTRUMENT_OFFSET = 28
TOLD_MAX: Final = 65_536  # fills; a fetch asks for two minutes of them again
assert _REPORT.size == RECORD_BYTES, "a report fills its slot exactly"


class LocalReason(IntEnum):
    """Reasons of reports that no venue gave a number for; venue numbers are negative."""

    TIMEOUT = 9001  # no answer in time
    CONNECTION_LOST = 9002  # the connection ended between send and answer
    UNREADABLE = 9003  # an answer that does not decode
    RATE_PAUSED = 9004  # not sent: the venue asked us to stop for a while
    NO_CONNECTION = 9005  # not sent: the venue cannot be reached
    QUEUE_FULL = 9006  # not sent: too much is waiting already
    UNSUPPORTED = 9007  # not sent: this venue module does not do that
    NOT_QUIET = 9008  # the account changed during every attempt to read it
    NO_MARKET = 9009  # paper: there is no live quote to fill against
    NOTHING_TO_REDUCE = 9010  # paper: reduce-only, and no position on the other side
    INSTRUMENT_CLOSED = 9011  # the venue takes no order of the instrument at all
    WOULD_TAKE = 9012  # post-only, and the price had come to it meanwhile
    OVERDUE = 9013  # not sent: an entry decided more than SUBMISSION_NS_MAX ago
    CALLBACK_RANGE = 9014  # not sent: the venue trails no stop at such a distance
    OTHER_FEE = 9015  # a fee was paid in an asset that the books do not count


class Command(NamedTuple):
    """What the kernel asks of the venue. Prices in ticks, quantities in lots.

    `native_ext/commands.h` knows the order of the fields.
    """

    since_venue_time_ns: int  # FETCH: fills from here on; 0: as far back as the venue tells
    event_type: int
    role: int
    flags: int
    instrument_index: int
    strategy_index: int
    side: int
    order_type: int
    time_in_force: int
    order_status: int  # NEW: COMMAND_ON_LINE, or 0
    order_sequence: int
    cause_sequence: int
    price_ticks: int
    qty_lots: int
    venue_order_id: int
    trade_id: int  # FETCH: fills after this one; 0: not known
    reason: int
    epoch_low: int
    cause_receive_time_ns: int
    decision_time_ns: int
    mid_half_ticks: int  # NEW: bid + ask at the decision, in ticks; 0: one side was empty
    client_order_id: str  # as sent before; empty: made from the numbers
    request_id: int
    good_till_ms: int = 0  # NEW, GTD: when it expires, on the venue's clock since the epoch


# The command in a slot's payload, 248 bytes; nothing of the slot is kept. No frame of Python: every
# order waits for it.
read_command: Final[Callable[[bytes | memoryview], Command]] = partial(
    _native.read_command, Command
)


class Report(NamedTuple):
    """What the venue said, or what happened to a command on its way."""

    event_type: EventType
    instrument_index: int = -1
    strategy_index: int = -1
    venue_time_ns: int = 0
    flags: int = 0
    side: int = 0
    order_type: int = 0
    time_in_force: int = 0
    order_status: int = 0
    order_sequence: int = 0
    cause_sequence: int = 0
    price_ticks: int = 0
    qty_lots: int = 0
    cum_qty_lots: int = 0
    last_price_ticks: int = 0
    last_qty_lots: int = 0
    venue_order_id: int = 0
    trade_id: int = 0
    fee_e8: int = 0
    venue_realised_pnl_e8: int = 0  # FUNDING: funding_e8, received > 0
    reason: int = 0
    liquidity: int = 0
    epoch_low: int = 0
    position_lots: int = 0
    position_cost_e8: int = 0
    word_0: int = 0  # cause_receive_time_ns, wallet_e8 or clock_offset_ns, by event type
    word_1: int = 0  # decision_time_ns, available_e8 or clock_rate_ppb
    word_2: int = 0  # write_time_ns or clock_anchor_ns
    text: str = ""
    request_id: int = 0


def event_instrument(record: bytes) -> int:
    """Return the instrument index of an event record's 256 bytes."""
    index: int = _INSTRUMENT.unpack_from(record, INSTRUMENT_OFFSET)[0]
    return index


class AppliedTrades:
    """Fills and payments that the books hold: of earlier sessions' records, or told in this one."""

    def __init__(self, told_max: int = TOLD_MAX) -> None:
        """Start knowing none; of more than `told_max` told in this session the oldest go first."""
        self._ids: dict[int, set[int]] = {}
        self._floors: dict[int, int] = {}  # every id up to here
        self._highest: dict[int, int] = {}
        self._told: dict[tuple[int, int], None] = {}  # in order
        self._told_max = told_max
        self._payments: dict[tuple[int, int], None] = {}  # in order

    def tell(self, report: Report, epoch_low: int) -> None:
        """Take a report that is told now; only fills of this session's own orders are certain.

        Of any other fill the books may not know yet whose it is, and need to hear it again.
        """
        if report.event_type == EventType.FUNDING and report.trade_id > 0:
            self._keep_payment(report.instrument_index, report.trade_id)
        if report.event_type != EventType.FILL or report.order_sequence <= 0:
            return
        if report.epoch_low == epoch_low:
            self._told[report.instrument_index, report.trade_id] = None
            self._rise(report.instrument_index, report.trade_id)
            if len(self._told) > self._told_max:
                del self._told[next(iter(self._told))]

    def learn(self, record: bytes) -> None:
        """Take a RESTORE_* record of 256 bytes; most of them tell no fill."""
        fields = _REPORT.unpack(record)
        kind, index, trade_id = fields[KIND_PLACE], fields[INDEX_PLACE], fields[TRADE_PLACE]
        if trade_id <= 0:
            return
        if kind == EventType.RESTORE_POSITION:
            self._floors[index] = max(self._floors.get(index, 0), trade_id)
            self._rise(index, trade_id)
        elif kind == EventType.RESTORE_ORDER and fields[REASON_PLACE] == KIND_FILL:
            self._ids.setdefault(index, set()).add(trade_id)
            self._rise(index, trade_id)
        elif kind == EventType.RESTORE_ORDER and fields[REASON_PLACE] == KIND_FUNDING:
            self._keep_payment(index, trade_id)

    def holds(self, instrument_index: int, trade_id: int) -> bool:
        """Return whether the books hold a fill."""
        if (instrument_index, trade_id) in self._told:
            return True
        is_known = trade_id in self._ids.get(instrument_index, ())
        return is_known or trade_id <= self.floor(instrument_index)

    def holds_payment(self, instrument_index: int, number: int) -> bool:
        """Return whether the books hold a payment."""
        return (instrument_index, number) in self._payments

    def floor(self, instrument_index: int) -> int:
        """Return the trade id up to which the books hold every fill; 0: none."""
        return self._floors.get(instrument_index, 0)

    def highest(self, instrument_index: int) -> int:
        """Return the highest trade id of a fill that the books hold; 0: none."""
        return self._highest.get(instrument_index, 0)

    def _keep_payment(self, index: int, number: int) -> None:
        self._payments[index, number] = None
        if len(self._payments) > PAYMENTS_MAX:
            del self._payments[next(iter(self._payments))]

    def _rise(self, index: int, trade_id: int) -> None:
        self._highest[index] = max(self._highest.get(index, 0), trade_id)


def clock_report(clock: VenueClock) -> Report:
    """Return what a venue's clock has learned, as the kernel hears it."""
    return Report(
        EventType.VENUE_CLOCK,
        venue_time_ns=clock.venue_at_anchor_ns,
        word_0=clock.venue_at_anchor_ns - clock.anchor_ns,
        word_1=clock.rate_ppb,
        word_2=clock.anchor_ns,
    )


def pack_report(report: Report, time_ns: int) -> bytes:
    """Return the 256 bytes of a report made at `time_ns` on the monotonic clock."""
    return _REPORT.pack(
        0,
        time_ns,
        report.venue_time_ns,
        report.event_type,
        Role.BRAIN,
        report.flags,
        report.instrument_index,
        report.strategy_index,
        report.side,
        report.order_type,
        report.time_in_force,
        report.order_status,
        report.order_sequence,
        report.cause_sequence,
        report.price_ticks,
        report.qty_lots,
        report.cum_qty_lots,
        report.last_price_ticks,
        report.last_qty_lots,
        report.venue_order_id,
        report.trade_id,
        report.fee_e8,
        report.venue_realised_pnl_e8,
        report.reason,
        report.liquidity,
        0,
        0,
        report.epoch_low,
        0,
        report.position_lots,
        report.position_cost_e8,
        0,
        report.word_0,
        report.word_1,
        report.word_2,
        0,
        0,
        report.text.encode("ascii", "replace")[:TEXT_BYTES],
        report.request_id,
    )
