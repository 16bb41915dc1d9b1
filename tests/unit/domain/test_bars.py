"""Bars: from trades, by venue time, final when closed, closed by the clock of quotes too."""

from collections.abc import Sequence

import numpy as np
import pytest

from engine.domain.bars import BAR_MASK, BAR_RING_BARS, LATE_GRACE_NS
from engine.domain.market_state import NEVER_NS, MarketState, create_market_state
from engine.domain.strategy_table import select_rows
from tests.builders import (
    MS,
    START_VENUE_NS,
    joined,
    make_instruments,
    make_quote,
    make_trade,
)
from tests.market_runs import PaperRun, play

ONE_SECOND, FIVE_SECONDS, ONE_MINUTE = 0, 1, 2


def trade_at(ms: int, price: int = 1_000, qty: int = 1, *, buy: bool = True) -> np.ndarray:
    return make_trade(price, qty, buy=buy, venue_time_ns=START_VENUE_NS + ms * MS)


def quote_at(ms: int) -> np.ndarray:
    return make_quote(999, 1_001, venue_time_ns=START_VENUE_NS + ms * MS)


def played(records: Sequence[np.ndarray]) -> PaperRun:
    return play(joined(records), make_instruments(1), select_rows(["quote_imbalance"]))


def closed_bars(market: MarketState, t: int = ONE_SECOND) -> list[tuple[int, ...]]:
    """Return (start in ms, open, high, low, close, volume, bought, trades) of each closed bar."""
    bars = market.closed[0, t]
    names = ("open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots", "buy_lots")
    found = []
    for number in range(int(market.closed_count[0, t])):
        bar = bars[number & BAR_MASK]
        start_ms = (int(bar["start_ns"]) - START_VENUE_NS) // MS
        found.append((start_ms, *(int(bar[name]) for name in names), int(bar["trade_count"])))
    return found


def test_a_bar_holds_first_highest_lowest_and_last_price_and_who_took() -> None:
    run = played(
        [
            trade_at(100, 1_000, 5),
            trade_at(200, 1_010, 2, buy=False),
            trade_at(300, 990, 1),
            trade_at(900, 1_005, 4, buy=False),
            trade_at(1_000, 1_007, 1),
        ]
    )
    assert closed_bars(run.market) == [(0, 1_000, 1_010, 990, 1_005, 12, 6, 4)]


def test_a_trade_at_the_end_belongs_to_the_next_bar() -> None:
    run = played([trade_at(999), trade_at(1_000, 1_001), trade_at(2_000)])
    assert [bar[0] for bar in closed_bars(run.market)] == [0, 1_000]
    assert [bar[4] for bar in closed_bars(run.market)] == [1_000, 1_001]


def test_a_closed_bar_is_final_and_the_forming_one_is_not() -> None:
    run = played([trade_at(0), trade_at(1_000)])
    assert run.market.closed["is_final"][0, ONE_SECOND, 0] == 1
    assert run.market.forming["is_final"][0, ONE_SECOND] == 0
    assert run.market.closed["is_final"][0, ONE_SECOND, 1] == 0, "nothing was closed there"


