"""What the feed keeps of each connection plan: its lines, what they carry, how well they do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from engine.domain.codes import Channel
from engine.processes.feed_lag import LagWatch
from engine.venues.binance.routing import ConnectionPlan
from engine.venues.binance.stream import SHARED_AFTER_S, MarketStream

REPLACE_FIRST_S: Final = 20.0  # between two replacements for silence, doubled each time


class Line:
    """One connection of a plan, its lag, and when it may be replaced for silence."""

    def __init__(self, name: str, stream: MarketStream, lag: LagWatch) -> None:
        """Start unwanted."""
        self.name = name
        self.stream = stream
        self.lag = lag
        self.task: asyncio.Task[None] | None = None
        self.replace_after_s = 0.0
        self.replace_pause_s = REPLACE_FIRST_S
        self.quantiles_ns = (0, 0, 0)
        self.connection_seen: object = None

    @property
    def is_good(self) -> bool:
        """Return whether it is up and in time."""
        return self.stream.is_up and not self.lag.is_late


class PlanSources:
    """The lines of one plan."""

    def __init__(self, name: str, plan: ConnectionPlan, lines: list[Line]) -> None:
        """Start with nothing up."""
        self.name = name
        self.plan = plan
        self.lines = lines
        self.announced: set[tuple[int, Channel]] = set()  # what the core knows to be carried
        self.was_up = False  # at least once
        self.down_ns = 0  # since when no line carries it, of a plan that was up
        self.shared_s = -SHARED_AFTER_S  # when two lines carried it last
        self.is_late = False
        self.primary_bad_since_s = time.monotonic()
        self.primary_good_since_s = 0.0

    @property
    def is_up(self) -> bool:
        """Return whether a line carries it."""
        return any(line.stream.is_up for line in self.lines)

    @property
    def indices(self) -> list[int]:
        """Return the instruments it carries something of."""
        return sorted({row.instrument_index for row in self.plan.subscriptions})

    def places(self) -> list[tuple[int, Channel]]:
        """Return each (instrument, channel) it carries, once."""
        return places_of(self.plan)

    def has_room(self, plan: ConnectionPlan, streams_max: int) -> bool:
        """Return whether the streams of another plan fit on its connections."""
        count = len(self.plan.subscriptions) + len(plan.subscriptions)
        return plan.category == self.plan.category and count <= streams_max

    def change(self, plan: ConnectionPlan) -> None:
        """Carry another set of streams: `FeedSources.watch` replaces the connections for it."""
        self.plan = plan
        for line in self.lines:
            line.stream.plan = plan


def places_of(plan: ConnectionPlan) -> list[tuple[int, Channel]]:
    """Return each (instrument, channel) of a plan, once."""
    return list(dict.fromkeys((row.instrument_index, row.channel) for row in plan.subscriptions))


class SourceHooks(NamedTuple):
    """What the feed hears: connections opened, reasons worth a log line, plans that came back."""

    on_connected: Callable[[], None]
    warn: Callable[..., None]
    on_back: Callable[[PlanSources, int], None]  # with the time since when it was down
