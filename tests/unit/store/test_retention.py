"""What of a journal may go: nothing that is the only copy, nothing that is still needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.codes import EVENT_APPLIED, EventType
from engine.store.errors import JournalError
from engine.store.journal import SOURCE_EVENTS_BRAIN
from engine.store.retention import (
    NOTE_NAME,
    RETIRED_PREFIX,
    closed_files,
    read_note,
    retire_sessions,
    was_restored,
    write_note,
)
from tests.store_builders import open_events, write_session
from tests.store_events import decision, event

DAY_NS = 86_400 * 10**9
NOW_NS = 1_000 * DAY_NS
RESTORED = event(EventType.RESTORE_END, flags=EVENT_APPLIED)


def write(state: Path, number: int, *, ended_days_ago: float | None, restored: bool = True) -> Path:
    ended = 0 if ended_days_ago is None else NOW_NS - int(ended_days_ago * DAY_NS)
    rows = [RESTORED, decision()] if restored else [decision()]
    name = f"s{number}"
    return write_session(state, *rows, session_id=name, epoch=number, ended_realtime_ns=ended)


def archive(directory: Path) -> None:
    write_note(directory, {path.name: "0" for path in closed_files(directory, is_running=False)})


def left(state: Path) -> list[str]:
    return sorted(path.name for path in (state / "journal").iterdir())


def test_only_an_old_archived_and_taken_over_session_goes(tmp_path: Path) -> None:
    state = tmp_path / "practice-a-paper"
    old, unarchived, young, running = (
        write(state, 1, ended_days_ago=40),
        write(state, 2, ended_days_ago=40),
        write(state, 3, ended_days_ago=2),
        write(state, 4, ended_days_ago=None),
    )
    for directory in (old, young, running):
        archive(directory)

    assert retire_sessions(state, running, 0, NOW_NS) == []
    assert left(state) == ["s1", "s2", "s3", "s4"]
    assert retire_sessions(state, running, 30, NOW_NS) == ["s1"]
    assert left(state) == ["s2", "s3", "s4"]
    archive(unarchived)
    assert retire_sessions(state, running, 30, NOW_NS) == ["s2"]
    assert retire_sessions(state, running, 1, NOW_NS) == ["s3"]
    assert left(state) == ["s4"], "what runs stays, whatever its age"
    assert list(state.glob(f"{RETIRED_PREFIX}*")) == []


def test_what_no_later_session_took_over_stays(tmp_path: Path) -> None:
    state = tmp_path / "practice-a-paper"
    first = write(state, 1, ended_days_ago=90)
    second = write(state, 2, ended_days_ago=80, restored=False)
    running = write(state, 3, ended_days_ago=None, restored=False)
    archive(first)
    archive(second)
    assert retire_sessions(state, running, 1, NOW_NS) == []
    running = write(state, 4, ended_days_ago=None)
    assert retire_sessions(state, running, 1, NOW_NS) == ["s1", "s2"]


def test_a_session_that_did_not_end_in_order_stays(tmp_path: Path) -> None:
    state = tmp_path / "practice-a-paper"
    archive(write(state, 1, ended_days_ago=None))
    running = write(state, 2, ended_days_ago=None)
    assert retire_sessions(state, running, 1, NOW_NS) == []


def test_a_segment_that_is_not_in_the_note_keeps_its_session(tmp_path: Path) -> None:
    state = tmp_path / "practice-a-paper"
    old, running = write(state, 1, ended_days_ago=9), write(state, 2, ended_days_ago=None)
    archive(old)
    (old / "unheard-000000.segment").write_bytes(b"of a later version")
    assert retire_sessions(state, running, 1, NOW_NS) == []
    assert (old / "session.json").exists()


@given(
    sessions=st.lists(
        st.tuples(st.integers(0, 20), st.booleans(), st.booleans(), st.booleans()),
        min_size=1,
        max_size=5,
    ),
    keep_days=st.integers(0, 12),
)
@settings(max_examples=40, deadline=None)
def test_the_rule_holds_for_any_history(
    tmp_path_factory: pytest.TempPathFactory,
    sessions: list[tuple[int, bool, bool, bool]],
    keep_days: int,
) -> None:
    state = tmp_path_factory.mktemp("state") / "practice-a-paper"
    written = []
    for number, (days_ago, has_ended, is_archived, restored) in enumerate(sessions, start=1):
        ago = days_ago + 0.5 if has_ended else None
        written.append(write(state, number, ended_days_ago=ago, restored=restored))
        if is_archived:
            archive(written[-1])
    gone = retire_sessions(state, written[-1], keep_days, NOW_NS)
    wanted = [
        f"s{place + 1}"
        for place, (days_ago, has_ended, is_archived, _) in enumerate(sessions)
        if keep_days
        and has_ended
        and is_archived
        and days_ago >= keep_days
        and any(restored for *_, restored in sessions[place + 1 :])
    ]
    assert gone == wanted
    assert left(state) == [path.name for path in written if path.name not in wanted]


def test_the_newest_segment_of_each_source_is_open_while_a_session_runs(tmp_path: Path) -> None:
    state = tmp_path / "practice-a-paper"
    directory = write(state, 1, ended_days_ago=None)
    open_events(directory).append_lost(1)  # begins another segment of the same source
    names = [path.name for path in closed_files(directory, is_running=True)]
    assert names == [f"{SOURCE_EVENTS_BRAIN}-000000.segment"]
    all_names = {path.name for path in closed_files(directory, is_running=False)}
    assert all_names == {*names, f"{SOURCE_EVENTS_BRAIN}-000001.segment", "session.json"}


def test_a_damaged_note_proves_no_copy(tmp_path: Path) -> None:
    state = tmp_path / "practice-a-paper"
    old, running = write(state, 1, ended_days_ago=9), write(state, 2, ended_days_ago=None)
    archive(old)
    (old / NOTE_NAME).write_bytes(b'{"cut')
    with pytest.raises(JournalError, match=NOTE_NAME):
        retire_sessions(state, running, 1, NOW_NS)
    assert left(state) == ["s1", "s2"]
    assert read_note(running) == {}


def test_restores_are_told_from_other_events(tmp_path: Path) -> None:
    state = tmp_path / "practice-a-paper"
    refused = event(EventType.RESTORE_END, flags=0)
    assert not was_restored(write_session(state, refused, decision(), session_id="s1"))
    assert was_restored(write_session(state, refused, RESTORED, session_id="s2"))
