"""The bytes of a tape: one header, then blocks; this module opens no file.

Numbers are little-endian, bytes numbered from 0. Header, block header and record are multiples of
64 bytes, so a mapped tape gives its records in place, as they were in the ring::

    file header, 192 bytes
      0 magic 8s | 8 version u32 | 12 record_bytes u32 | 16 created_realtime_ns i64
     24 tape_index i64 | 32 source 64s | 96 unused 92s | 188 crc32 u32 of bytes 0..187
    block header, 64 bytes, then payload
      0 magic u32 | 4 kind u16 | 6 unused u16 | 8 payload_bytes u32 | 12 count u32
     16 first_sequence i64 | 24 first_receive_ns i64 | 32 last_receive_ns i64
     40 wall_offset_ns i64 | 48 unused 8s
     56 crc32 u32 of the payload | 60 crc32 u32 of bytes 0..59

A receive time is on the recording host's monotonic clock; adding `wall_offset_ns` gives ns since
the epoch, and first and last receive time of each block are the index by time. A block of records
has them in the order of the ring; their sequence rises. Instruments stand before the records that
mean them, and a later block of them replaces the earlier one.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple
from zlib import crc32

FILE_MAGIC: Final = b"AEGIST1\n"
FORMAT_VERSION: Final = 1
RECORD_BYTES: Final = 64
FILE_HEADER: Final = struct.Struct("<8sIIqq64s92xI")
BLOCK_MAGIC: Final = 0x4B4C_4254  # "TBLK"
BLOCK_HEADER: Final = struct.Struct("<IHHIIqqqq8xII")
FILE_HEADER_BYTES: Final = FILE_HEADER.size
BLOCK_HEADER_BYTES: Final = BLOCK_HEADER.size
BLOCK_PAYLOAD_BYTES_MAX: Final = 4 << 20  # longer lengths are damage, not data
SOURCE_BYTES: Final = 64
_CRC_BYTES: Final = 4

assert FILE_HEADER_BYTES == 192, FILE_HEADER_BYTES
assert BLOCK_HEADER_BYTES == 64, BLOCK_HEADER_BYTES


class BlockKind(IntEnum):
    """What a block holds."""

    RECORDS = 1  # count market records of 64 bytes
    INSTRUMENTS = 2  # count instrument rows of 256 bytes
    END = 3  # the tape was closed in order; nothing follows


_KINDS: Final = frozenset(int(kind) for kind in BlockKind)


class FileHeader(NamedTuple):
    """Who wrote a tape, when, and which of its recording's tapes it is."""

    created_realtime_ns: int
    tape_index: int
    source: str


class Block(NamedTuple):
    """One block's header, and where its payload lies in the file."""

    kind: BlockKind
    row_count: int
    first_sequence: int
    first_receive_ns: int
    last_receive_ns: int
    wall_offset_ns: int
    payload_crc: int
    offset: int
    payload_offset: int
    end: int


def encode_file_header(header: FileHeader) -> bytes:
    """Return the 192 bytes a tape starts with."""
    raw = FILE_HEADER.pack(
        FILE_MAGIC,
        FORMAT_VERSION,
        RECORD_BYTES,
        header.created_realtime_ns,
        header.tape_index,
        header.source.encode()[:SOURCE_BYTES],
        0,
    )[:-_CRC_BYTES]
    return raw + crc32(raw).to_bytes(_CRC_BYTES, "little")


def decode_file_header(raw: bytes | memoryview) -> FileHeader | None:
    """Return the header, or None when the bytes are not a whole, undamaged one of this version."""
    if len(raw) < FILE_HEADER_BYTES:
        return None
    magic, version, record_bytes, created_ns, tape_index, source, checksum = FILE_HEADER.unpack(
        raw[:FILE_HEADER_BYTES]
    )
    if magic != FILE_MAGIC or version != FORMAT_VERSION or record_bytes != RECORD_BYTES:
        return None
    if crc32(raw[: FILE_HEADER_BYTES - _CRC_BYTES]) != checksum:
        return None
    return FileHeader(created_ns, tape_index, source.rstrip(b"\0").decode("utf-8", "replace"))


def encode_block_header(
    kind: BlockKind,
    payload: bytes | memoryview,
    count: int,
    *,
    first_sequence: int = 0,
    first_receive_ns: int = 0,
    last_receive_ns: int = 0,
    wall_offset_ns: int = 0,
) -> bytes:
    """Return the 64 header bytes of a payload."""
    assert len(payload) <= BLOCK_PAYLOAD_BYTES_MAX, len(payload)
    raw = BLOCK_HEADER.pack(
        BLOCK_MAGIC,
        kind,
        0,
        len(payload),
        count,
        first_sequence,
        first_receive_ns,
        last_receive_ns,
        wall_offset_ns,
        crc32(payload),
        0,
    )[:-_CRC_BYTES]
    return raw + crc32(raw).to_bytes(_CRC_BYTES, "little")


def decode_block(buffer: memoryview, offset: int) -> Block | None:
    """Return the block at an offset, or None when no whole header with room for its payload is.

    The payload's own checksum is not looked at: see `payload_holds`.
    """
    payload_offset = offset + BLOCK_HEADER_BYTES
    if payload_offset > len(buffer):
        return None
    raw = bytes(buffer[offset:payload_offset])
    (magic, kind, _, payload_bytes, count, first_sequence, first_ns, last_ns, wall_offset_ns,
     payload_crc, checksum) = BLOCK_HEADER.unpack(raw)  # fmt: skip
    if magic != BLOCK_MAGIC or crc32(raw[:-_CRC_BYTES]) != checksum or kind not in _KINDS:
        return None
    end = payload_offset + payload_bytes
    if payload_bytes > BLOCK_PAYLOAD_BYTES_MAX or end > len(buffer):
        return None
    times = (first_sequence, first_ns, last_ns, wall_offset_ns)
    return Block(BlockKind(kind), count, *times, payload_crc, offset, payload_offset, end)


def payload_holds(buffer: memoryview, block: Block) -> bool:
    """Return whether a block's payload is what was written."""
    return crc32(buffer[block.payload_offset : block.end]) == block.payload_crc


def find_block_after(buffer: memoryview, offset: int) -> int | None:
    """Return where a whole block starts behind an offset, or None: tells damage from a torn tail.

    Blocks start at multiples of 64, so only those places are tried.
    """
    magic = BLOCK_MAGIC.to_bytes(4, "little")
    first = offset + 1 + (-(offset + 1)) % BLOCK_HEADER_BYTES
    for place in range(first, len(buffer) - BLOCK_HEADER_BYTES + 1, BLOCK_HEADER_BYTES):
        if buffer[place : place + 4] != magic:
            continue
        block = decode_block(buffer, place)
        if block is not None and payload_holds(buffer, block):
            return place
    return None
