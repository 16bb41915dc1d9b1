"""The API's routes on a real server, over an engine that only remembers what it was told."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from engine.domain.codes import Mode, TradingState
from engine.processes.api import ApiThread, bind
from engine.processes.commands import Check, Outcome
from engine.processes.operator import CONFIRM, RESUMES, Looked
from engine.processes.outside_orders import Told
from engine.store.control_audit import ControlAudit
from engine.store.pages import SessionPages
from engine.web.accounts import Accounts
from engine.web.bodies import CancelBody, ExecuteBody, OrderBody, TickBody
from engine.web.buttons import Buttons
from engine.web.gate import Gate
from engine.web.reach import Reach
from engine.web.routes import create_app
from tests.engine_process import wait_for

TOKEN = "token-of-this-run"
SESSION = "20260101t000000-1"


class Board:
    """A status source with nothing behind it."""

    alive = True

    def status(self) -> dict[str, Any]:
        return {"name": "main", "mode": {"source": "</script><b>venue text"}}

    def health(self) -> tuple[bool, dict[str, Any]]:
        return self.alive, {"status": "ok" if self.alive else "faulted"}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        return False, {"ready": False, "waiting": {"brain": "WARMING"}}

    def metrics(self) -> str:
        return 'aegis_records_total{role="brain"} 5\n'

    def book(self, symbol: str, level_count: int) -> tuple[int, dict[str, Any]]:
        if symbol != "BTCUSDT":
            return 404, {"error": f"no instrument {symbol!r}"}
        return 200, {"symbol": symbol, "asked": level_count}

    def orders(self) -> list[dict[str, Any]]:
        return [{"client_order_id": "a1-0-1-2"}]

    def latency(self) -> dict[str, Any]:
        return {"lag": {"label": "Lag", "below_ns": [[128, 3]]}}

    def ledger(self) -> dict[str, Any]:
        return {"account": "practice-practice-paper", "sums_to_zero": True}

    def limits(self) -> list[dict[str, Any]]:
        return [{"limit": "memory", "used": 1.0, "of": 2.0, "unit": "MB", "ratio": 0.5}]

    def positions(self) -> list[dict[str, Any]]:
        return [{"instrument": "BTCUSDT", "quantity": "0.5"}]

    def strategies(self) -> list[dict[str, Any]]:
        return [{"strategy": "orderflow", "exits": 3, "net": 1.5}]


class Journals:
    """Journals with one vector and one order in them."""

    def features(
        self, symbol: str, timeframe_s: int, names: str, session: str, after: int, limit: int
    ) -> tuple[int, dict[str, Any]]:
        if symbol != "BTCUSDT":
            return 404, {"error": f"no instrument {symbol!r}"}
        row = {"sequence": 5, "values": dict.fromkeys(names.split(","))}
        rows = [row] if after < 5 else []
        found = {"session": session or SESSION, "rows": rows, "after": max(after, 5)}
        return 200, found | {"timeframe_s": timeframe_s, "asked": limit}

    def costs(self, client_order_id: str) -> tuple[int, dict[str, Any]]:
        if client_order_id != "a1-0-1-2":
            return 404, {"error": f"no order {client_order_id!r} with a fill"}
        return 200, {"text": "a1-0-1-2: against arrival +1.20 bps"}


class Panel:
    """Remembers the modes it gave, and has one entry that waits."""

    def __init__(self, told: list[tuple[str, str, str]]) -> None:
        self.told = told
        self.given: dict[str, Mode] = {}

    def modes(self) -> list[dict[str, Any]]:
        return [{"part": part, "mode": mode.name.lower()} for part, mode in self.given.items()]

    def parts(self) -> list[dict[str, Any]]:
        return [{"part": "all", "mode": self.mode("all").name.lower()}]

    def mode(self, part: str) -> Mode:
        return self.given.get(part, Mode.LIVE)

    def set_mode(self, part: str, word: str, who: str, reason: str) -> Outcome:
        self.told.append((f"{part} {word}", who, reason))
        if word.upper() not in Mode.__members__:
            return Outcome(f"no mode {word!r}", False, TradingState.ENABLED)
        self.given[part] = Mode[word.upper()]
        return Outcome(f"{part} is {word}", True, TradingState.ENABLED)

    def held(self) -> list[dict[str, Any]]:
        return [{"number": 4, "instrument": "BTCUSDT"}]

    def decide_held(self, number: int, who: str, reason: str, *, approve: bool) -> Outcome:
        self.told.append((f"{number} {'approve' if approve else 'reject'}", who, reason))
        effect = "as asked" if number == 4 else f"nothing waits under number {number}"
        return Outcome(effect, number == 4, TradingState.ENABLED)


class Operator:
    """Remembers what it was told; `reconcile` is never done."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []
        self.good = True
        self.trading_state = TradingState.ENABLED
        self.panel = Panel(self.told)

    def state(self) -> str:
        return self.trading_state.name

    def looks(self, name: str) -> bool:
        return name in RESUMES or name == CONFIRM

    def look(self, _name: str, _who: str) -> Looked:
        return Looked((Check("books", self.good, "as asked"),))

    def act(self, name: str, who: str, reason: str, looked: Looked | None) -> Outcome:
        self.told.append((name, who, reason))
        if name == "halt":
            self.trading_state = TradingState.HALTED
        done = name != "reconcile" and not (looked and looked.failed)
        checks = looked.checks if looked else ()
        return Outcome(f"did {name}", done, self.trading_state, checks)


