"""Cancels: before all else, repeated while the venue certainly did not act, many in one request.

An order that the venue has numbered waits with the others of its instrument; whoever's turn it is
takes up to ten of them (DELETE batchOrders), so a halt amid a hundred orders asks ten times, and
one alone goes as ever. Each ends by its own row of the answer:

        the order            reported
        no such order        filled, cancelled already, or not there yet: refused, and looked up
        not executed, limit  goes again, with the others that do, a little later
        doubt, unreadable    looked up; so is all of a request that no answer came to
        any other refusal    refused for good
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from engine.domain.codes import EventType
from engine.venues.binance.account import AccountFetcher, ask
from engine.venues.binance.conditional import ConditionalDesk, waits_at_the_desk
from engine.venues.binance.errors import classify, classify_row
from engine.venues.binance.order_context import OrderContext, reason_of
from engine.venues.binance.order_views import decode_view
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
BATCH_MAX: Final = 10  # orders that the venue cancels by one request
REPEATED: Final = (ClockError, NotExecutedError, RateLimitError, VenueUnreachableError)
DOUBT: Final = (OutcomeUnknownError, ProtocolError)

Failed = list[tuple[Command, VenueError]]


class OrderCancels:
    """Runs the cancels of one account through the process's priority dispatcher."""

    def __init__(
        self,
        context: OrderContext,
        fetcher: AccountFetcher,
        desk: ConditionalDesk,
        look_up: Callable[[Command], Awaitable[None]],
    ) -> None:
        """Prepare.

        Args:
            context: the account's.
            fetcher: of the account.
            desk: where conditional orders are withdrawn.
            look_up: asks the venue what became of a command's order, and reports it.
        """
        self._context = context
        self._fetcher = fetcher
        self._desk = desk
        self._look_up = look_up
        # By instrument; never more than the dispatcher has jobs, each of which takes some.
        self._waiting: defaultdict[int, deque[Command]] = defaultdict(deque)

    def cancel(self, command: Command) -> None:
        """Cancel one order, with others of its instrument that wait."""
        index = command.instrument_index
        if command.venue_order_id == 0:
            is_taken = self._ahead("cancel", partial(self._cancel, (command,)))
        elif is_taken := self._ahead("cancels", partial(self._cancel_waiting, index)):
            self._waiting[index].append(command)
        if not is_taken:
            self._context.report_cancel_rejected(command, LocalReason.QUEUE_FULL)

    def cancel_all(self, command: Command) -> None:
        """Cancel every open order of an instrument, or of the account when its index is -1."""
        if not self._ahead("cancel all", partial(self._cancel_all, command)):
            self._report_all_failed(command, LocalReason.QUEUE_FULL)

    def _ahead(self, name: str, cancel: Callable[[], Awaitable[Sequence[Command]]]) -> bool:
        """Run cancels before all else, with fetches standing aside; False: there is no room."""
        rest = self._context.rest

        async def run() -> None:
            try:
                unclear = await cancel()
            finally:
                rest.clear_way()
            for command in unclear:
                await self._look_up(command)

        rest.need_way()
        is_taken = self._context.offload.cancel(name, run)
        if not is_taken:
            rest.clear_way()
        return is_taken

    async def _cancel_waiting(self, index: int) -> Sequence[Command]:
        waiting = self._waiting[index]
        commands = [waiting.popleft() for _ in range(min(len(waiting), BATCH_MAX))]
        return await self._cancel(commands)

    async def _cancel(self, commands: Sequence[Command]) -> Sequence[Command]:
        """Cancel orders of an instrument; return those that the venue is to be asked about."""
        context = self._context
        unclear: list[Command] = []
        for attempt in range(CANCEL_ATTEMPTS_MAX):
            failed = await self._try_cancel(commands)
            is_last = attempt == CANCEL_ATTEMPTS_MAX - 1
            again: Failed = []
            for command, error in failed:
                context.last_error = error
                if isinstance(error, REPEATED) and not is_last:
                    again.append((command, error))
                    continue
                if isinstance(error, (*DOUBT, OrderAbsentError)):
                    unclear.append(command)
                if not isinstance(error, DOUBT):
                    context.report_cancel_rejected(command, reason_of(error))
            if not again:
                break
            await self._pause(attempt, again)
            commands = [command for command, _ in again]
        return unclear

    async def _pause(self, attempt: int, failed: Failed) -> None:
        if not any(isinstance(error, ClockError) for _, error in failed):
            await asyncio.sleep(CANCEL_PAUSE_S * 2**attempt)
            return
        try:
            await self._context.relearn_clock()
        except VenueError as error:
            self._context.last_error = error

    async def _try_cancel(self, commands: Sequence[Command]) -> Failed:
        """Ask once; report what was cancelled and return what was not, with why."""
        if not commands:
            return []
        try:
            if len(commands) == 1:
                await self._cancel_one(commands[0])
                return []
            rows = await self._cancel_batch(commands)
        except VenueError as failure:
            return [(command, failure) for command in commands]
        failed: Failed = []
        for command, row in zip(commands, rows, strict=True):
            try:
                self._read_row(command, row)
            except VenueError as failure:
                failed.append((command, failure))
        return failed

    async def _cancel_one(self, command: Command) -> None:
        if waits_at_the_desk(command):
            await self._desk.cancel(command)
            return
        context = self._context
        which = context.encoder.which(command, context.client_order_id(command))
        context.report_order(await context.ask_order("order.cancel", which), command)

    async def _cancel_batch(self, commands: Sequence[Command]) -> list[msgspec.Raw]:
        """Ask for several; return a row of the answer for each."""
        context = self._context
        request = context.encoder.encode_cancels(commands, context.clock.now_ms())
        response = await context.rest.exchange_bytes(request)
        error = classify(response)
        if error is not None:
            raise error
        rows = decode_view(response.body, list[msgspec.Raw])
        if len(rows) != len(commands):
            raise ProtocolError(f"{len(rows)} rows about {len(commands)} cancels")
        return rows

    def _read_row(self, command: Command, row: msgspec.Raw) -> None:
        body = bytes(row)
        error = classify_row(body)
        if error is not None:
            raise error
        self._context.report_order(body, command)

    async def _cancel_all(self, command: Command) -> Sequence[Command]:
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
            self._report_all_failed(command, reason_of(error))
        return ()

    def _report_all_failed(self, command: Command, reason: int) -> None:
        self._context.emit(
            Report(EventType.CANCEL_REJECTED, command.instrument_index, reason=int(reason))
        )
