"""kill -9 with an order on its way, through a whole engine: none lost, none doubled.

The exchange takes an order, or loses it, and does not answer in time; meanwhile a role or main is
killed. After the restart the engine must have the exchange's books, no repeated client order id, no
order that nobody accounts for, and go on trading.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.store.verify import verify_session
from tests.engine_process import Engine, Exchange, alive, post, wait_for

pytestmark = pytest.mark.slow  # whole engines that wait for orders

ORDER = "/fapi/v1/order"
LATE_MS = 4_000  # beyond order_timeout_ms
OPEN = {"NEW", "PARTIALLY_FILLED"}


class Rig:
    """An exchange that outlives engines, and the home of those engines."""

    def __init__(self, home: Path) -> None:
        """Start the exchange."""
        self.home = home
        self.name = f"d{os.getpid()}-{home.name[-8:].strip('_').lower()}"
        self.exchange = Exchange("--generate", "2", "--seed", "7", "--speed", "5")
        self.engine: Engine | None = None

    def start(self, *words: str) -> Engine:
        self.engine = Engine(
            self.home, "--exchange", self.exchange.url, "--name", self.name, "--json", *words
        )
        return self.engine

    def arm(self, count: int, **fault: object) -> None:
        order = {"kind": "rest", "path": ORDER, "method": "POST", "count": count, **fault}
        assert post(self.exchange.url, "/practice/fault", order) == 200

    def calm(self) -> None:
        assert post(self.exchange.url, "/practice/fault", {"kind": "clear"}) == 200

    def orders(self) -> list[dict[str, Any]]:
        return list(self.exchange.ledger()["orders"])

    def settled(self, done: tuple[int, str, str]) -> dict[str, Any]:
        """Check the end of an engine against the exchange's books; return its summary."""
        code, output, errors = done
        assert code == 0, f"{output}\n{errors}"
        summary: dict[str, Any] = json.loads(output)
        assert summary["exchange_agrees"] is True, summary["differences"]
        orders = self.orders()
        ids = [row["clientOrderId"] for row in orders]
        assert len(set(ids)) == len(ids), "an order was doubled"
        assert [row for row in orders if row["status"] in OPEN] == [], "an order was forgotten"
        assert all(verify_session(path).is_intact for path in self.home.glob("state/*/journal/*"))
        return summary

    def stop(self) -> None:
        if self.engine is not None:
            self.engine.kill()
        self.exchange.stop()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.stop()


@pytest.mark.parametrize("victim", ["brain", "orchestrator", "main"])
@pytest.mark.parametrize("execute", [True, False], ids=["accepted", "lost"])
def test_killed_with_an_order_on_its_way(rig: Rig, victim: str, execute: bool) -> None:
    engine = rig.start()
    pids = engine.wait_ready()["pids"]
    refusal = {} if execute else {"status": 503}
    rig.arm(1_000, execute=execute, delay_ms=LATE_MS, **refusal)
    engine.wait_count("orders", 1)
    os.kill(pids[victim], signal.SIGKILL)
    wait_for("the engine's end", lambda: not [pid for pid in pids.values() if alive(pid)])
    engine.kill()
    rig.calm()
    before = len(rig.orders())
    assert before == 0 or execute

    engine = rig.start()
    engine.wait_ready()
    engine.wait_count("orders", 1)
    rig.settled(engine.terminate())
    assert len(rig.orders()) > before
