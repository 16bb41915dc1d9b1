"""Entries that wait for an operator's word: approved, refused, rejected, expired; never twice."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.domain.codes import EVENT_APPLIED, EventType, HeldOutcome, Liveness, OrderStatus
from engine.domain.derived import inputs_of
from engine.domain.desk import HELD_MAX, HELD_NUMBER
from engine.domain.limits import RiskLimits
from engine.domain.risk_reasons import RiskReason, reasons_of
from engine.domain.words import Tally, Word
from tests.builders import make_instruments
from tests.desk_rig import ASK, BID, E8, GENEROUS, DeskRig, S, of_type, types

T = EventType
HELD = [T.SIGNAL_GENERATED, T.INTENT_HELD]
SENT = [T.SIGNAL_GENERATED, T.ORDER_REQUEST]
ORDER = ASK * 10 * 10_000 / E8  # what ten lots cost
WAIT_S = 60


def connected(instruments: int = 2, **changes: float | None) -> DeskRig:
    limits = {"approval_notional_min": ORDER, "approval_s": WAIT_S} | changes
    rig = DeskRig(RiskLimits(**GENEROUS._asdict() | limits), rows=make_instruments(instruments))
    rig.connect()
    return rig


def hold(rig: DeskRig, **options: int) -> int:
    """Propose an entry that is too large to go by itself; return its number."""
    events = rig.propose(1, 11, **options)
    assert types(events) == HELD
    assert reasons_of(int(events[0]["refusal_mask"])) == (RiskReason.APPROVAL,)
    assert rig.commands[-1].size == 0
    return int(events[1]["trade_id"])


def settled(events: np.ndarray, outcome: HeldOutcome) -> np.void:
    (found,) = of_type(events, T.INTENT_SETTLED)
    assert found["reason"] == outcome
    return found


def test_what_is_above_the_threshold_waits_and_what_is_not_goes() -> None:
    rig = connected()
    assert types(rig.propose(1, 10)) == SENT
    assert hold(rig) == 1
    assert rig.word(Word.HELD_COUNT) == rig.tally(Tally.HELD) == 1


def test_nothing_waits_unless_asked_for() -> None:
    rig = connected(approval_notional_min=None)
    assert types(rig.propose(1, 1_000_000)) == SENT


def test_an_exit_never_waits() -> None:
    rig = connected(approval_notional_min=None)
    order = rig.order(1, 50)
    rig.fill(order, 1, 50, ASK, order_status=OrderStatus.FILLED, cum_qty_lots=50)
    rig.desk.limits["approval_e8_min"] = 0
    rig.order(-1, 50, entry=False)


def test_an_approved_entry_is_sent_once_as_it_was_meant() -> None:
    rig = connected()
    number = hold(rig, price=ASK)
    events = rig.control(T.CONTROL_APPROVE, trade_id=number)
    assert types(events)[:3] == [T.CONTROL_APPROVE, T.INTENT_SETTLED, T.ORDER_REQUEST]
    assert events[0]["flags"] & EVENT_APPLIED
    assert settled(events, HeldOutcome.SENT)["trade_id"] == number
    request = events[2]
    assert (request["price_ticks"], request["qty_lots"], request["side"]) == (ASK, 11, 1)
    assert request["cause_sequence"] == 77
    assert rig.commands[-1]["event_type"].tolist() == [T.COMMAND_NEW]
    assert rig.row(int(request["order_sequence"]))["qty_lots"] == 11
    again = rig.control(T.CONTROL_APPROVE, trade_id=number)
    assert types(again) == [T.CONTROL_APPROVE]
    assert not again[0]["flags"] & EVENT_APPLIED
    assert rig.commands[-1].size == 0


def test_an_approved_entry_passes_every_gate_again() -> None:
    rig = connected()
    number = hold(rig)
    rig.desk.liveness[0, :] = Liveness.STALE
    rig.control(T.CONTROL_PAUSE)
    events = rig.control(T.CONTROL_APPROVE, trade_id=number)
    assert set(types(events)) >= {T.INTENT_SETTLED, T.RISK_REFUSAL}
    wanted = (RiskReason.TRADING_STATE, RiskReason.LIVENESS)
    assert reasons_of(int(settled(events, HeldOutcome.REFUSED)["refusal_mask"])) == wanted
    assert rig.word(Word.HELD_COUNT) == 0
    assert rig.commands[-1].size == 0


def test_gates_look_at_the_prices_of_the_approval() -> None:
    rig = connected(price_collar_bps=10.0)
    number = hold(rig, price=ASK)
    rig.quote(bid=BID * 2, ask=ASK * 2)
    events = rig.control(T.CONTROL_APPROVE, trade_id=number)
    found = reasons_of(int(settled(events, HeldOutcome.REFUSED)["refusal_mask"]))
    assert found == (RiskReason.PRICE_COLLAR,)


def test_the_operators_word_is_the_cause_so_its_age_counts() -> None:
    rig = connected(decision_latency_ms=100)
    number = hold(rig)
    rig.wait(WAIT_S / 2)
    settled(rig.control(T.CONTROL_APPROVE, trade_id=number), HeldOutcome.SENT)


def test_a_rejected_entry_is_gone() -> None:
    rig = connected()
    number = hold(rig)
    events = rig.control(T.CONTROL_REJECT, trade_id=number)
    settled(events, HeldOutcome.REJECTED)
    assert rig.word(Word.HELD_COUNT) == 0
    assert types(rig.control(T.CONTROL_APPROVE, trade_id=number)) == [T.CONTROL_APPROVE]


def test_an_entry_nobody_decided_about_expires() -> None:
    rig = connected()
    hold(rig)
    assert len(of_type(rig.wait(WAIT_S - 1), T.INTENT_SETTLED)) == 0
    settled(rig.wait(2), HeldOutcome.EXPIRED)
    assert rig.word(Word.HELD_COUNT) == 0
    rig.quote()
    assert hold(rig) == 2, "numbers are not given twice"


@pytest.mark.parametrize("number", [0, -1, 2, 99])
def test_a_number_that_is_not_waiting_is_refused(number: int) -> None:
    rig = connected()
    hold(rig)
    for event in (T.CONTROL_APPROVE, T.CONTROL_REJECT):
        (echo,) = rig.control(event, trade_id=number)
        assert not echo["flags"] & EVENT_APPLIED
    assert rig.word(Word.HELD_COUNT) == 1


def test_one_entry_of_a_strategy_and_instrument_waits_at_a_time() -> None:
    rig = connected()
    hold(rig)
    rig.now_ns += S
    events = rig.propose(1, 12)
    assert types(events) == [T.SIGNAL_GENERATED, T.RISK_REFUSAL]
    assert reasons_of(int(events[1]["refusal_mask"])) == (RiskReason.APPROVAL,)
    assert hold(rig, s=1) == 2
    assert hold(rig, i=1) == 3


def test_the_queue_is_bounded() -> None:
    rig = connected(instruments=HELD_MAX)
    numbers = [hold(rig, i=i, s=s) for i in range(HELD_MAX // 2) for s in (0, 1)]
    last = HELD_MAX - 1
    events = rig.propose(1, 11, i=last)
    assert reasons_of(int(events[1]["refusal_mask"])) == (RiskReason.APPROVAL,)
    rig.control(T.CONTROL_REJECT, trade_id=numbers[3])
    assert hold(rig, i=last) == HELD_MAX + 1


def test_what_is_unusually_large_for_its_strategy_waits() -> None:
    rig = connected(approval_notional_min=None, approval_ratio=3.0)
    for _ in range(4):
        assert types(rig.propose(1, 10)) == SENT
    assert types(rig.propose(1, 31)) == SENT, "four entries tell nothing yet"
    usual = int(rig.desk.bounds["usual_e8"][0])
    assert usual == pytest.approx((4 * 10 + 31) / 5 * ORDER / 10 * E8, rel=1e-6)
    lots = int(3 * usual / (ORDER / 10 * E8))
    assert types(rig.propose(1, lots + 1)) == HELD
    assert types(rig.propose(1, lots)) == SENT
    assert types(rig.propose(1, lots + 1, s=1)) == SENT


def test_replay_of_the_journal_gives_the_same_bytes() -> None:
    rig = connected()
    first, second = hold(rig), hold(rig, i=1)
    rig.control(T.CONTROL_APPROVE, trade_id=second)
    rig.control(T.CONTROL_REJECT, trade_id=first)
    controls, _ = inputs_of(rig.all_events())
    again = connected()
    hold(again)
    hold(again, i=1)
    for record in np.split(controls, len(controls)):
        again.step(controls=[record])
    assert again.all_events().tobytes() == rig.all_events().tobytes()
    assert again.all_commands().tobytes() == rig.all_commands().tobytes()


class Approvals(RuleBasedStateMachine):
    """Anything that can happen to the queue, against a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = connected(instruments=12)
        self.waiting: dict[int, tuple[tuple[int, int], int]] = {}
        self.sent = 0

    @rule(i=st.integers(0, 11), s=st.integers(0, 1))
    def propose(self, i: int, s: int) -> None:
        self.rig.now_ns += S
        self.drop_expired(self.rig.wait(0.001))
        self.rig.quote(i)
        events = self.rig.propose(1, 11, i=i, s=s)
        taken = any(key == (i, s) for key, _ in self.waiting.values())
        if taken or len(self.waiting) == HELD_MAX:
            assert T.INTENT_HELD not in types(events)
            return
        assert types(events) == HELD
        number = int(events[1]["trade_id"])
        assert number not in self.waiting
        self.waiting[number] = ((i, s), self.rig.now_ns)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), approve=st.booleans())
    def decide(self, data: st.DataObject, approve: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.waiting)))
        (i, _), since_ns = self.waiting.pop(number)
        self.rig.quote(i)
        event = T.CONTROL_APPROVE if approve else T.CONTROL_REJECT
        events = self.rig.control(event, trade_id=number)
        outcome = HeldOutcome.SENT if approve else HeldOutcome.REJECTED
        found = of_type(events, T.INTENT_SETTLED)
        assert (found["trade_id"][0], found["reason"][0]) == (number, outcome)
        self.sent += approve
        assert self.rig.now_ns - since_ns <= (WAIT_S + 1) * S
        self.drop_expired(events)
        if approve:
            order = self.rig.word(Word.NEXT_ORDER_SEQUENCE) - 1
            self.drop_expired(self.rig.update(order, OrderStatus.REJECTED))

    @rule(seconds=st.integers(1, 40))
    def wait(self, seconds: int) -> None:
        self.drop_expired(self.rig.wait(seconds))

    def drop_expired(self, events: np.ndarray) -> None:
        now_ns = self.rig.now_ns
        late = {n for n, (_, since_ns) in self.waiting.items() if now_ns - since_ns >= WAIT_S * S}
        told = of_type(events, T.INTENT_SETTLED)
        expired = set(told["trade_id"][told["reason"] == HeldOutcome.EXPIRED].tolist())
        assert expired == late
        for number in late:
            del self.waiting[number]

    @invariant()
    def the_queue_is_the_dictionary(self) -> None:
        held = self.rig.desk.held[:, HELD_NUMBER]
        assert sorted(held[held > 0].tolist()) == sorted(self.waiting)
        assert self.rig.word(Word.HELD_COUNT) == len(self.waiting)
        assert len(of_type(self.rig.all_commands(), T.COMMAND_NEW)) == self.sent


Approvals.TestCase.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)
TestApprovals = Approvals.TestCase
