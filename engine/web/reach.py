"""What the API reaches of an engine: one seam for each part, and all of them together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from engine.store.control_audit import ControlAudit
from engine.store.pages import SessionPages
from engine.web.bodies import CancelBody, ExecuteBody, OrderBody, TickBody
from engine.web.panel import ControlPanel, FeedControl

if TYPE_CHECKING:
    from engine.processes.commands import Outcome
    from engine.processes.operator import Looked
    from engine.processes.outside_orders import Told


class StatusSource(Protocol):
    """Where the routes read what they show."""

    def status(self) -> dict[str, Any]:
        """Return the whole status document; waits for nothing."""

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the engine is alive, and a short document."""

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Return whether it may trade, and what is missing."""

    def metrics(self) -> str:
        """Return every counter in the Prometheus text format."""

    def book(self, symbol: str, level_count: int) -> tuple[int, dict[str, Any]]:
        """Return an HTTP status and a whole book."""

    def orders(self) -> list[dict[str, Any]]:
        """Return the orders that may still fill."""

    def positions(self) -> list[dict[str, Any]]:
        """Return the positions by strategy."""

    def strategies(self) -> list[dict[str, Any]]:
        """Return what each strategy has made on this account."""

    def latency(self) -> dict[str, Any]:
        """Return every latency histogram."""

    def ledger(self) -> dict[str, Any]:
        """Return the account's double-entry ledger, or raise ProjectionError: not now."""

    def limits(self) -> list[dict[str, Any]]:
        """Return how much of each limit is used."""


class OperatorCommands(Protocol):
    """The operator's side of an engine; each method may be called from any thread."""

    @property
    def panel(self) -> ControlPanel:
        """Return the options panel."""

    def state(self) -> str:
        """Return the name of the trading state in force."""

    def looks(self, name: str) -> bool:
        """Return whether a command looks first, which takes its time."""

    def look(self, name: str, who: str) -> Looked:
        """Return what holds and what does not."""

    def act(self, name: str, who: str, reason: str, looked: Looked | None) -> Outcome:
        """Do what a command's name says."""


class Journals(Protocol):
    """What is read of journals, beside the engine; takes a second or so."""

    def features(
        self, symbol: str, timeframe_s: int, names: str, session: str, after: int, limit: int
    ) -> tuple[int, dict[str, Any]]:
        """Return an HTTP status and feature vectors, or `error`; limit 0: the newest alone."""

    def costs(self, client_order_id: str) -> tuple[int, dict[str, Any]]:
        """Return an HTTP status and what an order cost, or `error`."""


class Onboards(Protocol):
    """Takes strategies and symbols to live, and off; each method from any thread."""

    def rows(self) -> list[dict[str, Any]]:
        """Return every part that is or was onboarded."""

    def stage(self, word: str) -> str:
        """Return the stage of a part."""

    def onboard(self, word: str, who: str, reason: str) -> Outcome:
        """Begin with a part."""

    def offboard(self, word: str, who: str, reason: str) -> Outcome:
        """Take a part off."""


class OrderPort(Protocol):
    """The way in for a person's orders; one thread only."""

    def submit(self, asked: OrderBody, caller: str) -> Told:
        """Send an order to the gates, once per request id; return what they said."""

    def execute(self, asked: ExecuteBody, caller: str) -> Told:
        """Start a parent order, once per request id."""

    def executions(self) -> list[dict[str, Any]]:
        """Return the newest parent orders and how far they are; any thread."""

    def check(self, asked: OrderBody, caller: str) -> Told:
        """Ask the gates what they would say of an order; nothing is sent."""

    def cancel(self, asked: CancelBody, caller: str) -> Told:
        """Ask for the cancel of one order."""


class Reach(NamedTuple):
    """Everything the API reaches of an engine."""

    source: StatusSource
    commands: OperatorCommands
    pages: SessionPages
    audit: ControlAudit  # of the account: what its engine was told
    access_audit: ControlAudit  # of the home: who may tell it
    session_id: str
    chart: Callable[[str, str], tuple[int, bytes]]  # symbol, and what ends a bar; empty: the clock
    journals: Journals
    orders: OrderPort
    routes: Callable[[], list[dict[str, Any]]]  # the router's table, by instrument and venue
    onboarding: Onboards
    feed: FeedControl
    tick: Callable[[TickBody], Outcome]  # print one, or say why not
