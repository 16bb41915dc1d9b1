"""The executor thread: restore first, commands to the venue, reports back, faults told."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from engine.domain.codes import EventType, OrderStatus, OrderType
from engine.processes import executor as executor_module
from engine.processes.executor import SLOT_BYTES, Executor
from engine.processes.executor_counts import AWAITED_MAX, ExecutorCounts
from engine.telemetry import BRAIN_COUNTERS, BRAIN_HISTOGRAMS
from engine.venues.order_records import Command, Report
from engine.venues.venue import CredentialError
from ringbuffer.counters import PAGE_WORDS, CounterPage
from ringbuffer.errors import InvariantError
from tests.desk_rig import make_event
from tests.executor_rig import DEADLINE_S, ExecutorRig
from tests.line_rig import ARMED, make_command, take, write
from tests.order_api_client import pem_of, secret_of
from tests.order_side import DEADLINE_MS, Exchange, quoted_exchange, running_exchange

QTY_LOTS = 20


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with quoted_exchange(1) as running:
        yield running


@pytest.fixture
def rig(exchange: Exchange, request: pytest.FixtureRequest) -> Iterator[ExecutorRig]:
    epoch = 1 + sum(map(ord, request.node.name)) % 10_000
    made = ExecutorRig(exchange, epoch=epoch)
    yield made
    made.stop()


def counter(rig: ExecutorRig, name: str) -> int:
    return rig.page.counter([row.name for row in BRAIN_COUNTERS].index(name))


def samples(rig: ExecutorRig, name: str) -> int:
    place = [row.name for row in BRAIN_HISTOGRAMS].index(name)
    return rig.page.percentiles(place).sample_count


def test_restore_records_are_the_first_reports_whatever_was_heard_before(
    rig: ExecutorRig,
) -> None:
    rig.executor.start()
    rig.wait_until(lambda: rig.executor.waiting_count > 0, "the clock is reported while we wait")
    assert rig.hear() == []
    restored = [make_event(EventType.RESTORE_POSITION, instrument_index=0) for _ in range(3)]
    rig.executor.restore([record.tobytes() for record in restored])
    rig.wait(EventType.VENUE_CONNECTED)
    kinds = rig.kinds()
    assert kinds[:3] == [EventType.RESTORE_POSITION] * 3
    assert EventType.VENUE_CLOCK in kinds[3:]


def test_more_records_than_the_ring_holds_arrive_in_order(rig: ExecutorRig) -> None:
    count = 9_000
    records = [make_event(EventType.RESTORE_ORDER, order_sequence=k) for k in range(count)]
    rig.start(records)
    rig.wait(EventType.RESTORE_END)
    numbers = [
        int(r["order_sequence"]) for r in rig.told if r["event_type"] == EventType.RESTORE_ORDER
    ]
    assert numbers == list(range(count))


def test_records_that_are_no_venues_are_reported_whole_and_in_order(rig: ExecutorRig) -> None:
    records = [make_event(EventType.CHILD_ORDER, request_id=k, qty_lots=k) for k in range(1, 40)]
    rig.start()
    for record in records:
        rig.executor.offer(record.tobytes())
    rig.wait_until(lambda: rig.kinds().count(EventType.CHILD_ORDER) == len(records), "all of them")
    told = [row for row in rig.told if row["event_type"] == EventType.CHILD_ORDER]
    assert [row["request_id"] for row in told] == [row["request_id"][0] for row in records]
    rig.wait(EventType.VENUE_CONNECTED)
    rig.executor.stop()
    rig.executor.offer(records[0].tobytes())  # nobody is there: nothing happens


def test_order_goes_out_and_its_life_comes_back(rig: ExecutorRig) -> None:
    rig.start()
    rig.wait(EventType.VENUE_CONNECTED)
    rig.order(1, QTY_LOTS)
    sent = rig.wait(EventType.ORDER_SENT)
    fill = rig.wait(EventType.FILL)
    rig.wait(EventType.ORDER_UPDATE)
    assert sent["order_sequence"] == fill["order_sequence"] == 1
    assert sent["cause_receive_time_ns"] > 0
    assert 0 < sent["write_time_ns"] <= sent["time_ns"]
    assert counter(rig, "orders_sent_total") == 1
    assert counter(rig, "reports_total") >= 3
    assert samples(rig, "tick_to_order_ns") == 1
    assert samples(rig, "decision_to_order_ns") == 1
    rig.wait_until(lambda: samples(rig, "order_ack_ns") == 1, "the answer is timed")


def test_a_key_pair_takes_commands_over_a_session_that_is_lent_too() -> None:
    with running_exchange(
        "--generate", "1", "--seed", "3", "--account", f"pair:{secret_of()}"
    ) as running:
        running.wait_for_quotes(running.instruments()[0].symbol)
        rig = ExecutorRig(running, key="pair", secret=pem_of(), epoch=31_007)
        rig.start()
        rig.wait(EventType.VENUE_CONNECTED)
        line = rig.rings.line
        rig.wait_until(lambda: line.state == ARMED, "no session is lent")
        connections = running.call("GET", "/practice/connections")
        assert [row["category"] for row in connections].count("orders") == 1
        rig.order(1, QTY_LOTS)
        assert rig.wait(EventType.FILL)["order_sequence"] == 1
        rig.wait_until(lambda: line.state == ARMED, "the session is not lent again")
        record = make_command(order_sequence=2, epoch_low=31_007 % 256, qty_lots=QTY_LOTS, flags=0)
        record["order_type"], record["price_ticks"] = OrderType.MARKET, 0
        assert take(line)
        assert rig.rings.commands.try_publish(record.tobytes()[8:]) >= 0
        assert write(line, record)
        rig.wait_until(
            lambda: 2 in [int(r["order_sequence"]) for r in rig.hear() if r["trade_id"] > 0],
            "the order of the kernel thread is not filled",
        )
        assert line.written_count == 1
        rig.stop()


def test_commands_published_before_the_venue_is_open_are_taken_then(exchange: Exchange) -> None:
    rig = ExecutorRig(exchange, epoch=31_001, late_instruments=True)
    rig.order(1, QTY_LOTS)
    rig.start()
    rig.wait(EventType.RESTORE_END)
    assert not rig.executor.connected.is_set()
    rig.instruments = exchange.instruments()
    assert rig.wait(EventType.ORDER_UPDATE)["order_sequence"] == 1
    rig.wait(EventType.VENUE_CONNECTED)
    rig.stop()


def test_an_executor_that_never_sleeps_needs_no_doorbell(exchange: Exchange) -> None:
    rig = ExecutorRig(exchange, epoch=31_002, idle="spin")
    rig.start()
    rig.wait(EventType.VENUE_CONNECTED)
    for sequence in range(1, 6):
        rig.order(sequence, QTY_LOTS)
    rig.wait_until(lambda: counter(rig, "orders_sent_total") == 5, "not all sent")
    with pytest.raises(BlockingIOError):
        os.read(rig.rings.doorbell, 8)
    rig.stop()


def test_every_command_of_a_burst_is_sent_once(rig: ExecutorRig) -> None:
    rig.start()
    rig.wait(EventType.VENUE_CONNECTED)
    for sequence in range(1, 41):
        rig.order(sequence, QTY_LOTS)

    def answered() -> set[int]:
        updates = [r for r in rig.hear() if r["event_type"] == EventType.ORDER_UPDATE]
        return {int(record["order_sequence"]) for record in updates}

    rig.wait_until(lambda: len(answered()) == 40, "not all answered")
    sent = [int(r["order_sequence"]) for r in rig.told if r["event_type"] == EventType.ORDER_SENT]
    assert sorted(sent) == list(range(1, 41))
    prefix = f"a{_base36(rig.epoch)}-"
    ids = [order["clientOrderId"] for order in rig.exchange.ledger()["orders"]]
    ours = [client_id for client_id in ids if client_id.startswith(prefix)]
    assert len(ours) == len(set(ours)) == 40


def _base36(number: int) -> str:
    from engine.domain.client_id import encode_base36

    return encode_base36(number)


def test_wrong_keys_end_the_thread_with_a_credential_error(exchange: Exchange) -> None:
    rig = ExecutorRig(exchange, secret="wrong")
    rig.executor.start()
    deadline = time.monotonic() + DEADLINE_S
    while rig.executor.failure is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert isinstance(rig.executor.failure, CredentialError)
    assert rig.executor.fatal is rig.executor.failure
    rig.stop()


def test_stop_finds_a_thread_that_ended_by_itself_and_lives_on_for_a_moment(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    run = Executor._run

    def lingering(executor: Executor) -> None:
        run(executor)
        release.wait(DEADLINE_S)

    monkeypatch.setattr(Executor, "_run", lingering)
    rig = ExecutorRig(exchange, secret="wrong")
    rig.executor.start()
    loop = rig.executor._loop
    assert loop is not None
    deadline = time.monotonic() + DEADLINE_S
    while not loop.is_closed():
        assert time.monotonic() < deadline, "keys that are wrong end it"
        time.sleep(0.01)
    threading.Timer(0.05, release.set).start()
    rig.executor.offer(bytes(SLOT_BYTES))
    rig.stop()


def test_an_exchange_that_is_not_there_yet_is_waited_for(exchange: Exchange) -> None:
    rig = ExecutorRig(exchange, rest_url="http://127.0.0.1:9")
    rig.executor.start()
    beats = rig.beats
    rig.wait_until(lambda: rig.beats > beats + 3, "it beats while it retries")
    assert not rig.executor.connected.is_set()
    rig.stop()


@pytest.mark.parametrize("status", [200, 503])
def test_a_page_in_place_of_an_answer_at_the_start_is_waited_out(
    exchange: Exchange, status: int
) -> None:
    path = "/fapi/v1/positionSide/dual"
    exchange.fault(kind="rest", path=path, status=status, body="<html>soon back</html>", count=2)
    rig = ExecutorRig(exchange, epoch=77)
    try:
        rig.start()
        rig.wait(EventType.VENUE_CONNECTED)
        assert rig.executor.last_error is not None
        assert rig.executor.fatal is None
    finally:
        exchange.fault(kind="clear")
        rig.stop()


def test_a_kernel_that_takes_no_reports_ends_the_thread(
    rig: ExecutorRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_module, "REPORTS_WAITING_MAX", 3)
    rig.start([make_event(EventType.RESTORE_ORDER)] * 5_000)
    deadline = time.monotonic() + DEADLINE_S
    while rig.executor.failure is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert isinstance(rig.executor.failure, InvariantError)
    assert "the kernel takes none" in str(rig.executor.failure)


def test_stop_ends_the_thread_while_orders_are_in_flight(rig: ExecutorRig) -> None:
    rig.start()
    rig.wait(EventType.VENUE_CONNECTED)
    rig.exchange.fault(
        kind="rest", path="/fapi/v1/order", method="POST", execute=True, delay_ms=DEADLINE_MS
    )
    rig.order(1, QTY_LOTS)
    rig.wait(EventType.ORDER_SENT)
    assert rig.executor.in_flight_count == 1
    rig.executor.stop()
    assert rig.executor.failure is None
    rig.exchange.fault(kind="clear")


def test_awaited_answers_are_bounded() -> None:
    page = CounterPage(memoryview(bytearray(8 * PAGE_WORDS)).cast("q"))
    counts = ExecutorCounts(page)
    for sequence in range(AWAITED_MAX + 10):
        counts.note(Report(EventType.ORDER_SENT, order_sequence=sequence))
    for sequence in range(AWAITED_MAX + 10):
        update = Report(
            EventType.ORDER_UPDATE, order_sequence=sequence, order_status=OrderStatus.NEW
        )
        counts.note(update)
    place = [row.name for row in BRAIN_HISTOGRAMS].index("order_ack_ns")
    assert page.percentiles(place).sample_count == AWAITED_MAX


def answered_count(rig: ExecutorRig) -> int:
    updates = [row for row in rig.hear() if row["event_type"] == EventType.ORDER_UPDATE]
    return len({int(row["order_sequence"]) for row in updates})


def test_an_order_that_the_kernel_thread_wrote_needs_no_doorbell(rig: ExecutorRig) -> None:
    rig.start()
    line = rig.rings.line
    rig.wait(EventType.VENUE_CONNECTED)
    asked: list[int] = []
    for sequence in (1, 2, 3):
        asked.append(sequence)
        rig.wait_until(lambda: line.state == ARMED, "a connection is lent")
        record = make_command(
            order_type=OrderType.MARKET,
            flags=0,
            order_sequence=sequence,
            qty_lots=QTY_LOTS,
            price_ticks=0,
            epoch_low=rig.epoch % 256,
            cause_receive_time_ns=time.monotonic_ns(),
        )
        while not take(line):  # a sample of the clock may be taking it back
            time.sleep(0.001)
        assert rig.rings.commands.try_publish(record.tobytes()[8:]) >= 0
        assert write(line, record)
        rig.wait_until(lambda: answered_count(rig) == len(asked), "an answer rings too")
    sent = [row for row in rig.hear() if row["event_type"] == EventType.ORDER_SENT]
    assert [int(row["order_sequence"]) for row in sent] == [1, 2, 3]
    assert all(row["write_time_ns"] > row["cause_receive_time_ns"] for row in sent)
    assert counter(rig, "orders_sent_total") == 3
    rig.wait_until(lambda: counter(rig, "orders_on_line_total") == 3, "counted apart")
    names = {bytes(row["text"]).decode() for row in sent}
    placed = [row["clientOrderId"] for row in rig.exchange.ledger()["orders"]]
    assert [placed.count(name) for name in sorted(names)] == [1, 1, 1]


def test_a_stopped_executor_lends_nothing(exchange: Exchange) -> None:
    rig = ExecutorRig(exchange, epoch=31_003)
    rig.start()
    rig.wait_until(lambda: rig.rings.line.state == ARMED, "a connection is lent")
    rig.executor.stop()
    assert not take(rig.rings.line)
    rig.rings.close()


def test_a_command_that_is_submitted_is_not_taken_again(exchange: Exchange) -> None:
    rig = ExecutorRig(exchange)
    submitted = []

    def submit(command: Command) -> None:
        submitted.append(command.order_sequence)
        rig.executor._take_all_commands()  # as an answer to another order would

    rig.executor._table.subscribe(EventType.COMMAND_NEW, submit)
    rig.order(1, QTY_LOTS)
    rig.order(2, QTY_LOTS)
    rig.executor._take_all_commands()
    assert submitted == [1, 2]
    rig.rings.close()
