"""Who may do what over HTTP: reading is free on loopback, changing needs the run's token.

The token is made at start, printed, kept in a file of mode 0600 and embedded in the page only when
the page is asked for from this machine. Host and Origin are checked on every state-changing route,
so that a foreign page in the operator's browser can neither read the token nor use it. The socket
says who the client is: a header that claims to know better can only take rights away.
"""

from __future__ import annotations

import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.requests import Request

TOKEN_HEADER = "x-aegis-token"  # noqa: S105  the header's name, not a token
PROXY_HEADERS = ("x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via")


def is_loopback_client(request: Request) -> bool:
    """Return whether the request comes from this machine, addressed as this machine.

    One that a proxy on this machine passed on comes from somewhere else.
    """
    if request.client is None or any(name in request.headers for name in PROXY_HEADERS):
        return False
    named = _names_loopback(request.headers.get("host", ""))
    return named and _is_loopback_address(request.client.host)


def refusal(request: Request, token: str) -> str:
    """Return why a state-changing request is refused; an empty string lets it pass."""
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    if origin is not None and not (host and origin in {f"http://{host}", f"https://{host}"}):
        return "Origin is not this server"
    local = request.client is not None and _is_loopback_address(request.client.host)
    # A name that resolves to loopback is how a foreign page would reach us.
    if local and not _names_loopback(host):
        return "Host is not a loopback name"
    given = request.headers.get(TOKEN_HEADER, "")
    bearer = request.headers.get("authorization", "")
    if bearer.startswith("Bearer "):
        given = bearer.removeprefix("Bearer ")
    if not hmac.compare_digest(given.encode(), token.encode()):
        return f"a token is needed in the {TOKEN_HEADER} header"
    return ""


def _is_loopback_address(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _names_loopback(host: str) -> bool:
    # An address, or the one name that no foreign server answers for.
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False  # a bracket that is open
    return name == "localhost" or _is_loopback_address(name)
