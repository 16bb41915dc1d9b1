"""Traces reach a collector over HTTP as OTLP; one that is away costs the traces alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from engine.config_people import TracesConfig
from engine.domain.codes import OrderStatus
from engine.processes import traces
from engine.processes.traces import TraceSender, TracesError, trace_sender
from engine.store.errors import JournalError
from engine.store.order_spans import OrderSpans, OrderTrace
from tests.store_builders import session_document, write_session
from tests.store_events import Row, update
from tests.unit.processes.test_attendant import InProcess
from tests.unit.store.test_order_spans import sent

wire = pytest.importorskip(
    "opentelemetry.proto.collector.trace.v1.trace_service_pb2",
    reason="opentelemetry is not installed",
)
END_S = 30.0


class Collector(HTTPServer):
    """Takes what an exporter sends, or refuses it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taker)
        self.bodies: list[bytes] = []
        self.status = 200
        self.endpoint = f"http://127.0.0.1:{self.server_port}/v1/traces"

    def spans(self) -> list[Any]:
        found = []
        for body in self.bodies:
            request = wire.ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                found += [span for scope in resource.scope_spans for span in scope.spans]
        return found


class Taker(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


class Log:
    """Remembers the lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, **values: object) -> None:
        self.lines.append((event, values))


def orders(count: int) -> list[Row]:
    return [
        row
        for number in range(1, count + 1)
        for row in (sent(number), update(number, OrderStatus.FILLED, time_ns=300))
    ]


def sender(folder: Path, endpoint: str, log: Log, first: int = 0) -> TraceSender:
    config = TracesConfig(endpoint=endpoint, sample_ratio=1.0)
    made = trace_sender(config, "main", folder, session_document, first, log)
    assert made is not None
    return made


def run(made: TraceSender) -> None:
    made.start()
    assert made.stop(END_S)


def test_what_is_journaled_reaches_the_collector_whole(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "TRACES_MAX", 2)
    directory, log = write_session(tmp_path, *orders(5)), Log()
    made = sender(directory, collector.endpoint, log)
    run(made)
    assert (made.sent_count, made.lost_count, log.lines) == (5, 0, [])
    assert len(collector.bodies) == 3
    spans = collector.spans()
    roots = [span for span in spans if not span.parent_span_id]
    assert len(spans) == 5 * len(roots) == 25
    for root in roots:
        parts = [span for span in spans if span.parent_span_id == root.span_id]
        assert {span.trace_id for span in parts} == {root.trace_id}
        assert [span.name for span in parts] == ["decide", "send", "acknowledge", "work"]
        assert (root.end_time_unix_nano - root.start_time_unix_nano) == 200
        named = {it.key: it.value.string_value for it in root.attributes}
        assert named["aegis.instrument"] == "BTCUSDT"
    assert {root.name for root in roots} == {"order"}
    request = wire.ExportTraceServiceRequest.FromString(collector.bodies[0])
    about = {it.key: it.value.string_value for it in request.resource_spans[0].resource.attributes}
    assert (about["service.name"], about["service.instance.id"]) == ("aegis", "main")


@pytest.mark.usefixtures("root_as_it_was")
def test_an_orchestrator_sends_what_its_rings_held_before_it_ends(
    tmp_path: Path, collector: Collector
) -> None:
    role = InProcess(tmp_path, traces=TracesConfig(endpoint=collector.endpoint, sample_ratio=1.0))
    role.rig.publish_events(*orders(2))
    role.close()
    assert [span.name for span in collector.spans()].count("order") == 2


def test_what_an_earlier_orchestrator_told_is_not_told_again(
    tmp_path: Path, collector: Collector
) -> None:
    rows = orders(5)
    directory = write_session(tmp_path, *rows)
    made = sender(directory, collector.endpoint, Log(), first=len(rows) - 4)
    run(made)
    assert made.sent_count == 2


@pytest.mark.parametrize("is_there", [True, False])
def test_a_collector_that_refuses_or_is_away_costs_the_traces_only(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    monkeypatch.setattr(traces, "REQUEST_S", 0.5)
    collector.status = 400
    endpoint = collector.endpoint if is_there else "http://127.0.0.1:9/v1/traces"
    log = Log()
    made = sender(write_session(tmp_path, *orders(3)), endpoint, log)
    run(made)
    assert (made.sent_count, made.lost_count) == (0, 3)
    assert log.lines == [("TRACES_UNDELIVERED", {"orders": 3, "lost": 3})]


class Reader:
    """A journal that cannot be read."""

    def poll(self) -> list[Any]:
        raise JournalError("segment 3 was removed")


class Nobody:
    """Nothing is ever sent to it."""

    def send(self, _traces: Sequence[OrderTrace]) -> bool:
        raise AssertionError


@pytest.mark.parametrize("cause", ["journal", "extra"])
def test_what_cannot_go_on_ends_with_one_line(cause: str) -> None:
    def outlet() -> Nobody:
        if cause == "extra":
            raise TracesError(traces.NEEDS_EXTRA)
        return Nobody()

    log = Log()
    reader: Any = Reader()
    made = TraceSender(reader, OrderSpans(session_document, 1.0), outlet, log)
    run(made)
    (line,) = log.lines
    said = "segment 3" if cause == "journal" else "aegis-engine[otel]"
    assert line[0] == "TRACES_OFF"
    assert said in line[1]["error"]


def test_without_an_address_there_is_no_thread(tmp_path: Path) -> None:
    assert trace_sender(TracesConfig(), "main", tmp_path, session_document, 0, Log()) is None
