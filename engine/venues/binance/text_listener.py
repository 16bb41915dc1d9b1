"""Texts of a WebSocket, put together from their frames; one that does not decode ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from engine.venues.venue import ProtocolError, VenueError

TEXT_BYTES_MAX: Final = 8 * 1024 * 1024
ABANDONED_S: Final = 1.0  # so long a handshake that nobody wants any more is waited for


class TextListener(WSListener):
    """Puts texts together and hands them on; ends the connection on one that does not decode."""

    def __init__(
        self,
        hear: Callable[[bytes], bool | None],
        answer_ping: Callable[[WSTransport, bytes], None] | None = None,
        lost: Callable[[], None] | None = None,
    ) -> None:
        """Prepare.

        Args:
            hear: takes a text; False ends the connection, and so does a ProtocolError.
            answer_ping: answers pings, where the library does not.
            lost: hears that the connection is gone.
        """
        self._hear = hear
        self._answer_ping = answer_ping
        self._hear_lost = lost
        self._partial = bytearray()
        self.error: VenueError | None = None

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one frame; called by picows, which lends it until this returns."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
            return
        if frame.msg_type == WSMsgType.PING and self._answer_ping is not None:
            self._answer_ping(transport, frame.get_payload_as_bytes())
            return
        if frame.msg_type not in {WSMsgType.TEXT, WSMsgType.CONTINUATION}:
            return
        self._partial += frame.get_payload_as_bytes()
        if len(self._partial) > TEXT_BYTES_MAX:
            self.error = ProtocolError(f"a text of more than {TEXT_BYTES_MAX} bytes")
            transport.disconnect()
            return
        if not frame.fin:
            return
        payload = bytes(self._partial)
        self._partial.clear()
        try:
            goes_on = self._hear(payload)
        except ProtocolError as error:
            self.error = error
            goes_on = False
        if goes_on is False:
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Tell of the end; called by picows."""
        del transport
        if self._hear_lost is not None:
            self._hear_lost()


async def close_if_abandoned(
    connecting: Coroutine[None, None, tuple[WSTransport, WSListener]],
) -> WSTransport:
    """Await picows' `ws_connect`; the connection of one who is cancelled meanwhile is closed.

    picows leaves the socket of a handshake that is cancelled to its own time-out, which never comes
    in a loop that ends. Hence the handshake goes on alone until there is something to close.
    """
    opening = asyncio.create_task(connecting)
    try:
        transport, _ = await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.wait({opening}, timeout=ABANDONED_S)
        if opening.done() and opening.exception() is None:
            opening.result()[0].disconnect()
        opening.cancel()
        raise
    return transport
