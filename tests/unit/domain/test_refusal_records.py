"""How often a refusal is written: once a second while it says the same, else at once."""

from engine.domain.codes import Liveness
from engine.domain.risk_reasons import RiskReason
from engine.domain.words import Tally
from tests.desk_rig import GENEROUS, DeskRig, S


def connected() -> DeskRig:
    """Return a session that takes no order of ten lots."""
    rig = DeskRig(GENEROUS._replace(order_qty_max=0.001))
    rig.connect()
    return rig


def test_identical_refusals_are_written_once_a_second_and_counted() -> None:
    rig = connected()
    written = [len(rig.propose(1, 10)) for _ in range(50)]
    assert written == [2] + [0] * 49
    assert rig.tally(Tally.REFUSALS) == rig.tally(Tally.DECISIONS) == 50
    assert rig.tally(Tally.REFUSALS_SUPPRESSED) == 49
    rig.now_ns += S
    events = rig.propose(1, 10)
    assert events["request_id"][1] == 49
    assert rig.refusals(RiskReason.ORDER_QTY) == 51


def test_another_refusal_of_the_same_strategy_is_written_at_once() -> None:
    rig = connected()
    rig.propose(1, 10)
    assert len(rig.propose(-1, 10)) == 2
    rig.desk.liveness[0, :] = Liveness.STALE
    assert len(rig.propose(-1, 10)) == 2
    assert len(rig.propose(-1, 10, s=1)) == 2
