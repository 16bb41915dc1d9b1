"""The venue's clock is learned from its time endpoint, rate included."""

from __future__ import annotations

import time

import pytest

from engine.clock import ERROR_NS_FIRST, ERROR_NS_MAX, PPB, RESOLUTION_NS, VenueClock

MS = 1_000_000


class Host:
    """A monotonic clock that a test moves by hand."""

    def __init__(self) -> None:
        self.now = 5_000 * PPB

    def __call__(self) -> int:
        return self.now


def sample(clock: VenueClock, host: Host, venue_ns: int, rtt_ns: int = 400_000) -> int:
    return clock.learn(host.now - rtt_ns // 2, host.now + rtt_ns // 2, venue_ns // MS * MS)


def test_before_the_first_sample_the_error_is_the_widest() -> None:
    clock = VenueClock(Host())
    assert clock.error_ns == ERROR_NS_FIRST


def test_a_real_venue_runs_at_rate_one_exactly() -> None:
    host = Host()
    clock = VenueClock(host)
    for step in range(6):
        host.now += 30 * PPB
        sample(clock, host, 1_700_000_000 * PPB + step * 30 * PPB)
    assert clock.rate_ppb == 0
    assert clock.error_ns < 5 * MS
    assert abs(clock.venue_ns(host.now + PPB) - (1_700_000_151 * PPB)) < 2 * MS


@pytest.mark.parametrize("speed", [0.1, 0.5, 3.0, 50.0])
def test_a_tape_runs_at_its_own_rate(speed: float) -> None:
    host = Host()
    clock = VenueClock(host)
    for step in range(12):
        sample(clock, host, int(1_700_000_000 * PPB + step * speed * PPB))
        host.now += PPB
    assert clock.rate_ppb / PPB + 1 == pytest.approx(speed, rel=0.002)
    assert clock.error_ns < 0.01 * speed * PPB + 10 * MS


def test_a_clock_that_jumps_widens_its_error_and_recovers() -> None:
    host = Host()
    clock = VenueClock(host)
    for step in range(5):
        host.now += PPB
        sample(clock, host, (100 + step) * PPB)
    host.now += PPB
    sample(clock, host, 400 * PPB)
    assert clock.error_ns >= 2 * 290 * PPB
    for step in range(5):
        host.now += PPB
        sample(clock, host, (401 + step) * PPB)
    assert clock.error_ns < 10 * MS
    assert clock.rate_ppb == 0


def test_one_answer_far_off_moves_nothing() -> None:
    host = Host()
    clock = VenueClock(host)
    for step in range(5):
        host.now += PPB
        sample(clock, host, (100 + step) * PPB)
    host.now += PPB
    assert sample(clock, host, 86_400 * PPB) > 80_000 * PPB
    suspicions = [clock.is_suspect]
    assert abs(clock.venue_ns(host.now) - 105 * PPB) < 2 * MS
    host.now += PPB
    sample(clock, host, 106 * PPB)
    suspicions.append(clock.is_suspect)
    assert suspicions == [True, False]
    assert clock.error_ns < 10 * MS


def test_the_error_stays_below_a_day() -> None:
    host = Host()
    clock = VenueClock(host)
    sample(clock, host, 10 * PPB)
    host.now += PPB
    sample(clock, host, 10_000_000 * PPB)
    assert clock.error_ns == ERROR_NS_MAX


def test_signed_times_do_not_step_back_inside_a_burst() -> None:
    host = Host()
    clock = VenueClock(host)
    sample(clock, host, 1_000 * PPB)
    before = clock.now_ms()
    host.now += 10 * MS
    sample(clock, host, 1_000 * PPB - 50 * MS)
    assert clock.now_ms() == before
    host.now += 100 * MS
    assert clock.now_ms() > before


def test_a_restart_forgets_the_pace_and_keeps_the_line() -> None:
    host = Host()
    clock = VenueClock(host)
    sample(clock, host, 1_000 * PPB)
    line = clock.venue_at_anchor_ns
    clock.restart()
    assert clock.error_ns == ERROR_NS_FIRST
    assert clock.venue_at_anchor_ns == line


def test_the_bound_of_the_offset_is_half_the_shortest_round_trip_and_the_resolution() -> None:
    now_ns = 1_000 * MS
    clock = VenueClock(lambda: now_ns)
    assert clock.bound_ns == 0, "nothing is known yet"
    for trip_ms in (40, 8, 100):
        sent_ns = now_ns
        now_ns += trip_ms * MS
        clock.learn(sent_ns, now_ns, (sent_ns + now_ns) // 2)
    assert clock.bound_ns == 4 * MS + RESOLUTION_NS


def test_the_offset_is_from_this_hosts_wall_clock() -> None:
    clock = VenueClock()
    now_ns = time.monotonic_ns()
    clock.learn(now_ns, now_ns, time.time_ns() + 5_000 * MS)
    assert abs(clock.offset_ns() - 5_000 * MS) < 1_000 * MS


def test_a_clock_that_was_moved_says_how_often() -> None:
    now_ns = 1_000 * MS
    clock = VenueClock(lambda: now_ns)

    def learn(venue_ms: int) -> None:
        nonlocal now_ns
        now_ns += 1_000 * MS
        clock.learn(now_ns, now_ns, venue_ms * MS)

    learn(2_000)
    learn(3_000)
    learn(64_000)
    assert clock.jump_count == 0, "one answer moves nothing"
    learn(65_000)
    assert clock.jump_count == 1
