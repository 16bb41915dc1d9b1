"""Amendments, queries and fetches: what takes several requests and runs off the order's path."""

from __future__ import annotations

from functools import partial
from typing import Final

from engine.domain.client_id import EPOCH_LOW_MASK
from engine.domain.codes import EventType, OrderStatus
from engine.venues.binance.account import ORDER_PATH, AccountFetcher, ask
from engine.venues.binance.conditional import ConditionalDesk, waits_at_the_desk
from engine.venues.binance.order_context import OrderContext, reason_of
from engine.venues.binance.order_views import NS_PER_MS, OrderView, decode_view
from engine.venues.order_records import Command, LocalReason, Report
from engine.venues.venue import (
    OrderAbsentError,
    OutcomeUnknownError,
    ProtocolError,
    VenueError,
)

CODE_SAME_ALREADY: Final = -5027  # an amendment that would change nothing


class OrderErrands:
    """Runs the errands of one account through the process's priority dispatcher."""

    def __init__(
        self, context: OrderContext, fetcher: AccountFetcher, desk: ConditionalDesk
    ) -> None:
        """Prepare."""
        self._context = context
        self._fetcher = fetcher
        self._desk = desk

    def replace(self, command: Command) -> None:
        """Amend price and quantity of one order; then report what it is."""
        if not self._context.offload.order("amend", partial(self._replace, command)):
            self._context.report_cancel_rejected(command, LocalReason.QUEUE_FULL)

    def query(self, command: Command) -> None:
        """Ask the venue what became of one order."""
        if not self._context.offload.reconcile("query", partial(self.look_up, command)):
            self._report_unknown(command, LocalReason.QUEUE_FULL)

    def fetch(self, command: Command) -> None:
        """Fetch the whole account."""
        if not self._context.offload.reconcile("fetch", partial(self._fetch, command)):
            self._report_fetch_failed(command, LocalReason.QUEUE_FULL, "too much to do")

    async def _replace(self, command: Command) -> None:
        context = self._context
        if context.rest.blocked_s() > 0 or not context.rest.budget.has_room(1):
            context.report_cancel_rejected(command, LocalReason.RATE_PAUSED)
            return
        context.rest.budget.note_order()  # the venue counts an amendment as an order
        change = context.encoder.change(command, context.client_order_id(command))
        try:
            context.report_order(await context.ask_order("order.modify", change), command)
        except VenueError as error:
            context.last_error = error
            is_doubt = isinstance(error, OutcomeUnknownError | ProtocolError)
            if not is_doubt and error.code != CODE_SAME_ALREADY:
                context.report_cancel_rejected(command, reason_of(error))
            await self.look_up(command)  # what the order is now; an amendment is not sent again

    async def look_up(self, command: Command) -> None:
        """Ask the venue what became of one order, and report it."""
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
        context.report_order(body, command)

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
            context.report_order(await ask(context.rest, "DELETE", ORDER_PATH, which), order)
        except VenueError as error:
            context.last_error = error  # the next fetch lists the order again, if it still rests

    def _report_unknown(self, command: Command, reason: int) -> None:
        self._context.emit(self._context.about(EventType.ORDER_UNKNOWN, command, reason))

    def _report_fetch_failed(self, command: Command, reason: int, text: str) -> None:
        report = Report(EventType.FETCH_FAILED, reason=int(reason), request_id=command.request_id)
        self._context.emit(report._replace(text=text))
