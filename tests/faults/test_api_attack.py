"""A started engine whose API is attacked: every answer is defined, nothing changes, it trades on.

One engine on an exchange of its own takes every case. Before it, another engine of the same name
ran: its token is the one a thief could have kept. At the end the journal is read: no command but
our own was ever taken, and the books agree after a stop in the middle of an attack.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.domain.codes import EventType
from engine.store.journal import SOURCE_EVENTS_BRAIN
from engine.store.reader import read_records
from tests.engine_process import Engine, fetch, wait_for
from tests.exchange_process import PracticeExchange
from tests.http_wire import Wire, ask, head, statuses

pytestmark = pytest.mark.slow  # a whole engine takes every case

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens
CLIENTS = 300  # more than the API keeps
STREAMS_MAX = 200  # live streams that the API serves at once
UNKNOWN = ([401], [429])  # five wrong tokens of an address are a 401, the others wait
COMMANDS = ("resume", "pause", "reduce", "flatten", "cancel_all", "reconcile", "trigger_shutdown")
REASON = b'{"who":"thief","reason":"an attack"}'


class Target:
    """An engine that trades, its secrets, and what an attack must not have changed."""

    def __init__(self, home: Path) -> None:
        """Run one engine for its token, then the one that is attacked."""
        self.home = home
        self.exchange = PracticeExchange("--generate", "2", "--seed", "7", "--speed", "5")
        self.stale_token = self._token_of_another_run()
        self.engine = Engine(home, "--exchange", self.exchange.url, "--name", "attack", "--json")
        self.outcome: tuple[int, str, str] | None = None

    def wait_trading(self) -> None:
        status = self.engine.wait_ready()
        self.engine.wait_count("orders", 1)
        self.port = int(self.engine.url.rsplit(":", 1)[1])
        self.token = (self.home / "run" / "attack.token").read_text(encoding="ascii").strip()
        self.stored = Path(status["journal"]["path"]).parents[1] / "trading_state.json"
        self.journal = Path(status["journal"]["path"])
        assert self.token != self.stale_token

    def _token_of_another_run(self) -> str:
        engine = Engine(self.home, "--exchange", NOBODY, "--name", "attack")
        path = self.home / "run" / "attack.token"
        try:
            wait_for("a token", lambda: path.exists() and path.read_text(encoding="ascii"))
            return path.read_text(encoding="ascii").strip()
        finally:
            engine.terminate()

    def ask(self, request: bytes) -> bytes:
        """Return everything the API answers to these bytes until it closes or falls silent."""
        return ask(self.port, request)

    def post(self, path: str, *lines: str, body: bytes = REASON, token: bool = True) -> bytes:
        """Return the request line, headers and body of a command; with the right token."""
        given = [f"x-aegis-token: {self.token}"] if token else []
        if not any(line.lower().startswith("host:") for line in lines):
            given.append(f"Host: 127.0.0.1:{self.port}")
        if not any(line.lower().startswith(("content-length:", "transfer-")) for line in lines):
            given.append(f"Content-Length: {len(body)}")
        return head(f"POST {path} HTTP/1.1", *given, *lines, "Connection: close") + body

    def get(self, path: str, *lines: str) -> bytes:
        """Return a GET of a path."""
        return head(f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *lines)

    def seen(self) -> tuple[str, bytes]:
        """Return what no attack may change."""
        status = self.engine.status()
        assert status is not None
        stored = self.stored.read_bytes() if self.stored.exists() else b""
        return status["trading_state"], stored

    @contextlib.contextmanager
    def unmoved(self) -> Iterator[None]:
        """Hold that /health answers at once, nothing changed and records still flow."""
        before, records = self.seen(), self.counts()["records"]
        yield
        health = fetch(self.engine.url, "/health")
        assert health is not None, "/health does not answer"
        assert health["status"] == "ok"
        assert self.seen() == before
        wait_for("records to go on", lambda: self.counts()["records"] > records)

    def counts(self) -> dict[str, int]:
        status = self.engine.status()
        assert status is not None, "/status does not answer"
        return dict(status["counts"])

    def end(self) -> None:
        self.engine.kill()
        self.exchange.stop()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    made = Target(tmp_path_factory.mktemp("attack"))
    try:
        made.wait_trading()
        yield made
    finally:
        made.end()


# -- who may ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_without_this_runs_token(target: Target, command: str) -> None:
    path, token = f"/v1/{command}", target.token
    tried = [
        (path, []),
        (path, ["x-aegis-token:"]),
        (path, ["x-aegis-token: wrong"]),
        (path, [f"x-aegis-token: {target.stale_token}"]),
        (path, [f"Authorization: Bearer {target.stale_token}"]),
        (path, [f"x-aegis-token: {token[:-1]}"]),
        (path, [f"x-aegis-token: {token}x"]),
        (path, [f"x-aegis-token: {token.swapcase()}"]),
        (path, ["x-aegis-token: wrong", f"x-aegis-token: {token}"]),
        (path, [f"Cookie: aegis_session_attack={token}"]),
        (path, [f"Cookie: aegis_session_attack={token}", f"x-aegis-csrf: {token}"]),
        (path, [f"x-aegis-token: aegis_{token}"]),
        (path, [f"x-aegis-token: {token}", "Authorization: Bearer wrong"]),
        (path, [f"Cookie: x-aegis-token={token}"]),
        (path, [f"Authorization: Basic {token}"]),
        (path, ["x-aegis-token: \xff\xfe"]),
        (f"{path}?x-aegis-token={token}", []),
        (f"{path}?token={token}", []),
    ]
    with target.unmoved():
        for place, lines in tried:
            answer = target.ask(target.post(place, *lines, token=False))
            assert statuses(answer) in UNKNOWN, (place, lines, answer)


@pytest.mark.parametrize(
    "line",
    ["x-aegis-token: wrong", "x-aegis-token:", "Authorization: Basic eDp5", "Via: 1.1 proxy"],
)
def test_a_halt_is_for_this_machine_and_for_right_tokens(target: Target, line: str) -> None:
    with target.unmoved():
        answer = target.ask(target.post("/v1/halt", line, token=False))
        assert statuses(answer) in UNKNOWN, answer


@pytest.mark.parametrize(
    "line",
    [
        "Origin: http://evil.example",
        "Origin: null",
        "Origin:",
        "Origin: http://[",
        "Origin: http://127.0.0.1.evil.example",
        "Origin: http://127.0.0.1:1",
        "Host: evil.example",
        "Host: 127.0.0.1.evil.example",
        "Host: 127.0.0.1@evil.example",
        "Host: localhost.evil.example:8080",
        "Host: [",
        "Host: ]",
        "Host:",
        "Host: evil.example\r\nOrigin: http://evil.example",
        # A page that reached us under its own name may send this header; it must not help it.
        "Host: evil.example\r\nX-Forwarded-For: 203.0.113.1",
        "Host: evil.example\r\nOrigin: http://evil.example\r\nX-Forwarded-For: 203.0.113.1",
    ],
)
def test_a_stolen_token_does_not_help_a_foreign_page(target: Target, line: str) -> None:
    with target.unmoved():
        answer = target.ask(target.post("/v1/halt", *line.split("\r\n")))
        assert statuses(answer) == [403], answer


@pytest.mark.parametrize(
    "line",
    [
        "Host: evil.example",
        "Host: [",
        "Host: 127.0.0.1.evil.example",
        "X-Forwarded-For: 203.0.113.1",
        "X-Forwarded-For: 127.0.0.1",
        "X-Real-IP: 203.0.113.1",
        "Forwarded: for=203.0.113.1",
        "Via: 1.1 proxy",
    ],
)
def test_nobody_else_reads_and_the_page_shows_them_nothing(target: Target, line: str) -> None:
    lines = [line] if line.startswith("Host:") else [f"Host: 127.0.0.1:{target.port}", line]
    with target.unmoved():
        answer = target.ask(head("GET / HTTP/1.1", *lines, "Connection: close"))
        assert statuses(answer) == [200]
        assert b"<html" in answer
        assert target.token.encode() not in answer
        assert b"trading_state" not in answer.partition(b'id="first">')[2].partition(b"<")[0]
        for path in ("/status", "/metrics", "/events", "/v1/positions", "/v1/fetch_audit_trail"):
            answer = target.ask(head(f"GET {path} HTTP/1.1", *lines, "Connection: close"))
            assert statuses(answer) == [401], path


# -- where and how ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/v1/halt/",
        "//v1/halt",
        "/v1//halt",
        "/v1/./halt",
        "/v1/../v1/halt",
        "/v1/%2e%2e/halt",
        "/v1/halt%2f",
        "/v1/halt%00",
        "/v1/halt%0d%0aX:y",
        "/v1/HALT",
        "/v1/__class__",
        "/v1/%ff",
        "/v1/",
        "/V1/halt",
        "/%76%31",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%5c..%5cetc",
        "/status/",
        "*",
        "http://evil.example/v1/halt",
        "evil.example:80",
        "/" + "a" * 8_000,
        "/" + "../" * 2_000,
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_paths_lead_nowhere(target: Target, method: str, path: str) -> None:
    with target.unmoved():
        request = target.post(path).replace(b"POST", method.encode(), 1)
        answer = target.ask(request)
        assert statuses(answer)[:1] in ([404], [405], [400]), answer
        assert b"root:" not in answer
        assert b"evil.example" not in answer


@pytest.mark.parametrize(
    "method",
    ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "POSTS", "post"],
)
def test_a_command_is_given_by_post_alone(target: Target, method: str) -> None:
    with target.unmoved():
        for extra in ((), ("X-HTTP-Method-Override: POST",), ("X-Method-Override: POST",)):
            request = target.post("/v1/halt", *extra).replace(b"POST", method.encode(), 1)
            assert statuses(target.ask(request))[:1] == [405]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
@pytest.mark.parametrize("path", ["/health", "/readyz", "/status", "/metrics", "/events", "/"])
def test_what_is_read_cannot_be_written(target: Target, method: str, path: str) -> None:
    with target.unmoved():
        request = target.post(path).replace(b"POST", method.encode(), 1)
        assert statuses(target.ask(request))[:1] == [405]


@pytest.mark.parametrize("path", ["/health", "/events", "/v1/halt"])
def test_no_connection_becomes_another_protocol(target: Target, path: str) -> None:
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    with target.unmoved(), Wire(target.port) as wire:
        wire.send(target.get(path, *upgrade, key))
        assert statuses(wire.first_line()) in ([200], [405])


# -- what is sent -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"x"',
        b"1",
        b"null",
        b"NaN",
        b'{"reason": 3}',
        b'{"reason": null}',
        b'{"reason": ["x"]}',
        b'{"who": {}, "reason": "x"}',
        b'{"reason": "\xff"}',
        b'{"reason": "\\ud800"}',
        b'{"reason": "x"',
        b'{"reason": "x"} {}',
        b'{"reason": "x", "limits": {"max_order_size": 1e9}}',
        b'{"reason": "x", "request_id": "a\\nb"}',
        b"reason=x",
        b"\x00" * 100,
        b"[" * 4_000,
    ],
)
def test_a_body_that_is_no_reason_is_refused(target: Target, body: bytes) -> None:
    with target.unmoved():
        assert statuses(target.ask(target.post("/v1/halt", body=body))) == [400]


@pytest.mark.parametrize("body", [b'{"reason": "' + b"x" * 5_000 + b'"}', b" " * 100_000])
def test_a_body_that_is_too_large_is_refused(target: Target, body: bytes) -> None:
    with target.unmoved():
        assert statuses(target.ask(target.post("/v1/halt", body=body))) == [413]


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: -1",),
        ("Content-Length: 99999999999999999999999",),
        ("Content-Length: 0x10",),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: 36", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: gzip",),
        ("Transfer-Encoding: chunked, chunked",),
        ("Transfer-Encoding: chunked",),
        ("Content-Length: 36", "Host: 127.0.0.1", "Host: evil.example"),
        ("Content-Length: 36", "x y: z"),
        ("Content-Length: 36", "X: \x00"),
        ("Content-Length: 36", "X: " + "x" * 100_000),
        ("Content-Length: 36", *(f"X-{number}: y" for number in range(10_000))),
    ],
)
def test_a_head_that_lies_or_swells_is_refused(target: Target, lines: tuple[str, ...]) -> None:
    with target.unmoved():
        answer = target.ask(target.post("/v1/halt", *lines))
        # A body that lies about its end is waited for, and not for long.
        assert statuses(answer) in ([400], [408]), answer


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n\r\n\r\nnonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
        b"GET /health\r\n\r\n",
        b"GET /health HTTP/19\r\n\r\n",
        b"GET  /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/halt HTTP/1.1\n\n" + b"\x00" * 100,
        b"x" * 200_000,
        bytes(range(256)) * 400,
    ],
)
def test_bytes_that_are_no_request_are_answered_400(target: Target, sent: bytes) -> None:
    with target.unmoved():
        assert statuses(target.ask(sent))[:1] == [400]


def test_a_second_request_hides_behind_no_first(target: Target) -> None:
    hidden = target.post("/v1/resume", token=False)
    with target.unmoved():
        assert statuses(target.ask(target.get("/health") + hidden)) == [200, 401]
        smuggled = target.post("/v1/resume", "Content-Length: 2", body=b"{}" + hidden, token=False)
        assert set(statuses(target.ask(smuggled))) == {401}


# -- how many and how slowly --------------------------------------------------------------------


def slow(target: Target, number: int) -> bytes:
    """Return what the slow client of a number sends before it falls silent."""
    begun = [
        b"",
        b"G",
        b"POST /v1/pause HTTP/1.1\r\nHost: 127.0.0.1\r\nX-1: ",
        target.post("/v1/halt", "Content-Length: 36", body=REASON[:10]),
        target.get("/health") + b"GET /hea",
    ]
    return begun[number % len(begun)]


@contextlib.contextmanager
def crowd(target: Target, count: int) -> Iterator[list[Wire]]:
    """Yield clients that have begun to send and never end."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Wire(target.port)) for _ in range(count)]
        for number, client in enumerate(clients):
            client.send(slow(target, number))
        yield clients


