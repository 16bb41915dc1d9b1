"""Conditional orders of ours at the venue's desk for them: placed, withdrawn, looked up.

        NEW        POST algoOrder       ORDER_SENT, then as the desk says; lost or late: UNKNOWN
        CANCEL     DELETE algoOrder     CANCELED; "no such order": it triggered, a lookup tells
        FETCH      GET algoOrder        as the desk says, or the order that it has become

A stop that trails says no price but a callback rate: the share of the price by which it follows.

They go by the same client ids as orders. The venue numbers them apart: `venue_order_id` stays 0
until the price is reached, and is then that of the market order that was born. From there on it is
cancelled and looked up as any order.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from engine.domain.codes import EVENT_REDUCE_ONLY, EventType, OrderStatus, OrderType
from engine.domain.instrument_row import Instrument
from engine.venues.binance.account import ask
from engine.venues.binance.errors import classify
from engine.venues.binance.order_context import OrderContext, reason_of
from engine.venues.binance.order_sender import CLOCK_ATTEMPTS_MAX, CODE_DUPLICATE_ID
from engine.venues.binance.order_views import AlgoView, decode_view
from engine.venues.binance.order_wire import SELF_TRADE
from engine.venues.binance.rest import Params
from engine.venues.order_records import Command, LocalReason
from engine.venues.venue import (
    ClockError,
    OutcomeUnknownError,
    ProtocolError,
    VenueError,
)

ALGO_PATH: Final = "/fapi/v1/algoOrder"
MS_PER_S: Final = 1_000
TRIGGER_PRICE: Final = "CONTRACT_PRICE"  # trades, as our own quotes follow them; not the mark
TENTHS: Final = 1_000  # of a per cent: the unit of callback rates, one at least
CALLBACK_TENTHS_MAX: Final = 200


def waits_at_the_desk(command: Command) -> bool:
    """Return whether a command is about a conditional order that has not become an order yet."""
    return command.order_type >= OrderType.STOP_MARKET and command.venue_order_id == 0


def callback_tenths(command: Command) -> int:
    """Return a trailing stop's rate, rounded away from the position; 0: none the venue takes.

    `price_ticks` is where the stop stood at the decision, so its rate is that of its distance to
    the mid then.
    """
    mid_half = command.mid_half_ticks
    if mid_half <= 0:
        return 0
    distance_half = abs(2 * command.price_ticks - mid_half)
    tenths = -(-distance_half * TENTHS // mid_half)
    return tenths if tenths <= CALLBACK_TENTHS_MAX else 0


def trigger_of(command: Command, instrument: Instrument) -> dict[str, str]:
    """Return what of a request says when its order is to be born."""
    if command.order_type != OrderType.TRAILING_STOP_MARKET:
        return {"triggerPrice": instrument.price_text(command.price_ticks)}
    percent, tenth = divmod(callback_tenths(command), 10)
    return {"callbackRate": f"{percent}.{tenth}"}


class ConditionalDesk:
    """The conditional orders of one account."""

    def __init__(self, context: OrderContext) -> None:
        """Prepare."""
        self._context = context

    def place(self, command: Command) -> None:
        """Place one, after what is more urgent; reports what comes of it."""
        trails = command.order_type == OrderType.TRAILING_STOP_MARKET
        if trails and callback_tenths(command) == 0:
            self._context.report_rejected(command, LocalReason.CALLBACK_RANGE)
        elif not self._context.offload.order("conditional order", partial(self._place, command, 1)):
            self._context.report_rejected(command, LocalReason.QUEUE_FULL)

    async def _place(self, command: Command, attempt: int) -> None:
        context = self._context
        if context.rest.blocked_s() > 0 or not context.rest.budget.has_room(1):
            context.report_rejected(command, LocalReason.RATE_PAUSED)
            return
        context.rest.budget.note_order()
        context.traded.add(command.instrument_index)
        if attempt == 1:
            sent = context.about(EventType.ORDER_SENT, command)
            context.emit(sent._replace(word_2=time.monotonic_ns()))
        try:
            response = await context.rest.request(
                "POST",
                ALGO_PATH,
                self._params(command),
                signed=True,
                timeout_s=context.account.order_timeout_ms / MS_PER_S,
            )
            error = classify(response)
            if error is not None:
                raise error
            self.report(self._read(response.body, command))
        except VenueError as failure:
            context.last_error = failure
            await self._not_accepted(command, failure, attempt)

    async def _not_accepted(self, command: Command, error: VenueError, attempt: int) -> None:
        context = self._context
        is_unclear = isinstance(error, OutcomeUnknownError | ProtocolError)
        if is_unclear or error.code == CODE_DUPLICATE_ID:
            reason = error.code or LocalReason.CONNECTION_LOST
            context.emit(context.about(EventType.ORDER_UNKNOWN, command, reason))
        elif isinstance(error, ClockError) and attempt < CLOCK_ATTEMPTS_MAX:
            try:
                await context.relearn_clock()
            except VenueError as failure:
                context.report_rejected(command, reason_of(failure))
                return
            await self._place(command, attempt + 1)  # it was certainly not executed
        else:
            context.report_rejected(command, reason_of(error))

    def _params(self, command: Command) -> Params:
        context = self._context
        instrument = context.instruments[command.instrument_index]
        reduces = command.flags & EVENT_REDUCE_ONLY != 0
        return {
            "algoType": "CONDITIONAL",
            "symbol": instrument.symbol,
            "side": "BUY" if command.side > 0 else "SELL",
            "type": OrderType(command.order_type).name,
            "quantity": instrument.qty_text(command.qty_lots),
            **trigger_of(command, instrument),
            "workingType": TRIGGER_PRICE,
            "reduceOnly": "true" if reduces else "",
            "selfTradePreventionMode": SELF_TRADE,  # not said, this desk prevents nothing
            "clientAlgoId": context.client_order_id(command),
        }

    async def cancel(self, command: Command) -> None:
        """Withdraw one that waits, and report that it is gone.

        Raises:
            VenueError: by kind; OrderAbsentError where it waits no longer.
        """
        context = self._context
        await self.withdraw(context.client_order_id(command))
        gone = OrderStatus.CANCELED
        context.emit(context.about(EventType.ORDER_UPDATE, command, order_status=gone))

    async def withdraw(self, client_order_id: str) -> None:
        """Withdraw one by its name alone, also one that nobody here remembers.

        Raises:
            VenueError: by kind; OrderAbsentError where it waits no longer.
        """
        which: Params = {"clientAlgoId": client_order_id}
        await ask(self._context.rest, "DELETE", ALGO_PATH, which, urgent=True)

    async def find(self, command: Command) -> AlgoView:
        """Return what the desk says of one.

        Raises:
            VenueError: by kind; OrderAbsentError where the desk does not know it.
        """
        which: Params = {"clientAlgoId": self._context.client_order_id(command)}
        return self._read(
            await ask(self._context.rest, "GET", ALGO_PATH, which, urgent=True), command
        )

    def _read(self, body: bytes, asked: Command) -> AlgoView:
        """Return an answer; one about another order proves nothing: ProtocolError."""
        view, name = decode_view(body, AlgoView), self._context.client_order_id(asked)
        if view.clientAlgoId != name:
            raise ProtocolError(f"{name} was asked about, not {view.symbol} {view.clientAlgoId}")
        return view

    def report(self, view: AlgoView) -> None:
        """Report one as the desk describes it.

        Raises:
            ProtocolError: it is not of an instrument that we trade.
        """
        report = self._context.reader.algo_report(view)
        if report is None:
            raise ProtocolError(f"an answer about {view.symbol}, which we do not trade")
        self._context.emit(report._replace(event_type=EventType.ORDER_UPDATE))
