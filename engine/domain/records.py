"""Every record that crosses a ring or enters the journal: one table, one place.

Two shapes exist. A market record fills one 64-byte slot; an event record fills one 256-byte slot
and serves the event rings, the control ring, the command ring and the report ring. Both are numpy
structured dtypes whose per-type fields overlap: `record_type` or `event_type` says which of them
mean something. `native_ext/records.h` is generated from this file (`python -m
engine.domain.records_header`) and a test compares the two.

        market slot, 64 bytes                     event slot, 256 bytes
     0  sequence          int64               0  sequence, time_ns, venue_time_ns
     8  receive_time_ns   int64              24  event_type, role, flags, instrument_index
    16  venue_time_ns     int64              32  strategy_index, side .. order_status
    24  instrument_index, record_type,       40  order, prices, quantities, ids, money
        flags, aux                          168  inputs of a decision (five float64)
    32  four int64 by type                  208  text, then request_id at 248

Numbers on the wire are decimal; here they are integers: prices in ticks, quantities in lots, money
in 1e-8 of the quote currency (`_e8`). Times are ns: `receive_time_ns`, `time_ns` on the monotonic
clock of this host, `venue_time_ns` on the venue's clock since the epoch.
"""

from __future__ import annotations

import numpy as np

from engine.domain.codes import (
    BAR_FINAL,
    CONFLATED,
    EVENT_APPLIED,
    EVENT_DUPLICATE,
    EVENT_ENTRY,
    EVENT_FOREIGN,
    EVENT_POST_ONLY,
    EVENT_REDUCE_ONLY,
    LEVEL_BID,
    LEVEL_LAST_OF_DIFF,
    LEVEL_SNAPSHOT_FIRST,
    LIQUIDATION_BUY,
    TRADE_AGGREGATED,
    TRADE_BUYER_AGGRESSOR,
    VECTOR_SLOT_BYTES,
    Channel,
    EventType,
    GapReason,
    Liquidity,
    Liveness,
    OrderStatus,
    OrderType,
    RecordType,
    Role,
    Side,
    TimeInForce,
    TradingState,
)

MARKET_SLOT_BYTES = 64
EVENT_SLOT_BYTES = 256
TEXT_BYTES = 40
MARKS_PER_RECORD = 6

MARKET_FIELDS: tuple[tuple[str, str, int], ...] = (
    ("sequence", "<i8", 0),
    ("receive_time_ns", "<i8", 8),
    ("venue_time_ns", "<i8", 16),
    ("instrument_index", "<u2", 24),
    ("record_type", "<u1", 26),
    ("flags", "<u1", 27),
    ("aux", "<i4", 28),  # BAR: interval_s; LIVENESS, GAP: channel; QUOTE: low bits of its id
    # QUOTE
    ("bid_price_ticks", "<i8", 32),
    ("ask_price_ticks", "<i8", 40),
    ("bid_qty_lots", "<i8", 48),
    ("ask_qty_lots", "<i8", 56),
    # TRADE, LEVEL, LIQUIDATION
    ("price_ticks", "<i8", 32),
    ("qty_lots", "<i8", 40),
    ("trade_id", "<i8", 48),  # aggTrade: its `a`
    ("trade_count", "<i8", 56),
    ("update_id", "<i8", 48),
    ("average_price_ticks", "<i8", 48),
    # BAR: offsets from the open, in ticks; venue_time_ns is the bar's open time
    ("open_ticks", "<i8", 32),
    ("high_offset_ticks", "<i4", 40),
    ("low_offset_ticks", "<i4", 44),
    ("close_offset_ticks", "<i4", 48),
    ("bar_trade_count", "<i4", 52),
    ("volume_lots", "<i8", 56),
    # MARK
    ("mark_price_e8", "<i8", 32),
    ("index_price_e8", "<i8", 40),
    ("funding_rate_e8", "<i8", 48),
    ("next_funding_time_ns", "<i8", 56),
    # LIVENESS
    ("liveness", "<i8", 32),
    ("liveness_before", "<i8", 40),
    ("since_ns", "<i8", 48),
    # GAP
    ("lost_count", "<i8", 32),
    ("first_id", "<i8", 40),
    ("last_id", "<i8", 48),
    ("gap_reason", "<i8", 56),
    # FILTER
    ("filter_number", "<i8", 32),
    ("filter_before", "<i8", 40),
)

