"""The REST client keeps connections, signs what it sends, and names every failure."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

import pytest
import uvloop

from engine.clock import VenueClock
from engine.venues.binance.errors import classify
from engine.venues.binance.http import Response, parse_url, split_head
from engine.venues.binance.rest import BinanceRest, encode_query
from engine.venues.venue import (
    ClockError,
    CredentialError,
    FilterError,
    NotExecutedError,
    OrderAbsentError,
    OutcomeUnknownError,
    ProtocolError,
    RateLimitError,
    RejectedError,
    VenueError,
    VenueUnreachableError,
)

Answer = Callable[[bytes], bytes | None]
Body = Callable[["Peer", BinanceRest], Awaitable[None]]


class Peer:
    """An HTTP server of a few lines: answers each head with what the test says."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.connection_count = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                reply = self.answer(head)
                if reply is None:
                    break
                for start in range(0, len(reply), 7):  # in small pieces, as a network may
                    writer.write(reply[start : start + 7])
                    await asyncio.sleep(0)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110  nobody is told of it
        await asyncio.sleep(0.001)


def ok(body: bytes, *extra: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in extra)
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


def against(answer: Answer, body: Body) -> None:
    async def run() -> None:
        peer = Peer(answer)
        server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = BinanceRest(
            f"http://127.0.0.1:{port}", VenueClock(), api_key="key", api_secret="secret"
        )
        try:
            await asyncio.wait_for(body(peer, client), 20)
        finally:
            await client.close()
            server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as feed and executor do
        runner.run(run())


def test_one_connection_serves_many_requests() -> None:
    async def body(peer: Peer, client: BinanceRest) -> None:
        for number in range(5):
            response = await client.request("GET", "/fapi/v1/time", {"n": number})
            assert (response.status, response.body) == (200, b"{}")
        assert peer.connection_count == 1
        assert peer.heads[4].startswith(b"GET /fapi/v1/time?n=4 HTTP/1.1\r\nHost: 127.0.0.1:")

    against(lambda _: ok(b"{}"), body)


def test_requests_at_the_same_time_take_connections_of_their_own() -> None:
    async def body(peer: Peer, client: BinanceRest) -> None:
        answers = await asyncio.gather(
            *(client.request("GET", "/x", {"n": number}) for number in range(20))
        )
        assert [answer.body for answer in answers] == [str(n).encode() for n in range(20)]
        assert 1 < peer.connection_count <= 8

    against(lambda head: ok(head.split(b"n=")[1].split(b" ")[0]), body)


def test_the_signature_covers_the_query_as_sent() -> None:
    async def body(peer: Peer, client: BinanceRest) -> None:
        await client.request(
            "POST",
            "/fapi/v1/order",
            {"symbol": "BTCUSDT", "note": "a b/ü", "gone": ""},
            signed=True,
        )
        first, *headers = peer.heads[0].decode().split("\r\n")
        query = first.split(" ")[1].split("?")[1]
        covered, signature = query.rsplit("&signature=", 1)
        assert hmac.new(b"secret", covered.encode(), hashlib.sha256).hexdigest() == signature
        fields = dict(parse_qsl(covered))
        assert fields["note"] == "a b/ü"
        assert "gone" not in fields
        assert int(fields["timestamp"]) > 1_600_000_000_000
        assert "X-MBX-APIKEY: key" in headers
        assert "Content-Length: 0" in headers

    against(lambda _: ok(b"{}"), body)


def test_a_cancel_in_the_turn_of_the_answer_is_a_cancel() -> None:
    """A loop that asks every second and is stopped just then must not go on for ever."""

    async def body(peer: Peer, client: BinanceRest) -> None:
        del peer
        await client.connect(1)
        asking = asyncio.create_task(client.request("GET", "/fapi/v1/time"))
        await asyncio.sleep(0)
        (connection,) = client._opened
        assert connection._waiter is not None, "written, and waiting"
        connection._waiter.set_result(Response(200, {}, b"{}"))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    against(lambda _: ok(b"{}"), body)


def test_submit_writes_at_once_on_an_idle_connection_only() -> None:
    async def body(peer: Peer, client: BinanceRest) -> None:
        assert client.submit("POST", "/order") is None
        await client.connect(1)
        answer = client.submit("POST", "/order", {"a": 1}, signed=True)
        assert answer is not None
        assert client.submit("POST", "/order") is None
        assert (await answer).status == 200
        await asyncio.sleep(0)
        again = client.submit("POST", "/order")
        assert again is not None
        await again
        assert peer.connection_count == 1

    against(lambda _: ok(b"{}"), body)


def test_chunked_answers_are_put_together() -> None:
    async def body(_: Peer, client: BinanceRest) -> None:
        response = await client.request("GET", "/x")
        assert response.body == b"hello world"
        assert (await client.request("GET", "/x")).body == b"hello world"

    chunks = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    against(lambda _: reply, body)


