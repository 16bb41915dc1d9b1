"""When a connection is late, when it is about to be, and when it is in time again."""

from __future__ import annotations

import pytest

from engine.processes.feed_lag import REARM_S, LagWatch

MS = 1_000_000
LIMIT_MS = 1_000


class Watched:
    """A watch that is told a lag four times a second."""

    def __init__(self, *, is_absolute: bool = False) -> None:
        self.watch = LagWatch(LIMIT_MS * MS, is_absolute=is_absolute)
        self.now_s = 100.0
        self.changes: list[tuple[float, bool]] = []

    def tell(
        self, lag_ms: float, seconds: float, *, rate: float = 1.0, bound_ms: float = 1
    ) -> None:
        """Tell a constant lag for a while."""
        for _ in range(int(seconds * 4)):
            self.now_s += 0.25
            if self.watch.note(self.now_s, 10, int(10 * lag_ms * MS), int(bound_ms * MS), rate):
                self.changes.append((self.now_s, self.watch.is_late))


def test_a_steady_lag_is_usual_whatever_it_is() -> None:
    for usual_ms in (-1_250.0, 0.0, 80.0, 5_000.0):
        watched = Watched()
        watched.tell(usual_ms, 120)
        assert watched.changes == []
        assert watched.watch.excess_ns() == pytest.approx(0, abs=1)


def test_a_venue_with_a_clock_is_late_from_the_start() -> None:
    watched = Watched(is_absolute=True)
    watched.tell(1_500.0, 1)
    assert watched.watch.is_late


def test_a_spike_is_late_within_a_second_and_counted_once() -> None:
    watched = Watched()
    watched.tell(50.0, 20)
    began_s = watched.now_s
    watched.tell(3_000.0, 3)
    assert [late for _, late in watched.changes] == [True]
    assert watched.changes[0][0] - began_s <= 1.0
    assert watched.watch.spike_count == 1


def test_a_rising_lag_is_acted_on_before_it_is_above_the_limit() -> None:
    watched = Watched()
    watched.tell(50.0, 20)
    lag_ms = 50.0
    while not watched.watch.is_late:
        lag_ms += 75.0  # 300 ms more each second
        watched.tell(lag_ms, 0.25)
        assert lag_ms < 3_000
    assert watched.watch.excess_ns() < 0.9 * LIMIT_MS * MS


def test_it_is_in_time_again_only_after_it_was_for_a_while() -> None:
    watched = Watched()
    watched.tell(50.0, 20)
    watched.tell(3_000.0, 4)
    watched.tell(50.0, 3)
    watched.tell(700.0, 2)
    assert len(watched.changes) == 1, "late still"
    quiet_s = watched.now_s
    watched.tell(50.0, 20)
    assert watched.changes[-1][0] - quiet_s >= REARM_S
    assert len(watched.changes) == 2, "no flapping"


def test_a_lag_about_half_the_limit_changes_nothing_either_way() -> None:
    watched = Watched()
    watched.tell(0.0, 10)
    watched.tell(480.0, 60)
    assert watched.changes == []


def test_a_tape_at_a_multiple_of_time_has_the_lag_of_its_seconds() -> None:
    watched = Watched()
    watched.tell(0.0, 10, rate=10.0)
    watched.tell(4_000.0, 10, rate=10.0)  # 400 ms of ours
    assert watched.changes == []


def test_without_a_known_clock_nothing_is_late() -> None:
    watched = Watched()
    watched.tell(50.0, 10)
    watched.tell(9_000.0, 10, bound_ms=2_000)
    assert watched.changes == []
    assert not watched.watch.note(watched.now_s + 1, 0, 0, 0, 1.0), "no reads say nothing"


def test_a_clock_that_was_moved_begins_anew() -> None:
    watched = Watched()
    watched.tell(50.0, 20)
    watched.watch.forget()
    watched.tell(8_000.0, 20)
    assert watched.changes == []
