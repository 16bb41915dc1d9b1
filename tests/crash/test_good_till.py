"""Orders by hand that rest until a date, in a whole engine that dies: the venue ends them."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.store.verify import verify_session
from tests.crash.test_outside_kill import HAND, SHM, all_end, orders_of, tell
from tests.engine_process import Engine, aegis, wait_for
from tests.exchange_process import PracticeExchange

AHEAD_S = 900
BELOW = 0.996  # of the bid: it rests, and the collar of 50 bps takes it


@pytest.fixture
def exchange() -> Iterator[PracticeExchange]:
    running = PracticeExchange("--generate", "2", "--seed", "7", "--speed", "1")
    yield running
    running.stop()


@pytest.fixture
def name() -> Iterator[str]:
    made = f"g{os.getpid()}"
    yield made
    for left in SHM.glob(f"aegis-{made}-*"):  # of a test that failed
        left.unlink()


def price_below(engine: Engine) -> str:
    """Return a price below the market that an order rests at."""
    (bid,) = [row["bid"] for row in engine.instruments() if row["symbol"] == "BTCUSDT"]
    return f"{float(bid) * BELOW:.1f}"


def submit(
    engine: Engine, price: str, date_ms: int, request: str = "r1"
) -> tuple[int, dict[str, Any]]:
    """Buy at a price, good till a date."""
    words = {"symbol": "BTCUSDT", "side": "buy", "quantity": "0.010", "limit_price": price}
    return tell(engine, "submit_order", **words, good_till_ms=date_ms, request_id=request)


def states(exchange: PracticeExchange) -> list[str]:
    """Return the status of each order by hand at the exchange."""
    return [row["status"] for row in orders_of(exchange, HAND)]


def why(home: Path, order: str) -> str:
    """Return the story of an order."""
    return aegis(home, "why", order).stdout


def intact_and_replayed(home: Path, *, sessions: int) -> None:
    """Check that every journal is whole and gives the same bytes again."""
    journals = sorted((home / "state").glob("*/journal/*"))
    assert len(journals) == sessions
    for journal in journals:
        assert verify_session(journal).is_intact
        replayed = aegis(home, "replay", str(journal), "--json")
        assert json.loads(replayed.stdout)["identical"] is True, replayed.stderr


@pytest.mark.slow
def test_an_order_expires_at_its_date_whether_the_engine_lives_or_not(
    tmp_path: Path, exchange: PracticeExchange, name: str
) -> None:
    date_ms = (int(time.time()) + AHEAD_S) * 1_000
    first = Engine(tmp_path, "--exchange", exchange.url, "--name", name)
    try:
        pids = first.wait_ready()["pids"]
        price = price_below(first)
        status, told = submit(first, price, date_ms)
        assert status == 200, told
        wait_for("the order to rest", lambda: states(exchange) == ["NEW"])
        (row,) = orders_of(exchange, HAND)
        assert (row["timeInForce"], int(row["goodTillDate"])) == ("GTD", date_ms)
        os.kill(pids["main"], signal.SIGKILL)
        all_end(pids)
    finally:
        first.kill()
    exchange.fault("time_offset", offset_ms=(AHEAD_S + 5) * 1_000)
    wait_for("the order to expire at the venue", lambda: states(exchange) == ["EXPIRED"])
    exchange.fault("time_offset", offset_ms=-(AHEAD_S + 5) * 1_000)
    again = Engine(tmp_path, "--exchange", exchange.url, "--name", name, "--json")
    try:
        again.wait_ready()
        status, told = submit(again, price, date_ms)
        assert (status, "answered before" in told["effect"]) == (200, True), told
        assert len(orders_of(exchange, HAND)) == 1, "and sent once"
        assert "GTD till" in why(tmp_path, told["order"])
        code, output, errors = again.terminate()
        assert code == 0, errors
    finally:
        again.kill()
    assert json.loads(output)["exchange_agrees"] is True
    assert "EXPIRED" in why(tmp_path, told["order"])
    intact_and_replayed(tmp_path, sessions=2)


@pytest.mark.slow
def test_an_order_that_expires_is_heard_of_at_once(
    tmp_path: Path, exchange: PracticeExchange, name: str
) -> None:
    date_ms = (int(time.time()) + AHEAD_S) * 1_000
    engine = Engine(tmp_path, "--exchange", exchange.url, "--name", name, "--json")
    try:
        engine.wait_ready()
        status, told = submit(engine, price_below(engine), date_ms)
        assert status == 200, told
        wait_for("the order to rest", lambda: states(exchange) == ["NEW"])
        exchange.fault("time_offset", offset_ms=(AHEAD_S + 5) * 1_000)
        wait_for("the order to expire at the venue", lambda: states(exchange) == ["EXPIRED"])
        wait_for("the engine to hear", lambda: "EXPIRED" in why(tmp_path, told["order"]))
        code, output, errors = engine.terminate()
    finally:
        engine.kill()
    assert code == 0, errors
    assert json.loads(output)["exchange_agrees"] is True
    assert "GTD till" in why(tmp_path, told["order"])
    intact_and_replayed(tmp_path, sessions=1)
