"""Sends the spans of orders to an OpenTelemetry collector, from a thread that nothing waits for.

        journal files -> OrderSpans -> batches of TRACES_MAX -> OTLP over HTTP

The thread reads what is already journaled, so a collector that is slow or away costs trading
nothing: the thread falls behind in the files, and what could not be delivered is counted and gone.
The extra `otel` brings the exporter.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from engine.config_people import TracesConfig
from engine.extras import install
from engine.store.errors import StoreError
from engine.store.journal import SOURCE_EVENTS_BRAIN
from engine.store.order_spans import OrderSpans, OrderTrace
from engine.store.reader import SourceReader
from engine.store.session import SessionDocument

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

PERIOD_S: Final = 1.0
TRACES_MAX: Final = 100  # of one request: some 500 spans
REQUEST_S: Final = 5.0  # for one request, tries again included
NEEDS_EXTRA: Final = f"traces need the extra: {install('otel')}"


class TracesError(Exception):
    """Spans cannot be sent as configured; the message is the sentence to show."""


class Outlet(Protocol):
    """Where traces go."""

    def send(self, traces: Sequence[OrderTrace]) -> bool:
        """Deliver traces; return whether they were taken."""


class Otlp:
    """A collector, through the OpenTelemetry exporter."""

    def __init__(self, config: TracesConfig, name: str) -> None:
        """Make the exporter; nothing is sent yet.

        Args:
            config: with the collector's address.
            name: of the engine, as its spans say it.

        Raises:
            TracesError: the package is missing.
        """
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
        except ImportError as error:
            raise TracesError(NEEDS_EXTRA) from error
        self._exporter = OTLPSpanExporter(endpoint=config.endpoint, timeout=REQUEST_S)
        self._resource = Resource({"service.name": "aegis", "service.instance.id": name})

    def send(self, traces: Sequence[OrderTrace]) -> bool:
        """Deliver traces in one request; return whether the collector took them."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        spans = [span for trace in traces for span in self._spans(trace)]
        return self._exporter.export(spans) is SpanExportResult.SUCCESS

    def _spans(self, trace: OrderTrace) -> Iterator[ReadableSpan]:
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.trace import SpanContext, TraceFlags

        def context(span_id: int) -> SpanContext:
            flags = TraceFlags(TraceFlags.SAMPLED)
            return SpanContext(trace.id, span_id, is_remote=False, trace_flags=flags)

        root = trace.spans[0]
        fills = [
            Event("fill", {"qty_lots": it.qty_lots, "price_ticks": it.price_ticks}, it.time_ns)
            for it in trace.fills
        ]
        for span in trace.spans:
            yield ReadableSpan(
                name=span.name,
                context=context(span.id),
                parent=None if span is root else context(root.id),
                resource=self._resource,
                attributes=trace.attributes if span is root else None,
                events=fills if span is root else (),
                start_time=span.start_ns,
                end_time=span.end_ns,
            )


class TraceSender:
    """The thread between the journal and a collector."""

    def __init__(
        self,
        reader: SourceReader,
        spans: OrderSpans,
        outlet: Callable[[], Outlet],
        warn: Callable[..., object],
    ) -> None:
        """Prepare; nothing is imported, read or sent before `start`.

        Args:
            reader: of the brain's events.
            spans: makes traces of them.
            outlet: makes where to, called by the thread; may raise TracesError.
            warn: writes a line of the log: event, then values by name.
        """
        self._reader = reader
        self._spans = spans
        self._outlet = outlet
        self._warn = warn
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self.sent_count = self.lost_count = 0  # orders

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> None:
        """Ask the thread to send what is journaled and to end; never waits."""
        self._stopping.set()

    def stop(self, budget_s: float) -> bool:
        """Send what is journaled and end; return whether that took no longer than the budget."""
        self.end()
        self._thread.join(budget_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            outlet = self._outlet()
            while True:
                is_last = self._stopping.wait(PERIOD_S)
                for traces in self._batches():
                    self._deliver(outlet, traces)
                if is_last:
                    return
        except (TracesError, StoreError) as error:
            self._warn("TRACES_OFF", error=str(error))

    def _batches(self) -> Iterator[list[OrderTrace]]:
        while batches := self._reader.poll():
            closed = (trace for batch in batches for trace in self._spans.take(batch.records))
            while traces := list(islice(closed, TRACES_MAX)):
                yield traces

    def _deliver(self, outlet: Outlet, traces: list[OrderTrace]) -> None:
        if outlet.send(traces):
            self.sent_count += len(traces)
            return
        self.lost_count += len(traces)
        self._warn("TRACES_UNDELIVERED", orders=len(traces), lost=self.lost_count)


def trace_sender(
    config: TracesConfig,
    name: str,
    directory: Path,
    document: Callable[[], SessionDocument | None],
    first_sequence: int,
    warn: Callable[..., Any],
) -> TraceSender | None:
    """Return the sender of a session's traces; None: none are asked for.

    Args:
        config: where to, and of how many orders.
        name: of the engine.
        directory: of the session's journal.
        document: returns the session's document as it is now, or None.
        first_sequence: of the brain's events that are new.
        warn: writes a line of the log.
    """
    if not config.endpoint:
        return None
    return TraceSender(
        SourceReader(directory, SOURCE_EVENTS_BRAIN, first_sequence),
        OrderSpans(document, config.sample_ratio),
        lambda: Otlp(config, name),
        warn,
    )
