"""Recorded markets: what is read, how times and ids move, which files are refused."""

import gzip
import itertools
import json
from pathlib import Path

import pytest

from exchange.errors import TapeError
from exchange.events import DIFF, QUOTE, SNAPSHOT, TRADE, Event
from exchange.tape import LOOP_PAUSE_NS, MAX_BAD_LINES, Tape, find_tapes
from tests.exchange_rig import EVENT_LEAD_MS, START_MS, TapeWriter, short_tape, tape_of

PLAY_NS = 1_800_000_000_000_000_000
PLAY_MS = PLAY_NS // 1_000_000


def played(tape: Tape) -> list[Event]:
    tape.begin(PLAY_NS)
    return rest_of(tape)


def rest_of(tape: Tape) -> list[Event]:
    events: list[Event] = []
    while batch := tape.next_batch():
        events.extend(batch)
    return events


def test_lines_become_events_in_order(tmp_path: Path) -> None:
    events = played(tape_of(short_tape(tmp_path / "a.txt")))
    kinds = [event[2] for event in events]
    assert kinds == [DIFF, DIFF, SNAPSHOT, QUOTE, TRADE, DIFF, TRADE, QUOTE, DIFF]
    assert [event[0] for event in events] == [PLAY_NS + k * 20_000_000 for k in range(9)]


def test_numbers_are_in_the_symbols_units(tmp_path: Path) -> None:
    events = played(tape_of(short_tape(tmp_path / "a.txt")))
    assert events[0][3][:5] == (1001, 1010, 1000, [(6_000_000, 1000)], [(6_000_010, 1000)])
    assert events[3][3][:5] == (1022, 6_000_000, 1000, 6_000_010, 700)
    assert events[4][3][:4] == (6_000_010, 300, False, 501)
    assert events[2][3][:2] == (1015, [(6_000_000, 1000), (5_999_990, 1500), (5_999_980, 3000)])


def test_event_times_move_by_one_constant(tmp_path: Path) -> None:
    events = played(tape_of(short_tape(tmp_path / "a.txt", gap_ms=7)))
    for event in events:
        body = event[4]
        if not body:
            continue
        frame = json.loads(body)
        offset_ms = (event[0] - PLAY_NS) // 1_000_000
        assert frame["E"] == PLAY_MS + offset_ms
        assert frame["T"] == frame["E"] == event[3][-1]


def test_everything_but_the_times_is_as_recorded(tmp_path: Path) -> None:
    path = short_tape(tmp_path / "a.txt")
    recorded = [json.loads(line.split(" ", 1)[1]) for line in path.read_text().splitlines()]
    for original, event in zip(recorded, played(tape_of(path)), strict=True):
        if event[2] == SNAPSHOT:
            continue
        assert event[4] is not None
        frame = json.loads(event[4])
        for body in (frame, original["data"]):
            del body["E"], body["T"]
        assert frame == original["data"]


def test_files_are_merged_by_receive_stamp(tmp_path: Path) -> None:
    first = TapeWriter()
    second = TapeWriter("ETHUSDT")
    for k in range(5):
        first.quote(10 * k, 10 + k, ("60000.00", "1.000"), ("60000.10", "1.000"))
        second.quote(10 * k + 4, 10 + k, ("2600.00", "1.000"), ("2600.01", "1.000"))
    tape = tape_of(first.write(tmp_path / "a"), second.write(tmp_path / "b"))
    events = played(tape)
    assert [event[1] for event in events] == [0, 1] * 5
    assert [spec.symbol for spec in tape.specs] == ["BTCUSDT", "ETHUSDT"]


