"""A connection of the API is bounded in time and number; who is being answered is left alone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from engine.processes.api import ApiThread, bind
from engine.web import connection
from tests.engine_process import wait_for
from tests.http_wire import Wire, ask, head, statuses

BULK_BYTES = 32_000_000  # more than a socket's buffers take


async def bulk(_request: Request) -> Response:
    return PlainTextResponse(b"x" * BULK_BYTES)


async def slow(_request: Request) -> Response:
    await asyncio.sleep(10 * connection.REQUEST_S)
    return PlainTextResponse("late, and our own doing")


async def upload(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiThread]:
    monkeypatch.setattr(connection, "REQUEST_S", 0.1)
    monkeypatch.setattr(connection, "LOOK_S", 0.5)
    monkeypatch.setattr(connection, "CONNECTIONS_MAX", 4)
    thread = ApiThread(bind("127.0.0.1", 0))
    thread.start()
    paths = {"/bulk": bulk, "/slow": slow, "/upload": upload}
    routes = [Route(path, answer, methods=["GET", "POST"]) for path, answer in paths.items()]
    thread.serve(lambda: Starlette(routes=routes))
    wait_for("the routes", lambda: statuses(ask(thread.port, get("/nowhere"))) == [404])
    yield thread
    thread.stop(5.0)


def get(path: str, *lines: str) -> bytes:
    return head(f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *lines)


def connection_count(api: ApiThread) -> int:
    return len(api._server.server_state.connections)


def test_an_answer_s_body_does_not_wait_for_its_head_to_be_acknowledged(api: ApiThread) -> None:
    with Wire(api.port) as wire:
        wire.send(head("GET /slow HTTP/1.1", "Host: 127.0.0.1"))
        wait_for("the connection", lambda: connection_count(api) == 1)
        (held,) = api._server.server_state.connections
        ours = held.transport.get_extra_info("socket")
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_half_a_head_is_answered_408(api: ApiThread) -> None:
    with Wire(api.port) as wire:
        wire.send(get("/slow")[:-2])
        assert statuses(wire.rest()) == [408]


def test_silence_is_closed_without_a_word(api: ApiThread) -> None:
    with Wire(api.port) as wire:
        assert wire.rest() == b""


def test_a_body_that_does_not_come_ends_the_connection(
    api: ApiThread, capfd: pytest.CaptureFixture[str]
) -> None:
    with Wire(api.port) as wire:
        wire.send(head("POST /upload HTTP/1.1", "Host: x", "Content-Length: 5") + b"abc")
        wire.rest()
    wait_for("its end", lambda: connection_count(api) == 0)
    capfd.readouterr()


def test_a_slow_answer_is_not_the_clients_fault(api: ApiThread) -> None:
    assert ask(api.port, get("/slow")).endswith(b"our own doing")


def test_a_slow_reader_gets_it_all_and_one_who_does_not_read_is_gone(api: ApiThread) -> None:
    assert len(ask(api.port, get("/bulk"))) > BULK_BYTES
    with Wire(api.port) as wire:
        wire.send(get("/bulk"))
        wait_for("the answer to begin", lambda: connection_count(api) == 1)
        wait_for("the end of who does not read", lambda: connection_count(api) == 0)


def test_of_too_many_the_one_that_owes_longest_goes(
    api: ApiThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "REQUEST_S", 60.0)
    clients = []
    for _ in range(4):
        clients.append(Wire(api.port))
        wait_for("it to be taken", lambda: connection_count(api) == len(clients))
    assert statuses(ask(api.port, get("/nowhere"))) == [404]
    assert clients[0].rest() == b""
    clients[1].send(get("/nowhere"))
    assert statuses(clients[1].rest()) == [404]
    for client in clients:
        client.socket.close()


def test_a_stop_cuts_off_who_is_waited_for_and_logs_nothing(
    api: ApiThread, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(connection, "REQUEST_S", 60.0)
    with Wire(api.port) as sender, Wire(api.port) as reader:
        sender.send(head("POST /upload HTTP/1.1", "Host: x", "Content-Length: 9") + b"half")
        reader.send(get("/bulk"))
        wait_for("both", lambda: connection_count(api) == 2)
        api.stop(5.0)
        assert sender.rest() == b""
    assert not api._thread.is_alive()
    assert "Traceback" not in capfd.readouterr().err
