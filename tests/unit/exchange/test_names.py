"""The name server that stands in for DNS, over a real socket and against hostile queries."""

import asyncio
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.names import A, answer_to, question_of
from exchange.server import Options
from tests.exchange_rig import Running, run
from tests.fault_rig import fault, ticking

AAAA = 28
LOOPBACK = b"\x7f\x00\x00\x01"


def query(name: str, kind: int = A, query_id: int = 7) -> bytes:
    labels = b"".join(bytes((len(part),)) + part.encode() for part in name.split("."))
    return (
        struct.pack(">HHHHHH", query_id, 0x0100, 1, 0, 0, 0)
        + labels
        + struct.pack(">BHH", 0, kind, 1)
    )


def told(answer: bytes) -> tuple[int, int, bytes]:
    """Return id, response code and the address of an answer, empty when it has none."""
    query_id, flags, _, count, _, _ = struct.unpack_from(">HHHHHH", answer)
    assert flags & 0x8000
    return query_id, flags & 0x000F, answer[-4:] if count else b""


async def asked(exchange: Running, name: str, kind: int = A) -> tuple[int, int, bytes]:
    """Ask over UDP; no answer within a moment is a TimeoutError."""
    assert exchange.exchange.names is not None
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", exchange.exchange.names.port))
        await loop.sock_sendall(client, query(name, kind))
        async with asyncio.timeout(0.3):
            return told(await loop.sock_recv(client, 512))


def test_every_name_leads_here_until_it_fails_and_afterwards(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path, Options(names_port=0)) as exchange:
            rest = exchange.rest()
            good = (7, 0, LOOPBACK)
            assert await asked(exchange, "fstream.example.com") == good
            assert await asked(exchange, "fstream.example.com", AAAA) == (7, 0, b"")
            for failure, code in (("nxdomain", 3), ("servfail", 2)):
                answer = await fault(rest, kind="names", failure=failure)
                assert await asked(exchange, "fstream.example.com") == (7, code, b"")
                await fault(rest, kind="end", id=answer.json["id"])
                assert await asked(exchange, "fstream.example.com") == good

    run(test())


def test_one_name_can_fail_and_the_server_can_be_silent(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path, Options(names_port=0)) as exchange:
            rest = exchange.rest()
            await fault(rest, kind="names", name="one.example.com")
            assert (await asked(exchange, "one.example.com"))[1] == 3
            assert (await asked(exchange, "ONE.example.com"))[1] == 3
            assert (await asked(exchange, "two.example.com"))[2] == LOOPBACK
            await fault(rest, kind="clear")
            await fault(rest, kind="names", failure="silent")
            with pytest.raises(TimeoutError):
                await asked(exchange, "one.example.com")
            await fault(rest, kind="clear")
            assert (await asked(exchange, "one.example.com"))[2] == LOOPBACK

    run(test())


def test_without_a_name_server_the_fault_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        async with ticking(tmp_path) as exchange:
            answer = await exchange.rest().practice("/practice/fault", {"kind": "names"})
            assert answer.status == 400
            assert "--names-port" in answer.json["msg"]

    run(test())


@given(st.binary(max_size=600))
def test_hostile_queries_are_ignored_or_answered(data: bytes) -> None:
    question = question_of(data)
    if question is not None:
        answer = answer_to(question, LOOPBACK)
        assert answer is not None
        assert (
            answer[12 : 12 + len(question.raw)] == question.raw == data[12 : 12 + len(question.raw)]
        )


@given(st.integers(min_value=0, max_value=40))
def test_cut_queries_are_ignored(size: int) -> None:
    whole = query("fstream.example.com")
    assert (question_of(whole[:size]) is not None) == (size >= len(whole))


@pytest.mark.parametrize(
    "data",
    [
        query("x")[:2] + b"\x80\x00" + query("x")[4:],  # an answer
        query("x")[:4] + b"\x00\x02" + query("x")[6:],  # two questions
        query("x" * 64),  # a label beyond 63 bytes
        query(".".join(["x" * 60] * 9)),  # beyond 512 bytes
    ],
)
def test_what_is_no_single_question_is_ignored(data: bytes) -> None:
    assert question_of(data) is None
