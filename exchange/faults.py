"""Faults on command: frames that lie, streams that stall, answers that get lost.

Stream faults change the frames of one stream while they last; REST faults answer the next
matching requests; one-shot faults act at once. Nothing here is ever active without a command.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from exchange.errors import ApiError
from exchange.matching import Market
from exchange.streams import USER_STREAM, Hub, parse_stream

DAY_MS = 86_400_000
MAX_DELAY_MS = 60_000
MAX_RULES = 1_000


@dataclass(slots=True)
class StreamRule:
    """What happens to the next frames of a stream."""

    kind: str  # drop, duplicate, reorder
    count: int
    held: bytes | None = None


@dataclass(slots=True)
class RestRule:
    """What happens to the next matching requests."""

    path: str
    method: str
    status: int
    body: bytes
    execute: bool
    count: int
    delay_ms: int
    headers: list[tuple[str, str]]
    half: bool


RuleKey = tuple[int | str, int | str]


@dataclass(slots=True)
class StreamFaults:
    """Active stream rules by (kind, market index), or (USER_STREAM, account key)."""

    rules: dict[RuleKey, list[StreamRule]] = field(default_factory=dict)

    def add(self, key: RuleKey, rule: StreamRule) -> None:
        """Arm a rule for a stream."""
        rules = self.rules.setdefault(key, [])
        if len(rules) >= MAX_RULES:
            raise ApiError(-1000, "too many faults are armed on this stream")
        rules.append(rule)

    def remove(self, key: RuleKey, rule: StreamRule) -> None:
        """Disarm a rule before its time; an absent one is no fault."""
        rules = self.rules.get(key, [])
        if rule in rules:
            rules.remove(rule)
            if not rules:
                del self.rules[key]

    def tamper(self, kind: int | str, index: int | str, body: bytes) -> list[bytes]:
        """Return the frames to send instead of one frame."""
        rules = self.rules.get((kind, index))
        if not rules:
            return [body]
        rule = rules[0]
        if rule.kind == "reorder":
            if rule.held is None:
                rule.held = body
                return []
            frames = [body, rule.held]
        elif rule.kind == "duplicate":
            frames = [body, body]
        else:
            frames = []
        rule.held = None
        rule.count -= 1
        if rule.count <= 0:
            rules.pop(0)
            if not rules:
                del self.rules[kind, index]
        return frames


class Faults:
    """All faults of the exchange."""

    def __init__(self, hub: Hub, markets: Mapping[str, Market]) -> None:
        """Attach stream faults to the hub."""
        self._hub = hub
        self._markets = markets
        self.streams = StreamFaults()
        hub.faults = self.streams
        self.rest: list[RestRule] = []
        self.injected_count = 0

    def clear(self) -> None:
        """Disarm everything."""
        self.streams.rules.clear()
        self.rest.clear()

    def match_rest(self, method: str, path: str) -> RestRule | None:
        """Take one use of the first rule that fits a request."""
        for rule in self.rest:
            if rule.path in {path, "*"} and rule.method in {method, "*"}:
                rule.count -= 1
                if rule.count <= 0:
                    self.rest.remove(rule)
                return rule
        return None

    def command(self, order: Mapping[str, Any], now_ms: int) -> dict[str, object]:
        """Carry out one fault command.

        Raises:
            ApiError: -1000 when the command is not understood.
        """
        kind = str(order.get("kind", ""))
        self.injected_count += 1
        if kind == "clear":
            self.clear()
            return {"cleared": True}
        if kind == "rest":
            return self._arm_rest(order)
        if kind in {"gap", "drop", "silent", "duplicate", "reorder"}:
            return self._arm_stream(kind, order)
        if kind == "frame":
            return self._inject(str(order.get("stream", "")), str(order.get("text", "")))
        if kind in POISON:
            symbol = str(order.get("symbol", ""))
            market = self._markets.get(symbol)
            if market is None:
                raise ApiError(-1121)
            text = poisoned_quote(kind, market, now_ms)
            return self._inject(f"{symbol.lower()}@bookTicker", text)
        raise ApiError(-1000, f"unknown fault kind {kind!r}")

    def _arm_rest(self, order: Mapping[str, Any]) -> dict[str, object]:
        rule = RestRule(
            path=str(order.get("path", "*")),
            method=str(order.get("method", "*")),
            status=int(order.get("status", 0)),
            body=_text(order.get("body", "")),
            execute=bool(order.get("execute", True)),
            count=int(order.get("count", 1)),
            delay_ms=min(int(order.get("delay_ms", 0)), MAX_DELAY_MS),
            headers=[(str(k), str(v)) for k, v in dict(order.get("headers", {})).items()],
            half=bool(order.get("half", False)),
        )
        if len(self.rest) >= MAX_RULES:
            raise ApiError(-1000, "too many faults are armed")
        self.rest.append(rule)
        return {"armed": "rest", "count": rule.count}

    def _arm_stream(self, kind: str, order: Mapping[str, Any]) -> dict[str, object]:
        rules_key, name = self._rule_key(order)
        rule_kind = "drop" if kind in {"gap", "silent"} else kind
        rule = StreamRule(rule_kind, int(order.get("count", 1)))
        if kind == "silent":
            rule.count = int(order.get("count", 2**62))
            delay_s = float(order.get("duration_ms", 0)) / 1000
            if delay_s > 0:
                loop = asyncio.get_running_loop()
                delay_s = min(delay_s, MAX_DELAY_MS / 1000)
                loop.call_later(delay_s, self.streams.remove, rules_key, rule)
        self.streams.add(rules_key, rule)
        return {"armed": kind, "stream": name}

    def _rule_key(self, order: Mapping[str, Any]) -> tuple[RuleKey, str]:
        if "account" in order:
            return (USER_STREAM, str(order["account"])), USER_STREAM
        name = str(order.get("stream") or f"{str(order.get('symbol', '')).lower()}@depth")
        key = parse_stream(name, self._hub.index_of)
        if key is None:
            raise ApiError(-1000, f"unknown stream {name!r}")
        return (key[0], key[1]), name

    def _inject(self, name: str, text: str) -> dict[str, object]:
        key = parse_stream(name, self._hub.index_of)
        if key is None:
            raise ApiError(-1000, f"unknown stream {name!r}")
        outlets = self._hub.outlets(key)
        for outlet in outlets:
            outlet.send(text.encode())
        self._hub.flush()
        return {"sent": len(outlets)}


def _text(body: object) -> bytes:
    return body.encode() if isinstance(body, str) else orjson.dumps(body)


POISON = frozenset(
    {
        "malformed", "nan_price", "infinite_price", "negative_price", "zero_price",
        "negative_quantity", "crossed_quote", "unknown_symbol", "tomorrow", "yesterday",
        "off_tick", "price_jump", "huge_update_id", "stale_update_id",
    }
)  # fmt: skip


def poisoned_quote(kind: str, market: Market, now_ms: int) -> str:
    """Return a best-quote payload of a market with exactly one thing wrong."""
    spec, quote = market.spec, market.book.quote
    bid, ask = quote[1] or spec.tick * 1000, quote[3] or spec.tick * 1001
    fields: dict[str, str] = {
        "u": str(quote[0] + 1),
        "s": f'"{spec.symbol}"',
        "b": f'"{spec.price_text(bid)}"',
        "B": f'"{spec.qty_text(max(quote[2], spec.step))}"',
        "a": f'"{spec.price_text(ask)}"',
        "A": f'"{spec.qty_text(max(quote[4], spec.step))}"',
        "T": str(now_ms),
        "E": str(now_ms),
    }
    price = spec.price_text
    changes: dict[str, dict[str, str]] = {
        "nan_price": {"b": '"NaN"'},
        "infinite_price": {"a": '"Infinity"'},
        "negative_price": {"b": f'"-{price(bid)}"'},
        "zero_price": {"b": f'"{price(0)}"'},
        "negative_quantity": {"B": '"-1.000"'},
        "crossed_quote": {"b": fields["a"], "a": fields["b"]},
        "unknown_symbol": {"s": '"NOSUCHUSDT"'},
        "tomorrow": {"E": str(now_ms + DAY_MS), "T": str(now_ms + DAY_MS)},
        "yesterday": {"E": str(now_ms - DAY_MS), "T": str(now_ms - DAY_MS)},
        "off_tick": {"b": f'"{price(bid)}5"'},
        "price_jump": {"b": f'"{price(bid * 10)}"', "a": f'"{price(ask * 10)}"'},
        "huge_update_id": {"u": str(quote[0] + 10**15)},
        "stale_update_id": {"u": str(max(quote[0] - 10**6, 0))},
    }
    fields.update(changes.get(kind, {}))
    text = ",".join(f'"{name}":{value}' for name, value in fields.items())
    whole = f'{{"e":"bookTicker",{text}}}'
    return whole[: len(whole) // 2] if kind == "malformed" else whole