def test_slow_clients_are_let_go_and_disturb_nobody(target: Target) -> None:
    with target.unmoved(), crowd(target, CLIENTS) as clients:
        for _ in range(20):
            with target.unmoved():
                pass
        deadline = time.monotonic() + 60
        for client in clients:
            client.drip_until_closed(deadline)


def test_a_thousand_connections_are_answered_or_closed(target: Target) -> None:
    with target.unmoved():
        # All at once: no more than 256 are kept, and who is new always gets a turn.
        with crowd(target, 1_000) as clients, target.unmoved():
            for client in clients:
                client.drip_until_closed(time.monotonic() + 60)
        for _ in range(300):
            knock = socket.create_connection(("127.0.0.1", target.port))
            knock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            knock.close()  # a reset


def test_readers_that_do_not_read_take_no_more_than_their_share(target: Target) -> None:
    with target.unmoved(), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Wire(target.port)) for _ in range(STREAMS_MAX + 30)]
        for client in clients:
            client.send(target.get("/events"))
        answered = [statuses(client.first_line()) for client in clients]
        assert answered.count([200]) == STREAMS_MAX
        assert answered.count([503]) == 30
        with target.unmoved():
            pass
    wait_for("a stream that is free", lambda: _stream_status(target) == [200])


def _stream_status(target: Target) -> list[int]:
    with Wire(target.port) as wire:
        wire.send(target.get("/events"))
        return statuses(wire.first_line())


