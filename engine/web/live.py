"""Server-sent events for pages that watch, made once and given to all of them.

        /events      the status document again and again
        /v1/stream   the same as `status`, and every fill, decision, refusal and control record of
                     the session with its sequence as id; `Last-Event-ID` goes on after one

One task reads while anybody watches. A reader that is slow gets the newest status, not every one;
of events it misses none: what is no longer at hand is read again from the projection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import orjson
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from engine.store.pages import Row, SessionPages

PERIOD_S: Final = 0.5
CLIENTS_MAX: Final = 200
EVENTS_AT_HAND: Final = 1_024
PAGE_ROWS: Final = 256


class LiveStreams:
    """Every page that watches; the event loop's thread only."""

    def __init__(
        self, status: Callable[[], dict[str, Any]], pages: SessionPages, session_id: str
    ) -> None:
        """Send what `status` returns; it is called in a thread, once for all."""
        self._status = status
        self._pages = pages
        self._session_id = session_id
        self._document = b""
        self._turn = asyncio.Event()
        self._events: deque[tuple[int, bytes]] = deque(maxlen=EVENTS_AT_HAND)
        self._floor = -1  # every event above it is at hand
        self._last = -1
        self._reader: asyncio.Task[None] | None = None
        self.count = 0

    def response(self, after: str | None = None) -> StreamingResponse | None:
        """Return the answer to one page, which holds its place until it ends; None: no place.

        Args:
            after: id of the last event the page has; empty: it has none, from now on; None: it
                wants the status only.
        """
        if self.count >= CLIENTS_MAX:
            return None
        return _Live(self, self._documents() if after is None else self._all(after))

    def join(self) -> None:
        """Count a page, and begin to read with the first one."""
        self.count += 1
        if self._reader is None or self._reader.done():
            self._turn = asyncio.Event()
            self._reader = asyncio.create_task(self._read())
            self._reader.add_done_callback(self._ended)

    def leave(self) -> None:
        """Forget a page, and stop to read with the last one."""
        self.count -= 1
        if self.count == 0 and self._reader is not None:
            self._reader.cancel()
            self._reader = None
            self._document = b""

    def _ended(self, reader: asyncio.Task[None]) -> None:
        if reader is self._reader:
            self._turn.set()  # it failed: those who wait for its next turn are told

    async def _read(self) -> None:
        # What came while nobody watched is not at hand.
        self._events.clear()
        self._last = self._floor = await asyncio.to_thread(
            self._pages.last_sequence, self._session_id
        )
        while True:
            document, rows = await asyncio.to_thread(self._look)
            self._document = b"data: " + orjson.dumps(document) + b"\n\n"
            for row in rows:
                if len(self._events) == EVENTS_AT_HAND:
                    self._floor = self._events[0][0]
                self._last = int(row["sequence"])
                self._events.append((self._last, self._line(row)))
            turned, self._turn = self._turn, asyncio.Event()
            turned.set()
            await asyncio.sleep(PERIOD_S)

    def _look(self) -> tuple[dict[str, Any], list[Row]]:
        rows = self._pages.events(self._session_id, self._last, PAGE_ROWS)
        return self._status(), rows

    async def _documents(self) -> AsyncIterator[bytes]:
        while self._reads():
            if self._document:
                yield self._document
            await self._turn.wait()

    def _reads(self) -> bool:
        # When reading failed the streams end; a page that comes back begins it again.
        return self._reader is not None and not self._reader.done()

    async def _all(self, after: str) -> AsyncIterator[bytes]:
        while self._reads() and not self._document:
            await self._turn.wait()
        session, _, number = after.rpartition(":")
        is_ours = session == self._session_id and number.isascii() and number.isdigit()
        sequence = int(number) if is_ours else self._last
        if after and not is_ours:
            yield b'event: restarted\ndata: {"session":"%b"}\n\n' % self._session_id.encode()
        while self._reads():
            yield b"event: status\n" + self._document
            async for reached, line in self._after(sequence):
                sequence = reached
                yield line
            await self._turn.wait()

    async def _after(self, sequence: int) -> AsyncIterator[tuple[int, bytes]]:
        while sequence < self._floor:
            rows = await asyncio.to_thread(
                self._pages.events, self._session_id, sequence, PAGE_ROWS
            )
            for row in rows:
                sequence = int(row["sequence"])
                yield sequence, self._line(row)
            if not rows:
                break
        for at_hand, line in list(self._events):
            if at_hand > sequence:
                sequence = at_hand
                yield at_hand, line

    def _line(self, row: Row) -> bytes:
        name = f"id: {self._session_id}:{row['sequence']}\nevent: {row['event']}\ndata: "
        return name.encode() + orjson.dumps(row) + b"\n\n"


class _Live(StreamingResponse):
    # The place is taken when the answer is made, so that of many at once none is one too many; the
    # application awaits every answer, so it is given back.
    def __init__(self, streams: LiveStreams, documents: AsyncIterator[bytes]) -> None:
        super().__init__(documents, media_type="text/event-stream")
        self._streams = streams
        streams.join()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.leave()
