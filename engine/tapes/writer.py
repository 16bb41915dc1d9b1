"""Writing a tape: append whole blocks, each with one write; never touch what was written.

A tape is opened once for writing and is this process's until it is closed: the lock goes with the
process, so a tape nobody holds and that has no END was left by a writer that was killed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from engine.domain.instrument import Instrument, instrument_rows
from engine.domain.instrument_row import LIVENESS_OFFSET
from engine.domain.records import MARKET_DTYPE
from engine.tapes.blocks import (
    BLOCK_PAYLOAD_BYTES_MAX,
    BlockKind,
    FileHeader,
    encode_block_header,
    encode_file_header,
)
from engine.tapes.errors import TapeBusyError, TapeError
from engine.tapes.reader import TapeReader, cut_torn_tail, lock

Records = NDArray[np.void]
BLOCK_RECORDS_MAX: Final = 16_384  # 1 MiB: what one checksum covers and one fault may cost
INSTRUMENTS_MAX: Final = BLOCK_PAYLOAD_BYTES_MAX // 256


class TapeWriter:
    """The one writer of a tape."""

    def __init__(self, path: Path, *, source: str = "", tape_index: int = 0) -> None:
        """Create a tape, or go on behind the last whole block of one.

        Args:
            path: the file; its folder exists.
            source: who records, for display; kept from the first writer.
            tape_index: which tape of its recording this is.

        Raises:
            TapeBusyError: another process writes it.
            TapeDamagedError: it was changed; nothing is written.
            TapeError: it is not a tape, or was ended already, or the disk refuses.
        """
        self.path = path
        self.record_count = 0
        self._descriptor = -1
        try:
            if path.exists():
                cut_torn_tail(path)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, 0o644)
            lock(self._descriptor, path)
            self.size_bytes = os.fstat(self._descriptor).st_size
            if self.size_bytes == 0:
                self._write(encode_file_header(FileHeader(time.time_ns(), tape_index, source)))
            else:
                self._resume()
        except OSError as error:
            self._drop()
            raise TapeError(f"{path}: {error.strerror}") from error
        except TapeError:
            self._drop()
            raise

    def _resume(self) -> None:
        with TapeReader(self.path) as tape:
            if tape.is_ended:
                raise TapeError(f"{self.path}: this tape was ended; nothing is added to it")
            self.record_count = tape.record_count

    def put_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Say which instruments the records that follow mean.

        Raises:
            TapeError: the disk refuses.
        """
        assert len(instruments) <= INSTRUMENTS_MAX, len(instruments)
        self.put_instrument_rows(instrument_rows(instruments))

    def put_instrument_rows(self, rows: Records) -> None:
        """Say the same from INSTRUMENT_DTYPE rows; see `put_instruments`."""
        cells = np.frombuffer(bytearray(rows.tobytes()), np.uint8).reshape(len(rows), -1)
        cells[:, LIVENESS_OFFSET:] = 0  # not of the table, but of the moment
        payload = cells.tobytes()
        header = encode_block_header(BlockKind.INSTRUMENTS, payload, len(rows))
        self._write(header, payload)

    def append(self, records: Records, wall_offset_ns: int = 0) -> None:
        """Append records, MARKET_DTYPE in order of receipt, in blocks.

        Args:
            records: borrowed until this returns.
            wall_offset_ns: what added to a receive time gives ns since the epoch.

        Raises:
            TapeError: the disk refuses; the tape ends before the block that was refused.
        """
        for first in range(0, len(records), BLOCK_RECORDS_MAX):
            part = np.ascontiguousarray(records[first : first + BLOCK_RECORDS_MAX], MARKET_DTYPE)
            payload = part.view(np.uint8).data
            received = part["receive_time_ns"]
            header = encode_block_header(
                BlockKind.RECORDS,
                payload,
                len(part),
                first_sequence=int(part["sequence"][0]),
                first_receive_ns=int(received.min()),
                last_receive_ns=int(received.max()),
                wall_offset_ns=wall_offset_ns,
            )
            self._write(header, payload)
            self.record_count += len(part)

    def sync(self) -> None:
        """Have the disk hold what was appended.

        Raises:
            TapeError: the disk refuses.
        """
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise TapeError(f"{self.path}: {error.strerror}") from error

    def end(self) -> None:
        """Close for good: nothing may follow.

        Raises:
            TapeError: the disk refuses.
        """
        self._write(encode_block_header(BlockKind.END, b"", 0))
        self.sync()
        self._drop()

    def close(self) -> None:
        """Let go without an end, so that another writer may go on."""
        self._drop()

    def _write(self, *parts: bytes | memoryview) -> None:
        wanted = sum(len(part) for part in parts)
        try:
            written = os.writev(self._descriptor, parts)
            if written != wanted:
                # A full disk takes a part; whoever opens the tape next must not find half a block.
                os.ftruncate(self._descriptor, self.size_bytes)
                raise TapeError(f"{self.path}: the disk took {written} of {wanted} bytes")
        except OSError as error:
            raise TapeError(f"{self.path}: {error.strerror}") from error
        self.size_bytes += wanted

    def _drop(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go, without an end."""
        self.close()


__all__ = ["BLOCK_RECORDS_MAX", "TapeBusyError", "TapeWriter"]
