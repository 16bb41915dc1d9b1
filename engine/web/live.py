"""Server-sent events for pages that watch, made once and given to all of them.

        /events      the status document again and again
        /v1/stream   the same as `status`, and every fill, decision, refusal and control record of
                     the session with its sequence as id; `Last-Event-ID` goes on after one

One task reads while anybody watches, at most five times a second, and makes the bytes that all
pages are sent: a page costs one write a turn. A status in which nothing but the time has changed is
not sent again before a second is over. A reader that is slow gets the newest status, not every one;
of events it misses none: what is no longer at hand is read again from the projection. Nothing is
queued for a page but what its connection took: it is given the next turn once the last has left.
A stream ends within a second or two of the credential that opened it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, NamedTuple

import orjson
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from engine.store.pages import Row, SessionPages

PERIOD_S: Final = 0.2
HOLDS_S: Final = 1.0  # between two looks whether who watches still may
UNCHANGED_S: Final = 1.0  # then it is sent all the same: who watches sees that the engine lives
CLIENTS_MAX: Final = 200
TIME: Final = "uptime_s"  # of a status; alone it is no news
EVENTS_AT_HAND: Final = 1_024
PAGE_ROWS: Final = 256


class Turn(NamedTuple):
    """What one look found, as bytes for every page."""

    document: bytes  # the newest status
    before: int  # sequence of the last event before this look
    last: int
    text: bytes  # what a page is sent that has everything up to `before`


class LiveStreams:
    """Every page that watches; the event loop's thread only."""

    def __init__(
        self, status: Callable[[], dict[str, Any]], pages: SessionPages, session_id: str
    ) -> None:
        """Send what `status` returns; it is called in a thread, once for all."""
        self._status = status
        self._pages = pages
        self._session_id = session_id
        self._turn: Turn | None = None
        self._turned = asyncio.Event()
        self._events: deque[tuple[int, bytes]] = deque(maxlen=EVENTS_AT_HAND)
        self._floor = -1  # every event above it is at hand
        self._last = -1
        self._reader: asyncio.Task[None] | None = None
        self.count = 0

    def response(
        self, holds: Callable[[], bool], after: str | None = None
    ) -> StreamingResponse | None:
        """Return the answer to one page, which holds its place until it ends; None: no place.

        Args:
            holds: whether who was admitted still may; the answer ends when not.
            after: id of the last event the page has; empty: it has none, from now on; None: it
                wants the status only.
        """
        if self.count >= CLIENTS_MAX:
            return None
        documents = self._documents() if after is None else self._all(after)
        return _Live(self, _while_it_holds(holds, documents))

    def join(self) -> None:
        """Count a page, and begin to read with the first one."""
        self.count += 1
        if self._reader is None or self._reader.done():
            self._turned = asyncio.Event()
            self._reader = asyncio.create_task(self._read())
            self._reader.add_done_callback(self._ended)

    def leave(self) -> None:
        """Forget a page, and stop to read with the last one."""
        self.count -= 1
        if self.count == 0 and self._reader is not None:
            self._reader.cancel()
            self._reader = None
            self._turn = None

    def _ended(self, reader: asyncio.Task[None]) -> None:
        if reader is self._reader:
            self._turned.set()  # it failed: those who wait for its next turn are told

    async def _read(self) -> None:
        # What came while nobody watched is not at hand.
        self._events.clear()
        self._turn = None
        self._last = self._floor = await asyncio.to_thread(
            self._pages.last_sequence, self._session_id
        )
        known: dict[str, Any] = {}
        made_s = 0.0
        while True:
            status, lines = await asyncio.to_thread(self._look)
            news, now_s = {**status, TIME: None}, time.monotonic()
            document = b""
            if news != known or now_s - made_s >= UNCHANGED_S:
                known, made_s = news, now_s
                document = b"data: " + orjson.dumps(status) + b"\n\n"
            if document or lines:
                self._take(document, lines)
            await asyncio.sleep(PERIOD_S)

    def _look(self) -> tuple[dict[str, Any], list[tuple[int, bytes]]]:
        rows = self._pages.events(self._session_id, self._last, PAGE_ROWS)
        return self._status(), [(int(row["sequence"]), self._line(row)) for row in rows]

    def _take(self, document: bytes, lines: list[tuple[int, bytes]]) -> None:
        """Make a turn of what is new, and wake every page that waits for one."""
        before = self._last
        for sequence, line in lines:
            if len(self._events) == EVENTS_AT_HAND:
                self._floor = self._events[0][0]
            self._last = sequence
            self._events.append((sequence, line))
        text = (b"event: status\n" + document) if document else b""
        text += b"".join(line for _, line in lines)
        newest = document or (self._turn.document if self._turn else b"")
        self._turn = Turn(newest, before, self._last, text)
        turned, self._turned = self._turned, asyncio.Event()
        turned.set()

    async def _documents(self) -> AsyncIterator[bytes]:
        sent = b""
        async for turn in self._turns():
            if turn.document is not sent:
                sent = turn.document
                yield sent

    async def _turns(self) -> AsyncIterator[Turn]:
        """Yield the newest turn, then the newest that came meanwhile, until reading fails."""
        seen = None
        # When reading failed the streams end; a page that comes back begins it again.
        while self._reader is not None and not self._reader.done():
            turn = self._turn
            if turn is None or turn is seen:
                await self._turned.wait()
                continue
            seen = turn
            yield turn

    async def _all(self, after: str) -> AsyncIterator[bytes]:
        session, _, number = after.rpartition(":")
        is_ours = session == self._session_id and number.isascii() and number.isdigit()
        if after and not is_ours:
            yield b'event: restarted\ndata: {"session":"%b"}\n\n' % self._session_id.encode()
        sequence = int(number) if is_ours else None
        async for turn in self._turns():
            if sequence == turn.before:
                sequence = turn.last
                yield turn.text
                continue
            yield b"event: status\n" + turn.document
            if sequence is None:
                sequence = turn.last  # a page that has none begins behind its first status
            async for reached, line in self._after(sequence):
                sequence = reached
                yield line

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


async def _while_it_holds(
    holds: Callable[[], bool], documents: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    looked_s = time.monotonic()
    async for document in documents:  # one a second at least
        now_s = time.monotonic()
        if now_s - looked_s >= HOLDS_S:
            looked_s = now_s
            if not holds():
                return
        yield document


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
