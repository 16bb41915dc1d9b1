"""What a venue is to the engine: market data and orders behind two protocols, and one error tree.

Adapters translate wire bytes to domain values and back. Their errors are these and no others; a
library's exception is translated where it is caught, chained.

        VenueError
         |- VenueUnreachableError   nothing was sent: refused, no name, TLS, closed before the send
         |- OutcomeUnknownError     it was sent and no clear answer came; query, never resend
         |- NotExecutedError        the venue says it did not do it; may be tried again later
         |- RateLimitError          too many requests; wait `retry_after_s`, keep cancels
         |- ClockError              our timestamp is outside the venue's window; learn the clock
         |- CredentialError         key or signature refused; halt
         |- UnfitAccountError       the account is set so that the engine cannot trade it
         |- RejectedError           the venue refused this request for good; has `code`
         |   |- FilterError         price, quantity or format; refresh the instrument
         |   |- AlreadySetError     a setting is already what was asked for: as good as done
         |   `- OrderAbsentError    no such order; right after a send no proof of absence
         `- ProtocolError           bytes that are not the protocol

Business refusals of our own risk are values and never come through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from engine.domain.instrument_row import Instrument
from engine.venues.order_records import Command


class VenueError(Exception):
    """Something went wrong between us and a venue.

    Attributes:
        code: the venue's own number, 0 when it gave none.
        http_status: 0 when there was no answer.
    """

    def __init__(self, message: str, *, code: int = 0, http_status: int = 0) -> None:
        """Keep the venue's numbers beside the sentence."""
        super().__init__(message)
        self.code = code
        self.http_status = http_status


class VenueUnreachableError(VenueError):
    """Nothing was sent: the request certainly had no effect."""


class OutcomeUnknownError(VenueError):
    """The request left and no clear answer came: it may have had its effect."""


class NotExecutedError(VenueError):
    """The venue says that it did not execute the request; it may be sent again later."""


class RateLimitError(VenueError):
    """The venue asks us to stop; requests before `retry_after_s` make it worse."""

    def __init__(
        self, message: str, *, retry_after_s: float, code: int = 0, http_status: int = 0
    ) -> None:
        """Keep how long to wait."""
        super().__init__(message, code=code, http_status=http_status)
        self.retry_after_s = retry_after_s


class ClockError(VenueError):
    """The request's timestamp is outside the venue's window."""


class CredentialError(VenueError):
    """The key or the signature was refused."""


class UnfitAccountError(VenueError):
    """A setting of the account stands in the way; the message says which, and what to set."""


class RejectedError(VenueError):
    """The venue refused the request for good."""


class FilterError(RejectedError):
    """Price, quantity or format break a filter of the instrument."""


class InstrumentClosedError(RejectedError):
    """The venue takes no order of the instrument: it settles, is delivered or not open yet."""


class AlreadySetError(RejectedError):
    """The setting is already what was asked for."""


class OrderAbsentError(RejectedError):
    """The venue knows no such order, or no longer."""


class ProtocolError(VenueError):
    """The other side does not speak the protocol."""


class ClockSample(msgspec.Struct, frozen=True):
    """One answer of a venue's time endpoint; `sent_ns` and `received_ns` are monotonic."""

    sent_ns: int
    received_ns: int
    venue_ns: int


class MarketDataVenue(Protocol):
    """Where market data comes from. Streams are opened by the adapter, decoded in C."""

    @property
    def name(self) -> str:
        """Return the venue's name, as state is keyed by it."""
        ...

    async def fetch_instruments(self) -> Sequence[Instrument]:
        """Return the instruments that trade, in the venue's order."""
        ...

    async def fetch_clock(self) -> ClockSample:
        """Return one sample of the venue's clock."""
        ...

    async def fetch_book_snapshot(self, symbol: str, limit: int) -> bytes:
        """Return one book snapshot as the venue sent it."""
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...


class OrderVenue(Protocol):
    """Where orders go: commands in, reports out through the function given when it was made.

    What comes of a command is reported, never raised: acknowledged, refused, or unknown until a
    query answers. Runs on one event loop.
    """

    @property
    def name(self) -> str:
        """Return the venue's name, as state is keyed by it."""
        ...

    @property
    def in_flight_count(self) -> int:
        """Return how many orders await their first answer."""
        ...

    async def open(self) -> None:
        """Connect, learn the clock, check that the account is usable.

        Raises:
            VenueError: by kind; credentials and account mode are not worth a retry.
        """
        ...

    def learn(self, instruments: Sequence[Instrument]) -> None:
        """Take up more instruments, the next ones by index."""
        ...

    def restore(self, records: Sequence[bytes]) -> None:
        """Hear what earlier sessions knew, before the stream runs: RESTORE_* records."""
        ...

    async def run_stream(self) -> None:
        """Keep the stream of our own orders and fills up until cancelled."""
        ...

    async def sample_clock(self) -> None:
        """Ask the venue for its time, and report the clock.

        Raises:
            VenueError: by kind.
        """
        ...

    async def keep_warm(self) -> None:
        """Reconnect what the venue closed.

        Raises:
            VenueError: the venue cannot be reached.
        """
        ...

    def submit(self, command: Command) -> None:
        """Act on one command now."""
        ...

    def expire(self, now_ns: int) -> None:
        """Give up waiting for answers that are overdue at a monotonic time."""
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...
