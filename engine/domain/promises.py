"""What entries promised, from the decisions of a journal: kept with the positions they opened.

    SIGNAL_GENERATED, no gate in its way          sent: its figures are those of its position
    SIGNAL_GENERATED, then INTENT_HELD            waits for a place or for an operator's word
    INTENT_SETTLED (SENT) of one that waited      sent now
    anything else                                 no order followed, nothing was promised

The figures are those that `engine.domain.rotation` compares. Quotes of market makers say some too,
of one fill and not of what a position is to bring: they promise nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import EVENT_ENTRY, EventType, HeldOutcome
from engine.domain.risk_reasons import RiskReason
from engine.domain.strategy_table import StrategyReason

Row = NDArray[np.void]

PROMISE = ("expected_move_bps", "confidence")
TRAIL = ("price_ticks", "last_price_ticks")  # of STOP_TRAILED: kept with the position too
DECISIONS = frozenset({EventType.SIGNAL_GENERATED, EventType.INTENT_HELD, EventType.INTENT_SETTLED})
SENDABLE_MASKS = np.array(
    [0, 1 << RiskReason.POSITION_COUNT, 1 << RiskReason.APPROVAL], dtype=np.uint64
)


def promise_nothing(events: Row) -> NDArray[np.bool_]:
    """Return which of EVENT_DTYPE[n] are decisions that no order of an entry can follow: most."""
    may_promise = events["flags"] & EVENT_ENTRY != 0
    may_promise &= events["reason"] != StrategyReason.MAKING_QUOTE
    may_promise &= np.isin(events["refusal_mask"], SENDABLE_MASKS)
    is_decision: NDArray[np.bool_] = events["event_type"] == EventType.SIGNAL_GENERATED
    return is_decision & ~may_promise


class Promises:
    """The entries of a session that wait, each with the decision it came from."""

    def __init__(self) -> None:
        """Start with nothing that waits: no session leaves such entries to the next."""
        self._last: Row | None = None
        self._held: dict[int, Row] = {}

    def sent(self, event: Row) -> Row | None:
        """Return the decision whose entry is sent with one of DECISIONS, in order; None: none is.

        Leave out those that `promise_nothing`.
        """
        if event["event_type"] == EventType.SIGNAL_GENERATED:
            self._last = event.copy()
            return self._last if event["refusal_mask"] == 0 else None
        number = int(event["trade_id"])
        if event["event_type"] == EventType.INTENT_HELD:
            if self._last is not None:  # it stands right before
                self._held[number] = self._last
            return None
        decision = self._held.pop(number, None)
        return decision if event["reason"] == HeldOutcome.SENT else None
