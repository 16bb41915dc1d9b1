"""Control messages of a stream connection: what a client may ask, and the answer to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import orjson

from exchange.streams import MAX_STREAMS

CONTROL_PER_SECOND = 10  # inbound control messages a client may send


class ControlBudget:
    """How many control messages came in this second."""

    def __init__(self) -> None:
        """Start with none."""
        self._second = 0
        self._count = 0

    def use(self, now_s: float) -> bool:
        """Count a message; False when it is one too many."""
        second = int(now_s)
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        return self._count <= CONTROL_PER_SECOND


class Subscriber(Protocol):
    """What a control message can change."""

    def subscribe(self, names: list[str]) -> bool:
        """Subscribe to streams; False when they are too many."""

    def unsubscribe(self, names: list[str]) -> None:
        """Undo subscriptions."""

    def subscriptions(self) -> Iterable[str]:
        """Return what is subscribed, delivered or not."""


def answer_to(text: bytes, subscriber: Subscriber) -> bytes:
    """Carry out one control message and return its answer."""
    try:
        message = orjson.loads(text)
        method, request_id = message["method"], message.get("id")
        params = [str(name) for name in message.get("params") or []]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return _refusal("Invalid request", None)
    result: list[str] | None = None
    if method == "SUBSCRIBE":
        if not subscriber.subscribe(params):
            return _refusal(f"more than {MAX_STREAMS} streams", request_id)
    elif method == "UNSUBSCRIBE":
        subscriber.unsubscribe(params)
    elif method == "LIST_SUBSCRIPTIONS":
        result = list(subscriber.subscriptions())
    else:
        return _refusal(f"unknown method {method}", request_id)
    return orjson.dumps({"result": result, "id": request_id})


def _refusal(sentence: str, request_id: object) -> bytes:
    return orjson.dumps({"error": {"code": 2, "msg": sentence}, "id": request_id})
