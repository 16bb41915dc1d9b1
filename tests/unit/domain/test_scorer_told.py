"""That a scorer is at fault, and that it is believed again, is said once each, and counted."""

import pytest

from engine.domain.codes import EventType
from engine.domain.market_state import SCORER_FAULT_NS
from engine.domain.strategy_table import StrategyError, StrategyKind, StrategyRow, check_row
from engine.domain.words import Tally
from tests.desk_rig import DeskRig, of_type

T = EventType


def test_a_fault_is_told_once_and_so_is_its_end() -> None:
    rig = DeskRig()
    rig.connect()
    rig.state.market.progress[SCORER_FAULT_NS] = rig.now_ns
    rig.step()
    rig.state.market.progress[SCORER_FAULT_NS] += 1
    rig.step()
    assert of_type(rig.all_events(), T.SCORER_CHANGED)["reason"].tolist() == [1]
    rig.state.market.progress[SCORER_FAULT_NS] = 0
    rig.step()
    rig.step()
    assert of_type(rig.all_events(), T.SCORER_CHANGED)["reason"].tolist() == [1, 0]
    assert rig.tally(Tally.SCORER_FAULTS) == 1


@pytest.mark.parametrize("kind", [StrategyKind.ORDERFLOW, StrategyKind.MAKING])
def test_what_scores_or_quotes_stands_in_for_nobody(kind: StrategyKind) -> None:
    with pytest.raises(StrategyError, match="stands in for nobody"):
        check_row(StrategyRow(name="one", kind=kind, parameters={"stand_in": 1.0}))
