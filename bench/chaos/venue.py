"""The practice exchange of one run: it outlives engines, and can be stopped and started again.

It is spoken to over its control port, which no fault reaches. Its account is in a ledger file
while it is away, so that a restart loses nothing that a venue would not lose.
"""

from __future__ import annotations

import json
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

from bench.startup import free_port
from tests.exchange_process import PracticeExchange

ACCOUNT: Final = "practice"
ANSWER_S: Final = 20
RATE: Final = 400  # messages a second, all together: enough to trade on, cheap enough to repeat


class ChaosVenue:
    """An exchange on ports of its own."""

    def __init__(self, folder: Path, *, instruments: int, seed: int, speed: int) -> None:
        """Start it."""
        self._words = [
            *("--generate", str(instruments), "--seed", str(seed), "--speed", str(speed)),
            *("--rate", str(RATE)),
            *("--ledger", str(folder / "ledger.json"), "--autostart"),
        ]
        self._ports = (free_port(), free_port())
        self._sent: list[str] = []
        self._process = self._start()
        self.symbols: list[str] = list(self.call("GET", "/practice/state")["symbols"])

    @property
    def url(self) -> str:
        """Return where engines find it."""
        return f"http://127.0.0.1:{self._ports[0]}"

    def _start(self, *more: str) -> PracticeExchange:
        port, control = map(str, self._ports)
        return PracticeExchange(*self._words, "--port", port, "--control-port", control, *more)

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
        """Return the JSON answer of a request over the control port."""
        request = Request(
            f"http://127.0.0.1:{self._ports[1]}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"X-MBX-APIKEY": ACCOUNT},
        )
        with urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310  our own exchange
            return json.load(answer)

    def fault(self, **order: object) -> None:
        """Order one fault."""
        self.call("POST", "/practice/fault", order)

    def calm(self) -> None:
        """End every fault."""
        self.fault(kind="clear")

    def stop(self) -> None:
        """Stop it in order: its ledger is written."""
        self._remember()
        self._process.process.send_signal(signal.SIGTERM)
        self._process.process.wait(ANSWER_S)
        self._process.stop()

    def resume(self) -> None:
        """Start it again where it stopped; its clock does not go back."""
        self._process = self._start("--start-ms", str(self._stopped_ms))

    def ledger(self) -> dict[str, Any]:
        """Return the account's books."""
        found: dict[str, Any] = self.call("GET", f"/practice/ledger?account={ACCOUNT}")
        return found

    def position(self, symbol: str) -> Decimal:
        """Return the account's position in a symbol."""
        rows = {row["symbol"]: row["positionAmt"] for row in self.ledger()["positions"]}
        return Decimal(rows.get(symbol, "0"))

    def lot(self, symbol: str) -> Decimal:
        """Return the smallest step of a quantity."""
        listed = self.call("GET", "/fapi/v1/exchangeInfo")["symbols"]
        (row,) = [one for one in listed if one["symbol"] == symbol]
        (step,) = [one["stepSize"] for one in row["filters"] if one["filterType"] == "LOT_SIZE"]
        return Decimal(step)

    def sent(self) -> list[str]:
        """Return the client ids of all new orders that ever came, whatever was answered.

        One that was refused for its time stamp was certainly not executed, and may come once more
        under the same id: that refusal is taken out.
        """
        found = self.call("GET", "/practice/sent")
        ids = list(found["clientOrderIds"])
        for untimely in found["untimely"]:
            ids.remove(untimely)
        return self._sent + ids

    def _remember(self) -> None:
        self._sent = self.sent()
        self._stopped_ms = int(self.call("GET", "/practice/state")["serverTime"]) + 1

    def kill(self) -> None:
        """End it at once; for cleaning up."""
        self._process.stop()
