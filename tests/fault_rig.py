"""What tests of the exchange's faults share: a ticking market and streams read byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from exchange import frames
from exchange.server import Options
from tests.exchange_rig import (
    DEADLINE_S,
    START_MS,
    Answer,
    Rest,
    Running,
    TapeWriter,
    running,
    tape_of,
    until,
)

STEP_MS = 5
TICKS = 2_000  # ten seconds of market
QUOTES = "btcusdt@bookTicker"
DIFFS = "btcusdt@depth"
TRADES = "btcusdt@trade"
QUOTE_ROUTE = f"/public/ws/{QUOTES}"
DIFF_ROUTE = f"/public/ws/{DIFFS}"

Frame = dict[str, Any]


def price(tick: int) -> str:
    return f"{60_000 + tick % 7 / 10:.2f}"


def ticking_tape(folder: Path, *, symbol: str = "BTCUSDT", ticks: int = TICKS) -> Path:
    """Write a market whose every tick is one diff, one quote and one trade, all numbered."""
    tape = TapeWriter(symbol)
    tape.snapshot(0, 100, [("60000.00", "1.000")], [("60000.90", "1.000")])
    for k in range(ticks):
        at_ms, u = 10 + STEP_MS * k, 101 + k
        level = (price(k), f"{k % 9 + 1}.000")
        tape.diff(at_ms, (u, u, u - 1), [level], [])
        tape.quote(at_ms + 1, u, level, ("60000.90", "1.000"))
        tape.trade(at_ms + 2, 1 + k, price(k), "0.010", seller=k % 2 == 0)
    return tape.write(folder / f"ticking-{symbol}")


@contextlib.asynccontextmanager
async def ticking(
    folder: Path, options: Options | None = None, *, symbols: tuple[str, ...] = ("BTCUSDT",)
) -> AsyncIterator[Running]:
    """Run an exchange that plays the ticking market."""
    paths = [ticking_tape(folder, symbol=symbol) for symbol in symbols]
    options = replace(options or Options(), start_ms=START_MS)
    async with running(tape_of(*paths), options) as exchange:
        yield exchange


async def fault(rest: Rest, **order: object) -> Answer:
    """Order a fault that must be understood."""
    answer = await rest.practice("/practice/fault", order)
    assert answer.status == 200, answer.json
    return answer


async def register_of(rest: Rest) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = (await rest.open("/practice/faults")).json
    return found


async def ended(exchange: Running, fault_id: int) -> dict[str, Any]:
    """Wait until a fault is over and return its row of the register."""
    register = exchange.exchange.faults.register

    def row() -> dict[str, Any] | None:
        rows: Any = register.view()["ended"]
        return next((one for one in rows if one["id"] == fault_id), None)

    await until(lambda: row() is not None)
    found = row()
    assert found is not None
    return found


@dataclass
class RawStream:
    """A WebSocket read frame by frame, whatever the frames hold."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    pongs: bool = True
    pings: list[bytes] = field(default_factory=list)

    async def frame(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame."""
        async with asyncio.timeout(DEADLINE_S):
            head = await self.reader.readexactly(2)
            size = head[1]
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self.reader.readexactly(8), "big")
            return head[0] & 0x0F, await self.reader.readexactly(size)

    async def payload(self) -> bytes:
        """Return the payload of the next text frame; answer pings on the way."""
        while True:
            opcode, payload = await self.frame()
            if opcode == frames.PING:
                self.pings.append(payload)
                if self.pongs:
                    self.send(frames.PONG, payload)
            elif opcode == frames.TEXT:
                return payload

    async def next(self) -> Frame:
        found: Frame = json.loads(await self.payload())
        return found

    async def take(self, count: int) -> list[Frame]:
        return [await self.next() for _ in range(count)]

    async def closing(self) -> int:
        """Read on until the stream is closed; return its close code, 0 when it was cut."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                opcode, payload = await self.frame()
                if opcode == frames.CLOSE:
                    self.close()
                    return int.from_bytes(payload[:2], "big")
                if opcode == frames.PING and self.pongs:
                    self.send(frames.PONG, payload)
        self.close()
        return 0

    async def silent_for(self, seconds: float) -> bool:
        """Tell whether not one byte arrives for a while."""
        try:
            async with asyncio.timeout(seconds):
                await self.reader.readexactly(1)
        except TimeoutError:
            return True
        return False

    async def until_silent(self, seconds: float) -> list[Frame]:
        """Read frames until none comes for a while."""
        read: list[Frame] = []
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(seconds):
                    read.append(await self.next())
        return read

    def send(self, opcode: int, payload: bytes) -> None:
        """Send one masked frame."""
        mask = b"\x05\x06\x07\x08"
        body = bytes(byte ^ mask[k % 4] for k, byte in enumerate(payload))
        self.writer.write(bytes((0x80 | opcode, 0x80 | len(payload))) + mask + body)

    def ask(self, method: str, *names: str) -> None:
        """Send a control message."""
        text = json.dumps({"method": method, "params": names, "id": 1}).encode()
        assert len(text) < 126
        self.send(frames.TEXT, text)

    def close(self) -> None:
        self.writer.close()


async def upgrade_answer(port: int, path: str) -> tuple[bytes, RawStream]:
    """Ask for an upgrade; return the head of the answer and the stream behind it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    async with asyncio.timeout(DEADLINE_S):
        head = await reader.readuntil(b"\r\n\r\n")
    return head, RawStream(reader, writer)


async def raw_stream(port: int, path: str) -> RawStream:
    """Open a stream that is read byte by byte."""
    head, stream = await upgrade_answer(port, path)
    assert b"101 Switching" in head, head
    return stream


def quote_of(update_id: int) -> Frame:
    """Return the ticking market's best quote with an update id."""
    k = update_id - 101
    time_ms = START_MS + 1 + STEP_MS * k
    return {
        "e": "bookTicker", "u": update_id, "s": "BTCUSDT", "b": price(k),
        "B": f"{k % 9 + 1}.000", "a": "60000.90", "A": "1.000", "E": time_ms, "T": time_ms,
    }  # fmt: skip


def good_quote(frame: Frame) -> bool:
    """Tell whether a best quote is exactly one of the ticking market's."""
    update_id = frame.get("u", 0)
    return isinstance(update_id, int) and frame == quote_of(update_id)


def parsed(payload: bytes) -> Frame | None:
    """Return the JSON object of a payload, or None when it is none."""
    try:
        found = json.loads(payload)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def good_payload(payload: bytes) -> bool:
    """Tell whether a payload is exactly one of the ticking market's best quotes."""
    frame = parsed(payload)
    return frame is not None and len(payload) < 1_000 and good_quote(frame)


async def until_good(stream: RawStream, run_length: int = 5) -> list[bytes]:
    """Read until so many good quotes have followed a bad one; return every payload read."""
    read: list[bytes] = []
    bad_seen, good = False, 0
    while good < run_length:
        read.append(await stream.payload())
        if good_payload(read[-1]):
            good += bad_seen
        else:
            bad_seen, good = True, 0
    return read


async def number_of(rest: Rest, place: int) -> int:
    """Return the number of a stream connection, in order of opening."""
    rows = (await rest.open("/practice/connections")).json
    return [row["connection"] for row in rows if row["category"] != "rest"][place]


async def contiguous(stream: RawStream, count: int = 20) -> list[int]:
    """Read frames that must be good and without a gap; return their ids."""
    read = await stream.take(count)
    assert all(good_quote(frame) for frame in read)
    ids: list[int] = [frame["u"] for frame in read]
    assert ids == list(range(ids[0], ids[0] + count))
    return ids
