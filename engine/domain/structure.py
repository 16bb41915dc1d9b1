"""Smart-money structure of closed bars, one update per bar. It never repaints.

What is known after bar k depends on bars 0..k alone, and no event is ever changed except for its
cancelled flag. One file per idea: `swings`, `gaps`, `order_blocks`, `pools`, `spans`, `leg`; what
they keep: `structure_state`.
"""

from __future__ import annotations

from engine.domain.features.plan import FeaturePlan
from engine.domain.gaps import update_gaps
from engine.domain.kernel import Floats, Record, kernel
from engine.domain.leg import update_leg
from engine.domain.order_blocks import update_blocks
from engine.domain.pools import update_pools
from engine.domain.spans import update_spans
from engine.domain.structure_state import StructureKind, create_structure
from engine.domain.swings import update_swings


@kernel
def update_structure(
    plan: FeaturePlan, row: Record, series: Floats, place: int, number: int, atr: float
) -> None:
    """Fold bar `number` of one instrument and timeframe into its structure, in place.

    Args:
        plan: knows when clocks change.
        row: of STRUCTURE_DTYPE.
        series: float64[SERIES_COLUMNS, 2 * SERIES_BARS] with the bar in it.
        place: where it is found.
        number: how many bars were taken before it.
        atr: average true range with this bar in it, ticks; NaN before it is known.
    """
    update_swings(row, series, place, number)
    update_gaps(row, series, place, number)
    update_blocks(row, series, place, number)
    update_pools(row, series, place, number, atr)
    update_spans(plan, row, series, place, number)
    update_leg(row, series, place, number)


__all__ = ["StructureKind", "create_structure", "update_structure"]
