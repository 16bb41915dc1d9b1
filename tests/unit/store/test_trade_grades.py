"""Closed trades graded: entry rule, exit rule, regime; and performance by strategy and regime."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.domain.codes import OrderStatus, RecordType
from engine.domain.records import MARKET_DTYPE
from engine.domain.risk_reasons import RiskReason
from engine.domain.strategy_table import StrategyReason
from engine.processes.shadow import shadow_command
from engine.store.database import Database
from engine.store.projection import project_all
from engine.store.session import read_document
from engine.store.shadow import grade
from engine.store.sqlite import DATABASE_NAME, SqliteDatabase
from engine.store.trade_grades import GradedTrade, graded_trades, performance
from engine.store.trade_regimes import (
    RANGE,
    SAMPLES_MIN,
    TREND_DOWN,
    TREND_UP,
    UNKNOWN,
    SecondMids,
    regime_of,
)
from tests.store_builders import Records, as_bytes, open_market, session_document, write_session
from tests.store_events import Row, decision, fill, request, update

KEY = "practice-practice-paper"
S = 1_000_000_000
START_NS = 1_000  # monotonic, of tests.store_builders.session_document
WALL_NS = 1_700_000_000_000_000_000
ENTRY_S, EXIT_S, END_S = 400, 500, 700
STOP, TARGET = int(StrategyReason.STOP_LOSS), int(StrategyReason.TAKE_PROFIT)


def market_of(mids: NDArray[np.float64], instrument: int = 0) -> Records:
    """Return one quote a second, half a spread of ten ticks about each mid."""
    records = np.zeros(len(mids), dtype=MARKET_DTYPE)
    records["sequence"] = np.arange(len(mids)) + 1
    records["record_type"] = RecordType.QUOTE
    records["instrument_index"] = instrument
    records["receive_time_ns"] = START_NS + np.arange(len(mids)) * S
    records["bid_price_ticks"] = np.round(mids) - 5
    records["ask_price_ticks"] = np.round(mids) + 5
    return records


def path_of(*legs: tuple[int, float], seed: int = 3) -> NDArray[np.float64]:
    """Return mids: (seconds, drift a second) each, with steps by chance of ten ticks."""
    chance = np.random.default_rng(seed)
    steps = [chance.normal(drift, 10.0, seconds) for seconds, drift in legs]
    return 100_000 + np.cumsum(np.concatenate(steps))


def at(seconds: int) -> dict[str, int]:
    return {"time_ns": START_NS + seconds * S}


def trade(side: int, reason: int, net_e8: int, *, strategy: int = 0, first: int = 1) -> list[Row]:
    """Return a trade of one strategy: decided at 400 s, closed at 500 s."""
    who = {"strategy_index": strategy, "side": side}
    free = {"fee_e8": 0}
    out = {"strategy_index": strategy, "side": -side, "flags": 0}
    cause = 100 * first
    return [
        decision(cause_sequence=cause, **who, **at(ENTRY_S)),
        request(first, cause_sequence=cause, **who, **at(ENTRY_S)),
        update(first, OrderStatus.NEW, cause_sequence=cause, **who, **at(ENTRY_S)),
        fill(first, 500 + first, 5, order_status_after=OrderStatus.FILLED,
             **who, **free, **at(ENTRY_S)),
        decision(cause_sequence=cause + 1, reason=reason, **out, **at(EXIT_S)),
        request(first + 1, cause_sequence=cause + 1, **out, **at(EXIT_S)),
        fill(first + 1, 501 + first, 5, realised_pnl_e8=net_e8, **free,
             **{key: word for key, word in out.items() if key != "flags"}, **at(EXIT_S)),
    ]  # fmt: skip


Trades = list[GradedTrade]
Graded = Callable[..., Trades]


@pytest.fixture
def graded(tmp_path: Path, open_database: Callable[[], Database]) -> Graded:
    """Return what writes a session and its market, grades it, and returns its trades."""

    def run(
        mids: NDArray[np.float64], *rows: Row, market_journal: str = "all"
    ) -> list[GradedTrade]:
        directory = write_session(tmp_path / KEY, *rows, market_journal=market_journal)
        writer = open_market(directory)
        writer.append(writer.next_sequence, as_bytes(market_of(mids)))
        writer.close(is_end=False)
        database = open_database()
        project_all(database, tmp_path / KEY)
        document = read_document(directory)
        grade(database, directory, document, 77)
        return graded_trades(database, directory, document)

    return run


def test_a_trade_is_graded_by_what_price_did_after_each_of_its_ends(graded: Graded) -> None:
    mids = path_of((ENTRY_S, 8.0), (EXIT_S - ENTRY_S, 8.0), (END_S - EXIT_S, -9.0))
    (found,) = graded(mids, *trade(1, TARGET, 900))
    assert (found.instrument, found.strategy, found.side) == ("BTCUSDT", found.strategy, 1)
    assert found.entry_ns == WALL_NS + ENTRY_S * S
    assert found.exit_ns == WALL_NS + EXIT_S * S
    assert found.pnl_e8 == 900
    assert found.entry_rule == StrategyReason(1).name
    assert found.exit_rule == "TAKE_PROFIT"
    assert (found.is_entry_right, found.is_exit_right) == (True, True)
    assert (found.regime, found.regime_during, found.is_regime_right) == (TREND_UP, TREND_UP, True)


def test_a_stop_that_came_too_soon_and_a_regime_that_turned(graded: Graded) -> None:
    mids = path_of((ENTRY_S, 8.0), (EXIT_S - ENTRY_S, -9.0), (END_S - EXIT_S, 12.0))
    (found,) = graded(mids, *trade(1, STOP, -900))
    assert (found.is_entry_right, found.exit_rule) == (False, "STOP_LOSS")
    assert found.is_exit_right is False, "it went back up"
    assert (found.regime, found.regime_during) == (TREND_UP, TREND_DOWN)
    assert found.is_regime_right is False


def test_a_trade_was_closed_by_the_last_exit_within_it(graded: Graded) -> None:
    """Not by one before, of which nothing was filled, nor by one of a later trade."""
    mids = path_of((ENTRY_S, 8.0), (EXIT_S - ENTRY_S, 8.0), (END_S - EXIT_S, -9.0))
    out = {"side": -1, "flags": 0}
    before = decision(cause_sequence=90, reason=STOP, **out, **at(ENTRY_S + 5))
    after = decision(cause_sequence=190, reason=STOP, **out, **at(EXIT_S + 20))
    whole = trade(1, TARGET, 900)
    (found,) = graded(mids, *whole[:4], before, *whole[4:], after)
    assert (found.exit_rule, found.is_exit_right) == ("TAKE_PROFIT", True)


def test_a_sale_is_judged_the_other_way_round(graded: Graded) -> None:
    mids = path_of((ENTRY_S, -8.0), (EXIT_S - ENTRY_S, -8.0), (END_S - EXIT_S, 9.0))
    (found,) = graded(mids, *trade(-1, TARGET, 900))
    assert (found.is_entry_right, found.is_exit_right, found.is_regime_right) == (True, True, True)
    assert found.regime == TREND_DOWN


def test_what_was_refused_or_is_open_is_no_trade(graded: Graded) -> None:
    mids = path_of((END_S, 0.0))
    refused = decision(refusal_mask=1 << RiskReason.PRICE_AGE, **at(ENTRY_S))
    still_open = trade(1, STOP, 0)[:4]
    assert graded(mids, refused, *still_open) == []


def test_without_a_market_journal_nothing_is_judged(graded: Graded) -> None:
    (found,) = graded(path_of((END_S, 8.0)), *trade(1, STOP, 5), market_journal="off")
    assert (found.is_entry_right, found.is_exit_right, found.is_regime_right) == (None, None, None)
    assert found.regime == UNKNOWN
    assert found.pnl_e8 == 5


def test_performance_is_the_sum_of_the_trades_by_strategy_and_regime(graded: Graded) -> None:
    mids = path_of((ENTRY_S, 8.0), (EXIT_S - ENTRY_S, 8.0), (END_S - EXIT_S, -9.0))
    rows = [*trade(1, TARGET, 900), *trade(-1, STOP, -400, strategy=1, first=11)]
    found = performance(graded(mids, *rows))
    first, second = sorted(found, key=lambda row: row.pnl_e8)
    assert (first.regime, first.trades, first.pnl_e8) == (TREND_UP, 1, -400)
    assert (second.regime, second.trades, second.pnl_e8) == (TREND_UP, 1, 900)
    assert (first.won, first.entries_right, first.exits_right) == (0.0, 0.0, 0.0)
    assert (second.won, second.entries_right, second.exits_right) == (1.0, 1.0, 1.0)
    assert len({row.strategy for row in found}) == 2


TRADES = st.builds(
    GradedTrade,
    session_id=st.just("s"), sequence=st.integers(), instrument=st.just("X"),
    strategy=st.sampled_from("ab"), side=st.just(1), entry_rule=st.just(""), score=st.none(),
    entry_ns=st.just(0), exit_ns=st.just(1), pnl_e8=st.integers(-100, 100),
    is_entry_right=st.sampled_from([None, True, False]), exit_rule=st.just(""),
    is_exit_right=st.sampled_from([None, True, False]),
    regime=st.sampled_from([RANGE, TREND_UP, UNKNOWN]),
    regime_during=st.sampled_from([RANGE, TREND_UP, UNKNOWN]),
)  # fmt: skip


@given(st.lists(TRADES, max_size=30))
def test_nothing_is_lost_between_trades_and_performance(trades: list[GradedTrade]) -> None:
    found = performance(trades)
    assert sum(row.trades for row in found) == len(trades)
    assert sum(row.pnl_e8 for row in found) == sum(one.pnl_e8 for one in trades)
    assert len({(row.strategy, row.regime) for row in found}) == len(found)
    for row in found:
        own = [t for t in trades if (t.strategy, t.regime) == (row.strategy, row.regime)]
        assert row.won == sum(t.pnl_e8 > 0 for t in own) / len(own)
        known = [t.is_entry_right for t in own if t.is_entry_right is not None]
        assert row.entries_right == (sum(known) / len(known) if known else None)
        assert (row.regimes_right is None) == all(t.is_regime_right is None for t in own)


# Regimes


def test_walks_by_chance_are_ranges_and_drifts_are_trends() -> None:
    labels = [regime_of(path_of((300, 0.0), seed=seed)) for seed in range(200)]
    assert labels.count(RANGE) > 180
    up = [regime_of(path_of((300, 3.0), seed=seed)) for seed in range(50)]
    down = [regime_of(path_of((300, -3.0), seed=seed)) for seed in range(50)]
    assert up.count(TREND_UP) > 48
    assert down.count(TREND_DOWN) > 48


@given(st.integers(0, 10**6), st.floats(-6.0, 6.0))
def test_a_market_turned_over_has_the_opposite_regime(seed: int, drift: float) -> None:
    mids = path_of((200, drift), seed=seed)
    other = {TREND_UP: TREND_DOWN, TREND_DOWN: TREND_UP, RANGE: RANGE}
    assert regime_of(1e10 / mids) == other[regime_of(mids)]


def test_too_few_seconds_and_a_price_that_stands() -> None:
    assert regime_of(path_of((SAMPLES_MIN - 1, 9.0))) == UNKNOWN
    assert regime_of(np.full(SAMPLES_MIN, 5.0)) == RANGE


def test_only_seconds_that_were_asked_about_count_and_quiet_ones_stand(tmp_path: Path) -> None:
    directory = write_session(tmp_path / KEY)
    mids = path_of((300, 20.0))
    records = market_of(mids)
    kept = records[(np.arange(300) % 7 == 0) | (np.arange(300) > 290)]
    kept = kept.copy()
    kept["sequence"] = np.arange(len(kept)) + 1
    writer = open_market(directory)
    writer.append(writer.next_sequence, as_bytes(kept))
    writer.close(is_end=False)
    span = (WALL_NS + 100 * S, WALL_NS + 200 * S)
    found = SecondMids([("BTCUSDT", span)], session_document())
    found.read(directory)
    assert found.regime("BTCUSDT", span) == TREND_UP
    assert found.regime("BTCUSDT", (WALL_NS, WALL_NS + 90 * S)) == UNKNOWN, "nobody asked"
    assert found.regime("NOBODY", span) == UNKNOWN


# The command


def test_the_command_grades_lists_and_sums(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "state" / KEY
    directory = write_session(folder, *trade(1, TARGET, 900))
    writer = open_market(directory)
    mids = path_of((ENTRY_S, 8.0), (EXIT_S - ENTRY_S, 8.0), (END_S - EXIT_S, -9.0))
    writer.append(writer.next_sequence, as_bytes(market_of(mids)))
    writer.close(is_end=False)
    database = SqliteDatabase(folder / DATABASE_NAME)
    project_all(database, folder)
    database.close()

    def said(action: str, *, as_json: bool) -> str:
        code = shadow_command(tmp_path, action, None, None, limit=5, as_json=as_json)
        assert code == 0
        return capsys.readouterr().out

    (row,) = json.loads(said("trades", as_json=True))["trades"]
    assert (row["symbol"], row["side"], row["held_s"]) == ("BTCUSDT", "BUY", 100.0)
    assert (row["entry_right"], row["exit_rule"], row["regime"]) == (True, "TAKE_PROFIT", TREND_UP)
    assert row["pnl"] == pytest.approx(900 / 1e8)
    (total,) = json.loads(said("performance", as_json=True))["performance"]
    assert (total["trades"], total["won"], total["regime"]) == (1, 1.0, TREND_UP)
    assert "TAKE_PROFIT" in said("trades", as_json=False)
    assert TREND_UP in said("performance", as_json=False)


def test_without_a_closed_trade_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "state" / KEY
    write_session(folder)
    database = SqliteDatabase(folder / DATABASE_NAME)
    project_all(database, folder)
    database.close()
    assert shadow_command(tmp_path, "trades", None, None, limit=5, as_json=False) == 0
    assert capsys.readouterr().out == "no trade has closed yet\n"
