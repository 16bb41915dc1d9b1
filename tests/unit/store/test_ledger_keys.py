"""Ledger, positions and limits of one (venue, account, mode) are out of every other's reach.

A paper account of 1,597.90 with three positions and a venue account of 9.38 with none live in one
home. Restarting in either mode must leave both as they were.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.config import Config, VenueConfig
from engine.domain.records import EVENT_APPLIED, EventType
from engine.store.database import Database
from engine.store.projection import project_all
from engine.store.queries import StatusQueries
from engine.store.restore import load_restore_records
from engine.store.session import state_key
from engine.store.sqlite import DATABASE_NAME, SqliteDatabase
from tests.store_builders import as_bytes, instrument, open_events, write_session
from tests.store_events import cash_adjustment, event, opening_cash, position

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
HERE = tuple(instrument(symbol, instrument_index=i) for i, symbol in enumerate(SYMBOLS))
NAMES = ("smc_fvg_bos", "orderflow")
PAPER_E8 = 159_790_000_000
VENUE_E8 = 938_000_000
HELD = (4, -7, 11)


def configs(home: Path) -> dict[str, Config]:
    """Return both ledgers of one home; only the mode differs, or venue and account too."""
    venue = VenueConfig(name="binance", account="main")
    return {
        "paper": Config(home=str(home), trading_mode="paper", venue=venue),
        "live": Config(home=str(home), trading_mode="live", venue=venue),
    }


def limits(cash_e8: int) -> dict[str, Any]:
    return event(EventType.LIMITS_CHANGED, cash_e8=cash_e8, qty_lots=1, peak_equity_e8=cash_e8)


def trade_first_sessions(home: Path) -> dict[str, Path]:
    """Write a session of each: paper holds three positions, the venue account none."""
    states = {mode: Path(config.state_dir) for mode, config in configs(home).items()}
    held = [position(i, 0, lots) for i, lots in enumerate(HELD)]
    net = [position(i, -2, lots) for i, lots in enumerate(HELD)]
    paper = (opening_cash(PAPER_E8), *held, *net, limits(PAPER_E8))
    live = (opening_cash(VENUE_E8), limits(VENUE_E8))
    write_session(states["paper"], *paper, session_id="first", epoch=1, instruments=HERE)
    write_session(states["live"], *live, session_id="first", epoch=1, instruments=HERE)
    return states


def restart(state: Path, session_id: str, epoch: int, wallet_e8: int) -> None:
    """Do what a start does: restore, journal the echoes, and sync with the account's venue."""
    records = load_restore_records(state, HERE, NAMES)
    records["flags"] |= EVENT_APPLIED
    records["order_status_after"] = records["order_status"]
    directory = write_session(state, session_id=session_id, epoch=epoch, instruments=HERE)
    writer = open_events(directory)
    writer.append(0, as_bytes(records))
    writer.close(is_end=False)
    write_session(
        state,
        event(EventType.VENUE_BALANCE, wallet_e8=wallet_e8, available_e8=wallet_e8),
        event(EventType.RECONCILED),
        session_id=session_id,
        epoch=epoch,
        instruments=HERE,
    )


def books(state: Path) -> tuple[dict[str, int], int]:
    """Return (lots by symbol, cash) as the next session would start with."""
    records = load_restore_records(state, HERE, NAMES)
    rows = records[records["event_type"] == EventType.RESTORE_POSITION]
    of_strategy = rows[(rows["strategy_index"] == 0) & (rows["position_lots"] != 0)]
    lots = {SYMBOLS[int(row["instrument_index"])]: int(row["position_lots"]) for row in of_strategy}
    (kept,) = records[records["event_type"] == EventType.RESTORE_LIMITS]
    return lots, int(kept["cash_e8"])


PAPER_BOOKS = (dict(zip(SYMBOLS, HELD, strict=True)), PAPER_E8)
VENUE_BOOKS: tuple[dict[str, int], int] = ({}, VENUE_E8)


def test_restarting_in_each_mode_leaves_both_intact(tmp_path: Path) -> None:
    states = trade_first_sessions(tmp_path)
    before = {mode: _bytes_below(state) for mode, state in states.items()}

    restart(states["live"], "second", 2, VENUE_E8)
    assert _bytes_below(states["paper"]) == before["paper"], "a live start touched the paper ledger"
    assert books(states["paper"]) == PAPER_BOOKS
    assert books(states["live"]) == VENUE_BOOKS

    live = _bytes_below(states["live"])
    restart(states["paper"], "second", 2, PAPER_E8)
    assert _bytes_below(states["live"]) == live, "a paper start touched the venue's ledger"
    assert books(states["paper"]) == PAPER_BOOKS
    assert books(states["live"]) == VENUE_BOOKS

    restart(states["live"], "third", 3, VENUE_E8)
    restart(states["paper"], "third", 3, PAPER_E8)
    assert books(states["paper"]) == PAPER_BOOKS
    assert books(states["live"]) == VENUE_BOOKS


def test_a_sync_of_the_real_account_moves_only_its_own_books(tmp_path: Path) -> None:
    states = trade_first_sessions(tmp_path)
    write_session(
        states["live"],
        cash_adjustment(VENUE_E8 // 2, -VENUE_E8 // 2),
        limits(VENUE_E8 // 2),
        session_id="second",
        epoch=2,
        instruments=HERE,
    )

    assert books(states["paper"]) == PAPER_BOOKS
    assert books(states["live"]) == ({}, VENUE_E8 // 2)


def test_each_status_shows_its_own_ledger(tmp_path: Path) -> None:
    states = trade_first_sessions(tmp_path)
    shown = {}
    for mode, state in states.items():
        database = SqliteDatabase(state / DATABASE_NAME)
        project_all(database, state)
        database.close()
        queries = StatusQueries(state / DATABASE_NAME)
        open_rows = [row for row in queries.positions() if row["average_entry_price"]]
        shown[mode] = (queries.pnl()["wallet"], len(open_rows))

    assert shown == {"paper": (1_597.90, 3), "live": (9.38, 0)}


def test_one_database_for_both_keeps_them_apart(
    open_database: Callable[[], Database], tmp_path: Path
) -> None:
    states = trade_first_sessions(tmp_path)
    database = open_database()
    for epoch in (2, 3):
        for mode, state in states.items():
            wallet_e8 = PAPER_E8 if mode == "paper" else VENUE_E8
            restart(state, f"start-{epoch}", epoch, wallet_e8)
            project_all(database, state)

    wallets = database.query("SELECT state_key, wallet_e8 FROM balances ORDER BY state_key")
    assert wallets == [("binance-main-live", VENUE_E8), ("binance-main-paper", PAPER_E8)]
    held = database.query(
        "SELECT state_key, instrument, lots FROM positions "
        "WHERE strategy = 'smc_fvg_bos' AND lots <> 0 ORDER BY instrument"
    )
    assert held == [("binance-main-paper", s, n) for s, n in zip(SYMBOLS, HELD, strict=True)]


@pytest.mark.parametrize("field", ["name", "account"])
def test_venue_and_account_are_part_of_the_key(tmp_path: Path, field: str) -> None:
    plain = Config(home=str(tmp_path))
    venue = VenueConfig(**{field: "another"})  # type: ignore[arg-type]
    other = Config(home=str(tmp_path), venue=venue)

    assert state_key(plain) != state_key(other)


def _bytes_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
