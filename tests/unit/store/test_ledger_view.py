"""The ledger as people read it: every sum is the sum of its parts, to the last unit."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import exit_codes
from engine.domain.codes import EVENT_APPLIED, EventType
from engine.processes.ledger_page import account_ledger, ledger_command
from engine.store.database import Database
from engine.store.errors import ProjectionError
from engine.store.ledger_view import CURVE_POINTS_MAX, Holding, ledger_document, thinned
from engine.store.projection import project_all
from engine.store.sqlite import DATABASE_NAME, SqliteDatabase
from tests.store_builders import write_session
from tests.store_events import Row, cash_adjustment, event, fill, opening_cash, position, request

KEY = "practice-practice-paper"
OPENED: Row = opening_cash(10_000 * 10**8) | {"venue_time_ns": 1_000}
FUNDING = event(
    EventType.FUNDING,
    instrument_index=1,
    trade_id=900,
    funding_e8=-250_000_000,
    flags=EVENT_APPLIED,
    venue_time_ns=6_000,
)
# Two strategies on one instrument, one of them still holding, somebody else on another.
SESSION = (
    OPENED,
    request(1),
    fill(1, 501, 5, fee_e8=40_000_000, time_ns=3_000),
    position(0, 0, 5),
    request(2, strategy_index=1),
    fill(2, 502, 3, strategy_index=1, fee_e8=30_000_000, time_ns=4_000),
    position(0, 1, 3),
    request(3, side=-1, flags=0),
    fill(3, 503, 5, side=-1, fee_e8=40_000_000, venue_realised_pnl_e8=700_000_000, time_ns=5_000),
    position(0, 0, 0),
    fill(0, 504, 1, instrument_index=1, fee_e8=10_000_000, time_ns=6_000),
    position(1, -1, 1),
    FUNDING,
)
NET = Decimal("7.00") - Decimal("1.20") - Decimal("2.50")  # realised, fees, funding


@pytest.fixture
def state(tmp_path: Path) -> Path:
    directory = tmp_path / "state" / KEY
    write_session(directory, *SESSION)
    database = SqliteDatabase(directory / DATABASE_NAME)
    project_all(database, directory)
    database.close()
    return directory


def no_book(_symbol: str, _levels: int) -> tuple[int, dict[str, Any]]:
    return 503, {"error": "the feed did not answer"}


def test_sums_are_those_of_their_parts_on_both_databases(
    tmp_path: Path, open_database: Callable[[], Database]
) -> None:
    database = open_database()
    write_session(tmp_path / KEY, *SESSION)
    project_all(database, tmp_path / KEY)
    mids = {"BTCUSDT": Decimal("100.5"), "ETHUSDT": Decimal("99.9")}
    document = ledger_document(database, KEY, mids)

    assert document["sums_to_zero"], document["problems"]
    assert sum(Decimal(amount) for amount in document["accounts"].values()) == 0
    assert Decimal(document["wallet"]) == 10_000 + NET
    for name in ("by_strategy", "by_instrument", "rows"):
        assert sum(Decimal(row["net"]) for row in document[name]) == NET, name
        for row in document[name]:
            made = Decimal(row["realised"]) - Decimal(row["fees"]) + Decimal(row["funding"])
            assert Decimal(row["net"]) == made
    rows = {(row["instrument"], row["strategy"]): row for row in document["rows"]}
    assert rows["BTCUSDT", "orderflow"]["quantity"] == "0.003"
    # 3 lots of 0.001 at 100.0, and 1 lot: 0.5 up and 0.1 down.
    assert Decimal(rows["BTCUSDT", "orderflow"]["unrealised"]) == Decimal("0.0015")
    assert Decimal(rows["ETHUSDT", "(external)"]["unrealised"]) == Decimal("-0.0001")
    assert rows["BTCUSDT", "smc_fvg_bos"]["unrealised"] is None
    assert Decimal(document["unrealised"]) == Decimal("0.0014")
    assert Decimal(document["equity"]) == Decimal(document["wallet"]) + Decimal("0.0014")
    assert document["curve"][-1][1] == document["wallet"]


def test_what_has_no_price_is_not_valued(state: Path) -> None:
    def one_book(symbol: str, levels: int) -> tuple[int, dict[str, Any]]:
        assert levels == 1
        book = {"bids": [["100.4", "1"]], "asks": [["100.6", "1"]]}
        return (200, book) if symbol == "BTCUSDT" else no_book(symbol, levels)

    document = account_ledger(state, one_book)
    assert (document["unrealised"], document["equity"]) == (None, None)
    valued = [row["unrealised"] for row in document["rows"] if row["unrealised"]]
    assert [Decimal(amount) for amount in valued] == [Decimal("0.0015")]
    assert account_ledger(state, no_book)["sums_to_zero"]


def test_a_ledger_that_is_not_there_is_an_error_and_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(ProjectionError):
        account_ledger(tmp_path / "state" / KEY, no_book)
    assert ledger_command(tmp_path, None, as_json=True) == exit_codes.ENVIRONMENT
    assert ledger_command(tmp_path, "binance-desk-live", as_json=True) == exit_codes.ENVIRONMENT


def test_the_command_says_that_it_balances(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = state.parents[1]
    assert ledger_command(home, None, as_json=False) == exit_codes.DONE
    text = capsys.readouterr().out
    assert f"{KEY}: sums to zero" in text
    assert "orderflow" in text
    assert "realised is what the venue books" in text
    assert ledger_command(home, KEY, as_json=True) == exit_codes.DONE
    document = json.loads(capsys.readouterr().out)
    (account,) = document["all_accounts"]
    assert Decimal(account["net"]) == NET
    assert account["wallet"] == document["wallet"]


def test_the_command_says_what_does_not_balance(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = SqliteDatabase(state / DATABASE_NAME)
    database.execute("UPDATE postings SET amount_e8 = amount_e8 + 1 WHERE account = 'FUNDING'")
    database.close()
    assert ledger_command(state.parents[1], None, as_json=False) == exit_codes.HALTED
    text = capsys.readouterr().out
    assert "DOES NOT BALANCE" in text
    assert "funding-ETHUSDT-900 sums to 1 e8" in text


def test_every_account_of_a_home_is_listed_apart(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = state.parent / "binance-desk-live"
    write_session(other, opening_cash(5 * 10**8), cash_adjustment(4 * 10**8, -(10**8)))
    database = SqliteDatabase(other / DATABASE_NAME)
    project_all(database, other)
    database.close()
    assert ledger_command(state.parents[1], KEY, as_json=True) == exit_codes.DONE
    document = json.loads(capsys.readouterr().out)
    found = {row["account"]: row["wallet"] for row in document["all_accounts"]}
    assert found == {KEY: document["wallet"], "binance-desk-live": "4.00000000"}


@given(
    lots=st.integers(-(2**40), 2**40).filter(bool),
    entry=st.integers(1, 2**30),
    mid=st.integers(1, 2**30),
    tick=st.tuples(st.integers(1, 500), st.integers(0, 8)),
    unit=st.integers(1, 10**8),
)
def test_an_open_position_is_worth_what_closing_it_would_make(
    lots: int, entry: int, mid: int, tick: tuple[int, int], unit: int
) -> None:
    cost = entry * lots * unit
    held = Holding("X", "s", lots, cost, *tick, 1, 3, unit)
    price = Decimal(mid * tick[0]).scaleb(-tick[1])
    assert held.unrealised_e8(price) == (mid - entry) * lots * unit
    half = Decimal((2 * mid + 1) * tick[0]) / 2
    wanted = Fraction(2 * mid + 1, 2) * lots * unit - cost
    assert abs(held.unrealised_e8(half.scaleb(-tick[1])) - wanted) <= Fraction(1, 2)


@given(st.lists(st.integers(0, 9), max_size=3 * CURVE_POINTS_MAX))
def test_a_thinned_curve_keeps_its_end_its_order_and_its_bound(amounts: list[int]) -> None:
    curve = list(enumerate(amounts))
    shown = thinned(curve)
    assert len(shown) <= CURVE_POINTS_MAX
    assert shown[-1:] == curve[-1:]
    assert shown == [curve[place] for place, _ in shown] == sorted(shown)
    if len(curve) <= CURVE_POINTS_MAX:
        assert shown == curve
