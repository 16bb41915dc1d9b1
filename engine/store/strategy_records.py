"""What each strategy has made, folded from the changes of its positions as they are journaled.

A position counts from flat to flat, however many fills it takes; one that is turned around at once
is an exit and an entry. The rows are the database's, so a record outlives its session, and is made
again from the journals when the database is. Restored positions change nothing: they were counted
when they came about.
"""

from __future__ import annotations

from engine.store.event_names import Event
from engine.store.tables import Cells


def count_change(row: Cells, before: int, event: Event, now_ns: int) -> None:
    """Count one change of a position into a record, in place.

    Args:
        row: of RECORDS.
        before: lots held before the change, signed.
        event: POSITION_CHANGED: lots held after it, what it realised before fees, what it paid.
        now_ns: wall clock.
    """
    after, realised_e8 = int(event["position_lots"]), int(event["realised_pnl_e8"])
    fee_e8 = int(event["fee_e8"])
    if before == 0 and after != 0:
        row |= {"entries": _whole(row, "entries") + 1, "entered_ns": now_ns, "trade_net_e8": 0}
    net_e8 = _whole(row, "trade_net_e8") + realised_e8 - fee_e8
    row |= {
        "gross_e8": _whole(row, "gross_e8") + realised_e8,
        "fee_e8": _whole(row, "fee_e8") + fee_e8,
        "trade_net_e8": net_e8,
        "updated_ns": now_ns,
    }
    if before == 0 or before * after > 0:
        return
    begun_ns = _whole(row, "entered_ns")
    row |= {
        "exits": _whole(row, "exits") + 1,
        "wins": _whole(row, "wins") + int(net_e8 > 0),
        "held_ns": _whole(row, "held_ns") + (max(now_ns - begun_ns, 0) if begun_ns else 0),
        "entries": _whole(row, "entries") + int(after != 0),
        "entered_ns": now_ns if after != 0 else 0,
        "trade_net_e8": 0,
    }


def _whole(row: Cells, column: str) -> int:
    value = row[column]
    assert isinstance(value, int), column
    return value
