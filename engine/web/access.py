"""Where a request comes from, as far as the socket and the browser can be believed.

Host and Origin are checked on every state-changing route, so that a foreign page in the operator's
browser can use neither this machine's loopback nor a session's cookie. The socket says who the
client is: a header that claims to know better can only take rights away.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

TOKEN_HEADER = "x-aegis-token"  # noqa: S105  the header's name, not a token
ADDRESSES_MAX: Final = 64  # remembered, of who asks again; each fits a request's head
PROXY_HEADERS = ("x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via")


def is_loopback_client(request: Request) -> bool:
    """Return whether the request comes from this machine, addressed as this machine.

    One that a proxy on this machine passed on comes from somewhere else.
    """
    if request.client is None or any(name in request.headers for name in PROXY_HEADERS):
        return False
    named = names_loopback(request.headers.get("host", ""))
    return named and _is_loopback_address(request.client.host)


def foreign(request: Request) -> str:
    """Return why a state-changing request is a foreign page's; an empty string: it is not."""
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    if origin is not None and not (host and origin in {f"http://{host}", f"https://{host}"}):
        return "Origin is not this server"
    local = request.client is not None and _is_loopback_address(request.client.host)
    # A name that resolves to loopback is how a foreign page would reach us.
    if local and not names_loopback(host):
        return "Host is not a loopback name"
    return ""


def credential(request: Request) -> str | None:
    """Return the token that a request carries in a header; None: it carries none."""
    bearer = request.headers.get("authorization")
    if bearer is not None:
        return bearer.removeprefix("Bearer ") if bearer.startswith("Bearer ") else ""
    return request.headers.get(TOKEN_HEADER)


def address(request: Request) -> str:
    """Return the client's address as the socket knows it."""
    return request.client.host if request.client is not None else ""


def names_loopback(host: str) -> bool:
    """Return whether a Host is an address of this machine, or the one name nobody else has."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False  # a bracket that is open
    return name == "localhost" or _is_loopback_address(name)


@lru_cache(ADDRESSES_MAX)
def _is_loopback_address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False
