"""The status again and again, as server-sent events, to a bounded number of pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import orjson
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

PERIOD_S: Final = 0.5
CLIENTS_MAX: Final = 32


class LiveStreams:
    """Every page that watches."""

    def __init__(self, status: Callable[[], dict[str, Any]]) -> None:
        """Send what `status` returns; it is called in a thread."""
        self._status = status
        self.count = 0

    def response(self) -> StreamingResponse | None:
        """Return the answer to one page, which holds its place until it ends; None: no place."""
        return None if self.count >= CLIENTS_MAX else _Live(self)

    async def documents(self) -> AsyncIterator[bytes]:
        """Yield events without end."""
        while True:
            document = await asyncio.to_thread(self._status)
            yield b"data: " + orjson.dumps(document) + b"\n\n"
            await asyncio.sleep(PERIOD_S)


class _Live(StreamingResponse):
    # The place is taken when the answer is made, so that of many at once none is one too many; the
    # application awaits every answer, so it is given back.
    def __init__(self, streams: LiveStreams) -> None:
        super().__init__(streams.documents(), media_type="text/event-stream")
        self._streams = streams
        streams.count += 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.count -= 1
