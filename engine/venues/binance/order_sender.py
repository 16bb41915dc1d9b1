"""New orders: one write each, over a session or over HTTP, and what became of it.

        2xx                                   ORDER_UPDATE as the venue says
        refused, or certainly not executed    ORDER_UPDATE REJECTED with the code
        lost, late, 5xx, unreadable           ORDER_UNKNOWN; the kernel asks for a query
        clock outside the venue's window      learn the clock, send once more: it was not executed
        an entry decided too long ago         ORDER_UPDATE REJECTED (OVERDUE), nothing is written

Nothing else is ever sent a second time. An order that the kernel thread wrote itself (`order_line`)
is followed from there on exactly as one written here; it is written in the step that decided it, so
it cannot be overdue. Exits go however late: what is held must be closable.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Final, NamedTuple

from engine.domain.codes import COMMAND_ON_LINE, EVENT_ENTRY, EventType
from engine.domain.execution.router import SUBMISSION_NS_MAX
from engine.venues.binance.errors import classify
from engine.venues.binance.http import Response
from engine.venues.binance.order_context import OrderContext, reason_of
from engine.venues.binance.order_line import Written
from engine.venues.binance.order_views import NS_PER_MS
from engine.venues.order_records import Command, LocalReason, Report
from engine.venues.venue import (
    ClockError,
    CredentialError,
    OutcomeUnknownError,
    ProtocolError,
    VenueError,
)

CLOCK_ATTEMPTS_MAX: Final = 2
CODE_DUPLICATE_ID: Final = -4116


class _Sent(NamedTuple):
    answer: asyncio.Future[Response]
    deadline_ns: int


class OrderSender:
    """Sends new orders and tells what the venue answered."""

    def __init__(self, context: OrderContext) -> None:
        """Prepare."""
        self._context = context
        self._in_flight: dict[str, _Sent] = {}

    @property
    def in_flight_count(self) -> int:
        """Return how many orders await their first answer."""
        return len(self._in_flight)

    def submit(self, command: Command) -> None:
        """Follow an order that the kernel thread wrote, or send it."""
        line = self._context.line
        if command.order_status != COMMAND_ON_LINE:
            self.send(command)
            return
        assert line is not None, "a command on a line that this order side does not have"
        written = line.collect(self._context.client_order_id(command))
        if written is None:
            self.send(command)
        else:
            self._follow(command, written.answer, written.write_ns, attempt=1)
        line.arm()

    def send(self, command: Command, attempt: int = 1) -> None:
        """Write one order now, on an idle connection; reports what comes of it."""
        context = self._context
        if is_overdue(command, time.monotonic_ns()):
            context.report_rejected(command, LocalReason.OVERDUE)
            return
        if context.rest.blocked_s() > 0 or not self._has_room():
            context.report_rejected(command, LocalReason.RATE_PAUSED)
            return
        written = self._write(command)
        if written is None:
            job = partial(self._send_on_fresh_connection, command, attempt)
            if not context.offload.order("order", job):
                context.report_rejected(command, LocalReason.QUEUE_FULL)
            return
        # It is on its way; what follows is our own book-keeping.
        self._follow(command, written.answer, written.write_ns, attempt)

    def _has_room(self) -> bool:
        """Return whether the venue takes one more, besides what the kernel thread may write."""
        line, budget = self._context.line, self._context.rest.budget
        if line is None or not line.is_lent:
            return budget.has_room(1)
        if not budget.has_room(2):
            line.release()  # unless it has written already: then that one counts
        return budget.has_room(2 if line.is_lent else 1)

    def _write(self, command: Command) -> Written | None:
        """Write an order over the session, or over HTTP; None: no connection is idle."""
        context = self._context
        venue_ms = context.clock.now_ms()
        session = context.session
        if session is not None and session.is_ready:
            frame = context.frames.order(command, venue_ms)
            write_ns = time.monotonic_ns()
            rest = session.write(frame)
            if rest is not None:
                return Written(session.follow(rest, context.client_order_id(command)), write_ns)
        request = context.encoder.encode_order(command, venue_ms)
        write_ns = time.monotonic_ns()
        answer = context.rest.submit_bytes(request)
        return None if answer is None else Written(answer, write_ns)

    def expire(self, now_ns: int) -> None:
        """Give up waiting for answers that are overdue; their orders become unknown."""
        for sent in list(self._in_flight.values()):
            if now_ns >= sent.deadline_ns:
                sent.answer.cancel()

    def abandon(self) -> None:
        """Give up waiting for every answer: the orders become unknown, the connections close."""
        for sent in list(self._in_flight.values()):
            sent.answer.cancel()

    def _follow(
        self,
        command: Command,
        answer: asyncio.Future[Response],
        write_ns: int,
        attempt: int,
    ) -> None:
        context = self._context
        client_order_id = context.client_order_id(command)
        context.rest.budget.note_order()
        if attempt == 1:
            context.emit(context.about(EventType.ORDER_SENT, command)._replace(word_2=write_ns))
        deadline_ns = write_ns + context.account.order_timeout_ms * NS_PER_MS
        self._in_flight[client_order_id] = _Sent(answer, deadline_ns)
        context.traded.add(command.instrument_index)
        answer.add_done_callback(partial(self._answered, command, client_order_id, attempt))

    async def _send_on_fresh_connection(self, command: Command, attempt: int) -> None:
        try:
            await self._context.rest.connect(1)
        except VenueError:
            self._context.report_rejected(command, LocalReason.NO_CONNECTION)
            return
        self.send(command, attempt)

    def _answered(
        self,
        command: Command,
        client_order_id: str,
        attempt: int,
        answer: asyncio.Future[Response],
    ) -> None:
        self._in_flight.pop(client_order_id, None)
        error = _accepted(self._context, command, answer)
        if error is None:
            return
        self._context.last_error = error
        if isinstance(error, OutcomeUnknownError | ProtocolError):
            late = LocalReason.TIMEOUT if answer.cancelled() else LocalReason.CONNECTION_LOST
            self._doubt(command, error.code or late)
        elif error.code == CODE_DUPLICATE_ID:
            self._doubt(command, error.code)
        elif isinstance(error, ClockError) and attempt < CLOCK_ATTEMPTS_MAX:
            job = partial(self._send_after_clock, command, attempt + 1)
            if not self._context.offload.order("clock, then order", job):
                self._context.report_rejected(command, error.code)
        else:
            self._context.report_rejected(command, reason_of(error))
            if isinstance(error, CredentialError):
                fault = Report(EventType.EXECUTOR_FAULT, reason=error.code, text=str(error))
                self._context.emit(fault)

    async def _send_after_clock(self, command: Command, attempt: int) -> None:
        try:
            await self._context.relearn_clock()
        except VenueError as error:
            self._context.report_rejected(command, reason_of(error))
            return
        self.send(command, attempt)

    def _doubt(self, command: Command, reason: int) -> None:
        self._context.emit(self._context.about(EventType.ORDER_UNKNOWN, command, reason))


def is_overdue(command: Command, now_ns: int) -> bool:
    """Return whether a new order is an entry whose decision is too old to be sent."""
    return (
        command.flags & EVENT_ENTRY != 0 and now_ns - command.decision_time_ns > SUBMISSION_NS_MAX
    )


def _accepted(
    context: OrderContext, command: Command, answer: asyncio.Future[Response]
) -> VenueError | None:
    """Report the order an answer describes; otherwise return what the answer stands for."""
    if answer.cancelled():
        return OutcomeUnknownError("no answer in time")
    error = answer.exception()
    if error is not None:
        assert isinstance(error, VenueError), error
        return error
    response = answer.result()
    refusal = classify(response)
    if refusal is not None:
        return refusal
    try:
        context.report_order(response.body, command)
    except ProtocolError as unreadable:
        return unreadable
    return None
