"""Reading a tape: mapped, its records in place, its blocks found by time.

Opening walks the block headers, which is all that is read of a tape until its records are asked
for. What a killed writer left at the end is not part of the tape; bytes that were changed are
`TapeDamagedError`, because behind them whole blocks follow.
"""

from __future__ import annotations

import bisect
import fcntl
import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engine.domain.instrument import INSTRUMENT_DTYPE, Instrument, unpack_row
from engine.domain.instrument_row import INSTRUMENT_BYTES, SEGMENT_ROWS_OFFSET
from engine.domain.records import MARKET_DTYPE
from engine.tapes.blocks import (
    FILE_HEADER_BYTES,
    FILE_MAGIC,
    Block,
    BlockKind,
    FileHeader,
    decode_block,
    decode_file_header,
    find_block_after,
    payload_holds,
)
from engine.tapes.errors import TapeBusyError, TapeDamagedError, TapeError

Records = NDArray[np.void]
ROW_BYTES: dict[BlockKind, int] = {
    BlockKind.RECORDS: MARKET_DTYPE.itemsize,
    BlockKind.INSTRUMENTS: INSTRUMENT_BYTES,
    BlockKind.END: 0,
}


class TapeReader:
    """One tape, open for reading; close it, or use it in a `with`."""

    def __init__(self, path: Path) -> None:
        """Map the file and walk its blocks.

        Raises:
            TapeError: not a tape, or of another version.
            TapeDamagedError: bytes between two blocks were changed.
        """
        self.path = path
        self._map, self._view = _mapped(path)
        try:
            self.header = self._read_header()
            self.blocks, self.torn_bytes = walk(self._view, str(path))
        except TapeError:
            self.close()
            raise
        self.is_ended = bool(self.blocks) and self.blocks[-1].kind is BlockKind.END
        self.record_blocks = [b for b in self.blocks if b.kind is BlockKind.RECORDS]
        self.record_count = sum(block.row_count for block in self.record_blocks)
        self.instruments = self._read_instruments()

    def _read_header(self) -> FileHeader:
        header = decode_file_header(self._view)
        if header is not None:
            return header
        if bytes(self._view[: len(FILE_MAGIC)]) == FILE_MAGIC:
            raise TapeError(f"{self.path}: a tape of another version, or its header is damaged")
        raise TapeError(f"{self.path}: not a tape")

    def _read_instruments(self) -> list[Instrument]:
        """Return the instruments as the last block of them says."""
        for block in reversed(self.blocks):
            if block.kind is BlockKind.INSTRUMENTS:
                self._check(block)
                # Rows of a segment start behind its head; here there is none.
                raw = bytes(SEGMENT_ROWS_OFFSET) + self._view[block.payload_offset : block.end]
                return [unpack_row(raw, row) for row in range(block.row_count)]
        return []

    def instrument_rows(self) -> Records:
        """Return the instruments as INSTRUMENT_DTYPE rows, a copy."""
        for block in reversed(self.blocks):
            if block.kind is BlockKind.INSTRUMENTS:
                raw = bytes(self._view[block.payload_offset : block.end])
                return np.frombuffer(raw, INSTRUMENT_DTYPE).copy()
        return np.zeros(0, dtype=INSTRUMENT_DTYPE)

    def records(self, block: Block, *, check: bool = True) -> Records:
        """Return a block's records as MARKET_DTYPE, read-only, in place.

        Warning: borrowed from the mapping; drop them before `close`.

        Raises:
            TapeDamagedError: the block's checksum does not hold.
        """
        if check:
            self._check(block)
        return np.frombuffer(self._view, MARKET_DTYPE, block.row_count, block.payload_offset)

    def batches(self, first_wall_ns: int = 0, last_wall_ns: int = 2**63 - 1) -> Iterator[Records]:
        """Yield the records received in a span of time (ns since the epoch), block by block.

        Warning: borrowed, as with `records`.

        Raises:
            TapeDamagedError: a block's checksum does not hold.
        """
        for block in self.record_blocks[self.find(first_wall_ns) :]:
            offset = block.wall_offset_ns
            if block.first_receive_ns + offset > last_wall_ns:
                return
            found = self.records(block)
            if (
                block.first_receive_ns + offset < first_wall_ns
                or block.last_receive_ns + offset > last_wall_ns
            ):
                wall_ns = found["receive_time_ns"] + offset
                found = found[(wall_ns >= first_wall_ns) & (wall_ns <= last_wall_ns)]
            if len(found):
                yield found

    def find(self, wall_ns: int) -> int:
        """Return the index in `record_blocks` of the first block that ends at or after a time."""
        return bisect.bisect_left(
            self.record_blocks, wall_ns, key=lambda b: b.last_receive_ns + b.wall_offset_ns
        )

    def verify(self) -> list[str]:
        """Return what is wrong with the tape, every payload read; empty: nothing."""
        wrong = [
            f"{self.path}: the block at byte {block.offset} is damaged"
            for block in self.blocks
            if not payload_holds(self._view, block)
        ]
        if self.is_ended and self.torn_bytes:
            wrong.append(f"{self.path}: {self.torn_bytes} bytes follow the end")
        return wrong

    @property
    def span_ns(self) -> tuple[int, int]:
        """First and last receive time, ns since the epoch; zeros without records."""
        if not self.record_blocks:
            return 0, 0
        first, last = self.record_blocks[0], self.record_blocks[-1]
        return (
            first.first_receive_ns + first.wall_offset_ns,
            last.last_receive_ns + last.wall_offset_ns,
        )

    def _check(self, block: Block) -> None:
        if not payload_holds(self._view, block):
            raise TapeDamagedError(f"{self.path}: the block at byte {block.offset} is damaged")

    def close(self) -> None:
        """Unmap; records handed out must be gone."""
        self._view.release()
        if self._map is not None:
            self._map.close()

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close; a record still held keeps the mapping until it is gone."""
        try:
            self.close()
        except BufferError:
            self._map = None


def _mapped(path: Path) -> tuple[mmap.mmap | None, memoryview]:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return None, memoryview(b"")
            mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    except OSError as error:
        raise TapeError(f"{path}: {error.strerror}") from error
    return mapped, memoryview(mapped)


def joined(parts: Sequence[Records]) -> Records:
    """Return records one after another, every byte kept.

    WHY: numpy's concatenation finds a dtype of its own for fields that overlap, and moves them.
    """
    raw = [np.ascontiguousarray(part).view(np.uint8).reshape(-1) for part in parts]
    return np.concatenate([np.zeros(0, np.uint8), *raw]).view(MARKET_DTYPE)


def walk(view: memoryview, name: str) -> tuple[list[Block], int]:
    """Return the whole blocks of a tape and how many bytes of a torn one follow.

    The last block's payload is checked as well: a killed machine may leave its header alone.

    Raises:
        TapeDamagedError: whole blocks follow bytes that are none.
    """
    blocks: list[Block] = []
    end = FILE_HEADER_BYTES
    block = decode_block(view, end)
    while block is not None:
        if block.row_count * ROW_BYTES[block.kind] != block.end - block.payload_offset:
            message = f"{name}: the block at byte {block.offset} holds another number of rows"
            raise TapeDamagedError(message)
        blocks.append(block)
        end = block.end
        block = decode_block(view, end)
    if end < len(view):
        behind = find_block_after(view, end)
        if behind is not None:
            raise TapeDamagedError(
                f"{name}: bytes {end}..{behind - 1} are damaged but a whole block follows at "
                f"{behind}; nothing was cut"
            )
    if blocks and not payload_holds(view, blocks[-1]):
        # Only the last block can be half written; an earlier one that fails is damage.
        end = blocks.pop().offset
    return blocks, len(view) - end


def cut_torn_tail(path: Path) -> int:
    """Cut what a killed writer left behind the last whole block; return how many bytes.

    Raises:
        TapeBusyError: somebody writes the tape.
        TapeDamagedError: the damage is not at the end; nothing was cut.
        TapeError: not a tape.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        lock(descriptor, path)
        size = os.fstat(descriptor).st_size
        if size < FILE_HEADER_BYTES:
            if not FILE_MAGIC.startswith(os.pread(descriptor, len(FILE_MAGIC), 0)):
                raise TapeError(f"{path}: not a tape")
            os.ftruncate(descriptor, 0)
            return size
        with TapeReader(path) as tape:
            torn = tape.torn_bytes
        if torn:
            os.ftruncate(descriptor, size - torn)
            os.fsync(descriptor)
        return torn
    finally:
        os.close(descriptor)


def lock(descriptor: int, path: Path) -> None:
    """Take the writer's lock, which the kernel drops with the process.

    Raises:
        TapeBusyError: another process has it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise TapeBusyError(f"{path}: another process writes this tape") from error
