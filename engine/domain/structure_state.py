"""Arrays of the smart-money structure, and how an event is written down.

Every event carries `known_at`, the number of the bar at whose close it became known, and is never
taken back: what is cancelled later gets a flag.

    swings[i, t, k & mask]     alternating highs and lows; the newest provisional, the rest locked
    gaps[i, t, side, k]        open gaps, nearest to price last; side 0 bullish, 1 bearish
    pending[i, t, k]           patterns that wait for a close beyond their level
    events[i, t, k & mask]     what became known, in order
    structure[i, t]            the state strategies read
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from engine.domain.bars import BAR_RING_BARS
from engine.domain.kernel import Records, kernel

SWING_BARS = 5  # a swing is the extreme of this many bars on either side
SWING_RING = 8
SWING_MASK = SWING_RING - 1
GAPS_MAX = 32  # open gaps kept per side; the furthest is dropped, and counted
PENDING_MAX = 8
EVENT_RING = 64
EVENT_MASK = EVENT_RING - 1

assert 2 * SWING_BARS <= BAR_RING_BARS, "the ring holds the bars around a swing"


class StructureKind(IntEnum):
    """What became known."""

    SWING = 1
    SWING_REPLACED = 2  # the provisional swing moved on to a further extreme
    GAP = 3
    GAP_MITIGATED = 4  # price came back to the gap's near edge
    BOS = 5
    CHOCH = 6
    BOS_LIVE = 7  # a close beyond the last locked swing, known at once


SWING_DTYPE = np.dtype(
    [
        ("bar", "<i8"),
        ("level_ticks", "<i8"),
        ("known_at", "<i8"),
        ("broken_at", "<i8"),  # first bar that closed beyond it; -1: none
        ("pattern_done", "<i4"),  # it was the broken level of a pattern already
        ("side", "<i4"),  # +1 high, -1 low
    ]
)
GAP_DTYPE = np.dtype(
    [
        ("near_ticks", "<i8"),  # the edge price meets first when it comes back
        ("far_ticks", "<i8"),
        ("known_at", "<i8"),
    ]
)
PENDING_DTYPE = np.dtype(
    [
        ("bar", "<i8"),  # bar of the swing whose level must break
        ("level_ticks", "<i8"),
        ("side", "<i4"),
        ("kind", "<i4"),
    ]
)
EVENT_DTYPE = np.dtype(
    [
        ("kind", "<i4"),
        ("side", "<i4"),
        ("bar", "<i8"),  # the bar it is about
        ("known_at", "<i8"),
        ("broken_at", "<i8"),  # BOS, CHOCH, BOS_LIVE: the bar that closed beyond the level
        ("level_ticks", "<i8"),
        ("far_ticks", "<i8"),  # GAP: far edge
        ("is_cancelled", "<i8"),  # an event marked later broke no later than this one
    ]
)
STRUCTURE_DTYPE = np.dtype(
    [
        ("trend_side", "<i8"),  # side of the newest BOS, CHOCH or BOS_LIVE; 0: none yet
        ("trend_known_at", "<i8"),
        ("live_side", "<i8"),  # BOS_LIVE at the newest bar, else 0
        ("live_level_ticks", "<i8"),
        ("return_side", "<i8"),  # side of the gap that price came back to last
        ("return_at", "<i8"),  # bar of that return
        ("return_near_ticks", "<i8"),
        ("return_far_ticks", "<i8"),
        ("high_level_ticks", "<i8"),  # last locked swing high; 0: none or broken
        ("low_level_ticks", "<i8"),
        ("swing_count", "<i8"),
        ("event_count", "<i8"),
        ("pending_count", "<i8"),
        ("bullish_gaps", "<i8"),  # open gaps
        ("bearish_gaps", "<i8"),
        ("dropped_gaps", "<i8"),
    ]
)


class StructureState(NamedTuple):
    """Arrays of the structure; see the module's picture."""

    structure: Records
    swings: Records
    gaps: Records
    pending: Records
    events: Records


def create_structure(n: int, t: int) -> StructureState:
    """Return the state before the first bar, for `n` instruments and `t` timeframes."""
    return StructureState(
        structure=np.zeros((n, t), dtype=STRUCTURE_DTYPE),
        swings=np.zeros((n, t, SWING_RING), dtype=SWING_DTYPE),
        gaps=np.zeros((n, t, 2, GAPS_MAX), dtype=GAP_DTYPE),
        pending=np.zeros((n, t, PENDING_MAX), dtype=PENDING_DTYPE),
        events=np.zeros((n, t, EVENT_RING), dtype=EVENT_DTYPE),
    )


@kernel
def emit(
    state: StructureState,
    i: int,
    t: int,
    kind: int,
    side: int,
    bar: int,
    known_at: int,
    level: int,
    far: int,
    broken_at: int,
) -> None:
    """Append one event to the ring, in place."""
    count = state.structure["event_count"][i, t]
    k = count & EVENT_MASK
    state.events["kind"][i, t, k] = kind
    state.events["side"][i, t, k] = side
    state.events["bar"][i, t, k] = bar
    state.events["known_at"][i, t, k] = known_at
    state.events["broken_at"][i, t, k] = broken_at
    state.events["level_ticks"][i, t, k] = level
    state.events["far_ticks"][i, t, k] = far
    state.events["is_cancelled"][i, t, k] = 0
    state.structure["event_count"][i, t] = count + 1
