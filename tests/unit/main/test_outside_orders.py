"""A person's order: exact words in, the brain's answer out, and no answer that is guessed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.domain.client_id import parse_client_id
from engine.domain.codes import (
    EVENT_APPLIED,
    EVENT_DUPLICATE,
    EVENT_QUESTION,
    EventType,
    OrderStatus,
    OrderType,
    TimeInForce,
    TradingState,
)
from engine.domain.execution.asked import PARENTS_MAX, Method
from engine.domain.instrument_row import Instrument
from engine.domain.records import EVENT_DTYPE
from engine.domain.risk_reasons import RiskReason
from engine.processes import outside_orders
from engine.processes.board import BOARD_BYTES, write_board
from engine.processes.outside_orders import OutsideOrders
from engine.processes.outside_words import RefusedWords, order_of, parent_of, place_of, words_of
from engine.processes.segments import KIND_BOARD
from engine.web.bodies import CancelBody, ExecuteBody, OrderBody
from ringbuffer.ring import Producer, Ring
from ringbuffer.segment import Segment

EPOCH = 258
BTC = Instrument(
    symbol="BTCUSDT",
    instrument_index=3,
    price_exponent=1,
    qty_exponent=3,
    tick_scaled=5,
    lot_scaled=2,
    unit_e8=1,
)
ORDER = OrderBody(symbol="BTCUSDT", side="buy", quantity="0.004", reason="hedge", request_id="r1")
DATE_MS = 1_800_000_000_000  # 2027-01-15T08:00:00Z
DATED: dict[str, Any] = {"limit_price": "100", "good_till_ms": DATE_MS}
Answer = Callable[[np.ndarray], None]


class Brain:
    """Echoes what is sent, as a test says, on an event ring of its own."""

    def __init__(self) -> None:
        self.ring = Ring.local("events", 64, 256, gating=())
        self._producer = Producer(self.ring)
        self.board = Segment.anonymous("executions", BOARD_BYTES, kind=KIND_BOARD)
        self.answer: Answer | None = accept
        self.room = True
        self.trading_state = TradingState.ENABLED
        self.seen: list[np.void] = []

    def send(self, payload: bytes) -> bool:
        """Take a record as the control ring does, and answer it beside the caller."""
        if not self.room:
            return False
        record = np.frombuffer(b"\0" * 8 + payload, EVENT_DTYPE).copy()
        self.seen.append(record[0].copy())
        if self.answer is not None:
            self.answer(record)
            threading.Thread(target=self._echo, args=(record,)).start()
        return True

    def state(self) -> TradingState:
        """Return the state in force."""
        return self.trading_state

    def close(self) -> None:
        """Let go of the ring and the board."""
        self._producer.close()
        self.ring.close()
        self.board.close()

    def _echo(self, record: np.ndarray) -> None:
        other = record.copy()
        other["request_id"] += 1  # somebody else's
        for each in (other, record):
            self._producer.try_publish(each.tobytes()[8:])


def accept(record: np.ndarray) -> None:
    """Say that the order was sent."""
    record["flags"] |= EVENT_APPLIED
    record["order_sequence"], record["epoch_low"] = 41, EPOCH & 0xFF
    record["order_status_after"] = OrderStatus.PENDING_NEW


def refuse(record: np.ndarray) -> None:
    """Say that two gates refused it."""
    record["flags"] |= EVENT_APPLIED
    record["refusal_mask"] = 1 << RiskReason.TRADING_STATE | 1 << RiskReason.PRICE_COLLAR
    record["order_status_after"] = OrderStatus.REJECTED
    record["trading_state"] = TradingState.HALTED


def repeat(record: np.ndarray) -> None:
    """Say that an earlier session sent it."""
    record["flags"] |= EVENT_DUPLICATE
    record["order_sequence"], record["epoch_low"] = 7, (EPOCH - 3) & 0xFF


@pytest.fixture
def brain() -> Iterator[Brain]:
    made = Brain()
    yield made
    made.close()


def orders_of(
    brain: Brain,
    instruments: tuple[Instrument, ...] = (BTC,),
    wall_ns: Callable[[], int] = time.time_ns,
) -> OutsideOrders:
    config: Any = SimpleNamespace(
        venue=SimpleNamespace(name="practice"), engine_tag="a", epoch=EPOCH
    )
    names = ["orderflow", "hand", "execution"]
    commands: Any = brain
    run = (config, names, commands, brain.ring, brain.board)
    return OutsideOrders(*run, lambda: instruments, wall_ns=wall_ns)


@pytest.mark.parametrize("passes", [True, False])
def test_a_question_is_marked_as_one_and_no_order_comes_of_it(
    brain: Brain, *, passes: bool
) -> None:
    def judge(record: np.ndarray) -> None:
        assert record["flags"][0] & EVENT_QUESTION
        record["order_status_after"] = OrderStatus.PENDING_NEW
        if not passes:
            refuse(record)
            record["flags"] &= ~np.uint8(EVENT_APPLIED)

    brain.answer = judge
    orders = orders_of(brain)
    told = orders.check(ORDER, "ana")
    assert (told.status, told.order, told.client_order_id) == (200, "", "")
    if passes:
        assert (told.effect, told.reasons) == ("every gate would pass it now", ())
    else:
        assert told.effect.startswith("would be refused: the trading state")
        assert told.reasons == ("TRADING_STATE", "PRICE_COLLAR")
    brain.answer = accept
    assert orders.submit(ORDER, "ana").order == "258-41", "the same request id was not used up"
    assert not brain.seen[-1]["flags"] & EVENT_QUESTION


def test_a_question_that_is_no_order_asks_nobody(brain: Brain) -> None:
    wrong = OrderBody(symbol="NOSUCH", side="buy", quantity="1")
    assert orders_of(brain).check(wrong, "ana").status == 400
    assert brain.seen == []


def test_an_order_goes_out_in_lots_and_is_told_by_its_number(brain: Brain) -> None:
    told = orders_of(brain).submit(ORDER, "ana")
    assert (told.status, told.effect, told.order) == (200, "sent as 258-41", "258-41")
    known = parse_client_id("a", told.client_order_id)
    assert known is not None
    assert (known.epoch, known.strategy_index, known.order_sequence) == (EPOCH, 1, 41)
    (sent,) = brain.seen
    assert sent["event_type"] == EventType.CONTROL_ORDER
    assert (sent["instrument_index"], sent["strategy_index"], sent["qty_lots"]) == (3, 1, 2)
    assert (sent["side"], sent["order_type"]) == (1, OrderType.MARKET)
    assert sent["text"] == b"ana: hedge"


def test_every_gate_that_refused_is_named(brain: Brain) -> None:
    brain.answer = refuse
    told = orders_of(brain).submit(ORDER, "ana")
    assert told.status == 409
    assert told.reasons == ("TRADING_STATE", "PRICE_COLLAR")
    assert told.effect.startswith("refused: ")
    assert told.trading_state is TradingState.HALTED
    assert told.order == told.client_order_id == ""


def test_a_request_of_an_earlier_session_is_told_as_what_it_was(brain: Brain) -> None:
    brain.answer = repeat
    told = orders_of(brain).submit(ORDER, "ana")
    assert (told.status, told.order, told.is_known) == (200, "255-7", True)
    assert "answered before" in told.effect
    assert told.client_order_id == ""  # under which index it was sent is not known here


def test_the_same_request_has_the_same_number_and_another_use_is_refused(brain: Brain) -> None:
    orders = orders_of(brain)
    for _ in range(2):
        assert orders.submit(ORDER, "ana").status == 200
    assert orders.submit(ORDER, "bob").status == 200
    larger = OrderBody(symbol="BTCUSDT", side="buy", quantity="0.006", request_id="r1")
    told = orders.submit(larger, "ana")
    assert (told.status, told.effect) == (409, "this request id was used for something else")
    numbers = [int(sent["request_id"]) for sent in brain.seen]
    assert numbers[0] == numbers[1] != numbers[2]
    assert len(numbers) == 3


def test_requests_without_a_name_are_each_their_own(brain: Brain) -> None:
    orders = orders_of(brain)
    nameless = OrderBody(symbol="btc", side="sell", quantity="0.002")
    assert [orders.submit(nameless, "ana").status for _ in range(2)] == [200, 200]
    assert brain.seen[0]["request_id"] != brain.seen[1]["request_id"]


def test_silence_is_told_as_silence(brain: Brain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside_orders, "ANSWER_S", 0.05)
    brain.answer = None
    told = orders_of(brain).submit(ORDER, "ana")
    assert told.status == 504
    assert "ask again with this request id" in told.effect
    brain.room = False
    told = orders_of(brain).submit(ORDER, "ana")
    assert (told.status, len(brain.seen)) == (503, 1)


def test_an_answer_that_was_there_before_the_question_is_not_taken(
    brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside_orders, "ANSWER_S", 0.05)
    orders = orders_of(brain)
    assert orders.submit(ORDER, "ana").status == 200
    brain.answer = None
    assert orders.submit(ORDER, "ana").status == 504


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"quantity": "0.003"}, "multiple of 0.002"),
        ({"quantity": "0"}, "positive multiple"),
        ({"limit_price": "100.7"}, "multiple of 0.5"),
        ({"limit_price": "0"}, "positive multiple"),
        ({"quantity": "9" * 20}, "more than any order has"),
        ({"limit_price": "9" * 20}, "more than any order has"),
        ({"post_only": True}, "at a limit price"),
        ({"post_only": True, "immediate": True, "limit_price": "100"}, "post-only"),
        ({"immediate": True}, "immediate-or-cancel needs a limit price"),
        ({"fill_or_kill": True}, "fill-or-kill needs a limit price"),
        ({"post_only": True, "fill_or_kill": True, "limit_price": "100"}, "post-only"),
        ({"immediate": True, "fill_or_kill": True, "limit_price": "100"}, "one of them"),
        ({"good_till_ms": DATE_MS}, "good-till needs a limit price"),
        (DATED | {"post_only": True}, "post-only and good-till"),
        (DATED | {"immediate": True}, "good-till is of an order that rests"),
        (DATED | {"fill_or_kill": True}, "good-till is of an order that rests"),
        (DATED | {"good_till_ms": DATE_MS + 1}, "a whole second"),
    ],
)
def test_words_that_are_no_order_are_refused_before_anything_is_sent(
    brain: Brain, words: dict[str, Any], why: str
) -> None:
    asked = OrderBody(**({"symbol": "BTCUSDT", "side": "buy", "quantity": "0.004"} | words))
    with pytest.raises(RefusedWords, match=why):
        order_of(asked, BTC)
    assert orders_of(brain).submit(asked, "ana").status == 400
    assert brain.seen == []


def test_an_instrument_that_does_not_run_is_refused(brain: Brain) -> None:
    told = orders_of(brain, ()).submit(ORDER, "ana")
    assert (told.status, told.effect) == (400, "no instrument 'BTCUSDT' in this run")


def test_limit_words_become_ticks_and_flags() -> None:
    asked = OrderBody(
        symbol="BTCUSDT", side="sell", quantity="0.01", limit_price="100.5", post_only=True
    )
    order = order_of(asked, BTC)
    assert (order.side, order.qty_lots, order.price_ticks) == (-1, 5, 201)
    assert order.is_post_only
    assert order.time_in_force == TimeInForce.GTC


@pytest.mark.parametrize(
    ("mark", "time_in_force"),
    [("immediate", TimeInForce.IOC), ("fill_or_kill", TimeInForce.FOK)],
)
def test_an_order_that_does_not_rest_says_how(mark: str, time_in_force: TimeInForce) -> None:
    words = {"symbol": "BTCUSDT", "side": "buy", "quantity": "0.01", "limit_price": "100.5"}
    order = order_of(msgspec.convert({**words, mark: True}, OrderBody), BTC)
    assert order.words()["time_in_force"] == time_in_force


@pytest.mark.parametrize(
    ("after", "applied", "status", "effect"),
    [
        (OrderStatus.NEW, True, 200, "asked to cancel 258-41"),
        (OrderStatus.FILLED, False, 409, "258-41 is FILLED already"),
        (OrderStatus.NONE, False, 409, "no order 258-41 is known here"),
    ],
)
def test_a_cancel_is_told_as_the_brain_found_it(
    brain: Brain, after: OrderStatus, applied: bool, status: int, effect: str
) -> None:
    def answer(record: np.ndarray) -> None:
        record["order_status_after"] = after
        record["flags"] |= EVENT_APPLIED if applied else 0

    brain.answer = answer
    for name in ("258-41", "a76-1-15-0"):
        told = orders_of(brain).cancel(CancelBody(order=name, reason="no"), "ana")
        assert (told.status, told.effect) == (status, effect)
        sent = brain.seen[-1]
        assert sent["event_type"] == EventType.CONTROL_CANCEL
        assert (sent["order_sequence"], sent["epoch_low"]) == (41, EPOCH & 0xFF)


@pytest.mark.parametrize(
    "name", ["", "41", "-41", "258-", "258-0", "x-1", "1-2-3", "²-1", "9" * 40, f"1-{2**63}"]
)
def test_what_names_no_order_is_asked_of_nobody(brain: Brain, name: str) -> None:
    assert place_of(name, "a") is None
    if name:
        assert orders_of(brain).cancel(CancelBody(order=name), "ana").status == 400
    assert brain.seen == []


# Parent orders.

PARENT = ExecuteBody(
    method="twap", symbol="BTCUSDT", side="sell", quantity="0.2", minutes=2, request_id="p1"
)
ROW = {
    "number": 41, "epoch_low": EPOCH & 0xFF, "instrument_index": 0, "method": "twap",
    "side": "sell", "qty_lots": 100, "filled_lots": 25, "children": 4, "state": "WORKING",
    "reason": "NONE", "in_doubt": False, "curve": "NOT_ASKED", "taken_up": 0,
    "route": "REST at practice",
}  # fmt: skip


TAKEN_UP = ROW | {"number": 7, "epoch_low": (EPOCH - 3) & 0xFF, "taken_up": 1}


def test_a_parent_order_goes_out_with_its_numbers_and_is_told_by_its_own(brain: Brain) -> None:
    told = orders_of(brain).execute(PARENT, "ana")
    assert (told.status, told.effect, told.order) == (200, "working as 258-41", "258-41")
    (sent,) = brain.seen
    assert sent["event_type"] == EventType.CONTROL_EXECUTE
    assert (sent["strategy_index"], sent["order_type"]) == (2, Method.TWAP)
    assert (sent["side"], sent["qty_lots"], sent["input_0"]) == (-1, 100, 120.0)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "255-7 is over: it ended in an earlier session"),
        ([TAKEN_UP | {"state": "DONE"}], "255-7 is over: NONE"),
        ([TAKEN_UP], "working as 255-7"),
    ],
)
def test_a_parent_that_was_asked_for_before_is_told_as_it_stands(
    brain: Brain, rows: list[dict[str, object]], said: str
) -> None:
    """Once one that a killed engine had worked was called working."""
    brain.answer = repeat
    orders = orders_of(brain, (BTC,))
    write_board(brain.board, msgspec.json.encode(rows))
    told = orders.execute(PARENT, "ana")
    assert (told.status, told.is_known) == (200, True)
    assert told.effect == f"{said}; this request was answered before"


@pytest.mark.parametrize(
    ("words", "detail"),
    [
        ({"method": "pov", "rate": 0.2}, 0.2),
        ({"method": "iceberg", "display": "0.01", "limit_price": "100"}, 5.0),
        ({"method": "shortfall", "urgency": 2.5}, 2.5),
        ({"method": "peg", "behind_ticks": 3}, 3.0),
        ({"method": "vwap"}, 0.0),
    ],
)
def test_each_method_has_its_own_number(words: dict[str, Any], detail: float) -> None:
    asked = ExecuteBody(**({"symbol": "BTCUSDT", "side": "buy", "quantity": "0.2"} | words))
    parent = parent_of(asked, BTC)
    assert parent.method is Method[asked.method.upper()]
    assert words_of(parent)["input_1"] == parent.detail == detail


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"quantity": "0.003"}, "multiple"),
        ({"method": "iceberg", "display": "0", "limit_price": "100"}, "display '0' is not"),
        ({"method": "iceberg", "display": "0.01"}, "needs a limit price"),
        ({"method": "iceberg", "limit_price": "100"}, "smaller than the least order"),
        ({"method": "iceberg", "limit_price": "100", "display": "0.4"}, "smaller than"),
    ],
)
def test_a_parent_that_cannot_be_worked_is_refused_before_it_is_sent(
    brain: Brain, words: dict[str, Any], why: str
) -> None:
    base = {"method": "twap", "symbol": "BTCUSDT", "side": "buy", "quantity": "0.2"}
    told = orders_of(brain).execute(ExecuteBody(**(base | words)), "ana")
    assert told.status == 400
    assert why in told.effect
    assert brain.seen == []


def test_what_no_venue_hides_is_an_iceberg_of_its_display_or_refused(brain: Brain) -> None:
    words: dict[str, Any] = {"method": "hidden", "symbol": "BTCUSDT", "side": "buy"}
    words["quantity"] = "0.2"
    told = orders_of(brain).execute(ExecuteBody(**words), "ana")
    assert (told.status, told.reasons, brain.seen) == (409, ("NOT_OFFERED",), [])
    assert "iceberg" in told.effect
    assert orders_of(brain).execute(ExecuteBody(**words, display="0.1"), "ana").status == 200
    (sent,) = brain.seen
    assert (sent["order_type"], sent["input_1"]) == (Method.BEST, 50.0)


def test_a_halt_and_a_full_house_refuse_a_parent(brain: Brain) -> None:
    orders = orders_of(brain)
    brain.trading_state = TradingState.HALTED
    assert orders.execute(PARENT, "ana").status == 409
    brain.trading_state = TradingState.ENABLED
    rows = [ROW | {"number": k} for k in range(PARENTS_MAX)]
    write_board(brain.board, msgspec.json.encode(rows))
    orders = orders_of(brain, (BTC,))
    assert "work already" in orders.execute(PARENT, "ana").effect
    assert brain.seen == []
    write_board(brain.board, msgspec.json.encode([ROW | {"state": "DONE"}, *rows[1:]]))
    assert orders.execute(PARENT, "ana").status == 200


def test_progress_is_shown_in_the_instruments_own_decimals(brain: Brain) -> None:
    orders = orders_of(brain)
    assert orders.executions() == []
    write_board(brain.board, msgspec.json.encode([ROW]))
    (row,) = orders.executions()
    assert (row["order"], row["instrument"]) == ("258-41", "BTCUSDT")
    assert (row["quantity"], row["filled"]) == ("0.200", "0.050")
    assert row["route"] == "REST at practice"


def test_one_of_an_instrument_that_is_not_traded_is_shown_with_its_end(brain: Brain) -> None:
    over = {"state": "ENDED", "reason": "UNTRADED", "route": ""}
    gone = ROW | over | {"instrument_index": -1, "symbol": "SOLUSDT"}
    write_board(brain.board, msgspec.json.encode([gone]))
    brain.answer = lambda _: None
    orders = orders_of(brain)
    (row,) = orders.executions()
    assert (row["instrument"], row["reason"]) == ("SOLUSDT", "UNTRADED")
    assert (row["quantity"], row["filled"]) == ("100 lots", "25 lots")
    told = orders.cancel(CancelBody(order="258-41"), "ana")
    assert (told.status, told.effect) == (409, "258-41 is over: UNTRADED")


def test_a_parents_number_is_cancelled_as_an_orders_is(brain: Brain) -> None:
    brain.answer = lambda _: None  # the order store knows no such order
    orders = orders_of(brain)
    write_board(brain.board, msgspec.json.encode([ROW]))
    told = orders.cancel(CancelBody(order="258-41"), "ana")
    assert (told.status, told.effect) == (200, "asked to stop 258-41")
    over = ROW | {"state": "ENDED", "reason": "TIME"}
    write_board(brain.board, msgspec.json.encode([over]))
    told = orders.cancel(CancelBody(order="258-41"), "ana")
    assert (told.status, told.effect) == (409, "258-41 is over: TIME")


def test_a_parent_is_stopped_before_it_was_ever_shown(brain: Brain) -> None:
    orders = orders_of(brain)
    assert orders.execute(PARENT, "ana").order == "258-41"
    brain.answer = lambda _: None
    told = orders.cancel(CancelBody(order="258-41"), "ana")
    assert (told.status, told.effect) == (200, "asked to stop 258-41")
    assert orders.cancel(CancelBody(order="258-42"), "ana").status == 409
