"""The order side against a practice exchange of its own: process, client, reports in order."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias

from engine.clock import VenueClock
from engine.domain.codes import (
    EVENT_REDUCE_ONLY,
    EventType,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)
from engine.domain.instrument_row import Instrument, step_parts, unit_e8
from engine.processes.dispatcher import Dispatcher, Priority
from engine.venues.binance.order_context import Offload
from engine.venues.binance.order_wire import Account
from engine.venues.binance.orders import BinanceOrders
from engine.venues.order_records import Command, Report
from engine.venues.venue import ClockError
from tests.exchange_process import PracticeExchange

DEADLINE_S = 20.0
DEADLINE_MS = 20_000  # for an answer, where a test says no other: a busy machine takes its time
Json: TypeAlias = Any  # whatever a test sends or the venue answers
_epochs = itertools.count(7)  # one per order side: ids of one exchange never repeat


class Exchange(PracticeExchange):
    """A practice exchange, and what an order side starts from."""

    def instruments(self) -> list[Instrument]:
        """Return what it lists."""
        listed = self.call("GET", "/fapi/v1/exchangeInfo")["symbols"]
        return [_instrument(index, symbol) for index, symbol in enumerate(listed)]

    def wait_for_quotes(self, symbol: str) -> tuple[str, str]:
        """Start the market and return the first bid and ask of a symbol."""
        self.call("POST", "/practice/play")
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                quote = self.call("GET", f"/fapi/v1/ticker/bookTicker?symbol={symbol}")
                if float(quote["bidPrice"]) > 0 and float(quote["askPrice"]) > 0:
                    return quote["bidPrice"], quote["askPrice"]
            time.sleep(0.02)
        raise AssertionError(f"no quote of {symbol}")


@contextlib.contextmanager
def running_exchange(*arguments: str) -> Iterator[Exchange]:
    """Run an exchange for the length of a block."""
    exchange = Exchange(*arguments)
    try:
        yield exchange
    finally:
        exchange.stop()


@contextlib.contextmanager
def quoted_exchange(instruments: int) -> Iterator[Exchange]:
    """Run an exchange of generated instruments that all have quotes."""
    with running_exchange("--generate", str(instruments), "--seed", "3") as running:
        for instrument in running.instruments():
            running.wait_for_quotes(instrument.symbol)
        yield running


def _instrument(index: int, symbol: dict[str, Any]) -> Instrument:
    filters = {row["filterType"]: row for row in symbol["filters"]}
    tick, lot = filters["PRICE_FILTER"]["tickSize"], filters["LOT_SIZE"]["stepSize"]
    tick_scaled, price_exponent = step_parts(tick)
    lot_scaled, qty_exponent = step_parts(lot)
    return Instrument(
        symbol=symbol["symbol"],
        quote="USDT",
        margin="USDT",
        instrument_index=index,
        price_exponent=price_exponent,
        qty_exponent=qty_exponent,
        tick_scaled=tick_scaled,
        lot_scaled=lot_scaled,
        unit_e8=unit_e8(tick, lot),
    )


class OrderSide:
    """The order side under test; `reports` holds everything it said, in order."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        key: str = "practice",
        secret: str = "practice",
        timeout_ms: int = DEADLINE_MS,
        epoch: int = 0,
        countdown_ms: int = 0,
    ) -> None:
        """Connect to a running exchange; use `open_order_side`."""
        self.exchange = exchange
        self.reports: list[Report] = []
        self.faults: list[str] = []
        self.instruments = exchange.instruments()
        self.clock = VenueClock()
        self.epoch = epoch or next(_epochs)
        self.dispatcher = Dispatcher(lambda name, error: self.faults.append(f"{name}: {error!r}"))
        account = Account(
            exchange.url,
            exchange.stream_url,
            key,
            secret,
            "a",
            self.epoch,
            timeout_ms,
            exchange.stream_url,
            countdown_ms,
        )
        self.orders = BinanceOrders(
            account, self.clock, self.instruments, self.reports.append, offload_to(self.dispatcher)
        )
        self.order_sequence = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connect, and wait for the user stream."""
        self.dispatcher.start()
        await self._open()
        self._tasks = [asyncio.create_task(self.orders.run_stream())]
        self._tasks.append(asyncio.create_task(self._expire()))
        await self.wait(EventType.VENUE_CONNECTED)

    async def _open(self) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                await self.orders.open()
            except ClockError:  # the sample took long: opened once more, as the executor does
                assert time.monotonic() < deadline
            else:
                return

    async def stop(self) -> None:
        """Close everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.dispatcher.close()
        await self.orders.close()

    async def _expire(self) -> None:
        while True:
            self.orders.expire(time.monotonic_ns())
            await asyncio.sleep(0.02)

    async def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for a condition with a deadline."""
        deadline = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < deadline, f"{what}; said so far: {self.reports}"
            await asyncio.sleep(0.005)

    async def wait(
        self, event_type: EventType, status: OrderStatus | None = None, first: int = 0
    ) -> Report:
        """Return the first report of a type (and order status) from position `first` on."""

        def found() -> list[Report]:
            return [
                report
                for report in self.reports[first:]
                if report.event_type == event_type and status in {None, report.order_status}
            ]

        await self.wait_until(lambda: bool(found()), f"no {event_type.name} {status}")
        return found()[0]

    def command(self, event_type: EventType, **fields: Json) -> Command:
        """Return a command with defaults for what is not given."""
        blank = Command(
            0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, self.epoch & 255, 1, 2, 0, "", 0
        )
        return blank._replace(event_type=event_type, **fields)

    def new_order(
        self,
        side: Side,
        qty_lots: int,
        price_ticks: int = 0,
        *,
        time_in_force: TimeInForce = TimeInForce.GTC,
        reduce_only: bool = False,
        **fields: Json,
    ) -> Command:
        """Submit an order, LIMIT when it has a price, and return its command."""
        self.order_sequence += 1
        command = self.command(
            EventType.COMMAND_NEW,
            side=side,
            order_type=OrderType.LIMIT if price_ticks else OrderType.MARKET,
            time_in_force=time_in_force,
            flags=EVENT_REDUCE_ONLY if reduce_only else 0,
            order_sequence=self.order_sequence,
            cause_sequence=1_000 + self.order_sequence,
            price_ticks=price_ticks,
            qty_lots=qty_lots,
            **fields,
        )
        self.orders.submit(command)
        return command

    def query(self, command: Command) -> None:
        """Ask for an order as the kernel does when it is unknown."""
        self.orders.submit(command._replace(event_type=EventType.COMMAND_FETCH))

    def of_type(self, *event_types: EventType) -> list[Report]:
        """Return the reports of some types."""
        return [report for report in self.reports if report.event_type in event_types]


def offload_to(dispatcher: Dispatcher) -> Offload:
    """Return the three classes of work of an order side as offers to a dispatcher."""
    return Offload(
        cancel=lambda name, job: dispatcher.submit(Priority.CANCEL, name, job),
        order=lambda name, job: dispatcher.submit(Priority.ORDER, name, job),
        reconcile=lambda name, job: dispatcher.submit(Priority.RECONCILE, name, job),
    )


@contextlib.asynccontextmanager
async def open_order_side(exchange: Exchange, **options: Json) -> AsyncIterator[OrderSide]:
    """Run an order side for the length of a block; faults of its jobs fail the test."""
    side = OrderSide(exchange, **options)
    try:
        await side.start()
        yield side
    finally:
        await side.stop()
    assert side.faults == [], side.faults
