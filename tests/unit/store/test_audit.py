"""The audit trail's rows: every fill once, every refusal written, in the words people use."""

from pathlib import Path

import pytest

from engine.domain.codes import EventType, OrderStatus
from engine.domain.fold import Fold
from engine.domain.records import EVENT_APPLIED
from engine.domain.risk_reasons import RiskReason
from engine.domain.strategy_table import StrategyReason
from engine.store import audit
from engine.store.audit import COLUMNS, AuditRows, Row
from tests.store_builders import event_records, session_document
from tests.store_events import event, fill, repeated, request, update


def rows_of(*events: Row, rows: AuditRows | None = None) -> list[Row]:
    made = rows or AuditRows(session_document())
    return list(made.rows(event_records(*events)))


def refusal(*gates: RiskReason, **fields: int) -> Row:
    mask = sum(1 << gate for gate in gates)
    known = {
        "instrument_index": 0,
        "strategy_index": 1,
        "side": -1,
        "qty_lots": 7,
        "reason": gates[0],
        "refusal_mask": mask,
        "request_id": 3,
    }
    return event(EventType.RISK_REFUSAL, **(known | fields))


def test_a_fill_says_what_was_traded_at_what_price_and_why() -> None:
    (row,) = rows_of(
        request(4, reason=StrategyReason.FLOW_SCORE),
        update(4, OrderStatus.NEW),
        fill(4, 501, 5, realised_pnl_e8=-250_000_000, side=-1),
    )
    assert tuple(row) == COLUMNS
    expected = {
        "symbol": "BTCUSDT",
        "action": "SELL",
        "quantity": "0.005",
        "price": "100.0",
        "pnl": -2.5,
        "reason": "FLOW_SCORE",
        "account": "practice-practice-paper",
        "sequence": 2,
        "order_id": "a1-1-4-25",
        "strategy": "smc_fvg_bos",
        "trade_id": 501,
    }
    assert row | expected == row
    assert row["timestamp"] == "2023-11-14T22:13:20.000001+00:00"


def test_a_fill_of_an_order_of_an_earlier_session_says_why_it_was_sent() -> None:
    """Once its reason was empty: it was asked for in another journal."""
    fold = Fold()
    sent = request(4, reason=StrategyReason.FLOW_SCORE)
    fold.add(event_records(sent, update(4, OrderStatus.NEW)))
    told = fold.restore_records()
    told["flags"] |= EVENT_APPLIED
    told["order_status_after"] = told["order_status"]
    again = Fold()
    again.add(told)
    for earlier in (fold, again):
        made = AuditRows(session_document())
        assert list(made.rows(earlier.restore_records())) == []
        (row,) = rows_of(fill(4, 501, 5), rows=made)
        assert row["reason"] == "FLOW_SCORE"


@pytest.mark.parametrize(
    ("name", "reason"), [(b"adl_autoclose", "DELEVERAGING"), (b"web_x", "FOREIGN_ORDER")]
)
def test_a_fill_that_is_not_ours_says_why_it_was_there(name: bytes, reason: str) -> None:
    (row,) = rows_of(fill(0, 501, 5, side=-1, text=name))
    assert (row["reason"], row["order_id"]) == (reason, name.decode())


def test_a_refusal_says_every_gate_and_how_many_went_unwritten() -> None:
    (row,) = rows_of(refusal(RiskReason.PRICE_AGE, RiskReason.DAILY_LOSS))
    expected = {
        "action": "REFUSED SELL",
        "quantity": "0.007",
        "price": None,
        "pnl": None,
        "reason": "PRICE_AGE",
        "gates": "PRICE_AGE DAILY_LOSS",
        "suppressed": 3,
        "strategy": "orderflow",
    }
    assert row | expected == row
    assert rows_of(refusal(RiskReason.PRICE_AGE, price_ticks=1_005))[0]["price"] == "100.5"


def test_a_fill_that_is_told_again_makes_no_second_row() -> None:
    assert len(rows_of(fill(4, 501, 5), repeated(fill(4, 501, 5)), fill(4, 502, 1))) == 2


def test_a_fill_of_something_we_do_not_trade_counts_in_ticks_and_lots() -> None:
    (row,) = rows_of(fill(0, 9, 5, instrument_index=-1))
    assert (row["symbol"], row["quantity"], row["price"]) == ("", "5", "1000")


def test_only_so_many_reasons_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "REASONS_KEPT", 2)
    rows = AuditRows(session_document())
    asked = [request(k, reason=StrategyReason.BOS_LIVE) for k in (1, 2, 3)]
    found = rows_of(*asked, fill(1, 1, 1), fill(3, 2, 1), rows=rows)
    assert [row["reason"] for row in found] == ["", "BOS_LIVE"]


def test_rows_come_alike_in_one_piece_or_in_many(tmp_path: Path) -> None:
    assert tmp_path.is_dir()
    events = [request(1, reason=3), fill(1, 1, 2), refusal(RiskReason.LEASE), fill(1, 2, 3)]
    rows = AuditRows(session_document())
    records = event_records(*events)
    parts = [row for k in range(len(records)) for row in rows.rows(records[k : k + 1])]
    assert parts == rows_of(*events)
    assert len(parts) == 3
