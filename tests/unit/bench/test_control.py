"""The control bench asks the API as an operator does, and takes no refusal for an answer."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from bench import control
from bench.control import BENCH, HALT_CASES, Control, Row, children, pages, summary, within
from bench.control_word import (
    Received,
    Sleeper,
    between,
    entries_between,
    first_halt_ns,
    first_refusal_ns,
    last_settled_ns,
    resting,
)
from engine.domain.codes import EVENT_ENTRY, EventType, OrderStatus, TradingState
from engine.domain.risk_reasons import RiskReason
from engine.processes.outside_orders import Told
from engine.web.bodies import OrderBody
from ringbuffer.counters import CountersSegment
from tests.api_rig import TOKEN, Served, serving
from tests.ring_builders import unique_name
from tests.store_builders import event_records, market_records
from tests.store_events import event, request, update


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as made:
        yield made


class NothingOpen:
    """Stands for an engine whose orders are there and gone as they are asked for."""

    def __init__(self) -> None:
        self.resting: list[int] = []

    def forget(self) -> None:
        pass

    def until_resting(self, count: int) -> None:
        self.resting.append(count)

    def until_settled(self) -> None:
        pass

    def settled_ns(self, since_ns: int, until_ns: int) -> int:
        assert since_ns <= until_ns
        return until_ns


def test_each_halt_is_confirmed_and_undone_and_orders_rest_before_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "HALTS", 2)
    monkeypatch.setattr("bench.control.time.sleep", lambda _s: None)
    book = {"bids": [["100.3", "1"]]}
    monkeypatch.setattr(served.board, "book", lambda *_: (200, book))
    rows = [Row("BTCUSDT", Decimal("0.5"), Decimal("0.01"), Decimal(5))]
    engine = NothingOpen()
    found = Control(served.api.port, TOKEN).halts(engine, rows)  # type: ignore[arg-type]
    assert engine.resting == [1, 1], "each halt finds its orders at the venue"
    names = [name for name, _, _ in served.operator.told]
    assert names == ["halt", "confirm_halt", "resume", "halt", "resume"] * 2
    assert {case: len(waits) for case, waits in found.items()} == dict.fromkeys(HALT_CASES, 2)
    (asked, _), _ = served.orders.asked
    assert isinstance(asked, OrderBody)
    assert (asked.limit_price, asked.quantity) == ("99.5", "0.11"), "whole ticks, whole lots"


def test_what_takes_too_long_is_done_once() -> None:
    assert list(within(3, 60.0)) == [0, 1, 2]
    assert list(within(3, -1.0)) == [0]


def test_the_children_of_children_are_ours_too() -> None:
    words = ["sh", "-c", "sleep 60 & echo up; wait"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as shell:
        try:
            assert shell.stdout is not None
            shell.stdout.readline()
            found = children(os.getpid())
            assert shell.pid in found
            (grandchild,) = children(shell.pid)
            assert grandchild in found
            os.kill(grandchild, signal.SIGTERM)
        finally:
            shell.kill()


def test_a_refusal_is_no_measurement(served: Served) -> None:
    with pytest.raises(AssertionError, match="halt"):
        Control(served.api.port, "wrong").ask("POST", "/v1/halt", reason="bench")


def halted(at_ns: int) -> dict[str, object]:
    state = TradingState.HALTED
    return event(EventType.TRADING_STATE_CHANGED, time_ns=at_ns, trading_state=state)


def ordered(at_ns: int, flags: int = EVENT_ENTRY) -> dict[str, object]:
    return request(1, decision_time_ns=at_ns, cause_receive_time_ns=1, flags=flags)


def test_a_word_is_seen_at_the_first_step_that_says_so_after_it() -> None:
    enabled = event(EventType.TRADING_STATE_CHANGED, time_ns=60, trading_state=0)
    parts = [event_records(halted(10), enabled), event_records(halted(70), halted(90))]
    assert first_halt_ns(parts, 0) == 10
    assert first_halt_ns(parts, 11) == 70
    with pytest.raises(AssertionError, match="never said"):
        first_halt_ns(parts, 91)


def test_an_order_is_settled_when_the_brain_first_heard_so() -> None:
    cancelled, filled = OrderStatus.CANCELED, OrderStatus.FILLED
    rows = [
        update(1, filled, time_ns=10),
        update(2, OrderStatus.NEW, time_ns=20),
        update(2, cancelled, time_ns=30),
        update(3, cancelled, time_ns=40),
        update(2, cancelled, time_ns=50),  # the stream says it too
        update(4, filled, time_ns=90),
    ]
    parts = [event_records(*rows[:4]), event_records(*rows[4:])]
    assert last_settled_ns(parts, 15, 80) == 40
    assert last_settled_ns(parts, 5, 35) == 30


def test_a_bare_process_says_when_it_woke_and_ends() -> None:
    with closing(Sleeper()) as sleeper:
        assert all(sleeper.wake_ns() > 0 for _ in range(3))
    assert sleeper._process.returncode == 0


def test_an_order_rests_once_the_venue_has_taken_it() -> None:
    new, filled = OrderStatus.NEW, OrderStatus.FILLED
    rows = [
        request(4, strategy_index=2),
        update(5, new, strategy_index=2),
        update(6, filled, strategy_index=2),
        update(7, new, strategy_index=1),
    ]
    parts = [event_records(*rows), event_records(update(8, new, strategy_index=2))]
    assert resting(parts, 2) == {5, 8}


def refused(at_ns: int, cause: int, reason: int = RiskReason.TRADING_STATE) -> dict[str, object]:
    return event(
        EventType.RISK_REFUSAL,
        time_ns=at_ns,
        cause_sequence=cause,
        refusal_mask=1 << reason | 1 << RiskReason.STOPPING,
    )


def test_a_refused_intent_counts_from_the_word_or_from_what_caused_it() -> None:
    quotes = market_records(3, 6)  # ring words 7, 8 and 9
    quotes["receive_time_ns"] = [4, 11, 25]
    other = refused(12, 8, RiskReason.LEASE)
    parts = [event_records(refused(5, 7), other, halted(13)), event_records(refused(30, 9))]
    received = Received([quotes[:1], quotes[1:]])
    assert first_refusal_ns(parts, received, 10, 40) == [5]  # its record came after the word
    assert first_refusal_ns(parts, received, 27, 40) == [3]  # its record had waited
    assert first_refusal_ns(parts, received, 1, 40) == [1]
    assert first_refusal_ns(parts, received, 10, 30) == []
    assert first_refusal_ns(parts, received, 31, 40) == []
    unknown = Received([])
    assert first_refusal_ns(parts, unknown, 10, 40) == [20], "then the market's wait is in it"


def test_a_kept_connection_is_opened_once_and_not_counted(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "LOOKS", 3)
    opened: list[http.client.HTTPConnection] = []
    connect = http.client.HTTPConnection.connect

    def counted(self: http.client.HTTPConnection) -> None:
        opened.append(self)
        connect(self)

    monkeypatch.setattr(http.client.HTTPConnection, "connect", counted)
    found = Control(served.api.port, TOKEN).looks_kept("/v1/whoami")
    assert len(opened) == 1
    assert len(found) == 3
    with pytest.raises(AssertionError, match="nowhere"):
        Control(served.api.port, TOKEN).looks_kept("/v1/nowhere")


def test_the_lag_of_a_span_is_of_that_span_alone() -> None:
    segment = CountersSegment.create(unique_name("counters"), 1)
    page = segment.page(0)
    try:
        for _ in range(100):
            page.record(0, 50_000_000)
        before = page.histogram(0)
        for _ in range(100):
            page.record(0, 20_000)
        found = between(before, page.histogram(0))
    finally:
        page.release()
        segment.unlink()
        segment.close()
    assert found.sample_count == 100
    assert 20_000 <= found.p99_ns < 25_000
    assert found.max_ns == found.p99_ns, "the longest of the run came before"


def test_only_orders_that_open_and_were_decided_between_count() -> None:
    rows = [ordered(10), ordered(20), ordered(25, flags=0), ordered(30), halted(22)]
    parts = [event_records(*rows[:2]), event_records(*rows[2:])]
    assert entries_between(parts, 10, 30) == 1
    assert entries_between(parts, 9, 31) == 3


def test_pages_are_open_while_a_case_runs_and_closed_after_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "PAGES", 5)
    given = {"x-aegis-token": TOKEN}
    with pages(served.api.port, TOKEN):
        assert served.ask("GET", "/v1/whoami", headers=given).status == 200
        assert len([t for t in threading.enumerate() if t.name == "pages"]) == 1
    assert not [t for t in threading.enumerate() if t.name == "pages"]


def test_the_summary_is_of_what_was_waited() -> None:
    found = summary([1.0, 3.0, 2.0])
    assert found == {
        "p50": 2.0,
        "p99": pytest.approx(2.98),
        "p99.9": pytest.approx(2.998),
        "max": 3.0,
        "count": 3.0,
    }
    assert set(found) <= set(BENCH.units)


def test_an_order_by_hand_waits_until_none_of_ours_is_on_its_way_the_other_way(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.board, "book", lambda *_: (200, {"bids": [["100.3", "1"]]}))
    sent = served.orders.answer
    refused_once = Told(409, "refused", TradingState.ENABLED, reasons=("SELF_TRADE",))
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if seconds > 0.0:
            served.orders.answer = sent

    monkeypatch.setattr("bench.control.time.sleep", pause)
    rows = [Row("BTCUSDT", Decimal("0.5"), Decimal("0.01"), Decimal(5))]
    bench = Control(served.api.port, TOKEN)
    served.orders.answer = refused_once
    bench.rest(rows)
    assert (len(served.orders.asked), pauses) == (2, [0.0, control.COMMAND_S])
    served.orders.answer = refused_once._replace(reasons=("RATE_GLOBAL",))
    with pytest.raises(AssertionError, match="RATE_GLOBAL"):
        bench.rest(rows)
    assert len(served.orders.asked) == 3
