"""Smart-money structure of closed bars, one update per bar. It never repaints.

What is known after bar k depends on bars 0..k alone, and no event is ever changed except for its
cancelled flag. Swings and breaks: `swings`; fair value gaps: `gaps`; arrays: `structure_state`.
"""

from __future__ import annotations

from engine.domain.gaps import update_gaps
from engine.domain.kernel import Records, inlined
from engine.domain.structure_state import StructureKind, StructureState, create_structure
from engine.domain.swings import update_swings


@inlined
def update_structure(state: StructureState, closed: Records, i: int, t: int, number: int) -> None:
    """Fold closed bar `number` of (instrument, timeframe) into its structure, in place."""
    update_swings(state, closed, i, t, number)
    update_gaps(state, closed, i, t, number)


__all__ = ["StructureKind", "StructureState", "create_structure", "update_structure"]
