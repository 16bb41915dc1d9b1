"""Writes prebuilt WebSocket frames to whoever connects, as fast as it reads.

`python -m bench.sides.frame_server FILE CORE` prints its port, serves one connection after another
and ends with its standard input. It does nothing per frame, so what is measured is the client.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import sys
import threading
from pathlib import Path

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
BLOCK_BYTES = 256 * 1024


def shake_hands(connection: socket.socket) -> None:
    """Answer a WebSocket upgrade."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(4096)
    lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    names = {name.lower(): entry for name, entry in lines.items()}
    key = names[b"sec-websocket-key"]
    accept = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def serve(connection: socket.socket, frames: bytes) -> None:
    """Shake hands, write everything, wait for the other side to close."""
    shake_hands(connection)
    view = memoryview(frames)
    try:
        for first in range(0, len(view), BLOCK_BYTES):
            connection.sendall(view[first : first + BLOCK_BYTES])
        connection.recv(4096)
    except OSError:
        pass
    connection.close()


def main() -> None:
    """Serve until standard input ends."""
    frames = Path(sys.argv[1]).read_bytes()
    os.sched_setaffinity(0, {int(sys.argv[2])})
    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()

    def accept() -> None:
        while True:
            serve(listener.accept()[0], frames)

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
