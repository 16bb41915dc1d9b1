"""What a refusal means is said in one sentence, and how long it lasts is kept."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from engine.venues.binance.http import parse_url
from engine.venues.binance.refusals import FINAL_PAUSE_S, pause_s, sentence, upgrade_error
from engine.venues.binance.stream_connection import open_stream
from engine.venues.venue import RateLimitError, VenueError, VenueUnreachableError
from tests.stream_server import Session, against

REFUSALS = [
    (451, "", "does not serve the place", VenueUnreachableError, FINAL_PAUSE_S),
    (403, "", "web firewall", VenueUnreachableError, FINAL_PAUSE_S),
    (404, "", "no such path", VenueUnreachableError, FINAL_PAUSE_S),
    (418, "172800", "banned for 48.0 h", RateLimitError, 172_800.0),
    (418, "600", "banned for 10 min", RateLimitError, 600.0),
    (429, "7", "taken in 7 s", RateLimitError, 7.0),
    (429, "soon", "taken in 60 s", RateLimitError, 60.0),
    (429, "31536000000", "taken in 72.0 h", RateLimitError, 259_200.0),  # no ban is longer
    (429, "9" * 5_000, "taken in 60 s", RateLimitError, 60.0),
    (503, "", "busy or down", VenueUnreachableError, 0.0),
    (200, "", "something on the way answered", VenueUnreachableError, 0.0),
]


@pytest.mark.parametrize(("status", "retry_after", "words", "kind", "wait_s"), REFUSALS)
def test_a_status_has_its_sentence_its_error_and_its_pause(
    status: int, retry_after: str, words: str, kind: type[VenueError], wait_s: float
) -> None:
    error = upgrade_error(status, {"retry-after": retry_after} if retry_after else {})
    assert type(error) is kind
    assert str(error).startswith(f"HTTP {status}")
    assert words in str(error)
    assert "\n" not in str(error)
    assert error.http_status == status
    assert pause_s(error) == wait_s


def test_a_status_that_says_enough_by_itself_has_none() -> None:
    assert sentence(400) == ""


def test_the_sentence_of_a_refused_upgrade_reaches_who_opened_it() -> None:
    async def handler(session: Session) -> None:
        await session.shake("451 Unavailable For Legal Reasons")

    async def body(url: str) -> None:
        with pytest.raises(VenueUnreachableError, match="HTTP 451: the venue does not serve"):
            await open_stream(None, parse_url(url), "/x")

    against(handler, body)


def test_a_name_that_does_not_resolve_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()

        async def nowhere(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(loop, "create_connection", nowhere)
        with pytest.raises(VenueUnreachableError, match=r"nowhere\.invalid: the name does not"):
            await open_stream(None, parse_url("ws://nowhere.invalid"), "/x")

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "refused"), "nobody listens there"),
        (TimeoutError(), "no answer in time"),
        (ssl.SSLError(1, "wrong version number"), "no TLS"),
        (ConnectionResetError(104, "reset by peer"), "reset by peer"),
    ],
)
def test_a_socket_that_fails_says_how(
    error: OSError, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async def fails(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", fails)
        with pytest.raises(VenueUnreachableError, match=rf"127\.0\.0\.1:9: .*{words}"):
            await open_stream(None, parse_url("ws://127.0.0.1:9"), "/x")

    asyncio.run(scene())