EVENT_FIELDS: tuple[tuple[str, str, int], ...] = (
    ("sequence", "<i8", 0),
    ("time_ns", "<i8", 8),
    ("venue_time_ns", "<i8", 16),
    ("event_type", "<u2", 24),
    ("role", "<u1", 26),
    ("flags", "<u1", 27),
    ("instrument_index", "<i4", 28),
    ("strategy_index", "<i4", 32),
    ("side", "<i1", 36),
    ("order_type", "<u1", 37),
    ("time_in_force", "<u1", 38),
    ("order_status", "<u1", 39),  # in a report: what the venue said; COMMAND_NEW: who writes it
    ("order_sequence", "<i8", 40),  # our number of the order; 0: not ours or none
    ("cause_sequence", "<i8", 48),  # market sequence that caused it
    ("price_ticks", "<i8", 56),
    ("qty_lots", "<i8", 64),
    ("cum_qty_lots", "<i8", 72),
    ("last_price_ticks", "<i8", 80),
    ("last_qty_lots", "<i8", 88),
    ("venue_order_id", "<i8", 96),
    ("trade_id", "<i8", 104),
    ("fee_e8", "<i8", 112),
    ("venue_realised_pnl_e8", "<i8", 120),
    ("reason", "<i4", 128),  # gate code, venue error code, reconcile or state reason
    ("liquidity", "<u1", 132),
    ("order_status_after", "<u1", 133),  # derived: ours after the merge
    ("trading_state", "<u1", 134),
    ("epoch_low", "<u1", 135),
    ("refusal_mask", "<u8", 136),  # derived: one bit for each gate that refused
    ("position_lots", "<i8", 144),  # derived (VENUE_POSITION, RESTORE_POSITION: given)
    ("position_cost_e8", "<i8", 152),  # derived: signed cost of the open position
    ("realised_pnl_e8", "<i8", 160),  # derived: by this event (RESTORE_*: total so far)
    ("input_0", "<f8", 168),  # decision: score
    ("input_1", "<f8", 176),
    ("input_2", "<f8", 184),
    ("input_3", "<f8", 192),
    ("input_4", "<f8", 200),
    ("text", f"S{TEXT_BYTES}", 208),
    ("request_id", "<i8", 248),
    # Overlays of the decision's inputs in records that have none.
    ("cause_receive_time_ns", "<i8", 168),  # ORDER_REQUEST, COMMAND_*, ORDER_SENT
    ("decision_time_ns", "<i8", 176),  # ORDER_REQUEST, COMMAND_*, ORDER_SENT
    ("write_time_ns", "<i8", 184),  # ORDER_SENT: when the write of its first byte began
    ("mid_half_ticks", "<i8", 184),  # ORDER_REQUEST: bid + ask at the decision, in ticks
    ("good_till_ms", "<i8", 192),  # GTD of CONTROL_ORDER, ORDER_REQUEST, COMMAND_NEW, RESTORE_ORDER
    ("wallet_e8", "<i8", 168),  # VENUE_BALANCE
    ("available_e8", "<i8", 176),  # VENUE_BALANCE
    ("clock_offset_ns", "<i8", 168),  # VENUE_CLOCK: venue = offset + rate * monotonic
    ("clock_rate_ppb", "<i8", 176),  # VENUE_CLOCK: rate - 1, parts per 1e9
    ("clock_anchor_ns", "<i8", 184),  # VENUE_CLOCK: monotonic time at which offset holds
    ("day_realised_pnl_e8", "<i8", 168),  # RESTORE_LIMITS
    ("day_entry_count", "<i8", 176),  # RESTORE_LIMITS
    ("day_number", "<i8", 184),  # RESTORE_LIMITS: days since the epoch, UTC
    ("peak_equity_e8", "<i8", 192),  # RESTORE_LIMITS
    ("day_start_equity_e8", "<i8", 200),  # RESTORE_LIMITS
    ("failure_count", "<i8", 144),  # RESTORE_LIMITS: venue failures in a row
    ("cash_e8", "<i8", 152),  # RESTORE_LIMITS: wallet by our own books; LIMITS_CHANGED as all above
    ("funding_e8", "<i8", 120),  # FUNDING: received > 0; RESTORE_*: total so far
    # SIGNAL_GENERATED of an entry, where others have text; NaN: not known. The first two also in
    # RESTORE_POSITION, of the entry that opened it; 0: not known. Its prices are of STOP_TRAILED.
    ("expected_move_bps", "<f8", 208),
    ("confidence", "<f8", 216),  # 0 to 1
    ("cost_bps", "<f8", 224),  # two fees, spread, slippage
    ("edge_bps", "<f8", 232),  # what the row claims of the move, less the cost
    ("wanted_lots", "<i8", 72),  # and before it was sized; 0: as the row's notional says
    ("size_reasons", "<u1", 132),  # and what made it smaller: bits of engine.domain.size_reasons
    # DRAIN_MARK: seen as int64[32], words 4..27 are four columns of MARKS_PER_RECORD values:
    # now_ns, market_last, report_last, control_last * 8 + outer trading state. `mark_count` rows.
    ("mark_count", "<i4", 28),
)

