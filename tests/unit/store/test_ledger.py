"""The double-entry ledger on both databases: entries sum to zero, WALLET is the wallet, exactly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import EVENT_APPLIED, EVENT_DUPLICATE, EventType
from engine.store.database import Database
from engine.store.event_names import EventNames
from engine.store.ledger import Ledger, Result
from engine.store.postings import post_fill
from engine.store.projection import project_all
from tests.store_builders import event_records, session_document, write_session
from tests.store_events import (
    Row,
    cash_adjustment,
    event,
    fill,
    opening_cash,
    position_adjustment,
    repeated,
    request,
)

KEY = "practice-practice-paper"
OPENED: Row = opening_cash(1_000_000) | {"venue_time_ns": 1_000}
LATE = {"venue_time_ns": 9_000}


def funding(amount_e8: int, number: int, **fields: Any) -> Row:  # noqa: ANN401
    row = {
        "instrument_index": 0,
        "trade_id": number,
        "funding_e8": amount_e8,
        "flags": EVENT_APPLIED,
        "venue_time_ns": 6_000,
    }
    return event(EventType.FUNDING, **(row | fields))


@pytest.fixture
def project(tmp_path: Path, open_database: Callable[[], Database]) -> Callable[..., Ledger]:
    """Return what projects one session and reads its ledger."""

    def projected(*rows: Row) -> Ledger:
        database = open_database()
        write_session(tmp_path / KEY, *rows)
        project_all(database, tmp_path / KEY)
        return Ledger(database, KEY)

    return projected


def test_every_kind_of_change_is_posted_once_and_balances(project: Callable[..., Ledger]) -> None:
    bought = fill(1, 501, 2, fee_e8=40)
    sold = fill(2, 502, 2, side=-1, fee_e8=30, venue_realised_pnl_e8=700)
    ledger = project(
        OPENED,
        request(1),
        bought,
        repeated(bought),
        request(2, side=-1),
        sold,
        funding(-25, 900),
        funding(-25, 900, flags=EVENT_DUPLICATE),
        cash_adjustment(1_000_555, -50),
    )

    wallet = 1_000_000 - 40 + 700 - 30 - 25
    assert ledger.problems() == []
    totals = ledger.totals()
    assert sum(totals.values()) == 0
    assert totals["WALLET"] == 1_000_555
    assert totals["ADJUSTMENT"] == wallet - 1_000_555
    assert (totals["OPENING"], totals["FEES"], totals["TRADING"]) == (-1_000_000, 70, -700)
    assert totals["FUNDING"] == 25


def test_results_are_by_strategy_and_instrument(project: Callable[..., Ledger]) -> None:
    ledger = project(
        OPENED,
        request(1),
        fill(1, 501, 2, fee_e8=40, venue_realised_pnl_e8=300),
        fill(0, 502, 1, fee_e8=5, venue_realised_pnl_e8=-90),
        funding(11, 900),
    )

    results = {(row.instrument, row.strategy): row for row in ledger.results()}
    assert results["BTCUSDT", "smc_fvg_bos"] == Result("BTCUSDT", "smc_fvg_bos", 300, 40, 0)
    assert results["BTCUSDT", "(external)"] == Result("BTCUSDT", "(external)", -90, 5, 0)
    assert results["BTCUSDT", ""].funding_e8 == 11
    assert sum(row.net_e8 for row in results.values()) == 300 - 40 - 90 - 5 + 11


def test_the_curve_ends_at_the_wallet_and_starts_at_its_opening(
    project: Callable[..., Ledger],
) -> None:
    ledger = project(OPENED, request(1), fill(1, 501, 2, fee_e8=40, time_ns=50))
    curve = ledger.wallet_curve()
    assert [wallet for _, wallet in curve][-1] == ledger.totals()["WALLET"] == 999_960
    assert [at for at, _ in curve] == sorted(at for at, _ in curve)


def test_a_fill_that_an_adjustment_took_over_explains_it(project: Callable[..., Ledger]) -> None:
    ledger = project(
        OPENED,
        position_adjustment(0, 2, 2_000, 9_000),
        cash_adjustment(999_960, -40),
        fill(0, 501, 2, fee_e8=40, **LATE),
    )

    assert ledger.problems() == []
    totals = ledger.totals()
    assert totals["WALLET"] == 999_960
    assert totals.get("ADJUSTMENT", 0) == 0, "the fill says what the adjustment was"
    assert totals["FEES"] == 40


def test_what_was_before_the_opening_balance_is_in_it(project: Callable[..., Ledger]) -> None:
    ledger = project(fill(0, 501, 2, fee_e8=40, venue_time_ns=500), OPENED)
    assert ledger.totals() == {"WALLET": 1_000_000, "OPENING": -1_000_000}
    assert ledger.problems() == []


def test_a_posting_that_was_changed_is_found(
    tmp_path: Path, open_database: Callable[[], Database]
) -> None:
    database = open_database()
    write_session(tmp_path / KEY, OPENED, request(1), fill(1, 501, 2, fee_e8=40))
    project_all(database, tmp_path / KEY)
    database.execute("UPDATE postings SET amount_e8 = 41 WHERE account = 'FEES'")
    problems = Ledger(database, KEY).problems()
    assert problems == ["ledger entry fill-BTCUSDT-501 sums to 1 e8"]
    database.execute(
        "UPDATE postings SET amount_e8 = -41 WHERE account = 'WALLET' AND amount_e8 < 0"
    )
    (sentence,) = Ledger(database, KEY).problems()
    assert "999959 e8 posted to the wallet, the balance is 999960 e8" in sentence


AMOUNTS = st.integers(min_value=-(10**15), max_value=10**15)


@given(realised=AMOUNTS, fee=AMOUNTS, is_taken_over=st.booleans())
def test_any_fill_sums_to_zero(realised: int, fee: int, is_taken_over: bool) -> None:
    (record,) = event_records(fill(1, 501, 2, fee_e8=fee, venue_realised_pnl_e8=realised))
    postings = post_fill(EventNames(session_document()), record, "x", is_taken_over=is_taken_over)
    assert sum(int(str(row["amount_e8"])) for row in postings) == 0
    receiver = "ADJUSTMENT" if is_taken_over else "WALLET"
    received = [row["amount_e8"] for row in postings if row["account"] == receiver]
    assert received == ([realised - fee] if realised != fee else [])
