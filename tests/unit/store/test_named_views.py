"""`orders` and `executions` as people ask for them, on both databases, from any row of ours."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.domain.codes import OrderStatus, OrderType, Side
from engine.store.database import Database, migrate, migrations
from engine.store.projection import project_all
from engine.store.tables import FILLS, INSTRUMENTS, ORDERS, TABLES, Cells, Table
from tests.store_builders import instrument, write_session
from tests.store_events import fill, request, update

KEY = "practice-practice-paper"
ORDER_COLUMNS = "id, symbol, side, quantity, order_type, status, timestamp"
EXECUTION_COLUMNS = "order_id, exec_time, price, quantity, commission, symbol, pnl"
NS = st.integers(min_value=0, max_value=4_000_000_000 * 10**9)


@pytest.fixture
def database(open_database: Callable[[], Database]) -> Database:
    opened = open_database()
    migrate(opened, 0)
    return opened


def cells_of(table: Table, **given_cells: int | str) -> Cells:
    """Return a row of a table: zeros and empty texts but for what is given."""
    texts = {"state_key", "order_id", "instrument", "session_id", "client_order_id", "strategy"}
    blank: Cells = {name: "" if name in {*texts, "quote"} else 0 for name in table.columns}
    return blank | {"state_key": KEY, "instrument": "BTCUSDT"} | given_cells


def write_instrument(database: Database, tick: tuple[int, int], lot: tuple[int, int]) -> None:
    steps = {"tick_scaled": tick[0], "price_exponent": tick[1]}
    lots = {"lot_scaled": lot[0], "qty_exponent": lot[1]}
    INSTRUMENTS.write(database, [cells_of(INSTRUMENTS, quote="USDT", unit_e8=1, **steps, **lots)])


def test_a_session_is_read_by_name(database: Database, tmp_path: Path) -> None:
    write_session(
        tmp_path / KEY,
        request(1),
        update(1, OrderStatus.NEW),
        fill(1, 501, 2, fee_e8=40_000, realised_pnl_e8=-2_500_000, time_ns=1_000_003_000),
        instruments=(instrument(lot_scaled=5),),
    )
    project_all(database, tmp_path / KEY)

    ((*order, when),) = database.query(f"SELECT {ORDER_COLUMNS} FROM orders")
    assert order[:3] == ["1-1", "BTCUSDT", "BUY"]
    assert float(order[3] or 0) == 0.025  # 5 lots of 5 thousandths
    assert order[4:] == ["MARKET", "PARTIALLY_FILLED"]
    assert when == "2023-11-14T22:13:20.000001Z"
    ((order_id, told, *numbers, symbol, pnl),) = database.query(
        f"SELECT {EXECUTION_COLUMNS} FROM executions"
    )
    assert (order_id, symbol, told) == ("1-1", "BTCUSDT", "2023-11-14T22:13:21.000002Z")
    assert [float(number or 0) for number in numbers] == [100.0, 0.01, 0.0004]
    assert float(pnl or 0) == -0.025


def test_every_code_has_its_word(database: Database) -> None:
    write_instrument(database, (1, 0), (1, 0))
    rows = [
        cells_of(ORDERS, order_id=f"{place}", side=side, order_type=kind, status=status)
        for place, (side, kind, status) in enumerate(
            (side, kind, status)
            for side in Side
            for kind in (0, *OrderType)
            for status in OrderStatus
        )
    ]
    ORDERS.write(database, rows)
    found = database.query("SELECT id, side, order_type, status FROM orders")
    told = {str(row[0]): row[1:] for row in found}
    assert len(told) == len(rows)
    for row in rows:
        kind, status, side = (int(str(row[name])) for name in ("order_type", "status", "side"))
        words = ("OTHER" if kind == 0 else OrderType(kind).name, OrderStatus(status).name)
        assert told[str(row["order_id"])] == (Side(side).name, *words)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    tick=st.tuples(st.integers(1, 9_999), st.integers(0, 12)),
    lot=st.tuples(st.integers(1, 9_999), st.integers(0, 12)),
    price=st.integers(1, 2**40),
    lots=st.integers(1, 2**38),
    money=st.tuples(st.integers(-(2**50), 2**50), st.integers(-(2**50), 2**50)),
    time_ns=NS,
)
def test_decimals_and_times_are_those_of_the_integers(
    database: Database,
    tick: tuple[int, int],
    lot: tuple[int, int],
    price: int,
    lots: int,
    money: tuple[int, int],
    time_ns: int,
) -> None:
    write_instrument(database, tick, lot)
    row = cells_of(FILLS, trade_id=1, price_ticks=price, qty_lots=lots, time_ns=time_ns)
    FILLS.write(database, [row | {"fee_e8": money[0], "realised_pnl_e8": money[1]}])
    ((_, told, at, quantity, commission, _, pnl),) = database.query(
        f"SELECT {EXECUTION_COLUMNS} FROM executions"
    )
    wanted = [
        Decimal(price * tick[0]).scaleb(-tick[1]),
        Decimal(lots * lot[0]).scaleb(-lot[1]),
        Decimal(money[0]).scaleb(-8),
        Decimal(money[1]).scaleb(-8),
    ]
    found = [float(number or 0) for number in (at, quantity, commission, pnl)]
    assert found == pytest.approx([float(number) for number in wanted], rel=1e-15, abs=0)
    moment = datetime.fromtimestamp(time_ns // 10**9, UTC)
    assert told == f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns % 10**9 // 1_000:06d}Z"


def test_rows_of_an_earlier_schema_are_read_by_name(open_database: Callable[[], Database]) -> None:
    database = open_database()
    for _, _, statements in migrations()[:2]:
        for statement in statements:
            database.execute(statement)
    write_instrument(database, (1, 1), (1, 3))
    earlier = Table("orders", ORDERS.key, ORDERS.columns)
    earlier.write(database, [cells_of(ORDERS, order_id="7-1", qty_lots=4, side=-1, status=4)])
    database.execute("CREATE TABLE schema_versions (version BIGINT, name TEXT, applied_ns BIGINT)")
    database.execute("INSERT INTO schema_versions VALUES (1, '', 0), (2, '', 0)")

    assert migrate(database, 5) == len(migrations()) - 2
    ((order_id, side, quantity, status),) = database.query(
        "SELECT id, side, quantity, status FROM orders"
    )
    assert (order_id, side, float(quantity or 0), status) == ("7-1", "SELL", 0.004, "FILLED")


def test_accounts_of_one_database_stay_apart(database: Database) -> None:
    write_instrument(database, (1, 0), (1, 0))
    INSTRUMENTS.write(
        database, [cells_of(INSTRUMENTS, state_key="other", lot_scaled=7, tick_scaled=1)]
    )
    for account in (KEY, "other"):
        ORDERS.write(database, [cells_of(ORDERS, state_key=account, order_id="1-1", qty_lots=2)])
    found = database.query("SELECT account, quantity FROM orders")
    assert {str(name): float(quantity or 0) for name, quantity in found} == {KEY: 2, "other": 14}


def test_no_table_is_hidden_behind_a_view() -> None:
    assert {"orders", "executions", "shadow"}.isdisjoint(table.name for table in TABLES)
