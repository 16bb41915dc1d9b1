"""HTTP routes: health, status, metrics, the page, its live stream, and /v1.

Reading touches counters and the projection only; changing goes through the same commands the
command line uses. Nothing here imports numpy.
"""

from __future__ import annotations

import asyncio
from functools import partial

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from engine.web import answers
from engine.web.gate import Gate, Refused
from engine.web.live import LiveStreams
from engine.web.operations import Scope
from engine.web.page_files import PATH, PageFiles
from engine.web.reach import Reach
from engine.web.version_1 import Version1


def create_app(reach: Reach, gate: Gate) -> Starlette:
    """Return the ASGI application.

    Args:
        reach: the engine, as far as the API reaches it.
        gate: says who may what.
    """
    live = LiveStreams(reach.source.status, reach.pages, reach.session_id)
    routes = _Routes(reach, gate, live)
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
            Route(PATH, routes.files.answer),
            *Version1(reach, gate, live).routes(),
        ],
    )
    app.router.redirect_slashes = False  # one name per route; no answer is built from Host
    return app


class _Routes:
    def __init__(self, reach: Reach, gate: Gate, live: LiveStreams) -> None:
        self._source = reach.source
        self._gate = gate
        self._live = live
        self.files = PageFiles()

    async def health(self, _request: Request) -> Response:
        """Answer /health and /livez: 200 while no role has faulted."""
        alive, found = self._source.health()
        return answers.document(found, 200 if alive else 503)

    async def ready(self, _request: Request) -> Response:
        """Answer /readyz: 200 when every role is ready."""
        ready, found = self._source.ready()
        return answers.document(found, 200 if ready else 503)

    async def status(self, request: Request) -> Response:
        """Answer /status with the whole document."""
        caller = await self._gate.admit(request, Scope.READ)
        if isinstance(caller, Refused):
            return answers.refusal(caller)
        return answers.document(self._source.status())

    async def metrics(self, request: Request) -> Response:
        """Answer /metrics in the Prometheus text format."""
        caller = await self._gate.admit(request, Scope.READ)
        if isinstance(caller, Refused):
            return answers.refusal(caller)
        text = await asyncio.to_thread(self._source.metrics)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    async def page(self, request: Request) -> Response:
        """Answer / with the page; what it shows is in it for those who may read."""
        caller = await self._gate.identify(request)
        text = ""
        if not isinstance(caller, Refused) and Scope.READ in caller.scopes:
            # The first picture is in the page, so that it never shows an empty engine. `<` is
            # written as an escape, so that no text of a venue can end the element.
            text = orjson.dumps(self._source.status()).decode()
        page = self.files.page(text.replace("<", "\\u003c"))
        return HTMLResponse(page, headers=answers.SECURITY_HEADERS)

    async def events(self, request: Request) -> Response:
        """Answer /events with the status, again and again, as server-sent events."""
        caller = await self._gate.admit(request, Scope.READ)
        if isinstance(caller, Refused):
            return answers.refusal(caller)
        holds = partial(self._gate.holds, request, caller)
        return self._live.response(holds) or answers.problem(503, "too many live streams")


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), error
    answer = answers.problem(error.status_code, error.detail)
    answer.headers.update(error.headers or {})
    return answer
