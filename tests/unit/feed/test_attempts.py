"""One budget of connection attempts: never more than it allows, spaced out, paused for all."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.venues.binance import attempts as module
from engine.venues.binance.attempts import ATTEMPTS_MAX, WINDOW_S, ConnectionAttempts


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@given(st.lists(st.floats(0.0, 40.0), max_size=80))
def test_no_window_holds_more_attempts_than_allowed(pauses: list[float]) -> None:
    clock, made = Clock(), []
    budget = ConnectionAttempts(attempts_max=10, window_s=60.0, clock=clock)

    async def scene() -> None:
        for pause_s in pauses:
            clock.now_s += pause_s
            clock.now_s += budget.wait_s() + 1e-6
            await budget.take()
            made.append(clock.now_s)

    asyncio.run(scene())
    for place, start_s in enumerate(made):
        assert sum(at_s - start_s < 60.0 for at_s in made[place:]) <= 10
    assert budget.total == len(pauses)


def test_the_first_half_goes_at_once_and_the_rest_is_spaced_out() -> None:
    clock = Clock()
    budget = ConnectionAttempts(attempts_max=10, window_s=60.0, clock=clock)

    async def scene() -> None:
        for _ in range(5):
            await budget.take()

    asyncio.run(scene())
    assert budget.waiting_count == 0
    assert budget.wait_s() == pytest.approx(6.0)


def test_a_pause_is_everybodys_and_the_longest_counts() -> None:
    clock = Clock()
    budget = ConnectionAttempts(clock=clock)
    budget.pause(30.0)
    budget.pause(5.0)
    assert budget.wait_s() == pytest.approx(30.0)
    clock.now_s += 29.0
    assert budget.wait_s() == pytest.approx(1.0)
    clock.now_s += 1.0
    assert budget.wait_s() == 0.0


def test_who_waits_is_let_go_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "JITTER_S", 0.001)
    budget = ConnectionAttempts(attempts_max=4, window_s=0.2)

    async def scene() -> list[float]:
        loop = asyncio.get_running_loop()
        at_s = []
        for _ in range(9):
            await budget.take()
            at_s.append(loop.time())
        return at_s

    at_s = asyncio.run(scene())
    assert all(later - first >= 0.2 for first, later in zip(at_s, at_s[4:], strict=False))


def test_the_venue_allows_more_than_we_take() -> None:
    assert (ATTEMPTS_MAX, WINDOW_S) == (200, 300.0), "of 300 in five minutes"
