"""The brain's thread that talks orders to a venue: commands in, reports out.

        kernel thread -> command ring -> doorbell (eventfd) -> uvloop -> venue
              |                      `-> a loop that never sleeps (idle = "spin")
              `-> order line: a connection of ours, lent for one new order -> venue
        venue -> reports -> report ring -> wake -> kernel thread

The thread connects while the kernels load. What it hears before the state of an earlier session was
fed back is held; `restore` opens the gate, so that RESTORE_* records are the first reports of all.
A report that finds the ring full waits in a bounded line, in order; when that line is full the
kernel has stopped listening and the role must die.

Commands and reports pass through one subscriber table by event type: the venue hears commands, the
counts and the report ring hear reports, and none of them imports another. A command is in the event
ring before it reaches this thread. Nothing here sends an order a second time; see
`engine.venues.binance.order_sender`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

import uvloop

from engine.clock import VenueClock
from engine.config import Config
from engine.domain.codes import EventType
from engine.domain.instrument_row import Instrument
from engine.processes.awake import stay_awake
from engine.processes.dispatcher import Dispatcher, Priority
from engine.processes.events import SubscriberTable
from engine.processes.executor_counts import ExecutorCounts
from engine.processes.order_venue import create_order_venue
from engine.venues.binance.order_context import Offload
from engine.venues.binance.order_line import KernelLine
from engine.venues.binance.user_stream import backoff_s
from engine.venues.order_records import SEQUENCE_BYTES, Report, pack_report, read_command
from engine.venues.venue import CredentialError, OrderVenue, UnfitAccountError, VenueError
from native_ext import _native
from ringbuffer.errors import InvariantError
from ringbuffer.ring import Consumer, Producer, Ring

SLOT_BYTES: Final = 256
EVENTFD_BYTES: Final = 8
COMMAND_TYPES: Final = tuple(kind for kind in EventType if 100 <= kind < 200)
REPORT_TYPES: Final = tuple(kind for kind in EventType if 200 <= kind < 300)
COMMANDS_PER_TURN: Final = 64
REPORTS_WAITING_MAX: Final = 65_536
RETRY_S: Final = 0.001  # uvloop's shortest
BEAT_S: Final = 0.05
CLOCK_FIRST_S: Final = (0.05, 0.1, 0.25, 0.5)  # then every CLOCK_PERIOD_S
CLOCK_PERIOD_S: Final = 1.0  # of an exchange that may play a tape
CLOCK_PERIOD_THIRD_PARTY_S: Final = 30.0
INSTRUMENTS_WAIT_S: Final = 0.002
STOP_WAIT_S: Final = 5.0
CLOSE_S: Final = 0.01  # sockets close in the loop's next turns


class Executor:
    """The order side of a brain, on a thread and an event loop of its own."""

    def __init__(
        self,
        config: Config,
        commands: Consumer,
        reports: Producer,
        doorbell: int,
        kernel_wake: Ring,
        counts: ExecutorCounts,
        *,
        line: _native.OrderLine,
        beat: Callable[[], None],
        read_instruments: Callable[[], Sequence[Instrument]],
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            config: venue, account and timing.
            commands: reader of the command ring.
            reports: producer of the report ring.
            doorbell: eventfd that the command ring rings.
            kernel_wake: the ring the kernel thread sleeps on.
            counts: this thread's counters and histograms.
            line: the order line, on which the kernel thread writes orders.
            beat: writes this thread's heartbeat.
            read_instruments: what the feed has published; empty before that.
        """
        self._config = config
        self._commands = commands
        self._reports = reports
        self._doorbell = doorbell
        self._kernel_wake = kernel_wake
        self._counts = counts
        self._line = line
        self._beat = beat
        self._read_instruments = read_instruments
        self._clock = VenueClock()
        self._table = SubscriberTable()
        self._table.subscribe_many(REPORT_TYPES, counts.note)
        self._table.subscribe_many(REPORT_TYPES, self._publish_report)
        self._waiting: deque[bytes] = deque()
        self._restored: list[bytes] = []  # what earlier sessions knew; dropped once told
        self._gate_open = False
        self._gate = asyncio.Event()
        self._retrying = False
        self._taking = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="executor", daemon=True)
        self._ready = threading.Event()
        self.connected = threading.Event()
        self.failure: BaseException | None = None
        self.last_error: VenueError | None = None
        self.fatal: VenueError | None = None  # keys or settings: retrying cannot help
        self.dispatcher: Dispatcher | None = None
        self._orders: OrderVenue | None = None
        self.known_count = 0  # instruments the venue's side knows; 0: it has not begun

    def start(self) -> None:
        """Start the thread; returns when its loop runs."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """End the thread; orders in flight should have settled before."""
        if self._loop is not None:
            self._call(self._ask_stop)
        self._thread.join(STOP_WAIT_S)

    def restore(self, records: Sequence[bytes]) -> None:
        """Publish what an earlier session knew, then open the gate. From any thread, once.

        Args:
            records: RESTORE_* records of 256 bytes; the last one is RESTORE_END.
        """
        self._call(self._restore, list(records))

    def offer(self, record: bytes) -> None:
        """Publish a record of 256 bytes that is no venue's, behind what waits. From any thread."""
        if self._loop is not None:
            self._call(self._publish, record)

    def learn(self, instruments: Sequence[Instrument]) -> None:
        """Take up more instruments, the next by index; `known_count` says when. From any thread."""
        self._call(self._learn, instruments)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None, "started"
        with contextlib.suppress(RuntimeError):  # closed at any moment by a thread that ends itself
            self._loop.call_soon_threadsafe(function, *arguments)

    @property
    def in_flight_count(self) -> int:
        """Return how many orders await their first answer."""
        return self._orders.in_flight_count if self._orders else 0

    @property
    def waiting_count(self) -> int:
        """Return how many reports wait for room or for the gate."""
        return len(self._waiting)

    # The thread

    def _run(self) -> None:
        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        with runner:
            loop = runner.get_loop()
            loop.set_exception_handler(self._on_loop_exception)
            self._loop = loop
            runner.run(self._main())

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        dispatcher = Dispatcher(self._on_job_fault)
        self.dispatcher = dispatcher
        dispatcher.start()
        self._ready.set()
        tasks = [loop.create_task(self._keep_beating(), name="beat")]
        main = loop.create_task(self._connect_and_serve(dispatcher, tasks), name="connect")
        stopping = loop.create_task(self._stop.wait(), name="stop")
        try:
            await asyncio.wait({main, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if main.done() and main.exception() is not None:
                self._fail(main.exception())
        finally:
            loop.remove_reader(self._doorbell)
            for task in (main, stopping, *tasks):
                task.cancel()
            await asyncio.gather(main, stopping, *tasks, return_exceptions=True)
            await dispatcher.close()
            if self._orders is not None:
                await self._orders.close()
            await asyncio.sleep(CLOSE_S)

    async def _connect_and_serve(
        self, dispatcher: Dispatcher, tasks: list[asyncio.Task[None]]
    ) -> None:
        instruments = await self._await_instruments()
        orders = create_order_venue(
            self._config,
            self._clock,
            instruments,
            self._kernel_wake,
            self._emit,
            _offload(dispatcher),
            KernelLine(self._line, self._take_all_commands),
        )
        self._orders = orders
        self.known_count = len(instruments)
        self._table.subscribe_many(COMMAND_TYPES, orders.submit)
        self._table.seal()
        await self._open(orders)
        await self._gate.wait()
        orders.restore(self._restored)
        self._restored = []
        loop = asyncio.get_running_loop()
        for name, job in (
            ("stream", orders.run_stream()),
            ("clock", self._follow_clock(orders)),
            ("expire", self._expire(orders)),
        ):
            tasks.append(loop.create_task(job, name=name))
        if self._config.idle == "spin":
            stay_awake(loop.call_soon, self._take_commands)  # nobody has to ring
        else:
            loop.add_reader(self._doorbell, self._on_doorbell)
            self._drain_commands()
        self.connected.set()
        # These run until the stop; the first to end otherwise ends the role.
        done, _ = await asyncio.wait(set(tasks), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            error = None if task.cancelled() else task.exception()
            raise error or InvariantError(f"a task of the executor ended: {task.get_name()}")

    async def _open(self, orders: OrderVenue) -> None:
        failures = 0
        while True:
            try:
                await orders.open()
            except (CredentialError, UnfitAccountError) as error:
                self.fatal = error
                raise
            except VenueError as error:
                self.last_error = error
                failures += 1
                await asyncio.sleep(backoff_s(failures))
            else:
                return

    async def _await_instruments(self) -> Sequence[Instrument]:
        while True:
            instruments = self._read_instruments()
            if instruments:
                return instruments
            await asyncio.sleep(INSTRUMENTS_WAIT_S)

    def _learn(self, instruments: Sequence[Instrument]) -> None:
        assert self._orders is not None, "it knows instruments"
        self._orders.learn(instruments)
        self.known_count += len(instruments)

    async def _keep_beating(self) -> None:
        while True:
            self._beat()
            await asyncio.sleep(BEAT_S)

    async def _follow_clock(self, orders: OrderVenue) -> None:
        third_party = self._config.venue.third_party
        period_s = CLOCK_PERIOD_THIRD_PARTY_S if third_party else CLOCK_PERIOD_S
        waits = iter(CLOCK_FIRST_S)
        while True:
            await asyncio.sleep(next(waits, period_s))
            try:
                await orders.sample_clock()
                await orders.keep_warm()
            except VenueError as error:
                self.last_error = error

    async def _expire(self, orders: OrderVenue) -> None:
        while True:
            orders.expire(time.monotonic_ns())
            self._counts.store_gauges(self.waiting_count, self._line.written_count, self.dispatcher)
            await asyncio.sleep(BEAT_S)

    def _ask_stop(self) -> None:
        assert self._stop is not None, "the loop runs"
        self._stop.set()

    # Commands

    def _on_doorbell(self) -> None:
        self._take_commands()  # before the doorbell is quiet: it rings again for what comes now
        os.read(self._doorbell, EVENTFD_BYTES)
        self._drain_commands()

    def _drain_commands(self) -> None:
        """Take what is there, then ask to be woken; a command in between is seen by `arm`."""
        while self._take_commands() or not self._commands.arm():
            pass

    def _take_all_commands(self) -> None:
        while self._take_commands():
            pass

    def _take_commands(self) -> int:
        if self._taking:  # a command that is submitted makes nobody submit it again
            return 0
        self._taking = True
        first, count = self._commands.poll(COMMANDS_PER_TURN)
        for sequence in range(first, first + count):
            command = read_command(self._commands.read(sequence))
            self._table.publish(command.event_type, command)
        if count > 0:
            self._commands.advance(first + count)
        self._taking = False
        return count

    # Reports

    def _emit(self, report: Report) -> None:
        self._table.publish(report.event_type, report)

    def _publish_report(self, report: Report) -> None:
        self._publish(pack_report(report, time.monotonic_ns()))

    def _publish(self, record: bytes) -> None:
        direct = self._gate_open and not self._waiting
        if direct and self._reports.try_publish(record[SEQUENCE_BYTES:]) >= 0:
            self._kernel_wake.wake()
            return
        if len(self._waiting) >= REPORTS_WAITING_MAX:
            raise InvariantError(f"{REPORTS_WAITING_MAX} reports wait: the kernel takes none")
        self._waiting.append(record)
        self._retry_soon()

    def _retry_soon(self) -> None:
        if self._gate_open and not self._retrying:
            assert self._loop is not None, "the loop runs"
            self._retrying = True
            self._loop.call_later(RETRY_S, self._publish_waiting)

    def _publish_waiting(self) -> None:
        self._retrying = False
        while self._waiting:
            if self._reports.try_publish(self._waiting[0][SEQUENCE_BYTES:]) < 0:
                break
            self._waiting.popleft()
        self._kernel_wake.wake()
        if self._waiting:
            self._retry_soon()

    def _restore(self, records: list[bytes]) -> None:
        assert not self._gate_open, "restored once"
        self._restored = records
        self._waiting.extendleft(reversed(records))
        self._gate_open = True
        self._gate.set()
        self._publish_waiting()

    # Faults

    def _on_job_fault(self, name: str, error: BaseException) -> None:
        self._fail(InvariantError(f"job {name!r} failed: {error!r}"))

    def _on_loop_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        del loop
        error = context.get("exception")
        self._fail(error or InvariantError(str(context.get("message"))))

    def _fail(self, error: BaseException | None) -> None:
        if self.failure is None:
            self.failure = error
        if self._stop is not None:
            self._stop.set()


def _offload(dispatcher: Dispatcher) -> Offload:
    offers = [
        partial(_offer, dispatcher, priority)
        for priority in (Priority.CANCEL, Priority.ORDER, Priority.RECONCILE)
    ]
    return Offload(*offers)


def _offer(
    dispatcher: Dispatcher,
    priority: Priority,
    name: str,
    job: Callable[[], Coroutine[Any, Any, None]],
) -> bool:
    return dispatcher.submit(priority, name, job)
