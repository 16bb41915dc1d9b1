"""A scenario at work: its faults act when the market has come so far."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exchange.errors import ApiError
from exchange.scenario import Scenario, Step

if TYPE_CHECKING:
    from exchange.faults import Answer
    from exchange.server import Exchange


@dataclass(slots=True)
class _Ready:
    """A step whose order has been checked against this market."""

    step: Step
    act: Callable[[], Answer]


class ScenarioRunner:
    """The steps of one scenario and how far they are."""

    def __init__(self, exchange: Exchange, scenario: Scenario) -> None:
        """Check every order against the market; nothing acts yet.

        Raises:
            ApiError: when an order names a symbol, a stream or an account that is not there.
        """
        self._exchange = exchange
        ready = [_Ready(step, exchange.faults.prepared(step.order)) for step in scenario.steps]
        timed = [one for one in ready if one.step.at_ms is not None]
        counted = [one for one in ready if one.step.at_events is not None]
        self._from_start = [one for one in ready if one not in timed and one not in counted]
        self._timed = timed
        self._counted = sorted(counted, key=lambda one: one.step.at_events or 0)
        self._timers: list[asyncio.TimerHandle] = []
        self.step_count = len(ready)
        self.done_count = 0
        self.failures: list[str] = []

    def begin(self) -> None:
        """Act on what has no time; the exchange listens now."""
        for one in self._from_start:
            self._act(one)

    def play_began(self) -> None:
        """Start to count time and events."""
        loop = asyncio.get_running_loop()
        for one in self._timed:
            delay_s = (one.step.at_ms or 0) / 1000
            self._timers.append(loop.call_later(delay_s, self._act, one))
        if self._counted:
            self._exchange.player.on_turn = self._count

    def _count(self) -> None:
        """Act on what is due by the number of events; called once per turn of the player."""
        played = self._exchange.player.event_count
        while self._counted and (self._counted[0].step.at_events or 0) <= played:
            self._act(self._counted.pop(0))
        if not self._counted:
            self._exchange.player.on_turn = None

    def _act(self, one: _Ready) -> None:
        self.done_count += 1
        try:
            one.act()
        except ApiError as fault:
            self.failures.append(f"{one.step.order.get('kind')}: {fault.message}")

    def stop(self) -> None:
        """Forget what has not acted."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._counted.clear()

    def view(self) -> dict[str, object]:
        """Return how far the scenario is."""
        return {"steps": self.step_count, "done": self.done_count, "failures": self.failures}
