"""Orders that no strategy decided: through every gate, once per request, and told by the echo."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.codes import (
    EVENT_APPLIED,
    EVENT_DUPLICATE,
    EVENT_ENTRY,
    EVENT_POST_ONLY,
    EVENT_QUESTION,
    EVENT_REDUCE_ONLY,
    EventType,
    OrderStatus,
    OrderType,
    TimeInForce,
    TradingState,
)
from engine.domain.derived import inputs_of
from engine.domain.firewall_reasons import PRICE_TICKS_MAX
from engine.domain.fold import Fold
from engine.domain.limits import LOTS_MAX, RiskLimits
from engine.domain.risk_reasons import RiskReason, reasons_of
from engine.domain.state import REQUESTS_MAX
from engine.domain.words import Tally, Word
from tests.desk_rig import ASK, BID, GENEROUS, DeskRig, make_event, of_type, types

DATE_MS = 1_800_000_000_000
HAND, EXECUTION = 2, 3  # behind the rig's two strategies
REQUEST_ORDER = {
    "strategy_index": HAND,
    "side": 1,
    "qty_lots": 10,
    "order_type": OrderType.MARKET,
    "time_in_force": TimeInForce.GTC,
    "request_id": 501,
}


DATED = {
    "order_type": OrderType.LIMIT,
    "price_ticks": BID,
    "time_in_force": TimeInForce.GTD,
    "good_till_ms": DATE_MS,
}


def rig_of(limits: RiskLimits = GENEROUS, orders_max: int = 64) -> DeskRig:
    """Return a connected rig with columns for a person and for parent orders."""
    rig = DeskRig(limits, outside=2, orders_max=orders_max)
    rig.connect()
    return rig


def ask(rig: DeskRig, kind: EventType = EventType.CONTROL_ORDER, **fields: int) -> np.ndarray:
    """Send one order from outside as of now; return the step's events, the echo first."""
    record = make_event(kind, **(REQUEST_ORDER | {"time_ns": rig.now_ns} | fields))
    if kind >= EventType.CONTROL_ORDER:
        return rig.step(controls=[record])
    return rig.step([record])


def cancel(rig: DeskRig, number: int, kind: EventType = EventType.CONTROL_CANCEL) -> np.ndarray:
    """Ask for the cancel of one order; return the step's events."""
    record = make_event(kind, order_sequence=number, epoch_low=rig.epoch % 256)
    return rig.step(controls=[record]) if kind >= 300 else rig.step([record])


@pytest.mark.parametrize("kind", [EventType.CONTROL_ORDER, EventType.CHILD_ORDER])
def test_an_order_is_recorded_then_sent_and_its_echo_says_its_number(kind: EventType) -> None:
    rig = rig_of()
    events = ask(rig, kind, strategy_index=EXECUTION, cause_sequence=41)
    assert types(events)[:2] == [kind, EventType.ORDER_REQUEST]
    echo, request = events[0], events[1]
    assert echo["flags"] & EVENT_APPLIED
    assert echo["order_status_after"] == OrderStatus.PENDING_NEW
    assert echo["order_sequence"] == request["order_sequence"] > 0
    assert echo["epoch_low"] == request["epoch_low"] == 1
    assert request["strategy_index"] == EXECUTION
    assert request["cause_sequence"] == 41
    assert request["flags"] & EVENT_ENTRY
    command = rig.all_commands()[-1]
    assert command["event_type"] == EventType.COMMAND_NEW
    assert command["order_sequence"] == echo["order_sequence"]
    assert rig.row(int(echo["order_sequence"]))["column"] == EXECUTION


def test_its_fill_belongs_to_its_own_column_and_the_net() -> None:
    rig = rig_of()
    number = int(ask(rig)[0]["order_sequence"])
    rig.update(number, OrderStatus.NEW)
    rig.fill(number, 1, 10)
    assert rig.lots(s=HAND) == rig.lots() == 10
    assert rig.lots(s=0) == rig.lots(s=1) == rig.lots(s=-1) == 0