MARK_WORD_FIRST = 4

# A feature vector as it leaves the brain: the bar, then every column strategies could read when it
# ended, bar columns first, those of quotes and trades behind them. `value_count` of `values` count.
VECTOR_VALUES_MAX = 372
VECTOR_DTYPE = np.dtype(
    [
        ("sequence", "<i8"),
        ("instrument_index", "<i4"),
        ("timeframe_s", "<i4"),  # -1, -2 ...: the session's bars that do not end by the clock
        ("number", "<i8"),  # of the bar: 0, 1, 2 ... since the session began
        ("plan", "<i8"),  # first eight bytes of the plan hash
        ("start_ns", "<i8"),
        ("open_ticks", "<i8"),
        ("high_ticks", "<i8"),
        ("low_ticks", "<i8"),
        ("close_ticks", "<i8"),
        ("volume_lots", "<i8"),
        ("buy_lots", "<i8"),
        ("value_count", "<i8"),
        ("values", "<f8", (VECTOR_VALUES_MAX,)),
    ]
)
assert VECTOR_DTYPE.itemsize == VECTOR_SLOT_BYTES, "a vector fills its slot exactly"


def _dtype(fields: tuple[tuple[str, str, int], ...], itemsize: int) -> np.dtype[np.void]:
    return np.dtype(
        {
            "names": [name for name, _, _ in fields],
            "formats": [form for _, form, _ in fields],
            "offsets": [offset for _, _, offset in fields],
            "itemsize": itemsize,
        }
    )


MARKET_DTYPE = _dtype(MARKET_FIELDS, MARKET_SLOT_BYTES)
EVENT_DTYPE = _dtype(EVENT_FIELDS, EVENT_SLOT_BYTES)

assert MARKET_DTYPE.itemsize == MARKET_SLOT_BYTES, "a market record fills its slot exactly"
assert EVENT_DTYPE.itemsize == EVENT_SLOT_BYTES, "an event record fills its slot exactly"

__all__ = [
    "BAR_FINAL",
    "CONFLATED",
    "EVENT_APPLIED",
    "EVENT_DTYPE",
    "EVENT_DUPLICATE",
    "EVENT_ENTRY",
    "EVENT_FIELDS",
    "EVENT_FOREIGN",
    "EVENT_POST_ONLY",
    "EVENT_REDUCE_ONLY",
    "EVENT_SLOT_BYTES",
    "LEVEL_BID",
    "LEVEL_LAST_OF_DIFF",
    "LEVEL_SNAPSHOT_FIRST",
    "LIQUIDATION_BUY",
    "MARKET_DTYPE",
    "MARKET_FIELDS",
    "MARKET_SLOT_BYTES",
    "MARKS_PER_RECORD",
    "MARK_WORD_FIRST",
    "TEXT_BYTES",
    "TRADE_AGGREGATED",
    "TRADE_BUYER_AGGRESSOR",
    "VECTOR_DTYPE",
    "VECTOR_SLOT_BYTES",
    "VECTOR_VALUES_MAX",
    "Channel",
    "EventType",
    "GapReason",
    "Liquidity",
    "Liveness",
    "OrderStatus",
    "OrderType",
    "RecordType",
    "Role",
    "Side",
    "TimeInForce",
    "TradingState",
]
