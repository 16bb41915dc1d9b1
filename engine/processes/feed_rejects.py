"""Tell the journal what the firewall refused: one event per reason and minute.

The core counts every refusal; here the counts are looked at once a second, off the message path. An
event says the reason, the instrument of the last frame it refused, how many there were in all, and
in `request_id` how many went without an event of their own.
"""

from __future__ import annotations

from typing import Final

from engine.domain.codes import EventType
from engine.domain.firewall_reasons import FirewallReason
from engine.processes.feed_faults import event_payload
from native_ext._feed import Core
from ringbuffer.ring import Producer

SHOWN_NS: Final = 61_000_000_000  # a line a minute; one arriving a little early would be dropped


class RejectEvents:
    """Looks at one core's counts and publishes into the feed's event ring."""

    def __init__(self, core: Core, producer: Producer) -> None:
        """Start from zero: what was refused before belongs to the first event."""
        self._core = core
        self._producer = producer
        self._seen = [0] * len(FirewallReason)
        self._shown_ns = [0] * len(FirewallReason)

    def publish(self, now_ns: int) -> int:
        """Publish an event for each reason that is due; return how many."""
        published = 0
        for reason, count in enumerate(self._core.rejects()):
            fresh = count - self._seen[reason]
            shown_ns = self._shown_ns[reason]
            if fresh == 0 or (shown_ns and now_ns - shown_ns < SHOWN_NS):
                continue
            if self._producer.try_publish(self._event(reason, count, fresh, now_ns)) < 0:
                continue  # full: it stays due
            self._seen[reason] = count
            self._shown_ns[reason] = now_ns
            published += 1
        if published:
            self._producer.wake()
        return published

    def _event(self, reason: int, count: int, fresh: int, now_ns: int) -> bytes:
        kept = self._core.kept(reason)
        receive_ns, index, _, _ = kept or (now_ns, -1, 0, b"")
        return event_payload(
            receive_ns,
            EventType.RECORD_REJECTED,
            index,
            reason,
            f"{count} refused by the feed",
            fresh - 1,
        )
