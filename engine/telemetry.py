"""Every counter and histogram, declared once, with its label and unit, per role.

A counter's position in its tuple is its word in the role's page of the counters segment; append
only within a run's version. Pages: main 0, feed 1, brain 2, orchestrator 3.
"""

from __future__ import annotations

from typing import NamedTuple


class Counter(NamedTuple):
    """One 64-bit number in a counters page."""

    name: str
    label: str
    unit: str


class Histogram(NamedTuple):
    """One latency histogram in a counters page; values in ns."""

    name: str
    label: str


MAIN_COUNTERS: tuple[Counter, ...] = (
    Counter("api_requests_total", "HTTP requests answered", "requests"),
    Counter("watchdog_checks_total", "Passes of the watchdog", "checks"),
)
FEED_COUNTERS: tuple[Counter, ...] = (
    Counter("frames_total", "WebSocket frames received", "frames"),
    Counter("records_total", "Market records published", "records"),
    Counter("rejected_total", "Frames or records refused by the firewall", "records"),
)
BRAIN_COUNTERS: tuple[Counter, ...] = (
    Counter("records_total", "Market records decided on", "records"),
    Counter("steps_total", "Steps of the kernel", "steps"),
    Counter("decisions_total", "Opportunities that reached risk", "decisions"),
    Counter("orders_total", "Orders requested", "orders"),
    Counter("fills_total", "Fills applied", "fills"),
    Counter("refusals_total", "Orders refused by risk", "refusals"),
)
ORCHESTRATOR_COUNTERS: tuple[Counter, ...] = (
    Counter("journaled_total", "Records written to the journal", "records"),
    Counter("projected_total", "Events projected into the database", "events"),
)

FEED_HISTOGRAMS: tuple[Histogram, ...] = (
    Histogram("decode_ns", "Socket read to ring"),
)
BRAIN_HISTOGRAMS: tuple[Histogram, ...] = (
    Histogram("lag_ns", "Receive time to end of the batch's decide"),
    Histogram("tick_to_order_ns", "Receive time of the frame to first byte of the order"),
    Histogram("order_ack_ns", "First byte of the order to the venue's answer"),
)
MAIN_HISTOGRAMS: tuple[Histogram, ...] = ()
ORCHESTRATOR_HISTOGRAMS: tuple[Histogram, ...] = ()
