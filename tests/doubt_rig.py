"""Engines on a practice exchange whose answers get lost or lie, and how both end with one truth."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from engine.store.verify import verify_session
from tests.engine_process import Engine, fetch, post
from tests.exchange_process import PracticeExchange

ORDER = "/fapi/v1/order"
LATE_MS = 4_000  # beyond order_timeout_ms
OPEN = {"NEW", "PARTIALLY_FILLED"}


class Rig:
    """An exchange that outlives engines, and the home of those engines."""

    def __init__(self, home: Path, instruments: int = 2) -> None:
        """Start the exchange."""
        self.home = home
        self.name = f"d{os.getpid()}-{home.name[-8:].strip('_').lower()}"
        self.exchange = PracticeExchange(
            "--generate", str(instruments), "--seed", "7", "--speed", "5"
        )
        self.engine: Engine | None = None

    def start(self, *words: str) -> Engine:
        self.engine = Engine(
            self.home, "--exchange", self.exchange.url, "--name", self.name, "--json", *words
        )
        return self.engine

    def arm(self, count: int, **fault: object) -> None:
        order = {"kind": "rest", "path": ORDER, "method": "POST", "count": count, **fault}
        self.fault(**order)

    def fault(self, **order: object) -> None:
        assert post(self.exchange.url, "/practice/fault", order) == 200

    def calm(self) -> None:
        self.fault(kind="clear")

    def orders(self) -> list[dict[str, Any]]:
        return list(self.exchange.ledger()["orders"])

    def sent(self) -> list[str]:
        """Return the client ids of all new orders that came, whatever was said to them.

        One refused for its time stamp was certainly not executed, and may come once more under the
        same id: that refusal is taken out.
        """
        found = fetch(self.exchange.url, "/practice/sent")
        assert found is not None, "the exchange does not answer"
        ids = list(found["clientOrderIds"])
        for untimely in found["untimely"]:
            ids.remove(untimely)
        return ids

    def settled(self, done: tuple[int, str, str]) -> dict[str, Any]:
        """Check the end of an engine against the exchange's books; return its summary."""
        code, output, errors = done
        assert code == 0, f"{output}\n{errors}"
        summary: dict[str, Any] = json.loads(output)
        assert summary["exchange_agrees"] is True, summary["differences"]
        orders = self.orders()
        ids = [row["clientOrderId"] for row in orders]
        assert len(set(ids)) == len(ids), "an order was doubled"
        again = [name for name, count in Counter(self.sent()).items() if count > 1]
        assert again == [], "sent twice"
        assert [row for row in orders if row["status"] in OPEN] == [], "an order was forgotten"
        assert all(verify_session(path).is_intact for path in self.home.glob("state/*/journal/*"))
        return summary

    def stop(self) -> None:
        if self.engine is not None:
            self.engine.kill()
        self.exchange.stop()
