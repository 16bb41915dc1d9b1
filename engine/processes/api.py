"""The API thread: binds before anything else is imported, answers from the first millisecond.

        bind()                 the socket accepts at once (backlog)
        ApiThread.start()      a bare responder answers /health with `starting`
        serve(app)             uvicorn takes over the same socket when the routes are imported

Only the standard library is imported here, and only what binding needs; uvicorn and starlette are
imported by the API thread itself, while the bare responder goes on answering.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BACKLOG = 128
REQUEST_BYTES_MAX = 4096
REQUEST_WAIT_S = 0.25  # a client that connects and says nothing is let go
TURN_S = 0.02  # how long the bare responder waits before it looks whether it is relieved
FIRST_TURN_DEADLINE_S = 0.25


class BindError(Exception):
    """The address cannot be bound; the message says which and what to do."""


def bind(host: str, port: int) -> socket.socket:
    """Bind and listen; clients may connect when this returns.

    Raises:
        BindError: the port is taken or not permitted.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # WHY: asyncio sends without delay only on sockets that name TCP; on others a kept connection
    # waits 40 ms for each answer, its head being acknowledged before its body goes out.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        message = (
            f"cannot listen on {host}:{port} ({error.strerror}); "
            "set PORT to a free port or stop the program that holds it"
        )
        raise BindError(message) from error
    listener.set_inheritable(False)
    return listener


class ApiThread:
    """Owns the listening socket from bind to exit."""

    def __init__(self, listener: socket.socket) -> None:
        """Take the bound socket; `start` begins to answer."""
        self.listener = listener
        self.first_health_ns = 0
        self.heartbeat_ns = 0
        self._turned = threading.Event()
        self._relieved = threading.Event()
        self._status = b'{"status":"starting"}'
        self._load: Callable[[], Any] | None = None
        self._tls: dict[str, Any] = {}
        self._server: Any = None
        self._thread = threading.Thread(target=self._run, name="aegis-api", daemon=True)

    @property
    def port(self) -> int:
        """Return the port that is bound, also when 0 was asked for."""
        return int(self.listener.getsockname()[1])

    @property
    def host(self) -> str:
        """Return the address under which this machine reaches the socket."""
        bound = str(self.listener.getsockname()[0])
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bound, bound)  # noqa: S104

    @property
    def is_public(self) -> bool:
        """Return whether other machines may reach the socket."""
        bound = str(self.listener.getsockname()[0])
        return not (bound.startswith("127.") or bound == "::1")

    def start(self) -> bool:
        """Start answering; return whether the thread took its first turn in time."""
        self._thread.start()
        return self._turned.wait(FIRST_TURN_DEADLINE_S)

    def tell(self, status: bytes) -> None:
        """Answer with this JSON from now on, until the application takes over."""
        self._status = status

    def serve(self, load: Callable[[], Any], tls: dict[str, Any] | None = None) -> None:
        """Hand the socket to the application that `load` imports and returns.

        Args:
            load: called in a thread of its own; returns an ASGI application.
            tls: what `engine.processes.tls.tls_options` returns; None: without TLS.
        """
        self._load = load
        self._tls = tls or {}
        threading.Thread(target=self._import, name="aegis-api-import", daemon=True).start()

    def stop(self, timeout_s: float) -> None:
        """Stop serving and close the socket; the thread is a daemon and may be left behind."""
        self._relieved.set()
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(timeout_s)
        self.listener.close()

    def _import(self) -> None:
        import uvicorn

        from engine.web.connection import HEAD_BYTES_MAX, BoundedConnection

        assert self._load is not None, "serve() sets it"
        config = uvicorn.Config(
            self._load(),
            http=BoundedConnection,
            ws="none",
            h11_max_incomplete_event_size=HEAD_BYTES_MAX,
            proxy_headers=False,  # a header must not say who the client is
            log_config=None,
            log_level="error",  # warnings are about clients, who must not write our log
            access_log=False,
            lifespan="off",
            loop="asyncio",
            timeout_graceful_shutdown=1,
            server_header=False,
            **self._tls,
        )
        self._server = uvicorn.Server(config)
        self._relieved.set()

    def _run(self) -> None:
        self.listener.settimeout(TURN_S)
        while not self._relieved.is_set():
            self._turned.set()
            self.heartbeat_ns = time.monotonic_ns()
            try:
                connection, _ = self.listener.accept()
            except TimeoutError:
                continue
            except OSError:
                if self.listener.fileno() < 0:
                    return  # closed by `stop`
                # WHY: a client that is gone before it is accepted, or a moment without file
                # descriptors, must not cost the engine its API.
                time.sleep(TURN_S)
                continue
            self._answer(connection)
        if self._server is None:
            return
        from engine.processes.time_slice import API_NS
        from native_ext import _native

        self.listener.settimeout(None)
        _native.set_time_slice(API_NS)
        self._server.run(sockets=[self.listener])

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.settimeout(REQUEST_WAIT_S)
                request = connection.recv(REQUEST_BYTES_MAX)
                connection.sendall(self._starting(request))
            except OSError:
                return

    def _starting(self, request: bytes) -> bytes:
        path = request.split(b" ", 2)[1:2]
        if path and path[0].split(b"?")[0] in {b"/health", b"/livez"}:
            if not self.first_health_ns:
                self.first_health_ns = time.monotonic_ns()
            return _response(b"200 OK", self._status)
        return _response(b"503 Service Unavailable", self._status, b"Retry-After: 1\r\n")


def _response(status: bytes, body: bytes, extra: bytes = b"") -> bytes:
    return (
        b"HTTP/1.1 %b\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n"
        b"Connection: close\r\n\r\n%b" % (status, extra, len(body), body)
    )
