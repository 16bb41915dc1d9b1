"""What a reader refuses, and what it says of a tape."""

import struct
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from engine.domain.instrument import instrument_rows
from engine.tapes import blocks
from engine.tapes.errors import TapeBusyError, TapeDamagedError, TapeError
from engine.tapes.reader import TapeReader, cut_torn_tail, joined
from engine.tapes.writer import TapeWriter
from tests.feed_rig import BTC, ETH
from tests.tape_builders import START_NS, STEP_NS, WALL_NS, market, write_tape


def test_it_knows_the_instruments_as_they_were_recorded(tmp_path: Path) -> None:
    with TapeReader(write_tape(tmp_path / "x.tape", market(5))) as tape:
        assert tape.instruments == [BTC, ETH]
        assert (tape.instrument_rows() == instrument_rows([BTC, ETH])).all()


def test_later_instruments_replace_the_earlier_ones(tmp_path: Path) -> None:
    path = tmp_path / "x.tape"
    with TapeWriter(path) as writer:
        writer.put_instruments([ETH])
        writer.put_instruments([BTC, ETH])
    with TapeReader(path) as tape:
        assert [instrument.symbol for instrument in tape.instruments] == ["BTCUSDT", "ETHUSDT"]


def test_records_are_handed_out_in_place_and_cannot_be_written(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "x.tape", market(5))
    with TapeReader(path) as tape:
        records = tape.records(tape.record_blocks[0])
        assert not records.flags.owndata
        with pytest.raises(ValueError, match="read-only"):
            records["flags"] = 1
        del records


def test_its_span_is_in_wall_time(tmp_path: Path) -> None:
    with TapeReader(write_tape(tmp_path / "x.tape", market(10), market(5, first=10))) as tape:
        assert tape.span_ns == (WALL_NS, WALL_NS + 14 * STEP_NS)
        assert tape.find(WALL_NS + 10 * STEP_NS) == 1
        assert tape.find(WALL_NS + 15 * STEP_NS) == 2
        assert tape.record_blocks[0].first_receive_ns == START_NS


def test_another_version_is_refused_by_name(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "x.tape", market(1))
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, 8, blocks.FORMAT_VERSION + 1)
    struct.pack_into("<I", raw, 188, crc32(raw[:188]))
    path.write_bytes(raw)
    with pytest.raises(TapeError, match="another version"):
        TapeReader(path)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="No such file"):
        TapeReader(tmp_path / "none.tape")


def test_an_empty_file_is_no_tape(tmp_path: Path) -> None:
    (tmp_path / "x.tape").touch()
    with pytest.raises(TapeError, match="not a tape"):
        TapeReader(tmp_path / "x.tape")


def test_a_block_whose_rows_do_not_fill_it_is_damage(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "x.tape", market(1), is_ended=False)
    payload = bytes(64)
    header = blocks.encode_block_header(blocks.BlockKind.RECORDS, payload, 2)
    path.write_bytes(path.read_bytes() + header + payload)
    with pytest.raises(TapeDamagedError, match="another number of rows"):
        TapeReader(path)


def test_a_damaged_payload_is_found_when_it_is_asked_for(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "x.tape", market(3), market(3, first=3))
    with TapeReader(path) as tape:
        place = tape.record_blocks[0].payload_offset
    raw = bytearray(path.read_bytes())
    raw[place + 5] ^= 1
    path.write_bytes(raw)
    with TapeReader(path) as tape:
        with pytest.raises(TapeDamagedError, match=f"byte {place - 64}"):
            tape.records(tape.record_blocks[0])
        assert len(tape.records(tape.record_blocks[1])) == 3
        assert len(tape.verify()) == 1


def test_one_writer_has_a_tape(tmp_path: Path) -> None:
    path = tmp_path / "x.tape"
    with TapeWriter(path) as writer:
        writer.append(market(2), 0)
        with pytest.raises(TapeBusyError):
            TapeWriter(path)
        with pytest.raises(TapeBusyError):
            cut_torn_tail(path)
        with TapeReader(path) as tape:  # who reads disturbs nobody
            assert tape.record_count == 2


def test_nothing_is_added_to_a_tape_that_was_ended(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "x.tape", market(2))
    with pytest.raises(TapeError, match="was ended"):
        TapeWriter(path)
    with pytest.raises(TapeError, match="was ended"):
        TapeWriter(path)  # the lock of the first try is gone


def test_the_words_of_a_block_are_where_the_document_says(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "x.tape", market(3), is_ended=False)
    raw = path.read_bytes()
    assert raw[:8] == b"AEGIST1\n"
    assert struct.unpack_from("<II", raw, 8) == (1, 64)
    first = 192 + 64 + 2 * 256  # behind the header and the instruments
    magic, kind, _, length, count = struct.unpack_from("<IHHII", raw, first)
    assert (magic, kind, length, count) == (0x4B4C4254, 1, 192, 3)
    times = struct.unpack_from("<qqqq", raw, first + 16)
    assert times == (1, START_NS, START_NS + 2 * STEP_NS, WALL_NS - START_NS)
    assert struct.unpack_from("<I", raw, first + 56)[0] == crc32(raw[first + 64 :])
    assert struct.unpack_from("<I", raw, first + 60)[0] == crc32(raw[first : first + 60])


def test_a_full_disk_leaves_no_half_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.tape"
    with TapeWriter(path) as writer:
        writer.append(market(2), 0)
        whole = path.read_bytes()

        def take_a_part(descriptor: int, parts: list[bytes]) -> int:
            import os

            return os.write(descriptor, bytes(parts[0])[:10])

        with monkeypatch.context() as patch:
            patch.setattr("engine.tapes.writer.os.writev", take_a_part)
            with pytest.raises(TapeError, match="took 10 of"):
                writer.append(market(2), 0)
        assert path.read_bytes() == whole
        writer.append(market(3, first=2), 0)
    with TapeReader(path) as tape:
        assert (tape.record_count, tape.torn_bytes) == (5, 0)


def test_batches_keep_their_order_over_blocks(tmp_path: Path) -> None:
    parts = [market(7, first=7 * n) for n in range(5)]
    with TapeReader(write_tape(tmp_path / "x.tape", *parts)) as tape:
        found = joined(list(tape.batches()))
    assert (np.diff(found["sequence"]) == 1).all()
