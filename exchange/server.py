"""The assembled exchange on one port: REST and all stream paths."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from exchange import ledger_file, userdata
from exchange.clock import VirtualClock
from exchange.connection import GOING_AWAY, Connection
from exchange.derived import DerivedStreams
from exchange.errors import ListenError
from exchange.events import EventSource
from exchange.faults import Faults
from exchange.http1 import Request, Response
from exchange.limits import Budgets, Limits
from exchange.player import Player
from exchange.practice import Practice
from exchange.probe import Probe
from exchange.rest import Api, dispatch
from exchange.rest_account import account_routes
from exchange.rest_market import market_routes
from exchange.rest_trade import trade_routes
from exchange.streams import Hub
from exchange.venue import Venue

CHORES_PERIOD_S = 0.25
PING_PERIOD_S = 180.0
MAX_SENT_IDS = 100_000
CLIENT_ID = re.compile(r"(?:^|&)newClientOrderId=([^&]*)")


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


class Exchange:
    """Everything of one practice exchange, wired."""

    def __init__(self, source: EventSource, options: Options) -> None:
        """Wire venue, hub, player, faults, probe and routes around an event source."""
        self._options = options
        self._source = source
        self.clock = VirtualClock(speed=options.speed, start_ms=options.start_ms)
        self.venue = Venue(self.clock, options.balance)
        for spec in source.specs:
            self.venue.add_market(spec)
        for key, secret in options.accounts:
            self.venue.add_account(key, secret)
        if options.ledger_path is not None:
            ledger_file.load(options.ledger_path, self.venue)
        self.hub = Hub(list(self.venue.markets))
        self.derived = DerivedStreams(list(self.venue.markets.values()), self.hub)
        self.player = Player(
            self.venue,
            source,
            self.hub,
            self.derived,
            loop_tape=options.loop_tape,
            autostart=options.autostart,
            hold=options.hold,
        )
        self.player.on_end = self._market_ended
        self.faults = Faults(self.hub, self.venue.markets)
        self.probe = Probe(self.hub, self.venue)
        self.api = Api(self.venue, self.hub, self.derived, Budgets(options.limits))
        self.routes = {
            **market_routes(),
            **trade_routes(),
            **account_routes(),
            **Practice(self).routes(),
        }
        self.connections: set[Connection] = set()
        self.slow_clients = 0
        self.sent_ids: deque[str] = deque(maxlen=MAX_SENT_IDS)  # of new orders, as they came
        self._servers: list[asyncio.Server] = []
        self._chores: asyncio.TimerHandle | None = None
        self._next_ping_s = 0.0

    async def listen(self, host: str, port: int) -> int:
        """Start to listen and return the port.

        Raises:
            LedgerFileError: the ledger could not be written in the end.
            ListenError: a port is taken, or not ours to take.
        """
        options = self._options
        if options.ledger_path is not None:
            ledger_file.check_writable(options.ledger_path)
        await self._open(host, port, None)
        if options.tls is not None:
            await self._open(host, options.tls_port or 0, options.tls)
        self._next_ping_s = asyncio.get_running_loop().time() + PING_PERIOD_S
        self._do_chores()
        if options.autostart:
            self.player.start()
        return self.ports[0]

    async def _open(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(lambda: Connection(self), host, port, ssl=tls)
        except OSError as fault:
            reason = fault.strerror or fault
            raise ListenError(f"cannot listen on port {port} of {host}: {reason}") from fault
        self._servers.append(server)

    @property
    def ports(self) -> list[int]:
        """Return the ports listened on: plain, then encrypted."""
        return [server.sockets[0].getsockname()[1] for server in self._servers]

    def prepare(self) -> None:
        """Load what the market needs to play, once the exchange listens."""
        self._source.prepare()

    async def close(self) -> None:
        """Stop playing, close all connections, stop listening and keep the ledger.

        Raises:
            LedgerFileError: the ledger could not be written.
        """
        self.player.stop()
        if self._chores is not None:
            self._chores.cancel()
        for connection in list(self.connections):
            if connection.is_stream:
                connection.close_stream(GOING_AWAY)
            else:
                connection.abort()
        for server in self._servers:
            server.close()
            await server.wait_closed()
        if self._options.ledger_path is not None:
            ledger_file.save(self._options.ledger_path, self.venue)

    def answer(self, request: Request) -> tuple[Response, float]:
        """Answer a request, through an armed fault when one fits; return the delay too."""
        if request.method == "POST" and request.path.endswith("/order"):
            sent = f"{request.query}&{request.body.decode('latin-1')}"
            self.sent_ids.extend(CLIENT_ID.findall(sent))
        rule = None
        if self.faults.rest and not request.path.startswith("/practice/"):
            rule = self.faults.match_rest(request.method, request.path)
        if rule is None:
            return dispatch(self.api, self.routes, request), 0.0
        response = Response(rule.status, rule.body, rule.headers)
        if rule.execute:
            real = dispatch(self.api, self.routes, request)
            if rule.status == 0:
                response = real
        response.half = rule.half
        return response, rule.delay_ms / 1000

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
            "faults_injected": self.faults.injected_count,
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
        if loop.time() >= self._next_ping_s:
            self._next_ping_s = loop.time() + PING_PERIOD_S
            for connection in list(self.connections):
                if connection.is_stream:
                    connection.ping(loop.time())
        self.player.deliver()

    def _market_ended(self) -> None:
        for connection in list(self.connections):
            if connection.is_stream and connection.category in {"public", "market"}:
                connection.close_stream(GOING_AWAY)

    # Faults that concern connections --------------------------------------------------------

    def disconnect(self, category: str) -> int:
        """Cut stream connections of a category, or of all; return how many."""
        chosen = [
            connection
            for connection in self.connections
            if connection.is_stream and category in {"*", connection.category}
        ]
        for connection in chosen:
            connection.abort()
        return len(chosen)

    def announce_shutdown(self, now_ms: int) -> int:
        """Tell every stream connection that the server is about to close it."""
        body = orjson.dumps({"e": "serverShutdown", "E": now_ms})
        chosen = [connection for connection in self.connections if connection.is_stream]
        for connection in chosen:
            connection.send_text(body)
        return len(chosen)