@pytest.mark.parametrize("state", [TradingState.HALTED, TradingState.REDUCING, TradingState.PAUSED])
def test_the_trading_state_refuses_it_and_the_echo_says_so(state: TradingState) -> None:
    rig = rig_of()
    rig.outer = state
    events = ask(rig)
    echo = of_type(events, EventType.CONTROL_ORDER)[0]
    assert echo["order_status_after"] == OrderStatus.REJECTED
    assert echo["order_sequence"] == 0
    assert reasons_of(int(echo["refusal_mask"])) == (RiskReason.TRADING_STATE,)
    assert len(of_type(events, EventType.RISK_REFUSAL)) == 1
    assert not len(of_type(rig.all_commands(), EventType.COMMAND_NEW))


def everything(rig: DeskRig) -> list[bytes]:
    """Return every array of the desk but the draft, which is scratch, and the words of time."""
    desk = rig.desk
    names = [name for name in desk._fields if name not in {"draft", "words", "counts"}]
    return [np.asarray(getattr(desk, name)).tobytes() for name in names]


@pytest.mark.parametrize("state", [TradingState.ENABLED, TradingState.HALTED])
@pytest.mark.parametrize(
    "fields",
    [{}, {"qty_lots": 1_000_000}, {"order_type": OrderType.LIMIT, "price_ticks": 2 * ASK}],
)
def test_a_question_is_answered_as_the_order_would_be_and_changes_nothing(
    state: TradingState, fields: dict[str, int]
) -> None:
    asking, sending = rig_of(), rig_of()
    asking.outer = sending.outer = state
    asking.step([])
    before = everything(asking)
    kind = EventType.CONTROL_ORDER
    events = ask(asking, kind, flags=EVENT_QUESTION, **fields)
    echo = of_type(events, kind)[0]
    sent = of_type(ask(sending, kind, **fields), kind)[0]
    assert echo["refusal_mask"] == sent["refusal_mask"]
    assert echo["order_status_after"] == sent["order_status_after"]
    assert not echo["flags"] & EVENT_APPLIED
    assert echo["order_sequence"] == 0
    assert set(types(events)) <= {EventType.CONTROL_ORDER, EventType.TRADING_STATE_CHANGED}
    assert not len(of_type(asking.all_commands(), EventType.COMMAND_NEW))
    assert everything(asking) == before
    again = of_type(ask(asking, kind, **fields), kind)[0]
    assert not again["flags"] & EVENT_DUPLICATE, "the request was not remembered"
    assert again["order_sequence"] == sent["order_sequence"]


def test_a_question_that_is_no_order_is_no_order() -> None:
    echo = of_type(ask(rig_of(), flags=EVENT_QUESTION, qty_lots=0), EventType.CONTROL_ORDER)[0]
    assert (echo["order_status_after"], echo["refusal_mask"]) == (OrderStatus.REJECTED, 0)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"qty_lots": 1_000_000}, RiskReason.ORDER_QTY),
        ({"order_type": OrderType.LIMIT, "price_ticks": 2 * ASK}, RiskReason.PRICE_COLLAR),
        ({"time_ns": 1}, RiskReason.DECISION_AGE),
        ({"flags": EVENT_REDUCE_ONLY}, RiskReason.REDUCE_ONLY),
    ],
)
def test_a_gate_that_fails_is_in_the_answer(fields: dict[str, int], reason: RiskReason) -> None:
    limits = GENEROUS._replace(order_qty_max=100.0, decision_latency_ms=500)
    rig = rig_of(limits=limits)
    echo = ask(rig, EventType.CONTROL_ORDER, **fields)[0]
    assert reason in reasons_of(int(echo["refusal_mask"]))
    assert rig.refusals(reason) == 1
    assert not len(of_type(rig.all_commands(), EventType.COMMAND_NEW))


