"""A line whose streams should speak and do not: it is replaced, and an incident opens.

A stream that was accepted and never spoke within its first deadline is silent, and so is one that
spoke often and is stale. Replacements for it are spaced, twice as far each time.
"""

from __future__ import annotations

from typing import Final

from engine.domain.codes import Channel, Liveness
from engine.processes.feed_incidents import Incidents
from engine.processes.feed_lines import REPLACE_FIRST_S, Line, PlanSources, SourceHooks
from engine.venues.binance.market import CADENCES
from engine.venues.binance.routing import Subscription
from engine.venues.binance.stream import has_delivered
from native_ext._feed import Core

NS_PER_S: Final = 1_000_000_000
STALE_NS: Final = NS_PER_S  # a stream that spoke and is stale for so long ...
LIVELY_NS: Final = NS_PER_S  # ... although it spoke so often: others may be quiet by nature
REPLACE_MAX_S: Final = 1_800.0


class SilenceWatch:
    """Looks at the lines of one feed."""

    def __init__(self, core: Core, incidents: Incidents, hooks: SourceHooks) -> None:
        """Read liveness from `core`; open incidents and tell the log."""
        self._core = core
        self._incidents = incidents
        self._hooks = hooks
        self.held_ns = 0  # when the market was last seen held: it may be silent

    def look(self, sources: PlanSources, line: Line, now_ns: int) -> None:
        """Replace a line of a plan if one of its streams is silent."""
        connection, now_s = line.stream.connection, now_ns / NS_PER_S
        if connection is None or now_s < line.replace_after_s:
            return
        rows = sources.plan.subscriptions
        silent = next((row for row in rows if self._is_silent(line, row, now_ns)), None)
        if silent is None:
            if now_s > line.replace_after_s + line.replace_pause_s:
                line.replace_pause_s = REPLACE_FIRST_S
            return
        reason = f"silent: {silent.stream}"
        if not line.stream.replace(reason):
            return
        line.replace_after_s = now_s + line.replace_pause_s
        line.replace_pause_s = min(2 * line.replace_pause_s, REPLACE_MAX_S)
        place = (silent.instrument_index, silent.channel)
        began_ns = max(self._core.channel(*place)[2], line.stream.since_ns)  # its last word
        self._incidents.open(
            sources.name,
            f"{line.name} silent",
            silent.stream,
            lambda: self._speaks(place),
            began_ns,
        )
        self._hooks.warn(f"STREAM_SILENT {line.name}", reason, streams=len(rows))

    def _speaks(self, place: tuple[int, Channel]) -> bool:
        return self._core.channel(*place)[0] in {Liveness.LIVE, Liveness.INVALID}

    def _is_silent(self, line: Line, row: Subscription, now_ns: int) -> bool:
        connection = line.stream.connection
        liveness, since_ns, _, pace_ns = self._core.channel(row.instrument_index, row.channel)
        if connection is None or liveness in {Liveness.UNSUPPORTED, Liveness.INVALID}:
            return False
        deadline_ns = CADENCES[row.channel][0]
        if deadline_ns == 0:
            return False
        if liveness == Liveness.STALE and pace_ns < LIVELY_NS:
            return now_ns - since_ns > STALE_NS and now_ns - line.stream.since_ns > STALE_NS
        age_ns = now_ns - max(line.stream.since_ns, self.held_ns)
        return age_ns > deadline_ns and not has_delivered(connection, row)
