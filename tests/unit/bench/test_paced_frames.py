"""Frames on a schedule: ids that say which, times that say when, latencies from when it was due."""

import json
import socket
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.sides.paced_frames import FIRST_ID, filled, in_us, since_due, template
from bench.sides.paced_sender import send

RECORDED = (
    b'{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":5123107861083,"s":"BTCUSDT",'
    b'"b":"61800.20","B":"2.507","a":"61800.30","A":"2.510","T":1723161256662,"E":1723161256664}}'
)
MS = 1_723_161_300_000


def unframed(frame: bytes) -> dict[str, str | int]:
    length = int.from_bytes(frame[2:4], "big")
    assert frame[:2] == b"\x81\x7e", "a text frame with a length of two bytes"
    assert len(frame) == 4 + length
    data: dict[str, str | int] = json.loads(frame[4:])["data"]
    return data


@given(st.integers(0, 2**32 - 1))
def test_a_frame_carries_its_number_and_its_time(number: int) -> None:
    parts = template(RECORDED)
    assert parts is not None
    data = unframed(filled(parts, number, MS))
    assert (data["u"], data["T"], data["E"]) == (FIRST_ID + number, MS, MS)
    assert FIRST_ID % 2**32 == 0
    assert (data["s"], data["b"], data["A"]) == ("BTCUSDT", "61800.20", "2.510")


def test_only_quotes_are_templates() -> None:
    assert template(RECORDED.replace(b"bookTicker", b"trade")) is None
    assert template(b'{"lastUpdateId":1}') is None


def test_latency_counts_from_the_due_time_in_any_order() -> None:
    numbers = np.array([1, 0, 2])
    found = since_due(np.array([1_150, 1_020, 1_260]), numbers, start_ns=1_000, gap_ns=100)
    assert found.tolist() == [50, 20, 60]


@pytest.mark.parametrize("numbers", [[0, 0, 1], [0, 1, 3]], ids=["again", "lost"])
def test_a_frame_lost_or_seen_again_is_no_sample(numbers: list[int]) -> None:
    with pytest.raises(AssertionError, match="exactly once"):
        since_due(np.arange(3), np.array(numbers), 0, 1)


def test_percentiles_are_in_microseconds_and_a_part_has_no_count() -> None:
    sample = np.array([1_000, 2_000, 3_000])
    assert in_us(sample)["p50"] == 2
    assert in_us(sample)["count"] == 3
    assert set(in_us(sample, "in the ring ")) >= {"in the ring p50", "in the ring max"}
    assert "in the ring count" not in in_us(sample, "in the ring ")


def test_the_sender_writes_every_frame_though_nobody_answers() -> None:
    here, there = socket.socketpair()
    parts = template(RECORDED)
    assert parts is not None
    found: dict[str, float] = {}
    sending = threading.Thread(target=lambda: found.update(send(there, [parts], 100_000, 50, 7)))
    sending.start()
    length = len(filled(parts, 0, MS))
    raw = b""
    while len(raw) < 50 * length:
        raw += here.recv(65_536)
    sending.join()
    frames = [unframed(raw[at : at + length]) for at in range(0, len(raw), length)]
    assert [int(frame["u"]) - FIRST_ID for frame in frames] == list(range(7, 57))
    assert found["gap_ns"] == 10_000
    assert found["p99"] >= found["p50"] >= 0
    here.close()
    there.close()