def test_a_dead_kept_alive_connection_costs_a_read_nothing() -> None:
    answers = iter([ok(b"1"), None, ok(b"2")])

    async def body(peer: Peer, client: BinanceRest) -> None:
        assert (await client.request("GET", "/x")).body == b"1"
        assert (await client.request("GET", "/x")).body == b"2"
        assert peer.connection_count == 2

    against(lambda _: next(answers), body)


def test_connections_that_the_venue_closes_are_forgotten() -> None:
    async def body(peer: Peer, client: BinanceRest) -> None:
        for round_count in range(1, 6):
            await client.connect(3)
            await until(lambda: peer.connection_count == 3 * round_count)  # noqa: B023  awaited
            for writer in peer.writers:
                writer.close()
            await until(lambda: client.idle_count == 0)
        await client.connect(1)
        assert len(client._idle) == 1

    against(lambda _: ok(b"{}"), body)


def test_an_order_whose_connection_dies_is_of_unknown_outcome_and_not_repeated() -> None:
    async def body(peer: Peer, client: BinanceRest) -> None:
        with pytest.raises(OutcomeUnknownError):
            await client.request("POST", "/fapi/v1/order")
        assert len(peer.heads) == 1

    against(lambda _: None, body)


def test_silence_is_of_unknown_outcome() -> None:
    async def body(_: Peer, client: BinanceRest) -> None:
        with pytest.raises(OutcomeUnknownError):
            await client.request("POST", "/x", timeout_s=0.05)
        assert (await client.request("GET", "/y")).body == b"{}"

    against(lambda head: b"" if b"POST" in head else ok(b"{}"), body)


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
    ],
)
def test_what_is_not_http_is_a_protocol_error(reply: bytes) -> None:
    async def body(_: Peer, client: BinanceRest) -> None:
        with pytest.raises(ProtocolError):
            await client.request("POST", "/x")

    against(lambda _: reply, body)


def test_nobody_listening_is_unreachable() -> None:
    async def run() -> None:
        client = BinanceRest("http://127.0.0.1:1", VenueClock())
        with pytest.raises(VenueUnreachableError):
            await client.request("GET", "/x")

    asyncio.run(run())


def test_after_429_only_urgent_requests_go_out() -> None:
    async def body(peer: Peer, client: BinanceRest) -> None:
        response = await client.request("GET", "/x")
        assert response.status == 429
        assert 3 < client.blocked_s() <= 4
        with pytest.raises(RateLimitError):
            await client.request("GET", "/x")
        assert len(peer.heads) == 1
        assert (await client.request("DELETE", "/order", urgent=True)).status == 429
        assert client.used_weight == 2399

    reply = (
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 4\r\nX-MBX-USED-WEIGHT-1M: 2399\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    against(lambda _: reply, body)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"code":-1013,"msg":"filter"}', FilterError),
        (400, b'{"code":-1021,"msg":"clock"}', ClockError),
        (401, b'{"code":-2015,"msg":"key"}', CredentialError),
        (400, b'{"code":-2011,"msg":"unknown order"}', OrderAbsentError),
        (400, b'{"code":-2019,"msg":"margin"}', RejectedError),
        (400, b'{"code":-1007,"msg":"timeout"}', OutcomeUnknownError),
        (503, b'{"code":0,"msg":"Unknown error, please check"}', OutcomeUnknownError),
        (503, b'{"code":0,"msg":"Service Unavailable."}', NotExecutedError),
        (503, b"Service Unavailable.", OutcomeUnknownError),  # a gateway's page says so too
        (503, b'{"code":-1008,"msg":"throttled"}', NotExecutedError),
        (408, b"", OutcomeUnknownError),
        (429, b'{"code":-1003,"msg":"rate"}', RateLimitError),
        (418, b"", RateLimitError),
        (403, b"<html>", RejectedError),
        (200, b"not json", type(None)),
        (400, b"<html>proxy</html>", OutcomeUnknownError),
    ],
)
def test_every_answer_has_one_class(status: int, body: bytes, kind: type) -> None:
    found = classify(Response(status, {"retry-after": "7"}, body))
    assert type(found) is kind
    if isinstance(found, RateLimitError):
        assert found.retry_after_s == 7
    if isinstance(found, VenueError):
        assert found.http_status == status


def test_urls_name_an_endpoint_or_are_refused() -> None:
    endpoint = parse_url("wss://fstream.binance.com/market/")
    assert (endpoint.host, endpoint.port, endpoint.secure) == ("fstream.binance.com", 443, True)
    assert (endpoint.path, endpoint.host_header) == ("/market", "fstream.binance.com")
    assert parse_url("http://h:81").host_header == "h:81"
    for text in ("", "h:80", "ftp://h", "http://"):
        with pytest.raises(ValueError, match="URL"):
            parse_url(text)


def test_heads_and_queries() -> None:
    assert split_head(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nx:  y ") == (
        503,
        {"retry-after": "1", "x": "y"},
    )
    assert encode_query({"a": 1, "b": "x&y", "c": ""}) == b"a=1&b=x%26y"
