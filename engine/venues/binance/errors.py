"""Binance answers to errors: which number means what, in one table.

The classes decide what happens next (see `engine.venues.venue`): unknown outcomes are queried,
never resent; what was certainly not executed may be sent again; the rest is final.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from engine.venues.binance.http import Response
from engine.venues.binance.refusals import retry_after_s, sentence
from engine.venues.venue import (
    AlreadySetError,
    ClockError,
    CredentialError,
    FilterError,
    InstrumentClosedError,
    NotExecutedError,
    OrderAbsentError,
    OutcomeUnknownError,
    RateLimitError,
    RejectedError,
    VenueError,
)

# Every code that an order, a request about one, or a setting can be answered with, by what it
# proves. A code that is not listed, of an answer that is a refusal, is a refusal for good.
ROWS: Final[tuple[tuple[type[VenueError], tuple[int, ...]], ...]] = (
    # It may have been executed: query by the client id, never send again.
    (OutcomeUnknownError, (-1000, -1006, -1007)),
    # Certainly not executed; may be sent again, after a query.
    (NotExecutedError, (-1001, -1008, -1016)),
    (RateLimitError, (-1003, -1015)),
    (ClockError, (-1021, -5028)),
    # The key or the signature: nothing more can be sent with it.
    (CredentialError, (-1002, -1022, -2014, -2015)),
    # The order breaks a filter, or the request its format.
    (
        FilterError,
        (
            *(-1013, -1100, -1101, -1102, -1103, -1104, -1105, -1106, -1111, -1114, -1115, -1116),
            *(-1117, -1121, -1128, -1130, -1135, -4001, -4002, -4003, -4004, -4005, -4013, -4014),
            *(-4015, -4016, -4023, -4024, -4029, -4030, -4131, -4164),
        ),
    ),
    (InstrumentClosedError, (-4108, -4141)),
    # No proof right after a send, and of a conditional order no proof at all.
    (OrderAbsentError, (-2011, -2013)),
    (AlreadySetError, (-4046, -4059, -4067)),
    # Refused by what the account or the order is; terminal for this order.
    (
        RejectedError,
        (
            *(
                -1125,
                -2007,
                -2010,
                -2018,
                -2019,
                -2020,
                -2021,
                -2022,
                -2024,
                -2025,
                -2026,
                -2027,
                -2028,
            ),
            *(-4000, -4028, -4045, -4047, -4048, -4061, -4068, -4116, -4118, -4120, -4130, -4136),
            *(-4137, -5021, -5022, -5024, -5025, -5026, -5027, -5047),
        ),
    ),
)
KIND_OF: Final[Mapping[int, type[VenueError]]] = {
    code: kind for kind, codes in ROWS for code in codes
}
REFUSED: Final = 400  # as an order alone is refused
TIMED_OUT = 408
FAULT = 500  # and above, of the venue or a gateway: a code nobody knows proves nothing
RATE_STATUS = frozenset({418, 429})
# The one 503 that says for certain that nothing was executed, besides the codes above. Any other, a
# gateway's on the way that writes these words into a page of its own too, leaves the outcome open.
NOT_EXECUTED_503 = "Service Unavailable"


class _Refusal(msgspec.Struct):
    code: int = 0
    msg: str = ""


_REFUSAL = msgspec.json.Decoder(_Refusal)


def classify(response: Response) -> VenueError | None:
    """Return the error an answer stands for, or None when it is a success."""
    if 200 <= response.status < 300:
        return None
    try:
        refusal = _REFUSAL.decode(response.body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        refusal = _Refusal()
    text = refusal.msg or response.body[:200].decode("utf-8", "replace")
    wait_s = retry_after_s(response.headers.get("retry-after", ""))
    message = f"HTTP {response.status}, code {refusal.code}: {text}"
    if response.status in {403, 418, 429, 451}:
        message = f"{sentence(response.status, wait_s)} ({text})"
    status, code = response.status, refusal.code
    if status in RATE_STATUS or KIND_OF.get(code) is RateLimitError:
        return RateLimitError(message, retry_after_s=wait_s, code=code, http_status=status)
    return _kind(response, refusal)(message, code=code, http_status=status)


def classify_row(row: bytes) -> VenueError | None:
    """Return the error a row of an answer about several orders stands for; None: it is an order."""
    try:
        code = _REFUSAL.decode(row).code
    except (msgspec.MsgspecError, UnicodeDecodeError):
        code = 0  # whoever reads the order says what is wrong
    return classify(Response(REFUSED, {}, row)) if code else None


def _kind(response: Response, refusal: _Refusal) -> type[VenueError]:
    code = refusal.code
    if code in KIND_OF:
        return KIND_OF[code]
    if response.status == 503:
        is_certain = refusal.msg.startswith(NOT_EXECUTED_503)
        return NotExecutedError if is_certain else OutcomeUnknownError
    if response.status == TIMED_OUT or response.status >= FAULT:
        return OutcomeUnknownError
    if code == 0 and response.status != 403:
        return OutcomeUnknownError  # an answer we cannot read proves nothing
    return RejectedError
