"""The order side of Binance USD-M: commands in, reports out, and nothing in between is guessed.

        submit(command)                            emit(report)
          NEW        order_sender    one write, then by the answer
                     conditional     what waits for a price, at a desk of its own
                     order_line      or written by the kernel thread, and followed from there
          CANCEL     order_cancels   most urgent work of the process
          REPLACE    order_errands   an amendment under the same name
          FETCH      order_errands   one order, or the whole account as one consistent picture
                     user_stream     fills and changes, pushed

Fills come from the user stream and from fetches, each under the venue's trade id; an answer to an
order is never a fill. Nothing is raised from `submit`: what comes of a command is reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from engine.clock import VenueClock
from engine.domain.client_id import EPOCH_LOW_MASK
from engine.domain.codes import EventType
from engine.domain.instrument_row import Instrument
from engine.venues.binance.account import AccountFetcher
from engine.venues.binance.account_terms import (
    require_fees_in_quote,
    require_one_way_mode,
    set_terms,
)
from engine.venues.binance.conditional import ConditionalDesk, waits_at_the_desk
from engine.venues.binance.order_cancels import OrderCancels
from engine.venues.binance.order_context import Emit, Offload, OrderContext, reason_of
from engine.venues.binance.order_errands import OrderErrands
from engine.venues.binance.order_line import KernelLine
from engine.venues.binance.order_sender import OrderSender
from engine.venues.binance.order_wire import Account
from engine.venues.binance.user_events import UserEvents
from engine.venues.binance.user_stream import UserStream
from engine.venues.order_records import Command, LocalReason, Report, event_instrument
from engine.venues.venue import VenueError

CONNECTIONS: Final = 4  # kept warm; an order takes one until its answer


class BinanceOrders:
    """The order side of one account. One event loop; not for use from several threads."""

    def __init__(
        self,
        account: Account,
        clock: VenueClock,
        instruments: Sequence[Instrument],
        emit: Emit,
        offload: Offload,
        kernel_line: KernelLine | None = None,
    ) -> None:
        """Prepare; nothing is opened before `open`. With a line, the kernel thread writes too."""
        context = OrderContext(account, clock, instruments, emit, offload, kernel_line)
        self.context = context
        self.fill_count = 0
        self._connected = False
        fetcher = AccountFetcher(
            context.rest, context.reader, context.known, lambda: self.fill_count
        )
        self._desk = ConditionalDesk(context)
        self._errands = OrderErrands(context, fetcher, self._desk)
        self._cancels = OrderCancels(context, fetcher, self._desk, self._errands.look_up)
        self._funding = fetcher.funding
        self._applied = fetcher.applied
        self._epoch_low = account.epoch & EPOCH_LOW_MASK
        self._sender = OrderSender(context)
        self._stream = UserStream(
            context.rest,
            account.stream_url,
            context.reader,
            on_connected=self._stream_connected,
            on_events=self._stream_events,
            on_lost=self._stream_lost,
        )

    @property
    def name(self) -> str:
        """Return the venue's name, as state is keyed by it."""
        return "binance"

    @property
    def in_flight_count(self) -> int:
        """Return how many orders await their first answer."""
        return self._sender.in_flight_count

    async def open(self) -> None:
        """Connect, learn the clock, and see that the account is set as it must be.

        Raises:
            VenueError: unreachable, or the keys or the mode are not usable.
        """
        await self.keep_warm()  # a try before this one may have left some
        await self.context.sample_clock()
        context = self.context
        if context.rest.budget.request_wait_s(urgent=False):
            await context.learn_limits()  # those of this account may be wider than the usual ones
        await require_one_way_mode(context.rest)
        await require_fees_in_quote(context.rest)
        account = context.account
        await set_terms(context.rest, context.instruments, account.leverage, account.margin_type)
        self.context.offload.reconcile("limits", self.context.learn_limits)

    def learn(self, instruments: Sequence[Instrument]) -> None:
        """Take up more instruments, the next ones by index."""
        self.context.learn(instruments)

    def restore(self, records: Sequence[bytes]) -> None:
        """Ask for fills of the instruments that earlier sessions traded, but those they knew."""
        count = len(self.context.instruments)
        indexes = (event_instrument(record) for record in records)
        self.context.traded.update(index for index in indexes if 0 <= index < count)
        for record in records:
            self._applied.learn(record)

    async def run_stream(self) -> None:
        """Keep the user stream and the order session up until cancelled.

        Connection and loss of the stream are reported; without a session orders go over HTTP.
        """
        tasks = [asyncio.create_task(self._stream.run(), name="user stream")]
        if self.context.session is not None:
            job = self.context.session.run()
            tasks.append(asyncio.create_task(job, name="order session"))
        if self.context.countdown is not None:
            tasks.append(asyncio.create_task(self.context.countdown.run(), name="countdown"))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()  # neither ends by itself
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def sample_clock(self) -> None:
        """Ask the venue for its time, and report the clock.

        Raises:
            VenueError: by kind.
        """
        await self.context.sample_clock()

    async def keep_warm(self) -> None:
        """Reconnect what the venue closed, so that an order finds a connection.

        Raises:
            VenueError: the venue cannot be reached.
        """
        missing = CONNECTIONS - self.context.rest.idle_count - self.in_flight_count
        if missing > 0:
            await self.context.rest.connect(missing)

    async def close(self) -> None:
        """Close every connection; orders still in flight become unknown."""
        if self.context.line is not None:
            self.context.line.close()
        if self.context.countdown is not None:
            await self.context.countdown.disarm()
        self._sender.abandon()
        if self.context.session is not None:
            self.context.session.close()
        await asyncio.sleep(0)  # their callbacks give the connections back, closed
        await self.context.rest.close()

    def submit(self, command: Command) -> None:
        """Act on one command now."""
        if command.event_type == EventType.COMMAND_NEW and waits_at_the_desk(command):
            self._desk.place(command)
        elif command.event_type == EventType.COMMAND_NEW:
            self._sender.submit(command)
        elif command.event_type == EventType.COMMAND_CANCEL:
            self._cancels.cancel(command)
        elif command.event_type == EventType.COMMAND_REPLACE:
            self._errands.replace(command)
        elif command.event_type == EventType.COMMAND_CANCEL_ALL:
            self._cancels.cancel_all(command)
        elif command.event_type == EventType.COMMAND_FETCH and command.order_sequence > 0:
            self._errands.query(command)
        elif command.event_type == EventType.COMMAND_FETCH:
            self._errands.fetch(command)
        else:
            self.context.report_cancel_rejected(command, LocalReason.UNSUPPORTED)

    def expire(self, now_ns: int) -> None:
        """Give up waiting for answers that are overdue; their orders become unknown."""
        self._sender.expire(now_ns)
        if self.context.line is not None:
            self.context.line.arm()

    def _stream_connected(self) -> None:
        self._connected = True
        self._funding.expect()
        self.context.emit(Report(EventType.VENUE_CONNECTED))

    def _stream_lost(self, error: VenueError) -> None:
        self.context.last_error = error
        if self._connected:
            self.context.emit(Report(EventType.VENUE_DISCONNECTED, reason=reason_of(error)))
        self._connected = False

    def _stream_events(self, events: UserEvents) -> None:
        if events.child is not None:
            self.context.known.add(*events.child)
        for report in events.reports:
            if report.event_type == EventType.FILL:
                self.fill_count += 1
            elif report.event_type == EventType.FUNDING:
                self._funding.expect()
            self._applied.tell(report, self._epoch_low)
            self.context.remember(report)
            self.context.emit(report)