class Orders:
    """Remembers what it was asked, and answers what a test says."""

    def __init__(self) -> None:
        self.asked: list[tuple[OrderBody | ExecuteBody | CancelBody, str]] = []
        self.answer = Told(200, "sent as 1-5", TradingState.ENABLED, "1-5", "a1-3-5-0")

    def submit(self, asked: OrderBody, caller: str) -> Told:
        self.asked.append((asked, caller))
        return self.answer

    def check(self, asked: OrderBody, caller: str) -> Told:
        self.asked.append((asked, caller))
        return Told(200, "would be refused: halted", TradingState.HALTED, reasons=("LEASE",))

    def cancel(self, asked: CancelBody, caller: str) -> Told:
        self.asked.append((asked, caller))
        return self.answer

    def execute(self, asked: ExecuteBody, caller: str) -> Told:
        self.asked.append((asked, caller))
        return self.answer

    def executions(self) -> list[dict[str, Any]]:
        return [{"order": "1-9", "method": "twap", "state": "WORKING"}]


class Onboarding:
    """Knows one strategy."""

    def __init__(self) -> None:
        self.stages: dict[str, str] = {}

    def rows(self) -> list[dict[str, Any]]:
        return [{"part": part, "stage": stage} for part, stage in self.stages.items()]

    def stage(self, word: str) -> str:
        return self.stages.get(word, "none")

    def onboard(self, word: str, _who: str, _reason: str) -> Outcome:
        known = word == "orderflow" and self.stage(word) != "shadow"
        if known:
            self.stages[word] = "shadow"
        return Outcome(f"{word}: {self.stage(word)}", known, TradingState.ENABLED)

    def offboard(self, word: str, _who: str, _reason: str) -> Outcome:
        known = self.stages.pop(word, None) is not None
        return Outcome(f"{word}: {self.stage(word)}", known, TradingState.ENABLED)


class FeedLines:
    """A feed with two lines, of whose instruments one has a gap."""

    def __init__(self, told: list[tuple[str, str, str]]) -> None:
        self.told = told
        self.line = "first"

    def carried_by(self) -> str:
        return self.line

    def switch(self, line: str) -> Outcome:
        self.told.append((f"carry by {line}", "", ""))
        self.line = line
        return Outcome(f"2 plans go to their {line} lines", True, TradingState.ENABLED)

    def find_gaps(self, symbol: str) -> Outcome:
        self.told.append((f"gaps of {symbol or 'all'}", "", ""))
        known = symbol in {"", "BTCUSDT"}
        effect = "incident 3 is open" if known else f"no instrument {symbol!r}"
        return Outcome(effect, known, TradingState.ENABLED)


class Answered(NamedTuple):
    """What the API answered."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def document(self) -> Any:  # noqa: ANN401  any JSON
        return json.loads(self.body)


class Served:
    """A running API and what stands behind it."""

    def __init__(self, home: Path, *, api_token: str = "") -> None:
        home.mkdir(exist_ok=True)
        self.home = home
        self.board = Board()
        self.operator = Operator()
        self.audit = ControlAudit(home)
        (home / "home").mkdir(exist_ok=True)
        self.access_audit = ControlAudit(home / "home")
        self.pages = SessionPages(home / "aegis.db", "practice-practice-paper")
        self.accounts = Accounts(home)
        self.gate = Gate("main", TOKEN, self.accounts, Buttons(home), api_token)
        self.orders = Orders()
        self.table: list[dict[str, Any]] = []  # of the router
        self.onboarding = Onboarding()
        self.reach = Reach(
            self.board,
            self.operator,
            self.pages,
            self.audit,
            self.access_audit,
            SESSION,
            self.chart,
            Journals(),
            self.orders,
            lambda: self.table,
            self.onboarding,
            FeedLines(self.operator.told),
            self.tick,
        )
        self.api = ApiThread(bind("127.0.0.1", 0))

    def tick(self, asked: TickBody) -> Outcome:
        """Print a tick of one instrument."""
        self.operator.told.append((f"{asked.symbol} {asked.price}", "", ""))
        known = asked.symbol == "BTCUSDT"
        return Outcome("printed" if known else "not printed", known, TradingState.ENABLED)

    def chart(self, symbol: str, bars: str) -> tuple[int, bytes]:
        """Draw one instrument."""
        return (
            (200, b"<p>chart" + bars.encode())
            if symbol == "BTCUSDT"
            else (404, b"no such instrument")
        )

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> Answered:
        """Ask as a client on this machine does."""
        connection = http.client.HTTPConnection("127.0.0.1", self.api.port, timeout=10)
        try:
            text = None if body is None else body if isinstance(body, str) else json.dumps(body)
            raw = None if text is None else text.encode("utf-8", "surrogatepass")
            connection.request(method, path, raw, headers or {})
            answer = connection.getresponse()
            return Answered(answer.status, answer.read(), dict(answer.getheaders()))
        finally:
            connection.close()

    def told(self, path: str, body: object = None, token: str = TOKEN) -> Answered:
        """Give a command with a token."""
        return self.ask("POST", f"/v1/{path}", body or {}, {"x-aegis-token": token})


@contextlib.contextmanager
def serving(home: Path, *, api_token: str = "") -> Iterator[Served]:
    """Serve the routes for the length of a `with` block."""
    served = Served(home, api_token=api_token)
    served.api.start()
    served.api.serve(lambda: create_app(served.reach, served.gate))
    try:
        wait_for("the routes", partial(_has_routes, served))
        yield served
    finally:
        served.api.stop(5.0)


def _has_routes(served: Served) -> bool:
    try:
        return served.ask("GET", "/v1/whoami").status == 200
    except ConnectionError:  # what is asked while the socket changes hands may go unanswered
        return False
