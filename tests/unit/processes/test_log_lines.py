"""The same line is not written again and again, none is lost uncounted, and none is endless."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.processes import logs
from engine.processes.log_lines import (
    CUT,
    FOLD_NS,
    KEYS_MAX,
    TEXT_LENGTH_MAX,
    VALUES_MAX,
    Fold,
    cap,
)

pytestmark = pytest.mark.usefixtures("root_as_it_was")


class Sink(logging.Handler):
    """A handler that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        self.said: list[object] = []
        self.fold = Fold(self, clock=lambda: self.now_ns)
        self.addFilter(self.fold)

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.msg)

    def tell(self, event: object, level: int = logging.WARNING) -> None:
        self.handle(logging.LogRecord("aegis", level, "", 0, event, (), None))


def counted(said: list[object], event: str) -> int:
    """Return how often an event happened by what was written."""
    lines = [line for line in said if isinstance(line, dict) and line["event"] == event]
    return sum(line.get("repeated", 1) for line in lines)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(0, FOLD_NS // 2)), min_size=1, max_size=60
    )
)
def test_every_line_is_written_or_counted_and_none_twice_within_the_span(
    steps: list[tuple[str, int]],
) -> None:
    sink = Sink()
    first: dict[str, int] = {}
    for event, pause_ns in steps:
        sink.now_ns += pause_ns
        before = len(sink.said)
        sink.tell({"event": event, "timestamp": str(sink.now_ns)})
        fresh = [line for line in sink.said[before:] if "repeated" not in str(line)]
        if fresh:
            assert sink.now_ns - first.get(event, -FOLD_NS) >= FOLD_NS
            first[event] = sink.now_ns
    sink.fold.flush()
    for event in "abcd":
        assert counted(sink.said, event) == sum(name == event for name, _ in steps)


def test_lines_that_differ_in_a_value_are_different_lines() -> None:
    sink = Sink()
    for sequence in range(5):
        sink.tell({"event": "TRADING_DECISION", "sequence": sequence})
    assert len(sink.said) == 5


def test_a_flood_is_one_line_and_one_count() -> None:
    sink = Sink()
    for _ in range(100_000):
        sink.tell({"event": "LOST"})
    sink.now_ns = FOLD_NS
    sink.tell({"event": "OTHER"})
    assert sink.said == [
        {"event": "LOST"},
        {"event": "LOST", "repeated": 99_999},
        {"event": "OTHER"},
    ]


def test_what_a_library_says_is_folded_too() -> None:
    sink = Sink()
    for _ in range(4):
        sink.tell("connection pool is full")
    sink.fold.flush()
    assert sink.said == ["connection pool is full", "connection pool is full (repeated 3 times)"]


def test_lines_made_by_a_hostile_peer_are_bounded() -> None:
    sink = Sink()
    for number in range(10 * KEYS_MAX):
        sink.tell({"event": "REJECTED", "text": str(number)})
    assert len(sink.fold._seen) == KEYS_MAX


def test_a_line_below_the_handlers_level_is_neither_written_nor_counted() -> None:
    sink = Sink()
    sink.setLevel(logging.WARNING)
    sink.tell({"event": "DECISION"}, logging.INFO)
    sink.fold.flush()
    assert sink.said == []


# -- size ------------------------------------------------------------------------------------------

VALUES = st.one_of(
    st.text(max_size=5_000), st.integers(), st.none(), st.lists(st.text(max_size=300), max_size=30)
)


@given(st.dictionaries(st.text(min_size=1, max_size=9), VALUES, max_size=2 * VALUES_MAX))
def test_a_line_is_bounded_and_small_values_stay(line: dict[str, object]) -> None:
    kept = cap(None, "", dict(line))
    assert len(kept) <= VALUES_MAX + 1
    for key, entry in kept.items():
        assert len(repr(entry)) <= 2 * (TEXT_LENGTH_MAX + len(CUT)) + 2
        if key in line and len(repr(line[key])) <= TEXT_LENGTH_MAX:
            assert entry == line[key]
    if len(line) > VALUES_MAX:
        assert kept["values_cut"] == len(line) - VALUES_MAX


def test_a_whole_log_folds_and_cuts(tmp_path: Path) -> None:
    logger = logs.configure("feed", tmp_path, stderr_level=logging.CRITICAL)
    for _ in range(50):
        logger.warning("STREAM_LOST", text="x" * 10_000)
    logger.warning("OTHER")
    lines = (tmp_path / "logs" / "feed.log").read_text("utf-8").splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["STREAM_LOST", "OTHER"]
    assert len(lines[0]) < 3_000


def test_a_person_at_a_terminal_sees_colours_and_a_file_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w", buffering=1) as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        logs.configure("feed", tmp_path).warning("STREAM_LOST", instrument="BTCUSDT")
        shown = os.read(leader, 4_096).decode()
    os.close(leader)
    assert "STREAM_LOST" in shown
    assert "\x1b[" in shown
    (line,) = (tmp_path / "logs" / "feed.log").read_text("utf-8").splitlines()
    assert json.loads(line)["instrument"] == "BTCUSDT"


def test_a_platform_gets_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collected = io.StringIO()
    monkeypatch.setattr(sys, "stderr", collected)
    logs.configure("feed", tmp_path).warning("STREAM_LOST")
    assert json.loads(collected.getvalue())["event"] == "STREAM_LOST"
