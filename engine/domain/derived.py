"""Which fields of a record are ours to fill in, and how to get the input back.

The kernel echoes each control and report it consumed and fills in what it meant; the echo is the
journal's only copy of the input. `clear_derived` takes those fields out again: a step fed with the
cleared echoes of a session writes the same bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import EVENT_APPLIED, EVENT_DUPLICATE, EVENT_FOREIGN, EventType
from engine.domain.kernel import Records, entry

GIVEN_FLAGS = 255 - (EVENT_APPLIED | EVENT_DUPLICATE | EVENT_FOREIGN)
REPORT_FIRST = 200  # first event type that is an input: reports, then controls
CONTROL_FIRST = 300
_CHILD_ORDER = int(EventType.CHILD_ORDER)
_CONTROL_ORDER = int(EventType.CONTROL_ORDER)
_CONTROL_EXECUTE = int(EventType.CONTROL_EXECUTE)


@entry
def clear_derived(events: Records, n: int) -> None:
    """Zero what the kernel fills in of the echo at place `n`, in place."""
    kind = events["event_type"][n]
    events["sequence"][n] = 0
    if kind in (_CONTROL_ORDER, _CHILD_ORDER, _CONTROL_EXECUTE):
        events["order_sequence"][n] = 0
        events["epoch_low"][n] = 0
    events["flags"][n] &= GIVEN_FLAGS
    events["order_status_after"][n] = 0
    if kind == EventType.RESTORE_LIMITS:
        return
    events["trading_state"][n] = 0
    events["refusal_mask"][n] = 0
    if kind == EventType.RESTORE_POSITION:
        return
    events["realised_pnl_e8"][n] = 0
    if kind != EventType.VENUE_POSITION:
        events["position_lots"][n] = 0
        events["position_cost_e8"][n] = 0


def inputs_of(events: NDArray[np.void]) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return the controls and the reports among a brain's journaled events, as they were given."""
    controls = events[events["event_type"] >= CONTROL_FIRST].copy()
    is_report = (events["event_type"] >= REPORT_FIRST) & (events["event_type"] < CONTROL_FIRST)
    reports = events[is_report].copy()
    for records in (controls, reports):
        for n in range(len(records)):
            clear_derived(records, n)
    return controls, reports