@pytest.mark.parametrize(
    "fields",
    [
        {"instrument_index": 2},
        {"instrument_index": -1},
        {"strategy_index": 1},  # a strategy's column is not for others
        {"strategy_index": 4},
        {"strategy_index": -1},
        {"side": 0},
        {"side": 2},
        {"qty_lots": 0},
        {"qty_lots": LOTS_MAX + 1},
        {"order_type": 0},
        {"order_type": OrderType.LIMIT, "price_ticks": 0},
        {"order_type": OrderType.LIMIT, "price_ticks": PRICE_TICKS_MAX + 1},
        {"order_type": OrderType.LIMIT, "price_ticks": BID, "time_in_force": 0},
        {"order_type": OrderType.LIMIT, "price_ticks": BID, "time_in_force": 4},
        DATED | {"time_in_force": 5},
        {"flags": EVENT_POST_ONLY},  # a market order does not rest
        DATED | {"good_till_ms": 0},
        DATED | {"good_till_ms": -1},
        DATED | {"flags": EVENT_POST_ONLY},
    ],
)
def test_what_is_no_order_changes_nothing(fields: dict[str, int]) -> None:
    rig = rig_of()
    before = rig.tally(Tally.REPORTS_INVALID)
    echo = ask(rig, EventType.CONTROL_ORDER, **fields)[0]
    assert not echo["flags"] & EVENT_APPLIED
    assert echo["order_status_after"] == OrderStatus.REJECTED
    assert rig.tally(Tally.REPORTS_INVALID) == before + 1
    assert not len(of_type(rig.all_commands(), EventType.COMMAND_NEW))
    assert rig.word(Word.REQUEST_COUNT) == 0


def test_what_takes_back_its_own_position_is_an_exit_and_passes_while_reducing() -> None:
    rig = rig_of()
    number = int(ask(rig)[0]["order_sequence"])
    rig.update(number, OrderStatus.NEW)
    rig.fill(number, 1, 10)
    rig.outer = TradingState.REDUCING
    events = ask(rig, side=-1, qty_lots=10, request_id=502)
    request = of_type(events, EventType.ORDER_REQUEST)[0]
    assert not request["flags"] & EVENT_ENTRY
    assert request["flags"] & EVENT_REDUCE_ONLY
    beyond = ask(rig, side=-1, qty_lots=1, request_id=503)  # all of it is closing already
    echo = of_type(beyond, EventType.CONTROL_ORDER)[0]
    assert RiskReason.TRADING_STATE in reasons_of(int(echo["refusal_mask"]))


def test_a_larger_one_turns_the_position_and_is_an_entry() -> None:
    rig = rig_of()
    number = int(ask(rig)[0]["order_sequence"])
    rig.update(number, OrderStatus.NEW)
    rig.fill(number, 1, 10)
    request = of_type(ask(rig, side=-1, qty_lots=11, request_id=5), EventType.ORDER_REQUEST)[0]
    assert request["flags"] & EVENT_ENTRY
    assert request["qty_lots"] == 11


def test_a_date_goes_with_the_order_to_the_venue_and_to_the_next_session() -> None:
    rig = rig_of()
    events = ask(rig, EventType.CONTROL_ORDER, **DATED)
    number = int(events[0]["order_sequence"])
    sent = [*of_type(events, EventType.ORDER_REQUEST), rig.all_commands()[-1]]
    assert [(each["time_in_force"], each["good_till_ms"]) for each in sent] == [
        (TimeInForce.GTD, DATE_MS)
    ] * 2
    rig.update(number, OrderStatus.NEW, venue_order_id=77)
    later = rig
    for epoch in (2, 3):  # what was restored is restored again
        fold = Fold()
        fold.add(later.all_events())
        records = fold.restore_records()
        (order,) = records[records["order_sequence"] == number][-1:]
        assert order["event_type"] == EventType.RESTORE_ORDER
        assert (order["time_in_force"], order["good_till_ms"]) == (TimeInForce.GTD, DATE_MS)
        later = DeskRig(outside=2, epoch=epoch)
        later.step([records[k : k + 1] for k in range(len(records))])
        row = later.desk.orders[later.desk.orders["open_place"] >= 0]
        assert row["time_in_force"].tolist() == [TimeInForce.GTD]


