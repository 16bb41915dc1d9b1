"""The order side of the state: one tuple of preallocated arrays, handed to every kernel of it.

The market side of the state (`engine.domain.market_state`) is reached here through five of its
arrays: `hot` (quotes), `liveness`, `progress` (the venue's clock), `held_rows` and `trails`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.domain.arrays import aligned_zeros
from engine.domain.kernel import Bytes, Integers, Records, kernel
from engine.domain.records import EVENT_DTYPE

# Per instrument: what risk needs in one place.
LEDGER_DTYPE = np.dtype(
    [
        ("unrealised_e8", "<i8"),
        ("notional_e8", "<i8"),  # worst case: position and every open order, at mid
        ("buy_lots", "<i8"),  # reserved by our open orders
        ("sell_lots", "<i8"),
        ("foreign_buy_lots", "<i8"),  # reserved by orders that are not ours
        ("foreign_sell_lots", "<i8"),
        ("open_count", "<i8"),
        ("unknown_count", "<i8"),  # orders whose outcome is not known
        ("changed_ns", "<i8"),  # position or order last changed
        ("closed_until_ns", "<i8"),  # the venue refused every order of it: none before this time
        ("trade_floor", "<i8"),  # trade ids up to here were forgotten: never applied again
    ]
)

# Per instrument: what the venue said in the fetch under way.
VENUE_DTYPE = np.dtype(
    [
        ("round", "<i8"),
        ("lots", "<i8"),
        ("cost_e8", "<i8"),
        ("mismatch_lots", "<i8"),
        ("mismatch_count", "<i8"),
        ("adjusted_venue_ns", "<i8"),  # an adjustment covers fills up to this venue time
        ("staged_buy_lots", "<i8"),
        ("staged_sell_lots", "<i8"),
    ]
)

# Per (instrument, column): the last refusal, to bound a flood of identical ones.
REFUSAL_DTYPE = np.dtype(
    [("mask", "<i8"), ("shown_ns", "<i8"), ("suppressed", "<i8"), ("direction", "<i8")]
)

# Per (instrument, column): the orders that guard a position from the venue's side.
BRACKET_DTYPE = np.dtype(
    [
        ("stop_open", "<i8"),  # orders of each kind that are open or in doubt
        ("take_open", "<i8"),
        ("trail_open", "<i8"),
        ("due_ns", "<i8"),  # since when their price is reached by our quotes; 0: not
        ("leaving", "<i8"),  # reason of the exit that waits until they are withdrawn; 0: none
        ("refused", "<i8"),  # 1: the venue ended one: until flat this position is watched here
        ("again_ns", "<i8"),  # until then it is, because of a refusal that may pass; 0: of none
        ("again_count", "<i8"),  # such pauses since it was flat
    ]
)

# Per (instrument, strategy): what its newest entry promised; a move of 0: not known.
HOLDING_DTYPE = np.dtype([("move_bps", "<f8"), ("confidence", "<f8")])

# The one order under consideration; written by `intent`, read by the gates.
DRAFT_DTYPE = np.dtype(
    [
        ("cause_sequence", "<i8"),
        ("cause_receive_time_ns", "<i8"),
        ("venue_time_ns", "<i8"),
        ("price_ticks", "<i8"),
        ("qty_lots", "<i8"),
        ("mid_half_ticks", "<i8"),
        ("good_till_ms", "<i8"),  # only where the time in force is GTD
        ("lot_notional_e8", "<i8"),  # of one lot at the price it would fill at, UNBOUNDED: unknown
        ("instrument_index", "<i8"),
        ("column", "<i8"),
        ("side", "<i8"),
        ("is_entry", "<i8"),
        ("order_type", "<i8"),
        ("time_in_force", "<i8"),
        ("flags", "<i8"),
        ("reason", "<i8"),
        ("regime", "<i8"),  # of an entry: place of its trend's label + 4 * of its volatility's
    ]
)

REGIME_UNKNOWN = 15  # both labels

HELD_MAX = 16  # entries that wait for an operator's word
HELD_NUMBER = 0  # columns of `held`; 0: nothing waits here
HELD_EXPIRES = 1  # monotonic, ns
HELD_COLUMNS = 2


class Desk(NamedTuple):
    """Every array the order side of a step reads and writes."""

    words: Integers  # int64[WORDS_MAX], by Word
    counts: Integers  # int64[TALLIES_MAX], by Tally
    instruments: Records  # INSTRUMENT_DTYPE[n], read only
    hot: Records  # HOT_DTYPE[n], the market side's, read only
    liveness: Bytes  # uint8[n, channels], the market side's, read only
    progress: Integers  # the market side's; the venue's clock is written here
    orders: Records  # ORDER_DTYPE[capacity]
    order_blank: Records  # ORDER_DTYPE[1], what every row starts from
    order_index: Integers  # key index, key to row
    open_rows: Integers  # int64[capacity]; the first OPEN_COUNT are orders not settled
    trade_ring: Integers  # int64[capacity], keys in the order they were remembered
    trade_index: Integers  # key index, key to place in the ring
    payment_ring: Integers  # int64[capacity], the same of funding payments
    payment_index: Integers  # key index, key to place in the ring
    positions: Records  # POSITION_DTYPE[n, s + 2]: strategies, outside, external, net
    pending: Integers  # int64[n, s + 1, 2], lots reserved by open buys and sells
    ledger: Records  # LEDGER_DTYPE[n]
    exposure: Records  # EXPOSURE_DTYPE[n, those that decide], for the strategies to read
    held_rows: Integers  # int64[n, words], the market side's: strategies that hold a position
    trails: Records  # TRAIL_DTYPE[n, those that decide], the market side's; restored here
    limits: Records  # LIMITS_DTYPE[1]
    instrument_limits: Records  # INSTRUMENT_LIMITS_DTYPE[n]
    bounds: Records  # BOUNDS_DTYPE[s + 2], by column of `positions`; the last is the venue's
    modes: Integers  # int64[MODES_SIZE], Mode of all, of regimes and of modules
    rates: Records  # RATE_DTYPE[RATE_FIRST + n]
    refusals: Records  # REFUSAL_DTYPE[n, s + 1]
    venue: Records  # VENUE_DTYPE[n]
    draft: Records  # DRAFT_DTYPE[1]
    brackets: Records  # BRACKET_DTYPE[n, s + 1]
    held_drafts: Records  # DRAFT_DTYPE[HELD_MAX], what waits for an operator's word
    held: Integers  # int64[HELD_MAX, HELD_COLUMNS], their numbers and when they expire
    opportunities: Records  # OPPORTUNITY_DTYPE[k]
    rejects: Integers  # int64[FIREWALL_REASON_COUNT, 2]: last shown ns, suppressed count
    requests: Integers  # int64[REQUESTS_MAX, 3]: orders from outside, by `engine.domain.outside`
    makers: Integers  # int64[m, 2]: strategies that make markets, and how long a quote holds, ns
    quotes: Records  # QUOTE_DTYPE[n, m], by engine.domain.making
    holdings: Records  # HOLDING_DTYPE[n, those that decide], by engine.domain.rotation


class Out(NamedTuple):
    """What a step hands back: the first `counts[...]` records of each array."""

    events: Records  # EVENT_DTYPE[n]
    commands: Records  # EVENT_DTYPE[m]
    counts: Integers  # int64[OUT_COUNTS], by OUT_*
    blank: Records  # EVENT_DTYPE[1], zero but for its sequence: what every record starts from


UNPUBLISHED = -1  # sequence of a record that has none yet; in a ring's slot it says: not to be read
STRATEGY_NET = -2  # strategy_index of the venue's net position in POSITION_CHANGED

OUT_EVENTS = 0
OUT_COMMANDS = 1
OUT_CONTROLS_CONSUMED = 2
OUT_REPORTS_CONSUMED = 3
OUT_COUNTS = 4


def create_out(events: int = 4096, commands: int = 512) -> Out:
    """Return empty room for what a step emits."""
    blank = aligned_zeros((1,), EVENT_DTYPE)
    blank["sequence"] = UNPUBLISHED
    return Out(
        events=aligned_zeros((events,), EVENT_DTYPE),
        commands=aligned_zeros((commands,), EVENT_DTYPE),
        counts=np.zeros(OUT_COUNTS, dtype=np.int64),
        blank=blank,
    )


@kernel
def external_column(desk: Desk) -> int:
    """Return the column of what no strategy of ours did."""
    return desk.positions.shape[1] - 2


@kernel
def net_column(desk: Desk) -> int:
    """Return the column of the venue's net position."""
    return desk.positions.shape[1] - 1


@kernel
def column_of(desk: Desk, strategy_index: int) -> int:
    """Return the column of a strategy; the external one for any index that is no strategy's."""
    external = desk.positions.shape[1] - 2
    if 0 <= strategy_index < external:
        return strategy_index
    return external


@kernel
def strategy_of(desk: Desk, column: int) -> int:
    """Return the strategy_index that events carry for a column: -1 external, -2 net."""
    external = desk.positions.shape[1] - 2
    if column < external:
        return column
    return external - 1 - column


@kernel
def is_outside(desk: Desk, column: int) -> bool:
    """Return whether a column is one for orders that no strategy decided."""
    return desk.exposure.shape[1] <= column < desk.positions.shape[1] - 2


@kernel
def knows_instrument(desk: Desk, instrument_index: int) -> bool:
    """Return whether an index names one of our instruments."""
    return 0 <= instrument_index < desk.instruments.shape[0]
