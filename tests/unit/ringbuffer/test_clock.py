"""The eight-word clock: never back, close to CLOCK_MONOTONIC, the same from C and Numba."""

import os
import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from native_ext import _native
from ringbuffer import kernels, layout
from ringbuffer.segment import Segment
from tests import ring_kernels
from tests.ring_builders import unique_name

TORN_NS = 100_000  # half an anchor errs by the millisecond between two of them
REANCHOR_NS = 11_000_000  # just above the shortest interval a rate is measured over
TSC = 1

needs_tsc = pytest.mark.skipif(
    not _native.tsc_invariant(), reason="no invariant time-stamp counter on this machine"
)


def words_of(clock: _native.Clock) -> NDArray[np.int64]:
    return np.frombuffer(memoryview(clock), np.int64)


def calibrated(use_tsc: int = 1) -> _native.Clock:
    clock = _native.Clock()
    clock.calibrate(2_000_000, use_tsc)
    return clock


def assert_between(clock: _native.Clock) -> None:
    """Fail unless the clock reads between two readings of the kernel's, plus a microsecond."""
    before = time.monotonic_ns()
    reading = clock.now_ns()
    after = time.monotonic_ns()
    assert before - 100_000 <= reading <= after + 100_000


@pytest.mark.parametrize("use_tsc", [0, 1])
def test_the_clock_reads_monotonic_time(use_tsc: int) -> None:
    assert_between(calibrated(use_tsc))


def test_an_uncalibrated_clock_is_the_kernels() -> None:
    clock = _native.Clock()
    assert words_of(clock)[layout.CLOCK_SOURCE] == 0
    assert_between(clock)
    assert clock.reanchor() == 0


@pytest.mark.parametrize("use_tsc", [0, 1])
def test_compiled_kernels_read_the_same_clock(use_tsc: int) -> None:
    clock = calibrated(use_tsc)
    words = words_of(clock)
    kernels.now_ns(words)
    readings = [clock.now_ns(), kernels.now_ns(words), clock.now_ns()]
    assert readings == sorted(readings)


@needs_tsc
def test_the_counter_is_used_where_it_is_invariant() -> None:
    clock = calibrated()
    words = words_of(clock)
    assert words[layout.CLOCK_SOURCE] == TSC
    assert 10**8 < words[layout.CLOCK_TSC_HZ] < 10**10
    offset = time.time_ns() - time.monotonic_ns()
    assert abs(int(words[layout.CLOCK_REALTIME_OFFSET]) - offset) < 10**9


@needs_tsc
def test_the_formula_of_the_layout_is_the_one_c_uses() -> None:
    clock = calibrated()
    words = [int(word) for word in words_of(clock)]
    before = clock.now_ns()
    cycles = _native.cycles() - words[layout.CLOCK_TSC0]
    after = clock.now_ns()
    ours = words[layout.CLOCK_MONO0] + (
        cycles * words[layout.CLOCK_MULTIPLIER] >> layout.CLOCK_SHIFT
    )
    assert before <= ours <= after


@needs_tsc
def test_reanchoring_never_steps_back_and_closes_the_gap() -> None:
    clock = calibrated()
    words = words_of(clock)
    words[layout.CLOCK_MONO0] += 1_000_000  # a millisecond ahead
    last = clock.now_ns()
    gaps = []
    for _ in range(40):
        due = time.monotonic_ns() + REANCHOR_NS
        while time.monotonic_ns() < due:
            os.sched_yield()
        gaps.append(-clock.reanchor())
        reading = clock.now_ns()
        assert reading >= last
        last = reading
    assert gaps[0] > 900_000
    assert gaps[-1] < gaps[0]


@needs_tsc
def test_a_clock_far_behind_steps_forward_at_once() -> None:
    clock = calibrated()
    words_of(clock)[layout.CLOCK_MONO0] -= 10**9
    before = clock.now_ns()
    assert clock.reanchor() > 900_000_000
    assert clock.now_ns() - before > 900_000_000
    assert_between(clock)


@needs_tsc
def test_anchors_too_close_to_measure_a_rate_are_ignored() -> None:
    clock = calibrated()
    before = words_of(clock).tolist()
    for _ in range(5):
        clock.reanchor()
    after = words_of(clock).tolist()
    due = before[layout.CLOCK_MONO0] + 10_000_000
    assert after == before or time.monotonic_ns() > due


@needs_tsc
def test_readers_never_see_half_an_anchor() -> None:
    clock = calibrated()
    words = words_of(clock)
    errors: list[int] = []
    ring_kernels.clock_error_ns(words, 1)
    reader = threading.Thread(
        target=lambda: errors.append(ring_kernels.clock_error_ns(words, 1_000_000))
    )
    reader.start()
    anchors = 0
    while reader.is_alive():
        clock.calibrate(1_000_000)
        anchors += 1
    reader.join()
    assert anchors > 0
    assert errors[0] < TORN_NS


def test_a_clock_in_a_shared_segment_is_read_by_another_handle() -> None:
    with Segment.create(unique_name("clock"), 4096, kind=16) as made:
        words = made.buffer[128:192]
        ours, theirs = _native.Clock(words), _native.Clock(words)
        ours.calibrate()
        readings = [ours.now_ns(), theirs.now_ns(), ours.now_ns()]
        assert readings == sorted(readings)
        if _native.tsc_invariant():
            with pytest.raises(AssertionError, match="only the process that calibrated"):
                theirs.reanchor()
        del ours, theirs
        words.release()


@pytest.mark.parametrize("buffer", [bytearray(63), bytes(64), memoryview(bytearray(80))[1:]])
def test_a_clock_needs_64_writable_aligned_bytes(buffer: object) -> None:
    with pytest.raises((ValueError, BufferError)):
        _native.Clock(buffer)  # type: ignore[arg-type]  # that is the point


def test_now_ns_is_the_kernels_monotonic_clock() -> None:
    assert time.monotonic_ns() <= _native.now_ns() <= time.monotonic_ns()
    assert time.monotonic_ns() <= _native.monotonic_ns() <= time.monotonic_ns()