def test_a_date_stays_with_its_own_order() -> None:
    rig = rig_of()
    ask(rig, EventType.CONTROL_ORDER, **DATED)
    ask(rig, order_type=OrderType.LIMIT, price_ticks=BID, request_id=502)
    sent = of_type(rig.all_commands(), EventType.COMMAND_NEW)
    assert sent["good_till_ms"].tolist() == [DATE_MS, 0]
    ask(rig, EventType.CONTROL_ORDER, **DATED, request_id=503)
    rig.propose(price=BID)
    assert rig.all_commands()["good_till_ms"].tolist()[-2:] == [DATE_MS, 0]


def test_an_order_whose_date_came_is_expired_and_held_no_more() -> None:
    rig = rig_of()
    number = int(ask(rig, EventType.CONTROL_ORDER, **DATED)[0]["order_sequence"])
    rig.update(number, OrderStatus.NEW)
    rig.update(number, OrderStatus.EXPIRED)
    assert rig.status(number) == OrderStatus.EXPIRED
    assert rig.desk.ledger["buy_lots"][0] == 0


def test_a_question_about_a_request_that_was_answered_is_answered_with_that() -> None:
    rig = rig_of()
    first = ask(rig, EventType.CONTROL_ORDER, **DATED)[0]
    again = ask(rig, EventType.CONTROL_ORDER, **DATED, flags=EVENT_QUESTION)[0]
    assert again["flags"] & EVENT_DUPLICATE
    assert again["order_sequence"] == first["order_sequence"]
    unheard = ask(rig, EventType.CONTROL_ORDER, **DATED, flags=EVENT_QUESTION, request_id=502)[0]
    assert not unheard["flags"] & EVENT_DUPLICATE
    assert len(of_type(rig.all_commands(), EventType.COMMAND_NEW)) == 1
    assert (
        not ask(rig, EventType.CONTROL_ORDER, **DATED, request_id=502)[0]["flags"] & EVENT_DUPLICATE
    )


@pytest.mark.parametrize("is_refused", [False, True])
def test_a_request_is_done_once_and_answered_again(is_refused: bool) -> None:
    rig = rig_of()
    rig.outer = TradingState.HALTED if is_refused else TradingState.ENABLED
    first = of_type(ask(rig), EventType.CONTROL_ORDER)[0]
    rig.outer = TradingState.ENABLED
    again = of_type(ask(rig), EventType.CONTROL_ORDER)[0]
    assert again["flags"] & EVENT_DUPLICATE
    assert not again["flags"] & EVENT_APPLIED
    for name in ("order_sequence", "epoch_low", "refusal_mask", "order_status_after"):
        assert again[name] == first[name], name
    sent = 0 if is_refused else 1
    assert len(of_type(rig.all_commands(), EventType.COMMAND_NEW)) == sent


def test_a_request_is_forgotten_only_for_as_many_later_ones() -> None:
    rig = rig_of(orders_max=16)
    rig.outer = TradingState.HALTED
    for k in range(REQUESTS_MAX):
        ask(rig, request_id=k + 1)
    assert of_type(ask(rig, request_id=1), EventType.CONTROL_ORDER)[0]["flags"] & EVENT_DUPLICATE
    ask(rig, request_id=REQUESTS_MAX + 1)
    again = of_type(ask(rig, request_id=1), EventType.CONTROL_ORDER)[0]
    assert not again["flags"] & EVENT_DUPLICATE


