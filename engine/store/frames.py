"""The bytes of a journal segment: one header, then frames, each chained to the one before it.

This module turns bytes into frames and back. It opens no file. Numbers are little-endian, bytes
numbered from 0; header and frame header are multiples of 64, so records keep their alignment::

    segment header, 192 bytes
      0 magic 8s | 8 version u32 | 12 record_bytes u32 | 16 segment_index u64
     24 first_sequence i64 | 32 created_realtime_ns i64 | 40 previous_digest 24s
     64 source 32s | 96 session 64s | 160 unused 28s | 188 crc32 u32 of bytes 0..187
    frame header, 64 bytes, then payload
      0 magic u32 | 4 kind u16 | 6 unused u16 | 8 payload_bytes u32 | 12 record_count u32
     16 first_sequence i64 | 24 written_realtime_ns i64 | 32 digest 24s
     56 unused u32 | 60 crc32 u32 of bytes 0..59 and the payload

The digest of a frame is blake2b over the digest before it, bytes 0..31 of its header and its
payload. The digest before a segment's first frame covers the segment header, whose
`previous_digest` is the last one of the segment before. So a changed, removed or moved byte shows
in every later digest; the CRC alone says whether a frame was written to its end.

A sequence here is the ring's: the first record ever published has 0.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from hashlib import blake2b
from typing import Final, NamedTuple
from zlib import crc32

from engine.store.errors import JournalCorruptError

SEGMENT_MAGIC: Final = b"AEGISJ1\n"
FORMAT_VERSION: Final = 1
DIGEST_BYTES: Final = 24
SEGMENT_HEADER: Final = struct.Struct("<8sIIQqq24s32s64s28xI")
FRAME_MAGIC: Final = 0x4D41_5246  # "FRAM"
_FRAME_HEAD: Final = struct.Struct("<IHHIIqq")
_FRAME_TAIL: Final = struct.Struct("<24sII")
SEGMENT_HEADER_BYTES: Final = SEGMENT_HEADER.size
FRAME_HEADER_BYTES: Final = _FRAME_HEAD.size + _FRAME_TAIL.size
FRAME_PAYLOAD_BYTES_MAX: Final = 4 << 20  # longer lengths are damage, not data
_CRC_BYTES: Final = 4

assert SEGMENT_HEADER_BYTES == 192, SEGMENT_HEADER_BYTES
assert FRAME_HEADER_BYTES == 64, FRAME_HEADER_BYTES


class FrameKind(IntEnum):
    """What a frame says."""

    RECORDS = 1  # payload: record_count records in sequence order
    LOST = 2  # record_count records from first_sequence on were never journaled
    END = 3  # the source was closed in order; nothing may follow
    APART = 4  # record_count records from first_sequence on are drain marks, kept apart


_KINDS: Final = frozenset(int(kind) for kind in FrameKind)


class SegmentHeader(NamedTuple):
    """Who wrote a segment, and where it hangs in its chain."""

    record_bytes: int
    segment_index: int
    first_sequence: int
    created_realtime_ns: int
    previous_digest: bytes
    source: str
    session_id: str


class Frame(NamedTuple):
    """One frame; `payload` borrows the scanned buffer and is valid as long as that is."""

    kind: FrameKind
    first_sequence: int
    record_count: int
    written_realtime_ns: int
    digest: bytes
    payload: memoryview
    offset: int
    end: int
    head: bytes


def genesis_digest(session_id: str, source: str) -> bytes:
    """Return the digest that stands before the first segment of a source."""
    return blake2b(f"{session_id}/{source}".encode(), digest_size=DIGEST_BYTES).digest()


def encode_segment_header(header: SegmentHeader) -> bytes:
    """Return the 192 bytes a segment starts with."""
    raw = SEGMENT_HEADER.pack(
        SEGMENT_MAGIC,
        FORMAT_VERSION,
        header.record_bytes,
        header.segment_index,
        header.first_sequence,
        header.created_realtime_ns,
        header.previous_digest,
        header.source.encode(),
        header.session_id.encode(),
        0,
    )[:-_CRC_BYTES]
    return raw + crc32(raw).to_bytes(_CRC_BYTES, "little")


def decode_segment_header(raw: bytes | memoryview) -> SegmentHeader | None:
    """Return the header, or None when the bytes are not a whole, undamaged one."""
    if len(raw) < SEGMENT_HEADER_BYTES:
        return None
    (magic, version, record_bytes, index, first_sequence, created_ns, previous, source, session,
     checksum) = SEGMENT_HEADER.unpack(raw[:SEGMENT_HEADER_BYTES])  # fmt: skip
    if magic != SEGMENT_MAGIC or version != FORMAT_VERSION:
        return None
    if crc32(raw[: SEGMENT_HEADER_BYTES - _CRC_BYTES]) != checksum:
        return None
    names = (source.rstrip(b"\0").decode(), session.rstrip(b"\0").decode())
    return SegmentHeader(record_bytes, index, first_sequence, created_ns, previous, *names)


def header_digest(header_bytes: bytes | memoryview) -> bytes:
    """Return the digest that stands before the first frame of a segment."""
    return blake2b(header_bytes[:SEGMENT_HEADER_BYTES], digest_size=DIGEST_BYTES).digest()


def frame_digest(previous: bytes, head: bytes, *payload: bytes | memoryview) -> bytes:
    """Return a frame's digest from the one before it, its head and its payload parts."""
    state = blake2b(previous, digest_size=DIGEST_BYTES)
    state.update(head)
    for part in payload:
        state.update(part)
    return state.digest()


