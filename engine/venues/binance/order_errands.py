"""Cancels, queries and fetches: work that takes several requests and runs off the order's path."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from engine.domain.client_id import EPOCH_LOW_MASK
from engine.domain.codes import EventType, OrderStatus
from engine.venues.binance.account import ORDER_PATH, AccountFetcher, ask
from engine.venues.binance.conditional import ConditionalDesk, waits_at_the_desk
from engine.venues.binance.errors import classify
from engine.venues.binance.order_context import OrderContext, reason_of
from engine.venues.binance.order_views import NS_PER_MS, OrderView, decode_view
from engine.venues.order_records import Command, LocalReason, Report
from engine.venues.venue import (
    ClockError,
    NotExecutedError,
    OrderAbsentError,
    OutcomeUnknownError,
    ProtocolError,
    RateLimitError,
    VenueError,
    VenueUnreachableError,
)

ALGO_OPEN_PATH: Final = "/fapi/v1/algoOpenOrders"
CANCEL_ATTEMPTS_MAX: Final = 5
CANCEL_PAUSE_S: Final = 0.1
CODE_SAME_ALREADY: Final = -5027  # an amendment that would change nothing

Cancel = Callable[[Command], Awaitable[bool]]


class OrderErrands:
    """Runs the errands of one account through the process's priority dispatcher."""

    def __init__(
        self, context: OrderContext, fetcher: AccountFetcher, desk: ConditionalDesk
    ) -> None:
        """Prepare."""
        self._context = context
        self._fetcher = fetcher
        self._desk = desk

    def cancel(self, command: Command) -> None:
        """Cancel one order, repeating while the venue certainly did not act."""
        if not self._ahead("cancel", self._cancel, command):
            self._context.report_cancel_rejected(command, LocalReason.QUEUE_FULL)

    def replace(self, command: Command) -> None:
        """Amend price and quantity of one order; then report what it is."""
        if not self._context.offload.order("amend", partial(self._replace, command)):
            self._context.report_cancel_rejected(command, LocalReason.QUEUE_FULL)

    def cancel_all(self, command: Command) -> None:
        """Cancel every open order of an instrument, or of the account when its index is -1."""
        if not self._ahead("cancel all", self._cancel_all, command):
            self._report_cancel_all_failed(command, LocalReason.QUEUE_FULL)

    def query(self, command: Command) -> None:
        """Ask the venue what became of one order."""
        if not self._context.offload.reconcile("query", partial(self._query, command)):
            self._report_unknown(command, LocalReason.QUEUE_FULL)

    def fetch(self, command: Command) -> None:
        """Fetch the whole account."""
        if not self._context.offload.reconcile("fetch", partial(self._fetch, command)):
            self._report_fetch_failed(command, LocalReason.QUEUE_FULL, "too much to do")

    def _ahead(self, name: str, cancel: Cancel, command: Command) -> bool:
        """Run a cancel before all else, with fetches standing aside; False: there is no room."""
        rest = self._context.rest

        async def run() -> None:
            try:
                is_unclear = await cancel(command)
            finally:
                rest.clear_way()
            if is_unclear:
                await self._query(command)

        rest.need_way()
        is_taken = self._context.offload.cancel(name, run)
        if not is_taken:
            rest.clear_way()
        return is_taken

    async def _cancel(self, command: Command) -> bool:
        """Cancel one order; return whether the venue is to be asked what became of it."""
        for attempt in range(CANCEL_ATTEMPTS_MAX):
            error = await self._try_cancel(command)
            if error is None:
                return False
            self._context.last_error = error
            if isinstance(error, OutcomeUnknownError | ProtocolError):
                return True
            if isinstance(error, OrderAbsentError):
                # Filled, cancelled already, or not there yet: the query tells which.
                self._context.report_cancel_rejected(command, error.code)
                return True
            if isinstance(error, ClockError):
                await self._relearn_clock()
            elif isinstance(error, NotExecutedError | RateLimitError | VenueUnreachableError):
                await asyncio.sleep(CANCEL_PAUSE_S * 2**attempt)
            else:
                break
        assert error is not None, "the loop returns on success"
        self._context.report_cancel_rejected(command, reason_of(error))
        return False

    async def _try_cancel(self, command: Command) -> VenueError | None:
        context = self._context
        which = context.encoder.which(command, context.client_order_id(command))
        try:
            if waits_at_the_desk(command):
                await self._desk.cancel(command)
            else:
                context.report_order(await context.ask_order("order.cancel", which))
        except VenueError as failure:
            return failure
        return None

    async def _replace(self, command: Command) -> None:
        context = self._context
        if context.rest.blocked_s() > 0 or not context.rest.budget.has_room(1):
            context.report_cancel_rejected(command, LocalReason.RATE_PAUSED)
            return
        context.rest.budget.note_order()  # the venue counts an amendment as an order
        change = context.encoder.change(command, context.client_order_id(command))
        try:
            context.report_order(await context.ask_order("order.modify", change))
        except VenueError as error:
            context.last_error = error
            is_doubt = isinstance(error, OutcomeUnknownError | ProtocolError)
            if not is_doubt and error.code != CODE_SAME_ALREADY:
                context.report_cancel_rejected(command, reason_of(error))
            await self._query(command)  # what the order is now; an amendment is not sent again

    async def _cancel_all(self, command: Command) -> bool:
        context = self._context
        try:
            indexes = [command.instrument_index]
            if command.instrument_index < 0:
                indexes = await self._fetcher.instruments_with_orders()
            for index in indexes:
                request = context.encoder.encode_cancel_all(index, context.clock.now_ms())
                error = classify(await context.rest.exchange_bytes(request))
                if error is not None:
                    raise error
                symbol = context.instruments[index].symbol
                await ask(context.rest, "DELETE", ALGO_OPEN_PATH, {"symbol": symbol}, urgent=True)
        except VenueError as error:
            context.last_error = error
            self._report_cancel_all_failed(command, reason_of(error))
        return False

    async def _relearn_clock(self) -> None:
        try:
            await self._context.relearn_clock()
        except VenueError as error:
            self._context.last_error = error

    async def _query(self, command: Command) -> None:
        context = self._context
        try:
            if waits_at_the_desk(command):
                view = await self._desk.find(command)
                if view.child_id == 0:
                    self._desk.report(view)
                    return
                command = command._replace(venue_order_id=view.child_id)
            await self._tell_order(command)
        except OrderAbsentError as absent:
            # No proof right after a send: the kernel counts these and decides.
            nothing = OrderStatus.NONE
            context.emit(context.about(EventType.ORDER_UPDATE, command, absent.code, nothing))
        except VenueError as error:
            context.last_error = error
            self._report_unknown(command, reason_of(error))

    async def _tell_order(self, command: Command) -> None:
        """Ask for one order, and report its fills and what it is, under the name it has here."""
        context = self._context
        symbol = context.instruments[command.instrument_index].symbol
        name = context.client_order_id(command)
        body = await context.ask_order("order.status", context.encoder.which(command, name))
        view = decode_view(body, OrderView)
        context.known.add(symbol, view.orderId, name)
        if view.executedQty.strip("0."):
            for fill in await self._fetcher.fetch_order_fills(symbol, view.orderId):
                context.emit(fill)
        context.report_order(body, name)

    async def _fetch(self, command: Command) -> None:
        context = self._context
        begin_ns = context.clock.now_ms() * NS_PER_MS
        context.emit(
            Report(EventType.FETCH_BEGIN, venue_time_ns=begin_ns, request_id=command.request_id)
        )
        since_ms = command.since_venue_time_ns // NS_PER_MS
        resting = context.countdown.resting() if context.countdown else set()
        try:
            picture = await self._fetcher.take_picture(context.traded, since_ms)
        except VenueError as error:
            context.last_error = error
            self._report_fetch_failed(command, reason_of(error), str(error))
            return
        context.rest.budget.is_starting = False
        for report in picture.reports:
            self._fetcher.applied.tell(report, context.account.epoch & EPOCH_LOW_MASK)
            context.remember(report)
            context.emit(report._replace(request_id=command.request_id))
            if report.event_type == EventType.VENUE_ORDER:
                self._cancel_if_forgotten(report)
        if context.countdown is not None:
            context.countdown.forget_absent(resting, picture.reports)
        context.emit(
            Report(
                EventType.FETCH_END,
                venue_time_ns=picture.venue_ms * NS_PER_MS,
                request_id=command.request_id,
            )
        )

    def _cancel_if_forgotten(self, order: Report) -> None:
        # It rests from a home that was lost: whoever asked for it no longer remembers why.
        if self._context.reader.is_forgotten(order.text):
            # Full: the next fetch lists the order again.
            self._context.offload.cancel("forgotten order", partial(self._cancel_forgotten, order))

    async def _cancel_forgotten(self, order: Report) -> None:
        context = self._context
        symbol = context.instruments[order.instrument_index].symbol
        which: dict[str, str | int] = {"symbol": symbol, "orderId": order.venue_order_id}
        try:
            if order.venue_order_id == 0:
                await self._desk.withdraw(order.text)
                return
            context.report_order(await ask(context.rest, "DELETE", ORDER_PATH, which))
        except VenueError as error:
            context.last_error = error  # the next fetch lists the order again, if it still rests

    def _report_unknown(self, command: Command, reason: int) -> None:
        self._context.emit(self._context.about(EventType.ORDER_UNKNOWN, command, reason))

    def _report_fetch_failed(self, command: Command, reason: int, text: str) -> None:
        report = Report(EventType.FETCH_FAILED, reason=int(reason), request_id=command.request_id)
        self._context.emit(report._replace(text=text))

    def _report_cancel_all_failed(self, command: Command, reason: int) -> None:
        self._context.emit(
            Report(EventType.CANCEL_REJECTED, command.instrument_index, reason=int(reason))
        )