def test_the_next_session_knows_the_requests_of_the_one_that_was_killed() -> None:
    rig = rig_of()
    number = int(ask(rig)[0]["order_sequence"])
    parent = int(ask(rig, EventType.CONTROL_EXECUTE, request_id=77)[0]["order_sequence"])
    rig.outer = TradingState.HALTED
    ask(rig, request_id=88)
    later, known = rig, 3
    for epoch in (2, 3):  # what was restored is restored again
        fold = Fold()
        fold.add(later.all_events())
        later = DeskRig(outside=2, epoch=epoch)
        records = fold.restore_records()
        later.step([records[k : k + 1] for k in range(len(records))])
        assert later.word(Word.REQUEST_COUNT) == known
        for request_id, sequence in ((501, number), (77, parent), (88, 0)):
            kind = EventType.CONTROL_EXECUTE if request_id == 77 else EventType.CONTROL_ORDER
            echo = of_type(ask(later, kind, request_id=request_id), kind)[0]
            assert echo["flags"] & EVENT_DUPLICATE
            assert (echo["order_sequence"], echo["epoch_low"]) == (sequence, 1 if sequence else 0)
        assert not len(of_type(later.all_commands(), EventType.COMMAND_NEW))
        assert later.word(Word.NEXT_ORDER_SEQUENCE) > parent


def test_before_the_restore_nothing_is_sent_remembered_or_numbered() -> None:
    rig = DeskRig(outside=2)
    echo = of_type(ask(rig), EventType.CONTROL_ORDER)[0]
    assert RiskReason.NOT_SYNCED in reasons_of(int(echo["refusal_mask"]))
    parent = ask(rig, EventType.CONTROL_EXECUTE)[0]
    assert not parent["flags"] & EVENT_APPLIED
    assert rig.word(Word.REQUEST_COUNT) == 0
    rig.connect()
    assert of_type(ask(rig), EventType.CONTROL_ORDER)[0]["order_sequence"] > 0


@pytest.mark.parametrize("kind", [EventType.CONTROL_CANCEL, EventType.CHILD_CANCEL])
def test_a_cancel_withdraws_the_order_it_names_and_no_other(kind: EventType) -> None:
    rig = rig_of()
    limit = {"order_type": OrderType.LIMIT, "price_ticks": BID}
    ours = int(ask(rig, EventType.CONTROL_ORDER, **limit)[0]["order_sequence"])
    other = int(ask(rig, EventType.CONTROL_ORDER, **limit, request_id=502)[0]["order_sequence"])
    for number in (ours, other):
        rig.update(number, OrderStatus.NEW)
    events = cancel(rig, ours, kind)
    assert of_type(events, kind)[0]["flags"] & EVENT_APPLIED
    asked = of_type(rig.all_commands(), EventType.COMMAND_CANCEL)
    assert asked["order_sequence"].tolist() == [ours]
    assert rig.status(other) == OrderStatus.NEW


def test_a_cancel_of_what_is_settled_or_unknown_changes_nothing() -> None:
    rig = rig_of()
    number = int(ask(rig)[0]["order_sequence"])
    rig.update(number, OrderStatus.NEW)
    rig.fill(number, 1, 10)
    settled = cancel(rig, number)[0]
    assert settled["order_status_after"] == OrderStatus.FILLED
    unknown = cancel(rig, 999)[0]
    assert unknown["order_status_after"] == OrderStatus.NONE
    assert not (settled["flags"] | unknown["flags"]) & EVENT_APPLIED
    assert not len(of_type(rig.all_commands(), EventType.COMMAND_CANCEL))


def test_a_persons_order_rests_longer_than_a_strategys() -> None:
    rig = rig_of(limits=GENEROUS._replace(resting_time_ms=1_000))
    theirs = int(rig.propose(price=BID)["order_sequence"][1])
    ours = int(ask(rig, order_type=OrderType.LIMIT, price_ticks=BID)[0]["order_sequence"])
    for number in (theirs, ours):
        rig.update(number, OrderStatus.NEW)
    rig.wait(2)
    asked = of_type(rig.all_commands(), EventType.COMMAND_CANCEL)
    assert asked["order_sequence"].tolist() == [theirs]


