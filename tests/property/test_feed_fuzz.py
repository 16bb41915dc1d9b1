"""Hostile bytes: the result is always a record or a counted refusal, and the feed lives."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import RecordType
from engine.domain.firewall_reasons import FIREWALL_REASON_COUNT
from native_ext import _feed
from tests.feed_decoder import decode_event, payload_of
from tests.feed_rig import BTC, ETH, FeedRig, Frames

SEEDS = 40
INSTRUMENTS = {"BTCUSDT": BTC, "ETHUSDT": ETH}
ALPHABET = b'{}[]",:.-0123456789eEabpqstuTUABNInf \\\n\x00\xff'


def samples(rig: FeedRig) -> list[bytes]:
    frames, bare = Frames(), Frames(wrapped=False)
    levels = [("61800.00", "1.000"), ("61799.50", "0.000")]
    made = [
        source_of(rig.venue_ms)
        for source in (frames, bare)
        for source_of in (
            source.book_ticker,
            source.trade,
            source.agg_trade,
            source.kline,
            source.mark_price,
            source.force_order,
        )
    ]
    made += [frames.depth(rig.venue_ms, levels, levels), bare.depth(rig.venue_ms)]
    return [json.dumps(frame, separators=(",", ":")).encode() for frame in made]


def mutated(rng: random.Random, frame: bytes) -> bytes:
    raw = bytearray(frame)
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
        place = rng.randrange(len(raw) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            del raw[place:]
        elif kind == 1:
            raw[place:place] = bytes(rng.choices(ALPHABET, k=rng.randrange(1, 6)))
        elif kind == 2:
            del raw[place : place + rng.randrange(1, 9)]
        elif kind == 3 and place < len(raw):
            raw[place] = rng.choice(ALPHABET)
        else:
            raw[place:place] = raw[rng.randrange(len(raw) + 1) :][: rng.randrange(40)]
        if not raw:
            break
    return bytes(raw)


def check_against_model(rig: FeedRig, frame: bytes) -> None:
    """What C accepts, plain Python accepts with the same record."""
    plain = rig.records()
    plain = plain[(plain["record_type"] < RecordType.LIVENESS) & (plain["record_type"] != 3)]
    try:
        document = json.loads(frame)
    except UnicodeDecodeError:
        return  # C passes strings over that nobody reads, whatever their encoding
    data: dict[str, Any] = document["data"] if "stream" in document else payload_of(frame)
    expected = decode_event(INSTRUMENTS, data)
    assert len(plain) == len(expected)
    for record, wanted in zip(plain, expected, strict=True):
        for name, number in wanted.items():
            assert int(record[name]) == number, (name, frame)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_mutated_frames_are_refused_or_mean_what_python_reads(seed: int) -> None:
    rng, rig = random.Random(seed), FeedRig(error_ns=600_000_000_000)
    good = samples(rig)
    refused = 0
    for _ in range(400):
        frame = mutated(rng, rng.choice(good))
        result = rig.decode(frame)
        assert _feed.STALE < result < FIREWALL_REASON_COUNT
        if result == 0:
            check_against_model(rig, frame)
        elif result > 0:
            refused += 1
        rig.records()
    assert sum(rig.core.rejects()) == refused
    assert refused > 50
    rig.close()


@given(frame=st.binary(max_size=300))
def test_random_bytes_are_refused(frame: bytes) -> None:
    rig = FeedRig([BTC], capacity=64)
    assert rig.decode(frame) > 0
    assert len(rig.records(RecordType.TRADE, RecordType.QUOTE)) == 0
    rig.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(document=JSON)
def test_any_json_is_scanned_as_json(document: object) -> None:
    rig, frames = FeedRig([BTC], capacity=64), Frames(wrapped=False)
    event: dict[str, Any] = {"zz": document} | frames.trade(rig.venue_ms) | {"yy": document}
    for text in (json.dumps(event), json.dumps(event, indent=2, ensure_ascii=False)):
        assert rig.decode(text) == 0, text
        event["t"] += 1
        rig.core.set_clock(rig.now_ns, rig.venue_ms * 1_000_000, 0, 0)
        break
    assert len(rig.records(RecordType.TRADE)) == 1
    rig.close()


@given(
    name=st.sampled_from(["p", "q", "T", "E", "t", "s", "m"]),
    value=st.one_of(
        st.none(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.text(max_size=30),
        st.lists(st.integers(), max_size=3),
    ),
)
def test_a_member_of_any_kind_is_taken_or_refused(name: str, value: object) -> None:
    rig, frames = FeedRig([BTC], capacity=64, error_ns=10**18), Frames()
    frame = frames.trade(rig.venue_ms, **{name: value})
    result = rig.decode(json.dumps(frame))
    if result == 0:
        (record,) = rig.records(RecordType.TRADE)
        (wanted,) = decode_event(INSTRUMENTS, _literal(frame)["data"])
        assert {field: int(record[field]) for field in wanted} == wanted
    else:
        assert sum(rig.core.rejects()) == 1
    rig.close()


def _literal(frame: dict[str, Any]) -> dict[str, Any]:
    # A bare number is a decimal by its own digits, not by its float.
    def number(text: str) -> str:
        assert not math.isnan(float(text))
        return text

    document: dict[str, Any] = json.loads(json.dumps(frame), parse_float=number)
    data = document["data"]
    data |= {name: str(data[name]) for name in ("p", "q")}
    return document


@pytest.mark.parametrize("length", range(0, 260, 7))
def test_truncation_reads_nothing_beyond_the_end(length: int) -> None:
    rig = FeedRig()
    for frame in samples(rig):
        if length < len(frame):
            assert rig.decode(frame[:length]) > 0
