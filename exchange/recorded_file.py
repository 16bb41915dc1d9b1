"""The bytes of a recorded tape, read by the exchange's own code (docs/tapes.md has the format)."""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from exchange.errors import TapeError

MAGIC = b"AEGIST1\n"
VERSION = 1
FILE_HEADER = struct.Struct("<8sIIqq64s92xI")
BLOCK_HEADER = struct.Struct("<IHHIIqqqq8xII")
BLOCK_MAGIC = 0x4B4C_4254
KIND_RECORDS, KIND_INSTRUMENTS = 1, 2
RECORD = struct.Struct("<qqqHBBiqqqq")
ROW = struct.Struct("<24s40xiiqqqqqqqqqq")
ROW_BYTES = 256
RECORD_QUOTE, RECORD_TRADE, RECORD_LEVEL, RECORD_MARK, RECORD_LIQUIDATION = 1, 2, 3, 5, 6
PLAYED = frozenset({RECORD_QUOTE, RECORD_TRADE, RECORD_LEVEL, RECORD_MARK, RECORD_LIQUIDATION})

Row = tuple[int, ...]  # wall ns, market index, then the record's fields


def is_recorded(path: Path) -> bool:
    """Return whether a file begins as a tape of records does."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


class RecordedFile:
    """One tape: its instruments, and its records in order."""

    def __init__(self, path: Path) -> None:
        """Read header and instruments.

        Raises:
            TapeError: not a tape, or damaged.
        """
        self.path = path
        with path.open("rb") as file:
            try:
                self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            except (OSError, ValueError) as fault:
                raise TapeError(f"{path}: cannot be read ({fault})") from fault
        head = self._map[: FILE_HEADER.size]
        if len(head) < FILE_HEADER.size or zlib.crc32(head[:-4]) != FILE_HEADER.unpack(head)[-1]:
            raise TapeError(f"{path}: the header of this tape is damaged")
        if FILE_HEADER.unpack(head)[1] != VERSION:
            raise TapeError(f"{path}: a tape of another version")
        self.rows: list[Row] = []
        self.symbols: list[str] = []
        for kind, _count, payload, _wall_ns in self._blocks():
            if kind == KIND_INSTRUMENTS:
                for first in range(0, len(payload), ROW_BYTES):
                    cells = ROW.unpack_from(payload, first)
                    self.symbols.append(cells[0].rstrip(b"\0").decode())
                    self.rows.append(cells[1:])
            break
        if not self.rows:
            raise TapeError(f"{path}: this tape names no instruments")

    def _blocks(self) -> Iterator[tuple[int, int, bytes, int]]:
        """Yield (kind, count, payload, wall offset) of the whole blocks, up to the first torn one.

        Raises:
            TapeError: a block in the middle is damaged.
        """
        offset, size = FILE_HEADER.size, len(self._map)
        while offset + BLOCK_HEADER.size <= size:
            head = self._map[offset : offset + BLOCK_HEADER.size]
            magic, kind, _, length, count, _, _, _, wall_ns, check, own = BLOCK_HEADER.unpack(head)
            end = offset + BLOCK_HEADER.size + length
            if magic != BLOCK_MAGIC or zlib.crc32(head[:-4]) != own or end > size:
                return
            payload = self._map[offset + BLOCK_HEADER.size : end]
            if zlib.crc32(payload) != check:
                if end >= size:
                    return
                raise TapeError(f"{self.path}: the block at byte {offset} is damaged")
            yield kind, count, payload, wall_ns
            offset = end

    def records(self, markets: list[int]) -> Iterator[Row]:
        """Yield what can be played: (wall ns, market index, fields of the record).

        Args:
            markets: market index by the tape's own instrument index; -1: not played.
        """
        for kind, _count, payload, wall_ns in self._blocks():
            if kind != KIND_RECORDS:
                continue
            for fields in RECORD.iter_unpack(payload):
                if fields[4] not in PLAYED or fields[3] >= len(markets):
                    continue
                market = markets[fields[3]]
                if market >= 0:
                    yield (fields[1] + wall_ns, market, *fields)
