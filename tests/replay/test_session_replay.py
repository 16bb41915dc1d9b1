"""A session run again from its journal writes the same bytes, or says why it cannot be run.

Sessions are written and replayed by programs of their own with NUMBA_DISABLE_JIT=1: the laws are
those of journal and marks, and uncompiled kernels compute the same (tests/unit/domain holds that).
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.domain.records import EVENT_DTYPE, MARK_WORD_FIRST, MARKS_PER_RECORD, EventType
from engine.processes.replay_journal import Mark, marks_of
from engine.store.journal import (
    SOURCE_EVENTS_BRAIN,
    SOURCE_MARKET,
    SOURCE_MARKS,
    segment_paths,
)
from engine.store.reader import read_records
from engine.store.session import read_document, write_document
from tests.ring_builders import ROOT, child_command
from tests.store_builders import as_bytes, open_events, open_market

UNCOMPILED = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
TIMEOUT_S = 300
Write = Callable[..., tuple[Path, int]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_session(count: int = 6_000, seed: int = 1, brains: int = 1) -> tuple[Path, int]:
        command = child_command("tests.replay_sessions", tmp_path, count, seed, brains)
        done = subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            env=UNCOMPILED,
            cwd=ROOT,
            timeout=TIMEOUT_S,
        )
        directory, decisions = done.stdout.split()
        return Path(directory), int(decisions)

    return write_session


def replay(directory: Path, *words: str) -> tuple[int, str]:
    return uncompiled("replay", str(directory), *words)


def uncompiled(*words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "engine", *words],
        check=False,
        capture_output=True,
        text=True,
        env=UNCOMPILED,
        cwd=ROOT,
        timeout=TIMEOUT_S,
    )
    return done.returncode, done.stdout + done.stderr


def replayed(directory: Path) -> tuple[int, dict[str, Any]]:
    code, text = replay(directory, "--json")
    return code, json.loads(text.splitlines()[-1])


def rewrite_market(directory: Path, records: np.ndarray) -> None:
    for path in segment_paths(directory, SOURCE_MARKET):
        path.unlink()
    writer = open_market(directory)
    for first in range(0, len(records), 1_000):
        writer.append(first, as_bytes(records[first : first + 1_000]))
    writer.close(is_end=False)


def rewrite(directory: Path, source: str, records: np.ndarray) -> None:
    """Write an event source again, under the ring sequences its records carry."""
    for path in segment_paths(directory, source):
        path.unlink()
    writer = open_events(directory, source)
    for record in (records[k : k + 1] for k in range(len(records))):
        first = int(record["sequence"][0]) - 1
        if source == SOURCE_MARKS:
            first = writer.next_sequence
        elif first > writer.next_sequence:
            writer.append_apart(first - writer.next_sequence)
        writer.append(first, as_bytes(record))
    writer.close(is_end=False)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_session_run_again_writes_the_same_bytes(write: Write, seed: int) -> None:
    directory, decisions = write(seed=seed)
    assert decisions > 20, "a session without decisions proves nothing"

    code, first = replayed(directory)
    again, second = replayed(directory)

    assert (code, again) == (0, 0)
    assert first["identical"] is True
    assert first["differences"] == []
    assert (first["decisions"], first["records"]) == (decisions, 6_000)
    assert first["orders"] > 5
    assert first == second
    assert len(first["decisions_sha256"]) == 64


def test_the_readable_answer_says_the_same(write: Write) -> None:
    directory, decisions = write()

    code, text = replay(directory)

    assert code == 0
    assert f"decisions  {decisions:,}" in text
    assert "identical  true" in text


def test_another_market_decides_otherwise_and_is_seen(write: Write) -> None:
    directory, _ = write()
    records = read_records(directory, SOURCE_MARKET)
    quotes = np.flatnonzero(records["record_type"] == 1)[10:]
    records["bid_qty_lots"][quotes] += 50
    rewrite_market(directory, records)

    code, answer = replayed(directory)

    assert code == 1
    assert answer["replayable"] is True
    assert answer["identical"] is False
    assert answer["differences"]
    assert "step " in answer["differences"][0]


def test_one_changed_byte_of_a_decision_is_seen(write: Write) -> None:
    directory, _ = write()
    events = read_records(directory, SOURCE_EVENTS_BRAIN)
    place = np.flatnonzero(events["event_type"] == EventType.SIGNAL_GENERATED)[3]
    events["input_2"][place] += 1e-9
    rewrite(directory, SOURCE_EVENTS_BRAIN, events)

    code, answer = replayed(directory)

    assert (code, answer["identical"]) == (1, False)
    assert len(answer["differences"]) == 1
    assert "input_2" in answer["differences"][0]


def test_a_brain_restarted_in_place_is_replayed_brain_by_brain(write: Write) -> None:
    directory, decisions = write(3_000, brains=2)

    code, answer = replayed(directory)

    assert (code, answer["identical"], answer["decisions"]) == (0, True, decisions)
    assert answer["records"] == 3_000


def test_events_behind_the_last_mark_are_left_out_and_counted(write: Write) -> None:
    directory, _ = write()
    marks = read_records(directory, SOURCE_MARKS)
    rewrite(directory, SOURCE_MARKS, marks[: len(marks) // 2])

    code, answer = replayed(directory)

    assert (code, answer["identical"]) == (0, True)
    assert answer["unmarked_events"] > 0


def test_a_session_without_marks_says_so(write: Write) -> None:
    directory, _ = write(500)
    for path in segment_paths(directory, SOURCE_MARKS):
        path.unlink()

    code, answer = replayed(directory)

    assert (code, answer["replayable"]) == (3, False)
    assert answer["reason"] == "its brain left no drain mark"


def test_a_session_without_its_market_says_so(write: Write) -> None:
    directory, _ = write(500)
    document = read_document(directory)
    write_document(directory, msgspec.structs.replace(document, market_journal="off"))

    code, text = replay(directory)

    assert code == 3
    assert "cannot be replayed: its market records were not journaled" in text


def test_removed_market_segments_are_said(write: Write) -> None:
    directory, _ = write(2_000)
    segment_paths(directory, SOURCE_MARKET)[0].unlink()

    code, answer = replayed(directory)

    assert (code, answer["replayable"], answer["identical"]) == (3, False, False)
    assert "first market segments were removed" in answer["reason"]


def test_a_market_that_ends_early_is_said(write: Write) -> None:
    directory, _ = write()
    rewrite_market(directory, read_records(directory, SOURCE_MARKET)[:1_200])

    code, answer = replayed(directory)

    assert (code, answer["identical"]) == (3, False)
    assert answer["reason"] == "market record 1200 is not in the journal"


def test_inputs_missing_from_the_events_are_said(write: Write) -> None:
    directory, _ = write()
    events = read_records(directory, SOURCE_EVENTS_BRAIN)
    fills = np.flatnonzero(events["event_type"] == EventType.FILL)
    kept = np.ones(len(events), dtype=bool)
    kept[fills[2]] = False
    rewrite(directory, SOURCE_EVENTS_BRAIN, events[kept])

    code, answer = replayed(directory)

    assert (code, answer["replayable"]) == (3, False)
    assert "reports" in answer["reason"]


def test_a_session_decided_by_other_kernels_says_so(write: Write) -> None:
    directory, _ = write(500)
    document = read_document(directory)
    write_document(directory, msgspec.structs.replace(document, kernel_key="f" * 16))

    _, text = replay(directory)

    assert "decided by other kernels" in text


def test_one_decision_is_run_again_without_what_came_after_it(write: Write) -> None:
    directory, decisions = write(3_000)
    events = read_records(directory, SOURCE_EVENTS_BRAIN).copy()
    places = np.flatnonzero(events["event_type"] == EventType.SIGNAL_GENERATED)
    early, late = places[1], places[-1]
    events["price_ticks"][late] += 1  # somebody changed a later one
    rewrite(directory, SOURCE_EVENTS_BRAIN, events)

    def until(place: int) -> tuple[int, dict[str, Any]]:
        number = int(events["sequence"][place]) - 1  # a slot's word is one above its place
        code, text = replay(directory, "--until", str(number), "--json")
        return code, json.loads(text.splitlines()[-1])

    code, first = until(int(early))
    assert (code, first["identical"], first["differences"]) == (0, True, [])
    assert 2 <= first["decisions"] < decisions
    assert 0 < first["records"] < 3_000
    code, second = until(int(late))
    assert (code, second["identical"]) == (1, False)
    assert "price_ticks" in second["differences"][0]

    code, text = replay(directory, "--until", str(10**9))
    assert code == 3
    assert f"no step of it wrote event {10**9}" in text


def test_what_is_no_journal_is_a_usage_error(tmp_path: Path) -> None:
    code, text = replay(tmp_path)

    assert code == 2
    assert "no session document" in text


def test_marks_are_read_as_the_loop_writes_them() -> None:
    record = np.zeros(1, dtype=EVENT_DTYPE)
    words = record.view(np.int64)
    rows = [Mark(1_000 + k, 10 * k, 3 * k, k - 1, k % 4) for k in range(MARKS_PER_RECORD)]
    for row, mark in enumerate(rows):
        control = mark.control_last * 8 + mark.outer_trading_state
        cells = (mark.now_ns, mark.market_last, mark.report_last, control)
        for column, number in enumerate(cells):
            words[MARK_WORD_FIRST + column * MARKS_PER_RECORD + row] = number
    record["mark_count"] = 5

    assert marks_of(record) == rows[:5]
