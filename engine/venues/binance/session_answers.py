"""Answers of the order API, as the answers of HTTP that they stand for."""

from __future__ import annotations

from typing import Final

import msgspec

from engine.venues.binance.budget import RateLimit
from engine.venues.binance.http import Response
from engine.venues.venue import ProtocolError

MS_PER_S: Final = 1_000


class _Times(msgspec.Struct, frozen=True):
    serverTime: int = 0  # noqa: N815
    retryAfter: int = 0  # noqa: N815


class _Refusal(msgspec.Struct, frozen=True):
    data: _Times = _Times()


class SessionAnswer(msgspec.Struct, frozen=True):
    """One frame: an answer, or with status 0 an event that has a name."""

    id: str | int | None = None
    status: int = 0
    result: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")
    rateLimits: tuple[RateLimit, ...] = ()  # noqa: N815
    e: str = ""

    def response(self) -> Response:
        """Return what HTTP would have answered; an answer that contradicts itself is a failure."""
        body = bytes(self.result if self.status == 200 else self.error)
        headers = {row.header: str(row.count) for row in self.rateLimits if row.header}
        if self.status != 200:
            headers |= _retry_after(body)
        return Response(self.status, headers, body)


_ANSWER: Final = msgspec.json.Decoder(SessionAnswer)
_REFUSAL: Final = msgspec.json.Decoder(_Refusal)


def decode_answer(payload: bytes) -> SessionAnswer:
    """Return one frame of the order API.

    Raises:
        ProtocolError: it is none.
    """
    try:
        return _ANSWER.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolError(f"unreadable answer: {error}: {payload[:120]!r}") from error


def _retry_after(body: bytes) -> dict[str, str]:
    try:
        times = _REFUSAL.decode(body).data
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}  # a sentence of somebody on the way
    wait_ms = times.retryAfter - times.serverTime
    if times.serverTime <= 0 or times.retryAfter <= 0 or wait_ms < 0:
        return {}
    return {"retry-after": str(-(-wait_ms // MS_PER_S))}
