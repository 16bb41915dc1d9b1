"""How many venue frames a second does one core turn into ring records?

`python -m bench.decode [--json FILE] [--passes N]`

The recorded BTCUSDT and ETHUSDT captures (synthetic frames where there are none) are written by a
second process as fast as the socket takes them; the receiver decodes, checks, keeps the books and
publishes. Against the usual way (asyncio, websockets without compression, json, floats) and against
picows with the same C decoder called from Python. Figures are per second of the receiver's CPU
time: wall time also measures who else used the machine. Every pass starts with fresh books and ids,
so nothing is refused as seen before; the number of records is checked in each pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import heapq
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import picows
import uvloop
import websockets

from bench import harness
from bench.sides.typed_frames import Wrapped
from engine.domain.firewall_reasons import FirewallReason
from engine.domain.instrument_row import (
    INSTRUMENT_BYTES,
    SEGMENT_ROWS_OFFSET,
    Instrument,
    InstrumentFlag,
    pack_row,
    step_parts,
    unit_e8,
)
from engine.venues.binance.http import parse_url
from engine.venues.binance.market import LAWS, cadence_words
from engine.venues.binance.stream_connection import open_stream
from native_ext._feed import Core
from ringbuffer.ring import Ring

CAPTURES: Final = sorted((harness.ROOT.parent / "shared/data/hftbacktest").glob("usdm_*.gz"))
STEPS: Final = {"BTCUSDT": ("0.10", "0.001"), "ETHUSDT": ("0.01", "0.001")}
RING_SLOTS: Final = 262_144
CLOCK_ERROR_NS: Final = 3_600_000_000_000  # the whole capture passes in an instant
SYNTHETIC_FRAMES: Final = 150_000
FRAMES, RECORDS = 2, 3  # positions in the core's counters

BENCH: Final = harness.Bench(
    name="decode",
    question="How many recorded frames a second does one core turn into ring records?",
    load="both captures (bookTicker 71 %, trade 21 %, depth 8 % with 66 levels each), loopback",
    worry="fewer than 1,000,000 messages a second of CPU for the feed's own listener",
    units={
        "messages/s CPU": "1/s",
        "messages/s wall": "1/s",
        "CPU per message": "ns",
        "records": "records",
        "count": "messages",
    },
    baseline="usual: websockets + json",
    baselines={
        "decode only: C, called per frame": "decode only: json",
        "decode only: msgspec typed": "decode only: json",
        "decode only: json": "decode only: json",
    },
)


class Recording:
    """The frames of all captures in order of arrival, and the snapshots before which they came."""

    def __init__(self) -> None:
        """Read the captures, or make frames up."""
        self.symbols = list(STEPS)
        self.first: list[bytes] = []  # up to the last snapshot: prepares books
        self.frames: list[bytes] = []
        self.snapshots: dict[int, tuple[int, bytes]] = {}
        for stamped in self._lines():
            frame = stamped[1]
            if frame.startswith(b'{"lastUpdateId"'):
                self.snapshots[len(self.frames)] = (stamped[2], frame)
            else:
                self.frames.append(frame)
        cut = max(self.snapshots, default=0)
        self.first, self.frames = self.frames[:cut], self.frames[cut:]
        self.venue_ms = msgspec.json.decode(self.frames[0])["data"]["E"]

    def _lines(self) -> Iterator[tuple[int, bytes, int]]:
        if not CAPTURES:
            yield from synthetic()
            return

        def one(index: int, path: Path) -> Iterator[tuple[int, bytes, int]]:
            with gzip.open(path) as lines:
                for line in lines:
                    stamp, _, frame = line.rstrip(b"\n").partition(b" ")
                    yield int(stamp), frame, index

        yield from heapq.merge(*(one(index, path) for index, path in enumerate(CAPTURES)))

    def wire(self) -> bytes:
        """Return the frames as a server writes them."""
        parts = []
        for frame in self.frames:
            length = len(frame)
            parts.append(b"\x81" + (bytes([length]) if length < 126 else _long(length)))
            parts.append(frame)
        return b"".join(parts)


def _long(length: int) -> bytes:
    return (
        b"\x7e" + length.to_bytes(2, "big")
        if length < 65_536
        else (b"\x7f" + length.to_bytes(8, "big"))
    )


def synthetic() -> Iterator[tuple[int, bytes, int]]:
    """Yield quotes and trades of one instrument, for a machine without captures."""
    for n in range(SYNTHETIC_FRAMES):
        price, ms = 618_000 + n % 50, 1_723_161_256_000 + n // 100
        kind = "trade" if n % 4 == 0 else "bookTicker"
        data: dict[str, object]
        if kind == "trade":
            data = {"e": kind, "E": ms, "T": ms, "s": "BTCUSDT", "t": n + 1}
            data |= {"p": f"{price / 10:.2f}", "q": "0.006", "m": n % 8 == 0}
        else:
            data = {"e": kind, "u": n + 1, "s": "BTCUSDT", "b": f"{price / 10:.2f}", "B": "2.507"}
            data |= {"a": f"{(price + 1) / 10:.2f}", "A": "2.510", "T": ms, "E": ms}
        frame = msgspec.json.encode({"stream": f"btcusdt@{kind}", "data": data})
        yield n, frame, 0


class Receiver:
    """A fresh core over a ring that nobody gates, prepared up to the snapshots."""

    def __init__(self, recording: Recording) -> None:
        """Decode what comes before the snapshots, and load them."""
        self.ring = Ring.local("bench-decode", RING_SLOTS, 64)
        self.core = Core(packed(instruments()), LAWS, cadence_words(may_lack_channels=True))
        self.core.attach(self.ring.segment.buffer, os.getpid(), 1)
        now_ns = time.monotonic_ns()
        self.core.set_clock(now_ns, recording.venue_ms * 1_000_000, 0, CLOCK_ERROR_NS)
        for number, frame in enumerate(recording.first):
            if number in recording.snapshots:
                index, body = recording.snapshots[number]
                self.core.load_snapshot(index, body, 1000, now_ns)
            self.core.decode(frame, now_ns)
        last = recording.snapshots.get(len(recording.first))
        if last is not None:
            self.core.load_snapshot(last[0], last[1], 1000, now_ns)
        self.records_before = self.core.counters()[RECORDS]
        self.frames_before = self.core.counters()[FRAMES]

    def frame_count(self) -> int:
        """Return how many frames were decoded since the preparation."""
        return self.core.counters()[FRAMES] - self.frames_before

    def close(self) -> int:
        """Check that nothing else was refused; return how many records were published."""
        refused = list(self.core.rejects())
        # A snapshot of 1,000 levels ends. When the price has left them, a side stays empty until
        # the book is fetched again, which nobody does here: its quotes are then held against it.
        refused[FirewallReason.BOOK_DIVERGED] = 0
        assert not any(refused), refused
        records = self.core.counters()[RECORDS] - self.records_before
        self.core.detach()
        self.ring.close()
        return records


def _instrument(symbol: str, tick: str, lot: str, index: int) -> Instrument:
    tick_scaled, price_exponent = step_parts(tick)
    lot_scaled, qty_exponent = step_parts(lot)
    return Instrument(
        symbol=symbol,
        instrument_index=index,
        flags=int(InstrumentFlag.TRADING | InstrumentFlag.PERPETUAL | InstrumentFlag.BOOK),
        price_exponent=price_exponent,
        qty_exponent=qty_exponent,
        tick_scaled=tick_scaled,
        lot_scaled=lot_scaled,
        unit_e8=unit_e8(tick, lot),
    )


def instruments() -> list[Instrument]:
    """Return the two recorded instruments."""
    return [
        _instrument(symbol, *steps, index) for index, (symbol, steps) in enumerate(STEPS.items())
    ]


def packed(rows: Sequence[Instrument]) -> bytes:
    """Return instruments as the decoder takes them."""
    raw = bytearray(SEGMENT_ROWS_OFFSET + len(rows) * INSTRUMENT_BYTES)
    for index, row in enumerate(rows):
        pack_row(row, raw, index)
    return bytes(raw[SEGMENT_ROWS_OFFSET:])


class _Picows(picows.WSListener):
    def __init__(self, core: Core, count: int) -> None:
        self._core, self._left = core, count
        self.done = asyncio.get_running_loop().create_future()

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        self._core.decode(frame.get_payload_as_bytes(), time.monotonic_ns())
        self._left -= 1
        if self._left == 0:
            self.done.set_result(None)
            transport.disconnect()


async def ours(recording: Recording, receiver: Receiver, port: int) -> None:
    """Receive with the feed's own listener."""
    endpoint = parse_url(f"ws://127.0.0.1:{port}")
    connection = await open_stream(receiver.core, endpoint, "/public/stream")
    count = len(recording.frames)
    while receiver.frame_count() < count:  # noqa: ASYNC110  counted in C
        await asyncio.sleep(0.001)
    connection.close("done")
    await connection.closed


