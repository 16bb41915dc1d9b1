"""The tables say what the journal says, on every database, however often it is projected."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.domain.records import (
    EVENT_APPLIED,
    EVENT_DUPLICATE,
    EVENT_FOREIGN,
    EventType,
    OrderStatus,
    Role,
)
from engine.store.database import Database, migrate, migrations
from engine.store.errors import ProjectionError
from engine.store.fold import WRITTEN_OFF
from engine.store.journal import SOURCE_EVENTS_FEED
from engine.store.projection import SessionProjection, project_all
from engine.store.session import read_document
from engine.store.tables import POSITIONS, TABLES
from tests.store_builders import (
    as_bytes,
    event_records,
    open_events,
    write_session,
)
from tests.store_events import (
    cash_adjustment,
    decision,
    event,
    fill,
    opening_cash,
    position,
    position_adjustment,
    repeated,
    request,
    update,
)

Open = Callable[[], Database]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "practice-practice-paper"


@pytest.fixture
def database(open_database: Open) -> Database:
    return open_database()


def rows(database: Database, table: str, *columns: str, order: str = "1") -> list[tuple[Any, ...]]:
    return database.query(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}")


def everything(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table.name: database.query(f"SELECT * FROM {table.name} ORDER BY {', '.join(table.key)}")
        for table in TABLES
    }


ROUND_TRIP = (
    opening_cash(1_000_000),
    decision(),
    request(1),
    update(1, OrderStatus.NEW),
    fill(1, 501, 2),
    position(0, 0, 2, fee_e8=40),
    position(0, -2, 2, fee_e8=40),
    fill(1, 502, 3, order_status_after=OrderStatus.FILLED, cum_qty_lots=5),
    position(0, 0, 5, fee_e8=40),
    position(0, -2, 5, fee_e8=40),
    request(2, side=-1, flags=0),
    fill(2, 503, 5, side=-1, order_status_after=OrderStatus.FILLED, venue_realised_pnl_e8=700),
    position(0, 0, 0, realised_pnl_e8=700, fee_e8=40),
    position(0, -2, 0, realised_pnl_e8=700, fee_e8=40),
)


def test_the_schema_has_the_columns_the_code_writes(database: Database) -> None:
    migrate(database, 0)
    for table in TABLES:
        columns = ", ".join(table.columns)
        assert database.query(f"SELECT {columns} FROM {table.name}") == []
    versions = database.query("SELECT version FROM schema_versions")
    assert versions == [(version,) for version, _, _ in migrations()]


def test_no_two_migrations_have_one_number() -> None:
    assert [version for version, _, _ in migrations()] == list(range(1, len(migrations()) + 1))


def test_marks_kept_apart_leave_every_event_its_own_sequence(
    database: Database, state: Path
) -> None:
    directory = write_session(state, decision())
    writer = open_events(directory)
    for _ in range(2):
        writer.append_apart(2)
        kept = event_records(decision(), first_sequence=writer.next_sequence)
        writer.append(writer.next_sequence, as_bytes(kept))
    writer.close(is_end=True)

    project_all(database, state)

    assert rows(database, "decisions", "sequence") == [(0,), (3,), (6,)]


def test_migrating_twice_changes_nothing(database: Database) -> None:
    assert migrate(database, 0) == len(migrations())
    assert migrate(database, 0) == 0


def test_a_round_trip_is_projected_exactly(database: Database, state: Path) -> None:
    write_session(state, *ROUND_TRIP)

    project_all(database, state)

    orders = rows(database, "order_states", "order_id", "client_order_id", "status", "cum_qty_lots")
    assert orders == [
        ("1-1", "a1-1-1-25", OrderStatus.FILLED, 5),
        ("1-2", "a1-1-2-25", OrderStatus.FILLED, 5),
    ]
    trades = rows(database, "fills", "trade_id", "order_id", "qty_lots", "strategy")
    assert trades == [
        (501, "1-1", 2, "smc_fvg_bos"),
        (502, "1-1", 3, "smc_fvg_bos"),
        (503, "1-2", 5, "smc_fvg_bos"),
    ]
    held = rows(database, "positions", "strategy", "lots", "realised_pnl_e8", "fee_e8")
    assert held == [("(net)", 0, 700, 120), ("smc_fvg_bos", 0, 700, 120)]
    assert rows(database, "balances", "asset", "wallet_e8") == [("USDT", 1_000_000 + 700 - 120)]


def test_a_decision_keeps_its_inputs_and_reasons(database: Database, state: Path) -> None:
    refused = decision(refusal_mask=(1 << 11) | (1 << 12), request_id=8)
    refusal = refused | {"event_type": EventType.RISK_REFUSAL, "reason": 11, "request_id": 3}
    write_session(state, decision(request_id=7), refused, refusal)

    project_all(database, state)

    columns = ("request_id", "strategy", "reason_name", "score", "refusal_names")
    assert rows(database, "decisions", *columns) == [
        (7, "smc_fvg_bos", "FVG_RETURN", 0.75, ""),
        (8, "smc_fvg_bos", "FVG_RETURN", 0.75, "LIVENESS PRICE_AGE"),
    ]
    refusals = rows(database, "refusals", "reason_name", "suppressed_count")
    assert refusals == [("LIVENESS", 3)]


def test_projecting_again_changes_nothing(open_database: Open, state: Path) -> None:
    write_session(state, *ROUND_TRIP)
    database = open_database()
    project_all(database, state)
    before = everything(database)

    assert project_all(database, state) == 0
    assert everything(database) == before


def test_pieces_give_the_same_tables_as_the_whole(open_database: Open, tmp_path: Path) -> None:
    whole, pieces = tmp_path / "a" / "practice-x-paper", tmp_path / "b" / "practice-x-paper"
    write_session(whole, *ROUND_TRIP)
    at_once, bit_by_bit = open_database(), open_database()
    project_all(at_once, whole)
    for row in ROUND_TRIP:
        write_session(pieces, row)
        project_all(bit_by_bit, pieces)

    assert everything(at_once) == everything(bit_by_bit)


def test_a_repeated_fill_changes_nothing(database: Database, state: Path) -> None:
    first = fill(1, 501, 5, order_status_after=OrderStatus.FILLED)
    write_session(state, opening_cash(1_000), request(1), first, repeated(first), first)

    project_all(database, state)

    assert rows(database, "order_states", "cum_qty_lots", "filled_lots") == [(5, 5)]
    assert rows(database, "fills", "trade_id") == [(501,)]
    assert rows(database, "balances", "wallet_e8") == [(960,)]


def test_a_total_that_comes_before_its_fill_is_not_counted_twice(
    database: Database, state: Path
) -> None:
    partial = update(1, OrderStatus.PARTIALLY_FILLED, cum_qty_lots=2)
    write_session(state, request(1), partial, fill(1, 501, 2, cum_qty_lots=2))

    project_all(database, state)

    assert rows(database, "order_states", "cum_qty_lots", "filled_lots") == [(2, 2)]


@pytest.mark.parametrize("late", [False, True])
def test_an_order_amended_to_less_by_hand_is_filled_at_less(
    database: Database, state: Path, late: bool
) -> None:
    amended = update(1, OrderStatus.PARTIALLY_FILLED, cum_qty_lots=2, qty_lots=3)
    done = {"order_status": OrderStatus.FILLED, "order_status_after": OrderStatus.FILLED}
    filled = fill(1, 502, 1, cum_qty_lots=3, **done) | {"qty_lots": 3}
    reports = [fill(1, 501, 2, cum_qty_lots=2), amended, filled]
    stale = update(1, OrderStatus.NEW, order_status_after=OrderStatus.FILLED)
    write_session(state, request(1), *reports, *([stale] if late else []))

    project_all(database, state)

    shown = rows(database, "order_states", "qty_lots", "cum_qty_lots", "filled_lots", "status")
    assert shown == [(3, 3, 3, OrderStatus.FILLED)]


def test_an_order_amended_to_more_by_hand_is_as_large(database: Database, state: Path) -> None:
    write_session(state, request(1), fill(1, 501, 5, cum_qty_lots=5) | {"qty_lots": 8})

    project_all(database, state)

    shown = rows(database, "order_states", "qty_lots", "cum_qty_lots", "filled_lots", "status")
    assert shown == [(8, 5, 5, OrderStatus.PARTIALLY_FILLED)]


def test_an_order_of_an_earlier_epoch_keeps_its_row(database: Database, state: Path) -> None:
    write_session(state, request(1), update(1, OrderStatus.NEW), session_id="one", epoch=1)
    canceled = update(1, OrderStatus.CANCELED, epoch_low=1)
    write_session(state, canceled, request(1, epoch_low=2), session_id="two", epoch=2)

    project_all(database, state)

    found = rows(database, "order_states", "order_id", "session_id", "status")
    assert found == [
        ("1-1", "one", OrderStatus.CANCELED),
        ("2-1", "two", OrderStatus.PENDING_NEW),
    ]


def test_foreign_orders_and_fills_are_kept_apart(database: Database, state: Path) -> None:
    foreign = update(
        0,
        OrderStatus.NEW,
        text=b"web_123",
        venue_order_id=42,
        order_status_after=0,
        flags=EVENT_FOREIGN,
        strategy_index=-1,
        epoch_low=0,
    )
    write_session(state, foreign, fill(0, 601, 4, venue_order_id=42))

    project_all(database, state)

    orders = rows(database, "order_states", "order_id", "client_order_id", "strategy", "status")
    assert orders == [("venue-BTCUSDT-42", "web_123", "(external)", OrderStatus.PARTIALLY_FILLED)]
    assert rows(database, "fills", "order_id", "qty_lots") == [("venue-BTCUSDT-42", 4)]


def test_fills_that_an_adjustment_covers_do_not_move_the_wallet(
    database: Database, state: Path
) -> None:
    write_session(
        state,
        opening_cash(10_000),
        request(1),
        position_adjustment(0, 5, 50_000_000, venue_time_ns=6_000),
        cash_adjustment(9_960, -40),
        fill(1, 501, 3),
        fill(1, 502, 2, venue_time_ns=6_001),
    )

    project_all(database, state)

    assert rows(database, "balances", "wallet_e8") == [(9_920,)]
    kinds = rows(database, "adjustments", "kind", "amount_e8", "position_lots", order="sequence")
    assert kinds == [("OPENING_CASH", 10_000, 0), ("POSITION", 0, 5), ("CASH", -40, 0)]


def test_a_fill_named_by_the_venue_alone_finds_its_order(database: Database, state: Path) -> None:
    bare = fill(0, 501, 5, venue_order_id=9_001, order_status_after=OrderStatus.FILLED)
    bare |= {"flags": EVENT_APPLIED, "strategy_index": -1}
    acknowledged = update(1, OrderStatus.NEW, venue_order_id=9_001)
    write_session(state, request(1), acknowledged, bare, session_id="one", epoch=1)
    write_session(state, bare | {"trade_id": 502}, session_id="two", epoch=2)

    project_all(database, state)

    assert rows(database, "order_states", "order_id", "status") == [("1-1", OrderStatus.FILLED)]
    trades = rows(database, "fills", "trade_id", "order_id", "strategy")
    assert trades == [(501, "1-1", "smc_fvg_bos"), (502, "1-1", "smc_fvg_bos")]


def test_a_repeated_fill_that_tells_of_its_order_is_no_second_fill(
    database: Database, state: Path
) -> None:
    again = fill(1, 501, 2, order_status_after=OrderStatus.CANCELED)
    again["flags"] = EVENT_APPLIED | EVENT_DUPLICATE
    write_session(state, opening_cash(1_000), request(1), fill(1, 501, 2), again)
    database_rows = ("status", "filled_lots")

    project_all(database, state)

    assert rows(database, "order_states", *database_rows) == [(OrderStatus.CANCELED, 2)]
    assert rows(database, "balances", "wallet_e8") == [(960,)]


def test_fills_written_off_are_not_counted_twice_when_they_come(
    database: Database, state: Path
) -> None:
    written_off = event(
        EventType.ADJUSTMENT,
        reason=WRITTEN_OFF,
        instrument_index=0,
        order_sequence=1,
        epoch_low=1,
        cum_qty_lots=5,
        qty_lots=3,
        venue_time_ns=6_000,
        order_status_after=OrderStatus.FILLED,
    )
    late = fill(1, 502, 3, order_status_after=OrderStatus.FILLED)
    write_session(
        state,
        opening_cash(1_000) | {"venue_time_ns": 4_000},
        request(1),
        fill(1, 501, 2),
        written_off,
        cash_adjustment(900, -60),
        late,
    )

    project_all(database, state)

    order = rows(database, "order_states", "status", "cum_qty_lots", "filled_lots")
    assert order == [(OrderStatus.FILLED, 5, 5)]
    assert rows(database, "balances", "wallet_e8") == [(900,)]  # with the late fee, by adjustment
    assert rows(database, "adjustments", "kind", order="sequence")[1] == ("FILL",)


def test_sessions_and_faults_of_every_source_are_listed(database: Database, state: Path) -> None:
    directory = write_session(
        state, event(EventType.EXECUTOR_FAULT, reason=-1021, text=b"clock"), is_end=True
    )
    feed = open_events(directory, SOURCE_EVENTS_FEED)
    fault = event(EventType.ROLE_FAULT, role=Role.FEED, text=b"stream lost", instrument_index=1)
    feed.append(0, as_bytes(event_records(fault)))
    feed.close(is_end=True)

    project_all(database, state)

    faults = rows(database, "faults", "source", "role", "kind", "instrument", "message")
    assert faults == [
        ("events-brain", "BRAIN", "EXECUTOR_FAULT", "", "clock"),
        ("events-feed", "FEED", "ROLE_FAULT", "ETHUSDT", "stream lost"),
    ]
    assert rows(database, "sessions", "session_id", "epoch") == [(directory.name, 1)]
    complete = rows(database, "journal_cursors", "source", "is_complete")
    assert complete == [("events-brain", 1), ("events-feed", 1)]


def test_a_refused_transaction_leaves_nothing_and_comes_again(
    open_database: Open, state: Path
) -> None:
    directory = write_session(state, *ROUND_TRIP)
    database = open_database()
    migrate(database, 0)
    projection = SessionProjection(database, directory, read_document(directory))
    database.execute("ALTER TABLE positions RENAME TO positions_away")
    with pytest.raises(ProjectionError):
        projection.project()
    assert rows(database, "decisions", "sequence") == []
    database.execute("ALTER TABLE positions_away RENAME TO positions")

    while projection.project():
        pass

    assert len(rows(database, "fills", "trade_id")) == 3
    assert POSITIONS.load(database, (state.name, "BTCUSDT", "smc_fvg_bos")) is not None
    assert rows(database, "balances", "wallet_e8") == [(1_000_580,)]
