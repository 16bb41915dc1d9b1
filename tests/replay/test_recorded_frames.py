"""Recorded markets: every frame means in C what it means in plain Python."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.domain.codes import LEVEL_LAST_OF_DIFF, LEVEL_SNAPSHOT_FIRST, RecordType
from tests.feed_decoder import LevelReader, ReferenceBook, decode_event, payload_of
from tests.feed_rig import BTC, ETH, MS, FeedRig, S, instrument

QUICK_LINES = 6_000


def capture_lines(path: Path, count: int | None) -> Iterator[tuple[int, bytes]]:
    with gzip.open(path) as lines:
        for number, line in enumerate(lines):
            if number == count:
                return
            stamp, _, frame = line.rstrip(b"\n").partition(b" ")
            yield int(stamp), frame


class Comparison:
    """Plays one capture into both decoders and compares record by record."""

    def __init__(self, path: Path) -> None:
        self.symbol = "BTCUSDT" if "btc" in path.name else "ETHUSDT"
        self.index = 0 if self.symbol == "BTCUSDT" else 1
        self.rig = FeedRig([BTC, ETH], capacity=8192, error_ns=600 * S)
        self.instruments = {"BTCUSDT": BTC, "ETHUSDT": ETH}
        self.book = ReferenceBook(self.instruments[self.symbol])
        self.reader = LevelReader()
        self.start_ns = 0
        self.compared = 0
        self.books_compared = 0

    def play(self, stamp: int, frame: bytes) -> None:
        self.start_ns = self.start_ns or stamp
        self.rig.now_ns = 1_000 * S + stamp - self.start_ns
        if frame.startswith(b'{"lastUpdateId"'):
            assert self.rig.snapshot(self.index, frame) == 0
            self.book.snapshot(json.loads(frame))
            self._compare([])
            return
        assert self.rig.decode(frame) == 0, frame[:200]
        data = payload_of(frame)
        if data["e"] == "depthUpdate":
            self.book.diff(data)
        self._compare(decode_event(self.instruments, data))

    def _compare(self, expected: list[dict[str, int]]) -> None:
        records = self.rig.records()
        levels = records[records["record_type"] == RecordType.LEVEL]
        for level in levels:
            self.reader.apply(level, LEVEL_SNAPSHOT_FIRST)
        if len(levels):
            self._compare_book(levels)
        plain = records[records["record_type"] < RecordType.LIVENESS]
        plain = plain[plain["record_type"] != RecordType.LEVEL]
        assert len(plain) == len(expected)
        for record, wanted in zip(plain, expected, strict=True):
            assert {name: int(record[name]) for name in wanted} == wanted
            assert record["receive_time_ns"] == self.rig.now_ns
            self.compared += 1

    def _compare_book(self, levels: NDArray[np.void]) -> None:
        assert levels["flags"][-1] & LEVEL_LAST_OF_DIFF
        assert not (levels["flags"][:-1] & LEVEL_LAST_OF_DIFF).any()
        assert (levels["update_id"] == self.book.update_id).all()
        # Beyond the snapshot's own reach neither book knows every level.
        bids, asks = self.reader.top()
        wanted_bids, wanted_asks = self.book.top(20)
        known = min(len(bids), 10), min(len(asks), 10)
        assert bids[: known[0]] == wanted_bids[: known[0]]
        assert asks[: known[1]] == wanted_asks[: known[1]]
        self.books_compared += 1


def compare_capture(path: Path, count: int | None) -> Comparison:
    comparison = Comparison(path)
    for stamp, frame in capture_lines(path, count):
        comparison.play(stamp, frame)
    assert comparison.rig.rejects() == {}
    assert comparison.reader.snapshots == 1
    return comparison


@pytest.mark.parametrize("name", ["btcusdt", "ethusdt"])
def test_the_first_frames_of_a_capture_mean_the_same(captures: list[Path], name: str) -> None:
    path = next(path for path in captures if name in path.name)
    comparison = compare_capture(path, QUICK_LINES)
    assert comparison.compared > QUICK_LINES / 2
    assert comparison.books_compared > 100


@pytest.mark.slow
@pytest.mark.parametrize("name", ["btcusdt", "ethusdt"])
def test_every_frame_of_a_capture_means_the_same(captures: list[Path], name: str) -> None:
    path = next(path for path in captures if name in path.name)
    comparison = compare_capture(path, None)
    assert comparison.compared > 60_000
    assert comparison.books_compared > 2_000


CRYPTOFEED = {
    "SUSHIUSDT": ("0.0010", "1"),
    "AKROUSDT": ("0.00001", "1"),
    "KEEPUSDT": ("0.0001", "1"),
    "CTKUSDT": ("0.00100", "1"),
}


def test_frames_of_four_small_instruments_mean_the_same(shared_data: Path) -> None:
    path = shared_data / "cryptofeed" / "BINANCE_FUTURES.ws.1.0.gz"
    if not path.exists():
        pytest.skip("no recorded frames: ../shared/data/cryptofeed is absent")
    rows = [
        instrument(symbol, tick, lot, index)
        for index, (symbol, (tick, lot)) in enumerate(CRYPTOFEED.items())
    ]
    rig = FeedRig(rows)
    rig.core.set_clock(rig.now_ns, 1_626_992_741_000 * MS, 0, 600 * S)
    by_symbol = {row.symbol: row for row in rows}
    kinds: dict[str, int] = {}
    with gzip.open(path) as lines:
        next(lines)
        for line in lines:
            frame = line.split(b": ", 1)[1].strip()
            assert rig.decode(frame) == 0, frame[:300]
            data = payload_of(frame)
            kinds[data["e"]] = kinds.get(data["e"], 0) + 1
            records = rig.records()
            plain = records[records["record_type"] < RecordType.LIVENESS]
            expected = decode_event(by_symbol, data)
            assert len(plain) == len(expected)
            for record, wanted in zip(plain, expected, strict=True):
                assert {name: int(record[name]) for name in wanted} == wanted
    assert kinds == {"bookTicker": 613, "depthUpdate": 764, "aggTrade": 91, "kline": 67}
