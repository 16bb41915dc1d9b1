"""Orders by hand and parent orders in a whole engine, against an exchange that outlives it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from engine.domain.client_id import parse_client_id
from engine.domain.strategy_table import DEFAULT_STRATEGIES
from engine.store.verify import verify_session
from tests.engine_process import Engine, aegis, alive, wait_for
from tests.exchange_process import PracticeExchange

HAND, EXECUTION = len(DEFAULT_STRATEGIES), len(DEFAULT_STRATEGIES) + 1
SHM = Path("/dev/shm")
DEATHS_S = (0.0, 0.0005, 0.002, 0.02)  # after the request was begun
LOT = "0.010"


@pytest.fixture
def exchange() -> Iterator[PracticeExchange]:
    running = PracticeExchange("--generate", "2", "--seed", "7", "--speed", "1")
    yield running
    running.stop()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    made = f"h{os.getpid()}-{zlib.crc32(request.node.name.encode()):08x}"
    yield made
    for left in SHM.glob(f"aegis-{made}-*"):  # of a test that failed
        left.unlink()


def tell(engine: Engine, operation: str, **body: Any) -> tuple[int, dict[str, Any]]:  # noqa: ANN401
    """Give an operation to an engine with its own token; (0, {}): it died meanwhile."""
    try:
        token = (engine.home / "run" / f"{engine.name}.token").read_text("ascii").strip()
        port = urlsplit(engine.url).port
    except (OSError, AssertionError):
        return 0, {}
    connection = http.client.HTTPConnection("127.0.0.1", port or 0, timeout=5)
    try:
        words = {"who": "ana", "reason": "test", **body}
        connection.request("POST", f"/v1/{operation}", json.dumps(words), {"x-aegis-token": token})
        answer = connection.getresponse()
        return answer.status, dict(json.loads(answer.read()))
    except (OSError, ValueError, http.client.HTTPException):
        return 0, {}
    finally:
        connection.close()


def orders_of(exchange: PracticeExchange, strategy: int) -> list[dict[str, Any]]:
    """Return the orders that the exchange has of one strategy_index."""
    found = []
    for row in exchange.ledger()["orders"]:
        known = parse_client_id("a", row["clientOrderId"])
        if known is not None and known.strategy_index == strategy:
            found.append(row)
    return found


def submit(engine: Engine, request: str) -> tuple[int, dict[str, Any]]:
    """Buy a little by hand under a request's name."""
    return tell(
        engine, "submit_order", symbol="BTCUSDT", side="buy", quantity=LOT, request_id=request
    )


def all_end(pids: dict[str, int]) -> None:
    """Wait until no process of an engine is left."""
    wait_for("children to end", lambda: not [pid for pid in pids.values() if alive(pid)])


@pytest.mark.slow
def test_an_order_by_hand_is_sent_once_whenever_the_engine_dies(
    tmp_path: Path, exchange: PracticeExchange, name: str
) -> None:
    for place, moment_s in enumerate(DEATHS_S):
        engine = Engine(tmp_path, "--exchange", exchange.url, "--name", name)
        try:
            pids = engine.wait_ready()["pids"]
            if place:  # nobody knows what became of it; who asks again is told, and it is done
                status, told = submit(engine, f"r{place - 1}")
                assert (status, told.get("reasons", [])) == (200, [])
            asking = threading.Thread(target=submit, args=(engine, f"r{place}"))
            asking.start()
            threading.Event().wait(moment_s)
            os.kill(pids["main"], signal.SIGKILL)
            asking.join()
            all_end(pids)
        finally:
            engine.kill()
    engine = Engine(tmp_path, "--exchange", exchange.url, "--name", name, "--json")
    try:
        engine.wait_ready()
        for place in range(len(DEATHS_S)):
            assert submit(engine, f"r{place}")[0] == 200
        wait_for(
            "every order to be filled",
            lambda: [row["status"] for row in orders_of(exchange, HAND)] == ["FILLED"] * 4,
        )
        code, output, errors = engine.terminate()
    finally:
        engine.kill()
    assert code == 0, errors
    assert len(orders_of(exchange, HAND)) == len(DEATHS_S)
    assert json.loads(output)["exchange_agrees"] is True


@pytest.mark.slow
def test_parents_beside_strategies_leave_equal_books_and_a_journal_that_replays(
    tmp_path: Path, exchange: PracticeExchange, name: str
) -> None:
    engine = Engine(tmp_path, "--exchange", exchange.url, "--name", name, "--json")
    try:
        engine.wait_ready()
        twap = {"method": "twap", "symbol": "BTCUSDT", "side": "buy", "quantity": "0.05"}
        status, told = tell(engine, "execute_order", **twap, minutes=0.2, patience_s=2)
        assert status == 200, told
        hidden = tell(engine, "execute_order", **(twap | {"method": "hidden"}))
        assert (hidden[0], hidden[1]["reasons"]) == (409, ["NOT_OFFERED"])
        stopped = tell(
            engine, "execute_order", **(twap | {"method": "iceberg"}), display="0.01",
            limit_price="50000",
        )  # fmt: skip
        assert stopped[0] == 200, stopped
        assert tell(engine, "cancel_order", order=stopped[1]["order"])[0] == 200

        def states() -> dict[str, str]:
            words = aegis(tmp_path, "executions", "--name", name, "--json").stdout
            return {row["order"]: row["state"] for row in json.loads(words)}

        wait_for("the TWAP to be done", lambda: states().get(told["order"]) == "DONE")
        assert states()[stopped[1]["order"]] == "ENDED"
        code, output, errors = engine.terminate()
    finally:
        engine.kill()
    assert code == 0, errors
    summary = json.loads(output)
    assert summary["exchange_agrees"] is True, summary["differences"]
    children = orders_of(exchange, EXECUTION)
    assert sum(float(row["executedQty"]) for row in children) == pytest.approx(0.05)
    (journal,) = (tmp_path / "state").glob("*/journal/*")
    assert verify_session(journal).is_intact
    replayed = aegis(tmp_path, "replay", str(journal), "--json")
    assert json.loads(replayed.stdout)["identical"] is True, replayed.stderr
    report = json.loads(aegis(tmp_path, "report", "--execution", "--json").stdout)
    (parent,) = report["execution"]["parents"]
    assert parent["filled"] == pytest.approx(1.0)
    assert parent["arrival"] is not None
