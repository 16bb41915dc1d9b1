"""Documents as HTTP answers: one shape for errors, the same headers on everything."""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec
import orjson
from msgspec import Struct
from starlette.responses import Response

from engine.web.bodies import Problem
from engine.web.gate import Refused

SECURITY_HEADERS: Final = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'"
    ),
}
# A page of its own, which holds its library; it may neither send nor load anything.
CHART_HEADERS: Final = SECURITY_HEADERS | {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'; sandbox allow-scripts"
    )
}


def document(found: Struct | dict[str, Any], status: int = 200) -> Response:
    """Return a document as JSON."""
    plain = msgspec.to_builtins(found) if isinstance(found, Struct) else found
    return Response(
        orjson.dumps(plain), status, media_type="application/json", headers=SECURITY_HEADERS
    )


def problem(status: int, error: str, missing: str = "") -> Response:
    """Return why nothing was done."""
    return document(Problem(error=error, missing=missing), status)


def refusal(refused: Refused) -> Response:
    """Return why a request was not admitted."""
    answer = problem(refused.status, refused.error)
    if refused.status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    if refused.wait_s:
        answer.headers["Retry-After"] = str(math.ceil(refused.wait_s))
    return answer
