"""What a peer may send behind, before and in an answer, and what a client's end makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from engine.venues.binance.http import HEAD_BYTES_MAX, HttpConnection, whole_number
from engine.venues.venue import OutcomeUnknownError, ProtocolError

GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
FIRST = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst"
SECOND = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n"


class Wire(asyncio.Transport):
    """Takes what is written, and knows whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Forget it."""

    def close(self) -> None:
        """Be closed from now on."""
        self.is_closed = True

    def is_closing(self) -> bool:
        """Return whether it was closed."""
        return self.is_closed


def on_a_connection(scene: Callable[[HttpConnection], None]) -> None:
    async def run() -> None:
        connection = HttpConnection()
        connection.connection_made(Wire())
        scene(connection)

    asyncio.run(run())


@pytest.mark.parametrize("answer", [FIRST, CHUNKED])
@pytest.mark.parametrize("behind", [SECOND, b"HTTP/1.1", b"\n"])
def test_what_comes_behind_an_answer_is_nobodys(answer: bytes, behind: bytes) -> None:
    def scene(connection: HttpConnection) -> None:
        asked = connection.send(b"an order")
        assert asked is not None
        connection.data_received(answer + behind)
        assert asked.result().body == b"first"
        assert not connection.usable, "the next request would get a stranger's answer"
        assert connection.send(b"the next") is None

    on_a_connection(scene)


def test_an_answer_to_itself_leaves_the_connection_as_it_was() -> None:
    def scene(connection: HttpConnection) -> None:
        for _ in range(2):
            asked = connection.send(b"an order")
            assert asked is not None
            for byte in CHUNKED:
                connection.data_received(bytes((byte,)))
            assert asked.result().body == b"first"
            assert connection.usable

    on_a_connection(scene)


def test_being_told_to_go_on_however_often_is_no_answer() -> None:
    def scene(connection: HttpConnection) -> None:
        asked = connection.send(b"an order")
        assert asked is not None
        connection.data_received(GO_ON * 5_000)
        assert not asked.done()
        connection.data_received(FIRST)
        assert asked.result().body == b"first"

    on_a_connection(scene)


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    def scene(connection: HttpConnection) -> None:
        asked = connection.send(b"an order")
        assert asked is not None
        connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nfir")
        connection.data_received(b"st")
        assert not asked.done()
        connection.connection_lost(None)
        assert asked.result().body == b"first"

    on_a_connection(scene)


@pytest.mark.parametrize("cut", [b"", b"HTTP/1.1 200", FIRST[:-1], CHUNKED[:-1], CHUNKED[:-12]])
def test_an_answer_that_is_cut_leaves_the_outcome_open(cut: bytes) -> None:
    def scene(connection: HttpConnection) -> None:
        asked = connection.send(b"an order")
        assert asked is not None
        connection.data_received(cut)
        connection.connection_lost(None)
        assert isinstance(asked.exception(), OutcomeUnknownError)
        assert not connection.usable
        assert isinstance(connection.follow(b"rest").exception(), OutcomeUnknownError)

    on_a_connection(scene)


def test_whoever_lends_a_connection_hears_first_and_nobody_else_does() -> None:
    def scene(connection: HttpConnection) -> None:
        heard: list[int] = []
        asked = connection.send(b"an order")
        assert asked is not None
        connection.on_unasked = lambda: heard.append(1)
        connection.data_received(FIRST)
        assert heard == [], "it was asked for"
        connection.data_received(FIRST)
        assert heard == [1]
        connection.connection_lost(None)
        assert heard == [1, 1]

    on_a_connection(scene)


def test_the_end_of_a_connection_that_nobody_uses_is_no_news() -> None:
    def scene(connection: HttpConnection) -> None:
        connection.data_received(FIRST)
        connection.connection_lost(None)
        assert not connection.usable

    on_a_connection(scene)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 " + b"2" * 5_000 + b" OK",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: " + "\u0665".encode(),
        b"HTTP/1.1",
        b"",
        b"x" * (HEAD_BYTES_MAX + 1),
    ],
)
def test_a_head_that_says_no_number_is_no_answer(head: bytes) -> None:
    def scene(connection: HttpConnection) -> None:
        asked = connection.send(b"an order")
        assert asked is not None
        connection.data_received(head + b"\r\n\r\n")
        assert isinstance(asked.exception(), ProtocolError)
        assert len(str(asked.exception())) < 200
        assert not connection.usable

    on_a_connection(scene)


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("007", 7), ("9" * 18, 10**18 - 1), ("9" * 19, None), ("", None), ("-1", None)],
)
def test_a_number_of_a_header_is_of_digits_that_fit_a_word(text: str, number: int | None) -> None:
    assert whole_number(text) == number
