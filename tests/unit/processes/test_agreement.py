"""Engine and exchange agree only when every id and every integer does."""

import copy
from pathlib import Path
from typing import Any

import pytest

from engine.domain.records import EventType, OrderStatus, OrderType
from engine.processes.agreement import DIFFERENCES_MAX, compare
from tests.agreement_rig import (
    OPENED_MS,
    OPENED_NS,
    Ledger,
    by_hand,
    order_row,
    trades,
)
from tests.store_builders import write_session
from tests.store_events import (
    cash_adjustment,
    event,
    position,
    position_adjustment,
    request,
    update,
)


def test_equal_books_agree_and_say_how_much_was_compared(session: Path, ledger: Ledger) -> None:
    answer = compare(ledger, session)

    assert answer.differences == []
    assert answer.agrees
    assert answer.compared == {"orders": 2, "fills": 3, "positions": 1, "balances": 1}


@pytest.mark.parametrize(
    ("place", "entry", "words"),
    [
        (("positions", 0, "positionAmt"), "0.004", "position BTCUSDT"),
        (("balances", 0, "walletBalance"), "0.99999874", "balance USDT"),
        (("orders", 0, "status"), "CANCELED", "status is 4 in the journal"),
        (("orders", 0, "executedQty"), "0.004", "filled quantity"),
        (("orders", 1, "price"), "100.2", "price is 1001"),
        (("orders", 1, "side"), "BUY", "side is -1"),
        (("orders", 1, "clientOrderId"), "a1-1-3-25", "unknown to the exchange"),
        (("trades", 0, "qty"), "0.003", "fill BTCUSDT 501: quantity"),
        (("trades", 0, "price"), "100.1", "fill BTCUSDT 501: price"),
        (("trades", 1, "commission"), "0.00000041", "fill BTCUSDT 502: fee"),
        (("trades", 2, "realizedPnl"), "0.00000000", "realised PnL"),
        (("trades", 2, "id"), 504, "the journal does not"),
        (("trades", 2, "symbol"), "XRPUSDT", "the exchange knows XRPUSDT"),
        (("orders", 0, "origQty"), "0.00500001", "off the lot"),
        (("orders", 0, "status"), "SLEEPING", "SLEEPING"),
    ],
)
def test_every_single_difference_is_seen(
    session: Path, ledger: Ledger, place: tuple[str, int, str], entry: object, words: str
) -> None:
    table, row, name = place
    ledger[table][row][name] = entry

    answer = compare(ledger, session)

    assert not answer.agrees
    assert any(words in difference for difference in answer.differences), answer.differences


@pytest.mark.parametrize("table", ["orders", "trades", "positions", "balances"])
def test_a_missing_row_and_a_missing_table_are_disagreement(
    session: Path, ledger: Ledger, table: str
) -> None:
    short = copy.deepcopy(ledger)
    del short[table][0]
    del ledger[table]

    if table != "balances":
        assert not compare(short, session).agrees
    without = compare(ledger, session)
    assert not without.agrees
    assert without.differences == [f"the ledger has no list of {table}"]


def test_an_order_only_the_exchange_knows_is_disagreement(session: Path, ledger: Ledger) -> None:
    ledger["orders"].append(order_row(1, "BUY", "0.001") | {"clientOrderId": "by hand"})

    assert compare(ledger, session).differences == [
        "order by hand: the exchange has it, the journal does not"
    ]


def test_a_position_changed_by_hand_and_taken_over_is_no_agreement(
    tmp_path: Path, ledger: Ledger
) -> None:
    taken_over = position_adjustment(0, 4, 40_000, venue_time_ns=3_000_000_000)
    session = write_session(
        tmp_path / "practice-practice-paper",
        *trades(),
        taken_over | {"side": 1, "qty_lots": 1},
        position(0, -1, 1),
        position(0, -2, 4),
    )
    ledger["positions"][0]["positionAmt"] = "0.004"

    assert compare(ledger, session).differences == [
        "position BTCUSDT: fills in the journal explain 3 lots, 4 are at the exchange"
    ]


def test_money_moved_by_hand_and_taken_over_is_no_agreement(tmp_path: Path, ledger: Ledger) -> None:
    session = write_session(
        tmp_path / "practice-practice-paper", *trades(), cash_adjustment(99_999_973, 100)
    )
    ledger["balances"][0]["walletBalance"] = "0.99999973"

    assert compare(ledger, session).differences == [
        "balance USDT: fills explain 99999873 e8, 99999973 e8 are at the exchange"
    ]


