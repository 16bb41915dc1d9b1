"""Inputs the fuzzers start from: good frames of every event, alone and one after another.

An input of `c/fuzz_feed.c` is a byte of settings, then lines that end with 0x1e; what else a line
may be stands there. Seeds are made here, so none is recorded data.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

from tests.feed_rig import VENUE_START_MS, Frame, Frames

SEPARATOR = b"\x1e"
FLUSHES_LATE, READER_STALLS, FOLLOWS_STREAM, KNOWS_NO_BOOK = 1, 2, 4, 8
SNAPSHOT_BTC, TIME_PASSES, CHANNEL_LOST, SUBSCRIBED, FLUSH = (
    b"\x01",
    b"\x05",
    b"\x06",
    b"\x07",
    b"\x08",
)
KINDS = ("book_ticker", "trade", "agg_trade", "kline", "mark_price", "force_order")


def compact(frame: Frame) -> bytes:
    """Return a frame in the layout the venue sends."""
    return json.dumps(frame, separators=(",", ":")).encode()


def levels(first: float, step: float, count: int) -> list[list[str]]:
    """Return `count` levels from `first` on."""
    return [[f"{first + i * step:.1f}", f"{1 + i % 7}.{i % 10}00"] for i in range(count)]


def events(symbol: str, mid: float, *, wrapped: bool) -> list[bytes]:
    """Return one frame of each kind."""
    frames = Frames(symbol, mid, wrapped=wrapped)
    changed = {"book_ticker": {"B": "2.500", "A": "2.510"}, "force_order": {"p": "60000.12"}}
    return [
        compact(getattr(frames, kind)(VENUE_START_MS + i, **changed.get(kind, {})))
        for i, kind in enumerate(KINDS)
    ]


def runs(symbol: str) -> list[bytes]:
    """Return, for each kind, lines of five frames in a row."""
    frames = Frames(symbol)
    return [
        SEPARATOR.join(
            compact(getattr(frames, kind)(VENUE_START_MS + 10 * place + i)) for i in range(5)
        )
        for place, kind in enumerate(KINDS)
    ]


def book(count: int, diffs: int) -> bytes:
    """Return lines of a book's life: a diff, the snapshot, more diffs."""
    frames = Frames()
    lines = [compact(frames.depth(VENUE_START_MS, levels(61_799.9, -0.1, 3)))]
    body: Frame = {
        "lastUpdateId": frames.update_id,
        "bids": levels(61_799.9, -0.1, count),
        "asks": levels(61_800.1, 0.1, count),
    }
    lines.append(SNAPSHOT_BTC + compact(body))
    for i in range(diffs):
        bids = [["61799.9", f"{i}.000"], [f"{61_799.8 - i:.1f}", "0.000"]]
        asks = levels(61_800.1 + i / 10, 0.1, 2)
        lines.append(compact(frames.depth(VENUE_START_MS + i, bids, asks)))
    return SEPARATOR.join(lines)


def odd_layouts() -> list[bytes]:
    """Return frames as no venue writes them, but JSON allows."""
    frames = Frames()
    event = frames.trade(VENUE_START_MS)
    extra = {"zz": [1, {"a": "}]"}, None], "long_name": {"deep": [[-1.5e3]]}}
    return [
        json.dumps(event, indent=1).encode(),
        json.dumps({"stream": event["stream"], "data": extra | event["data"], "more": 1}).encode(),
        compact(event).replace(b'"p":', b'"p":"1.0","p":').replace(b"MARKET", b"M\\u0041R"),
        b'{"result":null,"id":1}',
        b'{"e":"serverShutdown","E":1}',
        b'{"e":"kline","k":{"o":"1"},"o":{"s":"BTCUSDT"},"s":"BTCUSDT"}',
        b"[" * 20,
        *findings(),
    ]


def findings() -> list[bytes]:
    """Return what once broke a law; test_fuzz_findings.py says which."""
    frames = Frames(wrapped=False)
    bar = frames.kline(VENUE_START_MS)
    levels_within = frames.kline(VENUE_START_MS, a=[["61800.1", "1"]])
    order = {"o": {"s": "BTCUSDT", "S": "BUY", "p": "1"}}
    return [
        compact({"e": "kline", "k": levels_within.pop("k")} | levels_within),
        compact(bar | order),
        compact(order | bar),
        compact(frames.kline(VENUE_START_MS, T=2**63 // 10**6)),
        compact(frames.depth(VENUE_START_MS, b=0)),
        SEPARATOR.join(
            compact(frames.trade(VENUE_START_MS, q="9000000000000000.000")) for _ in range(3)
        ),
    ]


def feed_inputs() -> list[bytes]:
    """Return the seeds of fuzz_feed.c."""
    alone = [
        *itertools.chain.from_iterable(
            events(symbol, mid, wrapped=wrapped)
            for symbol, mid in (("BTCUSDT", 61_800.0), ("ETHUSDT", 2_681.6))
            for wrapped in (True, False)
        ),
        *odd_layouts(),
    ]
    rows = [*runs("BTCUSDT"), book(5, 3), book(25, 4), book(1, 1)]
    life = SEPARATOR.join(
        [SUBSCRIBED + b"\x02\x00", book(3, 2), CHANNEL_LOST + b"\x02\x00", TIME_PASSES, FLUSH]
    )
    settings = (0, FLUSHES_LATE, READER_STALLS, FOLLOWS_STREAM, KNOWS_NO_BOOK)
    seeds = [b"\0" + line for line in alone]
    seeds += [bytes([setting]) + row for row in rows for setting in settings]
    return [*seeds, b"\0" + life, bytes([READER_STALLS]) + SEPARATOR.join([*rows[:4], life])]


def framing_inputs() -> list[bytes]:
    """Return the seeds of fuzz_frames.c."""
    text, ping, begin, end = b"\x81\x02{}", b"\x89\x01p", b"\x01\x03abc", b"\x80\x01z"
    long_text = b"\x81\x7e\x00\x80" + b"x" * 128
    huge = b"\x81\x7f" + (600_000).to_bytes(8, "big") + b"y" * 40
    return [
        b"\x00" + text * 3,
        b"\x01" + begin + ping + end + text,
        b"\x05" + long_text + b"\x88\x02\x03\xe8",
        b"\x02" + huge,
        b"\x03" + begin + b"\x00\x02yy" + huge,
    ]


def write(folder: Path, inputs: list[bytes]) -> list[Path]:
    """Write each input into a file of its own; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"seed-{number:03}" for number in range(len(inputs))]
    for path, data in zip(paths, inputs, strict=True):
        path.write_bytes(data)
    return paths
