"""Socket to ring at saturation: how far is the feed from what a Python program would use?

    python -m bench.ingest_peers [--json FILE] [--passes N] [--patience S]

The recorded BTCUSDT and ETHUSDT frames (synthetic ones where there are none), written by a second
process as fast as the socket takes them; recording, server and the feed's own side are those of
`bench.decode`, the others are described in `bench.sides.ingest_usual`. All of them run on uvloop,
one core for the receiver and one for the server. `read only` leaves out books and ring.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import uvloop

from bench import harness
from bench.decode import Recording, frame_server, socket_cases, timed
from bench.sides.ingest_usual import (
    Take,
    UsualFeed,
    msgspec_only,
    msgspec_to,
    orjson_only,
    orjson_to,
    with_aiohttp,
    with_websockets,
)

OURS: Final = "socket to ring: feed's listener"
BASELINE: Final = "websockets + orjson, to the ring"
BENCH: Final = harness.Bench(
    name="ingest_peers",
    question="How many recorded frames a second does each way bring from the socket into a ring?",
    load="both captures (bookTicker 71 %, trade 21 %, depth 8 % with 66 levels each), loopback",
    worry="the feed's listener below 10 times websockets + orjson",
    units={
        "messages/s CPU": "1/s",
        "messages/s wall": "1/s",
        "CPU per message": "ns",
        "records": "records",
        "count": "messages",
    },
    baseline=BASELINE,
)

Receive = Callable[[Recording, int, Take], Awaitable[None]]


def received(recording: Recording, port: int, receive: Receive, take: Take) -> None:
    """Receive every frame on a fresh uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(receive(recording, port, take))  # type: ignore[arg-type]  # an awaitable


def to_ring(
    recording: Recording, port: int, receive: Receive, decoder: Callable[[UsualFeed], Take]
) -> harness.Pass:
    """Run one pass of a usual way into a ring; every frame gives a record."""
    feed = UsualFeed()
    count = len(recording.frames)

    def work() -> int:
        received(recording, port, receive, decoder(feed))
        return feed.close()

    found = timed(count, work)
    assert found["records"] == count, "a record for every frame"
    return found


def read_only(
    recording: Recording, port: int, receive: Receive, decoder: Callable[[], Take]
) -> harness.Pass:
    """Run one pass of a usual way that forgets what it read."""

    def work() -> int:
        received(recording, port, receive, decoder())
        return 0

    return timed(len(recording.frames), work)


def cases(recording: Recording, port: int) -> dict[str, harness.Case]:
    """Return the feed's case and two for each of the others."""
    return {
        OURS: socket_cases(recording, port)[OURS],
        BASELINE: partial(to_ring, recording, port, with_websockets, orjson_to),
        "websockets + orjson, read only": partial(
            read_only, recording, port, with_websockets, orjson_only
        ),
        "aiohttp + msgspec, to the ring": partial(
            to_ring, recording, port, with_aiohttp, msgspec_to
        ),
        "aiohttp + msgspec, read only": partial(
            read_only, recording, port, with_aiohttp, msgspec_only
        ),
    }


def main() -> None:
    """Measure, print the table, write the JSON."""
    asked = harness.arguments(__doc__ or "")
    about = harness.machine()
    receiver_core, server_core = harness.two_cores()
    recording = Recording()
    with frame_server(recording, server_core) as (port, pid):
        os.sched_setaffinity(0, {receiver_core})
        results = harness.measure(cases(recording, port), asked, [pid])
    harness.finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