def test_second_pass_moves_times_by_the_span_and_ids_past_the_last(tmp_path: Path) -> None:
    tape = tape_of(short_tape(tmp_path / "a.txt"))
    first = played(tape)
    start_ns = tape.begin_again(0)
    second = rest_of(tape)
    span_ns = 160_000_000
    assert start_ns == PLAY_NS + span_ns + LOOP_PAUSE_NS
    assert [e[0] - start_ns for e in second] == [e[0] - PLAY_NS for e in first]
    assert second[0][3][0] > first[-1][3][1]
    assert json.loads(second[0][4] or b"")["pu"] > 1040
    trades = [e for e in [*first, *second] if e[2] == TRADE]
    ids = [e[3][3] for e in trades]
    assert ids == sorted(set(ids))
    for event in second:
        if event[2] == SNAPSHOT:
            continue
        frame = json.loads(event[4] or b"")
        shift_ms = (event[0] - start_ns) // 1_000_000
        assert frame["E"] == start_ns // 1_000_000 + shift_ms
        if event[2] == DIFF:
            assert [frame["U"], frame["u"], frame["pu"]] == list(event[3][:3])
        if event[2] == QUOTE:
            assert frame["u"] == event[3][0]


def test_second_pass_may_start_later(tmp_path: Path) -> None:
    tape = tape_of(short_tape(tmp_path / "a.txt"))
    played(tape)
    late_ns = PLAY_NS + 3_600_000_000_000
    assert tape.begin_again(late_ns) == late_ns


def test_book_of_the_tape_is_continuous(tmp_path: Path) -> None:
    events = played(tape_of(short_tape(tmp_path / "a.txt")))
    diffs = [event[3] for event in events if event[2] == DIFF]
    assert all(later[2] == earlier[1] for earlier, later in itertools.pairwise(diffs))


def test_packed_and_plain_files_are_the_same(tmp_path: Path) -> None:
    plain = short_tape(tmp_path / "a.txt")
    packed = tmp_path / "a.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert played(tape_of(packed)) == played(tape_of(plain))


