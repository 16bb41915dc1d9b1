"""The API thread answers before anything is imported and hands its socket over without a gap."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import pytest

from engine.processes.api import ApiThread, BindError, bind

DEADLINE_S = 20.0


@pytest.fixture
def api() -> Iterator[ApiThread]:
    thread = ApiThread(bind("127.0.0.1", 0))
    assert thread.start()
    yield thread
    thread.stop(5.0)


def fetch(port: int, path: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


async def application(
    scope: MutableMapping[str, Any],
    _receive: Callable[[], Awaitable[Any]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    assert scope["type"] == "http"
    body = b'{"status":"ok"}'
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def test_health_is_starting_before_the_routes_are_imported(api: ApiThread) -> None:
    assert fetch(api.port, "/health") == (200, {"status": "starting"})
    assert api.first_health_ns > 0


def test_other_paths_say_come_back(api: ApiThread) -> None:
    assert fetch(api.port, "/status") == (503, {"status": "starting"})


def test_the_socket_is_handed_over_without_a_refused_connection(api: ApiThread) -> None:
    release = threading.Event()

    def load() -> object:
        release.wait(DEADLINE_S)
        return application

    api.serve(load)
    assert fetch(api.port, "/health")[0] == 200
    release.set()
    deadline = time.monotonic() + DEADLINE_S
    seen = set()
    while "ok" not in seen and time.monotonic() < deadline:
        seen.add(fetch(api.port, "/health")[1]["status"])  # never refused, never an error
    assert "ok" in seen


def test_a_silent_client_does_not_stop_the_responder(api: ApiThread) -> None:
    with socket.create_connection(("127.0.0.1", api.port)):
        assert fetch(api.port, "/health")[0] == 200


def test_a_taken_port_names_it_and_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BindError, match=f"127.0.0.1:{port}.*PORT"):
            bind("127.0.0.1", port)


def test_binding_imports_only_the_standard_library_and_little_of_it() -> None:
    script = (
        "import sys; from engine.processes import supervisor; "
        "print(sorted(name for name in ('asyncio', 'numpy', 'numba', 'uvicorn', 'msgspec', "
        "'multiprocessing', 'logging', 'dataclasses', 'argparse', 'json', 'subprocess') "
        "if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


class Refusing:
    """A listening socket whose next clients are gone before they are accepted."""

    def __init__(self, listener: socket.socket, count: int) -> None:
        self.listener = listener
        self.left = count

    def __getattr__(self, name: str) -> object:
        return getattr(self.listener, name)

    def accept(self) -> tuple[socket.socket, object]:
        if self.left:
            self.left -= 1
            raise ConnectionAbortedError
        return self.listener.accept()


def test_a_client_that_is_gone_before_it_is_accepted_costs_no_api() -> None:
    listener = Refusing(bind("127.0.0.1", 0), 3)
    thread = ApiThread(listener)  # type: ignore[arg-type]  # what is not refused is a socket's
    assert thread.start()
    assert fetch(thread.port, "/health") == (200, {"status": "starting"})
    assert listener.left == 0
    thread.stop(5.0)
