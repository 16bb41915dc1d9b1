"""A tick from outside is printed by the practice exchange, and by nobody else."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.config import Config, VenueConfig
from engine.domain.codes import RecordType, TradingState
from engine.processes.ticks import FOREIGN, Ticks
from engine.web.bodies import TickBody
from tests.exchange_process import PracticeExchange
from tests.feed_role import FeedRole
from tests.unit.feed.test_feed_failover import Running

COMMANDS: Any = SimpleNamespace(state=lambda: TradingState.ENABLED)


def tick(symbol: str = "BTCUSDT", price: str = "61800.1", side: str = "buy") -> TickBody:
    return TickBody(symbol=symbol, side=side, price=price, quantity="0.001")


@pytest.mark.parametrize("mode", ["paper", "live"])
@pytest.mark.parametrize(("name", "third_party"), [("binance", True), ("binance", False),
                                                  ("practice", True)])  # fmt: skip
def test_no_tick_is_mixed_into_somebody_elses_market(
    mode: str, name: str, third_party: bool
) -> None:
    venue = VenueConfig(name=name, third_party=third_party, rest_url="http://127.0.0.1:1")
    outcome = Ticks(Config(venue=venue, trading_mode=mode), COMMANDS).submit(tick())
    assert outcome == (FOREIGN, False, TradingState.ENABLED, ())


def test_an_exchange_that_is_not_there_is_a_sentence() -> None:
    venue = VenueConfig(rest_url="http://127.0.0.1:1")
    outcome = Ticks(Config(venue=venue), COMMANDS).submit(tick())
    assert not outcome.accepted
    assert outcome.effect.startswith("not printed: http://127.0.0.1:1/practice/tick: ")


def test_a_tick_is_a_trade_of_the_market_as_the_ring_has_it(tmp_path: Path) -> None:
    exchange = PracticeExchange("--seed", "3", "--generate", "3")
    row = exchange.call("GET", "/fapi/v1/exchangeInfo")["symbols"][0]
    feed = FeedRole("ticks", tmp_path, exchange.port)
    running = Running.over(exchange, feed)
    try:
        feed.wait("every channel", running.is_live)
        running.trades_after(5)
        ticks = Ticks(feed.config, COMMANDS)
        last = exchange.call("GET", f"/fapi/v1/aggTrades?symbol={row['symbol']}&limit=1")[0]["p"]
        lot = next(f["stepSize"] for f in row["filters"] if f["filterType"] == "LOT_SIZE")
        odd = f"{float(lot) * 7_777:.{row['quantityPrecision']}f}"
        asked = TickBody(symbol=row["symbol"], side="sell", price=last, quantity=odd)
        outcome = ticks.submit(asked)
        assert outcome.accepted, outcome

        def found() -> bool:
            trades = running.records(RecordType.TRADE)
            return bool((trades["qty_lots"] >= 7_777).any())

        feed.wait("the tick on the ring", found)
        running.trades_after(10)
        assert running.missing() == {0: 0, 1: 0, 2: 0}
        assert feed.counter("rejected_total") == 0
        far = TickBody(symbol=row["symbol"], side="sell", price="0.5", quantity=odd)
        assert ticks.submit(far).effect.startswith("not printed: ")
        assert not ticks.submit(tick("NOSUCHUSDT")).accepted
    finally:
        running.close()
