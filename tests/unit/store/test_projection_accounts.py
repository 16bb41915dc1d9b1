"""Tables across sessions and accounts: what was restored, what is kept apart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.domain.records import EventType
from engine.store.database import Database
from engine.store.projection import project_all
from tests.store_builders import instrument, session_document, write_session
from tests.store_events import Row, event, opening_cash, position

Open = Callable[[], Database]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "practice-practice-paper"


@pytest.fixture
def database(open_database: Open) -> Database:
    return open_database()


def rows(database: Database, table: str, *columns: str) -> list[tuple[Any, ...]]:
    return database.query(f"SELECT {', '.join(columns)} FROM {table} ORDER BY 1")


def test_restored_columns_add_up_and_trade_ids_are_no_orders(
    database: Database, state: Path
) -> None:
    restore = EventType.RESTORE_POSITION
    fields = {"instrument_index": 0, "strategy_index": -1, "position_cost_e8": 10}
    write_session(state, position(0, -1, 99), session_id="one", epoch=1)
    write_session(
        state,
        event(EventType.RESTORE_LIMITS, cash_e8=777, qty_lots=1),
        event(restore, position_lots=5, **fields),
        event(restore, position_lots=2, **fields),
        event(EventType.RESTORE_ORDER, instrument_index=0, trade_id=501),
        event(EventType.RESTORE_END),
        session_id="two",
        epoch=2,
    )

    project_all(database, state)

    assert rows(database, "positions", "strategy", "lots", "cost_e8") == [("(external)", 7, 20)]
    assert rows(database, "order_states", "order_id") == []
    assert rows(database, "balances", "wallet_e8") == [(777,)]


def test_a_brain_restarted_in_place_takes_over_once_more(database: Database, state: Path) -> None:
    def restored(lots: int, strategy: int) -> Row:
        cost = {"position_cost_e8": lots * 10, "instrument_index": 0, "strategy_index": strategy}
        return event(EventType.RESTORE_POSITION, position_lots=lots, **cost)

    write_session(
        state,
        event(EventType.RESTORE_LIMITS),
        event(EventType.RESTORE_END),
        position(0, 0, 5),
        position(0, 1, 3),
        position(0, -2, 8),
        event(EventType.RESTORE_LIMITS),
        restored(4, 0),
        restored(1, 0),
        restored(5, -2),
        event(EventType.RESTORE_END),
    )

    project_all(database, state)

    found = rows(database, "positions", "strategy", "lots")
    assert sorted(found) == [("(net)", 5), ("orderflow", 0), ("smc_fvg_bos", 5)]


def test_a_position_nobody_took_over_is_closed_by_name(database: Database, state: Path) -> None:
    write_session(
        state, position(0, 0, 5), position(0, 1, 2), position(0, -2, 7), session_id="one", epoch=1
    )
    restore = EventType.RESTORE_POSITION
    fields = {"instrument_index": 0, "position_cost_e8": 1}
    write_session(
        state,
        event(restore, strategy_index=-1, position_lots=5, **fields),
        event(restore, strategy_index=0, position_lots=2, **fields),
        event(restore, strategy_index=-2, position_lots=7, **fields),
        event(EventType.RESTORE_END),
        session_id="two",
        epoch=2,
        strategies=session_document().strategies[1:],
    )

    project_all(database, state)

    held = rows(database, "positions", "strategy", "lots")
    assert held == [("(external)", 5), ("(net)", 7), ("orderflow", 2), ("smc_fvg_bos", 0)]


def test_accounts_in_one_database_never_meet(database: Database, tmp_path: Path) -> None:
    for name, wallet_e8 in (("practice-a-paper", 100), ("binance-a-live", 938)):
        write_session(tmp_path / name, opening_cash(wallet_e8), session_id="same")
        project_all(database, tmp_path / name)

    found = rows(database, "balances", "state_key", "wallet_e8")
    assert found == [("binance-a-live", 938), ("practice-a-paper", 100)]


def test_the_wallet_is_in_the_margin_currency(database: Database, state: Path) -> None:
    write_session(
        state, opening_cash(5), instruments=(instrument("BTCUSDC", quote="USDC", margin="USDC"),)
    )

    project_all(database, state)

    assert rows(database, "balances", "asset", "wallet_e8") == [("USDC", 5)]