# -- what is repeated, and the end --------------------------------------------------------------


def test_a_resume_of_another_run_does_not_undo_a_halt(target: Target) -> None:
    recorded = target.post("/v1/resume", f"x-aegis-token: {target.stale_token}", token=False)
    assert statuses(target.ask(target.post("/v1/halt"))) == [200]
    assert target.seen()[0] == "HALTED"
    with target.unmoved():
        for _ in range(10):
            assert statuses(target.ask(recorded)) in UNKNOWN
    orders = target.counts()["orders"]
    assert statuses(target.ask(target.post("/v1/resume"))) == [200]
    wait_for("trading again", lambda: target.seen()[0] == "ENABLED")
    assert statuses(target.ask(target.post("/v1/resume"))) == [200], "once more changes nothing"
    assert target.seen()[0] == "ENABLED"
    target.engine.wait_count("orders", orders + 1)


def test_it_stops_in_order_in_the_middle_of_an_attack(target: Target) -> None:
    with crowd(target, 150) as clients:
        for client in clients[:32]:
            client.send(b"\r\n\r\n")
        code, output, errors = target.engine.terminate()
    assert code == 0, output + errors
    summary: dict[str, Any] = json.loads(output)
    assert summary["exchange_agrees"] is True, summary["differences"]
    assert summary["orders"] >= 2
    assert "Traceback" not in errors, errors
    assert "Invalid HTTP" not in errors, "an attacker must not write our log"
    kinds = read_records(target.journal, SOURCE_EVENTS_BRAIN)["event_type"]
    commands = [EventType(kind).name for kind in kinds if 300 <= kind < 310]
    assert commands.index("CONTROL_RECONCILE") < commands.index("CONTROL_RESUME")
    acts = [name for name in commands if name != "CONTROL_RECONCILE"]  # the second look may be new
    resumed = ["CONTROL_RESUME"] * 2
    assert acts == ["CONTROL_HALT", "CONTROL_CANCEL_ALL", *resumed, "CONTROL_STOP_INTENTS"]
    assert list(Path("/dev/shm").glob("aegis-attack-*")) == []
