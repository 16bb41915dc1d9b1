"""What the parts of the order side share: the account, its client, and reports about commands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from engine.clock import VenueClock
from engine.domain.client_id import ClientId, encode_client_id, whole_epoch
from engine.domain.codes import EventType, OrderStatus
from engine.domain.instrument_row import Instrument
from engine.venues.binance.account import ORDER_PATH, KnownOrders, ask
from engine.venues.binance.countdown import PATH as COUNTDOWN_PATH
from engine.venues.binance.countdown import Countdown
from engine.venues.binance.errors import classify
from engine.venues.binance.order_line import KernelLine, LineEnd
from engine.venues.binance.order_session import OrderSession
from engine.venues.binance.order_views import (
    NS_PER_MS,
    AccountReader,
    OrderView,
    decode_view,
)
from engine.venues.binance.order_wire import Account, OrderEncoder, frame_wire
from engine.venues.binance.rest import BinanceRest, Params
from engine.venues.binance.signing import signer_of
from engine.venues.order_records import Command, LocalReason, Report, clock_report
from engine.venues.venue import (
    InstrumentClosedError,
    NotExecutedError,
    ProtocolError,
    RateLimitError,
    VenueError,
    VenueUnreachableError,
)

HTTP_METHODS: Final = {"order.cancel": "DELETE", "order.status": "GET", "order.modify": "PUT"}
LISTING_PATH: Final = "/fapi/v1/exchangeInfo"
TIME_PATH: Final = "/fapi/v1/time"
POST_ONLY_WOULD_TAKE: Final = -5022
OTHER_FEES_MAX: Final = 8  # assets told of
CLOCK_SPACING_S: Final = 0.05  # the endpoint answers in ms: 2 % of rate error at most

Job = Callable[[], Awaitable[None]]
Offer = Callable[[str, Job], bool]
Emit = Callable[[Report], None]


class Offload(NamedTuple):
    """Where work that is not a single write goes: one offer per class, False when full."""

    cancel: Offer
    order: Offer
    reconcile: Offer


class OrderContext:
    """One account's client and names, and the reports every part makes."""

    def __init__(
        self,
        account: Account,
        clock: VenueClock,
        instruments: Sequence[Instrument],
        emit: Emit,
        offload: Offload,
        kernel_line: KernelLine | None = None,
    ) -> None:
        """Prepare; nothing is opened. With a line, a connection is lent to the kernel thread."""
        self.account = account
        self.clock = clock
        self.instruments = instruments
        self.emit = emit
        self.offload = offload
        self.rest = BinanceRest(
            account.rest_url, clock, api_key=account.api_key, api_secret=account.api_secret
        )
        self.encoder = OrderEncoder(account, instruments)
        self.session = self._make_session()
        self.frames = frame_wire(account, instruments)
        self.line = self._make_line(kernel_line)
        self.reader = AccountReader(instruments, account.engine_tag, account.epoch)
        self.reader.on_other_fee = self._tell_other_fee
        self._other_fees: set[str] = set()
        self.known = KnownOrders()
        self.countdown = self._make_countdown()
        self.traded: set[int] = set()
        self.last_error: VenueError | None = None

    def _tell_other_fee(self, asset: str) -> None:
        """Say once that fees are paid in an asset which the books do not count."""
        if asset not in self._other_fees and len(self._other_fees) < OTHER_FEES_MAX:
            self._other_fees.add(asset)
            text = f"fees in {asset[:8]} are in no book (feeBurn)"
            self.emit(Report(EventType.EXECUTOR_FAULT, reason=LocalReason.OTHER_FEE, text=text))

    def _make_session(self) -> OrderSession | None:
        account = self.account
        signer = signer_of(account.api_secret)
        if not signer.logs_on or not account.order_url:
            return None
        return OrderSession(
            account.order_url,
            account.api_key,
            signer,
            self.clock,
            blocked_s=self.rest.blocked_s,
            learn_limits=self.rest.learn_limits,
            relearn_clock=self.relearn_clock,
        )

    def _make_countdown(self) -> Countdown | None:
        countdown_ms = self.account.countdown_ms
        return Countdown(countdown_ms, self._set_countdown) if countdown_ms else None

    async def _set_countdown(self, index: int, countdown_ms: int) -> object:
        symbol = self.instruments[index].symbol
        params: Params = {"symbol": symbol, "countdownTime": countdown_ms}
        return await ask(self.rest, "POST", COUNTDOWN_PATH, params)

    def _make_line(self, kernel_line: KernelLine | None) -> LineEnd | None:
        if kernel_line is None:
            return None
        wait_s = self.rest.budget.order_wait_s
        if self.session is not None:
            return LineEnd(kernel_line, self.session, self.clock, self.frames, wait_s)
        if signer_of(self.account.api_secret).logs_on:
            return None  # its requests are signed in Python
        return LineEnd(kernel_line, self.rest, self.clock, self.encoder.wire, wait_s)

    async def ask_order(self, method: str, params: Params) -> bytes:
        """Return the body of an answer about one order: over a session, else over HTTP.

        Args:
            method: as the session calls it.
            params: as `OrderEncoder.which` or `change` makes them.

        Raises:
            VenueError: by kind.
        """
        session = self.session
        http_method = HTTP_METHODS[method]
        if session is not None and session.is_ready:
            response = await session.ask(method, params)
        elif http_method == "GET":
            return await ask(self.rest, "GET", ORDER_PATH, params, urgent=True)
        else:
            request = self.encoder.encode_about(http_method, params, self.clock.now_ms())
            response = await self.rest.exchange_bytes(request)
        error = classify(response)
        if error is not None:
            raise error
        return response.body

    def learn(self, instruments: Sequence[Instrument]) -> None:
        """Take up more instruments, the next ones by index.

        What is lent to the kernel thread writes as before; the next line it gets knows them too.
        """
        self.instruments = [*self.instruments, *instruments]
        self.encoder = OrderEncoder(self.account, self.instruments)
        self.frames = frame_wire(self.account, self.instruments)
        self.reader.learn(self.instruments)
        if self.line is not None:
            self.line.change(self.encoder.wire if self.session is None else self.frames)

    async def sample_clock(self) -> None:
        """Ask the venue for its time, and report the clock.

        Raises:
            VenueError: by kind.
        """
        sent_ns = time.monotonic_ns()
        body = await ask(self.rest, "GET", TIME_PATH, signed=False)
        received_ns = time.monotonic_ns()
        venue_ms = decode_view(body, dict[str, int]).get("serverTime", 0)
        if venue_ms <= 0:
            raise ProtocolError(f"no serverTime in {body[:80]!r}")
        self.clock.learn(sent_ns, received_ns, venue_ms * NS_PER_MS)
        if self.line is not None:
            self.line.renew()
        self.emit(clock_report(self.clock))

    async def learn_limits(self) -> None:
        """Ask the venue how much it lets us ask and order."""
        try:
            # Urgent: what we hold back by may be wrong before this is known.
            body = await ask(self.rest, "GET", LISTING_PATH, signed=False, urgent=True)
            self.rest.budget.learn_limits(body)
        except VenueError as error:
            self.last_error = error  # the usual limits stand

    async def relearn_clock(self) -> None:
        """Learn the clock anew after the venue called a timestamp of ours wrong.

        One sample is enough for what is sent at once; a second one, soon after, finds the rate.

        Raises:
            VenueError: by kind.
        """
        self.clock.restart()
        if self.line is not None:
            self.line.release()
        await self.sample_clock()
        self.offload.reconcile("second clock sample", self._sample_clock_again)

    async def _sample_clock_again(self) -> None:
        await asyncio.sleep(CLOCK_SPACING_S)
        try:
            await self.sample_clock()
        except VenueError as error:
            self.last_error = error

    def client_order_id(self, command: Command) -> str:
        """Return the id under which an order was or will be sent.

        A command carries the low byte of its order's epoch: an order may rest from an earlier
        session, of the last 256.
        """
        if command.client_order_id:
            return command.client_order_id
        epoch = whole_epoch(self.account.epoch, command.epoch_low)
        identity = ClientId(
            epoch, command.strategy_index, command.order_sequence, command.cause_sequence
        )
        return encode_client_id(self.account.engine_tag, identity)

    def about(
        self, event_type: EventType, command: Command, reason: int = 0, order_status: int = 0
    ) -> Report:
        """Return a report about a command's order."""
        return Report(
            event_type,
            command.instrument_index,
            command.strategy_index,
            flags=command.flags,
            side=command.side,
            order_type=command.order_type,
            time_in_force=command.time_in_force,
            order_status=order_status,
            order_sequence=command.order_sequence,
            cause_sequence=command.cause_sequence,
            price_ticks=command.price_ticks,
            qty_lots=command.qty_lots,
            venue_order_id=command.venue_order_id,
            reason=int(reason),
            epoch_low=command.epoch_low,
            word_0=command.cause_receive_time_ns,
            word_1=command.decision_time_ns,
            text=self.client_order_id(command),
        )

    def report_rejected(self, command: Command, reason: int) -> None:
        """Report that an order was refused, or certainly not sent."""
        status = OrderStatus.REJECTED
        self.emit(self.about(EventType.ORDER_UPDATE, command, reason, status))

    def report_cancel_rejected(self, command: Command, reason: int) -> None:
        """Report that a cancel was refused, or certainly not sent."""
        self.emit(self.about(EventType.CANCEL_REJECTED, command, reason))

    def report_order(self, body: bytes, asked: Command | Report) -> None:
        """Report an order as an answer describes it, under the name it has here.

        Args:
            body: the answer.
            asked: about whose order the venue was asked; by its number where that is known.

        Raises:
            ProtocolError: the answer does not describe that order, so it says nothing about it.
        """
        view = decode_view(body, OrderView)
        report = self.reader.order_report(view, EventType.ORDER_UPDATE)
        name = asked.text if isinstance(asked, Report) else self.client_order_id(asked)
        number = asked.venue_order_id
        is_it = view.orderId == number if number else view.clientOrderId == name
        if report is None or report.instrument_index != asked.instrument_index or not is_it:
            raise ProtocolError(f"{name} was asked about, not {view.symbol} {view.clientOrderId}")
        report = self.reader.named(report, name)
        self.remember(report)
        self.emit(report)

    def remember(self, report: Report) -> None:
        """Keep what a report says about which order is whose."""
        if report.instrument_index >= 0:
            symbol = self.instruments[report.instrument_index].symbol
            self.known.add(symbol, report.venue_order_id, report.text)
            self.traded.add(report.instrument_index)
            if self.countdown is not None:
                self.countdown.note(report)


def reason_of(error: VenueError) -> int:
    """Return the number of an error for a report: the venue's own, else one of ours.

    A closed instrument is ours, and so is a quote that came too late: what follows is the same at
    every venue, whatever its number.
    """
    if error.code == POST_ONLY_WOULD_TAKE:
        return LocalReason.WOULD_TAKE
    if isinstance(error, InstrumentClosedError):
        return LocalReason.INSTRUMENT_CLOSED
    if error.code:
        return error.code
    if isinstance(error, RateLimitError):
        return LocalReason.RATE_PAUSED
    if isinstance(error, VenueUnreachableError):
        return LocalReason.NO_CONNECTION
    if isinstance(error, ProtocolError):
        return LocalReason.UNREADABLE
    if isinstance(error, NotExecutedError):
        return LocalReason.NOT_QUIET
    return LocalReason.CONNECTION_LOST
