"""Streams a tape does not hold: aggTrade, kline, markPrice, partial depth, mini ticker."""

import json
from typing import Any

from exchange.book import BUY
from exchange.candles import MINUTE_MS
from exchange.derived import AGG_TRADE_WINDOW_MS, DerivedStreams
from exchange.listing import variants
from exchange.marks import mark_of, next_funding_ms
from exchange.matching import Market
from exchange.streams import Hub
from exchange.symbols import money_text
from tests.exchange_rig import btc, fill_book

T0 = 1_700_000_040_000 - 1_700_000_040_000 % MINUTE_MS


class Listener:
    """A connection that keeps what it would send."""

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.combined = False
        self.category = "market"
        self.names: dict[str, Any] = {}
        self.descriptor = -1
        self.congested = False
        self.idle = True

    def flush(self) -> int:
        count = len(self.out)
        self.out.clear()
        return count

    def write(self, payload: bytes) -> None:
        self.out.append(payload)

    def arrays(self) -> list[Any]:
        """Return the payloads of frames that hold arrays."""
        found = [json.loads(frame[frame.index(b"[{") :]) for frame in self.out]
        self.out.clear()
        return found

    def bodies(self) -> list[Any]:
        """Return the payloads of all frames and forget them."""
        found = [json.loads(frame[frame.index(b"{") :]) for frame in self.out]
        self.out.clear()
        return found


class Rig:
    """A market, its derived streams and one listener."""

    def __init__(self, *names: str, category: str = "market") -> None:
        self.market = Market(btc(), 0)
        self.hub = Hub(["BTCUSDT"])
        self.derived = DerivedStreams([self.market], self.hub)
        self.listener = Listener()
        self.listener.category = category
        for name in names:
            self.hub.subscribe(self.listener, name, 0.0)

    def trade(self, at_ms: int, price: int, qty: int, trade_id: int, *, seller: bool) -> None:
        now_ms = T0 + at_ms
        self.market.on_trade(price, qty, BUY)
        self.derived.on_trade(0, (price, qty, seller, trade_id, now_ms, now_ms))

    def arrays(self, at_ms: int) -> list[Any]:
        self.derived.advance(T0 + at_ms)
        return self.listener.arrays()

    def advance(self, at_ms: int) -> list[Any]:
        self.derived.advance(T0 + at_ms)
        return self.listener.bodies()


def test_trades_of_one_price_and_side_become_one() -> None:
    rig = Rig("btcusdt@aggTrade")
    rig.trade(0, 60_000_00, 5, 10, seller=False)
    rig.trade(10, 60_000_00, 7, 11, seller=False)
    assert rig.advance(50) == []
    told = rig.advance(AGG_TRADE_WINDOW_MS + 30)
    assert told == [
        {
            "e": "aggTrade", "E": T0 + 10, "a": 1, "s": "BTCUSDT", "p": "60000.00",
            "q": "0.012", "nq": "0.012", "f": 10, "l": 11, "T": T0, "m": False, "st": 1,
        }
    ]  # fmt: skip
    assert rig.advance(1_000) == []


def test_other_price_side_or_window_starts_another() -> None:
    rig = Rig("btcusdt@aggTrade")
    rig.trade(0, 60_000_00, 1, 1, seller=False)
    rig.trade(1, 60_000_10, 2, 2, seller=False)
    rig.trade(2, 60_000_10, 3, 3, seller=True)
    rig.trade(2 + AGG_TRADE_WINDOW_MS, 60_000_10, 4, 4, seller=True)
    told = rig.listener.bodies() + rig.advance(500)
    assert [(t["f"], t["l"], t["q"], t["m"]) for t in told] == [
        (1, 1, "0.001", False), (2, 2, "0.002", False), (3, 3, "0.003", True),
        (4, 4, "0.004", True),
    ]  # fmt: skip
    assert [t["a"] for t in told] == [1, 2, 3, 4]