def test_an_account_that_held_something_when_first_seen_agrees(
    tmp_path: Path, ledger: Ledger
) -> None:
    head, reconciled, *rest = trades()
    held = position_adjustment(0, 10, 100_000, venue_time_ns=OPENED_NS + 1)
    moved = [
        row | {"position_lots": row["position_lots"] + 10}
        if row["event_type"] == EventType.POSITION_CHANGED and row["strategy_index"] == -2
        else row
        for row in rest
    ]
    session = write_session(
        tmp_path / "practice-practice-paper",
        head,
        held | {"side": 1, "qty_lots": 10},
        position(0, -1, 10),
        position(0, -2, 10),
        reconciled,
        *moved,
    )
    ledger["positions"][0]["positionAmt"] = "0.013"

    answer = compare(ledger, session)

    assert answer.differences == []


def test_columns_that_do_not_sum_to_the_net_are_disagreement(
    tmp_path: Path, ledger: Ledger
) -> None:
    session = write_session(tmp_path / "practice-practice-paper", *trades(), position(0, 1, 1))

    assert compare(ledger, session).differences == [
        "position BTCUSDT: columns sum to 4 lots, net is 3"
    ]


def test_rejected_orders_need_not_be_in_the_ledger(tmp_path: Path, ledger: Ledger) -> None:
    rejected = update(3, OrderStatus.REJECTED, venue_order_id=0)
    session = write_session(tmp_path / "practice-practice-paper", *trades(), request(3), rejected)

    assert compare(ledger, session).agrees


@pytest.mark.parametrize("status", [OrderStatus.UNKNOWN, OrderStatus.NEW, OrderStatus.CANCELED])
def test_any_other_order_must_be(tmp_path: Path, ledger: Ledger, status: OrderStatus) -> None:
    session = write_session(
        tmp_path / "practice-practice-paper", *trades(), request(3), update(3, status)
    )

    assert compare(ledger, session).differences == [
        f"order a1-1-3-25: {status.name} in the journal, unknown to the exchange"
    ]


def guard_row(status: str, child: str = "", **changes: str) -> dict[str, Any]:
    row = {
        "symbol": "BTCUSDT",
        "clientAlgoId": "a1-1-3-25",
        "side": "SELL",
        "quantity": "0.003",
        "triggerPrice": "98.0",
        "algoStatus": status,
        "actualOrderId": child,
    }
    return row | changes


def guarded(
    tmp_path: Path, status: OrderStatus, kind: OrderType = OrderType.STOP_MARKET, **fields: int
) -> Path:
    """Return a session with a guard of three lots beside the orders of every session."""
    stop = {"side": -1, "qty_lots": 3, "order_type": kind, "price_ticks": 980}
    rows = (
        request(3, **stop),
        update(3, OrderStatus.NEW, venue_order_id=0, **stop),
        update(3, status, **({"venue_order_id": 0} | stop | fields)),
    )
    return write_session(tmp_path / "practice-practice-paper", *trades(), *rows)


def test_a_guard_that_never_became_an_order_is_compared_at_its_desk(
    tmp_path: Path, ledger: Ledger
) -> None:
    session = guarded(tmp_path, OrderStatus.CANCELED)
    ledger["algoOrders"] = [guard_row("CANCELED")]
    answer = compare(ledger, session)
    assert (answer.agrees, answer.differences) == (True, [])
    assert answer.compared["orders"] == 3
    ledger["algoOrders"] = [guard_row("NEW", quantity="0.002", triggerPrice="98.1")]
    found = compare(ledger, session).differences
    assert [text.partition(" is ")[0] for text in found] == [
        f"conditional order a1-1-3-25: {name}" for name in ("quantity", "trigger price", "status")
    ]
    ledger["algoOrders"] = []
    assert compare(ledger, session).differences == [
        "order a1-1-3-25: CANCELED in the journal, unknown to the exchange"
    ]


