"""The order API over a WebSocket: requests as JSON frames, and a session that is logged on once.

        {"id": 1, "method": "order.place", "params": {...}}
        {"id": 1, "status": 200, "result": {...}, "rateLimits": [...]}
        {"id": 1, "status": 400, "error": {"code": -1102, "msg": "..."}, "rateLimits": [...]}

A method is a REST request by another door: the same functions answer it, at the same price and
through the same faults, which name it by its path. A signature covers the parameters, sorted by
name. After `session.logon`, for which only an Ed25519 key serves, apiKey and signature may be left
out; a request that names a key has to be signed with it all the same. User events do not come here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import orjson

from exchange import frames
from exchange.errors import ApiError
from exchange.http1 import Request, Response
from exchange.keys import is_ed25519
from exchange.limits import Budgets, OverLimitError
from exchange.rest import prove

if TYPE_CHECKING:
    from exchange.connection import Connection
    from exchange.server import Exchange

PATH = "/ws-fapi/v1"
ORDERS = "orders"  # the category of these connections
HANDSHAKE_WEIGHT = 5
ID_CHARACTERS_MAX = 36

METHODS: dict[str, tuple[str, str]] = {
    "ping": ("GET", "/fapi/v1/ping"),
    "time": ("GET", "/fapi/v1/time"),
    "depth": ("GET", "/fapi/v1/depth"),
    "ticker.price": ("GET", "/fapi/v1/ticker/price"),
    "ticker.book": ("GET", "/fapi/v1/ticker/bookTicker"),
    "order.place": ("POST", "/fapi/v1/order"),
    "order.modify": ("PUT", "/fapi/v1/order"),
    "order.cancel": ("DELETE", "/fapi/v1/order"),
    "order.status": ("GET", "/fapi/v1/order"),
    "algoOrder.place": ("POST", "/fapi/v1/algoOrder"),
    "algoOrder.cancel": ("DELETE", "/fapi/v1/algoOrder"),
    "account.balance": ("GET", "/fapi/v2/balance"),
    "v2/account.balance": ("GET", "/fapi/v2/balance"),
    "account.status": ("GET", "/fapi/v2/account"),
    "v2/account.status": ("GET", "/fapi/v2/account"),
    "account.position": ("GET", "/fapi/v2/positionRisk"),
    "v2/account.position": ("GET", "/fapi/v3/positionRisk"),
    "userDataStream.start": ("POST", "/fapi/v1/listenKey"),
    "userDataStream.ping": ("PUT", "/fapi/v1/listenKey"),
    "userDataStream.stop": ("DELETE", "/fapi/v1/listenKey"),
}
SESSION_METHODS = frozenset({"session.logon", "session.status", "session.logout"})

_LIMIT_OF_HEADER = {
    "X-MBX-USED-WEIGHT-1M": ("REQUEST_WEIGHT", "MINUTE", 1),
    "X-MBX-ORDER-COUNT-10S": ("ORDERS", "SECOND", 10),
    "X-MBX-ORDER-COUNT-1M": ("ORDERS", "MINUTE", 1),
}


def handshake_refusal(budgets: Budgets, request: Request) -> Response | None:
    """Charge a handshake of the order API; return the refusal when the budget is used up."""
    try:
        budgets.use_weight(request.peer, HANDSHAKE_WEIGHT)
    except OverLimitError as refusal:
        headers = [("Retry-After", str(refusal.retry_after_s))]
        return Response(refusal.status, orjson.dumps(refusal.body()), headers)
    return None


class OrderSession:
    """One connection of the order API, and who is logged on over it."""

    def __init__(self, exchange: Exchange, connection: Connection, handshake: Request) -> None:
        """Start with nobody logged on; a client may do without the rate limits of each answer."""
        self._exchange = exchange
        self._connection = connection
        self._peer = handshake.peer
        self._shows_limits = parse_qs(handshake.query).get("returnRateLimits") != ["false"]
        self._connected_ms = exchange.clock.now_ms()
        self._authorised_ms: int | None = None
        self.key = ""  # of who is logged on

    def take(self, text: bytes) -> None:
        """Carry out one frame and answer it; later frames do not wait for a delayed answer."""
        response, delay_s = self._answer(text)
        if delay_s > 0:
            asyncio.get_running_loop().call_later(delay_s, self._send, response)
        else:
            self._send(response)
        self._exchange.player.deliver()

    def _send(self, response: Response) -> None:
        if response.status < 0:  # a fault: no answer and a dead connection, as in HTTP
            self._connection.abort()
            return
        payload = frames.frame(frames.TEXT, response.body)
        self._connection.write_answer(payload, response.missing_bytes)

    def _answer(self, text: bytes) -> tuple[Response, float]:
        try:
            request_id, request = self._read(text)
        except ApiError as refusal:
            return self._framed(None, Response(refusal.status, orjson.dumps(refusal.body()))), 0.0
        own = self._session if request.path.startswith(PATH) else None
        response, delay_s = self._exchange.answer(request, own=own)
        if response.status < 0:
            return response, delay_s
        shows = request.params.get("returnRateLimits", "") != "false" and self._shows_limits
        return self._framed(request_id, response, shows_limits=shows), delay_s

    def _read(self, text: bytes) -> tuple[object, Request]:
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise ApiError(-1135) from None
        if not isinstance(message, dict) or not isinstance(message.get("params", {}), dict):
            raise ApiError(-1135)
        request_id, method = message.get("id"), message.get("method")
        if not isinstance(request_id, str | int | None) or len(str(request_id)) > ID_CHARACTERS_MAX:
            raise ApiError(-1135, "The id is a number or a text of at most 36 characters.")
        params = {name: _text_of(entry) for name, entry in message.get("params", {}).items()}
        verb, path = METHODS.get(str(method), ("POST", f"{PATH}/{method}"))
        signed = sorted(f"{name}={entry}" for name, entry in params.items() if name != "signature")
        request = Request(verb, path, "", {}, b"", 0, self._peer, params)
        request.payload = "&".join(signed)
        request.session_key = self.key
        if "apiKey" in params:
            request.headers["x-mbx-apikey"] = params["apiKey"]
        return request_id, request

    def _framed(
        self, request_id: object, response: Response, *, shows_limits: bool = False
    ) -> Response:
        word = "result" if response.status == 200 else "error"
        body = self._body(response)
        answer: dict[str, object] = {"id": request_id, "status": response.status, word: body}
        if shows_limits:
            answer["rateLimits"] = self._limits(response)
        frame = orjson.dumps(answer)
        missing = len(frame) // 2 if response.missing_bytes else 0
        return Response(response.status, frame, missing_bytes=missing)

    def _body(self, response: Response) -> object:
        if response.body[:1] not in {b"{", b"["}:  # a page of somebody on the way
            return response.body.decode("utf-8", "replace")
        seconds = dict(response.headers).get("Retry-After")
        if response.status == 200 or seconds is None:
            return orjson.Fragment(response.body)
        now_ms = self._exchange.clock.now_ms()
        times = {"serverTime": now_ms, "retryAfter": now_ms + 1_000 * int(seconds)}
        return orjson.loads(response.body) | {"data": times}

    def _limits(self, response: Response) -> list[dict[str, object]]:
        used = {name: text for name, text in response.headers if name in _LIMIT_OF_HEADER}
        rows = {
            (row["rateLimitType"], row["interval"], row["intervalNum"]): row
            for row in self._exchange.api.budgets.limits.view()
        }
        return [rows[_LIMIT_OF_HEADER[name]] | {"count": int(text)} for name, text in used.items()]

    # The session itself ---------------------------------------------------------------------

    def _session(self, request: Request) -> Response:
        try:
            self._change(request)
        except ApiError as refusal:
            return Response(refusal.status, orjson.dumps(refusal.body()))
        return Response(200, orjson.dumps(self._view()))

    def _change(self, request: Request) -> None:
        method = request.path.removeprefix(f"{PATH}/")
        if method not in SESSION_METHODS:
            raise ApiError(-1099, f"Unknown method {method[:64]}.")
        if method == "session.logon":
            self._log_on(request)
        elif method == "session.logout":
            self.key, self._authorised_ms = "", None

    def _log_on(self, request: Request) -> None:
        account = self._exchange.venue.accounts.get(request.params.get("apiKey", ""))
        if account is not None and not is_ed25519(account.secret):
            raise ApiError(-1022, "Only an Ed25519 key may log a session on.")
        request.session_key = ""  # a second logon is proven like the first
        self.key = prove(self._exchange.api, request).key
        self._authorised_ms = self._exchange.clock.now_ms()

    def _view(self) -> dict[str, Any]:
        return {
            "apiKey": self.key or None,
            "authorizedSince": self._authorised_ms,
            "connectedSince": self._connected_ms,
            "returnRateLimits": self._shows_limits,
            "serverTime": self._exchange.clock.now_ms(),
        }


def _text_of(entry: object) -> str:
    """Return a JSON value as a signature covers it.

    Raises:
        ApiError: -1135 for an object or a list, which no request takes.
    """
    if isinstance(entry, bool):
        return "true" if entry else "false"
    if isinstance(entry, dict | list):
        raise ApiError(-1135)
    return "" if entry is None else str(entry)
