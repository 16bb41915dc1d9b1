"""What a refusal means for the operator, in one sentence each: statuses, names, sockets, TLS.

The venue answers a request or an upgrade with a status; what to do about it is not in the number.
"""

from __future__ import annotations

import socket
import ssl
from typing import Final

from engine.venues.binance.attempts import PAUSE_MAX_S
from engine.venues.binance.http import whole_number
from engine.venues.venue import RateLimitError, VenueError, VenueUnreachableError

SENTENCES: Final = {
    403: "HTTP 403: the venue's web firewall refused this address or request; look at proxy, VPN "
    "and base address, and wait before another try",
    404: "HTTP 404: there is no such path; the base address must have no category behind it",
    418: "HTTP 418: this address is banned for {wait} because requests went on after a 429; "
    "nothing is tried before",
    429: "HTTP 429: too many requests from this address; the next is taken in {wait}",
    451: "HTTP 451: the venue does not serve the place this address is in; run where it does, or "
    "use its test network",
}
BUSY: Final = "HTTP {status}: the venue is busy or down; it is tried again with growing pauses"
ODD: Final = (
    "HTTP {status} instead of an upgrade: something on the way answered, such as a proxy's page"
)
FINAL_STATUS: Final = frozenset({403, 404, 451})  # asking again soon changes nothing
FINAL_PAUSE_S: Final = 60.0
RETRY_AFTER_S: Final = 60.0  # when a 429 or a 418 does not say


def sentence(status: int, retry_after_s: float = RETRY_AFTER_S) -> str:
    """Return what a status means; empty: nothing more than the number says."""
    if status in SENTENCES:
        return SENTENCES[status].format(wait=_duration(retry_after_s))
    return BUSY.format(status=status) if status >= 500 else ""


def retry_after_s(told: str) -> float:
    """Return how long a refusal's Retry-After asks us to wait; at most the longest ban there is."""
    wait_s = whole_number(told)
    return RETRY_AFTER_S if wait_s is None else min(float(wait_s), PAUSE_MAX_S)


def upgrade_error(status: int, headers: dict[str, str]) -> VenueError:
    """Return the error of an upgrade that was answered with another status than 101."""
    wait_s = retry_after_s(headers.get("retry-after", ""))
    said = sentence(status, wait_s) or ODD.format(status=status)
    if status in {418, 429}:
        return RateLimitError(said, retry_after_s=wait_s, http_status=status)
    return VenueUnreachableError(said, http_status=status)


def socket_error(host: str, port: int, error: OSError | TimeoutError) -> VenueUnreachableError:
    """Return the error of a connection that did not come about."""
    place = f"{host}:{port}"
    if isinstance(error, socket.gaierror):
        said = f"{host}: the name does not resolve ({error.strerror or error}); look at DNS"
    elif isinstance(error, ssl.SSLCertVerificationError):
        said = f"{place}: its certificate is not trusted here ({error.verify_message})"
    elif isinstance(error, ssl.SSLError):
        said = f"{place}: no TLS ({error})"
    elif isinstance(error, ConnectionRefusedError):
        said = f"{place}: nobody listens there"
    elif isinstance(error, TimeoutError):
        said = f"{place}: no answer in time; look at network and firewall"
    else:
        said = f"{place}: {error}"
    return VenueUnreachableError(said)


def pause_s(error: VenueError) -> float:
    """Return how long at least to wait after an error; 0: as the back-off says."""
    if isinstance(error, RateLimitError):
        return error.retry_after_s
    return FINAL_PAUSE_S if error.http_status in FINAL_STATUS else 0.0


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
