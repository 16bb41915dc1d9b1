"""The row of smart-money structure of one instrument and timeframe, and how an event is written.

Every event carries `known_at`, the number of the bar at whose close it became known, and is never
taken back: what is cancelled later gets a flag. Arrays of a row, by the first part of their name:

    swing_*[k & mask]     alternating highs and lows; the newest provisional, the rest locked
    pending_*[k]          patterns that wait for a close beyond their level
    gap_*[row, k]         open fair value gaps, nearest to price last; row 0 bullish, 1 bearish
    block_*[row, k]       order blocks, oldest first
    pool_*[row, k]        levels where stops may lie, oldest first; row 0 above highs, 1 below lows
    span_*[part - 1]      the running day, week, month and sessions; before_*: the last whole ones
    event_*[k & mask]     what became known, in order

Prices are ticks as numbers with a fraction, so that bars of any unit have a structure.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from engine.domain.arrays import aligned_zeros
from engine.domain.kernel import Numbers, Record, fused, kernel

SWING_BARS = 5  # a swing is the extreme of this many bars on either side
SWING_RING = 8
SWING_MASK = SWING_RING - 1
GAPS_MAX = 32  # open gaps kept per side; the furthest is dropped, and counted
PENDING_MAX = 8
BLOCKS_MAX = 16  # order blocks kept per side; the oldest is dropped, and counted
POOLS_MAX = 16  # levels kept per side; the oldest is dropped, and counted
SPANS = 6
ZONES = 3
EVENT_RING = 128
EVENT_MASK = EVENT_RING - 1


class StructureKind(IntEnum):
    """What became known."""

    SWING = 1
    SWING_REPLACED = 2  # the provisional swing moved on to a further extreme
    GAP = 3
    GAP_MITIGATED = 4  # price came back to the gap's near edge
    BOS = 5
    CHOCH = 6
    BOS_LIVE = 7  # a close beyond the last locked swing, known at once
    SWING_LOCKED = 8  # a swing of the other side followed: it moves no more
    BLOCK = 9
    BLOCK_MITIGATED = 10  # price came back to the block
    BLOCK_BREAKER = 11  # a close beyond its far edge: it works the other way round
    BLOCK_INVALID = 12  # a close beyond a breaker's other edge: it is gone
    POOL = 13  # a second swing at one level
    POOL_SWEPT = 14  # price went through it; `broken_at` is -1 where the close came back
    SPAN_ENDED = 15  # a day, week, month or session seen whole: its high and low are known
    SPAN_TAKEN = 16  # first trade beyond the last whole one's high or low
    OTE = 17  # price came back 62 to 79 % of the last locked leg


class Part(IntEnum):
    """What stretch of time a span is; the place in span arrays is one less."""

    DAY = 1
    WEEK = 2
    MONTH = 3
    ASIA = 4
    LONDON = 5
    NEW_YORK = 6


class BlockState(IntEnum):
    """Life of an order block."""

    ACTIVE = 1
    MITIGATED = 2
    BREAKER = 3


STRUCTURE_DTYPE = np.dtype(
    [
        ("trend_side", "<i8"),  # side of the newest BOS, CHOCH or BOS_LIVE; 0: none yet
        ("trend_known_at", "<i8"),
        ("live_side", "<i8"),  # BOS_LIVE at the newest bar, else 0
        ("live_level_ticks", "<f8"),
        ("return_side", "<i8"),  # side of the gap that price came back to last
        ("return_at", "<i8"),  # bar of that return
        ("return_near_ticks", "<f8"),
        ("return_far_ticks", "<f8"),
        ("high_level_ticks", "<f8"),  # last locked swing high; 0: none or broken
        ("low_level_ticks", "<f8"),
        ("swing_count", "<i8"),
        ("swing_bar", "<i8", (SWING_RING,)),
        ("swing_level_ticks", "<f8", (SWING_RING,)),
        ("swing_known_at", "<i8", (SWING_RING,)),
        ("swing_broken_at", "<i8", (SWING_RING,)),  # first bar that closed beyond it; -1: none
        ("swing_pattern_done", "<i8", (SWING_RING,)),  # it was the level of a pattern already
        ("swing_side", "<i8", (SWING_RING,)),  # +1 high, -1 low
        ("broken_bar", "<i8", (2,)),  # bar of the newest high, low that this bar broke; -1: none
        ("pending_count", "<i8"),
        ("pending_bar", "<i8", (PENDING_MAX,)),  # bar of the swing whose level must break
        ("pending_level_ticks", "<f8", (PENDING_MAX,)),
        ("pending_side", "<i8", (PENDING_MAX,)),
        ("pending_kind", "<i8", (PENDING_MAX,)),
        ("gap_count", "<i8", (2,)),
        ("dropped_gaps", "<i8"),
        ("gap_near_ticks", "<f8", (2, GAPS_MAX)),  # the edge price meets first on its way back
        ("gap_far_ticks", "<f8", (2, GAPS_MAX)),
        ("gap_known_at", "<i8", (2, GAPS_MAX)),
        ("block_count", "<i8", (2,)),
        ("dropped_blocks", "<i8"),
        ("block_near_ticks", "<f8", (2, BLOCKS_MAX)),
        ("block_far_ticks", "<f8", (2, BLOCKS_MAX)),
        ("block_bar", "<i8", (2, BLOCKS_MAX)),
        ("block_state", "<i8", (2, BLOCKS_MAX)),
        ("touch_side", "<i8"),  # side of the block that price came back to last
        ("touch_at", "<i8"),
        ("touch_far_ticks", "<f8"),
        ("pool_count", "<i8", (2,)),
        ("dropped_pools", "<i8"),
        ("pool_level_ticks", "<f8", (2, POOLS_MAX)),
        ("pool_width_ticks", "<f8", (2, POOLS_MAX)),  # how far off still is the same level
        ("pool_touches", "<i8", (2, POOLS_MAX)),  # 1: one swing, no pool yet
        ("sweep_side", "<i8"),  # last pool swept: +1 above highs, -1 below lows; 0: none yet
        ("sweep_at", "<i8"),
        ("sweep_is_reclaimed", "<i8"),  # that bar closed back on the side it came from
        ("zone_index", "<i8", (ZONES,)),  # where in the table of clock changes time stands
        ("span_id", "<i8", (SPANS,)),  # -1: outside of the session
        ("span_is_whole", "<i8", (SPANS,)),
        ("span_high_ticks", "<f8", (SPANS,)),
        ("span_low_ticks", "<f8", (SPANS,)),
        ("before_high_ticks", "<f8", (SPANS,)),  # 0: none seen whole yet
        ("before_low_ticks", "<f8", (SPANS,)),
        ("is_high_taken", "<i8", (SPANS,)),
        ("is_low_taken", "<i8", (SPANS,)),
        ("session_share", "<f8", (SPANS,)),  # of a session, passed at the bar's start; NaN: closed
        ("leg_side", "<i8"),  # of the last two locked swings: +1 low to high; 0: none
        ("leg_start_ticks", "<f8"),
        ("leg_end_ticks", "<f8"),
        ("leg_known_at", "<i8"),
        ("leg_depth", "<f8"),  # deepest retracement since it is known, 1 is all of it
        ("leg_ote_at", "<i8"),  # bar of its OTE; -1: none yet
        ("event_count", "<i8"),
        ("event_kind", "<i8", (EVENT_RING,)),
        ("event_side", "<i8", (EVENT_RING,)),
        ("event_part", "<i8", (EVENT_RING,)),  # SPAN_*: a Part, else 0
        ("event_bar", "<i8", (EVENT_RING,)),  # the bar it is about
        ("event_known_at", "<i8", (EVENT_RING,)),
        ("event_broken_at", "<i8", (EVENT_RING,)),  # the bar that closed beyond the level, or -1
        ("event_level_ticks", "<f8", (EVENT_RING,)),
        ("event_far_ticks", "<f8", (EVENT_RING,)),  # zones: the far edge, else 0
        ("event_is_cancelled", "<i8", (EVENT_RING,)),  # one marked later broke no later
    ]
)


def create_structure(*shape: int) -> NDArray[np.void]:
    """Return STRUCTURE_DTYPE[shape], before the first bar."""
    return aligned_zeros(shape, STRUCTURE_DTYPE)


@kernel
def emit(row: Record, kind: int, side: int, bar: int, number: int, level: float) -> int:
    """Append one event that bar `number` made known, in place; return its place in the ring."""
    k = row["event_count"] & EVENT_MASK
    row["event_kind"][k] = kind
    row["event_side"][k] = side
    row["event_part"][k] = 0
    row["event_bar"][k] = bar
    row["event_known_at"][k] = number
    row["event_broken_at"][k] = -1
    row["event_level_ticks"][k] = level
    row["event_far_ticks"][k] = 0.0
    row["event_is_cancelled"][k] = 0
    row["event_count"] += 1
    return int(k)


@kernel
def emit_zone(
    row: Record, kind: int, side: int, bar: int, number: int, near: float, far: float
) -> int:
    """Append an event about a zone of prices, in place; return its place in the ring."""
    k = emit(row, kind, side, bar, number, near)
    row["event_far_ticks"][k] = far
    return k


@kernel
def emit_broken(
    row: Record, kind: int, side: int, bar: int, number: int, level: float, broken_at: int
) -> int:
    """Append an event about a level and the bar that closed beyond it (-1: none), in place."""
    k = emit(row, kind, side, bar, number, level)
    row["event_broken_at"][k] = broken_at
    return k


@fused
def close_up(numbers: Numbers, place: int, last: int) -> None:
    """Move the numbers behind `place`, up to `last`, one place forward, in place."""
    for k in range(place, last):
        numbers[k] = numbers[k + 1]


@kernel
def row_of(side: int) -> int:
    """Return the row of a side in arrays kept per side."""
    return 0 if side > 0 else 1
