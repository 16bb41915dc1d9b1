"""Binance answers to errors: which number means what, in one table.

The classes decide what happens next (see `engine.venues.venue`): unknown outcomes are queried,
never resent; what was certainly not executed may be sent again; the rest is final.
"""

from __future__ import annotations

import msgspec

from engine.venues.binance.http import Response
from engine.venues.binance.refusals import sentence
from engine.venues.venue import (
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

UNKNOWN_CODES = frozenset({-1006, -1007})
NOT_EXECUTED_CODES = frozenset({-1001, -1008})
RATE_CODES = frozenset({-1003, -1015})
CLOCK_CODES = frozenset({-1021})
CREDENTIAL_CODES = frozenset({-1022, -2014, -2015})
ABSENT_CODES = frozenset({-2011, -2013})
FILTER_CODES = frozenset(
    {-1013, -1102, -1111, -1121, -4003, -4005, -4014, -4016, -4023, -4024, -4131, -4164}
)
CLOSED_CODES = frozenset({-4108, -4141})
UNKNOWN_STATUS = frozenset({408, 500, 502, 504})
RATE_STATUS = frozenset({418, 429})
RETRY_AFTER_S = 30.0  # when the venue does not say
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
    message = f"HTTP {response.status}, code {refusal.code}: {text}"
    if response.status in {403, 418, 429, 451}:
        message = f"{sentence(response.status, retry_after_s(response))} ({text})"
    status, code = response.status, refusal.code
    if status in RATE_STATUS or code in RATE_CODES:
        return RateLimitError(
            message, retry_after_s=retry_after_s(response), code=code, http_status=status
        )
    return _kind(response, refusal)(message, code=code, http_status=status)


def retry_after_s(response: Response) -> float:
    """Return how long the answer asks us to wait."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdecimal() else RETRY_AFTER_S


def _kind(response: Response, refusal: _Refusal) -> type[VenueError]:
    code = refusal.code
    for codes, kind in _KINDS:
        if code in codes:
            return kind
    if response.status == 503:
        is_certain = refusal.msg.startswith(NOT_EXECUTED_503)
        return NotExecutedError if is_certain else OutcomeUnknownError
    if response.status in UNKNOWN_STATUS:
        return OutcomeUnknownError
    if code == 0 and response.status != 403:
        return OutcomeUnknownError  # an answer we cannot read proves nothing
    return RejectedError


_KINDS: tuple[tuple[frozenset[int], type[VenueError]], ...] = (
    (UNKNOWN_CODES, OutcomeUnknownError),
    (NOT_EXECUTED_CODES, NotExecutedError),
    (CLOCK_CODES, ClockError),
    (CREDENTIAL_CODES, CredentialError),
    (ABSENT_CODES, OrderAbsentError),
    (FILTER_CODES, FilterError),
    (CLOSED_CODES, InstrumentClosedError),
)
