"""The floor of tick to order: a process that turns a frame into a prebuilt order.

    python -m bench.sides.order_floor URL STREAM_URL SYMBOL CORE

uvloop and picows; the order is one signed request made beforehand and written to a connected,
non-blocking socket from the frame's own callback. Prints `ready` and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import socket
import sys
import time
from urllib.parse import urlsplit

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect


def prebuilt_order(url: str, symbol: str) -> bytes:
    """Return one signed order as the bytes of its request."""
    query = (
        f"symbol={symbol}&side=BUY&type=MARKET&quantity=0.001&newClientOrderId=floor"
        f"&recvWindow=60000&timestamp={time.time_ns() // 1_000_000}"
    )
    signature = hmac.new(b"practice", query.encode(), hashlib.sha256).hexdigest()
    return (
        f"POST /fapi/v1/order?{query}&signature={signature} HTTP/1.1\r\n"
        f"Host: {urlsplit(url).netloc}\r\nX-MBX-APIKEY: practice\r\nContent-Length: 0\r\n\r\n"
    ).encode()


class Turner(WSListener):
    """Writes the order for every frame."""

    def __init__(self, order: bytes, connection: socket.socket) -> None:
        """Keep both; nothing else is looked at."""
        self._order = order
        self._connection = connection

    def on_ws_frame(self, _transport: WSTransport, frame: WSFrame) -> None:
        """Turn a frame round."""
        if frame.msg_type == WSMsgType.TEXT:
            self._connection.send(self._order)


async def main() -> None:
    """Connect both ways and stay until standard input ends."""
    url, stream_url, symbol = sys.argv[1:4]
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 80))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    loop.add_reader(connection, lambda: connection.recv(65536))
    turner = Turner(prebuilt_order(url, symbol), connection)
    await ws_connect(lambda: turner, f"{stream_url}/public/ws/{symbol.lower()}@bookTicker")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[4])})
    uvloop.run(main())