def encode_frame_header(
    kind: FrameKind,
    first_sequence: int,
    record_count: int,
    written_realtime_ns: int,
    *,
    previous_digest: bytes,
    payload: tuple[bytes | memoryview, ...],
) -> tuple[bytes, bytes]:
    """Return (the 64 header bytes, the frame's digest) for a payload given in parts."""
    payload_bytes = sum(len(part) for part in payload)
    assert payload_bytes <= FRAME_PAYLOAD_BYTES_MAX, payload_bytes
    head = _FRAME_HEAD.pack(
        FRAME_MAGIC, kind, 0, payload_bytes, record_count, first_sequence, written_realtime_ns
    )
    digest = frame_digest(previous_digest, head, *payload)
    covered = head + digest + bytes(_CRC_BYTES)
    checksum = crc32(covered)
    for part in payload:
        checksum = crc32(part, checksum)
    return covered + checksum.to_bytes(_CRC_BYTES, "little"), digest


def decode_frame(buffer: memoryview, offset: int) -> Frame | None:
    """Return the frame at an offset, or None when no whole, undamaged frame is there."""
    payload_first = offset + FRAME_HEADER_BYTES
    if payload_first > len(buffer):
        return None
    head = bytes(buffer[offset : offset + _FRAME_HEAD.size])
    magic, kind, _, payload_bytes, count, first, written = _FRAME_HEAD.unpack(head)
    end = payload_first + payload_bytes
    if magic != FRAME_MAGIC or payload_bytes > FRAME_PAYLOAD_BYTES_MAX or end > len(buffer):
        return None
    digest, _, checksum = _FRAME_TAIL.unpack(buffer[offset + _FRAME_HEAD.size : payload_first])
    payload = buffer[payload_first:end]
    covered = crc32(buffer[offset : payload_first - _CRC_BYTES])
    if crc32(payload, covered) != checksum or kind not in _KINDS:
        return None
    return Frame(FrameKind(kind), first, count, written, digest, payload, offset, end, head)


def scan_frames(buffer: memoryview, offset: int = SEGMENT_HEADER_BYTES) -> Iterator[Frame]:
    """Yield whole frames from an offset on, up to the first bytes that are not one.

    Warning: payloads borrow the buffer.
    """
    frame = decode_frame(buffer, offset)
    while frame is not None:
        yield frame
        frame = decode_frame(buffer, frame.end)


def find_frame_after(buffer: memoryview, offset: int) -> int | None:
    """Return where a whole frame starts behind an offset, or None: tells damage from a torn tail.

    What a killed writer leaves is the front of one frame. A whole frame behind bytes that are
    none means that something else changed the file.
    """
    raw = bytes(buffer[offset + 1 :])
    needle = FRAME_MAGIC.to_bytes(4, "little")
    place = raw.find(needle)
    while place >= 0:
        if decode_frame(buffer, offset + 1 + place) is not None:
            return offset + 1 + place
        place = raw.find(needle, place + 1)
    return None


def whole_length(buffer: memoryview, path: str) -> int:
    """Return how many bytes of a segment are whole: the place at which a torn tail is cut.

    Raises:
        JournalCorruptError: whole frames follow the damage, so cutting would lose records.
    """
    if decode_segment_header(buffer) is None:
        if find_frame_after(buffer, -1) is None:
            return 0
        message = f"{path}: the segment header is damaged but frames follow it; nothing was cut"
        raise JournalCorruptError(message)
    end = SEGMENT_HEADER_BYTES
    for frame in scan_frames(buffer):
        end = frame.end
    if end < len(buffer):
        behind = find_frame_after(buffer, end)
        if behind is not None:
            message = (
                f"{path}: bytes {end}..{behind - 1} are damaged but a whole frame follows at "
                f"{behind}; nothing was cut. Move the session aside or restore it from a copy"
            )
            raise JournalCorruptError(message)
    return end