async def with_picows(recording: Recording, receiver: Receiver, port: int) -> None:
    """Receive with picows and call the decoder once per frame."""
    _, listener = await picows.ws_connect(
        lambda: _Picows(receiver.core, len(recording.frames)), f"ws://127.0.0.1:{port}/x"
    )
    assert isinstance(listener, _Picows)
    await listener.done


async def usual(recording: Recording, port: int) -> int:
    """Receive the way most programs do: text, json, floats."""
    total = 0.0
    async with websockets.connect(
        f"ws://127.0.0.1:{port}/x", compression=None, max_size=None, ping_interval=None
    ) as connection:
        for _ in range(len(recording.frames)):
            total += understood(json.loads(await connection.recv()))
    assert total > 0
    return len(recording.frames)


def understood(document: dict[str, dict[str, Any]]) -> float:
    """Return a number that depends on every number a frame carries."""
    data = document["data"]
    if data["e"] == "bookTicker":
        return float(data["b"]) + float(data["a"]) + float(data["B"]) + float(data["A"])
    if data["e"] == "trade":
        return float(data["p"]) * float(data["q"])
    levels = [*data["b"], *data["a"]]
    return sum((float(price) * float(quantity) for price, quantity in levels), 0.0)


def timed(count: int, work: Callable[[], int]) -> harness.Pass:
    """Run `work`; return its rates by this process's CPU time and by the wall."""
    cpu_ns, wall_ns = time.process_time_ns(), time.monotonic_ns()
    records = work()
    cpu_ns, wall_ns = time.process_time_ns() - cpu_ns, time.monotonic_ns() - wall_ns
    return {
        "messages/s CPU": count * 1e9 / cpu_ns,
        "messages/s wall": count * 1e9 / wall_ns,
        "CPU per message": cpu_ns / count,
        "records": float(records),
        "count": float(count),
    }


