"""Segments: creation, checks at attach, owners, and what independent processes do to them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import get_context, resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest

from native_ext import _native
from ringbuffer import layout, segment
from ringbuffer.errors import (
    SegmentBusyError,
    SegmentError,
    SegmentExistsError,
    SegmentGenerationError,
    SegmentLayoutError,
    SegmentMissingError,
)
from ringbuffer.segment import Segment, find_stale, owner_alive, read_prefix, unlink
from tests.ring_builders import ROOT, unique_name, wait_until

KIND = 16
DEADLINE_S = 60


@pytest.fixture
def name() -> Iterator[str]:
    chosen = unique_name("segment")
    yield chosen
    unlink(chosen)


def create(name: str, size_bytes: int = 4096, generation: int = 1) -> Segment:
    made = Segment.create(name, size_bytes, kind=KIND, generation=generation)
    made.seal()
    return made


def python(code: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


CREATE = (
    "import sys; from ringbuffer.segment import Segment; "
    "s = Segment.create(sys.argv[1], 4096, kind=16, generation=7); s.seal(); "
    "print('made', flush=True); sys.stdin.read()"
)
ATTACH = (
    "import sys; from ringbuffer.segment import Segment; "
    "s = Segment.attach(sys.argv[1], kind=16); s.buffer[100] = 42"
)


def die_after_create(name: str) -> subprocess.Popen[str]:
    """Let another process create a segment and kill it."""
    child = python(CREATE, name)
    assert child.stdout is not None
    assert child.stdout.readline() == "made\n"
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=DEADLINE_S)
    return child


def test_a_created_segment_says_who_made_it(name: str) -> None:
    before_ns = time.monotonic_ns()
    made = create(name, 8192, generation=3)
    prefix = made.prefix
    assert prefix.magic == layout.MAGIC
    assert (prefix.kind, prefix.version) == (KIND, layout.LAYOUT_VERSION)
    assert (prefix.size_bytes, prefix.generation) == (8192, 3)
    assert (made.size_bytes, made.owner_pid) == (8192, os.getpid())
    assert owner_alive(prefix.owner_pid, prefix.owner_start_ticks)
    assert before_ns <= prefix.created_mono_ns <= time.monotonic_ns()
    assert abs(prefix.created_realtime_ns - time.time_ns()) < 60 * 10**9
    made.close()


def test_a_created_segment_is_zero_behind_its_prefix_and_private(name: str) -> None:
    made = create(name)
    assert bytes(made.buffer[layout.PREFIX_BYTES :]) == bytes(4096 - layout.PREFIX_BYTES)
    assert (segment.SHM_FOLDER / name).stat().st_mode & 0o777 == 0o600
    made.close()


def test_pages_are_reserved_at_creation(name: str) -> None:
    made = create(name, 1 << 20)
    assert (segment.SHM_FOLDER / name).stat().st_blocks * 512 >= 1 << 20
    made.close()


def test_what_one_side_writes_the_other_reads(name: str) -> None:
    made = create(name)
    there = Segment.attach(name, kind=KIND)
    made.buffer[200] = 7
    assert there.buffer[200] == 7
    assert not there.owner
    there.close()
    made.close()


def test_a_taken_name_is_refused_and_untouched(name: str) -> None:
    made = create(name)
    made.buffer[100] = 1
    with pytest.raises(SegmentExistsError, match=f"process {os.getpid()}, which is running"):
        create(name)
    assert made.buffer[100] == 1
    assert read_prefix(name) == made.prefix
    made.close()


def test_a_segment_smaller_than_its_prefix_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="at least 64 bytes"):
        Segment.create(name, 63, kind=KIND)


def test_attach_says_that_there_is_none(name: str) -> None:
    with pytest.raises(SegmentMissingError, match="is the engine running"):
        Segment.attach(name, kind=KIND)


def test_attach_refuses_another_kind(name: str) -> None:
    create(name).close()
    with pytest.raises(SegmentLayoutError, match="has kind 16"):
        Segment.attach(name, kind=layout.KIND_RING)


def test_attach_refuses_another_layout_version(name: str) -> None:
    made = create(name)
    made.buffer[layout.OFFSET_VERSION] = 99
    with pytest.raises(SegmentLayoutError, match="layout version 99"):
        Segment.attach(name, kind=KIND)
    made.close()


def test_attach_refuses_a_header_that_is_not_finished(name: str) -> None:
    made = Segment.create(name, 4096, kind=KIND)
    with pytest.raises(SegmentLayoutError, match="no finished header"):
        Segment.attach(name, kind=KIND)
    assert read_prefix(name) is None
    made.close()


def test_attach_refuses_a_file_that_was_cut(name: str) -> None:
    create(name, 8192).close()
    os.truncate(segment.SHM_FOLDER / name, 4096)
    with pytest.raises(SegmentLayoutError, match="4096 of 8192 bytes"):
        Segment.attach(name, kind=KIND)


@pytest.mark.parametrize("size_bytes", [0, 10])
def test_attach_refuses_a_file_without_room_for_a_header(name: str, size_bytes: int) -> None:
    (segment.SHM_FOLDER / name).write_bytes(bytes(size_bytes))
    with pytest.raises(SegmentError):
        Segment.attach(name, kind=KIND)
    assert (segment.SHM_FOLDER / name).exists()


def test_attach_refuses_another_generation(name: str) -> None:
    create(name, generation=4).close()
    Segment.attach(name, kind=KIND, generation=4).close()
    with pytest.raises(SegmentGenerationError, match="generation 4, expected 5"):
        Segment.attach(name, kind=KIND, generation=5)


def test_close_refuses_while_a_view_is_alive_and_then_works(name: str) -> None:
    made = create(name)
    view = made.buffer[:8]
    with pytest.raises(SegmentBusyError, match="drop them before close"):
        made.close()
    view.release()
    made.close()
    made.close()
    with pytest.raises(SegmentError, match="is closed"):
        _ = made.buffer


def test_leaving_the_block_closes_and_removes_what_was_created(name: str) -> None:
    with create(name), Segment.attach(name, kind=KIND):
        pass
    assert not (segment.SHM_FOLDER / name).exists()


def test_unlink_says_whether_there_was_one(name: str) -> None:
    create(name).close()
    assert unlink(name)
    assert not unlink(name)


def test_an_anonymous_segment_has_no_file(name: str) -> None:
    made = Segment.anonymous(name, 8192, kind=KIND)
    assert made.prefix.size_bytes == 8192
    assert made.address % 4096 == 0
    assert not (segment.SHM_FOLDER / name).exists()
    made.unlink()
    made.close()


# ---- the resource tracker ----


def test_a_segment_survives_the_exit_of_an_independent_attacher(name: str) -> None:
    made = create(name)
    child = python(ATTACH, name)
    _, errors = child.communicate(timeout=DEADLINE_S)
    assert (child.returncode, errors) == (0, "")
    assert made.buffer[100] == 42
    assert (segment.SHM_FOLDER / name).exists()
    made.close()


def test_the_danger_is_real_without_our_care(name: str) -> None:
    if sys.version_info >= (3, 13):
        pytest.skip("Python 3.13 asks by default only when track is not False")
    create(name).close()
    plain = f"from multiprocessing.shared_memory import SharedMemory as S; S({name!r})"
    child = python(plain)
    child.communicate(timeout=DEADLINE_S)
    wait_until(lambda: not (segment.SHM_FOLDER / name).exists(), "the tracker to remove it")


def attach_in_child(name: str) -> None:
    Segment.attach(name, kind=KIND).close()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_children_of_multiprocessing_leave_the_segment_and_the_tracker_alone(
    name: str, method: str
) -> None:
    code = (
        "import sys, multiprocessing as m\n"
        "from ringbuffer.segment import Segment\n"
        "if __name__ == '__main__':\n"
        "    s = Segment.create(sys.argv[1], 4096, kind=16); s.seal()\n"
        f"    c = m.get_context({method!r})\n"
        "    p = c.Process(target=Segment.attach, args=(sys.argv[1],), kwargs={'kind': 16})\n"
        "    p.start(); p.join()\n"
        "    print(p.exitcode, Segment.attach(sys.argv[1], kind=16).size_bytes)\n"
        "    s.close(); s.unlink()\n"
    )
    child = python(code, name)
    output, errors = child.communicate(timeout=DEADLINE_S)
    assert (child.returncode, output, errors) == (0, "0 4096\n", "")


def test_the_tracker_never_hears_of_a_segment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    monkeypatch.setattr(resource_tracker, "register", lambda *words: heard.append(words[0]))
    create(name).close()
    Segment.attach(name, kind=KIND).close()
    assert heard == []
    assert resource_tracker.register is not None


def test_the_tracker_still_hears_of_others(name: str) -> None:
    assert get_context("spawn") is not None
    other = unique_name("other")
    with segment._untracked(name):
        memory = SharedMemory(other, create=True, size=64)
    memory.close()
    memory.unlink()  # a tracker that had not heard of it would complain on standard error


def test_a_failed_attach_leaves_the_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    create(name).close()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("multiprocessing.shared_memory.mmap.mmap", refuse)
    with pytest.raises(OSError, match="allocate"):
        Segment.attach(name, kind=KIND)
    assert (segment.SHM_FOLDER / name).exists()


# ---- owners and stale segments ----


def test_a_pid_with_another_start_time_is_another_process() -> None:
    pid = os.getpid()
    start_ticks = _native.process_start_ticks(pid)
    assert owner_alive(pid, start_ticks)
    assert not owner_alive(pid, start_ticks - 1)
    assert not owner_alive(0, start_ticks)
    assert not owner_alive(-1, -1)


def test_start_ticks_are_those_of_the_kernel() -> None:
    fields = Path("/proc/self/stat").read_text("ascii").rpartition(")")[2].split()
    assert _native.process_start_ticks(os.getpid()) == int(fields[19])


def test_a_dead_process_has_no_start_time_even_as_a_zombie() -> None:
    child = python("print('up', flush=True); import sys; sys.stdin.read()")
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    assert _native.process_start_ticks(child.pid) > 0
    child.send_signal(signal.SIGKILL)
    # Not reaped yet: a zombie until communicate().
    wait_until(lambda: _native.process_start_ticks(child.pid) == -1, "the child to die")
    child.communicate(timeout=DEADLINE_S)
    assert _native.process_start_ticks(child.pid) == -1


def test_segments_of_a_killed_owner_are_found_and_not_removed(name: str) -> None:
    die_after_create(name)
    stale = find_stale(name)
    assert [found.name for found in stale] == [name]
    assert stale[0].prefix is not None
    assert (stale[0].prefix.kind, stale[0].prefix.generation) == (16, 7)
    assert (segment.SHM_FOLDER / name).exists()


def test_a_stale_name_can_be_attached_drained_and_taken_over(name: str) -> None:
    child = die_after_create(name)
    with pytest.raises(SegmentExistsError, match=f"left by process {child.pid}, which is dead"):
        create(name)
    Segment.attach(name, kind=KIND).close()
    unlink(name)
    create(name, generation=8).close()
    assert find_stale(name) == []


def test_segments_of_the_living_are_not_stale(name: str) -> None:
    made = create(name)
    assert find_stale(name) == []
    made.close()


@pytest.mark.parametrize("age_s", [segment.UNFINISHED_AGE_S + 1, -3_600.0])
def test_an_unfinished_header_is_stale_once_it_is_old(name: str, age_s: float) -> None:
    path = segment.SHM_FOLDER / name
    path.write_bytes(bytes(4096))
    assert find_stale(name) == []
    made = time.time() - age_s  # in the future: the machine's clock was set back since
    os.utime(path, (made, made))
    stale = find_stale(name)
    assert [(found.name, found.prefix) for found in stale] == [(name, None)]
    with pytest.raises(SegmentExistsError, match="not a finished segment"):
        create(name)


def test_prefault_maps_memory_for_writing_without_changing_it(name: str) -> None:
    made = create(name)
    made.buffer[1000] = 5
    assert _native.prefault(made.buffer) in {True, False}
    assert _native.prefault(made.buffer[8:]) is False  # not page-aligned: read instead
    assert made.buffer[1000] == 5
    made.close()