def test_aggregated_quantities_add_up_to_the_trades() -> None:
    rig = Rig("btcusdt@aggTrade")
    for k in range(200):
        rig.trade(k * 7, 60_000_00 + 10 * (k // 3 % 4), 1 + k % 5, k, seller=k % 7 == 0)
        rig.derived.advance(T0 + k * 7)
    told = rig.listener.bodies() + rig.advance(10_000)
    assert sum(int(t["q"].replace(".", "")) for t in told) == sum(1 + k % 5 for k in range(200))
    assert [t["f"] for t in told[1:]] == [t["l"] + 1 for t in told[:-1]]


def test_kline_is_sent_while_it_changes_and_once_closed() -> None:
    rig = Rig("btcusdt@kline_1m")
    rig.trade(0, 60_000_00, 5, 1, seller=False)
    first = rig.advance(10)
    assert [(k["k"]["x"], k["k"]["o"], k["k"]["n"]) for k in first] == [(False, "60000.00", 1)]
    assert rig.advance(400) == []
    rig.trade(450, 60_001_00, 5, 2, seller=False)
    second = rig.advance(700)
    assert [(k["k"]["x"], k["k"]["c"], k["k"]["v"]) for k in second] == [
        (False, "60001.00", "0.010")
    ]
    closed = rig.advance(MINUTE_MS + 10)
    assert [(k["k"]["x"], k["k"]["t"]) for k in closed] == [(True, T0), (False, T0 + MINUTE_MS)]
    assert closed[1]["k"]["o"] == closed[0]["k"]["c"]


def test_trade_of_the_next_minute_closes_the_kline_at_once() -> None:
    rig = Rig("btcusdt@kline_1m")
    rig.trade(0, 60_000_00, 5, 1, seller=False)
    rig.trade(MINUTE_MS + 1, 60_100_00, 5, 2, seller=False)
    told = rig.listener.bodies()
    assert [(k["k"]["x"], k["k"]["c"]) for k in told] == [(True, "60000.00")]


def test_kline_fields_are_complete() -> None:
    rig = Rig("btcusdt@kline_5m", "btcusdt_perpetual@continuousKline_5m")
    rig.advance(0)
    rig.trade(0, 60_000_00, 5, 1, seller=False)
    plain, continuous = sorted(rig.advance(500), key=lambda body: body["e"], reverse=True)
    assert set(plain["k"]) == set("tTsifLochlvnxqVQB")
    assert (plain["e"], plain["k"]["i"]) == ("kline", "5m")
    assert (continuous["e"], continuous["ps"], continuous["ct"]) == (
        "continuous_kline",
        "BTCUSDT",
        "PERPETUAL",
    )
    assert "s" not in continuous["k"]


def test_mark_price_comes_each_period_and_is_the_exact_middle() -> None:
    rig = Rig("btcusdt@markPrice@1s", "btcusdt@markPrice")
    assert rig.advance(0) == []
    fill_book(rig.market, bid=60_000_00, ask=60_000_10)
    counts = {"1s": 0, "3s": 0}
    for second in range(1, 13):
        told = rig.advance(second * 1_000)
        counts["1s" if len(told) == 1 else "3s"] += 1
        assert {body["p"] for body in told} == {"60000.05000000"}
        assert told[0]["T"] % 28_800_000 == 0
    assert counts["3s"] == 4


def test_the_mark_without_a_book_is_the_last_trade() -> None:
    market = Market(btc(), 0)
    market.on_trade(60_000_00, 1, BUY)
    assert mark_of(market, 0).price_e8 == 60_000 * 10**8


def test_funding_is_always_ahead() -> None:
    assert next_funding_ms(0) == 28_800_000
    assert next_funding_ms(28_799_999) == 28_800_000


def test_partial_depth_is_the_top_of_the_book_whole() -> None:
    rig = Rig("btcusdt@depth5@100ms", category="public")
    assert rig.advance(0) == []
    fill_book(rig.market)
    told = rig.advance(200)
    assert len(told) == 1
    assert told[0]["b"] == [[f"{60_000 - k / 10:.2f}", "1.000"] for k in range(5)]
    assert [row[0] for row in told[0]["a"]] == [f"{60_000.1 + k / 10:.2f}" for k in range(5)]


def test_mini_ticker_sums_the_day() -> None:
    rig = Rig("btcusdt@miniTicker")
    assert rig.advance(0) == []
    rig.trade(100, 60_000_00, 5, 1, seller=False)
    rig.trade(MINUTE_MS + 100, 60_010_00, 5, 2, seller=False)
    told = rig.advance(MINUTE_MS + 5_000)
    assert [(t["o"], t["c"], t["v"]) for t in told] == [("60000.00", "60010.00", "0.010")]


def test_nothing_is_sent_to_nobody() -> None:
    rig = Rig()
    rig.trade(0, 60_000_00, 5, 1, seller=False)
    rig.trade(MINUTE_MS, 60_000_00, 5, 2, seller=False)
    assert rig.advance(MINUTE_MS * 2) == []
    assert len(rig.derived.series[0].recent_minutes()) == 2


def test_arrays_of_all_markets_carry_both_families() -> None:
    rig = Rig("!markPrice@arr@1s", "!miniTicker@arr")
    fill_book(rig.market)
    rig.trade(0, 60_000_00, 5, 1, seller=False)
    rig.derived.variants = variants()
    (marks, days) = sorted(rig.arrays(2_000), key=lambda rows: rows[0]["e"], reverse=True)
    assert [(row["s"], row["st"]) for row in marks] == [
        ("BTCUSDT", 1), ("BTCUSD_PERP", 2), ("LIKEUSDT", 2)
    ]  # fmt: skip
    assert marks[0]["p"] == money_text(mark_of(rig.market, 0).price_e8)
    assert [(row["s"], row["v"], row["st"]) for row in days] == [("BTCUSDT", "0.005", 1)]
    assert rig.arrays(2_100) == []
    assert len(rig.arrays(3_100)) == 2


def test_arrays_are_market_streams_only() -> None:
    rig = Rig("!markPrice@arr", "!contractInfo", category="public")
    assert rig.hub.live_count == 0
    assert Rig("!nothing").hub.live_count == 0
