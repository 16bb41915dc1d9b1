"""Bytes of a WebSocket connection become messages, however the network cuts them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import RecordType
from engine.domain.firewall_reasons import FirewallReason
from native_ext import _feed
from tests.feed_rig import FeedRig, Frames

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASKED, RESERVED, CONTROL, SEQUENCE, LENGTH = -1, -2, -3, -4, -5


def frame(payload: bytes, opcode: int = TEXT, *, last: bool = True) -> bytes:
    """Return one unmasked frame, as a server sends it."""
    head = bytes([(0x80 if last else 0) | opcode])
    length = len(payload)
    if length < 126:
        return head + bytes([length]) + payload
    if length < 65_536:
        return head + bytes([126]) + length.to_bytes(2, "big") + payload
    return head + bytes([127]) + length.to_bytes(8, "big") + payload


class Reader(_feed.FrameReader):
    """Collects what a connection says."""

    def __init__(self, core: _feed.Core | None = None) -> None:
        del core
        self.heard: list[tuple[str, bytes]] = []
        self.errors: list[int] = []

    def on_handshake(self, data: bytes) -> int:
        raise AssertionError(data)

    def on_message(self, data: bytes) -> None:
        self.heard.append(("message", data))

    def on_ping(self, data: bytes) -> None:
        self.heard.append(("ping", data))

    def on_pong(self, data: bytes) -> None:
        self.heard.append(("pong", data))

    def on_close(self, data: bytes) -> None:
        self.heard.append(("close", data))

    def on_answer(self, data: bytes) -> None:
        self.heard.append(("answer", data))

    def on_shutdown(self, data: bytes) -> None:
        self.heard.append(("shutdown", data))

    def on_protocol_error(self, code: int) -> None:
        self.errors.append(code)

    def feed(self, data: bytes) -> None:
        """Receive bytes as an event loop would: into the room the reader offers."""
        at = 0
        while at < len(data):
            room = self.get_buffer(-1)
            count = min(len(room), len(data) - at)
            assert count > 0
            room[:count] = data[at : at + count]
            self.buffer_updated(count)
            at += count


def upgraded(core: _feed.Core | None = None) -> Reader:
    reader = Reader(core)
    reader.upgrade()
    return reader


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


MESSAGES = st.lists(
    st.one_of(
        st.tuples(st.just("message"), st.binary(max_size=70_000)),
        st.tuples(st.sampled_from(["ping", "pong"]), st.binary(max_size=125)),
    ),
    max_size=8,
)


@given(messages=MESSAGES, cuts=st.lists(st.integers(0, 10**6), max_size=12), seed=st.integers())
def test_any_cut_and_any_fragmentation_gives_the_same_messages(
    messages: list[tuple[str, bytes]], cuts: list[int], seed: int
) -> None:
    rng = random.Random(seed)
    wire = bytearray()
    for kind, payload in messages:
        if kind != "message":
            wire += frame(payload, PING if kind == "ping" else PONG)
            continue
        parts = pieces(payload, [rng.randrange(10**6) for _ in range(rng.randrange(4))])
        for number, part in enumerate(parts):
            opcode = rng.choice([TEXT, BINARY]) if number == 0 else CONTINUATION
            wire += frame(part, opcode, last=number == len(parts) - 1)
    reader = upgraded()
    for piece in pieces(bytes(wire), cuts):
        reader.feed(piece)
    assert reader.heard == messages
    assert reader.errors == []
    assert reader.byte_count == len(wire)


def test_control_frames_come_between_fragments() -> None:
    reader = upgraded()
    reader.feed(
        frame(b"ab", TEXT, last=False)
        + frame(b"p", PING)
        + frame(b"cd", CONTINUATION, last=False)
        + frame(b"", CONTINUATION)
    )
    assert reader.heard == [("ping", b"p"), ("message", b"abcd")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x81aaaaX", MASKED),
        (b"\xc1\x01x", RESERVED),
        (b"\x83\x01x", RESERVED),
        (b"\x8b\x00", RESERVED),
        (b"\x09\x00", CONTROL),
        (b"\x89\x7e\x00\x80", CONTROL),
        (frame(b"x", CONTINUATION), SEQUENCE),
        (frame(b"x", TEXT, last=False) + frame(b"y", TEXT), SEQUENCE),
        (b"\x81\x7f" + b"\xff" * 8, LENGTH),
    ],
)
def test_a_broken_protocol_is_said_once_and_nothing_after_it_is_read(
    data: bytes, code: int
) -> None:
    reader = upgraded()
    reader.feed(frame(b"good") + data + frame(b"never"))
    reader.feed(frame(b"never"))
    assert reader.errors == [code]
    assert reader.heard == [("message", b"good")]


def test_a_close_is_heard_with_its_code() -> None:
    reader = upgraded()
    reader.feed(frame((1001).to_bytes(2, "big") + b"bye", CLOSE))
    assert reader.heard == [("close", b"\x03\xe9bye")]


@pytest.mark.parametrize("extra", [1, 700_000])
def test_an_oversize_frame_is_passed_over_and_counted_once(extra: int) -> None:
    rig, frames = FeedRig(), Frames()
    reader = upgraded(rig.core)
    # The core stamps by the host's clock here.
    rig.core.set_clock(0, rig.venue_ms * 1_000_000, -1_000_000_000, 0)
    big = frame(b"[" * (_feed.MESSAGE_MAX + extra))
    reader.feed(big + frame(dumps(frames.trade(rig.venue_ms))))
    assert rig.rejects() == {FirewallReason.FRAME_OVERSIZE: 1}
    kept = rig.core.kept(FirewallReason.FRAME_OVERSIZE)
    assert kept is not None
    assert kept[3][:4] == b"[[[["
    assert len(rig.records(RecordType.TRADE)) == 1, "the next frame is decoded"


@pytest.mark.parametrize("first", [_feed.MESSAGE_MAX - 10, _feed.MESSAGE_MAX + 10])
def test_an_oversize_message_of_fragments_is_passed_over_and_counted_once(first: int) -> None:
    rig, frames = FeedRig(), Frames()
    rig.core.set_clock(0, rig.venue_ms * 1_000_000, -1_000_000_000, 0)
    reader = upgraded(rig.core)
    reader.feed(frame(b"[" * first, TEXT, last=False))
    for _ in range(5):
        reader.feed(frame(b"[" * 300_000, CONTINUATION, last=False))
    reader.feed(frame(b"[", CONTINUATION) + frame(dumps(frames.trade(rig.venue_ms))))
    assert rig.rejects() == {FirewallReason.FRAME_OVERSIZE: 1}
    assert reader.errors == []
    assert len(rig.records(RecordType.TRADE)) == 1


def test_binary_messages_are_refused() -> None:
    rig = FeedRig()
    reader = upgraded(rig.core)
    reader.feed(frame(b"\x00\x01", BINARY) + frame(b'{"result":null,"id":9}'))
    assert rig.rejects() == {FirewallReason.FRAME_KIND: 1}
    assert reader.heard == [("answer", b'{"result":null,"id":9}')]


def test_a_shutdown_notice_reaches_the_connection() -> None:
    reader = upgraded(FeedRig().core)
    reader.feed(frame(b'{"e":"serverShutdown"}'))
    assert reader.heard == [("shutdown", b'{"e":"serverShutdown"}')]


def test_one_read_publishes_everything_in_it() -> None:
    rig, frames = FeedRig(), Frames()
    rig.core.set_clock(0, rig.venue_ms * 1_000_000, -1_000_000_000, 0)
    reader = upgraded(rig.core)
    block = b"".join(frame(dumps(frames.trade(rig.venue_ms))) for _ in range(500))
    reader.feed(block)
    trades = rig.records(RecordType.TRADE)
    assert len(trades) == 500
    assert len(set(trades["receive_time_ns"].tolist())) == 1, "one receive time per read"
    reads, received, heard = rig.core.counters()[:3]
    assert (reads, received, heard) == (1, len(block), 500)


def test_the_handshake_comes_first_and_takes_what_is_its() -> None:
    class Shaking(Reader):
        def on_handshake(self, data: bytes) -> int:
            self.heard.append(("handshake", data))
            if data.endswith(b"!"):
                return 0
            self.upgrade()
            return data.index(b"!") + 1

    reader = Shaking(None)
    reader.feed(b"hello!")
    reader.feed(frame(b"x"))
    assert reader.heard == [
        ("handshake", b"hello!"),
        ("handshake", b"hello!\x81\x01x"),
        ("message", b"x"),
    ]


def test_what_a_subclass_raises_reaches_the_loop() -> None:
    class Raising(Reader):
        def on_ping(self, data: bytes) -> None:
            raise RuntimeError(data)

    reader = Raising(None)
    reader.upgrade()
    with pytest.raises(RuntimeError, match="boom"):
        reader.feed(frame(b"boom", PING))
    reader.feed(frame(b"still here"))
    assert reader.heard == [("message", b"still here")]


def test_arguments_are_checked() -> None:
    with pytest.raises(TypeError):
        _feed.FrameReader(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _feed.FrameReader()  # type: ignore[call-arg]
    reader = upgraded()
    room = len(reader.get_buffer(-1))
    for count in (-1, room + 1):
        with pytest.raises(ValueError, match="room"):
            reader.buffer_updated(count)


def dumps(document: object) -> bytes:
    import json

    return json.dumps(document, separators=(",", ":")).encode()
