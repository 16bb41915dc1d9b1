"""The sources of market data: for each plan a primary connection, and one that stands in for it.

        plan (one category, its streams)
          |- primary   always wanted
          `- backup    always, or while the primary is down, late or silent
                 both deliver: the first to do so counts, the core drops what comes twice

        connection up/down -> channels subscribed/disconnected, an incident opens
        a stream silent    -> its connection is replaced (make before break), an incident opens
        lag                -> entries held until one connection of the plan is in time again
        all live again     -> the incident is closed: what was healed, what is a gap

Nothing here runs per frame; `watch` is called some times a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Final

from engine.clock import VenueClock
from engine.config import SourcesConfig
from engine.domain.codes import Channel
from engine.processes.feed_faults import FeedFault, FeedFaults
from engine.processes.feed_holds import EntryHolds
from engine.processes.feed_incidents import Incidents
from engine.processes.feed_lag import LagWatch
from engine.processes.feed_lines import Line, PlanSources, SourceHooks, places_of
from engine.processes.feed_silence import SilenceWatch
from engine.processes.feed_words import FeedLine
from engine.venues.binance.attempts import ConnectionAttempts
from engine.venues.binance.routing import ConnectionPlan, Subscription, plans_of
from engine.venues.binance.stream import SHARED_AFTER_S, MarketStream
from native_ext._feed import Core
from ringbuffer.errors import InvariantError

NS_PER_S: Final = 1_000_000_000
DEMAND_AFTER_S: Final = 1.0  # without the primary
BACK_AFTER_S: Final = 30.0  # the primary was good for so long: the backup goes
REFUSAL_TOLD_NS: Final = 60 * NS_PER_S
PRIMARY, BACKUP = 0, 1


class FeedSources:
    """All plans of one feed."""

    def __init__(
        self,
        core: Core,
        plans: Sequence[ConnectionPlan],
        config: SourcesConfig,
        urls: tuple[str, str],
        attempts: ConnectionAttempts,
        clock: VenueClock,
        *,
        holds: EntryHolds,
        faults: FeedFaults,
        incidents: Incidents,
        hooks: SourceHooks,
        is_third_party: bool,
    ) -> None:
        """Prepare every line; none is opened before `start`.

        Args:
            core: where frames go.
            plans: what is carried.
            config: how.
            urls: base addresses of the primaries and of the backups.
            attempts: the budget all of them share.
            clock: the venue's.
            holds: who may not be entered.
            faults: what the journal hears.
            incidents: what became of each loss.
            hooks: what the feed hears.
            is_third_party: the venue's clock is a clock, not a tape's.
        """
        self._core = core
        self._config = config
        self._clock = clock
        self._holds = holds
        self._faults = faults
        self._hooks = hooks
        self._jumps_seen = clock.jump_count
        self.incidents = incidents
        self.attempts = attempts
        self.switch_count = 0  # backups taken
        self.carried_by = FeedLine.FIRST  # the primaries; the others stand in
        self._silence = SilenceWatch(core, incidents, hooks)
        self._refusal_told_ns = -REFUSAL_TOLD_NS
        self._urls = urls
        self._is_third_party = is_third_party
        self._plan_number = 0
        self.plans: list[PlanSources] = []
        self._of: dict[MarketStream, PlanSources] = {}
        for plan in plans:
            self._add(plan)

    def _add(self, plan: ConnectionPlan) -> PlanSources:
        name = f"{plan.category}-{self._plan_number}"
        self._plan_number += 1
        lines = [self._line(plan, f"{name}a", PRIMARY)]
        if self._config.backup != "off":
            lines.append(self._line(plan, f"{name}b", BACKUP))
            if self.carried_by is FeedLine.SECOND:
                lines.reverse()
        sources = PlanSources(name, plan, lines)
        self.plans.append(sources)
        self._of |= {entry.stream: sources for entry in lines}
        return sources

    def _line(self, plan: ConnectionPlan, name: str, place: int) -> Line:
        stream = MarketStream(
            self._core,
            (self._urls[place], self._urls[1 - place]),
            plan,
            self.attempts,
            on_up=self._on_up,
            on_down=self._on_down,
            life_s=self._config.connection_life_s,
        )
        limit_ns = self._config.lag_limit_ms * 1_000_000
        return Line(name, stream, LagWatch(limit_ns, is_absolute=self._is_third_party))

    def start(self) -> None:
        """Open every primary, and the backups that are always wanted."""
        for sources in self.plans:
            self._start(sources)

    def _start(self, sources: PlanSources) -> None:
        self._want(sources.lines[PRIMARY])
        if self._config.backup == "always":
            self._want(sources.lines[BACKUP])

    @property
    def second_lines(self) -> str:
        """Return when plans have them: off, demand or always."""
        return self._config.backup

    def carry_by(self, line: FeedLine, now_ns: int) -> None:
        """Make the other line of every plan its primary; the one that was stands in.

        It stays until the new one was good for BACK_AFTER_S, as after any loss: nothing is cut.
        """
        assert self.second_lines == "demand", self.second_lines
        assert line is not self.carried_by, line
        self.carried_by = line
        for sources in self.plans:
            sources.lines.reverse()
            sources.primary_bad_since_s = sources.primary_good_since_s = now_ns / NS_PER_S
            self._want(sources.lines[PRIMARY])
            self._judge_shared(sources, now_ns)

    def carry(self, rows: Sequence[Subscription]) -> None:
        """Carry more streams: on connections that have room, which are replaced, or on more."""
        room = self._config.streams_per_connection
        for plan in plans_of(rows, room):
            sources = next((row for row in self.plans if row.has_room(plan, room)), None)
            if sources is None:
                self._start(self._add(plan))
            else:
                both = (*sources.plan.subscriptions, *plan.subscriptions)
                sources.change(ConnectionPlan(plan.category, both))

    def drop(self, indices: Sequence[int]) -> list[tuple[int, Channel]]:
        """Carry nothing of some instruments any more; return what was carried of them."""
        dropped: list[tuple[int, Channel]] = []
        for sources in list(self.plans):
            rows = sources.plan.subscriptions
            kept = tuple(row for row in rows if row.instrument_index not in indices)
            if len(kept) == len(rows):
                continue
            dropped += [place for place in sources.places() if place[0] in indices]
            sources.announced -= set(dropped)
            if kept:
                sources.change(ConnectionPlan(sources.plan.category, kept))
                continue
            for line in sources.lines:
                self._forego(line)
            self.plans.remove(sources)
        return dropped

    @property
    def lines(self) -> Iterator[Line]:
        """Yield every line of every plan."""
        return (line for sources in self.plans for line in sources.lines)

    @property
    def is_complete(self) -> bool:
        """Return whether every plan was up at least once."""
        return all(sources.was_up for sources in self.plans)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """Return the tasks of the lines that are wanted."""
        return [line.task for line in self.lines if line.task is not None]

    def check(self) -> None:
        """Make sure that every line lives.

        Raises:
            InvariantError: one ended by itself.
        """
        for line in self.lines:
            if line.task is not None and line.task.done():
                raise InvariantError(f"{line.name} ended: {line.task.exception()!r}")

    def watch(self, now_ns: int, *, is_held: bool) -> None:
        """Look at lag, silence and the need for backups; a market that is held may be silent."""
        if is_held:
            self._silence.held_ns = now_ns
        now_s = now_ns / NS_PER_S
        has_jumped = self._clock.jump_count != self._jumps_seen
        self._jumps_seen = self._clock.jump_count
        for sources in self.plans:
            self._judge_shared(sources, now_ns)
            self._follow_plan(sources, now_ns)
            for line in sources.lines:
                self._note_lag(line, now_s, has_jumped=has_jumped)
            self._judge_lag(sources, now_ns)
            for line in sources.lines:
                self._silence.look(sources, line, now_ns)
        # Only now is it known of every plan: what is late everywhere needs no second one.
        if self._config.backup == "demand":
            for sources in self.plans:
                self._judge_second(sources, now_ns)

    def _on_up(self, stream: MarketStream) -> None:
        sources, now_ns = self._of[stream], time.monotonic_ns()
        sources.was_up = True
        self._hooks.on_connected()
        self._judge_shared(sources, now_ns)
        if sum(line.stream.is_up for line in sources.lines) > 1:
            return
        self._announce(sources, now_ns)
        if sources.down_ns:
            self._hooks.on_back(sources, sources.down_ns)
            sources.down_ns = 0

    def _announce(self, sources: PlanSources, now_ns: int) -> None:
        """Tell the core which channels may speak that could not before."""
        carried = {
            place
            for line in sources.lines
            if line.stream.connection is not None and line.stream.carried is not None
            for place in places_of(line.stream.carried)
        }
        fresh = carried.intersection(sources.places()) - sources.announced
        for index, channel in sorted(fresh):
            self._core.subscribed(index, channel, now_ns)
        sources.announced |= fresh
        self._core.flush(now_ns)

    def _follow_plan(self, sources: PlanSources, now_ns: int) -> None:
        """Replace connections that carry another plan than the one that is wanted."""
        for line in sources.lines:
            stream = line.stream
            if stream.connection is not None and stream.carried is not stream.plan:
                stream.replace("other instruments")
        if len(sources.announced) < len(sources.plan.subscriptions):
            self._announce(sources, now_ns)

    def _on_down(self, stream: MarketStream, reason: str) -> None:
        sources, now_ns = self._of[stream], time.monotonic_ns()
        (line,) = (entry for entry in sources.lines if entry.stream is stream)
        if sources.is_up:
            what = f"{line.name} down, the other delivers"
            self.incidents.open(
                sources.name, what, reason, lambda: stream.is_up or line.task is None, now_ns
            )
        elif sources.was_up and not sources.down_ns:
            sources.down_ns = now_ns
            is_over = self.incidents.until_live(sources.places())
            self.incidents.open(sources.name, f"{line.name} down", reason, is_over, now_ns)
            for index, channel in sources.places():
                self._core.disconnected(index, channel, now_ns)
            sources.announced.clear()
            self._core.flush(now_ns)
        if stream.failures > 1:
            self._tell_refusal(reason, now_ns)
        streams = len(sources.plan.subscriptions)
        self._hooks.warn(f"STREAM_DOWN {line.name}", reason, streams=streams)

    def _tell_refusal(self, reason: str, now_ns: int) -> None:
        """Tell the journal why nothing can be opened; one word of it a minute."""
        if now_ns - self._refusal_told_ns > REFUSAL_TOLD_NS:
            self._refusal_told_ns = now_ns
            self._faults.tell(FeedFault.CONNECTION_REFUSED, reason)

    def _judge_shared(self, sources: PlanSources, now_ns: int) -> None:
        """Expect duplicates while two lines are wanted, and shortly after.

        A line delivers before it is up, so that the other must expect it from the start.
        """
        if sum(line.task is not None for line in sources.lines) > 1:
            sources.shared_s = now_ns / NS_PER_S
        for line in sources.lines:
            line.stream.share(now_ns / NS_PER_S - sources.shared_s < SHARED_AFTER_S)

    def _want(self, line: Line) -> None:
        if line.task is None:
            line.task = asyncio.create_task(line.stream.run())

    def _forego(self, line: Line) -> None:
        if line.task is None:
            return
        task, line.task = line.task, None
        task.cancel()

    # ---- lag

    def _note_lag(self, line: Line, now_s: float, *, has_jumped: bool) -> None:
        connection = line.stream.connection
        if connection is None:
            return
        if has_jumped or connection is not line.connection_seen:
            line.connection_seen = connection
            if has_jumped:
                line.lag.forget()
        count, sum_ns, _ = connection.take_lag()
        rate = 1.0 + self._clock.rate_ppb / NS_PER_S
        bound_ns = self._clock.error_ns if self._clock.rate_ppb else self._clock.bound_ns
        if line.lag.note(now_s, count, sum_ns, bound_ns, rate):
            self._hooks.warn(
                f"LAG {line.name}",
                "late" if line.lag.is_late else "in time again",
                level_ms=round(line.lag.level_ns / 1e6, 1),
                usual_ms=round(line.lag.usual_ns / 1e6, 1),
            )
        line.quantiles_ns = connection.lag_quantiles()

    def _judge_lag(self, sources: PlanSources, now_ns: int) -> None:
        up = [line for line in sources.lines if line.stream.is_up]
        is_late = bool(up) and all(line.lag.is_late for line in up)
        if is_late == sources.is_late:
            return
        sources.is_late = is_late
        self._holds.set(f"late {sources.name}", sources.indices, now_ns, is_held=is_late)
        level_ms = max(line.lag.level_ns for line in sources.lines) / 1e6
        if is_late:
            self.incidents.open(
                sources.name, "late", f"{level_ms:.0f} ms", lambda: not sources.is_late, now_ns
            )
            self._faults.tell(FeedFault.LATE, f"{sources.name} late: {level_ms:.0f} ms")
        else:
            self._faults.tell(FeedFault.IN_TIME, f"{sources.name} in time: {level_ms:.0f} ms")

    # ---- backups

    def _is_late_everywhere(self) -> bool:
        up = [row.lines[PRIMARY] for row in self.plans if row.lines[PRIMARY].stream.is_up]
        return len(up) > 1 and all(line.lag.is_late for line in up)

    def _judge_second(self, sources: PlanSources, now_ns: int) -> None:
        primary, backup = sources.lines
        now_s = now_ns / NS_PER_S
        if not sources.was_up:
            return  # nothing to stand in for yet: the addresses are tried in turn
        if primary.is_good:
            sources.primary_bad_since_s = now_s
            good_since_s = max(sources.primary_good_since_s, primary.stream.since_ns / NS_PER_S)
            if backup.task is not None and now_s - good_since_s > BACK_AFTER_S:
                self._forego(backup)
            return
        sources.primary_good_since_s = now_s
        if primary.stream.is_up and (not primary.lag.is_high or self._is_late_everywhere()):
            return  # nearly over; or the network or this machine, and another one would add to it
        if backup.task is None and now_s - sources.primary_bad_since_s > DEMAND_AFTER_S:
            self.switch_count += 1
            self._want(backup)
            self._judge_shared(sources, now_ns)
            why = "late" if primary.stream.is_up else primary.stream.refusal
            self._faults.tell(FeedFault.BACKUP_TAKEN, f"{sources.name}: {why}")
            self._hooks.warn(f"BACKUP_TAKEN {sources.name}", why)
