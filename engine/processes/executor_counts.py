"""What the executor thread counts: its own words of the brain's counters page, and latencies."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Final

from engine.domain.codes import EventType
from engine.processes.dispatcher import Dispatcher
from engine.telemetry import BRAIN_COUNTERS, BRAIN_HISTOGRAMS
from engine.venues.order_records import Report
from ringbuffer.counters import CounterPage

AWAITED_MAX: Final = 4_096  # orders whose answer is still to be timed; the oldest go first

_COUNTERS: Final = {counter.name: word for word, counter in enumerate(BRAIN_COUNTERS)}
_HISTOGRAMS: Final = {histogram.name: place for place, histogram in enumerate(BRAIN_HISTOGRAMS)}


class ExecutorCounts:
    """Counts reports by what they mean; used by the executor thread alone."""

    def __init__(self, page: CounterPage) -> None:
        """Take the brain's page; its other words belong to the kernel thread."""
        self._page = page
        self._sent_ns: OrderedDict[int, int] = OrderedDict()

    def note(self, report: Report) -> None:
        """Count one report made now."""
        page, now_ns = self._page, time.monotonic_ns()
        page.add(_COUNTERS["reports_total"])
        if report.event_type == EventType.ORDER_SENT:
            page.add(_COUNTERS["orders_sent_total"])
            self._note_sent(report, report.word_2 or now_ns)
        elif report.event_type == EventType.ORDER_UPDATE:
            sent_ns = self._sent_ns.pop(report.order_sequence, None)
            if sent_ns is not None:
                page.record(_HISTOGRAMS["order_ack_ns"], now_ns - sent_ns)
        elif report.event_type == EventType.VENUE_DISCONNECTED:
            page.add(_COUNTERS["stream_losses_total"])

    def store_gauges(self, waiting: int, on_line: int, dispatcher: Dispatcher | None) -> None:
        """Store what is a level, or counted elsewhere."""
        self._page.store(_COUNTERS["reports_waiting"], waiting)
        self._page.store(_COUNTERS["orders_on_line_total"], on_line)
        if dispatcher is not None:
            self._page.store(_COUNTERS["jobs_refused_total"], dispatcher.refused_count)

    def _note_sent(self, report: Report, write_ns: int) -> None:
        received_ns, decided_ns = report.word_0, report.word_1
        if received_ns > 0:
            self._page.record(_HISTOGRAMS["tick_to_order_ns"], write_ns - received_ns)
        if decided_ns > 0:
            self._page.record(_HISTOGRAMS["decision_to_order_ns"], write_ns - decided_ns)
        self._sent_ns[report.order_sequence] = write_ns
        if len(self._sent_ns) > AWAITED_MAX:
            self._sent_ns.popitem(last=False)