def socket_cases(recording: Recording, port: int) -> dict[str, harness.Case]:
    """Return the cases that receive from the server."""
    count = len(recording.frames)

    def receive(how: Callable[[Recording, Receiver, int], object]) -> harness.Pass:
        receiver = Receiver(recording)

        def work() -> int:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(how(recording, receiver, port))  # type: ignore[arg-type]
            return receiver.close()

        return timed(count, work)

    return {
        "socket to ring: feed's listener": lambda: receive(ours),
        "socket to ring: picows, C per frame": lambda: receive(with_picows),
        "usual: websockets + json": lambda: timed(
            count, lambda: asyncio.run(usual(recording, port))
        ),
    }


def decode_cases(recording: Recording) -> dict[str, harness.Case]:
    """Return the cases without a socket."""
    count = len(recording.frames)

    def in_c() -> harness.Pass:
        receiver = Receiver(recording)
        now_ns = time.monotonic_ns()

        def work() -> int:
            decode = receiver.core.decode
            for frame in recording.frames:
                decode(frame, now_ns)
            return receiver.close()

        return timed(count, work)

    def with_json() -> int:
        total = sum(understood(json.loads(frame)) for frame in recording.frames)
        assert total > 0
        return count

    def with_msgspec() -> int:
        decoder = msgspec.json.Decoder(Wrapped, strict=False)
        total = sum(len(decoder.decode(frame).stream) for frame in recording.frames)
        assert total > 0
        return count

    return {
        "decode only: C, called per frame": in_c,
        "decode only: msgspec typed": lambda: timed(count, with_msgspec),
        "decode only: json": lambda: timed(count, with_json),
    }


@contextlib.contextmanager
def frame_server(recording: Recording, core: int) -> Iterator[tuple[int, int]]:
    """Serve the recording from another process; yield its port and process id."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(recording.wire())
        file.flush()
        server = subprocess.Popen(
            [sys.executable, "-m", "bench.sides.frame_server", file.name, str(core)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None
            yield int(server.stdout.readline()), server.pid
        finally:
            server.kill()
            server.communicate()


def main() -> None:
    """Measure, print the table, write the JSON."""
    options = harness.arguments(__doc__ or "")
    about = harness.machine()
    receiver_core, server_core = harness.two_cores()
    recording = Recording()
    with frame_server(recording, server_core) as (port, pid):
        os.sched_setaffinity(0, {receiver_core})
        cases = socket_cases(recording, port) | decode_cases(recording)
        results = harness.measure(cases, options, [pid])
    harness.finish(BENCH, results, about, options.json)


if __name__ == "__main__":
    main()
