"""Venue time: idle, flowing at the tape's speed, pegged to events, and running on after the end."""

import time

import pytest

from exchange.clock import NS_PER_MS, UNLIMITED, VirtualClock


class RealTime:
    """A monotonic and a wall clock moved by hand."""

    def __init__(self) -> None:
        self.monotonic = 5_000_000_000
        self.wall = 1_800_000_000_123_456_789

    def advance(self, milliseconds: int) -> None:
        self.monotonic += milliseconds * NS_PER_MS
        self.wall += milliseconds * NS_PER_MS


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> RealTime:
    clock = RealTime()
    monkeypatch.setattr(time, "monotonic_ns", lambda: clock.monotonic)
    monkeypatch.setattr(time, "time_ns", lambda: clock.wall)
    return clock


def test_idle_clock_is_the_wall_clock(real: RealTime) -> None:
    clock = VirtualClock()
    assert clock.now_ns() == real.wall
    real.advance(10)
    assert clock.now_ms() == real.wall // NS_PER_MS


def test_idle_clock_stands_at_a_given_start(real: RealTime) -> None:
    clock = VirtualClock(start_ms=1_000)
    real.advance(50)
    assert clock.now_ms() == 1_000


def test_play_starts_on_a_whole_millisecond(real: RealTime) -> None:
    clock = VirtualClock()
    start_ns = clock.play()
    assert start_ns % NS_PER_MS == 0
    assert 0 <= real.wall - start_ns < NS_PER_MS


@pytest.mark.parametrize(("speed", "expected_ms"), [(1.0, 100), (0.1, 10), (20.0, 2_000)])
def test_time_flows_at_the_tapes_speed(real: RealTime, speed: float, expected_ms: int) -> None:
    clock = VirtualClock(speed=speed, start_ms=1_000)
    clock.play()
    real.advance(100)
    assert clock.now_ms() == 1_000 + expected_ms


def test_unlimited_time_is_the_last_event_and_never_steps_back(real: RealTime) -> None:
    clock = VirtualClock(speed=UNLIMITED, start_ms=1_000)
    start_ns = clock.play()
    clock.peg(start_ns + 7 * NS_PER_MS)
    clock.peg(start_ns + 3 * NS_PER_MS)
    real.advance(1_000)
    assert clock.now_ms() == 1_007
    assert clock.unlimited
    assert clock.playing


def test_time_runs_on_at_wall_speed_after_the_end(real: RealTime) -> None:
    clock = VirtualClock(speed=20.0, start_ms=1_000)
    clock.play()
    real.advance(100)
    clock.end()
    real.advance(100)
    assert clock.now_ms() == 3_100
    assert not clock.playing


def test_real_delay_divides_by_the_speed(real: RealTime) -> None:  # noqa: ARG001 - stands still
    clock = VirtualClock(speed=4.0, start_ms=0)
    start_ns = clock.play()
    assert clock.real_delay_s(start_ns + 2_000 * NS_PER_MS) == pytest.approx(0.5)
    assert VirtualClock(speed=UNLIMITED).real_delay_s(10**18) == 0.0


def test_time_windows_widen_with_speed_but_never_shrink() -> None:
    assert VirtualClock(speed=20.0).tolerance == 20.0
    assert VirtualClock(speed=0.5).tolerance == 1.0
    assert VirtualClock(speed=UNLIMITED).tolerance == 1.0


def test_shift_moves_an_idle_and_a_playing_clock(real: RealTime) -> None:
    clock = VirtualClock(start_ms=1_000)
    clock.shift_ms(500)
    assert clock.now_ms() == 1_500
    clock.play()
    clock.shift_ms(-200)
    real.advance(10)
    assert clock.now_ms() == 1_310
