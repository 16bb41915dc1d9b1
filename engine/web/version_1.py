"""The routes under /v1, made from the table of operations: admit, read, do, answer."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from engine.web import answers
from engine.web.access import address, foreign, names_loopback
from engine.web.bodies import BookQuery, ChartQuery, CommandBody, Identity, LoginBody, OrderEffect
from engine.web.desk import Answer, Desk
from engine.web.gate import Gate, Refused
from engine.web.live import LiveStreams
from engine.web.lockout import Buckets
from engine.web.openapi import document
from engine.web.operations import (
    BOOK,
    BY_NAME,
    CHART,
    OPERATIONS,
    PRESS,
    STREAM,
    Operation,
    Scope,
)
from engine.web.reach import Reach
from engine.web.requests import Unreadable, read_body, read_query
from engine.web.sessions import LIFE_S, Caller

RESUME_HEADER: Final = "last-event-id"


class Version1:
    """Everything under /v1."""

    def __init__(self, reach: Reach, gate: Gate, live: LiveStreams) -> None:
        """Serve one engine; `gate` says who may."""
        self._source = reach.source
        self._draw = reach.chart
        self._gate = gate
        self._live = live
        self._desk = Desk(reach)
        # A thread of its own: an operator's HALT does not wait behind those who read.
        self._operator = ThreadPoolExecutor(1, "aegis-operator")
        self._orders = ThreadPoolExecutor(1, "aegis-orders")  # waits for the brain's answers
        self._market = ThreadPoolExecutor(1, "aegis-market")  # waits for the feed's
        self._refusals = Buckets(burst=5, per_s=1 / 60)  # an attacker must not fill the disk
        self._openapi = document()

    def routes(self) -> list[Route]:
        """Return the routes; one for a name nobody knows is the last."""
        special = {"login": self._login, "logout": self._logout, "whoami": self._whoami}
        found = [
            Route(
                f"/v1/{row.name}", special.get(row.name, self._endpoint(row)), methods=[row.method]
            )
            for row in OPERATIONS
        ]
        return [
            Route("/v1/openapi.json", self._describe),
            Route(f"/v1/{BOOK.name}", self._book),
            Route(f"/v1/{CHART.name}", self._chart),
            Route(f"/v1/{STREAM.name}", self._stream),
            Route(f"/v1/{PRESS.name}", self._press, methods=["POST"]),
            *found,
            Route("/v1/{name}", self._unknown, methods=["POST"]),
        ]

    def _endpoint(self, row: Operation) -> Any:  # noqa: ANN401  a coroutine function
        async def serve(request: Request) -> Response:
            """Admit, read, do, answer."""
            caller = await self.admitted(request, row)
            if isinstance(caller, Response):
                return caller
            if row.missing:
                return answers.problem(501, f"not built yet: {row.missing}", row.missing)
            if row.refused:
                return answers.problem(409, row.refused)
            if row.method == "GET":
                return await self._read(request, row)
            return await self._act(request, row, caller)

        return serve

    async def admitted(self, request: Request, row: Operation) -> Caller | Response:
        """Return who asks, or the answer to one who may not."""
        if row.scope is Scope.NONE:
            return Caller("", "", frozenset())
        caller = await self._gate.admit(request, row.scope)
        if not isinstance(caller, Refused):
            return caller
        if row.method == "POST":
            await self._note_refused(request, row.name, "", caller.error)
        return answers.refusal(caller)

    async def _note_refused(self, request: Request, what: str, who: str, error: str) -> None:
        """Write an attempt down, unless this address has filled its share of the trail."""
        source = address(request)
        if not self._refusals.take(source):
            await self._in_order(self._desk.refused, what, who, source, error)

    async def _read(self, request: Request, row: Operation) -> Response:
        asked = read_query(request, row.takes)
        if isinstance(asked, Unreadable):
            return answers.problem(*asked)
        found = await asyncio.to_thread(self._desk.read, row.name, asked)
        if found.text:
            headers = answers.SECURITY_HEADERS
            return PlainTextResponse(found.text, media_type="text/csv", headers=headers)
        return answers.document(found.document, found.status)

    async def _act(self, request: Request, row: Operation, caller: Caller) -> Response:
        asked = await read_body(request, row.takes)
        if isinstance(asked, Unreadable):
            return answers.problem(*asked)
        assert isinstance(asked, CommandBody), asked
        if row.gives is OrderEffect:
            return await self._order(request, row, asked, caller)
        looked = None
        if self._desk.looks(row.name, asked):
            looked = await asyncio.to_thread(self._desk.look, row.name, asked, caller)
        thread = self._market if self._desk.waits(asked) else self._operator
        words = (row.name, asked, caller, address(request), looked)
        loop = asyncio.get_running_loop()
        return _acted(await loop.run_in_executor(thread, self._desk.act, *words))

    async def _order(
        self, request: Request, row: Operation, asked: CommandBody, caller: Caller
    ) -> Response:
        loop, source = asyncio.get_running_loop(), address(request)
        act = self._desk.order
        found = await loop.run_in_executor(self._orders, act, row.name, asked, caller, source)
        return _acted(found)

    async def _in_order(self, act: Any, *words: object) -> Any:  # noqa: ANN401  any of the desk's
        return await asyncio.get_running_loop().run_in_executor(self._operator, act, *words)

    async def _press(self, request: Request) -> Response:
        reason = foreign(request)
        if reason:
            return answers.problem(403, reason)
        buttons = self._gate.buttons
        pressed = await self._in_order(buttons.press, request.path_params["button"])
        name = f"button {pressed.name}".strip()
        if pressed.error:
            await self._note_refused(request, "press", name, pressed.error)
            return answers.problem(pressed.status, pressed.error)
        caller = Caller(name, "button", frozenset({Scope.HALT}))
        asked = CommandBody(who=name, reason="pressed", request_id=pressed.id)
        found = await self._in_order(self._desk.act, "halt", asked, caller, address(request))
        return answers.document(found.document, found.status)

    async def _book(self, request: Request) -> Response:
        caller = await self.admitted(request, BOOK)
        if isinstance(caller, Response):
            return caller
        asked = read_query(request, BookQuery)
        if isinstance(asked, Unreadable):
            return answers.problem(*asked)
        assert isinstance(asked, BookQuery), asked
        symbol = request.path_params["symbol"]
        status, found = await asyncio.to_thread(self._source.book, symbol, asked.levels)
        return answers.document(found, status)

    async def _chart(self, request: Request) -> Response:
        caller = await self.admitted(request, CHART)
        if isinstance(caller, Response):
            return caller
        asked = read_query(request, ChartQuery)
        if isinstance(asked, Unreadable):
            return answers.problem(*asked)
        assert isinstance(asked, ChartQuery), asked
        symbol = request.path_params["symbol"]
        status, page = await asyncio.to_thread(self._draw, symbol, asked.bars)
        if status != 200:
            return answers.problem(status, page.decode("utf-8", "replace"))
        return HTMLResponse(page, headers=answers.CHART_HEADERS)

    async def _stream(self, request: Request) -> Response:
        caller = await self.admitted(request, STREAM)
        if isinstance(caller, Response):
            return caller
        after = request.headers.get(RESUME_HEADER) or request.query_params.get("after", "")
        holds = partial(self._gate.holds, request, caller)
        return self._live.response(holds, after) or answers.problem(503, "too many live streams")

    async def _describe(self, _request: Request) -> Response:
        return answers.document(self._openapi)

    async def _unknown(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name in BY_NAME or name == STREAM.name:
            answer = answers.problem(405, "Method Not Allowed")
            answer.headers["Allow"] = "GET, HEAD"
            return answer
        commands = sorted(row.name for row in OPERATIONS if row.method == "POST")
        return answers.document({"error": f"no command {name!r}", "commands": commands}, 404)

    # -- who ---------------------------------------------------------------------------------------

    async def _whoami(self, request: Request) -> Response:
        caller = await self._gate.identify(request)
        if isinstance(caller, Refused):
            return answers.document(_identity(Caller("", "nobody", frozenset())))
        session = self._gate.session(self._gate.cookie(request))
        return answers.document(_identity(caller, session.csrf if session else ""))

    async def _login(self, request: Request) -> Response:
        asked = await read_body(request, LoginBody)
        if isinstance(asked, Unreadable):
            return answers.problem(*asked)
        assert isinstance(asked, LoginBody), asked
        secret = asked.password if asked.account else asked.token
        caller = await self._gate.login(request, asked.account, secret)
        if isinstance(caller, Refused):
            await self._note_refused(request, "login", asked.account, caller.error)
            return answers.refusal(caller)
        await self._in_order(self._desk.noted, "login", caller, address(request))
        cookie, session = self._gate.sessions.open(caller)
        answer = answers.document(_identity(caller, session.csrf))
        answer.set_cookie(
            self._gate.sessions.cookie_name,
            cookie,
            max_age=int(LIFE_S),
            httponly=True,
            samesite="strict",
            secure=not names_loopback(request.headers.get("host", "")),
        )
        return answer

    async def _logout(self, request: Request) -> Response:
        reason = foreign(request)
        if reason:
            return answers.problem(403, reason)
        caller = await self._gate.identify(request)
        if isinstance(caller, Refused):
            return answers.refusal(caller)
        cookie = self._gate.cookie(request)
        if self._gate.session(cookie) is not None:  # nobody else leaves a line in the trail
            self._gate.sessions.close(cookie)
            await self._in_order(self._desk.noted, "logout", caller, address(request))
        answer = answers.document(_identity(Caller("", "nobody", frozenset())))
        answer.delete_cookie(self._gate.sessions.cookie_name)
        return answer


def _acted(found: Answer) -> Response:
    """Return the answer to an action; one that was done before says so in its head."""
    answer = answers.document(found.document, found.status)
    if found.replayed:
        answer.headers["Idempotent-Replay"] = "true"
    return answer


def _identity(caller: Caller, csrf: str = "") -> Identity:
    return Identity(name=caller.name, role=caller.role, scopes=sorted(caller.scopes), csrf=csrf)
