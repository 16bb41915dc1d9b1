"""What entries promised, from decisions alone: which of them an order follows."""

import numpy as np
import pytest

from engine.domain.codes import EVENT_ENTRY, EventType, HeldOutcome
from engine.domain.fold import Fold
from engine.domain.risk_reasons import RiskReason
from engine.domain.strategy_table import StrategyReason
from tests.desk_rig import make_event, of_type

T = EventType
FULL = 1 << RiskReason.POSITION_COUNT
LARGE = 1 << RiskReason.APPROVAL


def decision(move_bps: float, mask: int = 0, **fields: int) -> np.ndarray:
    told = {"instrument_index": 1, "flags": EVENT_ENTRY, "refusal_mask": mask} | fields
    event = make_event(T.SIGNAL_GENERATED, **told)
    event["expected_move_bps"], event["confidence"] = move_bps, 0.5
    return event


def held(number: int) -> np.ndarray:
    return make_event(T.INTENT_HELD, trade_id=number)


def settled(number: int, outcome: HeldOutcome) -> np.ndarray:
    return make_event(T.INTENT_SETTLED, trade_id=number, reason=outcome)


def promised(*events: np.ndarray) -> list[float]:
    """Return the move that each position's entry promised, as a restart is told."""
    fold = Fold()
    for event in events:
        fold.add(event)
    return [
        float(row["expected_move_bps"])
        for row in of_type(fold.restore_records(), T.RESTORE_POSITION)
        if row["confidence"] == 0.5
    ]


def test_the_last_entry_sent_is_what_counts() -> None:
    assert promised(decision(40.0), decision(50.0)) == [50.0]


@pytest.mark.parametrize("mask", [FULL, LARGE])
def test_one_that_waited_promises_once_it_is_sent(mask: int) -> None:
    waiting = [decision(40.0, mask), held(7), decision(90.0, mask)]
    assert promised(*waiting) == []
    assert promised(*waiting, settled(7, HeldOutcome.SENT)) == [40.0]
    for outcome in (HeldOutcome.REFUSED, HeldOutcome.REJECTED, HeldOutcome.EXPIRED):
        assert promised(*waiting, settled(7, outcome)) == []


@pytest.mark.parametrize(
    "refused",
    [
        decision(40.0, FULL),
        decision(40.0, FULL | 1),
        decision(40.0, 1 << RiskReason.TRADING_STATE),
        decision(40.0, flags=0),
        decision(40.0, reason=StrategyReason.MAKING_QUOTE),
    ],
)
def test_what_no_order_followed_and_what_makers_say_promises_nothing(refused: np.ndarray) -> None:
    assert promised(refused) == []
    assert promised(refused, settled(1, HeldOutcome.SENT)) == []
