"""Tapes: any records come back, a torn tail is cut wherever it is torn, a changed byte is found."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.records import MARKET_DTYPE
from engine.tapes import writer as writer_module
from engine.tapes.blocks import BLOCK_HEADER_BYTES, FILE_HEADER_BYTES, BlockKind
from engine.tapes.errors import TapeDamagedError, TapeError
from engine.tapes.reader import TapeReader, cut_torn_tail
from engine.tapes.writer import TapeWriter
from tests.tape_builders import market, write_tape

SLOT = MARKET_DTYPE.itemsize


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a path in a folder of its own: hypothesis runs a test many times in one tmp_path."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "x.tape"


def held(path: Path) -> bytes:
    with TapeReader(path) as tape:
        return b"".join(tape.records(block).tobytes() for block in tape.record_blocks)


@given(parts=st.lists(st.binary(min_size=SLOT, max_size=40 * SLOT), max_size=6))
def test_any_records_come_back_as_they_were(parts: list[bytes]) -> None:
    whole = [part[: len(part) // SLOT * SLOT] for part in parts]
    with scratch() as path:
        write_tape(path, *(np.frombuffer(part, MARKET_DTYPE) for part in whole))
        assert held(path) == b"".join(whole)
        with TapeReader(path) as tape:
            assert tape.verify() == []
            assert tape.is_ended
            assert tape.record_count == sum(len(part) // SLOT for part in whole)


@given(count=st.integers(1, 200), block=st.integers(1, 50), again=st.integers(0, 60))
def test_blocks_and_writers_leave_no_trace_in_the_records(
    count: int, block: int, again: int
) -> None:
    records = market(count + again)
    with scratch() as path, pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "BLOCK_RECORDS_MAX", block)
        write_tape(path, records[:count], is_ended=False)
        with TapeWriter(path) as writer:
            assert writer.record_count == count
            writer.append(records[count:], 7)
            writer.end()
        assert held(path) == records.tobytes()
        with TapeReader(path) as tape:
            assert max(found.row_count for found in tape.record_blocks) <= block


def test_a_tail_torn_at_any_byte_of_the_last_block_is_cut(tmp_path: Path) -> None:
    first, last = market(3), market(2, first=3)
    whole = write_tape(tmp_path / "whole.tape", first, last, is_ended=False).read_bytes()
    last_bytes = BLOCK_HEADER_BYTES + last.nbytes
    path = tmp_path / "torn.tape"
    for kept in range(len(whole) - last_bytes, len(whole)):
        path.write_bytes(whole[:kept])
        torn = kept - (len(whole) - last_bytes)
        with TapeReader(path) as tape:
            assert (tape.record_count, tape.torn_bytes) == (len(first), torn)
        assert cut_torn_tail(path) == torn
        assert path.read_bytes() == whole[: len(whole) - last_bytes]
        with TapeWriter(path) as writer:
            writer.append(last, 0)
        assert held(path) == first.tobytes() + last.tobytes()


def test_a_tape_torn_inside_its_header_begins_anew(tmp_path: Path) -> None:
    whole = write_tape(tmp_path / "whole.tape", market(3)).read_bytes()
    path = tmp_path / "torn.tape"
    for kept in (0, 1, 7, 8, 100, FILE_HEADER_BYTES - 1):
        path.write_bytes(whole[:kept])
        write_tape(path, market(2))
        assert held(path) == market(2).tobytes()


def test_a_byte_changed_anywhere_in_an_ended_tape_is_found(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "x.tape", market(3), market(2, first=3))
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x10
        path.write_bytes(changed)
        assert problems(path), f"byte {place}"


def problems(path: Path) -> list[str]:
    """Return what opening and verifying a tape finds."""
    try:
        with TapeReader(path) as tape:
            found = tape.verify()
            return found if tape.is_ended else [*found, "not ended any more"]
    except TapeError as error:
        return [str(error)]


@settings(max_examples=30)
@given(data=st.data())
def test_damage_before_the_last_block_is_never_cut(data: st.DataObject) -> None:
    with scratch() as path:
        write_tape(path, market(4), market(4, first=4), is_ended=False)
        whole = path.read_bytes()
        with TapeReader(path) as tape:
            header = tape.record_blocks[0].offset
        place = data.draw(st.integers(header, header + BLOCK_HEADER_BYTES - 1))
        changed = bytearray(whole)
        changed[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(changed)
        with pytest.raises(TapeDamagedError, match="nothing was cut"):
            cut_torn_tail(path)
        assert path.read_bytes() == bytes(changed)


@given(text=st.binary(max_size=300))
def test_what_is_no_tape_is_never_touched(text: bytes) -> None:
    with scratch() as path:
        path.write_bytes(b"note" + text)
        for action in (TapeReader, cut_torn_tail, TapeWriter):
            with pytest.raises(TapeError, match="not a tape"):
                action(path)
        assert path.read_bytes() == b"note" + text


@given(
    first=st.integers(-5, 120),
    span=st.integers(0, 120),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=9),
)
def test_a_span_of_time_gives_what_was_received_in_it(
    first: int, span: int, sizes: list[int]
) -> None:
    records = market(sum(sizes))
    bounds = np.cumsum([0, *sizes])
    with scratch() as path:
        parts = [records[low:high] for low, high in pairwise(bounds.tolist())]
        write_tape(path, *parts)
        with TapeReader(path) as tape:
            offset = tape.record_blocks[0].wall_offset_ns
            walls = records["receive_time_ns"] + offset
            low = int(walls[0]) + first * 1_000_000
            high = low + span * 1_000_000
            found = b"".join(batch.tobytes() for batch in tape.batches(low, high))
            assert found == records[(walls >= low) & (walls <= high)].tobytes()
            assert all(block.kind is BlockKind.RECORDS for block in tape.record_blocks)
