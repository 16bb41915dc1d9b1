"""What is shown of the feed's sources: a table of connections, clock, liveness, incidents.

One JSON text on the board (`engine.processes.board`), replaced once a second, and the same in
numbers for the counters. Main puts the text into `/status` as it is.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engine.clock import VenueClock
from engine.domain.codes import Channel, Liveness
from engine.processes.board import write_board
from engine.processes.feed_backfill import Backfill
from engine.processes.feed_lines import Line
from engine.processes.feed_poll import QuotePoll
from engine.processes.feed_sources import FeedSources
from native_ext._feed import Core
from ringbuffer.segment import Segment

NS_PER_MS: Final = 1_000_000


class SourceReport:
    """Says how the sources of one feed stand."""

    def __init__(
        self,
        core: Core,
        symbols: Sequence[str],
        clock: VenueClock,
        sources: FeedSources,
        backfill: Backfill,
        poll: QuotePoll,
    ) -> None:
        """Read from them; nothing is kept but the last liveness. More `symbols` may come."""
        self._core = core
        self._symbols = symbols
        self._clock = clock
        self._sources = sources
        self._backfill = backfill
        self._poll = poll
        self.liveness = bytes(
            len(symbols) * len(Channel)
        )  # one byte a place, by instrument, then channel

    def look(self) -> None:
        """Read every channel's liveness."""
        channel = self._core.channel
        rows = range(len(self._symbols))
        self.liveness = bytes(channel(row, number)[0] for row in rows for number in Channel)

    def counts(self) -> dict[str, int]:
        """Return the numbers of the counters page, by name."""
        sources, incidents = self._sources, self._sources.incidents
        streams = [line.stream for line in sources.lines]
        held = {row for plan in sources.plans if plan.is_late for row in plan.indices}
        states = Counter(self.liveness)
        return {
            "connects_total": sum(stream.connect_count for stream in streams),
            "clock_offset_ns": self._clock.offset_ns(),
            "clock_bound_ns": self._clock.bound_ns,
            "connections_up": sum(stream.is_up for stream in streams),
            "connections_replaced_total": sum(stream.replaced_count for stream in streams),
            "connection_attempts_total": sources.attempts.total,
            "connection_attempts_delayed_total": sources.attempts.waiting_count,
            "backups_taken_total": sources.switch_count,
            "lag_spikes_total": sum(line.lag.spike_count for line in sources.lines),
            "instruments_held": len(held),
            "backfill_requests_total": self._backfill.request_count,
            "bars_healed_total": incidents.bars_healed,
            "quotes_polled_total": self._poll.quote_count,
            "incidents_total": incidents.total,
            "incidents_open": incidents.open_count,
            "incident_last_ms": incidents.recovered_ms_last,
            "incident_max_ms": incidents.recovered_ms_max,
        } | {f"channels_{state.name.lower()}": states[state] for state in Liveness}

    def document(self) -> dict[str, Any]:
        """Return the whole table."""
        states = Counter(self.liveness)
        now_ns = time.monotonic_ns()
        return {
            "clock": {
                "offset_ms": round(self._clock.offset_ns() / NS_PER_MS, 3),
                "bound_ms": round(self._clock.bound_ns / NS_PER_MS, 3),
                "rate": 1 + self._clock.rate_ppb / 1e9,
            },
            "liveness": {state.name: states[state] for state in Liveness if states[state]},
            "attempts": {
                "total": self._sources.attempts.total,
                "next_in_s": round(self._sources.attempts.wait_s(), 1),
            },
            "carried_by": self._sources.carried_by.name.lower(),
            "connections": [_row(line, now_ns) for line in self._sources.lines],
            "incidents": self._sources.incidents.rows(),
        }

    def write(self, segment: Segment) -> None:
        """Put the table on the board."""
        write_board(segment, msgspec.json.encode(self.document()))


def _row(line: Line, now_ns: int) -> dict[str, Any]:
    stream, lag = line.stream, line.lag
    state = "up" if stream.is_up else "unwanted" if line.task is None else "down"
    p50, p90, p99 = (round(number / NS_PER_MS, 3) for number in line.quantiles_ns)
    return {
        "name": line.name,
        "host": stream.host,
        "state": state,
        "for_s": round((now_ns - stream.since_ns) / 1e9, 1),
        "streams": len(stream.plan.subscriptions),
        "opened": stream.connect_count,
        "replaced": stream.replaced_count,
        "refusal": stream.refusal[:200],
        "late": lag.is_late,
        "lag_ms": {
            "mean": round(lag.level_ns / NS_PER_MS, 3),
            "usual": round(lag.usual_ns / NS_PER_MS, 3),
            "in_1_s": round((lag.level_ns + lag.trend_ns) / NS_PER_MS, 3),
            "p50": p50,
            "p90": p90,
            "p99": p99,
        },
    }
