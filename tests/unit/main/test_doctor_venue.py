"""`aegis doctor` asks a venue that is named, and says in a sentence why it would not do."""

from __future__ import annotations

import socket
import threading

import pytest

from engine.config import Config, VenueConfig
from engine.processes.doctor_venue import look_at_venue


class OneAnswer:
    """A server that answers one request with a status."""

    def __init__(self, status: str) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.asked = b""
        self._status = status
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self.socket.accept()
        with connection:
            self.asked = connection.recv(4096)
            connection.sendall(f"HTTP/1.1 {self._status}\r\nContent-Length: 2\r\n\r\n{{}}".encode())

    def close(self) -> None:
        self._thread.join(10)
        self.socket.close()


def venue(url: str) -> Config:
    return Config(venue=VenueConfig(name="binance", rest_url=url))


@pytest.mark.parametrize(
    ("status", "good", "words"),
    [
        ("200 OK", True, "127.0.0.1 answers with HTTP 200"),
        ("451 Unavailable For Legal Reasons", False, "does not serve the place"),
        ("403 Forbidden", False, "web firewall refused"),
        ("418 I'm a teapot\r\nRetry-After: 600", False, "banned for 10 min"),
        ("503 Service Unavailable", False, "busy or down"),
        ("400 Bad Request", False, "answers with HTTP 400"),
    ],
)
def test_an_answer_is_said_in_a_sentence(status: str, good: bool, words: str) -> None:
    server = OneAnswer(status)
    try:
        (finding,) = look_at_venue(venue(server.url))
    finally:
        server.close()
    assert server.asked.startswith(b"GET /fapi/v1/ping HTTP/1.1\r\n")
    assert finding.good is good
    assert words in finding.found
    assert not finding.fatal, "the engine starts and waits"


def test_nobody_there_is_said_in_a_sentence() -> None:
    (finding,) = look_at_venue(venue("http://127.0.0.1:1"))
    assert not finding.good
    assert finding.found == "127.0.0.1:1: nobody listens there"


def test_a_practice_venue_of_our_own_is_not_asked() -> None:
    assert look_at_venue(Config()) == []
