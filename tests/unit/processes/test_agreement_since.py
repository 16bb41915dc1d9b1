"""What came after an account was first seen counts, what came before does not."""

from pathlib import Path
from typing import Any

from engine.domain.records import EVENT_APPLIED, EventType
from engine.processes.agreement import compare
from tests.agreement_rig import (
    OPENED_MS,
    OPENED_NS,
    Ledger,
    by_hand,
    order_row,
    trade_row,
    trades,
)
from tests.store_builders import write_session
from tests.store_events import event, fill, position, position_adjustment


def test_what_happened_before_the_account_was_first_seen_is_left_out(
    session: Path, ledger: Ledger
) -> None:
    before = {"clientOrderId": "long ago", "updateTime": OPENED_MS}
    ledger["orders"].append(order_row(1, "BUY", "0.001") | before)
    ledger["trades"].append(trade_row(77, "BUY", "0.001") | {"time": OPENED_MS})

    assert compare(ledger, session).agrees


def test_what_we_sent_came_after_the_opening_balance_whatever_its_stamp_says(
    tmp_path: Path, ledger: Ledger
) -> None:
    # The opening's stamp is our estimate of the venue's clock: here it is fast (chaos seed 16168).
    early = {"venue_time_ns": OPENED_NS - 14_000_000}
    events = [each | early if "trade_id" in each else each for each in trades()]
    session = write_session(tmp_path / "practice-practice-paper", *events)
    for row in ledger["trades"]:
        row["time"] = OPENED_MS - 14

    assert compare(ledger, session).differences == []


def test_a_number_says_that_a_fill_came_later_than_its_stamp(
    tmp_path: Path, ledger: Ledger
) -> None:
    # The venue's clock was set back for a moment, unseen, and somebody sold (chaos seed 20253).
    early = {"venue_time_ns": OPENED_NS - 900_000_000}
    session = write_session(
        tmp_path / "practice-practice-paper",
        *trades(),
        fill(0, 504, 1, side=-1, venue_order_id=42, text=b"hand", **early),
        position(0, -1, -1),
        position(0, -2, 2),
    )
    told = {"clientOrderId": "hand", "orderId": 42, "updateTime": OPENED_MS - 900}
    ledger["orders"].append(order_row(1, "SELL", "0.001") | told)
    ledger["trades"].append(trade_row(504, "SELL", "0.001") | {"time": OPENED_MS - 900})
    ledger["positions"][0]["positionAmt"] = "0.002"
    ledger["balances"][0]["walletBalance"] = "0.99999833"

    assert compare(ledger, session).differences == []


def test_fills_of_a_lost_home_do_not_make_its_orders_ours(tmp_path: Path, ledger: Ledger) -> None:
    head, *rest = trades()
    told = fill(0, 77, 1, venue_order_id=42, text=b"a9-1-1-25", venue_time_ns=OPENED_NS - 1)
    session = write_session(tmp_path / "practice-practice-paper", head, told, *rest)
    before = {"clientOrderId": "a9-1-1-25", "updateTime": OPENED_MS, "orderId": 42}
    ledger["orders"].append(order_row(1, "BUY", "0.005") | before)
    ledger["trades"].append(trade_row(77, "BUY", "0.001") | {"time": OPENED_MS - 1})

    answer = compare(ledger, session)

    assert not [text for text in answer.differences if text.startswith("order ")]
    assert answer.compared["orders"] == 2


def clock(venue_ns: int, anchor_ns: int) -> dict[str, Any]:
    offset_ns = venue_ns - anchor_ns
    return event(EventType.VENUE_CLOCK, clock_offset_ns=offset_ns, clock_anchor_ns=anchor_ns)


def test_what_came_after_the_exchanges_clock_was_set_back_is_counted(
    tmp_path: Path, ledger: Ledger
) -> None:
    # 3 s after the opening the clock loses 60 s, and 1 s later we look: what happened between is
    # told before the look.
    opened_ns, second = 100_000_000_000, 1_000_000_000
    late = {"venue_time_ns": 43_200_000_000}
    opening, reconciled, *traded = trades()
    paid = {"instrument_index": 0, "trade_id": 7, "flags": EVENT_APPLIED, "funding_e8": -11}
    funding = event(EventType.FUNDING, **paid, **late)
    rows = [row | late if row.get("venue_time_ns") else row for row in traded]
    looked = clock(opened_ns, 7 * second), clock(opened_ns - 56 * second, 11 * second)
    taken_over = position_adjustment(0, 7, 7_000, opened_ns - 55 * second)
    session = write_session(
        tmp_path / "practice-practice-paper",
        looked[0],
        opening | {"venue_time_ns": opened_ns},
        reconciled,
        *rows,
        funding,
        looked[1],
        *(taken_over, position(0, 0, 7), position(0, -2, 7)),
    )
    ledger["balances"][0]["walletBalance"] = "0.99999862"
    ledger["positions"][0]["positionAmt"] = "0.007"
    ledger["byHand"] = [by_hand(43_500, "0.004")]
    for row in (*ledger["orders"], *ledger["trades"]):
        row["updateTime" if "updateTime" in row else "time"] = 43_200

    assert compare(ledger, session).differences == []
    ledger["trades"].append(trade_row(504, "BUY", "0.001") | {"time": 43_100})
    assert compare(ledger, session).differences == [
        "fill BTCUSDT 504: the exchange has it, the journal does not"
    ]
