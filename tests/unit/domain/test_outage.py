"""An order venue that is away for too long halts; it comes back by an operator's word alone."""

from engine.domain.codes import EventType, TradingState
from engine.domain.fetch import VENUE_OUTAGE_NS
from engine.domain.risk_reasons import RiskReason
from engine.domain.words import Word
from tests.desk_rig import DeskRig, S, of_type

T = EventType
OUTAGE_S = VENUE_OUTAGE_NS // S


def connected() -> DeskRig:
    rig = DeskRig()
    rig.connect()
    return rig


def test_the_outage_that_halts_is_the_documented_one() -> None:
    assert OUTAGE_S == 300


def test_a_venue_that_is_away_for_too_long_halts_until_an_operator_resumes() -> None:
    rig = connected()
    rig.report(T.VENUE_DISCONNECTED)
    rig.wait(OUTAGE_S - 1)
    assert rig.word(Word.EFFECTIVE_STATE) == TradingState.ENABLED
    events = rig.wait(2)
    assert rig.word(Word.TRIPPED) == 1 << RiskReason.VENUE_UNREACHABLE
    assert of_type(events, T.TRADING_STATE_CHANGED)["reason"] == RiskReason.VENUE_UNREACHABLE
    rig.report(T.VENUE_CONNECTED)
    rig.fetch()
    assert rig.word(Word.EFFECTIVE_STATE) == TradingState.HALTED, "its return alone re-arms nothing"
    rig.control(T.CONTROL_RESUME)
    rig.fetch()
    assert rig.word(Word.EFFECTIVE_STATE) == TradingState.ENABLED
    rig.quote()
    rig.order(1, 1)


def test_a_resume_while_it_is_away_begins_the_wait_again() -> None:
    rig = connected()
    rig.report(T.VENUE_DISCONNECTED)
    rig.wait(OUTAGE_S + 1)
    rig.control(T.CONTROL_RESUME)
    rig.wait(OUTAGE_S - 1)
    assert rig.word(Word.EFFECTIVE_STATE) == TradingState.ENABLED
    rig.wait(2)
    assert rig.word(Word.EFFECTIVE_STATE) == TradingState.HALTED


def test_short_outages_do_not_add_up() -> None:
    rig = connected()
    for _ in range(3):
        rig.report(T.VENUE_DISCONNECTED)
        rig.wait(OUTAGE_S * 2 / 3)
        rig.report(T.VENUE_CONNECTED)
        rig.wait(0.001)
        rig.fetch()
    assert rig.word(Word.TRIPPED) == 0


def test_a_venue_that_never_answered_halts_too() -> None:
    rig = DeskRig()
    rig.report(T.RESTORE_END)
    rig.wait(OUTAGE_S - 1)
    assert rig.word(Word.TRIPPED) == 0
    rig.wait(2)
    assert rig.word(Word.TRIPPED) == 1 << RiskReason.VENUE_UNREACHABLE
