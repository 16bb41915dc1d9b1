"""Bars derived from trades: open, high, low, close, volumes, closing and longer intervals."""

from hypothesis import given
from hypothesis import strategies as st

from exchange.candles import HISTORY_BARS, MINUTE_MS, Candle, CandleSeries, merged, opened
from tests.exchange_rig import btc

T0 = 1_700_000_040_000 - 1_700_000_040_000 % (60 * MINUTE_MS)


def trade(at_ms: int, price: int, qty: int, trade_id: int = 1, *, maker: bool = False) -> tuple:
    return (price, qty, maker, trade_id, T0 + at_ms, T0 + at_ms)


def series(*trades: tuple) -> tuple[CandleSeries, list[Candle]]:
    made = CandleSeries(btc())
    closed: list[Candle] = []
    for fields in trades:
        closed.extend(made.add_trade(fields))
    return made, closed


def test_bar_has_the_extremes_and_the_last_price() -> None:
    made, closed = series(
        trade(0, 100, 5, 10), trade(1, 120, 1, 11, maker=True), trade(2, 90, 2, 12),
        trade(3, 110, 1, 13),
    )  # fmt: skip
    bar = made.running[MINUTE_MS]
    assert closed == []
    assert (bar.open, bar.high, bar.low, bar.close) == (100, 120, 90, 110)
    assert (bar.qty, bar.count, bar.first_id, bar.last_id) == (9, 4, 10, 13)
    assert bar.taker_buy_qty == 8
    assert bar.quote == (500 + 120 + 180 + 110) * btc().money_factor


def test_trade_of_the_next_minute_closes_the_bar() -> None:
    made, closed = series(trade(0, 100, 5), trade(MINUTE_MS, 130, 1, 2))
    assert [(bar.open_ms, bar.close, bar.close_ms) for bar in closed] == [
        (T0, 100, T0 + MINUTE_MS - 1)
    ]
    assert made.running[MINUTE_MS].open == 130
    assert list(made.minutes) == closed


def test_last_millisecond_belongs_to_the_bar() -> None:
    made, closed = series(trade(0, 100, 5), trade(MINUTE_MS - 1, 130, 1, 2))
    assert closed == []
    assert made.running[MINUTE_MS].close == 130


def test_bar_without_trades_repeats_the_close() -> None:
    made, _ = series(trade(0, 100, 5))
    closed = made.roll(T0 + MINUTE_MS)
    assert len(closed) == 1
    quiet = made.running[MINUTE_MS]
    assert (quiet.open, quiet.close, quiet.qty, quiet.count) == (100, 100, 0, 0)
    assert made.roll(T0 + MINUTE_MS + 1) == []


def test_no_bar_before_the_first_trade() -> None:
    made = CandleSeries(btc())
    assert made.roll(T0) == []
    assert made.recent_minutes() == []


def test_longer_interval_begins_from_the_minutes_known() -> None:
    made, _ = series(trade(0, 100, 5), trade(MINUTE_MS, 150, 1, 2))
    made.want(5 * MINUTE_MS)
    made.want(5 * MINUTE_MS)
    bar = made.running[5 * MINUTE_MS]
    assert (bar.high, bar.qty) == (150, 6)
    made.add_trade(trade(MINUTE_MS + 5, 90, 2, 3))
    assert (bar.low, bar.qty, made.running[MINUTE_MS].qty) == (90, 8, 3)


def test_interval_wanted_before_any_trade_starts_with_it() -> None:
    made = CandleSeries(btc())
    made.want(3 * MINUTE_MS)
    made.add_trade(trade(0, 100, 5))
    assert made.running[3 * MINUTE_MS].open == 100


def test_row_has_the_twelve_columns_of_the_venue() -> None:
    bar = opened(T0, MINUTE_MS, 60_000_00)
    bar.add(60_000_00, 1_500, btc().notional(60_000_00, 1_500), 7, taker_buy=True)
    assert bar.row(btc()) == [
        T0, "60000.00", "60000.00", "60000.00", "60000.00", "1.500", T0 + MINUTE_MS - 1,
        "90000.00000000", 1, "1.500", "90000.00000000", "0",
    ]  # fmt: skip


def test_history_is_bounded() -> None:
    made = CandleSeries(btc())
    for minute in range(HISTORY_BARS + 10):
        made.add_trade(trade(minute * MINUTE_MS, 100, 1, minute))
    assert len(made.minutes) == HISTORY_BARS


@given(
    trades=st.lists(
        st.tuples(st.integers(0, 20 * MINUTE_MS), st.integers(1, 10**6), st.integers(1, 10**4)),
        min_size=1,
        max_size=60,
    )
)
def test_minutes_and_longer_bars_hold_every_trade_once(trades: list[tuple[int, int, int]]) -> None:
    trades = sorted(trades, key=lambda entry: entry[0])
    made, _ = series(*(trade(at, p, q, k) for k, (at, p, q) in enumerate(trades)))
    minutes = made.recent_minutes()
    for bars in (minutes, merged(minutes, 5 * MINUTE_MS), merged(minutes, 60 * MINUTE_MS)):
        assert sum(bar.qty for bar in bars) == sum(q for _, _, q in trades)
        assert sum(bar.count for bar in bars) == len(trades)
        assert max(bar.high for bar in bars) == max(p for _, p, _ in trades)
        assert min(bar.low for bar in bars) == min(p for _, p, _ in trades)
        assert bars[-1].close == trades[-1][1]
        assert all(bar.low <= min(bar.open, bar.close) for bar in bars)
        assert all(bar.high >= max(bar.open, bar.close) for bar in bars)
        opens = [bar.open_ms for bar in bars]
        assert opens == sorted(set(opens))
