"""Parquet holds what the tape holds: the tape can be made again from it."""

import sys
from pathlib import Path

import numpy as np
import pytest

from engine.domain.codes import RecordType
from engine.domain.records import MARKET_DTYPE, MARKET_FIELDS
from engine.tapes import parquet
from engine.tapes.errors import MissingExtraError, TapeDamagedError
from engine.tapes.parquet import FIELDS, Records, export_parquet, records_of
from engine.tapes.reader import joined
from tests.tape_builders import WALL_NS, gap, market, write_tape

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
DAY_NS = 86_400_000_000_000


def read_again(root: Path) -> Records:
    parts = []
    for path in sorted(root.rglob("*.parquet")):
        kind = RecordType[path.relative_to(root).parts[0].upper()]
        parts.append(records_of(pq.ParquetFile(path).read(), kind))
    found = joined(parts)
    return found[np.argsort(found["sequence"], kind="stable")]


def test_it_equals_the_tape_byte_for_byte(tmp_path: Path) -> None:
    records = market(3_000)
    tape = write_tape(tmp_path / "x.tape", records[:1_000], records[1_000:])
    written = export_parquet(tape, tmp_path / "out")
    assert read_again(tmp_path / "out").tobytes() == records.tobytes()
    assert sorted(written) == sorted((tmp_path / "out").rglob("*.parquet"))


def test_every_kind_of_record_keeps_every_byte(tmp_path: Path) -> None:
    chance = np.random.default_rng(7)
    records = np.frombuffer(chance.bytes(64 * 800), MARKET_DTYPE).copy()
    records["sequence"] = np.arange(1, 801)
    records["record_type"] = np.arange(800) % 8 + 1
    records["receive_time_ns"] = np.arange(800)
    records["instrument_index"] %= 3  # one more than there are instruments
    tape = write_tape(tmp_path / "x.tape", records)
    export_parquet(tape, tmp_path / "out")
    assert read_again(tmp_path / "out").tobytes() == records.tobytes()


def test_partitions_are_days_and_instruments(tmp_path: Path) -> None:
    records = market(400)
    records["receive_time_ns"][200:] += DAY_NS
    written = export_parquet(write_tape(tmp_path / "x.tape", records), tmp_path / "out")
    quotes = [path for path in written if "quote" in path.parts]
    names = {path.parent.relative_to(tmp_path / "out").as_posix() for path in quotes}
    assert names == {
        f"quote/day=2026-09-{day}/instrument={symbol}"
        for day in (21, 22)
        for symbol in ("BTCUSDT", "ETHUSDT")
    }
    table = pq.read_table(tmp_path / "out" / "quote", filters=[("instrument", "=", "ETHUSDT")])
    chosen = (records["record_type"] == RecordType.QUOTE) & (records["instrument_index"] == 1)
    assert table.num_rows == int(chosen.sum())


def test_people_read_prices_and_times(tmp_path: Path) -> None:
    records = market(50)
    written = export_parquet(write_tape(tmp_path / "x.tape", records), tmp_path / "out")
    path = next(path for path in written if "quote" in path.parts and "BTCUSDT" in str(path))
    table = pq.ParquetFile(path).read().slice(0, 1)
    (wall_ns,) = table.column("received_at").cast("int64").to_pylist()
    row = {name: table.column(name)[0].as_py() for name in table.column_names if "_at" not in name}
    assert row["bid_price"] == round(row["bid_price_ticks"] * 0.1, 1)
    assert row["ask_qty"] == round(row["ask_qty_lots"] * 0.001, 3)
    assert wall_ns == WALL_NS + row["receive_time_ns"] - 5_000_000_000


def test_windows_change_files_and_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [market(50, first=50 * n) for n in range(6)]
    tape = write_tape(tmp_path / "x.tape", *parts)
    monkeypatch.setattr(parquet, "WINDOW_BLOCKS", 2)
    written = export_parquet(tape, tmp_path / "out")
    assert {path.name for path in written} == {f"x.{n}.parquet" for n in range(3)}
    assert read_again(tmp_path / "out").tobytes() == joined(parts).tobytes()


def test_doing_it_again_changes_nothing(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "x.tape", market(300))
    export_parquet(tape, tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")}
    export_parquet(tape, tmp_path / "out")
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")} == before


def test_a_damaged_tape_gives_no_half_truth(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "x.tape", market(10))
    raw = bytearray(tape.read_bytes())
    raw[-100] ^= 1
    tape.write_bytes(raw)
    with pytest.raises(TapeDamagedError):
        export_parquet(tape, tmp_path / "out")
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_gap_is_a_table_too(tmp_path: Path) -> None:
    written = export_parquet(write_tape(tmp_path / "x.tape", gap()), tmp_path / "out")
    assert [path.relative_to(tmp_path / "out").parts[0] for path in written] == ["gap"]


def test_every_kind_has_all_its_words() -> None:
    table = {name: (np.dtype(form).itemsize, offset) for name, form, offset in MARKET_FIELDS}
    for kind in RecordType:
        covered = [
            byte
            for name in FIELDS[kind]
            for byte in range(table[name][1], table[name][1] + table[name][0])
        ]
        words = 2 if kind is RecordType.FILTER else 4
        assert sorted(covered) == list(range(32, 32 + 8 * words)), kind


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ["pyarrow", "pyarrow.parquet"]:
        monkeypatch.setitem(sys.modules, name, None)  # None: an import of it fails
    with pytest.raises(MissingExtraError, match=r"aegis-engine\[history\]"):
        parquet.pyarrow()
