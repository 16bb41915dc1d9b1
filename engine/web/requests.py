"""Requests as typed values: a body that is bounded in bytes and time, or the words of a query."""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct
from starlette.requests import ClientDisconnect, Request

from engine.domain import typed
from engine.wrong_value import place_and_reason

BODY_BYTES_MAX: Final = 4096
BODY_S: Final = 5.0  # a body of so few bytes takes no longer


class Unreadable(NamedTuple):
    """Why a request says nothing that is understood."""

    status: int
    error: str


async def read_body(request: Request, kind: type[Struct]) -> Struct | Unreadable:
    """Return a request's body as what its operation takes; an empty one has the defaults."""
    raw = b""
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                raw += chunk
                if len(raw) > BODY_BYTES_MAX:
                    return Unreadable(413, f"a body has {BODY_BYTES_MAX} bytes at most")
    except (TimeoutError, ClientDisconnect):
        return Unreadable(408, f"the body was not whole within {BODY_S:.0f} s")
    return _typed(kind, raw or b"{}")


def read_query(request: Request, kind: type[Struct]) -> Struct | Unreadable:
    """Return the words of a query as what its operation takes."""
    words: dict[str, Any] = dict(request.query_params)
    try:
        return typed.convert(words, kind, strict=False)
    except msgspec.ValidationError as error:
        return Unreadable(400, _told(error, "the query"))


def _typed(kind: type[Struct], raw: bytes) -> Struct | Unreadable:
    try:
        return typed.decode(raw, kind)
    except msgspec.ValidationError as error:
        return Unreadable(400, _told(error, "the body"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Unreadable(400, f"the body must be a JSON object: {error}")


def _told(error: msgspec.ValidationError, whole: str) -> str:
    place, reason = place_and_reason(error)
    return f"{place or whole}: {reason}"