def test_cut_off_archive_plays_to_the_cut(tmp_path: Path) -> None:
    tape = TapeWriter()
    for k in range(5_000):
        tape.quote(k, 10 + k, ("60000.00", f"{k % 9 + 1}.{k % 977:03d}"), ("60000.10", "1.000"))
    packed = gzip.compress(tape.write(tmp_path / "a").read_bytes())
    cut = tmp_path / "cut.gz"
    cut.write_bytes(packed[: len(packed) * 3 // 4])
    events = played(tape_of(cut))
    assert 1_000 < len(events) < 5_000


def test_unreadable_lines_are_counted_and_passed_over(tmp_path: Path) -> None:
    path = short_tape(tmp_path / "a.txt")
    lines = path.read_text().splitlines()
    lines[4:4] = ["garbage", lines[3][:80], '1723161255080000000 {"stream":"x","data":{"e":1}}']
    path.write_text("\n".join(lines) + "\n")
    tape = tape_of(path)
    assert len(played(tape)) == 9
    assert tape.bad_lines == 3


def test_too_many_unreadable_lines_end_the_tape(tmp_path: Path) -> None:
    path = short_tape(tmp_path / "a.txt")
    path.write_text(path.read_text() + '1723161255080000000 {"stream":"\n' * (MAX_BAD_LINES + 1))
    with pytest.raises(TapeError, match="unreadable"):
        played(tape_of(path))


def test_folder_gives_futures_captures_when_it_has_any(tmp_path: Path) -> None:
    for name in ("usdm_b.gz", "usdm_a.gz", "spot_a.gz", "notes.md"):
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p in find_tapes([str(tmp_path)])] == ["usdm_a.gz", "usdm_b.gz"]
    for name in ("usdm_a.gz", "usdm_b.gz"):
        (tmp_path / name).unlink()
    assert [p.name for p in find_tapes([str(tmp_path)])] == ["spot_a.gz"]


def test_missing_and_empty_paths_are_named(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="no such file"):
        find_tapes([str(tmp_path / "absent")])
    with pytest.raises(TapeError, match="no capture"):
        find_tapes([str(tmp_path)])


def test_files_of_other_markets_are_refused(tmp_path: Path) -> None:
    spot = tmp_path / "spot.txt"
    body = '{"u":1,"s":"BTCUSDT","b":"1.0","B":"1.0","a":"2.0","A":"1.0"}'
    spot.write_text(f'1723161255000000000 {{"stream":"btcusdt@bookTicker","data":{body}}}\n')
    with pytest.raises(TapeError, match="not a USD-M"):
        Tape([str(spot)])
    coin = TapeWriter("BTCUSD_PERP")
    coin.quote(0, 1, ("60000.0", "1"), ("60000.1", "1"))
    with pytest.raises(TapeError, match="not a USD-M"):
        tape_of(coin.write(tmp_path / "coin.txt"))


def test_file_without_frames_or_with_two_symbols_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("hello\n")
    with pytest.raises(TapeError, match="found none"):
        Tape([str(empty)])
    mixed = TapeWriter()
    mixed.quote(0, 1, ("1.00", "1.000"), ("2.00", "1.000"))
    mixed.symbol = "ETHUSDT"
    mixed.quote(1, 1, ("1.00", "1.000"), ("2.00", "1.000"))
    with pytest.raises(TapeError, match="BTCUSDT, ETHUSDT"):
        tape_of(mixed.write(tmp_path / "mixed.txt"))


def test_damaged_archive_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "bad.gz"
    path.write_bytes(b"\x1f\x8bgarbage")
    with pytest.raises(TapeError, match=r"bad\.gz"):
        Tape([str(path)])


def test_unknown_symbol_gets_filters_from_its_numbers(tmp_path: Path) -> None:
    tape = TapeWriter("XRPUSDT")
    tape.quote(0, 1, ("0.5001", "100.0"), ("0.5002", "30.0"))
    tape.diff(1, (2, 3, 1), [("0.5000", "12.5")], [])
    spec = tape_of(tape.write(tmp_path / "x.txt")).specs[0]
    assert (spec.price_text(spec.tick), spec.qty_text(spec.step)) == ("0.0001", "0.1")


def test_recorded_captures_parse_whole(captures: list[Path]) -> None:
    tape = tape_of(*captures)
    assert {spec.symbol for spec in tape.specs} == {"BTCUSDT", "ETHUSDT"}
    tape.begin(PLAY_NS)
    counts = dict.fromkeys((QUOTE, TRADE, DIFF, SNAPSHOT), 0)
    last_ns = 0
    while batch := tape.next_batch():
        for due_ns, _, kind, _, _ in batch:
            assert due_ns >= last_ns
            last_ns = due_ns
            counts[kind] += 1
    assert tape.bad_lines == 0
    assert counts == {QUOTE: 120_081, TRADE: 35_389, DIFF: 13_137, SNAPSHOT: 2}


def test_event_lead_of_the_rig_matches_the_recordings(captures: list[Path]) -> None:
    tape = tape_of(captures[0])
    lead_ms = tape.files[0].first_event_ms - tape.files[0].first_receive_ns // 1_000_000
    assert abs(lead_ms - EVENT_LEAD_MS) < 50
    assert START_MS > 0


@pytest.mark.parametrize("line", ["hello", "[1]", '"s"'])
def test_first_line_that_is_no_capture_is_refused(tmp_path: Path, line: str) -> None:
    path = short_tape(tmp_path / "a.txt")
    path.write_text(line + "\n" + path.read_text())
    with pytest.raises(TapeError, match="not a capture"):
        Tape([str(path)])


def test_number_that_is_no_number_is_refused_at_the_start(tmp_path: Path) -> None:
    tape = TapeWriter("XRPUSDT")
    tape.quote(0, 1, ("NaN", "100.0"), ("0.5002", "30.0"))
    with pytest.raises(TapeError, match="not a capture"):
        tape_of(tape.write(tmp_path / "x.txt"))
