"""The REST side: who may ask, what a request costs, which function answers it.

A route is a row of a table: method, path, weight, who may ask, function. Functions take the API
and a `Call` and return something to be sent as JSON, or raise ApiError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import orjson

from exchange.account import Account
from exchange.derived import DerivedStreams
from exchange.errors import ApiError
from exchange.http1 import Request, Response
from exchange.keys import signature_fits
from exchange.limits import Budgets, OverLimitError
from exchange.streams import Hub
from exchange.symbols import is_whole
from exchange.venue import Venue

OPEN = "open"  # anybody
KEYED = "keyed"  # an API key, no signature
SIGNED = "signed"
ORDER = "signed order"  # signed, and counts as an order instead of weight

DEFAULT_RECV_WINDOW_MS = 5_000
MAX_RECV_WINDOW_MS = 60_000
FUTURE_TOLERANCE_MS = 1_000

_NOBODY = Account("", "", 0)


@dataclass(slots=True)
class Call:
    """One request on its way to its function."""

    request: Request
    params: dict[str, str]
    account: Account


@dataclass(slots=True)
class Api:
    """What the functions of the routes work with."""

    venue: Venue
    hub: Hub
    derived: DerivedStreams
    budgets: Budgets
    skew_ms: int = 0  # by how much the clock of requests is off
    skew_hidden: bool = False  # the time request does not show it


Answer = Callable[[Api, Call], object]
Weight = int | Callable[[dict[str, str]], int]


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table; `weight` may depend on parameters."""

    security: str
    weight: Weight
    answer: Answer


RouteTable = dict[tuple[str, str], Route]


def table_of(rows: Iterable[tuple[str, str, str, Weight, Answer]]) -> RouteTable:
    """Return the table of rows of method, path, security, weight and what answers."""
    return {
        (method, path): Route(security, weight, answer)
        for method, path, security, weight, answer in rows
    }


class Raw(bytes):
    """JSON that is already encoded."""


def dispatch(api: Api, routes: RouteTable, request: Request) -> Response:
    """Answer one request, refusals included."""
    headers: list[tuple[str, str]] = []
    try:
        route = _route_of(routes, request)
        request.parse_params()
        call = Call(request, request.params, _NOBODY)
        _charge_weight(api, route, call, headers)
        if route.security in {SIGNED, ORDER}:
            call.account = prove(api, request)
        elif route.security == KEYED:
            call.account = _account_of(api, request)
        if route.security == ORDER:
            short, minute = api.budgets.use_order(call.account.key)
            headers.append(("X-MBX-ORDER-COUNT-10S", str(short)))
            headers.append(("X-MBX-ORDER-COUNT-1M", str(minute)))
        answer = route.answer(api, call)
    except OverLimitError as refusal:
        headers.append(("Retry-After", str(refusal.retry_after_s)))
        return Response(refusal.status, orjson.dumps(refusal.body()), headers)
    except ApiError as refusal:
        return Response(refusal.status, orjson.dumps(refusal.body()), headers)
    body = bytes(answer) if isinstance(answer, Raw) else orjson.dumps(answer)
    return Response(200, body, headers)


def _route_of(routes: RouteTable, request: Request) -> Route:
    route = routes.get((request.method, request.path))
    if route is None:
        raise ApiError(-1099, f"no route {request.method} {request.path}", status=404)
    return route


def _charge_weight(api: Api, route: Route, call: Call, headers: list[tuple[str, str]]) -> None:
    weight = route.weight if isinstance(route.weight, int) else route.weight(call.params)
    if weight:
        used = api.budgets.use_weight(call.request.peer, weight)
        headers.append(("X-MBX-USED-WEIGHT-1M", str(used)))


def prove(api: Api, request: Request) -> Account:
    """Return the account behind a request, once key, signature and time are found right.

    Raises:
        ApiError: when one of them is missing or wrong.
    """
    account = _account_of(api, request)
    if not _is_logged_on(request):
        _check_signature(account, request)
    _check_time(api, request.params)
    return account


def _is_logged_on(request: Request) -> bool:
    return bool(request.session_key) and not {"apiKey", "signature"} & request.params.keys()


def _account_of(api: Api, request: Request) -> Account:
    key = request.headers.get("x-mbx-apikey", "") or request.session_key
    if not key and request.payload is not None:
        raise ApiError(-1102, "Mandatory parameter 'apiKey' was not sent.")
    if not key:
        raise ApiError(-2014)
    account = api.venue.accounts.get(key)
    if account is None:
        raise ApiError(-2015)
    return account


def signed_text(query: str, body: str) -> str:
    """Return what a client signs: query and body as received, without the signature itself."""
    return _without_signature(query) + _without_signature(body)


def _without_signature(text: str) -> str:
    if "signature=" not in text:
        return text
    return "&".join(part for part in text.split("&") if not part.startswith("signature="))


def _check_signature(account: Account, request: Request) -> None:
    sent = request.params.get("signature", "")
    if not sent:
        raise ApiError(-1102, "Mandatory parameter 'signature' was not sent.")
    text = request.payload
    if text is None:
        text = signed_text(request.query, request.body.decode("utf-8", "replace"))
    if not signature_fits(account.secret, text, sent):
        raise ApiError(-1022)


def _check_time(api: Api, params: dict[str, str]) -> None:
    text = params.get("timestamp", "")
    if not is_whole(text):
        raise ApiError(-1102, "Mandatory parameter 'timestamp' was not sent or malformed.")
    window_text = params.get("recvWindow", str(DEFAULT_RECV_WINDOW_MS))
    if not is_whole(window_text) or int(window_text) > MAX_RECV_WINDOW_MS:
        raise ApiError(-1102, "Parameter 'recvWindow' is malformed or above 60000.")
    clock = api.venue.clock
    if clock.unlimited and clock.playing:
        return  # no client can know a time that jumps from event to event
    now_ms, tolerance = clock.now_ms() + api.skew_ms, clock.tolerance
    sent_ms = int(text)
    if sent_ms > now_ms + FUTURE_TOLERANCE_MS * tolerance:
        raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - sent_ms > int(window_text) * tolerance:
        raise ApiError(-1021)


def integer(params: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    """Return an integer parameter within its bounds.

    Raises:
        ApiError: -1102 when it is malformed or out of bounds.
    """
    text = params.get(name, "")
    if not text:
        return default
    if not is_whole(text) or not low <= int(text) <= high:
        raise ApiError(-1102, f"Parameter '{name}' is malformed or out of range.")
    return int(text)
