"""An executor thread between local rings and an exchange of its own; the test plays the kernel."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from engine.config import Config, VenueConfig
from engine.domain.codes import EventType, OrderStatus, OrderType, Side, TimeInForce
from engine.domain.instrument_row import Instrument
from engine.domain.records import EVENT_DTYPE, MARKET_DTYPE
from engine.processes.brain_rings import EVENT_SLOT_BYTES, Rings
from engine.processes.executor import Executor
from engine.processes.executor_counts import ExecutorCounts
from ringbuffer.counters import PAGE_WORDS, CounterPage
from ringbuffer.ring import Ring
from tests.desk_rig import make_event
from tests.order_side import DEADLINE_MS, Exchange

DEADLINE_S = 30.0


class ExecutorRig:
    """Rings, an executor, and the exchange it talks to."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        key: str = "practice",
        secret: str = "practice",
        epoch: int = 1,
        rest_url: str = "",
        late_instruments: bool = False,
        idle: str = "auto",
    ) -> None:
        """Prepare; `start` starts the thread."""
        self.exchange = exchange
        self.instruments: Sequence[Instrument] = () if late_instruments else exchange.instruments()
        self.rings = Rings(
            Ring.local("market", 64, MARKET_DTYPE.itemsize, gating=(0,)),
            Ring.local("control", 64, EVENT_SLOT_BYTES, gating=(0,)),
            Ring.local("events", 64, EVENT_SLOT_BYTES, gating=(0,)),
        )
        self.page = CounterPage(memoryview(bytearray(8 * PAGE_WORDS)).cast("q"))
        self.beats = 0
        self.epoch = epoch
        self.told: list[np.void] = []
        config = Config(
            epoch=epoch,
            order_timeout_ms=DEADLINE_MS,
            idle=idle,
            venue=VenueConfig(
                rest_url=rest_url or exchange.url,
                stream_url=exchange.stream_url,
                order_url=exchange.stream_url,
                api_key=key,
                api_secret=secret,
            ),
        )
        self.executor = Executor(
            config,
            self.rings.commands_read,
            self.rings.reports,
            self.rings.doorbell,
            self.rings.market_ring,
            ExecutorCounts(self.page),
            line=self.rings.line,
            beat=self._beat,
            read_instruments=lambda: self.instruments,
        )

    def _beat(self) -> None:
        self.beats += 1

    def start(self, records: Sequence[np.ndarray] = ()) -> None:
        """Start, and feed back what an earlier session knew."""
        self.executor.start()
        last = make_event(EventType.RESTORE_END)
        self.executor.restore([record.tobytes() for record in (*records, last)])

    def stop(self) -> None:
        """End the thread and drop the rings."""
        self.executor.stop()
        self.rings.close()

    def command(self, event_type: EventType, **fields: int) -> np.ndarray:
        """Publish a command as the kernel does and return it."""
        record = make_event(event_type, epoch_low=self.epoch % 256, **fields)
        assert self.rings.commands.try_publish(record.tobytes()[8:]) >= 0
        self.rings.commands.wake()
        return record

    def order(self, sequence: int, qty_lots: int, side: Side = Side.BUY) -> np.ndarray:
        """Publish a market order."""
        return self.command(
            EventType.COMMAND_NEW,
            instrument_index=0,
            side=side,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.GTC,
            order_sequence=sequence,
            cause_sequence=50 + sequence,
            qty_lots=qty_lots,
            cause_receive_time_ns=time.monotonic_ns() - 1_000,
            decision_time_ns=time.monotonic_ns(),
        )

    def hear(self) -> list[np.void]:
        """Take what the executor reported so far; return everything heard."""
        first, count = self.rings.reports_read.poll(1_024)
        for sequence in range(first, first + count):
            raw = bytes(8) + self.rings.reports_read.read(sequence)
            self.told.append(np.frombuffer(raw, EVENT_DTYPE)[0])
        if count:
            self.rings.reports_read.advance(first + count)
        return self.told

    def wait(self, event_type: EventType, status: OrderStatus | None = None) -> np.void:
        """Return the first report of a type and order status."""

        def found() -> list[np.void]:
            return [
                record
                for record in self.hear()
                if record["event_type"] == event_type
                and status in {None, OrderStatus(int(record["order_status"]))}
            ]

        self.wait_until(lambda: bool(found()), f"no {event_type.name}, heard {self.kinds()}")
        return found()[0]

    def kinds(self) -> list[EventType]:
        """Return the types of what was heard."""
        return [EventType(int(record["event_type"])) for record in self.hear()]

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for a condition with a deadline."""
        deadline = time.monotonic() + DEADLINE_S
        while not holds():
            assert self.executor.failure is None, self.executor.failure
            assert time.monotonic() < deadline, what
            time.sleep(0.002)
