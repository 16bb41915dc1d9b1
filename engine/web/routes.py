"""HTTP routes: health, status, metrics, the page, its live stream and the operator's commands.

Reading touches counters and the projection only; changing goes through `Commands`, the same object
the command line uses. Nothing here imports numpy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from engine.web.access import is_loopback_client, refusal
from engine.web.live import LiveStreams

if TYPE_CHECKING:
    from engine.processes.commands import Commands, Outcome

PAGE = Path(__file__).parent / "page" / "index.html"
BOOK_LEVELS = 100  # of a side, where nobody says how many
BOOK_DIGITS = 6
BODY_BYTES_MAX = 4096
BODY_S = 5.0  # a body of so few bytes takes no longer
SECURITY_HEADERS = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'"
    ),
}


class StatusSource(Protocol):
    """Where the routes read what they show."""

    def status(self) -> dict[str, Any]:
        """Return the whole status document."""

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the engine is alive, and a short document."""

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Return whether it may trade, and what is missing."""

    def metrics(self) -> str:
        """Return every counter in the Prometheus text format."""

    def book(self, symbol: str, level_count: int) -> tuple[int, dict[str, Any]]:
        """Return an HTTP status and a whole book."""


def create_app(source: StatusSource, commands: Commands, token: str) -> Starlette:
    """Return the ASGI application.

    Args:
        source: what status, health, readiness and metrics are read from.
        commands: the operator's side of the engine.
        token: this run's token for state-changing routes.
    """
    routes = _Routes(source, commands, token)
    app = Starlette(
        exception_handlers={HTTPException: _refuse},
        routes=[
            Route("/health", routes.health),
            Route("/livez", routes.health),
            Route("/readyz", routes.ready),
            Route("/status", routes.status),
            Route("/metrics", routes.metrics),
            Route("/events", routes.events),
            Route("/", routes.page),
            Route("/v1/book/{symbol}", routes.book),
            Route("/v1/{command}", routes.command, methods=["POST"]),
        ],
    )
    app.router.redirect_slashes = False  # one name per route; no answer is built from Host
    return app


class _Routes:
    def __init__(self, source: StatusSource, commands: Commands, token: str) -> None:
        self._source = source
        self._token = token
        self._live = LiveStreams(source.status)
        # A thread of its own: an operator's HALT does not wait behind those who read.
        self._operator = ThreadPoolExecutor(1, "aegis-operator")
        self._page = PAGE.read_text(encoding="utf-8")
        self._commands: dict[str, Callable[[str, str], Outcome]] = {
            "halt": commands.halt,
            "resume": commands.resume,
            "pause": commands.pause,
            "reduce": commands.reduce,
            "flatten": commands.flatten,
            "cancel_all": commands.cancel_all,
            "reconcile": commands.reconcile,
        }

    async def health(self, _request: Request) -> Response:
        """Answer /health and /livez: 200 while no role has faulted."""
        alive, document = self._source.health()
        return _json(document, 200 if alive else 503)

    async def ready(self, _request: Request) -> Response:
        """Answer /readyz: 200 when every role is ready."""
        ready, document = self._source.ready()
        return _json(document, 200 if ready else 503)

    async def status(self, _request: Request) -> Response:
        """Answer /status with the whole document."""
        return _json(await asyncio.to_thread(self._source.status))

    async def metrics(self, _request: Request) -> Response:
        """Answer /metrics in the Prometheus text format."""
        text = await asyncio.to_thread(self._source.metrics)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    async def book(self, request: Request) -> Response:
        """Answer /v1/book/SYMBOL?levels=N with the whole book the feed keeps."""
        text = request.query_params.get("levels", str(BOOK_LEVELS))
        if not (text.isascii() and text.isdigit() and len(text) < BOOK_DIGITS):
            return _json({"error": "levels must be a whole number"}, 400)
        symbol = request.path_params["symbol"]
        status, document = await asyncio.to_thread(self._source.book, symbol, int(text))
        return _json(document, status)

    async def page(self, request: Request) -> Response:
        """Answer / with the page; it carries the token for this machine only."""
        token = self._token if is_loopback_client(request) else ""
        # The first picture is in the page, so that it never shows an empty engine. `<` is written
        # as an escape, so that no text of a venue can end the element.
        document = orjson.dumps(await asyncio.to_thread(self._source.status)).decode()
        page = self._page.replace("{{token}}", token)
        page = page.replace("{{status}}", document.replace("<", "\\u003c"))
        return HTMLResponse(page, headers=SECURITY_HEADERS)

    async def events(self, _request: Request) -> Response:
        """Answer /events with the status, again and again, as server-sent events."""
        return self._live.response() or _json({"error": "too many live streams"}, 503)

    async def command(self, request: Request) -> Response:
        """Answer POST /v1/NAME: check the right to, then do it."""
        name = request.path_params["command"]
        act = self._commands.get(name)
        if act is None:
            return _json({"error": f"no command {name!r}", "commands": sorted(self._commands)}, 404)
        reason = refusal(request, self._token)
        if reason:
            return _json({"error": reason}, 403)
        try:
            async with asyncio.timeout(BODY_S):
                body = await _read_body(request)
        except (TimeoutError, ClientDisconnect):
            return _json({"error": f"the body was not whole within {BODY_S:.0f} s"}, 408)
        if body is None:
            return _json({"error": "body must be a JSON object with a text `reason`"}, 400)
        who, reason = body.get("who", "api"), body.get("reason", "")
        loop = asyncio.get_running_loop()
        outcome = await loop.run_in_executor(self._operator, act, who, reason)
        document = {"effect": outcome.effect, "trading_state": outcome.trading_state.name}
        return _json(document, 200 if outcome.accepted else 409)


async def _read_body(request: Request) -> dict[str, str] | None:
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > BODY_BYTES_MAX:
            return None
    if not raw:
        return {}
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(body, dict) or not all(isinstance(entry, str) for entry in body.values()):
        return None
    return body


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), error
    answer = _json({"error": error.detail}, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def _json(document: dict[str, Any], status: int = 200) -> Response:
    return Response(
        orjson.dumps(document), status, media_type="application/json", headers=SECURITY_HEADERS
    )
