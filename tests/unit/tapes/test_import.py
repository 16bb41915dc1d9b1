"""How numbers become counts of a step, and rows become records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import TRADE_BUYER_AGGRESSOR, RecordType
from engine.tapes.drafts import Draft, Steps, digits_of, join, step_of
from engine.tapes.errors import ImportFormatError, TapeError
from engine.tapes.import_tables import FORMATS, symbol_in
from engine.tapes.importing import import_files
from engine.tapes.reader import Records, TapeReader, joined
from engine.tapes.top_book import LEVELS, TopBook

S = 1_000_000_000


def read(path: Path, *sources: Path, steps: Steps | None = None) -> tuple[Records, TapeReader]:
    import_files(list(sources), path, steps or Steps())
    tape = TapeReader(path)
    return joined([tape.records(block) for block in tape.record_blocks]), tape


def trades(prices: list[float], quantities: list[float]) -> Draft:
    count = len(prices)
    return Draft(
        "XUSDT",
        RecordType.TRADE,
        np.arange(count) * S,
        np.arange(count) * S,
        {"price_ticks": np.array(prices)},
        {"qty_lots": np.array(quantities)},
    )


@given(
    digits=st.integers(0, 5),
    counts=st.lists(st.integers(1, 10**9), min_size=1, max_size=50),
)
def test_a_price_is_a_whole_count_of_its_tick(digits: int, counts: list[int]) -> None:
    prices = [count / 10**digits for count in counts]
    found = join([trades(prices, [1.0] * len(prices))])
    tick = found.instruments[0]
    again = found.records["price_ticks"] * tick.tick_scaled / 10**tick.price_exponent
    assert np.allclose(again, prices, rtol=1e-15, atol=0)
    assert found.rounded == 0


def test_digits_are_those_of_the_finest_number() -> None:
    assert digits_of(np.array([1.0, 2.5, 61_804.1])) == 1
    assert digits_of(np.array([0.0110435, 3.0])) == 7
    assert digits_of(np.array([])) == 0


@pytest.mark.parametrize(("step", "text"), [(0.25, "0.25"), (0.00005, "0.00005"), (0.01, "0.01")])
def test_an_uneven_step_needs_many_numbers(step: float, text: str) -> None:
    numbers = np.round(np.arange(1, 800) * step, 5)
    assert step_of(numbers) == text
    assert step_of(numbers[:3]) in {text, "0.01", "0.00001"}


def test_quantities_too_fine_for_exact_money_are_rounded_and_told() -> None:
    found = join([trades([0.00001, 0.00002], [1.2345, 2.0])])
    instrument = found.instruments[0]
    assert (instrument.price_exponent, instrument.qty_exponent) == (5, 3)
    assert found.records["qty_lots"].tolist() == [1_234, 2_000]
    assert found.rounded == 1


def test_a_price_off_a_given_tick_is_refused() -> None:
    with pytest.raises(ImportFormatError, match="off the tick"):
        join([trades([1.25], [1.0])], Steps(tick="0.1"))


def test_a_given_step_is_taken() -> None:
    found = join([trades([100.0], [3.0])], Steps("0.10", "0.001"))
    assert found.records["price_ticks"].tolist() == [1_000]
    assert found.records["qty_lots"].tolist() == [3_000]


def test_no_record_is_refused() -> None:
    with pytest.raises(ImportFormatError, match="no record"):
        join([trades([], [])])


def test_files_are_merged_by_receive_time(tmp_path: Path) -> None:
    a, b = tmp_path / "AUSDT.csv", tmp_path / "BUSDT.csv"
    head = "timestamp,price,quantity,side,tradeId\n"
    a.write_text(head + "1000,1.5,1,buy,1\n3000,1.6,1,sell,2\n")
    b.write_text(head + "2000,7,0.5,buy,1\n")
    records, tape = read(tmp_path / "x.tape", a, b)
    assert [instrument.symbol for instrument in tape.instruments] == ["AUSDT", "BUSDT"]
    assert records["instrument_index"].tolist() == [0, 1, 0]
    assert records["receive_time_ns"].tolist() == [1 * S, 2 * S, 3 * S]
    assert (records["flags"] & TRADE_BUYER_AGGRESSOR).tolist() == [1, 1, 0]


def test_a_bar_is_received_at_its_end(tmp_path: Path) -> None:
    source = tmp_path / "bars.csv"
    rows = [f"2024-01-01 00:0{n}:00,10,12,9,11,5" for n in range(3)]
    source.write_text("\n".join(["timestamp_utc,open,high,low,close,volume", *rows]))
    records, _ = read(tmp_path / "x.tape", source)
    assert (records["receive_time_ns"] - records["venue_time_ns"]).tolist() == [60 * S] * 3
    first = records[0]
    assert (first["open_ticks"], first["high_offset_ticks"], first["low_offset_ticks"]) == (
        10, 2, -1,
    )  # fmt: skip
    assert (first["close_offset_ticks"], first["volume_lots"], first["aux"]) == (1, 5, 60)


def test_ends_in_new_york_time_are_utc(tmp_path: Path) -> None:
    source = tmp_path / "v.csv"
    source.write_text(
        "timestamp_et_bar_end,instrument,open,high,low,close,volume\n"
        "2026-02-05 18:01:00,ES,1,1,1,1,1\n2026-07-05 18:01:00,ES,1,1,1,1,1\n"
    )
    records, _ = read(tmp_path / "x.tape", source)
    ends = (records["receive_time_ns"] // S).astype("datetime64[s]").astype(str).tolist()
    assert ends == ["2026-02-05T23:01:00", "2026-07-05T22:01:00"]


def test_what_cannot_be_understood_names_its_file(tmp_path: Path) -> None:
    source = tmp_path / "odd.csv"
    source.write_text("timestamp,price,quantity,side,tradeId\n1000,cheap,1,buy,1\n")
    with pytest.raises(ImportFormatError, match=r"odd\.csv.*cheap"):
        read(tmp_path / "x.tape", source)
    source.write_text("a,b\n1,2\n")
    with pytest.raises(ImportFormatError, match="no known format"):
        read(tmp_path / "x.tape", source)
    assert not (tmp_path / "x.tape").exists()


def test_a_tape_is_not_written_over(tmp_path: Path) -> None:
    source = tmp_path / "AUSDT.csv"
    source.write_text("timestamp,price,quantity,side,tradeId\n1000,1.5,1,buy,1\n")
    read(tmp_path / "x.tape", source)
    with pytest.raises(TapeError, match="exists already"):
        read(tmp_path / "x.tape", source)


def test_a_book_is_told_by_what_changed() -> None:
    book = TopBook("X")
    book.replace({float(100 - n): 1.0 for n in range(30)}, {float(101 + n): 1.0 for n in range(30)})
    book.tell(1, 1, 10)
    book.change([(100.0, 0.0), (99.0, 2.0)], is_bid=True)
    book.tell(2, 2, 11)
    book.tell(3, 3, 12)  # nothing changed
    draft = book.draft()
    first = draft.receive_ns == 1
    assert int(first.sum()) == 2 * LEVELS
    later = sorted(
        zip(
            draft.prices["price_ticks"][~first].tolist(),
            draft.quantities["qty_lots"][~first].tolist(),
            strict=True,
        )
    )
    assert later == [(80.0, 1.0), (99.0, 2.0), (100.0, 0.0)]  # the 21st has come up
    assert set(draft.receive_ns.tolist()) == {1, 2}


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("LTCUSDT_2025-06-21_06h_trades.csv.gz", "LTCUSDT"),
        ("nautilus_6EH4_1m.csv.gz", "6EH4"),
        ("lean_oanda_eurusd_ticks.parquet", "EURUSD"),
        ("notes.csv", "NOTES"),
    ],
)
def test_a_file_name_says_its_symbol(name: str, symbol: str) -> None:
    assert symbol_in(Path(name)) == symbol


def test_no_format_hides_another() -> None:
    for place, known in enumerate(FORMATS):
        hidden = [other.name for other in FORMATS[:place] if other.columns <= known.columns]
        assert hidden == [], known.name