def test_a_guard_that_trails_has_no_price_to_compare(tmp_path: Path, ledger: Ledger) -> None:
    session = guarded(tmp_path, OrderStatus.CANCELED, OrderType.TRAILING_STOP_MARKET)
    trails = guard_row("CANCELED", orderType="TRAILING_STOP_MARKET", triggerPrice="0.0")
    ledger["algoOrders"] = [trails]
    assert compare(ledger, session).differences == []
    trails["quantity"] = "0.002"
    assert len(compare(ledger, session).differences) == 1


def test_a_guard_that_became_an_order_is_compared_as_that_order(
    tmp_path: Path, ledger: Ledger
) -> None:
    session = guarded(tmp_path, OrderStatus.CANCELED, venue_order_id=9_003)
    ledger["algoOrders"] = [guard_row("FINISHED", child="9003")]
    born = order_row(3, "SELL", "0.003") | {"status": "CANCELED", "executedQty": "0.000"}
    ledger["orders"].append(born)
    assert compare(ledger, session).differences == []
    born["status"] = "FILLED"
    assert len(compare(ledger, session).differences) == 1


def test_nothing_to_compare_is_disagreement(tmp_path: Path) -> None:
    session = write_session(tmp_path / "practice-practice-paper", event(EventType.SESSION_START))
    tables = ("orders", "trades", "positions", "balances", "income", "byHand", "algoOrders")
    empty: Ledger = {table: [] for table in tables}

    answer = compare(empty, session)

    assert (answer.agrees, answer.differences) == (False, ["nothing was compared"])


def test_a_journal_that_cannot_be_read_is_disagreement(session: Path, ledger: Ledger) -> None:
    (session / "session.json").write_text("{")

    answer = compare(ledger, session)

    assert not answer.agrees
    assert "session.json is damaged" in answer.differences[0]


def test_a_damaged_journal_is_disagreement(session: Path, ledger: Ledger) -> None:
    path = next(session.glob("events-brain-*.segment"))
    raw = bytearray(path.read_bytes())
    raw[700] ^= 1
    path.write_bytes(raw)

    assert not compare(ledger, session).agrees


def test_differences_are_bounded_and_the_rest_is_counted(session: Path, ledger: Ledger) -> None:
    ledger["orders"] += [
        order_row(1, "BUY", "0.001") | {"clientOrderId": f"x{number}"} for number in range(300)
    ]

    answer = compare(ledger, session)

    assert len(answer.differences) == DIFFERENCES_MAX + 1
    assert answer.differences[-1] == f"and {300 - DIFFERENCES_MAX} more"


def test_fills_of_earlier_sessions_count(tmp_path: Path, ledger: Ledger) -> None:
    state = tmp_path / "practice-practice-paper"
    rows = trades()
    write_session(state, *rows[:7], session_id="one", epoch=1)
    session = write_session(state, *rows[7:], session_id="two", epoch=2)

    answer = compare(ledger, session)

    assert answer.differences == []
    assert answer.compared["fills"] == 3


def transfer(time_ms: int, amount: str, kind: str = "TRANSFER") -> dict[str, Any]:
    return {"incomeType": kind, "income": amount, "asset": "USDT", "time": time_ms}


def test_what_the_exchange_did_by_hand_needs_no_fill(tmp_path: Path, ledger: Ledger) -> None:
    taken_over = position_adjustment(0, 7, 7_000, 3_000_000_000)
    paid_in = cash_adjustment(99_999_923, 50)
    rows = (*trades(), taken_over, position(0, 0, 7), position(0, -2, 7), paid_in)
    session = write_session(tmp_path / "practice-practice-paper", *rows)
    ledger["positions"][0]["positionAmt"] = "0.007"
    ledger["balances"][0]["walletBalance"] = "0.99999923"
    assert not compare(ledger, session).agrees

    ledger["byHand"] = [by_hand(2_500, "0.004"), by_hand(OPENED_MS, "0.009")]
    ledger["income"] = [
        transfer(2_500, "0.00000050"),
        transfer(OPENED_MS, "0.00000009"),
        transfer(2_500, "0.00000003", "COMMISSION"),
    ]
    assert compare(ledger, session).differences == []


def test_a_hand_that_did_less_than_was_taken_over_is_no_agreement(
    session: Path, ledger: Ledger
) -> None:
    ledger["byHand"] = [by_hand(2_500, "0.001")]
    answer = compare(ledger, session)
    assert any("explain 4 lots" in difference for difference in answer.differences)
