"""The assembled exchange on one port: REST and all stream paths."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote_plus

from exchange import ledger_file, userdata
from exchange.clock import VirtualClock
from exchange.connection import GOING_AWAY, Connection
from exchange.derived import DerivedStreams
from exchange.door import Door
from exchange.errors import ListenError
from exchange.events import EventSource
from exchange.faults import Faults
from exchange.history import HISTORY_CAPACITY
from exchange.http1 import Request, Response
from exchange.limits import Budgets, Limits
from exchange.listing import variants
from exchange.names import NameServer
from exchange.pings import PING_PERIOD_S, PONG_TIMEOUT_S
from exchange.player import Player
from exchange.practice import Practice
from exchange.probe import Probe
from exchange.rest import Api, dispatch
from exchange.rest_account import account_routes
from exchange.rest_algo import algo_routes
from exchange.rest_history import history_routes
from exchange.rest_market import market_routes
from exchange.rest_trade import trade_routes
from exchange.scenario import Scenario
from exchange.scenario_runner import ScenarioRunner
from exchange.streams import Hub
from exchange.venue import Venue

CHORES_PERIOD_S = 0.25
MAX_SENT_IDS = 100_000
BAD_REQUEST = 400
UNTIMELY = b'"code":-1021,'
CLIENT_ID = re.compile(r'(?:^|&|")(?:newClientOrderId|clientAlgoId)(?:=|": ?")([^&"]*)')
ORDER_PATHS = ("/order", "/batchOrders", "/algoOrder")  # where new orders come
LIFE_S = 86_400.0  # of a stream connection
VENUE_ROUTES = {
    **market_routes(),
    **history_routes(),
    **trade_routes(),
    **algo_routes(),
    **account_routes(),
}

Openable = TypeVar("Openable", Door, NameServer)


@dataclass(slots=True)
class Options:
    """How one exchange is set up; money in 1e-8 USDT."""

    speed: float = 1.0
    start_ms: int | None = None
    loop_tape: bool = False
    autostart: bool = False
    hold: bool = False
    balance: int = 10_000 * 10**8
    accounts: list[tuple[str, str]] = field(default_factory=lambda: [("practice", "practice")])
    limits: Limits = field(default_factory=Limits)
    ledger_path: Path | None = None  # accounts are read from and written to this file
    tls_port: int | None = None
    tls: ssl.SSLContext | None = None
    control_port: int | None = None  # a port that no fault reaches
    names_port: int | None = None  # of the name server that stands in for DNS
    variants: bool = False  # list symbols a discovery must pass over
    scenario: Scenario | None = None  # faults that act by themselves
    history: int = HISTORY_CAPACITY  # aggregated trades kept for requests, over all symbols


def _venue(source: EventSource, options: Options, clock: VirtualClock) -> Venue:
    """Return the venue with its markets and accounts, before its first event."""
    venue = Venue(clock, options.balance)
    for spec in source.specs:
        venue.add_market(spec)
    for market, yesterday in zip(venue.markets.values(), source.yesterdays, strict=False):
        market.listing.yesterday = yesterday
    if options.variants:
        venue.list_variants(variants())
    for key, secret in options.accounts:
        venue.add_account(key, secret)
    if options.ledger_path is not None:
        ledger_file.load(options.ledger_path, venue)
    return venue


class Exchange:
    """Everything of one practice exchange, wired."""

    def __init__(self, source: EventSource, options: Options) -> None:
        """Wire venue, hub, player, faults, probe and routes around an event source."""
        self._options = options
        self._source = source
        self.clock = VirtualClock(speed=options.speed, start_ms=options.start_ms)
        self.venue = _venue(source, options, self.clock)
        self.hub = Hub(list(self.venue.markets))
        markets = list(self.venue.markets.values())
        self.derived = DerivedStreams(markets, self.hub, options.history)
        self.derived.variants = self.venue.variants
        self.player = self._player_of(source)
        self.api = Api(self.venue, self.hub, self.derived, Budgets(options.limits))
        self.names: NameServer | None = None if options.names_port is None else NameServer()
        self.faults = Faults(self)
        self.probe = Probe(self.hub, self.venue)
        self.scenario = ScenarioRunner(self, options.scenario or Scenario())
        self.player.on_start = self.scenario.play_began
        self.routes = {**VENUE_ROUTES, **Practice(self).routes()}
        self.connections: set[Connection] = set()
        self.slow_clients = 0
        self.sent_ids: deque[str] = deque(maxlen=MAX_SENT_IDS)  # of new orders, as they came
        self.untimely_ids: deque[str] = deque(maxlen=MAX_SENT_IDS)  # refused with -1021
        self.ping_period_s = PING_PERIOD_S
        self.pong_timeout_s = PONG_TIMEOUT_S
        self.life_s = LIFE_S
        self.announce_s = 0.0  # serverShutdown so long before a life ends
        self._doors: list[Door] = []  # plain, then encrypted
        self._control: Door | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._chores: asyncio.TimerHandle | None = None
        self._next_ping_s = 0.0
        self._serial = 0

    def _player_of(self, source: EventSource) -> Player:
        options = self._options
        player = Player(
            self.venue,
            source,
            self.hub,
            self.derived,
            loop_tape=options.loop_tape,
            autostart=options.autostart,
            hold=options.hold,
        )
        player.on_end = self._market_ended
        return player

    async def listen(self, host: str, port: int) -> int:
        """Start to listen and return the port.

        Raises:
            LedgerFileError: the ledger could not be written in the end.
            ListenError: a port is taken, or not ours to take.
        """
        options = self._options
        if options.ledger_path is not None:
            ledger_file.check_writable(options.ledger_path)
        self._doors.append(await _opened(Door(self.connection), host, port))
        if options.tls is not None:
            encrypted = Door(self.connection, options.tls)
            self._doors.append(await _opened(encrypted, host, options.tls_port or 0))
        if options.control_port is not None:
            control = Door(lambda: self.connection(control=True))
            self._control = await _opened(control, host, options.control_port)
        if self.names is not None:
            await _opened(self.names, host, options.names_port or 0)
        self._next_ping_s = asyncio.get_running_loop().time() + self.ping_period_s
        self._do_chores()
        self.scenario.begin()
        if options.autostart:
            self.player.start()
        return self.ports[0]

    @property
    def ports(self) -> list[int]:
        """Return the ports of clients: plain, then encrypted."""
        return [door.port for door in self._doors]

    @property
    def control_port(self) -> int:
        """Return the port that no fault reaches; 0 without one."""
        return self._control.port if self._control is not None else 0

    def connection(self, *, control: bool = False) -> Connection:
        """Return what serves the next connection."""
        self._serial += 1
        return Connection(self, self._serial, control=control)

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Do something that takes more than a turn; nothing waits for it but `close`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def shut_doors(self) -> None:
        """Stop to listen for clients; the control port and open connections go on."""
        for door in self._doors:
            await door.shut()

    async def reopen_doors(self) -> None:
        """Listen for clients again, on the same ports."""
        for door in self._doors:
            await door.reopen()

    def prepare(self) -> None:
        """Load what the market needs to play, once the exchange listens."""
        self._source.prepare()

    async def close(self) -> None:
        """Stop playing, close all connections, stop listening and keep the ledger.

        Raises:
            LedgerFileError: the ledger could not be written.
        """
        self.player.stop()
        self.scenario.stop()
        self.faults.clear()
        if self._chores is not None:
            self._chores.cancel()
        for connection in list(self.connections):
            if connection.is_stream:
                connection.close_stream(GOING_AWAY)
            else:
                connection.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self.names is not None:
            self.names.close()
        for door in [*self._doors, *([self._control] if self._control else [])]:
            await door.close()
        for connection in list(self.connections):
            connection.abort()  # came while the doors closed: nothing is accepted that is not kept
        if self._options.ledger_path is not None:
            ledger_file.save(self._options.ledger_path, self.venue)

    def answer(
        self,
        request: Request,
        *,
        control: bool = False,
        own: Callable[[Request], Response] | None = None,
    ) -> tuple[Response, float]:
        """Answer a request, through an armed fault when one fits; return the delay too.

        Args:
            request: over HTTP, or of a frame.
            control: it came over the port that no fault reaches.
            own: answers it in the place of the routes.
        """
        if request.method == "POST" and request.path.endswith(ORDER_PATHS):
            return self._answer_order(request, control=control, own=own)
        return self._answer(request, control=control, own=own)

    def _answer_order(
        self, request: Request, *, control: bool, own: Callable[[Request], Response] | None
    ) -> tuple[Response, float]:
        names = CLIENT_ID.findall(_words_of(request))
        self.sent_ids.extend(names)
        response, delay_s = self._answer(request, control=control, own=own)
        if response.status >= BAD_REQUEST and UNTIMELY in response.body:
            self.untimely_ids.extend(names)
        return response, delay_s

    def _answer(
        self, request: Request, *, control: bool, own: Callable[[Request], Response] | None
    ) -> tuple[Response, float]:
        dispatch_it = own or self._dispatch
        requests = self.faults.requests
        if requests.rules and not control and not request.path.startswith("/practice/"):
            return requests.answer(request, dispatch_it)
        return dispatch_it(request), 0.0

    def _dispatch(self, request: Request) -> Response:
        return dispatch(self.api, self.routes, request)

    def state(self) -> dict[str, object]:
        """Return where the market is and how the exchange fares."""
        player = self.player
        return {
            "serverTime": self.clock.now_ms(),
            "speed": "max" if self.clock.unlimited else self.clock.speed,
            "tape_started": player.started or player.passes > 0,
            "tape_ended": player.ended,
            "passes": player.passes,
            "events": player.event_count,
            "lag_ms_max": player.lag_ns_max / 1e6,
            "failure": player.failure,
            "symbols": list(self.venue.markets),
            "subscriptions": self.hub.live_count,
            "frames_delivered": self.hub.delivered_count,
            "connections": len(self.connections),
            "slow_clients": self.slow_clients,
            "over_limit": self.api.budgets.refused_count,
            "faults_injected": self.faults.injected_count,
            "scenario": self.scenario.view(),
        }

    # Chores ---------------------------------------------------------------------------------

    def _do_chores(self) -> None:
        loop = asyncio.get_running_loop()
        self._chores = loop.call_later(CHORES_PERIOD_S, self._do_chores)
        now_s = time.monotonic()
        for account in self.venue.accounts.values():
            if account.listen_key and account.listen_key_expires_s < now_s:
                event = userdata.listen_key_expired_event(account.listen_key, self.clock.now_ms())
                self.hub.expire_listen_key(account, event)
            for symbol, due_s in list(account.countdown_due_s.items()):
                if due_s < now_s:
                    del account.countdown_due_s[symbol]
                    self.venue.cancel_all(account, symbol)
        self.venue.expire_due()
        self._tend_connections(loop.time())
        self.player.deliver()

    def _tend_connections(self, now_s: float) -> None:
        """Ping who is due, drop who does not answer, end lives that are over."""
        pinging = self.ping_period_s > 0 and now_s >= self._next_ping_s
        if pinging:
            self._next_ping_s = now_s + self.ping_period_s
        for connection in [c for c in self.connections if c.is_stream and not c.control]:
            age_s = now_s - connection.opened_s
            if age_s >= self.life_s:
                connection.go_away()
            elif connection.drop_if_overdue(now_s):
                continue
            elif pinging:
                connection.ping(now_s)
            soon = self.announce_s > 0 and age_s >= self.life_s - self.announce_s
            if soon and not connection.announced:
                connection.announce_end(self.clock.now_ms())

    def set_pings(self, period_s: float, timeout_s: float) -> None:
        """Change the rhythm of pings, from now on; a period of 0 ends them."""
        self.ping_period_s, self.pong_timeout_s = period_s, timeout_s
        self._next_ping_s = asyncio.get_running_loop().time() + min(period_s, CHORES_PERIOD_S)

    def _market_ended(self) -> None:
        for connection in list(self.connections):
            if connection.is_stream and connection.category in {"public", "market"}:
                connection.close_stream(GOING_AWAY)


def _words_of(request: Request) -> str:
    if request.payload is not None:
        return request.payload
    text = f"{request.query}&{request.body.decode('latin-1')}"
    return unquote_plus(text) if request.path.endswith("/batchOrders") else text


async def _opened(port_of: Openable, host: str, port: int) -> Openable:
    """Let a door, or the name server, take its port.

    Raises:
        ListenError: when it is taken, or not ours to take.
    """
    try:
        await port_of.open(host, port)
    except OSError as fault:
        reason = fault.strerror or fault
        raise ListenError(f"cannot listen on port {port} of {host}: {reason}") from fault
    return port_of
