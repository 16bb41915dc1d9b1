"""On the recorded captures the strategies trade; on the same captures without their inputs, not.

The captures are the two USD-M ones, BTCUSDT and ETHUSDT, 5 minutes 44 seconds. Trades are
aggregated as in the venue's aggTrade stream, which is what an engine subscribes to by default, and
once raw. A null takes away what a strategy reads and leaves the rest: who took (fair coins), the
path of prices (all trades at one price, one quote), or the quantities of the quotes.
"""

from pathlib import Path

import numpy as np
import pytest

from engine.domain.book import BOOK_SETTLED
from engine.domain.codes import TRADE_BUYER_AGGRESSOR, RecordType
from engine.domain.instrument import instrument_rows
from engine.domain.instrument_row import unit_e8
from engine.domain.strategy_table import select_rows
from tests.builders import make_instrument
from tests.captures import aggregated, decode_capture, merged
from tests.market_runs import PaperRun, play

SMC, ORDERFLOW = 0, 1
ENTRIES_MIN = 10
ROUND_TRIPS_MIN = 3
E8 = 100_000_000
SEEDS = range(5)


@pytest.fixture(scope="module")
def raw(captures: list[Path]) -> np.ndarray:
    by_name = {path.name.split("_")[1]: path for path in captures}
    return merged(
        [
            decode_capture(by_name["btcusdt"], 0, price_exponent=1, qty_exponent=3),
            decode_capture(by_name["ethusdt"], 1, price_exponent=2, qty_exponent=3),
        ]
    )


@pytest.fixture(scope="module")
def records(raw: np.ndarray) -> np.ndarray:
    return aggregated(raw)


def instruments() -> np.ndarray:
    return instrument_rows(
        [
            make_instrument("BTCUSDT", min_notional_e8=100 * E8),
            make_instrument(
                "ETHUSDT",
                instrument_index=1,
                price_exponent=2,
                unit_e8=unit_e8("0.01", "0.001"),
                min_notional_e8=20 * E8,
            ),
        ]
    )


def traded(records: np.ndarray) -> PaperRun:
    return play(records, instruments(), select_rows(["smc_fvg_bos", "orderflow"]))


@pytest.fixture(scope="module")
def run(records: np.ndarray) -> PaperRun:
    return traded(records)


def test_not_one_recorded_record_is_refused(run: PaperRun) -> None:
    assert run.market.reject_counts.sum() == 0
    assert (run.market.hot["late_trade_count"] == 0).all()
    assert (run.market.books["state"] == BOOK_SETTLED).all()


def test_bars_close_every_second_of_the_capture(run: PaperRun) -> None:
    assert (run.market.closed_count[:, 0] >= 340).all()
    assert (run.market.closed_count[:, 2] >= 5).all()


@pytest.mark.parametrize("strategy", [SMC, ORDERFLOW])
def test_each_strategy_makes_entries_and_round_trips_with_their_reasons(
    run: PaperRun, strategy: int
) -> None:
    assert len(run.entries(strategy)) >= ENTRIES_MIN
    assert len(run.exits(strategy)) >= ROUND_TRIPS_MIN
    assert set(run.entries(strategy)["instrument_index"]) == {0, 1}
    expected = {"FVG_RETURN", "BOS_LIVE"} if strategy == SMC else {"FLOW_SCORE", "FLOW_REVERSED"}
    assert set(run.reasons(strategy)) >= expected
    assert not np.isnan(run.entries(strategy)["score"]).any()


@pytest.mark.parametrize("strategy", [SMC, ORDERFLOW])
def test_raw_trades_make_the_strategies_trade_as_well(raw: np.ndarray, strategy: int) -> None:
    outcome = traded(raw)
    assert len(outcome.entries(strategy)) >= ENTRIES_MIN
    assert len(outcome.exits(strategy)) >= ROUND_TRIPS_MIN


@pytest.mark.parametrize("seed", SEEDS)
def test_with_random_takers_no_strategy_enters(records: np.ndarray, seed: int) -> None:
    shuffled = records.copy()
    is_trade = shuffled["record_type"] == RecordType.TRADE
    random = np.random.default_rng(seed)
    coins = random.integers(0, 2, int(is_trade.sum())).astype(np.uint8) * TRADE_BUYER_AGGRESSOR
    others = np.uint8(255 - TRADE_BUYER_AGGRESSOR)
    shuffled["flags"][is_trade] = (shuffled["flags"][is_trade] & others) | coins
    outcome = traded(shuffled)
    assert outcome.market.closed_count[0, 0] >= 340, "prices and bars are still there"
    assert len(outcome.log) == 0, [outcome.reasons(s) for s in (SMC, ORDERFLOW)]


def test_without_a_path_of_prices_there_is_no_structure_to_trade(records: np.ndarray) -> None:
    flat = records.copy()
    for i in range(2):
        mine = flat["instrument_index"] == i
        trades = mine & (flat["record_type"] == RecordType.TRADE)
        flat["price_ticks"][trades] = flat["price_ticks"][trades][0]
    outcome = traded(flat)
    assert len(outcome.entries(SMC)) == 0
    assert (outcome.market.structure["trend_side"] == 0).all()


def test_without_quotes_nothing_is_entered(records: np.ndarray) -> None:
    silent = records[records["record_type"] != RecordType.QUOTE].copy()
    silent["sequence"] = np.arange(len(silent))
    assert len(traded(silent).log) == 0


def test_without_trades_nothing_is_entered(records: np.ndarray) -> None:
    silent = records[records["record_type"] != RecordType.TRADE].copy()
    silent["sequence"] = np.arange(len(silent))
    assert len(traded(silent).log) == 0
