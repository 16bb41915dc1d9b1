"""A recording turns to new tapes, each of which stands alone, and keeps what it may."""

import os
from pathlib import Path

import numpy as np
import pytest

from engine.domain.codes import LEVEL_SNAPSHOT_FIRST, GapReason, RecordType
from engine.domain.instrument import instrument_rows
from engine.tapes.folder import DAY_S, TapeFolder, read_note, retain, write_note
from engine.tapes.reader import TapeReader, joined
from engine.tapes.recording import Recording, gap_records
from engine.tapes.writer import TapeWriter
from tests.feed_rig import BTC, ETH
from tests.tape_builders import market, write_tape

ROWS = instrument_rows([BTC, ETH])


def recording(folder: Path, tape_bytes: int = 1 << 20, tape_seconds: float = 1e9) -> Recording:
    return Recording(
        TapeFolder(folder), "main", ROWS, tape_bytes=tape_bytes, tape_seconds=tape_seconds
    )


def test_a_full_tape_is_followed_by_another(tmp_path: Path) -> None:
    made = recording(tmp_path, tape_bytes=20_000)
    for part in range(10):
        made.append(market(100, first=100 * part), 7)
    made.end()
    paths = TapeFolder(tmp_path).tapes()
    assert len(paths) == made.tape_count == 4
    records = []
    for index, path in enumerate(paths):
        with TapeReader(path) as tape:
            assert tape.is_ended
            assert tape.header.tape_index == index
            assert tape.header.source == "main"
            assert [instrument.symbol for instrument in tape.instruments] == ["BTCUSDT", "ETHUSDT"]
            records.append(joined(list(tape.batches())))
    assert made.size_bytes == sum(path.stat().st_size for path in paths)
    # Beside the books at their heads the tapes hold each record once, in order.
    whole = records
    for place in range(1, len(whole)):
        head = int((whole[place]["sequence"] == whole[place]["sequence"][0]).sum())
        assert head > 0
        assert set(whole[place]["record_type"][:head].tolist()) == {RecordType.LEVEL}
        assert whole[place]["flags"][0] & LEVEL_SNAPSHOT_FIRST
        whole[place] = whole[place][head:]
    found = joined(whole)
    expected = joined([market(100, first=100 * part) for part in range(10)])
    assert found.tobytes() == expected.tobytes()


def test_an_old_tape_is_followed_by_another(tmp_path: Path) -> None:
    made = recording(tmp_path, tape_seconds=0.0)
    for part in range(3):
        made.append(market(10, first=10 * part), 0)
    made.end()
    assert made.tape_count == 4  # the last one is empty


def test_lost_records_are_gaps_of_every_instrument_and_channel() -> None:
    found = gap_records(2, first=100, count=40, now_ns=5)
    assert sorted(zip(found["instrument_index"].tolist(), found["aux"].tolist(), strict=True)) == [
        (0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2),
    ]  # fmt: skip
    assert set(found["gap_reason"].tolist()) == {GapReason.LAPPED}
    assert set(found["lost_count"].tolist()) == {40}
    assert (found["first_id"][0], found["last_id"][0]) == (100, 139)


def test_a_loss_stands_before_what_follows_it_and_unmakes_the_books(tmp_path: Path) -> None:
    made = recording(tmp_path, tape_bytes=9_000)
    made.append(market(10), 0)
    made.lose(10, 90, now_ns=1, wall_offset_ns=0)
    made.append(market(150, first=100), 0)
    made.append(market(10, first=250), 0)
    made.end()
    first, second = TapeFolder(tmp_path).tapes()
    with TapeReader(first) as tape:
        kinds = np.concatenate([batch["record_type"] for batch in tape.batches()])
        assert set(kinds[10:16].tolist()) == {RecordType.GAP}
        assert len(kinds) == 166
    with TapeReader(second) as tape:
        assert tape.record_count == 10  # no book is known after the loss
    assert made.lost_count == 90


def test_names_in_order_are_tapes_in_order(tmp_path: Path) -> None:
    folder = TapeFolder(tmp_path)
    now_ns = 1_790_000_000_000_000_000
    names = []
    for step in (0, 0, 1, 2_000_000_000):
        name = folder.name_recording("main", now_ns + step)
        write_tape(folder.tape_path(name, 0), market(1))
        names.append(name)
    assert len(set(names)) == 4
    assert names[0] == "20260921T141320Z-main"
    assert sorted(names) == [names[0], names[1], names[2], names[3]] or names[3] > names[0]


def test_what_a_killed_recorder_left_is_cut_and_ended(tmp_path: Path) -> None:
    left = write_tape(tmp_path / "a-main-000000.tape", market(4), is_ended=False)
    left.write_bytes(left.read_bytes() + b"\x54\x42")
    whole = write_tape(tmp_path / "b-main-000000.tape", market(4))
    before = whole.read_bytes()
    (tmp_path / "c-main-000000.tape").touch()
    (tmp_path / "c-main-000001.tape").write_bytes(whole.read_bytes()[:100])
    with TapeWriter(tmp_path / "d-main-000000.tape") as busy:
        busy.append(market(1), 0)
        told = TapeFolder(tmp_path).end_left()
    assert any("4 records kept, 2 bytes cut" in sentence for sentence in told)
    assert whole.read_bytes() == before
    assert not list(tmp_path.glob("c-*"))
    finished = TapeFolder(tmp_path).finished()
    assert [path.name[0] for path in finished] == ["a", "b"]


def test_a_damaged_tape_is_reported_and_left_alone(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "a-main-000000.tape", market(4), market(4), is_ended=False)
    raw = bytearray(path.read_bytes())
    raw[800] ^= 1
    path.write_bytes(raw)
    told = TapeFolder(tmp_path).end_left()
    assert "nothing was cut" in told[0]
    assert path.read_bytes() == bytes(raw)


@pytest.fixture
def five_tapes(tmp_path: Path) -> list[Path]:
    paths = []
    for day in range(5):
        path = write_tape(tmp_path / f"{day}-main-000000.tape", market(10))
        os.utime(path, (day * DAY_S, day * DAY_S))
        paths.append(path)
    return paths


def test_tapes_older_than_their_days_go(five_tapes: list[Path]) -> None:
    write_note(five_tapes[0], {"parquet": []})
    gone = retain(five_tapes, keep_days=2, keep_bytes=None, is_safe=True, now_s=4.5 * DAY_S)
    assert gone == five_tapes[:3]
    assert [path.exists() for path in five_tapes] == [False, False, False, True, True]
    assert read_note(five_tapes[0]) == {}


def test_the_oldest_go_until_the_bytes_fit(five_tapes: list[Path]) -> None:
    size = five_tapes[0].stat().st_size
    gone = retain(five_tapes, keep_days=None, keep_bytes=3 * size, is_safe=True)
    assert gone == five_tapes[:2]


def test_without_a_verified_copy_nothing_goes(five_tapes: list[Path]) -> None:
    write_note(five_tapes[1], {"copy": {"url": "s3://bucket/1"}})
    gone = retain(five_tapes, keep_days=1, keep_bytes=1, is_safe=False, now_s=9 * DAY_S)
    assert gone == [five_tapes[1]]