def test_a_parents_state_is_only_written_down() -> None:
    rig = rig_of()
    words, orders = rig.desk.words.copy(), rig.desk.orders.copy()
    echo = rig.report(EventType.PARENT_STATE, order_sequence=9, cum_qty_lots=5, order_status=1)[0]
    assert (echo["order_sequence"], echo["cum_qty_lots"], echo["order_status"]) == (9, 5, 1)
    changed = np.flatnonzero(words != rig.desk.words).tolist()
    assert set(changed) <= {Word.NOW_NS, Word.NEXT_MARK_NS, Word.NEXT_ORDER_CHECK_NS}
    assert np.array_equal(orders, rig.desk.orders)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["order", "dated", "child", "cancel", "execute", "fill", "halt", "resume"]),
        st.integers(1, 6),
        st.sampled_from([-1, 1]),
        st.integers(1, 20),
    ),
    max_size=24,
)


def perform(rig: DeskRig, actions: list[tuple[str, int, int, int]]) -> list[int]:
    """Do what a list says, fills of orders that are open; return the outer state of each step."""
    outers: list[int] = []
    trades, began = itertools.count(1), len(rig.events)
    for name, request, side, lots in actions:
        fields = {"request_id": request, "side": side, "qty_lots": lots}
        if name == "order":
            ask(rig, EventType.CONTROL_ORDER, **fields)
        elif name == "dated":
            ask(rig, EventType.CONTROL_ORDER, **(DATED | {"good_till_ms": request} | fields))
        elif name == "child":
            ask(rig, EventType.CHILD_ORDER, strategy_index=EXECUTION, **fields)
        elif name == "execute":
            ask(rig, EventType.CONTROL_EXECUTE, **fields)
        elif name == "cancel":
            cancel(rig, request)
        elif name == "fill":
            rows = rig.desk.orders[rig.desk.orders["open_place"] >= 0]
            if len(rows):
                rig.fill(int(rows["order_sequence"][0]), next(trades), 1)
        else:
            rig.outer = TradingState.HALTED if name == "halt" else TradingState.ENABLED
            rig.step()
        outers += [rig.outer] * (len(rig.events) - began - len(outers))
    return outers


@settings(max_examples=60, deadline=None)
@given(ACTIONS)
def test_a_request_becomes_one_order_at_most_and_columns_sum_to_the_net(
    actions: list[tuple[str, int, int, int]],
) -> None:
    rig = rig_of()
    perform(rig, actions)
    events = rig.all_events()
    done = events[
        np.isin(events["event_type"], [EventType.CONTROL_ORDER, EventType.CONTROL_EXECUTE])
    ]
    for request in set(done["request_id"].tolist()):
        own = done[done["request_id"] == request]
        assert sum(own["flags"] & EVENT_APPLIED > 0) == 1
        assert len(set(own["order_sequence"].tolist())) == 1
    sent = of_type(rig.all_commands(), EventType.COMMAND_NEW)["order_sequence"].tolist()
    assert len(set(sent)) == len(sent)
    assert set(sent) == set(of_type(events, EventType.ORDER_REQUEST)["order_sequence"].tolist())
    columns = [rig.lots(s=s) for s in (0, 1, HAND, EXECUTION, -1)]
    assert sum(columns) == rig.lots()


@settings(max_examples=30, deadline=None)
@given(ACTIONS)
def test_the_journal_holds_what_it_takes_to_write_it_again(
    actions: list[tuple[str, int, int, int]],
) -> None:
    first, again = rig_of(), rig_of()
    outers = perform(first, actions)
    stepped = first.events[len(again.events) :]
    assert len(stepped) == len(outers)
    for events, outer in zip(stepped, outers, strict=True):
        controls, reports = inputs_of(events)
        again.outer = outer
        written = again.step(
            [reports[k : k + 1] for k in range(len(reports))],
            [controls[k : k + 1] for k in range(len(controls))],
        )
        assert written.tobytes() == events.tobytes()
    assert first.all_commands().tobytes() == again.all_commands().tobytes()
