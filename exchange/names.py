"""A name server that knows one address: what stands in for DNS, and for its failures.

Every host name leads to this exchange until a fault says otherwise. Queries of one question are
answered as RFC 1035 asks; anything else is ignored, as a firewall would.
"""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from dataclasses import dataclass, field
from typing import cast

from exchange.fault_life import Begin, Fault, listed
from exchange.fault_orders import NamesOrder

A = 1
INTERNET = 1
TTL_S = 1  # a failure is to be noticed, not slept through
MAX_QUERY_BYTES = 512
RCODES = {"servfail": 2, "nxdomain": 3}
SILENT = "silent"

_HEADER = struct.Struct(">HHHHHH")
_RESPONSE = 0x8000
_RECURSION = 0x0180  # desired and available
_POINTER_TO_QUESTION = b"\xc0\x0c"


@dataclass(frozen=True, slots=True)
class Question:
    """One question and the bytes it came in."""

    query_id: int
    name: str
    kind: int
    raw: bytes


def question_of(query: bytes) -> Question | None:
    """Return the one question of a query; None for what is none."""
    if not _HEADER.size < len(query) <= MAX_QUERY_BYTES:
        return None
    query_id, flags, count, *_ = _HEADER.unpack_from(query)
    if flags & _RESPONSE or count != 1:
        return None
    labels: list[str] = []
    place = _HEADER.size
    while place < len(query) and query[place]:
        size = query[place]
        if size > 63 or place + 1 + size >= len(query):
            return None
        labels.append(query[place + 1 : place + 1 + size].decode("ascii", "replace").lower())
        place += 1 + size
    end = place + 5
    if end > len(query):
        return None
    kind, _family = struct.unpack_from(">HH", query, place + 1)
    return Question(query_id, ".".join(labels), kind, query[_HEADER.size : end])


def answer_to(question: Question, address: bytes, failure: str = "") -> bytes | None:
    """Return the answer to a question: the address, a failure, or nothing at all.

    Args:
        question: what was asked.
        address: four bytes; only questions for those are answered with them.
        failure: empty, or a word of `NamesOrder`.
    """
    if failure == SILENT:
        return None
    found = not failure and question.kind == A
    flags = _RESPONSE | _RECURSION | RCODES.get(failure, 0)
    head = _HEADER.pack(question.query_id, flags, 1, int(found), 0, 0)
    record = _POINTER_TO_QUESTION + struct.pack(">HHIH", A, INTERNET, TTL_S, len(address))
    return head + question.raw + (record + address if found else b"")


@dataclass(slots=True, eq=False)
class NameServer(asyncio.DatagramProtocol):
    """Answers over UDP on the loopback."""

    address: bytes = ipaddress.IPv4Address("127.0.0.1").packed
    orders: list[tuple[NamesOrder, Fault]] = field(default_factory=list)
    port: int = 0
    _transport: asyncio.DatagramTransport | None = None

    async def open(self, host: str, port: int) -> int:
        """Start to answer, and return the port."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(host, port))
        self.port = transport.get_extra_info("sockname")[1]
        return self.port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one query."""
        question = question_of(data)
        if question is None or self._transport is None:
            return
        answer = answer_to(question, self.address, self._failure_of(question.name))
        if answer is not None:
            self._transport.sendto(answer, addr)

    def _failure_of(self, name: str) -> str:
        for order, fault in self.orders:
            if order.name in {"", name}:
                fault.uses += 1
                return order.failure
        return ""

    def failing(self, order: NamesOrder) -> Begin:
        """Return a fault that answers something else than the address."""
        return listed(self.orders, order)

    def close(self) -> None:
        """Stop to answer."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None
