"""The market of the replay bench: the same rows for every engine."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.sides import replay_rows
from bench.sides.replay_rows import (
    COLUMNS,
    FIRST,
    FOURTH,
    ID,
    KIND,
    QUOTE,
    RECEIVE_NS,
    SECOND,
    SIDE,
    THIRD,
    TRADE,
)

FRAMES = [
    {"e": "bookTicker", "b": "61800.20", "B": "2.507", "a": "61800.30", "A": "2.510"},
    {"e": "trade", "p": "61800.30", "q": "0.006", "m": False},
    {"e": "depthUpdate", "b": [], "a": []},
    {"e": "trade", "p": "61800.2", "q": "1", "m": True},
]


def quotes(*sizes: tuple[int, int]) -> replay_rows.Rows:
    rows = np.zeros((len(sizes), COLUMNS), dtype=np.int64)
    rows[:, RECEIVE_NS] = np.arange(len(sizes))
    rows[:, FIRST], rows[:, SECOND] = 100, 101
    rows[:, THIRD:] = sizes
    return rows


def test_a_capture_gives_quotes_and_trades_in_ticks(tmp_path: Path) -> None:
    path = tmp_path / "capture.gz"
    lines = [f"{n + 7} {json.dumps({'stream': 's', 'data': f})}\n" for n, f in enumerate(FRAMES)]
    path.write_bytes(gzip.compress("".join([*lines, '12 {"lastUpdateId":1}\n']).encode()))
    assert replay_rows.read_capture(path).tolist() == [
        [QUOTE, 7, 0, 1, 618_002, 618_003, 2_507, 2_510],
        [TRADE, 8, 1, 1, 618_003, 6, 0, 0],
        [TRADE, 10, -1, 2, 618_002, 1_000, 0, 0],
    ]


def test_a_number_finer_than_its_step_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "capture.gz"
    frame = {"e": "trade", "p": "61800.25", "q": "1", "m": True}
    path.write_bytes(gzip.compress(f"1 {json.dumps(frame)}\n".encode()))
    with pytest.raises(AssertionError, match="finer"):
        replay_rows.read_capture(path)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.integers(1, 4))
def test_times_rise_strictly_over_all_laps(times: list[int], count: int) -> None:
    rows = np.zeros((len(times), COLUMNS), dtype=np.int64)
    rows[:, RECEIVE_NS] = times
    made = replay_rows.laps(replay_rows.in_order(rows), count)
    assert len(made) == count * len(times)
    assert (np.diff(made[:, RECEIVE_NS]) > 0).all()
    assert made[:, ID].tolist() == list(range(1, len(made) + 1))


def test_a_generated_market_is_the_same_for_a_seed_and_has_two_sides() -> None:
    made = replay_rows.generated(5_000)
    assert (made == replay_rows.generated(5_000)).all()
    chosen = made[made[:, KIND] == QUOTE]
    assert (chosen[:, SECOND] > chosen[:, FIRST]).all()
    assert (chosen[:, [THIRD, FOURTH]] > 0).all()
    trades = made[made[:, KIND] == TRADE]
    assert set(trades[:, SIDE]) == {-1, 1}
    assert (trades[:, SECOND] > 0).all()


def test_the_strategy_enters_leaves_at_the_opposite_and_does_not_turn() -> None:
    long, short, none = (1_000_000, 1), (1, 1_000_000), (5, 5)
    assert replay_rows.crossings(quotes(none, long, long, none)) == 1
    assert replay_rows.crossings(quotes(long, none, short)) == 2
    assert replay_rows.crossings(quotes(long, short, short)) == 3
    assert replay_rows.crossings(quotes(short, short, long)) == 2
