"""What a strategy has made: flat to flat, whatever its fills, its sessions and its database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.records import EventType
from engine.store.database import Database
from engine.store.projection import project_all
from engine.store.queries import StatusQueries
from engine.store.sqlite import DATABASE_NAME, SqliteDatabase
from engine.store.strategy_records import count_change
from engine.store.tables import RECORDS
from tests.desk_rig import make_event
from tests.store_builders import write_session
from tests.store_events import event, position

Open = Callable[[], Database]
S = 1_000_000_000
COUNTED = ("entries", "exits", "wins", "gross_e8", "fee_e8", "held_ns", "trade_net_e8")


class Change(NamedTuple):
    """One change of a position."""

    lots: int  # added
    realised: int
    fee: int
    after_s: int


CHANGES = st.lists(
    st.builds(
        Change,
        st.integers(-3, 3).filter(bool),
        st.integers(-50, 50),
        st.integers(0, 20),
        st.integers(0, 9),
    ),
    max_size=40,
)


def counted(changes: list[Change]) -> dict[str, int]:
    """Return the record that the code counts."""
    row: dict[str, Any] = dict.fromkeys(RECORDS.columns, 0)
    lots, now_ns = 0, S
    for change in changes:
        now_ns += change.after_s * S
        told = make_event(
            EventType.POSITION_CHANGED,
            position_lots=lots + change.lots,
            realised_pnl_e8=change.realised,
            fee_e8=change.fee,
        )
        count_change(row, lots, told[0], now_ns)
        lots += change.lots
    return {name: row[name] for name in COUNTED}


def plain(changes: list[Change]) -> dict[str, int]:
    """Return the same from whole trades, made first and summed after."""
    trades: list[list[tuple[int, int, int]]] = []  # (time, net, lots after) of each change
    lots, now = 0, 1
    for change in changes:
        now += change.after_s
        before, lots = lots, lots + change.lots
        if before == 0:
            trades.append([])
        trades[-1].append((now, change.realised - change.fee, lots))
        if before * lots < 0:
            trades.append([(now, 0, lots)])
    closed = [it for it in trades if it[-1][2] == 0 or it is not trades[-1]]
    still = trades[-1] if trades and trades[-1] not in closed else []
    return {
        "entries": len(trades),
        "exits": len(closed),
        "wins": sum(sum(net for _, net, _ in it) > 0 for it in closed),
        "gross_e8": sum(it.realised for it in changes),
        "fee_e8": sum(it.fee for it in changes),
        "held_ns": sum(it[-1][0] - it[0][0] for it in closed) * S,
        "trade_net_e8": sum(net for _, net, _ in still),
    }


@given(CHANGES)
def test_a_record_is_what_whole_trades_add_up_to(changes: list[Change]) -> None:
    assert counted(changes) == plain(changes)


TRADE = (
    position(0, 0, 5, fee_e8=40, time_ns=10 * S),
    position(0, -2, 5, fee_e8=40, time_ns=10 * S),
    position(0, 0, 2, realised_pnl_e8=100, fee_e8=40, time_ns=12 * S),
    position(0, 0, 0, realised_pnl_e8=60, fee_e8=40, time_ns=14 * S),
)


def records(database: Database) -> list[tuple[Any, ...]]:
    return database.query(
        "SELECT strategy, entries, exits, wins, gross_e8, fee_e8, held_ns "
        "FROM strategy_records ORDER BY strategy"
    )


def test_the_projection_keeps_a_record_of_each_strategy_and_of_nobody_else(
    open_database: Open, tmp_path: Path
) -> None:
    database = open_database()
    write_session(tmp_path / "practice-a-paper", *TRADE, position(0, -1, 3, time_ns=15 * S))
    project_all(database, tmp_path / "practice-a-paper")
    assert records(database) == [("smc_fvg_bos", 1, 1, 1, 160, 120, 4 * S)]


@pytest.mark.parametrize("name", ["20260103T030405-0002"])
def test_a_position_held_over_a_restart_is_one_trade(
    open_database: Open, tmp_path: Path, name: str
) -> None:
    database, state = open_database(), tmp_path / "practice-a-paper"
    write_session(state, *TRADE[:2], is_end=True)
    project_all(database, state)
    restored = event(
        EventType.RESTORE_POSITION, instrument_index=0, strategy_index=0, position_lots=5
    )
    last = position(0, 0, 0, realised_pnl_e8=-100, fee_e8=40, time_ns=20 * S)
    write_session(state, restored, last, is_end=True, session_id=name, epoch=2)
    project_all(database, state)
    ((strategy, entries, exits, wins, gross, fee, _),) = records(database)
    assert (strategy, entries, exits, wins, gross, fee) == ("smc_fvg_bos", 1, 1, 0, -100, 80)


def test_what_the_page_shows_is_summed_by_strategy_and_the_best_is_first(tmp_path: Path) -> None:
    state = tmp_path / "practice-a-paper"
    loss = position(0, 1, 0, realised_pnl_e8=-(10**8), fee_e8=10**7, time_ns=30 * S)
    opened = position(0, 1, 4, fee_e8=10**7, time_ns=20 * S)
    write_session(state, *TRADE, opened, loss)
    assert StatusQueries(state / DATABASE_NAME).strategies() == [], "no database: nothing is known"
    database = SqliteDatabase(state / DATABASE_NAME)
    project_all(database, state)
    database.close()
    best, worst = StatusQueries(state / DATABASE_NAME).strategies()
    assert (best["strategy"], best["win_ratio"], best["held_s"]) == ("smc_fvg_bos", 1.0, 4.0)
    assert worst == {
        "strategy": "orderflow", "entries": 1, "exits": 1, "wins": 0, "win_ratio": 0.0,
        "gross": -1.0, "fees": 0.2, "net": -1.2, "held_s": 10.0,
    }  # fmt: skip
