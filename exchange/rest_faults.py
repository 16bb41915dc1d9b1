"""What happens to requests: refusals as the venue words them, late, broken and untrue answers.

Rules are looked at in the order in which they were armed; the first that fits is used. No socket.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import orjson

from exchange.errors import ApiError
from exchange.http1 import Request, Response

MAX_RULES = 1_000
DEPTH_PATH = "/fapi/v1/depth"
FULL_DEPTH = 1_000
RETRY_AFTER_S = {418: 120, 429: 10}  # when the order names none

Snapshot = dict[str, Any]
Alter = Callable[[Request, Response], Response]

_HTML = {
    403: b"<html><head><title>403 Forbidden</title></head><body>Request blocked.</body></html>",
    502: b"<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>",
    504: b"<html><head><title>504 Gateway Time-out</title></head><body>Time-out</body></html>",
}
_CODES: dict[int, tuple[int, str]] = {
    401: (-2015, "Invalid API-key, IP, or permissions for action."),
    408: (-1007, "Timeout waiting for response from backend server. Execution status unknown."),
    418: (-1003, "Way too many requests; IP banned until {until_ms}."),
    429: (-1003, "Too many requests; the request weight limit of this minute is used up."),
    451: (0, "Service unavailable from a restricted location."),
    500: (-1000, "An unknown error occurred while processing the request."),
    503: (-1001, "Service Unavailable."),
}


def refusal(status: int, retry_after_s: int | None, now_ms: int) -> Response:
    """Return a refusal by HTTP status, with Retry-After where the venue sends one."""
    seconds = RETRY_AFTER_S.get(status) if retry_after_s is None else retry_after_s
    headers = [] if seconds is None else [("Retry-After", str(seconds))]
    if status in _HTML:
        return Response(status, _HTML[status], headers)
    code, sentence = _CODES.get(status, (-1000, "Request refused."))
    text = sentence.format(until_ms=now_ms + 1000 * (seconds or 0))
    return Response(status, orjson.dumps({"code": code, "msg": text}), headers)


def _nobody() -> None:
    return None


@dataclass(slots=True, eq=False)
class RestRule:
    """What happens to the next matching requests."""

    path: str = "*"
    method: str = "*"
    symbol: str = ""  # empty: any
    count: int = 1
    answer: Response | None = None  # instead of the real one
    execute: bool = True  # the request has its effect all the same
    delay_ms: int = 0
    alter: Alter | None = None
    on_end: Callable[[], None] = _nobody
    uses: int = 0

    def fits(self, request: Request) -> bool:
        """Tell whether a request is meant."""
        if self.path not in {request.path, "*"} or self.method not in {request.method, "*"}:
            return False
        return not self.symbol or parse_qs(request.query).get("symbol") == [self.symbol]

    def respond(self, request: Request, dispatch: Callable[[Request], Response]) -> Response:
        """Return the answer to a request, having done it or not."""
        real = dispatch(request) if self.execute else None
        response = self.answer or real or Response(200, b"")
        return self.alter(request, response) if self.alter is not None else response


@dataclass(slots=True)
class RestFaults:
    """Armed rules in their order."""

    rules: list[RestRule] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rules)

    def add(self, rule: RestRule) -> None:
        """Arm a rule.

        Raises:
            ApiError: when there are as many as there may be.
        """
        if len(self.rules) >= MAX_RULES:
            raise ApiError(-1000, "too many faults are armed")
        self.rules.append(rule)

    def remove(self, rule: RestRule) -> None:
        """Disarm a rule; an absent one is no fault."""
        if rule in self.rules:
            self.rules.remove(rule)

    def match(self, request: Request) -> RestRule | None:
        """Take one use of the first rule that fits a request."""
        for rule in self.rules:
            if rule.fits(request):
                rule.uses += 1
                rule.count -= 1
                if rule.count <= 0:
                    self.rules.remove(rule)
                    rule.on_end()
                return rule
        return None


# Answers that are not true ------------------------------------------------------------------


def half_answer(_request: Request, response: Response) -> Response:
    """Let an answer stop in the middle of its body."""
    missing = len(response.body) - len(response.body) // 2
    return Response(response.status, response.body, response.headers, missing_bytes=missing)


def altered_snapshot(change: Callable[[Snapshot], Snapshot]) -> Alter:
    """Return what changes good snapshots; refusals stay as they are."""

    def alter(_request: Request, response: Response) -> Response:
        if response.status != 200:
            return response
        changed = change(orjson.loads(response.body))
        return Response(200, orjson.dumps(changed), response.headers)

    return alter


def moved_snapshot(ids: int) -> Alter:
    """Return what moves the id of a snapshot: below the stream, or above it."""
    return altered_snapshot(lambda s: s | {"lastUpdateId": max(0, s["lastUpdateId"] + ids)})


def crossed_snapshot(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot whose sides have changed places."""
    return snapshot | {"bids": snapshot["asks"], "asks": snapshot["bids"]}


def empty_snapshot(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot without levels."""
    return snapshot | {"bids": [], "asks": []}


def stale_snapshot(kept: Mapping[str, Snapshot]) -> Alter:
    """Return what answers with books of the past, cut to the limit that was asked for."""

    def alter(request: Request, response: Response) -> Response:
        query = parse_qs(request.query)
        snapshot = kept.get(query.get("symbol", [""])[0])
        if snapshot is None or response.status != 200:
            return response
        limit = int(query.get("limit", ["500"])[0])
        cut = {"bids": snapshot["bids"][:limit], "asks": snapshot["asks"][:limit]}
        return Response(200, orjson.dumps(snapshot | cut), response.headers)

    return alter