def test_all_timeframes_see_the_same_trades() -> None:
    run = played([trade_at(ms, 1_000 + ms // 100) for ms in range(0, 61_000, 500)])
    by_minute = closed_bars(run.market, ONE_MINUTE)
    by_second = closed_bars(run.market, ONE_SECOND)
    by_five = closed_bars(run.market, FIVE_SECONDS)
    assert len(by_minute) == 1
    assert by_minute[0][5] == sum(bar[5] for bar in by_second[:60]) == 120
    assert by_minute[0][5] == sum(bar[5] for bar in by_five[:12])
    assert by_minute[0][2] == max(bar[2] for bar in by_second[:60])
    assert by_minute[0][3] == min(bar[3] for bar in by_five[:12])


def test_a_quote_closes_the_bar_of_a_quiet_instrument_after_the_grace() -> None:
    grace_ms = LATE_GRACE_NS // MS
    waiting = played([trade_at(500), quote_at(1_000 + grace_ms - 1)])
    assert closed_bars(waiting.market) == []
    done = played([trade_at(500), quote_at(1_000 + grace_ms)])
    assert [bar[0] for bar in closed_bars(done.market)] == [0]


def test_a_quote_alone_makes_no_bar() -> None:
    run = played([quote_at(ms) for ms in range(0, 5_000, 100)])
    assert closed_bars(run.market) == []
    assert run.market.hot["next_close_ns"][0] == NEVER_NS


def test_a_trade_behind_a_quote_still_counts_within_the_grace() -> None:
    run = played([trade_at(500), quote_at(1_100), trade_at(950, 1_002), trade_at(2_000)])
    assert closed_bars(run.market)[0][4] == 1_002
    assert run.market.hot["late_trade_count"][0] == 0


def test_a_late_trade_is_counted_and_changes_no_bar() -> None:
    records = [trade_at(500), trade_at(1_500, 1_001), trade_at(700, 1_050)]
    before = played(records[:2])
    after = played(records)
    assert after.market.hot["late_trade_count"][0] == 1
    assert closed_bars(after.market) == closed_bars(before.market)
    assert after.market.forming["high_ticks"][0, ONE_SECOND] == 1_001


def test_a_late_trade_of_a_short_bar_is_in_time_for_a_long_one() -> None:
    run = played([trade_at(500), trade_at(1_500), trade_at(700, 1_010)])
    assert run.market.forming["high_ticks"][0, ONE_MINUTE] == 1_010
    assert run.market.hot["late_trade_count"][0] == 1


def test_a_trade_after_the_clock_closed_its_bar_is_late() -> None:
    run = played([trade_at(500), quote_at(1_300), trade_at(999, 1_009), trade_at(2_500)])
    assert closed_bars(run.market)[0][2] == 1_000
    assert run.market.hot["late_trade_count"][0] == 1
    assert len(closed_bars(run.market)) == 1, "the late trade opened no bar"


def test_a_span_without_trades_has_no_bar() -> None:
    run = played([trade_at(0), trade_at(10_000), trade_at(11_000)])
    assert [bar[0] for bar in closed_bars(run.market)] == [0, 10_000]


def test_the_ring_keeps_the_newest_bars() -> None:
    count = BAR_RING_BARS + 10
    run = played([trade_at(ms * 1_000, 1_000 + ms) for ms in range(count + 1)])
    assert run.market.closed_count[0, ONE_SECOND] == count
    newest = run.market.closed[0, ONE_SECOND, (count - 1) & BAR_MASK]
    assert newest["close_ticks"] == 1_000 + count - 1
    oldest = run.market.closed[0, ONE_SECOND, count & BAR_MASK]
    assert oldest["close_ticks"] == 1_000 + count - BAR_RING_BARS


def test_instruments_do_not_share_bars() -> None:
    records = joined([trade_at(0, 1_000), trade_at(100, 2_000), trade_at(1_000)])
    records["instrument_index"] = [0, 1, 0]
    run = play(records, make_instruments(2), select_rows(["quote_imbalance"]))
    assert run.market.closed["close_ticks"][0, ONE_SECOND, 0] == 1_000
    assert run.market.forming["close_ticks"][1, ONE_SECOND] == 2_000
    assert run.market.closed_count[1, ONE_SECOND] == 0


@pytest.mark.parametrize("timeframes", [(1,), (1, 5), (1, 15, 60, 300)])
def test_any_ascending_timeframes_can_be_built(timeframes: tuple[int, ...]) -> None:
    trades = joined([trade_at(ms) for ms in range(0, 301_000, 1_000)])
    run = play(trades, make_instruments(1), select_rows(["quote_imbalance"]), timeframes)
    for t, seconds in enumerate(timeframes):
        assert run.market.closed_count[0, t] == 300 // seconds


def test_state_before_the_first_record_has_no_open_bar() -> None:
    market = create_market_state(make_instruments(3), select_rows())
    assert (market.hot["next_close_ns"] == NEVER_NS).all()
    assert (market.closed_count == 0).all()
